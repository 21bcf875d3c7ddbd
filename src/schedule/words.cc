#include "schedule/words.h"

#include <bit>

#include <fmt/format.h>

#include "schedule/dates.h"

namespace escapement {
namespace {

constexpr std::string_view kMonths[] = {"",     "January", "February",  "March",   "April",    "May",     "June",
                                        "July", "August",  "September", "October", "November", "December"};
constexpr std::string_view kWeekdays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

std::string Ordinal(int n) {
  const int tens = n / 10 % 10;
  const char* const suffix = tens == 1 ? "th" : n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
  return fmt::format("{}{}", n, suffix);
}

// "a", "a and b", "a, b and c".
std::string Joined(const std::vector<std::string>& parts, std::string_view word = "and") {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? fmt::format(" {} ", word) : ", ";
    text += parts[i];
  }
  return text;
}

std::vector<int> ValuesOf(std::uint64_t bits) {
  std::vector<int> values;
  for (; bits != 0; bits &= bits - 1) values.push_back(std::countr_zero(bits));
  return values;
}

// Values one after the other as one part: "9 to 17". Round the cycle, if there is one: "22 to 2".
template <typename Name>
std::vector<std::string> Runs(std::uint64_t bits, int low, int cycle, const Name& name) {
  const auto has = [&](int value) { return (bits >> value & 1) != 0; };
  const auto next = [&](int value) { return value + 1 == low + cycle ? low : value + 1; };
  std::vector<std::string> runs;
  const std::vector<int> values = ValuesOf(bits);
  if (static_cast<int>(values.size()) == cycle) return {fmt::format("{} to {}", name(low), name(low + cycle - 1))};
  for (const int first : values) {
    if (has(first == low ? low + cycle - 1 : first - 1)) continue;  // inside a run
    int last = first;
    int length = 1;
    for (; has(next(last)); last = next(last)) ++length;
    if (length == 1) {
      runs.push_back(name(first));
    } else if (length == 2) {
      runs.push_back(name(first));
      runs.push_back(name(last));
    } else {
      runs.push_back(fmt::format("{} to {}", name(first), name(last)));
    }
  }
  return runs;
}

// n if the bits are those at 0, n, 2n, ... below the cycle, which n divides; else 0.
int EvenStep(std::uint64_t bits, int cycle) {
  const int count = std::popcount(bits);
  if (count < 2 || cycle % count != 0) return 0;
  const int step = cycle / count;
  for (int value = 0; value < cycle; value += step) {
    if (!(bits >> value & 1)) return 0;
  }
  return step;
}

std::string Plain(int value) { return fmt::format("{}", value); }

// "every minute", "every 15 minutes", "at minutes 5 and 35".
std::string Within(std::uint64_t bits, int cycle, std::string_view unit) {
  if (const int step = EvenStep(bits, cycle); step == 1)
    return fmt::format("every {}", unit);
  else if (step > 1)
    return fmt::format("every {} {}s", step, unit);
  const bool single = std::popcount(bits) == 1;
  return fmt::format("at {}{} {}", unit, single ? "" : "s", Joined(Runs(bits, 0, cycle, Plain)));
}

std::string Times(const Pattern& p) {
  const int hours = std::popcount(p.hours);
  const int minutes = std::popcount(p.minutes);
  const int seconds = std::popcount(p.seconds);
  constexpr int kMostTimes = 6;
  if (hours * minutes * seconds <= kMostTimes) {
    std::vector<std::string> times;
    const bool whole_minutes = p.seconds == 1;
    for (const int hour : ValuesOf(p.hours)) {
      for (const int minute : ValuesOf(p.minutes)) {
        for (const int second : ValuesOf(p.seconds)) {
          times.push_back(whole_minutes ? fmt::format("{:02}:{:02}", hour, minute)
                                        : fmt::format("{:02}:{:02}:{:02}", hour, minute, second));
        }
      }
    }
    return "at " + Joined(times);
  }
  // From the smallest part that is not at its beginning to the largest that is not any.
  std::string text;
  const auto add = [&](const std::string& part, std::string_view link) {
    text += text.empty() ? part : fmt::format("{}{}", link, part);
  };
  if (p.seconds != 1) add(Within(p.seconds, 60, "second"), "");
  const bool any_minute = minutes == 60;
  if (text.empty() || !any_minute) {
    if (text.empty() && p.minutes == 1) {
      const int step = EvenStep(p.hours, 24);
      if (step == 1) return "every hour";
      if (step > 1) return fmt::format("every {} hours", step);
    }
    if (text.empty()) {
      add(Within(p.minutes, 60, "minute"), "");
    } else {
      const int step = EvenStep(p.minutes, 60);
      add(step > 1 ? fmt::format("every {} minutes", step)
                   : fmt::format("minute{} {}", minutes == 1 ? "" : "s", Joined(Runs(p.minutes, 0, 60, Plain))),
          " of ");
    }
  }
  // "at second 30" says too little by itself; "every 15 seconds" does not.
  if (any_minute && p.seconds != 1 && EvenStep(p.seconds, 60) == 0) text += " of every minute";
  if (hours == 24) {
    if (!any_minute && EvenStep(p.minutes, 60) == 0) text += " of every hour";
    return text;
  }
  if (const int step = EvenStep(p.hours, 24); step > 1) return text + fmt::format(" of every {} hours", step);
  return text + fmt::format(" of hour{} {}", hours == 1 ? "" : "s", Joined(Runs(p.hours, 0, 24, Plain)));
}

std::vector<std::string> DayParts(const DaySet& set) {
  std::vector<std::string> parts;
  const auto weekday = [](int n) { return std::string(kWeekdays[n]); };
  if (set.days != 0) {
    parts.push_back("the " + Joined(Runs(set.days, 1, 31, Ordinal)) + " of the month");
  }
  for (const int back : ValuesOf(set.from_last)) {
    parts.push_back(back == 0   ? "the last day of the month"
                    : back == 1 ? "the day before the last of the month"
                                : fmt::format("{} days before the last of the month", back));
  }
  if (set.last_workday) parts.emplace_back("the last workday of the month");
  for (const int day : ValuesOf(set.nearest))
    parts.push_back(fmt::format("the workday nearest to the {}", Ordinal(day)));
  if (set.weekdays != 0) {
    // A week as people say it begins on Monday.
    const std::uint64_t from_monday = set.weekdays >> 1 | (set.weekdays & 1) << 6;
    parts.push_back(Joined(Runs(from_monday, 0, 7, [&](int n) { return weekday((n + 1) % 7); })));
  }
  for (std::size_t n = 0; n < set.nth.size(); ++n) {
    for (const int number : ValuesOf(set.nth[n])) {
      parts.push_back(fmt::format("the {} {} of the month", Ordinal(number), kWeekdays[n]));
    }
  }
  for (const int n : ValuesOf(set.last_weekdays))
    parts.push_back(fmt::format("the last {} of the month", kWeekdays[n]));
  return parts;
}

}  // namespace

