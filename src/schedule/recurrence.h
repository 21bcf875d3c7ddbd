// Recurrence rules of RFC 5545 as sets of local times: counted by months and days, never one by one from their start.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <vector>

#include "schedule/local_points.h"

namespace escapement {

enum class Frequency { kYearly, kMonthly, kWeekly, kDaily, kHourly, kMinutely, kSecondly };

struct RuleWeekday {
  int weekday = 0;  // 0 is Sunday
  int nth = 0;      // of the month or the year, from its end if negative; 0: all
};

// The parts of an RRULE, as they are given. An empty part leaves it to the start, or to the frequency.
struct Rule {
  Frequency frequency = Frequency::kDaily;
  int interval = 1;
  std::optional<std::int64_t> count = {};
  std::optional<Seconds> until = {};  // the last local time that may be
  int week_start = 1;                 // 0 is Sunday
  std::uint16_t months = 0;           // bit n: month n
  std::vector<int> weeks = {};        // -53 to 53
  std::vector<int> year_days = {};    // -366 to 366
  std::vector<int> month_days = {};   // -31 to 31
  std::vector<RuleWeekday> weekdays = {};
  std::uint32_t hours = 0;  // bit n: hour n
  std::uint64_t minutes = 0;
  std::uint64_t seconds = 0;
  std::vector<int> positions = {};  // -366 to 366: which of the points of a year, month, ... as BYSETPOS has it
};

// Immutable. What RFC 5545 leaves open: the start is a point only if the rule has it; weeks by number belong to the
// year that has most of them, and without a BYDAY it is the start's weekday; hours, minutes and seconds go by what the
// clock on the wall shows.
class Recurrence final : public LocalPoints {
 public:
  Recurrence(const Rule& rule, Seconds start);

  std::optional<Seconds> Next(Seconds from) const override;
  std::optional<Seconds> Last(Seconds before) const override;
  std::int64_t Count(Seconds from, Seconds to) const override;

  // Points a second in the long run, as if it never ended.
  double Rate() const;
  // The least distance of two points, as far as times of day tell; at most a day.
  Seconds LeastDistance() const;

 private:
  void SetDays(const Rule& rule);
  void SetTimes(const Rule& rule);
  std::optional<Seconds> NextInAll(Seconds from) const;
  std::int64_t CountInAll(Seconds from, Seconds to) const;

  // Months have an index: 12 * year + month - 1.
  bool HasMonth(int index) const;
  std::uint32_t DaysOf(int index) const;
  std::uint32_t Weekdays(int year, unsigned month, std::int64_t first) const;
  std::uint32_t DaysInWeeks(std::int64_t first, unsigned length) const;
  std::int64_t WeekBegin(std::int64_t day) const;
  int WeekYear(std::int64_t day) const;
  std::vector<Seconds> ChosenIn(int index) const;
  void ChooseIn(std::int64_t begin, std::int64_t end, std::vector<Seconds>* chosen) const;

  std::int64_t TimesIn(std::int64_t day, Seconds low, Seconds high) const;
  std::optional<Seconds> FirstTime(std::int64_t day, Seconds low) const;
  std::optional<Seconds> LastTime(std::int64_t day, Seconds high) const;
  bool Begins(Seconds time) const;
  Seconds NextBegin(Seconds begin) const;
  Seconds LastBegin(Seconds begin) const;
  Seconds FirstBegin(std::int64_t day) const { return FloorModOfStep(origin_ - day * 86'400); }
  Seconds FloorModOfStep(Seconds at) const;

  Frequency frequency_;
  Seconds interval_;
  Seconds start_;
  Seconds end_;  // no point at or after it

  // Days.
  std::uint16_t months_ = 0x1FFE;
  bool by_month_day_ = false;
  std::uint32_t month_days_ = 0;       // bit n: day n
  std::uint32_t last_month_days_ = 0;  // bit n: the n-th from the last, which is 1
  bool by_weekday_ = false;
  std::uint8_t weekdays_ = 0;
  std::vector<RuleWeekday> nth_weekdays_;
  bool nth_of_year_ = false;
  bool by_year_day_ = false;
  std::bitset<367> year_days_, last_year_days_;
  bool by_week_ = false;
  std::uint64_t weeks_ = 0, last_weeks_ = 0;
  std::int64_t week_anchor_ = 0;  // a day on which a week begins
  int start_year_ = 0;            // by which every interval-th is counted; of its week, if weeks are
  int start_month_ = 0;           // index
  std::int64_t start_day_ = 0;

  // Times of a day. The same on all days: times_. Else they begin each step_ seconds, across midnight.
  std::vector<Seconds> times_;
  bool drifts_ = false;
  Seconds origin_ = 0;
  Seconds step_ = 1;
  std::vector<Seconds> offsets_;  // from where an hour, minute or second begins that counts
  std::uint32_t hours_ = 0;       // which of those count
  std::uint64_t minutes_ = 0;
  std::uint64_t seconds_ = 0;
  std::vector<std::uint32_t> whole_days_;  // how many times a day has, by its FirstBegin; empty: they are few

  std::vector<int> positions_;  // of years, months and weeks; those of shorter ones are among the times already
};

// A rule, if there is one, with more local times, and without some.
class RecurrenceSet final : public LocalPoints {
 public:
  RecurrenceSet(std::optional<Recurrence> rule, std::vector<Seconds> more, std::vector<Seconds> without);
  std::optional<Seconds> Next(Seconds from) const override;
  std::optional<Seconds> Last(Seconds before) const override;
  std::int64_t Count(Seconds from, Seconds to) const override;
  double Rate() const { return rule_ ? rule_->Rate() : 0; }
  Seconds LeastDistance() const;

 private:
  std::optional<Recurrence> rule_;
  std::vector<Seconds> more_;     // sorted; none of the rule's
  std::vector<Seconds> without_;  // sorted; all the rule's
};

}  // namespace escapement
