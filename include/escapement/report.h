// What a pod tells about itself and its runs.
#pragma once

#include <cstdint>
#include <string>

#include "escapement/handler.h"
#include "escapement/job.h"
#include "escapement/time.h"

namespace escapement {

// One finished attempt, as given to callbacks.
struct RunReport {
  RunContext run;
  Verdict verdict = Verdict::kSucceeded;
  std::string error;
  std::string output;    // what the task printed, its last kOutputLimit bytes
  bool retried = false;  // another attempt follows
};

struct PodCounters {
  std::uint64_t started = 0;
  std::uint64_t committed = 0;  // completions that the store accepted
  std::uint64_t stale = 0;      // completions refused: another pod owns the occurrence
  std::uint64_t outbox = 0;     // completions that wait for their commit now
  std::uint64_t running = 0;    // now
  std::uint64_t owned = 0;      // jobs, now
  std::uint64_t sessions = 0;   // opened so far
  Duration lateness_max{0};     // start minus fire time, by the store's clock, since the last call
};

}  // namespace escapement