std::string InWords(const Pattern& p) {
  std::string text = Times(p);
  const std::vector<std::string> month_days = DayParts(p.month_days);
  std::vector<std::string> week_days = DayParts(p.week_days);
  if (p.either) {
    week_days.insert(week_days.begin(), month_days.begin(), month_days.end());
    text += " on " + Joined(week_days, "or");
  } else {
    if (!month_days.empty()) text += " on " + Joined(month_days, "or");
    if (!week_days.empty()) {
      text += month_days.empty() ? " on " : ", if it is ";
      text += Joined(week_days, "or");
    }
  }
  if (p.weeks != 0) {
    text += fmt::format(" in week{} {} of the year", std::popcount(p.weeks) == 1 ? "" : "s",
                        Joined(Runs(p.weeks, 1, 53, Plain)));
  }
  if (std::popcount(p.months) < 12) {
    text += " in " + Joined(Runs(p.months, 1, 12, [](int n) { return std::string(kMonths[n]); }));
  }
  if (!p.years.empty()) {
    std::vector<std::string> years;
    for (const YearRange& range : p.years) {
      std::string part = Plain(range.low);
      if (range.high > range.low) part += fmt::format(" to {}", range.high);
      if (range.high > range.low && range.step > 1) part = fmt::format("every {} years of {}", range.step, part);
      years.push_back(std::move(part));
    }
    text += " in " + Joined(years);
  }
  return text;
}

