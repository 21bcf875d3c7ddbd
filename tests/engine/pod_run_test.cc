// Runs: when they start, how they end, what users change meanwhile.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> Jobs(const std::vector<Started>& starts) {
  std::vector<std::string> out;
  for (const Started& s : starts) out.push_back(s.job);
  return out;
}
std::vector<Verdict> Verdicts(const std::vector<RunInfo>& runs) {
  std::vector<Verdict> out;
  for (const RunInfo& r : runs) out.push_back(r.verdict);
  return out;
}
void ExpectConserved(World& world, Duration margin = seconds(2)) {
  const Audit audit = world.AuditUntil(world.StoreNow() - margin);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodRun, AJobThatFiresAgainWithinTheHorizonStaysOwned) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(200))});
  world.RunUntil(seconds(1));
  const Fence fence = world.Get("j").fence;
  world.RunUntil(seconds(20));
  EXPECT_EQ(world.Get("j").fence, fence) << "no claim between runs";
  EXPECT_THAT(world.starts, SizeIs(testing::Ge(99u)));
  ExpectConserved(world);
}

TEST(PodRun, AJobThatFiresBeyondTheHorizonIsHandedBackAtItsCommit) {
  World world;
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", seconds(10))});
  world.RunUntil(milliseconds(10'500));
  EXPECT_EQ(a.pod().Counters().owned, 0u);
  EXPECT_EQ(world.Get("j").owner_pod, std::nullopt);
  world.RunUntil(seconds(31));
  EXPECT_THAT(world.starts, SizeIs(4));
}

TEST(PodRun, StartsOnTimeWhileTheCommitBeforeItIsStillUnderWay) {
  World world;
  world.fate = [commits = 0](const SimPod&, CallKind kind) mutable {
    return kind == CallKind::kCommit && ++commits % 5 == 0 ? Fate{.delay = milliseconds(550)} : Fate{};
  };
  world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(300))});
  world.RunUntil(seconds(20));
  EXPECT_GE(world.starts.size(), 65u);
  for (std::size_t i = 1; i < world.starts.size(); ++i) {
    EXPECT_LE(kEpoch + world.starts[i].at - world.starts[i].fire_time, milliseconds(1));
  }
  EXPECT_EQ(world.StartedTwice(), 0u);
}

TEST(PodRun, RunsAheadOfASlowStoreByTwoRunsAtMost) {
  World world;
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kCommit ? Fate{.delay = milliseconds(1'700)} : Fate{};
  };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(300))});
  for (int i = 1; i <= 200; ++i) {
    world.RunUntil(milliseconds(100 * i));
    EXPECT_LE(a.pod().Counters().outbox, 5u);  // two runs and the skips around them
  }
  EXPECT_GE(world.starts.size(), 5u);
}

TEST(PodRun, OccurrencesOfAJobNeverOverlap) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(350)}; };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(200))});
  world.RunUntil(seconds(10));
  EXPECT_EQ(a.most_running(), 1u);
  ExpectConserved(world);
}

TEST(PodRun, TheHigherPriorityStartsFirstThenTheEarlier) {
  World world;
  world.Add("a", {.options = {.max_running = 1}});
  std::vector<JobDefinition> jobs = {OnceJob("low", seconds(3)), OnceJob("high-late", seconds(3) + microseconds(50)),
                                     OnceJob("high", seconds(3)), OnceJob("middle", seconds(3)),
                                     OnceJob("first", milliseconds(2'995))};
  jobs[1].priority = jobs[2].priority = 10;
  jobs[3].priority = 5;
  world.Enqueue(jobs);
  world.RunUntil(seconds(5));
  EXPECT_THAT(Jobs(world.starts), ElementsAre("first", "high", "high-late", "middle", "low"));
}

TEST(PodRun, NoMoreRunThanItHasSlots) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(300)}; };
  SimPod& a = world.Add("a", {.options = {.max_running = 3}});
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(OnceJob("j" + std::to_string(i), seconds(3)));
  world.Enqueue(jobs);
  world.RunUntil(seconds(8));
  EXPECT_EQ(a.most_running(), 3u);
  EXPECT_THAT(world.starts, SizeIs(20));
}

