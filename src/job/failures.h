// What counts as a failure of a job: the same for the decision, for every store and for who reads the history.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "escapement/job.h"

namespace escapement {

// Settled without a run, so that a change of definition that came first undoes it.
inline bool WithoutRun(Verdict verdict) { return verdict >= Verdict::kSkippedMisfired; }

// An occurrence that ended so, and not only an attempt at it, has failed for good.
inline bool FailedForGood(Verdict verdict, std::int64_t settles) {
  return settles > 0 && (verdict == Verdict::kFailed || verdict == Verdict::kTimedOut || verdict == Verdict::kLost);
}

// Occurrences in a row that failed, once this row of history is written. What was cancelled or skipped says nothing of
// the job.
inline int FailuresAfter(int before, Verdict verdict, std::int64_t settles) {
  if (FailedForGood(verdict, settles)) return std::min(before, std::numeric_limits<int>::max() - 1) + 1;
  return verdict == Verdict::kSucceeded ? 0 : before;
}

}  // namespace escapement
