// The world of the simulation, for tests: what pods must never do fails the test.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "sim/world.h"

namespace escapement {

using sim::Call;
using sim::CallKind;
using sim::Fate;
using sim::kEpoch;
using sim::SimPod;
using sim::Started;
using sim::Task;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class World : public sim::World {
 public:
  using PodSetup = sim::PodSetup;

  World() {
    on_breach = [](const std::string& what) { ADD_FAILURE() << what; };
    Maintain();
  }

  void Enqueue(const std::vector<JobDefinition>& jobs) {
    const auto outcome = admin().Enqueue(jobs);
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_TRUE(admin().Maintain({}));
    Tell(nullptr, Wake::kJobs);
  }
  Audit AuditUntil(Instant end, Instant from = kEpoch + seconds(1)) {
    const auto audit = admin().AuditWindow("", from, end);
    EXPECT_TRUE(audit);
    return *audit;
  }
  std::vector<RunInfo> Runs(const std::string& id) {  // the oldest first
    auto runs = *admin().Runs({.job_id = id, .fire_from = {}, .fire_to = {}, .limit = 1'000'000});
    std::reverse(runs.begin(), runs.end());
    return runs;
  }
  JobInfo Get(const std::string& id) {
    const auto info = admin().Get(id);
    EXPECT_TRUE(info);
    return info ? *info
                : JobInfo{.definition = {id, *Schedule::At(kEpoch), ""},
                          .created_at = {},
                          .cursor = {},
                          .fire_time = {},
                          .owner_pod = {}};
  }
  SessionId SessionOf(const std::string& pod) {
    const auto pods = *admin().Pods();
    const auto it = std::find_if(pods.begin(), pods.end(), [&](const PodInfo& p) { return p.name == pod; });
    return it == pods.end() ? 0 : it->session;
  }

  std::vector<Started> StartsOf(const std::string& job) const {
    std::vector<Started> out;
    std::copy_if(starts.begin(), starts.end(), std::back_inserter(out), [&](const Started& s) { return s.job == job; });
    return out;
  }
  std::size_t StartsBetween(Duration from, Duration to, const std::string& pod = "") const {
    return static_cast<std::size_t>(std::count_if(starts.begin(), starts.end(), [&](const Started& s) {
      return s.at >= from && s.at < to && (pod.empty() || s.pod == pod);
    }));
  }
  std::vector<Call> CallsOf(CallKind kind, const std::string& pod = "") const {
    std::vector<Call> out;
    std::copy_if(calls.begin(), calls.end(), std::back_inserter(out),
                 [&](const Call& c) { return c.kind == kind && (pod.empty() || c.pod == pod); });
    return out;
  }
  // Occurrences of which more than one attempt of the same number was started.
  std::size_t StartedTwice() const {
    std::map<std::tuple<std::string, Instant, int>, int> seen;
    for (const Started& s : starts) ++seen[{s.job, s.fire_time, s.attempt}];
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [](const auto& e) { return e.second > 1; }));
  }

 private:
  void Maintain() {  // what the leader does
    EXPECT_TRUE(admin().Maintain({}));
    After(seconds(1), [this] { Maintain(); });
  }
};

// A job every `interval`, on the grid of the epoch.
inline JobDefinition EveryJob(std::string id, Duration interval, Duration phase = Duration(0)) {
  return {.id = std::move(id),
          .schedule = *Schedule::Every({.interval = interval, .anchor = kEpoch, .phase = phase}),
          .task = "task"};
}
inline JobDefinition OnceJob(std::string id, Duration at) {
  return {.id = std::move(id), .schedule = *Schedule::At(kEpoch + at), .task = "task"};
}

}  // namespace escapement
