// Sessions: who may start runs, who is alive, and who says so.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Fate Refused() { return {.kind = Fate::Kind::kRefused}; }

TEST(PodSession, OpensOnceAndBeatsAtItsHeartbeat) {
  World world;
  world.Add("a");
  world.RunFor(seconds(30));
  EXPECT_THAT(world.CallsOf(CallKind::kOpen), SizeIs(1));
  const auto beats = world.CallsOf(CallKind::kBeat);
  for (std::size_t i = 1; i < beats.size(); ++i) EXPECT_LE(beats[i].at - beats[i - 1].at, milliseconds(1502));
  EXPECT_LE(beats.size(), 24u);
}

TEST(PodSession, IsOpenedAgainAndAgainWhileTheStoreIsAway) {
  World world;
  world.store_down = true;
  SimPod& a = world.Add("a");
  world.RunFor(seconds(20));
  EXPECT_FALSE(a.pod().live());
  EXPECT_LE(world.CallsOf(CallKind::kOpen).size(), 60u);
  world.store_down = false;
  world.RunFor(seconds(2));
  EXPECT_TRUE(a.pod().live());
}

TEST(PodSession, NoCallSpinsWhenTheStoreGoesAwayAfterTheOpening) {
  World world;  // the world counts idle steps
  SimPod& a = world.Add("a");
  ASSERT_TRUE(world.RunUntil([&] { return a.pod().live(); }, seconds(1)));
  world.store_down = true;
  world.RunFor(seconds(10));
  world.store_down = false;
  world.RunFor(seconds(2));
  EXPECT_TRUE(a.pod().live());
}

TEST(PodSession, NothingStartsAfterTheDeadlineAndReadyJobsStartAfterTheNextBeat) {
  World world;
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(500))});
  world.RunUntil(seconds(10));
  const Duration last_beat = world.CallsOf(CallKind::kBeat).back().at;
  world.fate = [](const SimPod&, CallKind kind) { return kind == CallKind::kBeat ? Refused() : Fate{}; };
  world.RunUntil(seconds(18));
  EXPECT_GT(world.StartsBetween(last_beat + seconds(4), last_beat + seconds(5)), 0u)
      << "the lease runs for its whole TTL";
  EXPECT_EQ(world.StartsBetween(last_beat + seconds(5), seconds(18)), 0u);
  world.fate = [](const SimPod&, CallKind) { return Fate{}; };
  EXPECT_TRUE(world.RunUntil([&] { return world.StartsBetween(seconds(18), seconds(99)) > 0; }, seconds(20)));
  EXPECT_EQ(a.pod().Counters().sessions, 1u);
  world.RunFor(seconds(5));
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(2));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodSession, ARunDecidedInTimeButReachedTooLateIsNotStarted) {
  World world;
  SimPod& a = world.Add("a", {.start_delay = milliseconds(20)});
  world.Enqueue({OnceJob("j", seconds(10))});
  ASSERT_TRUE(world.RunUntil([&] { return a.pod().Counters().started > 0; }, seconds(11)));
  a.Freeze();  // between the decision and the start
  world.RunFor(seconds(8));
  a.Resume();
  EXPECT_THAT(world.starts, IsEmpty());
  EXPECT_LE(a.pod().Counters().started, 1u);
  world.RunFor(seconds(3));
  EXPECT_THAT(world.starts, SizeIs(1));  // after a confirmed beat
  EXPECT_EQ(world.StartedTwice(), 0u);
}

TEST(PodSession, EndedByOthersEverythingIsCancelledAndItRejoins) {
  World world;
  world.task = [](const Started& s) {
    return s.job == "hangs" ? Task{.hangs = true} : Task{.duration = milliseconds(2'500)};
  };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("hangs", seconds(5)), OnceJob("ends", seconds(5))});
  world.RunUntil(milliseconds(5'500));
  ASSERT_THAT(world.starts, SizeIs(2));
  const SessionId first = world.SessionOf("a");
  ASSERT_TRUE(world.admin().EndSession(first));
  // Nothing is told to the pod before its next beat; what ends until then is refused.
  ASSERT_TRUE(world.RunUntil([&] { return a.pod().Counters().sessions == 2; }, seconds(9)));
  const RunId hanging = world.StartsOf("hangs").front().run;
  EXPECT_THAT(world.cancelled, Contains(std::make_pair(std::string("a"), hanging)));
  EXPECT_NE(world.SessionOf("a"), first);
  EXPECT_THAT(world.warnings, Contains(HasSubstr("ended by others")));
  world.task = [](const Started&) { return Task{}; };
  world.RunFor(seconds(5));
  // The new session ran both, and each was settled once.
  EXPECT_THAT(world.StartsOf("hangs"), SizeIs(2));
  EXPECT_THAT(world.Runs("hangs"), SizeIs(1));
  EXPECT_THAT(world.Runs("ends"), SizeIs(1));
}

TEST(PodSession, FinishedWorkOfAnEndedSessionIsStale) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(200)}; };
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(5))});
  ASSERT_TRUE(world.RunUntil([&] { return !world.starts.empty(); }, seconds(6)));
  ASSERT_TRUE(world.admin().EndSession(world.SessionOf("a")));
  ASSERT_TRUE(world.RunUntil([&] { return a.running() == 0; }, seconds(7)));
  world.RunFor(milliseconds(20));
  EXPECT_THAT(world.Runs("j"), IsEmpty());
  EXPECT_GE(a.pod().Counters().stale, 1u);
}

