// Queues that rest.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

JobDefinition InQueue(JobDefinition job, const std::string& queue) {
  job.queue = queue;
  return job;
}

World::PodSetup BothQueues() { return {.options = {.queues = {"default", "mail"}}}; }

void Rest(World& world, const std::optional<std::string>& queue) {
  ASSERT_TRUE(world.admin().PauseQueue(queue));
  world.Tell(nullptr, Wake::kJobs);
}
void GoOn(World& world, const std::optional<std::string>& queue) {
  ASSERT_TRUE(world.admin().ResumeQueue(queue));
  world.Tell(nullptr, Wake::kJobs);
}

std::size_t Between(const World& world, const std::string& job, Duration from, Duration to) {
  const auto starts = world.StartsOf(job);
  return static_cast<std::size_t>(
      std::count_if(starts.begin(), starts.end(), [&](const Started& s) { return s.at >= from && s.at < to; }));
}

TEST(PodQueues, AQueueRestsAndTheOthersGoOn) {
  World world;
  world.Add("a", BothQueues());
  world.Add("b", BothQueues());
  JobDefinition mail = InQueue(EveryJob("mail", milliseconds(200)), "mail");
  mail.late = LatePolicy::kSkip;
  world.Enqueue({mail, EveryJob("other", milliseconds(200)), InQueue(EveryJob("seldom", hours(1)), "mail")});
  world.RunUntil(seconds(5));
  Rest(world, "mail");
  world.RunUntil(seconds(20));
  GoOn(world, "mail");
  world.RunUntil(seconds(30));
  EXPECT_EQ(Between(world, "mail", milliseconds(5'200), seconds(20)), 0u);
  EXPECT_GE(Between(world, "other", seconds(5), seconds(20)), 74u);
  EXPECT_GE(Between(world, "mail", milliseconds(20'400), seconds(30)), 47u) << "it goes on at once";
  // What passed is late by the job's own policy: one row, with its count.
  std::int64_t skipped = 0;
  for (const RunInfo& run : world.Runs("mail")) skipped += run.verdict == Verdict::kSkippedMisfired ? run.settles : 0;
  EXPECT_GE(skipped, 70);
  const Audit audit = world.AuditUntil(seconds(28) + kEpoch);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST(PodQueues, EverythingRests) {
  World world;
  world.Add("a", BothQueues());
  world.Enqueue({InQueue(EveryJob("mail", milliseconds(200)), "mail"), EveryJob("other", milliseconds(200))});
  world.RunUntil(seconds(5));
  Rest(world, std::nullopt);
  world.RunUntil(seconds(10));
  EXPECT_EQ(world.StartsBetween(milliseconds(5'200), seconds(10)), 0u);
  EXPECT_EQ(world.Get("mail").owner_pod, std::nullopt) << "pods hand back what waits";
  GoOn(world, std::nullopt);
  world.RunUntil(seconds(15));
  EXPECT_GE(world.StartsBetween(milliseconds(10'400), seconds(15)), 40u);
}

TEST(PodQueues, WhatRunsGoesOnToItsEnd) {
  World world;
  world.Add("a");
  world.task = [](const Started&) { return Task{.duration = seconds(3)}; };
  world.Enqueue({EveryJob("long", seconds(10))});
  ASSERT_TRUE(world.RunUntil([&] { return !world.starts.empty(); }, seconds(15)));
  Rest(world, "default");
  world.RunUntil(world.t() + seconds(20));
  EXPECT_THAT(world.starts, SizeIs(1));
  EXPECT_THAT(world.cancelled, IsEmpty());
  const auto runs = world.Runs("long");
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs[0].verdict, Verdict::kSucceeded);
}

TEST(PodQueues, PodsDoNotAskForWhatTheyWouldHandBack) {
  World world;
  world.Add("a", BothQueues());
  world.Enqueue({InQueue(EveryJob("mail", milliseconds(200)), "mail"), EveryJob("other", milliseconds(200))});
  world.RunUntil(seconds(5));
  Rest(world, "mail");
  world.RunUntil(seconds(6));
  const std::size_t releases = world.CallsOf(CallKind::kRelease).size();
  world.RunUntil(seconds(20));
  EXPECT_EQ(world.CallsOf(CallKind::kRelease).size(), releases);
  for (const Call& call : world.CallsOf(CallKind::kClaim)) {
    if (call.at > seconds(6)) {
      EXPECT_THAT(call.claim.queues, testing::ElementsAre("default"));
    }
  }
  Rest(world, "default");
  world.RunUntil(seconds(21));
  const std::size_t claims = world.CallsOf(CallKind::kClaim).size();
  world.RunUntil(seconds(30));
  EXPECT_EQ(world.CallsOf(CallKind::kClaim).size(), claims);
}

TEST(PodQueues, AClaimThatArrivesAfterTheNewsIsHandedBack) {
  World world;
  world.Add("a");
  world.RunUntil(seconds(2));
  world.wakes_arrive = false;
  // The answer to the claim that takes the job is under way for longer than a heartbeat.
  bool taken = false;
  world.hold_up = [&](const SimPod&, CallKind kind) {
    const bool owned = world.admin().Get("j") && world.Get("j").owner_pod;
    if (kind != CallKind::kClaim || taken || !owned) return Duration(0);
    taken = true;
    return Duration(seconds(4));
  };
  world.Enqueue({OnceJob("j", seconds(3))});
  ASSERT_TRUE(world.RunUntil([&] { return taken; }, seconds(5)));
  ASSERT_TRUE(world.admin().PauseQueue("default"));
  world.RunUntil(seconds(15));
  EXPECT_THAT(world.starts, IsEmpty());
  ASSERT_TRUE(world.admin().ResumeQueue("default"));
  world.RunUntil(seconds(20));
  EXPECT_THAT(world.StartsOf("j"), SizeIs(1));
}

TEST(PodQueues, WhoeverIsCutOffStartsNothingForLongerThanItsTtl) {
  World world;
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(200))});
  world.RunUntil(seconds(5));
  a.cut = true;
  ASSERT_TRUE(world.admin().PauseQueue("default"));
  world.RunUntil(seconds(30));
  EXPECT_EQ(world.StartsBetween(seconds(10), seconds(30)), 0u);
  a.cut = false;
  world.RunUntil(seconds(40));
  EXPECT_EQ(world.StartsBetween(seconds(10), seconds(40)), 0u);
  ASSERT_TRUE(world.admin().ResumeQueue("default"));
  world.RunUntil(seconds(50));
  EXPECT_GE(world.StartsOf("j").size(), 40u);
  const Audit audit = world.AuditUntil(kEpoch + seconds(48));
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST(PodQueues, AJobThatFailsTooOftenIsPausedAndNoFurtherRunStarts) {
  World world;
  world.Add("a");
  world.task = [](const Started&) { return Task{.verdict = Verdict::kFailed, .error = "no"}; };
  JobDefinition job = EveryJob("j", milliseconds(20));
  job.pause_after = 5;
  world.Enqueue({job});
  world.RunUntil(seconds(10));
  EXPECT_THAT(world.starts, SizeIs(5)) << "however far a pod runs ahead of its commits";
  EXPECT_EQ(world.Get("j").state, JobState::kPaused);
  EXPECT_EQ(world.Get("j").failures, 5);
  EXPECT_EQ(world.admin().DeadLetters({})->size(), 5u);
  EXPECT_EQ(world.admin().DeadLetters({})->at(0).error, "no");
  ASSERT_TRUE(world.admin().Resume("j"));
  world.RunUntil(seconds(20));
  EXPECT_THAT(world.starts, SizeIs(10));
}

}  // namespace
}  // namespace escapement