TEST(PodRun, ClaimsNoMoreOfWhatIsDueThanItsFreeSlotsCanStart) {
  World world;
  world.task = [](const Started&) { return Task{.duration = seconds(30)}; };
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(OnceJob("j" + std::to_string(i), seconds(1)));
  world.Enqueue(jobs);
  world.RunUntil(seconds(2));
  world.Add("a", {.options = {.max_running = 3}});
  world.RunUntil(seconds(4));
  EXPECT_THAT(world.starts, SizeIs(3));
  for (const Call& call : world.CallsOf(CallKind::kClaim)) EXPECT_LE(call.claim.limit, 3);
  world.Add("b");  // finds what the first left to others
  world.RunUntil(seconds(6));
  EXPECT_THAT(world.starts, SizeIs(20));
}

TEST(PodRun, WhatWaitedTooLongForASlotIsSubjectToItsLatePolicy) {
  World world;
  world.Add("a", {.options = {.max_running = 1}});
  world.task = [](const Started& s) { return Task{.duration = s.job == "long" ? seconds(5) : milliseconds(1)}; };
  JobDefinition tick = EveryJob("tick", seconds(1), milliseconds(500));
  tick.late = LatePolicy::kSkip;
  tick.late_threshold = milliseconds(800);
  JobDefinition once = OnceJob("long", milliseconds(1'499));
  once.priority = 10;
  world.Enqueue({tick, once});
  world.RunUntil(seconds(8));
  const auto starts = world.StartsOf("tick");
  // 1.5 to 5.5 s were due while the slot was taken; at 6.5 s all but the last were later than their threshold.
  ASSERT_GE(starts.size(), 2u);
  for (const Started& s : starts) EXPECT_LE(kEpoch + s.at - s.fire_time, milliseconds(801)) << s.at.count();
  std::int64_t skipped = 0;
  for (const RunInfo& run : world.Runs("tick")) {
    if (run.verdict == Verdict::kSkippedMisfired) skipped += run.settles;
  }
  EXPECT_GE(skipped, 4);
}

TEST(PodRun, AFailedAttemptIsRepeatedAfterItsDelayAndSettlesNothing) {
  World world;
  world.task = [](const Started& s) {
    return s.attempt < 3 ? Task{.verdict = Verdict::kFailed, .error = "no"} : Task{};
  };
  world.Add("a");
  JobDefinition job = OnceJob("j", seconds(3));
  job.retry = {.max_attempts = 4, .delay = milliseconds(100), .factor = 3};
  world.Enqueue({job});
  world.RunUntil(seconds(6));
  ASSERT_THAT(world.starts, SizeIs(3));
  EXPECT_GE(world.starts[1].at - world.starts[0].at, milliseconds(110));
  EXPECT_LE(world.starts[1].at - world.starts[0].at, milliseconds(112));
  EXPECT_GE(world.starts[2].at - world.starts[1].at, milliseconds(310));
  const auto runs = world.Runs("j");
  EXPECT_THAT(Verdicts(runs), ElementsAre(Verdict::kFailed, Verdict::kFailed, Verdict::kSucceeded));
  EXPECT_EQ(runs[0].settles + runs[1].settles, 0);
  EXPECT_EQ(runs[2].settles, 1);
  ASSERT_THAT(world.reports, SizeIs(3));
  EXPECT_TRUE(world.reports[0].retried);
  EXPECT_EQ(world.reports[0].error, "no");
  EXPECT_FALSE(world.reports[2].retried);
}

TEST(PodRun, TheLastFailedAttemptIsTheVerdict) {
  World world;
  world.task = [](const Started&) { return Task{.verdict = Verdict::kFailed, .error = "no"}; };
  world.Add("a");
  JobDefinition job = EveryJob("j", seconds(1));
  job.retry = {.max_attempts = 2, .delay = milliseconds(10)};
  world.Enqueue({job});
  world.RunUntil(seconds(10));
  for (const RunInfo& run : world.Runs("j")) EXPECT_EQ(run.settles, run.attempt == 2 ? 1 : 0);
  ExpectConserved(world);
}

TEST(PodRun, ADeadlineEndsTheAttemptUnderWayAndNoneFollows) {
  World world;
  world.task = [](const Started& s) {
    return s.attempt == 1 ? Task{.verdict = Verdict::kFailed, .error = "no"} : Task{.hangs = true};
  };
  world.Add("a");
  JobDefinition job = OnceJob("j", seconds(3));
  job.retry = {.max_attempts = 5, .delay = milliseconds(100)};
  job.timeout = seconds(30);
  job.deadline = milliseconds(700);
  world.Enqueue({job});
  world.RunUntil(seconds(6));
  ASSERT_THAT(world.starts, SizeIs(2));
  ASSERT_THAT(world.cancelled, SizeIs(1));
  const auto runs = world.Runs("j");
  EXPECT_THAT(Verdicts(runs), ElementsAre(Verdict::kFailed, Verdict::kTimedOut));
  EXPECT_EQ(runs[1].settles, 1);
  EXPECT_GE(*runs[1].finished_at, runs[1].fire_time + milliseconds(700));
  EXPECT_LE(*runs[1].finished_at, runs[1].fire_time + milliseconds(720));
}

TEST(PodRun, ATimeoutCancelsAndIsTheVerdict) {
  World world;
  world.task = [](const Started&) { return Task{.hangs = true}; };
  world.Add("a");
  JobDefinition job = OnceJob("j", seconds(3));
  job.timeout = milliseconds(500);
  world.Enqueue({job});
  world.RunUntil(seconds(5));
  ASSERT_THAT(world.cancelled, SizeIs(1));
  const auto runs = world.Runs("j");
  EXPECT_THAT(Verdicts(runs), ElementsAre(Verdict::kTimedOut));
  EXPECT_GE(*runs[0].finished_at - *runs[0].started_at, milliseconds(500));
  EXPECT_LE(*runs[0].finished_at - *runs[0].started_at, milliseconds(503));
}

TEST(PodRun, ARunThatIgnoresItsCancellationIsGivenUpAndItsSlotIsFree) {
  World world;
  world.task = [](const Started& s) { return s.job == "hangs" ? Task{.hangs = true, .ignores_cancel = true} : Task{}; };
  SimPod& a = world.Add("a", {.options = {.max_running = 1, .cancel_grace = seconds(2)}});
  JobDefinition hangs = OnceJob("hangs", seconds(3));
  hangs.timeout = milliseconds(500);
  world.Enqueue({hangs, OnceJob("next", milliseconds(3'100))});
  world.RunUntil(milliseconds(5'490));
  EXPECT_THAT(world.StartsOf("next"), IsEmpty());
  world.RunUntil(milliseconds(5'600));
  EXPECT_THAT(world.StartsOf("next"), SizeIs(1));
  EXPECT_EQ(a.pod().Counters().running, 0u);
  EXPECT_THAT(Verdicts(world.Runs("hangs")), ElementsAre(Verdict::kTimedOut));
  EXPECT_THAT(world.Runs("hangs")[0].error, HasSubstr("ignored"));
}

TEST(PodRun, ACancelledRunEndsAtOnceAndTheScheduleGoesOn) {
  World world;
  world.task = [](const Started& s) { return Task{.duration = hours(1), .hangs = s.fire_time < kEpoch + seconds(5)}; };
  world.Add("a");
  JobDefinition job = EveryJob("j", seconds(10));
  job.retry.max_attempts = 3;
  world.Enqueue({job});
  ASSERT_TRUE(world.RunUntil([&] { return !world.starts.empty(); }, seconds(30)));
  world.RunFor(milliseconds(200));
  ASSERT_TRUE(world.admin().Cancel("j"));
  world.Tell(nullptr, Wake::kJobs);
  world.RunFor(milliseconds(300));
  const auto runs = world.Runs("j");
  EXPECT_THAT(Verdicts(runs), ElementsAre(Verdict::kCancelled)) << "no other attempt, and no wait for a heartbeat";
  EXPECT_EQ(runs.at(0).settles, 1);
  EXPECT_NE(runs.at(0).error, "");
}

TEST(PodRun, ARunThatIgnoresItsCancellationIsGivenUp) {
  World world;
  world.task = [](const Started&) { return Task{.hangs = true, .ignores_cancel = true}; };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(1))});
  ASSERT_TRUE(world.RunUntil([&] { return !world.starts.empty(); }, seconds(30)));
  world.RunFor(seconds(1));
  ASSERT_TRUE(world.admin().Cancel("j"));
  world.RunFor(seconds(10));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kCancelled));
  EXPECT_EQ(a.pod().Counters().running, 0u);
}

TEST(PodRun, WhatWaitsForAPlaceAmongTheRunsIsCancelledWithoutAStart) {
  World world;
  world.task = [](const Started&) { return Task{.duration = seconds(20)}; };
  SimPod& a = world.Add("a", {.options = {.max_running = 1}});
  JobDefinition once = OnceJob("at most once", milliseconds(3'200));
  once.delivery = Delivery::kAtMostOnce;
  world.Enqueue({OnceJob("holds", seconds(3)), OnceJob("waits", milliseconds(3'100)), once,
                 OnceJob("after", milliseconds(3'300))});
  world.RunUntil(seconds(5));
  for (const char* job : {"waits", "at most once"}) ASSERT_TRUE(world.admin().Cancel(job));
  world.Tell(nullptr, Wake::kJobs);
  world.RunFor(milliseconds(300));
  for (const char* job : {"waits", "at most once"}) {
    EXPECT_THAT(Verdicts(world.Runs(job)), ElementsAre(Verdict::kCancelled));
    EXPECT_EQ(world.Runs(job).at(0).started_at, std::nullopt);
  }
  world.RunUntil(seconds(60));
  EXPECT_THAT(world.starts, SizeIs(2));
  EXPECT_THAT(Verdicts(world.Runs("holds")), ElementsAre(Verdict::kSucceeded));
  EXPECT_THAT(Verdicts(world.Runs("after")), ElementsAre(Verdict::kSucceeded));
  EXPECT_EQ(a.most_running(), 1u);
  ExpectConserved(world);
}

TEST(PodRun, AMarkOfAnotherAttemptCancelsNothingThatWaits) {
  World world;
  world.task = [](const Started& s) {
    return s.job == "holds" ? Task{.duration = seconds(20)} : Task{.verdict = Verdict::kFailed, .error = "no"};
  };
  world.Add("a", {.options = {.max_running = 1}});
  JobDefinition job = OnceJob("j", seconds(2));
  job.retry = {.max_attempts = 2, .delay = seconds(1)};
  // The first attempt has ended, and its commit is held up, when the user asks to cancel it.
  world.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kCommit && world.t() < milliseconds(2'500) ? Fate{.delay = seconds(4)} : Fate{};
  };
  world.Enqueue({job, OnceJob("holds", milliseconds(2'700))});
  world.RunUntil(milliseconds(2'400));
  ASSERT_THAT(world.StartsOf("j"), SizeIs(1));
  ASSERT_TRUE(world.admin().Cancel("j"));
  world.RunUntil(milliseconds(3'500));
  world.Tell(nullptr, Wake::kJobs);
  world.RunUntil(seconds(60));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kFailed, Verdict::kFailed));
}

TEST(PodRun, ACancellationThatComesTooLateHarmsNoLaterRun) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(150)}; };
  // Commits are slow: the store still shows a run that ended long ago.
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kCommit ? Fate{.delay = milliseconds(900)} : Fate{};
  };
  world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(200))});
  for (int i = 1; i < 100; ++i) {
    world.RunUntil(milliseconds(170 * i));
    (void)world.admin().Cancel("j");
    world.Tell(nullptr, Wake::kJobs);
  }
  world.RunFor(seconds(3));
  for (const RunInfo& run : world.Runs("j")) {
    if (run.verdict == Verdict::kCancelled) {
      EXPECT_LT(*run.finished_at - *run.started_at, milliseconds(150));
    }
  }
  ExpectConserved(world, seconds(10));
}

TEST(PodRun, ATriggeredRunStartsAtOnceBesideTheSchedule) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("j", hours(1), seconds(1800))});
  world.RunFor(seconds(5));
  ASSERT_TRUE(world.admin().Trigger("j", std::nullopt));
  world.Tell(nullptr, Wake::kJobs);
  world.RunFor(milliseconds(100));
  ASSERT_THAT(world.starts, SizeIs(1));
  const auto runs = world.Runs("j");
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_TRUE(runs[0].triggered);
  EXPECT_EQ(world.Get("j").settled_total, 0);
}

TEST(PodRun, ARunThatSucceedsAfterItsTimeoutSucceeded) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(600), .ignores_cancel = true}; };
  world.Add("a");
  JobDefinition job = OnceJob("j", seconds(3));
  job.timeout = milliseconds(500);
  world.Enqueue({job});
  world.RunUntil(seconds(5));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kSucceeded));
}

// --- at most once

JobDefinition AtMostOnce(JobDefinition job) {
  job.delivery = Delivery::kAtMostOnce;
  return job;
}

TEST(PodAtMostOnce, TheMarkIsDurableBeforeTheStart) {
  World world;
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kBegin ? Fate{.delay = milliseconds(80)} : Fate{};
  };
  world.Add("a");
  world.Enqueue({AtMostOnce(OnceJob("j", seconds(3)))});
  world.RunUntil(seconds(5));
  ASSERT_THAT(world.CallsOf(CallKind::kBegin), SizeIs(1));
  ASSERT_THAT(world.starts, SizeIs(1));
  EXPECT_EQ(world.starts[0].at, world.CallsOf(CallKind::kBegin)[0].at + milliseconds(80));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kSucceeded));
}

TEST(PodAtMostOnce, ARunWhosePodDiedIsLostAndNeverRunAgain) {
  World world;
  world.task = [](const Started&) { return Task{.hangs = true}; };
  SimPod& a = world.Add("a");
  world.Enqueue({AtMostOnce(OnceJob("j", seconds(3)))});
  world.RunUntil(seconds(4));
  ASSERT_THAT(world.starts, SizeIs(1));
  world.Add("b");
  a.Kill();
  world.RunUntil(seconds(16));
  EXPECT_THAT(world.starts, SizeIs(1));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kLost));
}

