// Clocks of a process. Only the driver and the tests read them; everything else is told the time.
#pragma once

#include <chrono>

#include "escapement/time.h"

namespace escapement {

// Time since boot, suspended time included (CLOCK_BOOTTIME): a frozen machine cannot believe its lease still runs.
struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now();
};
using BootTime = BootClock::time_point;

}  // namespace escapement