TEST(PodSession, AFrozenPodStartsNothingOnItsReturnAndIsRefused) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(100)}; };
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  world.Enqueue({EveryJob("j0", milliseconds(500)), EveryJob("j1", milliseconds(500), milliseconds(250))});
  world.RunUntil(seconds(10));
  ASSERT_TRUE(world.RunUntil([&] { return a.running() > 0; }, seconds(12)));  // frozen while it runs something
  a.Freeze();
  const Duration frozen = world.t();
  world.RunFor(seconds(10));
  const Duration resumed = world.t();
  EXPECT_GT(world.StartsBetween(frozen + seconds(7), resumed, "b"), 9u) << "b runs all of it now";
  a.Resume();
  EXPECT_TRUE(world.RunUntil([&] { return a.pod().Counters().sessions == 2; }, resumed + seconds(3)));
  EXPECT_EQ(world.StartsBetween(resumed, world.t(), "a"), 0u);
  EXPECT_GE(a.pod().Counters().stale, 1u);
  world.RunFor(seconds(10));
  EXPECT_GT(world.StartsBetween(world.t() - seconds(5), world.t(), "a"), 0u) << "and it takes its share again";
  EXPECT_EQ(b.pod().Counters().sessions, 1u);
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(2));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodSession, ADeadPodIsReclaimedAfterATtlOfUnchangedBeatsAndNotSooner) {
  for (int phase = 0; phase < 15; ++phase) {
    World world;
    SimPod& a = world.Add("a");
    world.RunFor(milliseconds(100) * phase);
    world.Add("b");
    world.Enqueue({EveryJob("j0", seconds(1)), EveryJob("j1", seconds(1), milliseconds(500))});
    world.RunUntil(seconds(12));
    ASSERT_TRUE(world.RunUntil([&] { return world.starts.back().pod == "a"; }, seconds(14)));
    a.Kill();
    const Duration killed = world.t();
    const Duration last_beat = world.CallsOf(CallKind::kBeat, "a").back().at;
    ASSERT_TRUE(world.RunUntil([&] { return !world.CallsOf(CallKind::kReclaim).empty(); }, seconds(30)));
    EXPECT_GE(world.t(), last_beat + seconds(5));
    EXPECT_LE(world.t(), killed + seconds(5) + milliseconds(1'510));  // G7
    world.RunFor(milliseconds(100));
    EXPECT_EQ(world.SessionOf("a"), 0);
    const Duration reclaimed = world.t();
    world.RunFor(seconds(4));
    EXPECT_GE(world.StartsBetween(reclaimed, world.t(), "b"), 7u);
    EXPECT_EQ(world.AuditUntil(world.StoreNow() - seconds(2)).missing, 0);
  }
}

TEST(PodSession, AfterAnOutageEveryoneWaitsATtlBeforeJudging) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  SimPod& c = world.Add("c");
  world.Enqueue({EveryJob("j0", seconds(1)), EveryJob("j1", seconds(1)), EveryJob("j2", seconds(1))});
  world.RunUntil(seconds(10));
  world.store_down = true;
  a.Kill();
  world.RunUntil(seconds(18));
  world.store_down = false;
  ASSERT_TRUE(world.RunUntil([&] { return !world.CallsOf(CallKind::kReclaim).empty(); }, seconds(40)));
  EXPECT_GE(world.t(), seconds(23));
  EXPECT_LE(world.t(), seconds(27));
  world.RunFor(seconds(5));
  EXPECT_EQ(world.SessionOf("a"), 0);
  EXPECT_EQ(b.pod().Counters().sessions, 1u) << "the living were not judged";
  EXPECT_EQ(c.pod().Counters().sessions, 1u);
}

TEST(PodSession, AShortOutageEndsNobodysSession) {
  for (int length = 1; length <= 12; ++length) {
    World world;
    SimPod& a = world.Add("a");
    world.RunFor(milliseconds(137) * length);
    SimPod& b = world.Add("b");
    world.RunUntil(seconds(10));
    world.store_down = true;
    world.RunFor(milliseconds(500) * length);
    world.store_down = false;
    world.RunFor(seconds(20));
    EXPECT_EQ(a.pod().Counters().sessions + b.pod().Counters().sessions, 2u) << length;
  }
}

TEST(PodSession, APodCutOffDoesNotJudgeTheOthersOnItsReturn) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  world.RunUntil(seconds(10));
  a.cut = true;
  world.RunFor(seconds(4));
  b.cut = true;
  a.cut = false;  // the last beat it saw of b is 4 s old
  world.RunFor(milliseconds(3'500));
  b.cut = false;
  world.RunFor(seconds(20));
  EXPECT_EQ(b.pod().Counters().sessions, 1u);
}

TEST(PodSession, AReclaimIsNotDoneWhenTheBeatMoved) {
  World world;
  SimPod& a = world.Add("a");
  SimPod& b = world.Add("b");
  world.RunUntil(seconds(10));
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kReclaim ? Fate{.delay = seconds(2)} : Fate{};
  };
  a.Freeze();
  ASSERT_TRUE(world.RunUntil([&] { return !world.CallsOf(CallKind::kReclaim).empty(); }, seconds(20)));
  a.Resume();  // beats before the reclaim arrives
  world.RunFor(seconds(10));
  EXPECT_EQ(a.pod().Counters().sessions, 1u);
  EXPECT_EQ(b.pod().Counters().sessions, 1u);
}

TEST(PodSession, AReclaimInDoubtIsAskedAgain) {
  World world;
  SimPod& a = world.Add("a");
  world.Add("b");
  world.Enqueue({EveryJob("j", seconds(1))});
  int lost = 0;
  world.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kReclaim && ++lost == 1 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
  world.RunUntil(seconds(10));
  a.Kill();
  world.RunFor(seconds(20));
  EXPECT_GE(lost, 1);
  EXPECT_EQ(world.SessionOf("a"), 0);
  EXPECT_GT(world.StartsBetween(seconds(25), seconds(30), "b"), 3u);
}

TEST(PodSession, LostRepliesToBeatsCostNothing) {
  World world;
  int n = 0;
  world.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kBeat && ++n % 2 == 0 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(500))});
  world.RunFor(seconds(30));
  EXPECT_EQ(a.pod().Counters().sessions, 1u);
  EXPECT_EQ(world.StartsOf("j").size(), 59u + 1u);
}