TEST(PodAtMostOnce, AnAtLeastOnceRunWhosePodDiedIsRunAgain) {
  World world;
  world.task = [](const Started& s) { return Task{.hangs = s.pod == "a"}; };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(3))});
  world.RunUntil(seconds(4));
  world.Add("b");
  a.Kill();
  world.RunUntil(seconds(16));
  EXPECT_THAT(world.starts, SizeIs(2));
  EXPECT_THAT(Verdicts(world.Runs("j")), ElementsAre(Verdict::kSucceeded));
}

TEST(PodAtMostOnce, NothingStartsWhenTheMarkIsRefused) {
  World world;
  world.wakes_arrive = false;
  SimPod& a = world.Add("a");
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kBegin ? Fate{.delay = milliseconds(200)} : Fate{};
  };
  world.Enqueue({AtMostOnce(OnceJob("j", seconds(3)))});
  ASSERT_TRUE(world.RunUntil([&] { return !world.CallsOf(CallKind::kBegin).empty(); }, seconds(5)));
  ASSERT_TRUE(world.admin().EndSession(world.SessionOf("a")));  // before the mark is set
  world.RunFor(seconds(10));
  // Started by the second mark, which the pod's new session set.
  ASSERT_THAT(world.CallsOf(CallKind::kBegin), SizeIs(2));
  ASSERT_THAT(world.StartsOf("j"), SizeIs(1));
  EXPECT_EQ(world.starts[0].at, world.CallsOf(CallKind::kBegin)[1].at + milliseconds(200));
  EXPECT_EQ(a.pod().Counters().sessions, 2u);
}

