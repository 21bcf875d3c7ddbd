// Occurrences that failed for good: what is left of them until somebody deals with it.
#pragma once

#include <cstdint>
#include <string>

#include "escapement/job.h"
#include "escapement/time.h"

namespace escapement {

// Left by an occurrence, or a triggered run, whose last attempt failed, timed out or was lost; in the same transition
// that settles it. It stays when history is dropped and when its job is removed, until it is retried or discarded.
struct DeadLetter {
  std::int64_t id = 0;  // never given again; later letters of a job have greater ones
  std::string job_id;
  std::string payload;  // what the last attempt was given; empty unless it was asked for
  Instant fire_time;
  int attempts = 1;
  Verdict verdict = Verdict::kFailed;  // of the last attempt
  std::string error;
  bool triggered = false;  // a run that a user asked for, beside the schedule
  Instant settled_at;
  friend bool operator==(const DeadLetter&, const DeadLetter&) = default;
};

struct DeadLetterFilter {
  std::string job_id = {};    // empty: of all jobs
  std::int64_t after_id = 0;  // only ids greater than this one: the next page
  int limit = 100;            // the smallest ids first
  bool payloads = false;      // which may be large, or secret
};

}  // namespace escapement
