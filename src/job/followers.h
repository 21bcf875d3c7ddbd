// Which jobs run after which.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "job/failures.h"

namespace escapement {

// Something is triggered when an occurrence of it is settled so or so.
inline bool HasFollowers(const JobDefinition& job) {
  return !job.on_success.empty() || !job.on_failure.empty() || !job.on_end.empty() || job.overlap == Overlap::kAllow;
}

// The jobs to be triggered with this row of history, each once. An occurrence that is handed on triggers its own job,
// and that run has its fire time; what runs after the job comes when that has ended.
inline std::vector<std::string> FollowersOf(const JobDefinition& job, Verdict verdict, std::int64_t settles) {
  std::vector<std::string> names;
  const auto add = [&names](const std::vector<std::string>& more) {
    for (const std::string& name : more) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  };
  if (settles == 0) return names;
  if (verdict == Verdict::kHandedOn) return {job.id};
  if (verdict == Verdict::kSucceeded) add(job.on_success);
  if (FailedForGood(verdict, settles)) add(job.on_failure);
  if (verdict == Verdict::kSucceeded || verdict == Verdict::kCancelled || FailedForGood(verdict, settles)) {
    add(job.on_end);
  }
  return names;
}

// Refuses followers that would come round to a job of `jobs` again, naming the way, and those that are not there.
// `stored` gives a job as it is in the store, or none. Errors of it are returned.
[[nodiscard]] Status CheckFollowers(
    const std::vector<JobDefinition>& jobs,
    const std::function<Result<std::optional<JobDefinition>>(const std::string& id)>& stored);

}  // namespace escapement