TEST(PodAtMostOnce, AMarkWhoseReplyWasLostIsAskedForAgain) {
  World world;
  int n = 0;
  world.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kBegin && ++n == 1 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
  world.Add("a");
  world.Enqueue({AtMostOnce(OnceJob("j", seconds(3)))});
  world.RunUntil(seconds(6));
  EXPECT_EQ(n, 2);
  EXPECT_THAT(world.starts, SizeIs(1));
}

TEST(PodAtMostOnce, NoMoreAreMarkedThanHaveASlot) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(100)}; };
  world.Add("a", {.options = {.max_running = 2}});
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(AtMostOnce(OnceJob("j" + std::to_string(i), seconds(3))));
  world.Enqueue(jobs);
  world.RunUntil(seconds(6));
  for (const Call& call : world.CallsOf(CallKind::kBegin)) EXPECT_LE(call.at, seconds(5));
  EXPECT_GE(world.CallsOf(CallKind::kBegin).size(), 5u);
  EXPECT_THAT(world.starts, SizeIs(10));
}

TEST(PodAtMostOnce, WaitsForTheCommitOfTheOccurrenceBefore) {
  World world;
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kCommit ? Fate{.delay = milliseconds(150)} : Fate{};
  };
  world.Add("a");
  world.Enqueue({AtMostOnce(EveryJob("j", milliseconds(100)))});
  world.RunUntil(seconds(2));
  const Fence fence = world.Get("j").fence;
  world.RunUntil(seconds(10));
  EXPECT_EQ(world.Get("j").fence, fence) << "it was handed back";
  EXPECT_GT(world.starts.size(), 25u);
  ExpectConserved(world);
}

