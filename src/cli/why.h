// What became, or will become, of one instant of a job.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"

namespace escapement {

struct WhyAnswer {
  enum class Kind {
    kSettled,         // it has a verdict
    kSkipped,         // alone or in a stretch; `runs` has that row
    kUnderWay,        // its pod runs it, or is about to
    kRetry,           // waits for its next attempt
    kOverdue,         // its time has come, and no pod has it
    kPaused,          // its time has come while the job is paused: the resumption skips it
    kWaiting,         // its time has come, but an earlier occurrence is not settled yet
    kToCome,          // its time has not come
    kNotAPoint,       // the schedule has no such point
    kBeforeCreation,  // the job was created later
    kBeyondHistory,   // settled, but the row is no longer, or was never, in the history
  };
  Kind kind = Kind::kNotAPoint;
  std::string text;               // a sentence
  std::vector<RunInfo> runs;      // the rows of history that tell of it, the oldest first
  std::optional<Instant> before;  // kNotAPoint: the nearest points
  std::optional<Instant> after;
};
std::string_view WhyName(WhyAnswer::Kind kind);  // "settled", "not_a_point"

// Pure. `runs`: the job's history rows that begin at `instant`, and any that cover it, in any order; `now`: by the
// store's clock.
WhyAnswer Explain(const JobInfo& job, std::vector<RunInfo> runs, Instant instant, Instant now);

}  // namespace escapement
