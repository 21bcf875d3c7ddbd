// Days by number and by date, and sets of small numbers as masks.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>

#include "time/zone.h"

namespace escapement {

inline constexpr Seconds kDay = 86'400;

struct Date {
  int year;
  unsigned month;  // 1 to 12
  unsigned day;    // 1 to 31
};

inline std::int64_t FloorDiv(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
// In [0, b).
inline std::int64_t FloorMod(std::int64_t a, std::int64_t b) { return a - FloorDiv(a, b) * b; }

// Days since 1970-01-01.
inline std::int64_t DayNumber(int year, unsigned month, unsigned day) {
  return std::chrono::sys_days(std::chrono::year(year) / static_cast<int>(month) / static_cast<int>(day))
      .time_since_epoch()
      .count();
}

inline Date DateOf(std::int64_t day_number) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day_number))};
  return {static_cast<int>(date.year()), static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day())};
}

inline unsigned LengthOf(int year, unsigned month) {
  constexpr unsigned kLengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && std::chrono::year(year).is_leap() ? 29 : kLengths[month - 1];
}

// 0 is Sunday. 1970-01-01 was a Thursday.
inline int WeekdayOf(std::int64_t day_number) { return static_cast<int>(FloorMod(day_number + 4, 7)); }

template <typename Bits>
Bits From(Bits bits, int low) {  // those at or above `low`
  return low >= static_cast<int>(sizeof(Bits) * 8) ? Bits{0} : static_cast<Bits>(bits >> low << low);
}
template <typename Bits>
Bits Below(Bits bits, int high) {
  return static_cast<Bits>(bits & ~From(static_cast<Bits>(~Bits{0}), high));
}
template <typename Bits>
int Lowest(Bits bits) {
  return std::countr_zero(bits);
}
template <typename Bits>
int Highest(Bits bits) {
  return std::bit_width(bits) - 1;
}

}  // namespace escapement
