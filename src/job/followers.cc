#include "job/followers.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "time/quoted.h"

namespace escapement {
namespace {

constexpr std::size_t kLongestWay = 1000;  // of jobs that run after each other

using Names = std::vector<std::string>;

Names AllFollowers(const JobDefinition& job) {
  Names names = job.on_success;
  names.insert(names.end(), job.on_failure.begin(), job.on_failure.end());
  names.insert(names.end(), job.on_end.begin(), job.on_end.end());
  return names;
}

class Walk {
 public:
  using Stored = std::function<Result<std::optional<JobDefinition>>(const std::string& id)>;
  Walk(const std::vector<JobDefinition>& jobs, const Stored& stored) : stored_(stored) {
    for (const JobDefinition& job : jobs) followers_[job.id] = AllFollowers(job);
  }

  // Looks at all that comes after `id`; `way` leads to it.
  Status From(const std::string& id, Names& way) {
    if (const auto it = std::find(way.begin(), way.end(), id); it != way.end()) {
      std::string text;
      for (auto at = it; at != way.end() && text.size() < 400; ++at) text += Quoted(*at, 60) + " -> ";
      return Fail(Code::kInvalidArgument,
                  fmt::format("jobs may not run after each other in a circle: {}{}", text, Quoted(id, 60)));
    }
    if (done_.contains(id)) return {};
    if (way.size() >= kLongestWay) return Fail(Code::kInvalidArgument, "more than 1000 jobs run after each other");
    auto followers = followers_.find(id);
    if (followers == followers_.end()) {
      auto job = stored_(id);
      if (!job) return tl::unexpected(job.error());
      if (!*job) {
        return Fail(Code::kInvalidArgument,
                    fmt::format("job '{}' is to be followed by '{}', which is not there: create that first",
                                way.empty() ? "" : Quoted(way.back(), 200), Quoted(id, 200)));
      }
      followers = followers_.emplace(id, AllFollowers(**job)).first;
    }
    way.push_back(id);
    for (const std::string& next : followers->second) {
      if (auto s = From(next, way); !s) return s;
    }
    way.pop_back();
    done_.insert(id);
    return {};
  }

 private:
  const Stored& stored_;
  std::map<std::string, Names> followers_;
  std::set<std::string> done_;
};

}  // namespace

Status CheckFollowers(const std::vector<JobDefinition>& jobs,
                      const std::function<Result<std::optional<JobDefinition>>(const std::string& id)>& stored) {
  Walk walk(jobs, stored);
  for (const JobDefinition& job : jobs) {
    Names way;
    if (!HasFollowers(job)) continue;
    if (auto s = walk.From(job.id, way); !s) return s;
  }
  return {};
}

}  // namespace escapement
