// SIGTERM: what waits is handed back at once, what runs gets its grace, and the end comes in bounded time.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(PodStop, AnIdlePodStopsAtOnceAndEndsItsSession) {
  World world;
  SimPod& a = world.Add("a");
  world.RunUntil(seconds(5));
  a.Stop(seconds(30));
  EXPECT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(5) + milliseconds(1'500)));
  EXPECT_EQ(world.SessionOf("a"), 0);
}

TEST(PodStop, APodThatNeverReachedTheStoreStopsAtOnce) {
  World world;
  world.store_down = true;
  SimPod& a = world.Add("a");
  world.RunUntil(seconds(5));
  a.Stop(seconds(30));
  EXPECT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(6)));
}

TEST(PodStop, WaitingJobsAreReleasedAtOnceAndRunByOthersInTime) {
  World world;
  SimPod& a = world.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(EveryJob("j" + std::to_string(i), seconds(1), milliseconds(50) * i));
  world.Enqueue(jobs);
  world.RunUntil(seconds(5));
  world.Add("b");
  world.RunUntil(milliseconds(5'400));
  a.Stop(seconds(30));
  ASSERT_TRUE(world.RunUntil([&] { return a.stopped(); }, milliseconds(5'500)));
  world.RunUntil(seconds(12));
  for (const Started& s : world.starts) {
    EXPECT_TRUE(s.at < seconds(1) || kEpoch + s.at - s.fire_time <= milliseconds(100)) << s.pod;
  }
  EXPECT_EQ(world.StartedTwice(), 0u);
  EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(1)).missing, 0);
  for (int i = 0; i < 20; ++i) {
    for (const RunInfo& run : world.Runs("j" + std::to_string(i))) EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  }
}

TEST(PodStop, RunsGetTheirGraceAndAreCommitted) {
  World world;
  world.task = [](const Started&) { return Task{.duration = seconds(2)}; };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", seconds(3))});
  world.RunUntil(milliseconds(3'500));
  ASSERT_EQ(a.running(), 1u);
  a.Stop(seconds(10));
  const std::size_t started = world.starts.size();
  ASSERT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(6)));
  EXPECT_GE(world.t(), seconds(5));
  EXPECT_EQ(world.starts.size(), started);
  EXPECT_THAT(world.cancelled, IsEmpty());
  EXPECT_EQ(world.Runs("j").back().fire_time, kEpoch + seconds(3));
  EXPECT_EQ(world.SessionOf("a"), 0);
  EXPECT_EQ(world.Get("j").owner_pod, std::nullopt);
}

TEST(PodStop, WhatOutlivesTheGraceIsCancelledAndRunsAgainElsewhere) {
  World world;
  world.task = [](const Started& s) { return Task{.hangs = s.pod == "a"}; };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(3))});
  world.RunUntil(seconds(4));
  world.Add("b");
  a.Stop(seconds(1));
  ASSERT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(6)));
  EXPECT_THAT(world.cancelled, SizeIs(1));
  world.RunFor(seconds(2));
  EXPECT_THAT(world.StartsOf("j"), SizeIs(2));
  EXPECT_THAT(world.Runs("j"), SizeIs(1));
  EXPECT_EQ(world.Runs("j")[0].verdict, Verdict::kSucceeded);
}

TEST(PodStop, ARunThatIgnoresItsCancellationDoesNotHoldTheStopUp) {
  World world;
  world.task = [](const Started&) { return Task{.hangs = true, .ignores_cancel = true}; };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(3))});
  world.RunUntil(seconds(4));
  a.Stop(seconds(1));
  EXPECT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(9)));
  EXPECT_EQ(world.SessionOf("a"), 0);
}

TEST(PodStop, AStopInAnOutageEndsInBoundedTime) {
  for (const bool running : {false, true}) {
    World world;
    world.task = [&](const Started&) { return Task{.hangs = running}; };
    SimPod& a = world.Add("a");
    world.Enqueue({EveryJob("j", milliseconds(500)), EveryJob("k", milliseconds(500))});
    world.RunUntil(milliseconds(5'200));
    world.store_down = true;
    a.Stop(seconds(2));
    EXPECT_TRUE(world.RunUntil([&] { return a.stopped(); }, milliseconds(5'200) + seconds(2) + seconds(4)));
  }
}

TEST(PodStop, AShortOutageDuringTheStopLosesNothing) {
  World world;
  SimPod& a = world.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i)
    jobs.push_back(EveryJob("j" + std::to_string(i), milliseconds(200), milliseconds(10) * i));
  world.Enqueue(jobs);
  world.RunUntil(seconds(5));
  world.store_down = true;
  world.RunFor(milliseconds(500));
  a.Stop(seconds(5));
  world.RunFor(seconds(1));
  world.store_down = false;
  ASSERT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(9)));
  world.Add("b");
  world.RunFor(seconds(4));
  EXPECT_EQ(world.StartedTwice(), 0u);
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(1));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodStop, AMarkInDoubtAtTheStopIsNotAskedForAgain) {
  World world;
  SimPod& a = world.Add("a");
  JobDefinition job = OnceJob("j", seconds(3));
  job.delivery = Delivery::kAtMostOnce;
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kBegin ? Fate{.kind = Fate::Kind::kRefused, .delay = milliseconds(100)} : Fate{};
  };
  world.Enqueue({job});
  ASSERT_TRUE(world.RunUntil([&] { return !world.CallsOf(CallKind::kBegin).empty(); }, seconds(4)));
  a.Stop(seconds(2));
  ASSERT_TRUE(world.RunUntil([&] { return a.stopped(); }, seconds(6)));
  EXPECT_THAT(world.CallsOf(CallKind::kBegin), SizeIs(1));
  world.fate = [](const SimPod&, CallKind) { return Fate{}; };
  world.Add("b");
  world.RunFor(seconds(3));
  EXPECT_THAT(world.starts, SizeIs(1)) << "by another pod";
}

}  // namespace
}  // namespace escapement