TEST(PodAtMostOnce, ManyMarksDoNotHoldUpCommits) {
  World world;
  SimPod& a = world.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 200; ++i)
    jobs.push_back(AtMostOnce(EveryJob("j" + std::to_string(i), milliseconds(200), milliseconds(1) * i)));
  world.Enqueue(jobs);
  world.RunUntil(seconds(5));
  EXPECT_LE(a.pod().Counters().outbox, 100u);
  EXPECT_GT(a.pod().Counters().committed, 3'000u);
}

// --- what users change

TEST(PodChange, APausedJobThatRunsIsSettledAndStartsNoMore) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(2'500)}; };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", seconds(5))});
  world.RunUntil(milliseconds(5'100));
  ASSERT_EQ(a.running(), 1u);
  ASSERT_TRUE(world.admin().Pause("j"));
  world.RunUntil(seconds(14));
  EXPECT_THAT(Verdicts(world.Runs("j")), Contains(Verdict::kSucceeded).Times(2));
  EXPECT_EQ(world.Get("j").owner_pod, std::nullopt);
  EXPECT_THAT(world.starts, SizeIs(2));
  ASSERT_TRUE(world.admin().Resume("j"));
  world.RunUntil(seconds(30));
  EXPECT_EQ(Verdicts(world.Runs("j"))[2], Verdict::kSkippedPaused);
  EXPECT_GE(world.starts.size(), 4u);
  ExpectConserved(world, seconds(8));
}

TEST(PodChange, APausedJobThatWaitsIsHandedBackWithinAHeartbeat) {
  World world;
  SimPod& a = world.Add("a");
  JobDefinition job = OnceJob("j", seconds(4));
  world.Enqueue({job});
  world.RunUntil(milliseconds(2'200));
  ASSERT_EQ(a.pod().Counters().owned, 1u);
  ASSERT_TRUE(world.admin().Pause("j"));
  world.RunUntil(milliseconds(3'900));
  EXPECT_EQ(a.pod().Counters().owned, 0u);
  world.RunUntil(seconds(8));
  EXPECT_THAT(world.starts, IsEmpty());
}

TEST(PodChange, ARemovedJobThatRunsIsSettled) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(2'000)}; };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", seconds(5))});
  world.RunUntil(milliseconds(5'100));
  ASSERT_TRUE(world.admin().Remove("j"));
  world.RunUntil(seconds(20));
  EXPECT_THAT(world.starts, SizeIs(2));
  EXPECT_THAT(Verdicts(world.Runs("j")), Contains(Verdict::kSucceeded).Times(2));
  EXPECT_EQ(a.pod().Counters().owned, 0u);
  EXPECT_THAT(world.cancelled, IsEmpty());
}

TEST(PodChange, AnUpdatedJobRunsByItsNewDefinition) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("j", seconds(1))});
  world.RunUntil(milliseconds(5'500));
  world.Enqueue({EveryJob("j", milliseconds(250))});
  world.RunUntil(milliseconds(7'600));
  const std::size_t before = world.starts.size();
  world.RunUntil(milliseconds(12'600));
  EXPECT_EQ(world.starts.size() - before, 20u);
  EXPECT_EQ(world.StartedTwice(), 0u);
  ExpectConserved(world);
}

// --- late policies

TEST(PodLate, ASkippedStretchIsCommittedBeforeTheRunThatFollows) {
  for (const LatePolicy late : {LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll}) {
    World world;
    JobDefinition job = EveryJob("j", milliseconds(500));
    job.late = late;
    job.late_limit = 3;
    world.Enqueue({job});
    world.RunUntil(milliseconds(10'200));  // nobody runs it
    world.Add("a");
    world.RunUntil(seconds(15));
    const auto runs = world.Runs("j");
    ASSERT_GE(runs.size(), 5u);
    EXPECT_EQ(runs[0].verdict, Verdict::kSkippedMisfired);
    EXPECT_GE(runs[0].settles, 16);
    for (std::size_t i = 1; i < runs.size(); ++i) {
      EXPECT_EQ(runs[i].verdict, Verdict::kSucceeded);
      EXPECT_GT(runs[i].fire_time, runs[i - 1].last_fire);
    }
    const auto late_starts =
        static_cast<int>(std::count_if(world.starts.begin(), world.starts.end(),
                                       [](const Started& s) { return s.fire_time < kEpoch + milliseconds(9'700); }));
    EXPECT_EQ(late_starts, late == LatePolicy::kSkip ? 0 : late == LatePolicy::kRunOnce ? 1 : 3);
    ExpectConserved(world);
  }
}

}  // namespace
}  // namespace escapement
