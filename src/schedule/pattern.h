// Local times by their parts: which seconds, minutes, hours and days a cron or a calendar schedule asks for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "schedule/local_points.h"

namespace escapement {

// Days of a month, said in any of several ways; a day counts if one of them has it.
struct DaySet {
  bool every = true;                     // all days; the rest is not looked at
  std::uint32_t days = 0;                // bit n: day n
  std::uint32_t from_last = 0;           // bit n: the n-th day before the last; bit 0: the last
  std::uint32_t nearest = 0;             // bit n: the workday nearest to day n, in months that have it
  bool last_workday = false;             //
  std::uint8_t weekdays = 0;             // bit n: weekday n, 0 is Sunday
  std::uint8_t last_weekdays = 0;        // bit n: the last weekday n
  std::array<std::uint8_t, 7> nth = {};  // of a weekday; bit n: the n-th, 1 to 5
  friend bool operator==(const DaySet&, const DaySet&) = default;
};

// Years low, low + step, ... up to high.
struct YearRange {
  int low = 0;
  int high = 0;
  int step = 1;
  friend bool operator==(const YearRange&, const YearRange&) = default;
};

class Pattern final : public LocalPoints {
 public:
  std::uint64_t seconds = 1;  // bit n: second n; none of the masks is empty
  std::uint64_t minutes = 1;
  std::uint32_t hours = 1;
  std::uint16_t months = 0x1FFE;
  DaySet month_days;
  DaySet week_days;
  bool either = false;                // a day of one of the two sets; else of both
  std::uint64_t weeks = 0;            // bit n: week n by ISO 8601; 0: any
  std::vector<YearRange> years = {};  // empty: any

  std::optional<Seconds> Next(Seconds from) const override;
  std::optional<Seconds> Last(Seconds before) const override;
  std::int64_t Count(Seconds from, Seconds to) const override;

  // Points a day with points has, and their least distance; across midnight, too.
  std::int64_t PointsADay() const;
  Seconds LeastDistance() const;
  // Of the days of a long time, whatever the years: how many have points.
  double ShareOfDays() const;

 private:
  std::uint32_t DaysOf(int year, unsigned month) const;
  std::int64_t Rank(int time_of_day) const;
  std::optional<int> NextTime(int time_of_day) const;
  std::optional<int> LastTime(int time_of_day) const;
  std::optional<int> NextYear(int year) const;
  std::optional<int> LastYear(int year) const;
};

}  // namespace escapement
