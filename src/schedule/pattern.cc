#include "schedule/pattern.h"

#include <algorithm>
#include <bit>

#include "schedule/dates.h"

namespace escapement {
namespace {

constexpr int kFirstYear = 1969;
constexpr int kLastYear = 10'000;

// The least distance of two neighbours, if there are two.
Seconds LeastStep(std::uint64_t bits) {
  Seconds least = kDay;
  int before = Lowest(bits);
  for (std::uint64_t rest = bits & (bits - 1); rest != 0; rest &= rest - 1) {
    least = std::min<Seconds>(least, Lowest(rest) - before);
    before = Lowest(rest);
  }
  return least;
}

// A month as sets of days see it.
struct Month {
  unsigned length;
  unsigned first;  // weekday of its first day
  unsigned WeekdayOf(unsigned day) const { return (first + day - 1) % 7; }
};

// The workday (Monday to Friday) of the month nearest to `day`.
unsigned WorkdayNear(const Month& month, unsigned day) {
  switch (month.WeekdayOf(day)) {
    case 0: return day == month.length ? day - 2 : day + 1;
    case 6: return day == 1 ? 3 : day - 1;
    default: return day;
  }
}

std::uint32_t DaysOf(const DaySet& set, const Month& month) {
  const auto all = static_cast<std::uint32_t>((std::uint64_t{2} << month.length) - 2);
  if (set.every) return all;
  std::uint32_t days = set.days;
  for (std::uint32_t rest = set.from_last; rest != 0; rest &= rest - 1) {
    const auto back = static_cast<unsigned>(Lowest(rest));
    if (back < month.length) days |= 1U << (month.length - back);
  }
  for (std::uint32_t rest = Below(set.nearest, static_cast<int>(month.length) + 1); rest != 0; rest &= rest - 1) {
    days |= 1U << WorkdayNear(month, static_cast<unsigned>(Lowest(rest)));
  }
  if (set.last_workday) {
    const unsigned weekday = month.WeekdayOf(month.length);
    days |= 1U << (month.length - (weekday == 0 ? 2 : weekday == 6 ? 1 : 0));
  }
  if (set.weekdays != 0) {
    // The week as it stands at day 1, five times over.
    const std::uint64_t week =
        (std::uint64_t{set.weekdays} >> month.first | std::uint64_t{set.weekdays} << (7 - month.first)) & 0x7F;
    days |= static_cast<std::uint32_t>(week * 0x10204081 << 1);
  }
  for (unsigned weekday = 0; weekday < 7; ++weekday) {
    const unsigned first = 1 + (weekday + 7 - month.first) % 7;
    for (std::uint32_t rest = set.nth[weekday]; rest != 0; rest &= rest - 1) {
      const unsigned day = first + 7 * (static_cast<unsigned>(Lowest(rest)) - 1);
      if (day <= month.length) days |= 1U << day;
    }
    if (set.last_weekdays >> weekday & 1) days |= 1U << (first + (month.length - first) / 7 * 7);
  }
  return days & all;
}

// The days of the month that lie in one of the weeks (ISO 8601: a week belongs to the year of its Thursday).
std::uint32_t DaysInWeeks(std::uint64_t weeks, int year, unsigned month, const Month& shape) {
  const std::int64_t first = DayNumber(year, month, 1);
  std::uint32_t days = 0;
  for (unsigned day = 1; day <= shape.length;) {
    const unsigned since_monday = (shape.WeekdayOf(day) + 6) % 7;
    const std::int64_t thursday = first + day - 1 + 3 - since_monday;
    const std::int64_t week = (thursday - DayNumber(DateOf(thursday).year, 1, 1)) / 7 + 1;
    const unsigned end = std::min(shape.length + 1, day + 7 - since_monday);
    for (; day < end; ++day) {
      if (weeks >> week & 1) days |= 1U << day;
    }
  }
  return days;
}

}  // namespace

std::uint32_t Pattern::DaysOf(int year, unsigned month) const {
  const Month shape{LengthOf(year, month),
                    static_cast<unsigned>((DayNumber(year, month, 1) % 7 + 11) % 7)};  // 1970-01-01: a Thursday
  std::uint32_t days = escapement::DaysOf(month_days, shape);
  if (either) {
    days |= escapement::DaysOf(week_days, shape);
  } else if (!week_days.every) {
    days &= escapement::DaysOf(week_days, shape);
  }
  if (weeks != 0 && days != 0) days &= DaysInWeeks(weeks, year, month, shape);
  return days;
}

std::int64_t Pattern::PointsADay() const {
  return std::int64_t{std::popcount(hours)} * std::popcount(minutes) * std::popcount(seconds);
}

Seconds Pattern::LeastDistance() const {
  // Two hours that count, or today's last and tomorrow's first; then the same of minutes, and of seconds.
  const Seconds hours_apart = std::min<Seconds>(LeastStep(hours), 24 + Lowest(hours) - Highest(hours));
  const Seconds minutes_apart = std::min(LeastStep(minutes), hours_apart * 60 + Lowest(minutes) - Highest(minutes));
  return std::min(LeastStep(seconds), minutes_apart * 60 + Lowest(seconds) - Highest(seconds));
}

double Pattern::ShareOfDays() const {
  constexpr std::uint16_t kAllMonths = 0x1FFE;
  if (months == kAllMonths && weeks == 0 && month_days.every && !either) {
    if (week_days.every) return 1;
    const DaySet plain{.every = false, .weekdays = week_days.weekdays};
    if (week_days == plain) return std::popcount(plain.weekdays) / 7.0;
  }
  // 28 years without a century: each shape of a year as often as it comes.
  constexpr int kYears = 28;
  std::int64_t days = 0;
  for (int year = 2001; year < 2001 + kYears; ++year) {
    for (std::uint16_t rest = months; rest != 0; rest &= rest - 1) {
      days += std::popcount(DaysOf(year, static_cast<unsigned>(Lowest(rest))));
    }
  }
  return static_cast<double>(days) / (365.25 * kYears);
}

std::optional<int> Pattern::NextTime(int time_of_day) const {
  const int hour = time_of_day / 3600;
  const int minute = time_of_day / 60 % 60;
  const int second = time_of_day % 60;
  const int first_second = Lowest(seconds);
  if (hours >> hour & 1) {
    if (minutes >> minute & 1) {
      if (const auto rest = From(seconds, second); rest != 0) return hour * 3600 + minute * 60 + Lowest(rest);
    }
    if (const auto rest = From(minutes, minute + 1); rest != 0) return hour * 3600 + Lowest(rest) * 60 + first_second;
  }
  const auto rest = From(hours, hour + 1);
  if (rest == 0) return std::nullopt;
  return Lowest(rest) * 3600 + Lowest(minutes) * 60 + first_second;
}

// The last one before `time_of_day`.
std::optional<int> Pattern::LastTime(int time_of_day) const {
  const int hour = time_of_day / 3600;
  const int minute = time_of_day / 60 % 60;
  const int second = time_of_day % 60;
  const int last_second = Highest(seconds);
  if (hours >> hour & 1) {
    if (minutes >> minute & 1) {
      if (const auto rest = Below(seconds, second); rest != 0) return hour * 3600 + minute * 60 + Highest(rest);
    }
    if (const auto rest = Below(minutes, minute); rest != 0) return hour * 3600 + Highest(rest) * 60 + last_second;
  }
  const auto rest = Below(hours, hour);
  if (rest == 0) return std::nullopt;
  return Highest(rest) * 3600 + Highest(minutes) * 60 + last_second;
}

// How many points of a day lie before `time_of_day`.
std::int64_t Pattern::Rank(int time_of_day) const {
  const int hour = time_of_day / 3600;
  const int minute = time_of_day / 60 % 60;
  const std::int64_t a_minute = std::popcount(seconds);
  const std::int64_t an_hour = a_minute * std::popcount(minutes);
  std::int64_t rank = std::popcount(Below(hours, hour)) * an_hour;
  if (hours >> hour & 1) {
    rank += std::popcount(Below(minutes, minute)) * a_minute;
    if (minutes >> minute & 1) rank += std::popcount(Below(seconds, time_of_day % 60));
  }
  return rank;
}

std::optional<int> Pattern::NextYear(int year) const {
  if (years.empty()) return year <= kLastYear ? std::optional(year) : std::nullopt;
  std::optional<int> next;
  for (const YearRange& range : years) {
    const int at =
        year <= range.low ? range.low : range.low + (year - range.low + range.step - 1) / range.step * range.step;
    if (at <= range.high && (!next || at < *next)) next = at;
  }
  return next;
}

std::optional<int> Pattern::LastYear(int year) const {
  if (years.empty()) return year >= kFirstYear ? std::optional(year) : std::nullopt;
  std::optional<int> last;
  for (const YearRange& range : years) {
    if (year < range.low) continue;
    const int at = range.low + (std::min(year, range.high) - range.low) / range.step * range.step;
    if (!last || at > *last) last = at;
  }
  return last;
}

std::optional<Seconds> Pattern::Next(Seconds from) const {
  const std::int64_t day_number = FloorDiv(from, kDay);
  const Date date = DateOf(day_number);
  // What is left of the day, then of its month, then of its year, then further years.
  std::optional<int> year = NextYear(date.year);
  if (!year) return std::nullopt;
  std::uint16_t rest_months = months;
  if (*year == date.year) {
    rest_months = From(months, static_cast<int>(date.month) + 1);
    if (months >> date.month & 1) {
      const std::uint32_t days = DaysOf(date.year, date.month);
      if (days >> date.day & 1) {
        if (const auto time = NextTime(static_cast<int>(from - day_number * kDay))) return day_number * kDay + *time;
      }
      if (const auto rest = From(days, static_cast<int>(date.day) + 1); rest != 0) {
        return (day_number + Lowest(rest) - date.day) * kDay + *NextTime(0);
      }
    }
  }
  // The calendar begins again after 400 years; those that are named may be further away.
  for (const int end = years.empty() ? date.year + 401 : kLastYear + 1; year && *year < end;
       year = NextYear(*year + 1), rest_months = months) {
    for (; rest_months != 0; rest_months &= rest_months - 1) {
      const auto month = static_cast<unsigned>(Lowest(rest_months));
      if (const std::uint32_t days = DaysOf(*year, month); days != 0) {
        return DayNumber(*year, month, static_cast<unsigned>(Lowest(days))) * kDay + *NextTime(0);
      }
    }
  }
  return std::nullopt;
}

std::optional<Seconds> Pattern::Last(Seconds before) const {
  const std::int64_t day_number = FloorDiv(before, kDay);
  const Date date = DateOf(day_number);
  std::optional<int> year = LastYear(date.year);
  if (!year) return std::nullopt;
  const int last_time = Highest(hours) * 3600 + Highest(minutes) * 60 + Highest(seconds);
  std::uint16_t rest_months = months;
  if (*year == date.year) {
    rest_months = Below(months, static_cast<int>(date.month));
    if (months >> date.month & 1) {
      const std::uint32_t days = DaysOf(date.year, date.month);
      if (days >> date.day & 1) {
        if (const auto time = LastTime(static_cast<int>(before - day_number * kDay))) return day_number * kDay + *time;
      }
      if (const auto rest = Below(days, static_cast<int>(date.day)); rest != 0) {
        return (day_number + Highest(rest) - date.day) * kDay + last_time;
      }
    }
  }
  for (const int end = years.empty() ? date.year - 401 : 0; year && *year > end;
       year = LastYear(*year - 1), rest_months = months) {
    for (; rest_months != 0; rest_months = Below(rest_months, Highest(rest_months))) {
      const auto month = static_cast<unsigned>(Highest(rest_months));
      if (const std::uint32_t days = DaysOf(*year, month); days != 0) {
        return DayNumber(*year, month, static_cast<unsigned>(Highest(days))) * kDay + last_time;
      }
    }
  }
  return std::nullopt;
}

std::int64_t Pattern::Count(Seconds from, Seconds to) const {
  if (from >= to) return 0;
  const std::int64_t first_day = FloorDiv(from, kDay);
  const std::int64_t last_day = FloorDiv(to, kDay);
  const Date first = DateOf(first_day);
  const Date last = DateOf(last_day);
  // Whole days in [first, last), then what the ends have more or less than that.
  std::int64_t days = 0;
  std::int64_t ends = 0;
  for (auto year = NextYear(first.year); year && *year <= last.year; year = NextYear(*year + 1)) {
    std::uint16_t rest = months;
    if (*year == first.year) rest = From(rest, static_cast<int>(first.month));
    if (*year == last.year) rest = Below(rest, static_cast<int>(last.month) + 1);
    for (; rest != 0; rest &= rest - 1) {
      const auto month = static_cast<unsigned>(Lowest(rest));
      std::uint32_t in_month = DaysOf(*year, month);
      if (*year == last.year && month == last.month) {
        if (in_month >> last.day & 1) ends += Rank(static_cast<int>(to - last_day * kDay));
        in_month = Below(in_month, static_cast<int>(last.day));
      }
      if (*year == first.year && month == first.month) {
        if (DaysOf(*year, month) >> first.day & 1) ends -= Rank(static_cast<int>(from - first_day * kDay));
        in_month = From(in_month, static_cast<int>(first.day));
      }
      days += std::popcount(in_month);
    }
  }
  return days * PointsADay() + ends;
}

}  // namespace escapement
