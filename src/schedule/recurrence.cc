#include "schedule/recurrence.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <numeric>

#include "schedule/dates.h"
#include "schedule/nth_point.h"

namespace escapement {
namespace {

constexpr int kFirstMonth = 12 * 1969;
constexpr int kEndMonth = 12 * 10'001;
constexpr Seconds kHour = 3600;
constexpr Seconds kMinute = 60;
constexpr std::uint32_t kAllHours = (1U << 24) - 1;
constexpr std::uint64_t kAllSixty = (std::uint64_t{1} << 60) - 1;

int YearOf(int index) { return index / 12; }
unsigned MonthOf(int index) { return static_cast<unsigned>(index % 12) + 1; }
int MonthIndex(const Date& date) { return 12 * date.year + static_cast<int>(date.month) - 1; }
std::int64_t FirstDay(int index) { return DayNumber(YearOf(index), MonthOf(index), 1); }
Seconds EndOfDays() { return DayNumber(10'001, 1, 1) * kDay; }

// Of so many points those at the positions: 1 is the first, -1 the last.
template <typename PointAt>
std::vector<Seconds> AtPositions(const std::vector<int>& positions, std::size_t size, const PointAt& point_at) {
  std::vector<Seconds> chosen;
  for (const int position : positions) {
    const std::int64_t at = position > 0 ? position - 1 : static_cast<std::int64_t>(size) + position;
    if (at >= 0 && at < static_cast<std::int64_t>(size)) chosen.push_back(point_at(static_cast<std::size_t>(at)));
  }
  std::sort(chosen.begin(), chosen.end());
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}
std::vector<Seconds> AtPositions(const std::vector<int>& positions, const std::vector<Seconds>& points) {
  return AtPositions(positions, points.size(), [&](std::size_t i) { return points[i]; });
}

template <typename Bits>
std::vector<Seconds> Values(Bits bits, Seconds unit) {
  std::vector<Seconds> values;
  for (; bits != 0; bits &= bits - 1) values.push_back(Lowest(bits) * unit);
  return values;
}

std::vector<Seconds> Sums(const std::vector<Seconds>& large, const std::vector<Seconds>& small) {
  std::vector<Seconds> sums;
  sums.reserve(large.size() * small.size());
  for (const Seconds a : large) {
    for (const Seconds b : small) sums.push_back(a + b);
  }
  return sums;
}

// The n-th weekday `weekday` of days 1 to `length`, the first of which is `first`; 0 if there is none.
int NthWeekday(const RuleWeekday& which, int first, int length) {
  const int earliest = 1 + (which.weekday + 7 - first) % 7;
  const int latest = earliest + (length - earliest) / 7 * 7;
  const int day = which.nth > 0 ? earliest + 7 * (which.nth - 1) : latest + 7 * (which.nth + 1);
  return day >= 1 && day <= length ? day : 0;
}

}  // namespace

Recurrence::Recurrence(const Rule& rule, Seconds start)
    : frequency_(rule.frequency),
      interval_(rule.interval),
      start_(start),
      end_(rule.until ? std::min(*rule.until + 1, EndOfDays()) : EndOfDays()),
      positions_(rule.positions) {
  start_day_ = FloorDiv(start, kDay);
  start_month_ = MonthIndex(DateOf(start_day_));
  week_anchor_ = (rule.week_start + 7 - WeekdayOf(0)) % 7;
  SetDays(rule);
  SetTimes(rule);
  if (!drifts_ && times_.empty()) months_ = 0;  // else each day would be searched for what never comes
  if (rule.count) {
    const auto last =
        NthPoint(start_, end_, *rule.count, kDay, [&](Seconds from, Seconds to) { return CountInAll(from, to); });
    if (last) end_ = *last + 1;
  }
}

void Recurrence::SetDays(const Rule& rule) {
  const Date start = DateOf(start_day_);
  const bool no_day = rule.weeks.empty() && rule.year_days.empty() && rule.month_days.empty() && rule.weekdays.empty();
  if (rule.months != 0) {
    months_ = rule.months;
  } else if (frequency_ == Frequency::kYearly && no_day) {
    months_ = static_cast<std::uint16_t>(1U << start.month);
  }
  std::vector<int> month_days = rule.month_days;
  if (no_day && (frequency_ == Frequency::kYearly || frequency_ == Frequency::kMonthly)) {
    month_days.push_back(static_cast<int>(start.day));
  }
  by_month_day_ = !month_days.empty();
  for (const int day : month_days) (day > 0 ? month_days_ : last_month_days_) |= 1U << std::abs(day);

  std::vector<RuleWeekday> weekdays = rule.weekdays;
  by_week_ = !rule.weeks.empty();
  const bool of_start = frequency_ == Frequency::kWeekly || (by_week_ && rule.year_days.empty() && !by_month_day_);
  if (weekdays.empty() && of_start) weekdays.push_back({WeekdayOf(start_day_), 0});
  by_weekday_ = !weekdays.empty();
  for (const RuleWeekday& weekday : weekdays) {
    if (weekday.nth == 0) {
      weekdays_ |= static_cast<std::uint8_t>(1U << weekday.weekday);
    } else {
      nth_weekdays_.push_back(weekday);
    }
  }
  nth_of_year_ = frequency_ == Frequency::kYearly && rule.months == 0;

  by_year_day_ = !rule.year_days.empty();
  for (const int day : rule.year_days)
    (day > 0 ? year_days_ : last_year_days_).set(static_cast<std::size_t>(std::abs(day)));
  for (const int week : rule.weeks) (week > 0 ? weeks_ : last_weeks_) |= std::uint64_t{1} << std::abs(week);
  start_year_ = by_week_ ? WeekYear(start_day_) : start.year;
}

void Recurrence::SetTimes(const Rule& rule) {
  const Seconds time = start_ - start_day_ * kDay;
  const auto hour = 1U << (time / kHour);
  const std::uint64_t minute = std::uint64_t{1} << (time / kMinute % 60);
  const std::uint64_t second = std::uint64_t{1} << (time % 60);
  const auto or_of_start = [](auto given, auto of_start) { return given != 0 ? given : of_start; };
  const std::vector<Seconds> hours = Values(or_of_start(rule.hours, hour), kHour);
  const std::vector<Seconds> minutes = Values(or_of_start(rule.minutes, minute), kMinute);
  const std::vector<Seconds> seconds = Values(or_of_start(rule.seconds, second), 1);
  if (frequency_ < Frequency::kHourly) {
    times_ = Sums(hours, Sums(minutes, seconds));
    if (frequency_ == Frequency::kDaily && !positions_.empty()) {
      times_ = AtPositions(positions_, times_);
      positions_.clear();
    }
    return;
  }
  // What is as long as the frequency's unit, or longer, must be among what is given; what is shorter is within it.
  hours_ = or_of_start(rule.hours, kAllHours);
  minutes_ = frequency_ >= Frequency::kMinutely ? or_of_start(rule.minutes, kAllSixty) : kAllSixty;
  seconds_ = frequency_ == Frequency::kSecondly ? or_of_start(rule.seconds, kAllSixty) : kAllSixty;
  const Seconds unit = frequency_ == Frequency::kHourly ? kHour : frequency_ == Frequency::kMinutely ? kMinute : 1;
  offsets_ = unit == kHour ? Sums(minutes, seconds) : unit == kMinute ? seconds : std::vector<Seconds>{0};
  if (!positions_.empty()) {
    offsets_ = AtPositions(positions_, offsets_);
    positions_.clear();
  }
  origin_ = FloorDiv(start_, unit) * unit;
  step_ = interval_ * unit;
  drifts_ = kDay % step_ != 0;
  const auto count = [&](Seconds first, Seconds step) {
    std::int64_t begins = 0;
    for (Seconds begin = first; begin < kDay; begin += step) begins += Begins(begin);
    return begins;
  };
  if (!drifts_) {
    for (Seconds begin = FirstBegin(0); begin < kDay; begin += step_) {
      if (!Begins(begin)) continue;
      for (const Seconds offset : offsets_) times_.push_back(begin + offset);
    }
    return;
  }
  // In the course of days all times come up that lie so far apart.
  const Seconds apart = std::gcd(step_, kDay);
  const Seconds least = FirstBegin(0) % apart;
  if (offsets_.empty() || count(least, apart) == 0) {
    months_ = 0;
  } else if (step_ < kHour) {
    whole_days_.resize(static_cast<std::size_t>(step_));
    for (Seconds first = least; first < step_; first += apart) {
      whole_days_[static_cast<std::size_t>(first)] =
          static_cast<std::uint32_t>(count(first, step_) * static_cast<std::int64_t>(offsets_.size()));
    }
  }
}

// ---------------------------------------------------------------- days

bool Recurrence::HasMonth(int index) const {
  if (!(months_ >> MonthOf(index) & 1)) return false;
  if (frequency_ == Frequency::kYearly && !by_week_) return (YearOf(index) - start_year_) % interval_ == 0;
  return frequency_ != Frequency::kMonthly || (index - start_month_) % interval_ == 0;
}

std::uint32_t Recurrence::DaysOf(int index) const {
  if (!HasMonth(index)) return 0;
  const int year = YearOf(index);
  const unsigned month = MonthOf(index);
  const unsigned length = LengthOf(year, month);
  const std::int64_t first = DayNumber(year, month, 1);
  auto days = static_cast<std::uint32_t>((std::uint64_t{2} << length) - 2);
  const auto keep = [&](const auto& has) {
    for (std::uint32_t rest = days; rest != 0; rest &= rest - 1) {
      if (!has(Lowest(rest))) days &= ~(rest & (~rest + 1));
    }
  };
  if (by_month_day_) {
    std::uint32_t given = month_days_;
    for (std::uint32_t rest = last_month_days_; rest != 0; rest &= rest - 1) {
      if (Lowest(rest) <= static_cast<int>(length)) given |= 1U << (static_cast<int>(length) + 1 - Lowest(rest));
    }
    days &= given;
  }
  if (by_weekday_ && days != 0) days &= Weekdays(year, month, first);
  if (by_year_day_) {
    const int before = static_cast<int>(first - DayNumber(year, 1, 1));
    const int year_length = std::chrono::year(year).is_leap() ? 366 : 365;
    keep([&](int day) {
      return year_days_[static_cast<std::size_t>(before + day)] ||
             last_year_days_[static_cast<std::size_t>(year_length + 1 - before - day)];
    });
  }
  if (by_week_ && days != 0) days &= DaysInWeeks(first, length);
  if (frequency_ == Frequency::kWeekly && interval_ > 1) {
    const std::int64_t start_week = WeekBegin(start_day_);
    keep([&](int day) { return (WeekBegin(first + day - 1) - start_week) / 7 % interval_ == 0; });
  }
  if (frequency_ == Frequency::kDaily && interval_ > 1) {
    keep([&](int day) { return (first + day - 1 - start_day_) % interval_ == 0; });
  }
  return days;
}

std::uint32_t Recurrence::Weekdays(int year, unsigned month, std::int64_t first) const {
  const int first_weekday = WeekdayOf(first);
  std::uint64_t days = 0;
  for (std::uint8_t rest = weekdays_; rest != 0; rest = static_cast<std::uint8_t>(rest & (rest - 1))) {
    days |= std::uint64_t{0x10204081} << (1 + (Lowest(rest) + 7 - first_weekday) % 7);
  }
  const std::int64_t begin = nth_of_year_ ? DayNumber(year, 1, 1) : first;
  const std::int64_t end = nth_of_year_ ? DayNumber(year + 1, 1, 1) : first + LengthOf(year, month);
  for (const RuleWeekday& which : nth_weekdays_) {
    const int nth = NthWeekday(which, WeekdayOf(begin), static_cast<int>(end - begin));
    const std::int64_t day = begin + nth - first;  // of the month
    if (nth != 0 && day >= 1 && day <= 31) days |= std::uint64_t{1} << day;
  }
  return static_cast<std::uint32_t>(days);
}

std::int64_t Recurrence::WeekBegin(std::int64_t day) const { return day - FloorMod(day - week_anchor_, 7); }

// A week belongs to the year in which four of its days lie.
int Recurrence::WeekYear(std::int64_t day) const { return DateOf(WeekBegin(day) + 3).year; }

std::uint32_t Recurrence::DaysInWeeks(std::int64_t first, unsigned length) const {
  std::uint32_t days = 0;
  for (std::int64_t begin = WeekBegin(first); begin < first + length; begin += 7) {
    const int year = WeekYear(begin);
    if ((year - start_year_) % interval_ != 0) continue;
    const std::int64_t first_week = WeekBegin(DayNumber(year, 1, 4));
    const std::int64_t next_year = WeekBegin(DayNumber(year + 1, 1, 4));
    if (!(weeks_ >> ((begin - first_week) / 7 + 1) & 1) && !(last_weeks_ >> ((next_year - begin) / 7) & 1)) continue;
    for (std::int64_t day = std::max(begin, first); day < std::min(begin + 7, first + length); ++day) {
      days |= 1U << (day - first + 1);
    }
  }
  return days;
}

// ---------------------------------------------------------------- points at positions of their year, month or week

std::vector<Seconds> Recurrence::ChosenIn(int index) const {
  const std::int64_t first = FirstDay(index);
  const std::int64_t end = FirstDay(index + 1);
  std::vector<Seconds> chosen;
  if (frequency_ == Frequency::kMonthly) {
    if (HasMonth(index)) ChooseIn(first, end, &chosen);
  } else if (frequency_ == Frequency::kWeekly) {
    for (std::int64_t week = WeekBegin(first); week < end; week += 7) ChooseIn(week, week + 7, &chosen);
  } else if (by_week_) {
    for (int year = WeekYear(first); year <= WeekYear(end - 1); ++year) {
      ChooseIn(WeekBegin(DayNumber(year, 1, 4)), WeekBegin(DayNumber(year + 1, 1, 4)), &chosen);
    }
  } else if (HasMonth(index)) {
    ChooseIn(DayNumber(YearOf(index), 1, 1), DayNumber(YearOf(index) + 1, 1, 1), &chosen);
  }
  std::erase_if(chosen, [&](Seconds at) { return at < first * kDay || at >= end * kDay; });
  return chosen;
}

// Adds what the positions choose among all points of the days [begin, end).
void Recurrence::ChooseIn(std::int64_t begin, std::int64_t end, std::vector<Seconds>* chosen) const {
  std::vector<Seconds> days;
  const int last = MonthIndex(DateOf(end - 1));
  for (int index = MonthIndex(DateOf(begin)); index <= last; ++index) {
    const std::int64_t before = FirstDay(index) - 1;
    for (std::uint32_t rest = DaysOf(index); rest != 0; rest &= rest - 1) {
      const std::int64_t day = before + Lowest(rest);
      if (day >= begin && day < end) days.push_back(day * kDay);
    }
  }
  const std::vector<Seconds> of_period = AtPositions(positions_, days.size() * times_.size(), [&](std::size_t i) {
    return days[i / times_.size()] + times_[i % times_.size()];
  });
  chosen->insert(chosen->end(), of_period.begin(), of_period.end());
}

// ---------------------------------------------------------------- times of a day

Seconds Recurrence::FloorModOfStep(Seconds at) const { return FloorMod(at, step_); }

bool Recurrence::Begins(Seconds time) const {
  return (hours_ >> (time / kHour) & 1) && (minutes_ >> (time / kMinute % 60) & 1) && (seconds_ >> (time % 60) & 1);
}

// The next after one that does not count, or whose times are passed: hours and minutes that do not count at one go.
Seconds Recurrence::NextBegin(Seconds begin) const {
  Seconds end = begin + 1;
  if (!(hours_ >> (begin / kHour) & 1)) {
    end = (begin / kHour + 1) * kHour;
  } else if (!(minutes_ >> (begin / kMinute % 60) & 1)) {
    end = (begin / kMinute + 1) * kMinute;
  }
  return begin + (end - begin + step_ - 1) / step_ * step_;
}
Seconds Recurrence::LastBegin(Seconds begin) const {
  Seconds start = begin;
  if (!(hours_ >> (begin / kHour) & 1)) {
    start = begin / kHour * kHour;
  } else if (!(minutes_ >> (begin / kMinute % 60) & 1)) {
    start = begin / kMinute * kMinute;
  }
  return begin - ((begin - start) / step_ + 1) * step_;
}

std::int64_t Recurrence::TimesIn(std::int64_t day, Seconds low, Seconds high) const {
  if (!drifts_) {
    return std::lower_bound(times_.begin(), times_.end(), high) - std::lower_bound(times_.begin(), times_.end(), low);
  }
  const Seconds first = FirstBegin(day);
  if (low == 0 && high == kDay && !whole_days_.empty()) return whole_days_[static_cast<std::size_t>(first)];
  std::int64_t times = 0;
  // From the last that begins before `low`: what lies within it may be later.
  for (Seconds begin = low > first ? low - (low - first) % step_ : first; begin < high; begin = NextBegin(begin)) {
    if (!Begins(begin)) continue;
    for (const Seconds offset : offsets_) times += begin + offset >= low && begin + offset < high;
  }
  return times;
}

std::optional<Seconds> Recurrence::FirstTime(std::int64_t day, Seconds low) const {
  if (!drifts_) {
    const auto at = std::lower_bound(times_.begin(), times_.end(), low);
    return at != times_.end() ? std::optional(*at) : std::nullopt;
  }
  const Seconds first = FirstBegin(day);
  for (Seconds begin = low > first ? low - (low - first) % step_ : first; begin < kDay; begin = NextBegin(begin)) {
    if (!Begins(begin)) continue;
    const auto offset = std::lower_bound(offsets_.begin(), offsets_.end(), low - begin);
    if (offset != offsets_.end()) return begin + *offset;
  }
  return std::nullopt;
}

std::optional<Seconds> Recurrence::LastTime(std::int64_t day, Seconds high) const {
  if (!drifts_) {
    const auto end = std::lower_bound(times_.begin(), times_.end(), high);
    return end != times_.begin() ? std::optional(*std::prev(end)) : std::nullopt;
  }
  const Seconds first = FirstBegin(day);
  if (high <= first) return std::nullopt;
  for (Seconds begin = high - 1 - (high - 1 - first) % step_; begin >= 0; begin = LastBegin(begin)) {
    if (!Begins(begin)) continue;
    const auto end = std::lower_bound(offsets_.begin(), offsets_.end(), high - begin);
    if (end != offsets_.begin()) return begin + *std::prev(end);
  }
  return std::nullopt;
}

// ---------------------------------------------------------------- all points

std::optional<Seconds> Recurrence::NextInAll(Seconds from) const {
  const std::int64_t from_day = FloorDiv(from, kDay);
  const Date date = DateOf(from_day);
  const int first = std::max(MonthIndex(date), kFirstMonth);
  for (int index = first; index < kEndMonth; ++index) {
    if (!positions_.empty()) {
      const std::vector<Seconds> chosen = ChosenIn(index);
      const auto at = std::lower_bound(chosen.begin(), chosen.end(), from);
      if (at != chosen.end()) return *at;
      continue;
    }
    if (!HasMonth(index)) continue;
    const std::int64_t before = FirstDay(index) - 1;
    std::uint32_t days = DaysOf(index);
    if (index == MonthIndex(date)) days = From(days, static_cast<int>(date.day));
    for (; days != 0; days &= days - 1) {
      const std::int64_t day = before + Lowest(days);
      if (const auto time = FirstTime(day, day == from_day ? from - day * kDay : 0)) return day * kDay + *time;
    }
  }
  return std::nullopt;
}

std::optional<Seconds> Recurrence::Next(Seconds from) const {
  from = std::max(from, start_);
  if (from >= end_) return std::nullopt;
  const auto next = NextInAll(from);
  return next && *next < end_ ? next : std::nullopt;
}

std::optional<Seconds> Recurrence::Last(Seconds before) const {
  before = std::min(before, end_);
  if (before <= start_) return std::nullopt;
  const std::int64_t last_day = FloorDiv(before - 1, kDay);
  const Date date = DateOf(last_day);
  for (int index = std::min(MonthIndex(date), kEndMonth - 1); index >= start_month_; --index) {
    std::optional<Seconds> last;
    if (!positions_.empty()) {
      const std::vector<Seconds> chosen = ChosenIn(index);
      const auto end = std::lower_bound(chosen.begin(), chosen.end(), before);
      if (end != chosen.begin()) last = *std::prev(end);
    } else if (HasMonth(index)) {
      const std::int64_t day_before = FirstDay(index) - 1;
      std::uint32_t days = DaysOf(index);
      if (index == MonthIndex(date)) days = Below(days, static_cast<int>(date.day) + 1);
      for (; days != 0 && !last; days = Below(days, Highest(days))) {
        const std::int64_t day = day_before + Highest(days);
        const auto time = LastTime(day, day == last_day ? before - day * kDay : kDay);
        if (time) last = day * kDay + *time;
      }
    }
    if (last) return *last >= start_ ? last : std::nullopt;
  }
  return std::nullopt;
}

std::int64_t Recurrence::CountInAll(Seconds from, Seconds to) const {
  const std::int64_t first_day = FloorDiv(from, kDay);
  const std::int64_t last_day = FloorDiv(to - 1, kDay);
  const int last = MonthIndex(DateOf(last_day));
  std::int64_t count = 0;
  for (int index = MonthIndex(DateOf(first_day)); index <= last; ++index) {
    if (!positions_.empty()) {
      const std::vector<Seconds> chosen = ChosenIn(index);
      count +=
          std::lower_bound(chosen.begin(), chosen.end(), to) - std::lower_bound(chosen.begin(), chosen.end(), from);
      continue;
    }
    const std::int64_t before = FirstDay(index) - 1;
    std::uint32_t days = DaysOf(index);
    if (days == 0) continue;
    const auto take = [&](std::int64_t day, Seconds low, Seconds high) {  // a day of which only a part counts
      const std::int64_t bit = day - before;
      if (bit < 1 || bit > 31 || !(days >> bit & 1)) return;
      count += TimesIn(day, low, high);
      days &= ~(1U << bit);
    };
    take(first_day, from - first_day * kDay, first_day == last_day ? to - first_day * kDay : kDay);
    if (last_day != first_day) take(last_day, 0, to - last_day * kDay);
    if (first_day > before) days = From(days, static_cast<int>(first_day - before));
    if (last_day - before <= 31) days = Below(days, static_cast<int>(last_day - before));
    if (!drifts_) {
      count += std::popcount(days) * static_cast<std::int64_t>(times_.size());
      continue;
    }
    for (; days != 0; days &= days - 1) count += TimesIn(before + Lowest(days), 0, kDay);
  }
  return count;
}

std::int64_t Recurrence::Count(Seconds from, Seconds to) const {
  from = std::max(from, start_);
  to = std::min(to, end_);
  return from < to ? CountInAll(from, to) : 0;
}

double Recurrence::Rate() const {
  // So long that all shapes of a year come, where it is by years.
  const std::int64_t days = frequency_ == Frequency::kYearly ? 10'227 * std::min<std::int64_t>(interval_, 14) : 1461;
  const Seconds from = std::min(start_, EndOfDays() - days * kDay);
  return static_cast<double>(CountInAll(from, from + days * kDay)) / static_cast<double>(days * kDay);
}

Seconds Recurrence::LeastDistance() const {
  if (positions_.size() == 1) return kDay;
  const std::vector<Seconds>& times = drifts_ ? offsets_ : times_;
  if (times.empty()) return kDay;
  // Of neighbours, and of the last of a day with the first of the next.
  Seconds least = std::min(kDay, times.front() - times.back() + (drifts_ ? step_ : kDay));
  for (std::size_t i = 1; i < times.size(); ++i) least = std::min(least, times[i] - times[i - 1]);
  return least;
}

// ---------------------------------------------------------------- with RDATE and EXDATE

RecurrenceSet::RecurrenceSet(std::optional<Recurrence> rule, std::vector<Seconds> more, std::vector<Seconds> without)
    : rule_(std::move(rule)), more_(std::move(more)), without_(std::move(without)) {
  const auto order = [](std::vector<Seconds>* times) {
    std::sort(times->begin(), times->end());
    times->erase(std::unique(times->begin(), times->end()), times->end());
  };
  order(&more_);
  order(&without_);
  const auto of_rule = [&](Seconds at) { return rule_ && rule_->Next(at) == at; };
  std::erase_if(more_,
                [&](Seconds at) { return of_rule(at) || std::binary_search(without_.begin(), without_.end(), at); });
  std::erase_if(without_, [&](Seconds at) { return !of_rule(at); });
}

std::optional<Seconds> RecurrenceSet::Next(Seconds from) const {
  auto next = rule_ ? rule_->Next(from) : std::nullopt;
  while (next && std::binary_search(without_.begin(), without_.end(), *next)) next = rule_->Next(*next + 1);
  const auto more = std::lower_bound(more_.begin(), more_.end(), from);
  if (more != more_.end() && (!next || *more < *next)) return *more;
  return next;
}

std::optional<Seconds> RecurrenceSet::Last(Seconds before) const {
  auto last = rule_ ? rule_->Last(before) : std::nullopt;
  while (last && std::binary_search(without_.begin(), without_.end(), *last)) last = rule_->Last(*last);
  const auto more = std::lower_bound(more_.begin(), more_.end(), before);
  if (more != more_.begin() && (!last || *std::prev(more) > *last)) return *std::prev(more);
  return last;
}

std::int64_t RecurrenceSet::Count(Seconds from, Seconds to) const {
  if (from >= to) return 0;
  const auto in = [&](const std::vector<Seconds>& times) {
    return std::lower_bound(times.begin(), times.end(), to) - std::lower_bound(times.begin(), times.end(), from);
  };
  return (rule_ ? rule_->Count(from, to) : 0) + in(more_)-in(without_);
}

Seconds RecurrenceSet::LeastDistance() const { return rule_ ? rule_->LeastDistance() : kDay; }

}  // namespace escapement
