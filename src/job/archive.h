// Jobs and their history as they are carried from one store to another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "job/settle.h"

namespace escapement {

// The reign of one version of a job's schedule: it planned the points in (after, until].
struct Reign {
  int version = 1;
  Schedule grid;  // anchored
  Instant after;
  std::optional<Instant> until;  // none: it reigns still
  friend bool operator==(const Reign&, const Reign&) = default;
};

// A job without its owner and fence, which belong to one store.
struct ArchivedJob {
  JobDefinition definition;
  JobState state = JobState::kActive;  // never kRemoved
  Present present;
  std::int64_t settled_total = 0;
  std::vector<Reign> reigns;  // by time; a version that never planned has none
  // Of a store that keeps only so many rows of a job: the greatest instant whose history was dropped. No archive has
  // it.
  std::optional<Instant> dropped = {};
  // Why the job cannot be carried: a newer program wrote a definition or a schedule that this one does not know. The
  // definition is its id alone then, or the reigns are not complete.
  std::string unreadable = {};
  friend bool operator==(const ArchivedJob&, const ArchivedJob&) = default;
};

// A place in the order in which runs are exported: by job id, fire time, attempt, time of settling.
struct RunPosition {
  std::string job_id;
  Instant fire_time;
  int attempt = 0;
  Instant settled_at;
  friend auto operator<=>(const RunPosition&, const RunPosition&) = default;
};
inline RunPosition PositionOf(const RunInfo& run) { return {run.job_id, run.fire_time, run.attempt, run.settled_at}; }

// The same whatever store it comes from: of a finished job, the fire time and the time to look are its cursor, and what
// belonged to its last occurrence is gone.
ArchivedJob AtRest(ArchivedJob job);

// For stores whose tasks cannot complete an occurrence, so that they have no place for the mark: kInvalidArgument
// naming the job that has it.
[[nodiscard]] Status CheckNoneCompleted(const std::vector<ArchivedJob>& jobs);

// kInvalidArgument naming the job: a bad definition, an id given twice, a state that no job rests in, reigns that are
// none, out of order or end before the last.
[[nodiscard]] Status ValidateArchive(const std::vector<ArchivedJob>& jobs);

}  // namespace escapement
