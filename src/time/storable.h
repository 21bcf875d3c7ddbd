// Instants as stores hold them.
#pragma once

#include <chrono>

#include "escapement/time.h"

namespace escapement {

// The years 1970 to 10999, and the second before (a cursor may lie just before the first point). Sums of such an
// instant and any duration of a job are far from overflow.
constexpr bool IsStorable(Instant instant) {
  constexpr Instant kFirst = Instant(std::chrono::seconds(-1));
  constexpr Instant kEnd = std::chrono::sys_days(std::chrono::year(11000) / 1 / 1);
  return instant >= kFirst && instant < kEnd;
}

}  // namespace escapement
