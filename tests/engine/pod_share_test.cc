// Fair shares: load evens out, and pods do not fight over jobs.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::vector<JobDefinition> EqualJobs(int n) {
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < n; ++i) jobs.push_back(EveryJob("j" + std::to_string(i), seconds(1), seconds(1) * i / n));
  return jobs;
}

std::vector<std::uint64_t> Owned(std::initializer_list<SimPod*> pods) {
  std::vector<std::uint64_t> owned;
  for (SimPod* pod : pods) owned.push_back(pod->pod().Counters().owned);
  return owned;
}

TEST(PodShare, ThreePodsShareNinetyNineJobsEqually) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  SimPod& c = world.Add("c");
  world.Enqueue(EqualJobs(99));
  world.RunFor(seconds(12));
  EXPECT_THAT(Owned({&a, &b, &c}), ElementsAre(33, 33, 33));
  const auto fences = [&] {
    std::vector<Fence> out;
    for (int i = 0; i < 99; ++i) out.push_back(world.Get("j" + std::to_string(i)).fence);
    return out;
  };
  const auto before = fences();
  world.RunFor(seconds(30));
  EXPECT_THAT(Owned({&a, &b, &c}), ElementsAre(33, 33, 33));
  EXPECT_EQ(fences(), before) << "a fight over jobs";
  EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(1)).missing, 0);
  EXPECT_EQ(world.StartedTwice(), 0u);
}

TEST(PodShare, PodsThatComeOneAfterTheOtherEndEqual) {
  World world;
  SimPod& a = world.Add("a");
  world.Enqueue(EqualJobs(99));
  world.RunFor(seconds(5));
  EXPECT_THAT(Owned({&a}), ElementsAre(99));
  SimPod& b = world.Add("b");
  world.RunFor(seconds(5));
  EXPECT_THAT(Owned({&a, &b}), UnorderedElementsAre(49, 50));
  SimPod& c = world.Add("c");
  world.RunFor(seconds(6));
  EXPECT_THAT(Owned({&a, &b, &c}), ElementsAre(33, 33, 33));
  EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(1)).missing, 0);
}

TEST(PodShare, AFourthPodGetsItsShareByWhatTheOthersShedAtCommits) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  SimPod& c = world.Add("c");
  world.Enqueue(EqualJobs(99));
  world.RunFor(seconds(12));
  SimPod& d = world.Add("d");
  world.RunFor(seconds(6));
  EXPECT_THAT(Owned({&a, &b, &c, &d}), UnorderedElementsAre(25, 25, 25, 24));
  world.RunFor(seconds(10));
  EXPECT_THAT(Owned({&a, &b, &c, &d}), UnorderedElementsAre(25, 25, 25, 24));
  EXPECT_EQ(world.CallsOf(CallKind::kRelease).size(), 0u) << "shed at commits, not by releases";
  EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(1)).missing, 0);
  EXPECT_EQ(world.StartedTwice(), 0u);
}

TEST(PodShare, APodAtItsShareTakesImminentJobsOnly) {
  World world;
  world.Add("a");
  world.Add("b");
  world.Enqueue(EqualJobs(10));
  world.RunFor(seconds(10));
  const Duration since = world.t();
  world.RunFor(seconds(10));
  for (const Call& call : world.CallsOf(CallKind::kClaim)) {
    EXPECT_TRUE(call.at < since || call.claim.horizon < seconds(1));
  }
}

TEST(PodShare, WhatAPodLeavesBehindIsTakenByTheOthers) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  SimPod& c = world.Add("c");
  world.Enqueue(EqualJobs(99));
  world.RunFor(seconds(12));
  c.Stop(seconds(1));
  world.RunFor(seconds(5));
  EXPECT_THAT(Owned({&a, &b}), UnorderedElementsAre(49, 50));
  EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(1)).missing, 0);
  EXPECT_EQ(world.StartedTwice(), 0u);
}

TEST(PodShare, AJobThatNobodyOwnsIsRunInTimeEvenByPodsAtTheirShare) {
  World world;
  world.Add("a");
  world.Enqueue(EqualJobs(5));
  world.RunFor(seconds(5));
  world.wakes_arrive = false;
  world.Enqueue({OnceJob("once", seconds(8))});
  world.RunFor(seconds(5));
  ASSERT_EQ(world.StartsOf("once").size(), 1u);
  EXPECT_LE(world.StartsOf("once")[0].at, seconds(8) + milliseconds(1));
}

}  // namespace
}  // namespace escapement