namespace {

// "last", "2nd last", "3rd".
std::string FromEnds(int n) {
  if (n > 0) return Ordinal(n);
  return n == -1 ? "last" : Ordinal(-n) + " last";
}

std::string Numbers(const std::vector<int>& numbers) {
  std::vector<std::string> parts;
  for (const int n : numbers) parts.push_back("the " + FromEnds(n));
  return Joined(parts);
}

std::string LocalTime(Seconds at) {
  const Date date = DateOf(FloorDiv(at, kDay));
  const Seconds time = FloorMod(at, kDay);
  std::string text =
      fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", date.year, date.month, date.day, time / 3600, time / 60 % 60);
  if (time % 60 != 0) text += fmt::format(":{:02}", time % 60);
  return text;
}

std::string RuleDays(const Rule& rule) {
  std::string text;
  if (!rule.weekdays.empty()) {
    std::uint64_t plain = 0;  // from Monday
    std::vector<std::string> parts;
    for (const RuleWeekday& day : rule.weekdays) {
      if (day.nth == 0) plain |= std::uint64_t{1} << (day.weekday + 6) % 7;
    }
    if (plain != 0) parts = Runs(plain, 0, 7, [](int n) { return std::string(kWeekdays[(n + 1) % 7]); });
    for (const RuleWeekday& day : rule.weekdays) {
      if (day.nth != 0) parts.push_back(fmt::format("the {} {}", FromEnds(day.nth), kWeekdays[day.weekday]));
    }
    text += " on " + Joined(parts);
  }
  if (!rule.month_days.empty()) {
    text += fmt::format("{} {} day of the month", text.empty() ? " on" : ", if it is", Numbers(rule.month_days));
  }
  if (!rule.year_days.empty()) {
    text += fmt::format("{} {} day of the year", text.empty() ? " on" : ", if it is", Numbers(rule.year_days));
  }
  if (!rule.weeks.empty()) text += fmt::format(" in {} week of the year", Numbers(rule.weeks));
  if (rule.months != 0)
    text += " in " + Joined(Runs(rule.months, 1, 12, [](int n) { return std::string(kMonths[n]); }));
  return text;
}

// What the parts by time say, or the start says where there are none.
std::string RuleTimes(const Rule& rule, Seconds start) {
  const Seconds time = FloorMod(start, kDay);
  if (rule.hours == 0 && rule.minutes == 0 && rule.seconds == 0) {
    const std::string second = time % 60 == 0 ? "" : fmt::format(":{:02}", time % 60);
    switch (rule.frequency) {
      case Frequency::kSecondly: return "";
      case Frequency::kMinutely: return time % 60 == 0 ? "" : fmt::format(" at second {}", time % 60);
      case Frequency::kHourly: return fmt::format(" at minute {}{}", time / 60 % 60, second);
      default: return fmt::format(" at {:02}:{:02}{}", time / 3600, time / 60 % 60, second);
    }
  }
  Pattern pattern;
  const bool by_hour = rule.frequency >= Frequency::kHourly;
  const bool by_minute = rule.frequency >= Frequency::kMinutely;
  const bool by_second = rule.frequency == Frequency::kSecondly;
  const auto bit = [](Seconds n) { return std::uint64_t{1} << n; };
  constexpr std::uint64_t kAllSixty = (std::uint64_t{1} << 60) - 1;
  pattern.hours = rule.hours != 0 ? rule.hours
                  : by_hour       ? (1U << 24) - 1
                                  : static_cast<std::uint32_t>(bit(time / 3600));
  pattern.minutes = rule.minutes != 0 ? rule.minutes : by_minute ? kAllSixty : bit(time / 60 % 60);
  pattern.seconds = rule.seconds != 0 ? rule.seconds : by_second ? kAllSixty : bit(time % 60);
  return (by_hour ? ", " : " ") + Times(pattern);
}

}  // namespace

std::string InWords(const RruleText& rrule) {
  const auto times = [](std::size_t n) { return fmt::format("{} time{}", n, n == 1 ? "" : "s"); };
  if (!rrule.rule) {
    std::string text = "at " + LocalTime(rrule.start);
    if (!rrule.more.empty()) text += fmt::format(" and {} more", times(rrule.more.size()));
    return text;
  }
  constexpr std::string_view kUnits[] = {"year", "month", "week", "day", "hour", "minute", "second"};
  const Rule& rule = *rrule.rule;
  const std::string_view unit = kUnits[static_cast<std::size_t>(rule.frequency)];
  std::string text =
      rule.interval == 1 ? fmt::format("every {}", unit) : fmt::format("every {} {}s", rule.interval, unit);
  if (!rule.positions.empty()) text += fmt::format(" {} of all", Numbers(rule.positions));
  text += RuleDays(rule) + RuleTimes(rule, rrule.start) + ", from " + LocalTime(rrule.start);
  if (rrule.until) text += fmt::format(", until {}{}", LocalTime(rrule.until->at), rrule.until->utc ? " UTC" : "");
  if (rule.count) text += ", " + times(static_cast<std::size_t>(*rule.count));
  if (!rrule.more.empty()) text += fmt::format(", and {} more", times(rrule.more.size()));
  if (!rrule.without.empty()) text += fmt::format(", without {}", times(rrule.without.size()));
  return text;
}

}  // namespace escapement
