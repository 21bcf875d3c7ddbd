// What an outcome makes of an occurrence: pure decisions, shared by the engine, the stores and the simulation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "escapement/job.h"
#include "escapement/time.h"

namespace escapement {

using JobKey = std::int64_t;  // of one creation of a job: a removed job's key never comes back
using Fence = std::int64_t;

// A job's row as far as decisions need it.
struct Present {
  Instant created_at;
  Instant cursor;     // the last settled instant
  Instant fire_time;  // of the occurrence to settle
  Instant due_at;     // the time to look: fire_time, or the next attempt's time
  int attempt = 1;
  int version = 1;
  int lost = 0;          // pods that died with this occurrence
  int failures = 0;      // occurrences in a row, up to the last one, that failed, timed out or were lost
  bool begun = false;    // at_most_once: a started mark is set
  bool to_plan = false;  // the definition changed: plan anew from max(cursor, planned_from)
  Instant planned_from;  // time of the last change of the definition
  // When its task completed the occurrence in a transaction of its own: it has succeeded, and is only to be settled.
  std::optional<Instant> completed_at = {};
  friend bool operator==(const Present&, const Present&) = default;
};

// What the row becomes. No fire_time: the job is finished.
struct Plan {
  Instant cursor;
  std::optional<Instant> fire_time;
  Instant due_at;
  int attempt = 1;
  int failures = 0;    // see Present
  bool pause = false;  // too many failures in a row: the job is paused with this
};

// A row of history.
struct RunRecord {
  Instant fire_time;
  Instant last_fire;
  int attempt = 1;
  Verdict verdict = Verdict::kSucceeded;
  std::int64_t settles = 1;
  std::optional<Instant> started_at = {};
  std::optional<Instant> finished_at = {};
  std::string error = {};
  std::string output = {};
};

struct Outcome {
  Verdict verdict = Verdict::kSucceeded;
  std::optional<Instant> started_at = {};
  std::optional<Instant> finished_at = {};
  std::string error = {};
  std::string output = {};
};

struct Settlement {
  std::optional<RunRecord> run;
  Plan next;
  bool retried = false;
};

// The row of history and the next plan after an attempt ended with `outcome` at store time `now`.
// A failed or timed-out attempt that is to be tried again settles nothing: the same occurrence is due again later.
Settlement Settle(const JobDefinition& job, const Present& present, const Outcome& outcome, Instant now);

// What must be settled before the job's occurrence may start at store time `now`, if anything: a new plan after a
// change of definition, an occurrence that its task completed, one lost with its pod, one past its deadline or
// replaced by the next, a stretch that is too late, one that is handed on to a run of its own. Apply it and ask again.
std::optional<Settlement> SettleBeforeStart(const JobDefinition& job, const Present& present, Instant now);

// The stretch of points in [present.fire_time, until) as one row with this verdict, and the plan after it.
// None when there is no point.
std::optional<Settlement> SkipStretch(const JobDefinition& job, const Present& present, Instant until, Verdict verdict);

// The definition of a child row that runs `job` once more at `fire_time`, with a payload of its own if one is given.
// kInvalidArgument for a payload that no job may have.
Result<JobDefinition> TriggeredDefinition(const JobDefinition& job, Instant fire_time,
                                          const std::optional<std::string>& payload);

inline constexpr std::string_view kReplacedText = "replaced: the next occurrence was due";

// A run of the present occurrence was started, or may have been: a change of definition leaves it as it is.
bool WasStarted(const Present& present);

// The present after a settlement was applied.
Present Advance(const Present& present, const Plan& next);

// When the first attempt at the occurrence may start: later than its fire time by its jitter and by the job's place in
// its flex window. The same for whoever asks. `key` decides the place: jobs that are made one after the other spread
// evenly over a window, and none moves when others come or go.
Instant StartAt(const JobDefinition& job, JobKey key, Instant fire_time);

// The job's own late policy, else the usual one of its schedule.
LatePolicy LateOf(const JobDefinition& job);

// Lateness beyond which the late policy applies: the job's own threshold, else its interval, at most 60 s.
Duration LateThreshold(const JobDefinition& job);

// Delay between the end of attempt `attempt` of an occurrence and the next: see RetryPolicy.
Duration RetryDelay(const JobDefinition& job, Instant fire_time, int attempt);

// The instant at which nothing of the occurrence may run any more; none if the job has no deadline.
std::optional<Instant> DeadlineOf(const JobDefinition& job, Instant fire_time);

}  // namespace escapement
