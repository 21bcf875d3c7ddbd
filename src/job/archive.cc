#include "job/archive.h"

#include <unordered_set>

#include <fmt/format.h>

namespace escapement {

ArchivedJob AtRest(ArchivedJob job) {
  if (job.state != JobState::kFinished) return job;
  Present& p = job.present;
  p.fire_time = p.due_at = p.cursor;
  p.attempt = 1;
  p.lost = 0;
  p.begun = false;
  p.completed_at.reset();
  return job;
}

Status CheckNoneCompleted(const std::vector<ArchivedJob>& jobs) {
  for (const ArchivedJob& job : jobs) {
    if (!job.present.completed_at) continue;
    return Fail(Code::kInvalidArgument,
                fmt::format("job '{}': its task completed an occurrence that is not settled yet, which only PostgreSQL "
                            "can keep: let a pod run where it comes from, then export again",
                            job.definition.id));
  }
  return {};
}

Status ValidateArchive(const std::vector<ArchivedJob>& jobs) {
  std::unordered_set<std::string_view> ids;
  for (const ArchivedJob& job : jobs) {
    if (const Status valid = Validate(job.definition); !valid) return valid;
    const auto bad = [&](const char* what) {
      return Fail(Code::kInvalidArgument, fmt::format("job '{}': {}", job.definition.id, what));
    };
    if (!ids.insert(job.definition.id).second) return bad("is given twice in one batch");
    if (job.state == JobState::kRemoved) return bad("a removed job cannot be imported");
    if (job.settled_total < 0) return bad("settled_total must not be negative");
    if (job.present.attempt < 1 || job.present.version < 1 || job.present.lost < 0 || job.present.failures < 0) {
      return bad("attempt and version must be at least 1, lost and failures not negative");
    }
    if (job.reigns.empty()) return bad("has no version that planned");
    for (std::size_t i = 0; i < job.reigns.size(); ++i) {
      const Reign& reign = job.reigns[i];
      const bool last = i + 1 == job.reigns.size();
      if (reign.until.has_value() == last) return bad("every version's reign but the last one's must have an end");
      if (reign.version > job.present.version) return bad("a version that planned is newer than the job");
      if (!last && reign.version >= job.reigns[i + 1].version) return bad("versions must be in order");
    }
  }
  return {};
}

}  // namespace escapement
