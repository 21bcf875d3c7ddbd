// Unique keys of jobs that are carried from one store to another.
#pragma once

#include "job/archive.h"

namespace escapement {

// Whether a job holds its unique key: as long as it is not finished, and in its window.
inline bool HoldsItsKey(const ArchivedJob& job, Instant now) {
  const JobDefinition& d = job.definition;
  return !d.unique.empty() && (job.state != JobState::kFinished || job.present.created_at + d.unique_for > now);
}

}  // namespace escapement