// Pod clocks may be wrong by any amount: the world checks each start against the store's clock.
TEST(PodClock, APodMayBootAtAnyTime) {
  for (const Duration boot :
       {Duration(0), Duration(1), Duration(hours(1)), Duration(hours(24 * 400)), Duration(hours(24 * 365 * 90))}) {
    World world;
    world.Add("a", {.boot = boot});
    world.Enqueue({EveryJob("j", seconds(1))});
    world.RunFor(seconds(5));
    const auto starts = world.StartsOf("j");
    ASSERT_GE(starts.size(), 4u);
    for (std::size_t i = 1; i < starts.size(); ++i)
      EXPECT_LE(kEpoch + starts[i].at - starts[i].fire_time, milliseconds(1));
  }
}

TEST(PodClock, SlowRepliesMakeNothingEarly) {
  World world;
  int n = 0;
  world.fate = [&](const SimPod&, CallKind) { return Fate{.delay = milliseconds(1 + 137 * (++n % 5))}; };
  world.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(EveryJob("j" + std::to_string(i), seconds(1), milliseconds(100) * i));
  world.Enqueue(jobs);
  world.RunFor(seconds(30));
  EXPECT_GT(world.starts.size(), 250u);
}

TEST(PodClock, AStoreClockSetForwardIsFollowed) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(500))});
  world.RunUntil(milliseconds(10'300));
  world.StepStoreClock(hours(1));
  world.RunFor(seconds(10));
  EXPECT_GE(world.StartsBetween(seconds(12), seconds(20)), 15u);
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(2));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodClock, AStoreClockSetBackMakesNothingEarlyAndHoldsNothingUp) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("slow", seconds(5))});
  world.RunUntil(milliseconds(10'300));
  world.StepStoreClock(-hours(1));
  world.RunFor(seconds(2));
  const std::size_t before = world.starts.size();
  world.Enqueue({{.id = "now", .schedule = *Schedule::At(world.StoreNow() + milliseconds(500)), .task = "task"}});
  world.RunFor(seconds(1));
  EXPECT_THAT(world.StartsOf("now"), SizeIs(1));
  EXPECT_EQ(world.starts.size(), before + 1);
}

TEST(PodClock, SmallStepsOfTheStoreClockMakeItLateAtMost) {
  World world;
  world.Add("a");
  world.Enqueue({EveryJob("j", seconds(4))});
  world.RunUntil(milliseconds(8'300));
  for (int i = 0; i < 5; ++i) {
    world.StepStoreClock(-milliseconds(1'200));
    world.RunFor(seconds(4));
  }
  world.RunFor(seconds(8));
  EXPECT_GE(world.StartsBetween(seconds(8), world.t()), 4u);
}

}  // namespace
}  // namespace escapement
