// How far runs have come, as stores keep it with the session that told it.
#pragma once

#include <string>
#include <vector>

#include "escapement/job.h"

namespace escapement {

// Empty when nothing was told.
std::string ProgressToJson(const std::vector<RunProgress>& progress);

struct SentProgress {
  std::string pod;
  std::string json;
};
// What the sessions sent, of one job or of all (no id), by job, fire time and attempt. What cannot be read is left out:
// these are words for people, and nothing is decided by them.
std::vector<RunProgress> ReadProgress(const std::vector<SentProgress>& sent, const std::string& job_id);

}  // namespace escapement
