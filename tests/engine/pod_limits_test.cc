// Limits: what pods ask of the lock service before a run starts, and what becomes of runs when it is away.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

// Tasks that take a while, and how many of them ran at once.
class Limits : public testing::Test {
 protected:
  Limits() {
    world_.task = [this](const Started&) { return Task{.duration = duration_}; };
    world_.on_start = [this](const SimPod&, const StartRun& run) {
      running_.insert({run.job->id, run.id});
      most_ = std::max(most_, running_.size());
    };
    world_.on_end = [this](const SimPod&, RunId id) {
      std::erase_if(running_, [&](const auto& r) { return r.second == id; });
    };
  }
  static JobDefinition With(JobDefinition job, const std::string& key, int slots) {
    job.limits.push_back({.key = key, .slots = slots});
    return job;
  }
  static JobDefinition Rated(JobDefinition job, const std::string& key, int starts, Duration per) {
    job.rates.push_back({.key = key, .starts = starts, .per = per});
    return job;
  }
  static Fate Refused() { return {.kind = Fate::Kind::kRefused}; }
  std::vector<Duration> StartTimes() const {
    std::vector<Duration> out;
    for (const Started& s : world_.starts) out.push_back(s.at);
    std::sort(out.begin(), out.end());
    return out;
  }

  World world_;
  Duration duration_ = milliseconds(100);
  std::set<std::pair<std::string, RunId>> running_;
  std::size_t most_ = 0;
};

TEST_F(Limits, AMutexLetsOneRunAtATimeOnAllPods) {
  for (const char* name : {"a", "b", "c"}) world_.Add(name);
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(With(OnceJob(std::to_string(i), seconds(5)), "key", 1));
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(20));
  EXPECT_THAT(world_.starts, SizeIs(20));
  EXPECT_EQ(most_, 1u);
  EXPECT_LT(world_.starts.back().at, seconds(5) + 20 * milliseconds(150)) << "a freed slot is taken soon";
}

TEST_F(Limits, ALimitLetsSoManyRunAtATime) {
  for (const char* name : {"a", "b"}) world_.Add(name);
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 30; ++i) jobs.push_back(With(OnceJob(std::to_string(i), seconds(5)), "key", 3));
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(10));
  EXPECT_THAT(world_.starts, SizeIs(30));
  EXPECT_EQ(most_, 3u);
}

TEST_F(Limits, AJobWithoutLimitsAsksForNothingAndIsNotHeldUp) {
  SimPod& a = world_.Add("a", {.options = {.max_running = 2}});
  duration_ = seconds(3);
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(With(OnceJob(std::to_string(i), seconds(2)), "key", 1));
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(4));
  EXPECT_THAT(world_.starts, SizeIs(1));
  world_.task = [](const Started&) { return Task{}; };
  world_.Enqueue({EveryJob("free", seconds(1))});
  world_.RunUntil(milliseconds(6'500));
  EXPECT_THAT(world_.StartsOf("free"), SizeIs(Ge(2u))) << "nineteen jobs wait for the key, and hold no place";
  EXPECT_LE(a.most_running(), 2u);
  const std::size_t asked = world_.CallsOf(CallKind::kTakeSlots).size();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(world_.admin().Remove(std::to_string(i)));
  world_.RunUntil(seconds(30));
  const std::size_t asked_later = world_.CallsOf(CallKind::kTakeSlots).size();
  world_.RunUntil(seconds(60));
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(world_.CallsOf(CallKind::kTakeSlots).size(), asked_later);
}

TEST_F(Limits, ARateLetsNoMoreStartInAnyTimeOfIt) {
  for (const char* name : {"a", "b"}) world_.Add(name, {.start_delay = milliseconds(20)});
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(Rated(OnceJob(std::to_string(i), seconds(5)), "key", 4, seconds(2)));
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(20));
  const auto times = StartTimes();
  ASSERT_THAT(times, SizeIs(20));
  for (std::size_t i = 4; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 4], seconds(2));
  EXPECT_LT(times.back(), seconds(5) + 5 * milliseconds(2'300)) << "little is lost to being exact";
}

TEST_F(Limits, AStartThatCameTooLateForItsRateIsNoneAndIsTriedAgain) {
  int delays = 0;
  world_.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kTakeSlots && ++delays == 1 ? Fate{.delay = milliseconds(500)} : Fate{};
  };
  world_.Add("a");
  world_.Enqueue({Rated(OnceJob("j", seconds(5)), "key", 1, seconds(1))});
  world_.RunUntil(seconds(6));
  EXPECT_THAT(world_.starts, SizeIs(1)) << "what was counted for nothing was taken back";
  EXPECT_THAT(world_.CallsOf(CallKind::kFreeSlots), SizeIs(1));
}

TEST_F(Limits, APodThatIsSlowToStartTasksKeepsTheRate) {
  world_.Add("a", {.start_delay = milliseconds(90)});
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 8; ++i)
    jobs.push_back(Rated(OnceJob(std::to_string(i), seconds(5)), "key", 2, milliseconds(300)));
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(10));
  const auto times = StartTimes();
  ASSERT_THAT(times, SizeIs(8));
  for (std::size_t i = 2; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 2], milliseconds(300));
}

TEST_F(Limits, TheHigherPriorityIsGrantedFirst) {
  world_.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 9; ++i) {
    jobs.push_back(With(OnceJob(std::to_string(i), seconds(5)), "key", 1));
    jobs.back().priority = i % 3;
  }
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(10));
  std::vector<int> priorities;
  for (const Started& s : world_.starts) priorities.push_back(std::stoi(s.job) % 3);
  EXPECT_THAT(priorities, ElementsAre(2, 2, 2, 1, 1, 1, 0, 0, 0));
}

TEST_F(Limits, WhatWaitsTooLongIsLateByItsPolicy) {
  world_.Add("a");
  duration_ = seconds(4);
  JobDefinition skips = With(EveryJob("skips", seconds(1)), "key", 1);
  skips.late = LatePolicy::kSkip;
  world_.Enqueue({With(OnceJob("holder", seconds(3)), "key", 1)});
  world_.RunUntil(milliseconds(3'500));
  world_.Enqueue({skips});
  duration_ = milliseconds(10);
  world_.RunUntil(seconds(20));
  const Audit audit = world_.AuditUntil(kEpoch + seconds(18), kEpoch + seconds(5));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_GT(audit.settled.at(Verdict::kSkippedMisfired), 0);
}

TEST_F(Limits, ALongRunKeepsItsSlot) {
  world_.Add("a");
  world_.Add("b");
  duration_ = seconds(60);
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1), With(OnceJob("2", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(61));
  EXPECT_THAT(world_.starts, SizeIs(1));
  EXPECT_THAT(world_.cancelled, IsEmpty());
  world_.RunUntil(seconds(70));
  EXPECT_THAT(world_.starts, SizeIs(2));
}

TEST_F(Limits, TheSlotOfADeadPodIsFreeAfterItsLease) {
  SimPod& a = world_.Add("a");
  duration_ = seconds(60);
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(4));
  ASSERT_THAT(world_.starts, SizeIs(1));
  world_.Add("b");
  a.Kill();
  world_.RunUntil(seconds(15));
  ASSERT_THAT(world_.starts, SizeIs(2)) << "the job moved, and waited for its own slot of before";
  EXPECT_EQ(world_.starts.back().pod, "b");
  EXPECT_LT(world_.starts.back().at, seconds(4) + 2 * seconds(5) + seconds(1));
}

TEST_F(Limits, WhileTheLockServiceIsAwayNothingWithLimitsStartsAndAllElseRuns) {
  world_.Add("a");
  world_.Enqueue({With(EveryJob("limited", seconds(1)), "key", 1), EveryJob("free", seconds(1))});
  duration_ = milliseconds(10);
  world_.RunUntil(milliseconds(5'500));
  world_.locks_down = true;
  const std::size_t limited = world_.StartsOf("limited").size();
  const std::size_t free = world_.StartsOf("free").size();
  world_.RunUntil(milliseconds(35'500));
  EXPECT_THAT(world_.StartsOf("limited"), SizeIs(limited));
  EXPECT_THAT(world_.StartsOf("free"), SizeIs(free + 30));
  EXPECT_THAT(world_.CallsOf(CallKind::kTakeSlots), SizeIs(Le(100u))) << "it is not asked all the time";
  world_.locks_down = false;
  world_.RunUntil(seconds(45));
  EXPECT_THAT(world_.StartsOf("limited"), SizeIs(Ge(limited + 8)));
  EXPECT_EQ(world_.AuditUntil(kEpoch + seconds(43)).missing, 0);
}

TEST_F(Limits, WhatWaitsForASlotIsCancelledWithoutAStartAndTheScheduleGoesOn) {
  world_.Add("a");
  duration_ = seconds(30);
  JobDefinition waits = With(EveryJob("waits", seconds(40), seconds(5)), "key", 1);
  waits.retry.max_attempts = 3;
  world_.Enqueue({With(OnceJob("holds", seconds(2)), "key", 1), waits});
  world_.RunUntil(seconds(6));
  ASSERT_TRUE(world_.admin().Cancel("waits"));
  world_.Tell(nullptr, Wake::kJobs);
  world_.RunFor(milliseconds(300));
  ASSERT_THAT(world_.Runs("waits"), SizeIs(1));
  const RunInfo run = world_.Runs("waits").front();
  EXPECT_EQ(run.verdict, Verdict::kCancelled);
  EXPECT_EQ(run.settles, 1) << "no other attempt";
  EXPECT_EQ(run.started_at, std::nullopt);
  EXPECT_THAT(run.error, HasSubstr("before it could start"));
  EXPECT_THAT(world_.cancelled, IsEmpty());
  world_.RunUntil(seconds(44));
  EXPECT_THAT(world_.starts, SizeIs(1)) << "a slot is free, and nobody wants it";
  world_.RunUntil(seconds(80));
  ASSERT_THAT(world_.Runs("waits"), SizeIs(2));
  EXPECT_EQ(world_.Runs("waits").back().verdict, Verdict::kSucceeded);
  EXPECT_EQ(world_.Runs("waits").back().fire_time, kEpoch + seconds(45));
  const Audit audit = world_.AuditUntil(kEpoch + seconds(46));
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(Limits, ARunOutlivesAShortOutageOfTheLockService) {
  world_.Add("a");
  duration_ = seconds(30);
  world_.Enqueue({With(OnceJob("j", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(4));
  world_.locks_down = true;
  world_.RunUntil(seconds(9));
  world_.locks_down = false;
  world_.RunUntil(seconds(40));
  EXPECT_THAT(world_.cancelled, IsEmpty());
  EXPECT_THAT(world_.starts, SizeIs(1));
}

TEST_F(Limits, ARunWhoseSlotCannotBeKeptIsStoppedInTimeAndRunsAgain) {
  world_.Add("a");
  duration_ = seconds(30);
  JobDefinition once = With(OnceJob("at most once", seconds(2)), "other", 1);
  once.delivery = Delivery::kAtMostOnce;
  world_.Enqueue({With(OnceJob("j", seconds(2)), "key", 1), once});
  world_.RunUntil(seconds(4));
  world_.locks_down = true;
  world_.RunUntil(seconds(14));
  EXPECT_THAT(running_, IsEmpty()) << "their slots may be another's now";
  ASSERT_THAT(world_.cancelled, SizeIs(2));
  EXPECT_THAT(world_.warnings, testing::Contains(HasSubstr("lock service does not answer")));
  world_.RunUntil(seconds(20));
  ASSERT_THAT(world_.Runs("at most once"), SizeIs(1));
  EXPECT_EQ(world_.Runs("at most once").front().verdict, Verdict::kCancelled);
  EXPECT_THAT(world_.Runs("at most once").front().error, HasSubstr("slots"));
  EXPECT_THAT(world_.Runs("j"), IsEmpty());
  world_.locks_down = false;
  world_.RunUntil(seconds(60));
  ASSERT_THAT(world_.StartsOf("j"), SizeIs(2));
  EXPECT_EQ(world_.Runs("j").back().verdict, Verdict::kSucceeded);
  EXPECT_THAT(world_.StartsOf("at most once"), SizeIs(1));
}

TEST_F(Limits, ALockServiceThatForgotIsToldAgain) {
  world_.Add("a");
  duration_ = seconds(30);
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(4));
  world_.locks().Forget();
  world_.RunUntil(milliseconds(5'600));  // within a heartbeat
  world_.Add("b");
  world_.Enqueue({With(OnceJob("2", seconds(6)), "key", 1)});
  world_.RunUntil(seconds(31));
  EXPECT_THAT(world_.starts, SizeIs(1));
  EXPECT_THAT(world_.cancelled, IsEmpty());
}

TEST_F(Limits, WhoeverLostASlotToAnotherIsStoppedWithinAHeartbeat) {
  world_.Add("a");
  duration_ = seconds(30);
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(4));
  world_.locks().Forget();
  ASSERT_TRUE(world_.locks().TakeSlots({{.holder = "another", .limits = {{.key = "key", .slots = 1}}}}, seconds(5)));
  world_.RunUntil(seconds(6));
  EXPECT_THAT(running_, IsEmpty());
  world_.RunUntil(seconds(60));
  EXPECT_THAT(world_.starts, SizeIs(2));
}

TEST_F(Limits, AnAbandonedTaskKeepsItsSlotUntilTheLeaseEnds) {
  world_.Add("a");
  JobDefinition hangs = With(OnceJob("hangs", seconds(2)), "key", 1);
  hangs.timeout = seconds(1);
  world_.task = [](const Started& s) {
    return s.job == "hangs" ? Task{.hangs = true, .ignores_cancel = true} : Task{};
  };
  world_.Enqueue({hangs, With(OnceJob("next", seconds(3)), "key", 1)});
  world_.RunUntil(milliseconds(8'500));  // given up after its timeout and the grace, at 8 s
  EXPECT_EQ(world_.Runs("hangs").back().verdict, Verdict::kTimedOut);
  world_.RunUntil(seconds(14));
  EXPECT_THAT(world_.StartsOf("next"), IsEmpty());
  world_.RunUntil(seconds(20));
  EXPECT_THAT(world_.StartsOf("next"), SizeIs(1));
}

TEST_F(Limits, AGrantWhoseAnswerIsLostIsFreed) {
  int takings = 0;
  world_.fate = [&](const SimPod&, CallKind kind) {
    return kind == CallKind::kTakeSlots && ++takings == 1 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
  world_.Add("a");
  world_.Enqueue({With(OnceJob("j", seconds(5)), "key", 1)});
  world_.RunUntil(seconds(6));
  EXPECT_THAT(world_.starts, SizeIs(1)) << "it waits for itself";
}

TEST_F(Limits, APodThatStopsFreesItsSlotsAndHandsBackWhatWaits) {
  SimPod& a = world_.Add("a");
  duration_ = seconds(3);
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1), With(OnceJob("2", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(4));
  a.Stop(seconds(10));
  world_.RunUntil(seconds(7));
  EXPECT_TRUE(a.stopped());
  world_.Add("b");
  world_.RunUntil(seconds(9));
  EXPECT_THAT(world_.starts, SizeIs(2)) << "the slot was freed before its lease ended";
}

TEST_F(Limits, APodStopsThoughTheLockServiceIsAway) {
  SimPod& a = world_.Add("a");
  world_.Enqueue({With(OnceJob("1", seconds(2)), "key", 1)});
  world_.RunUntil(seconds(1));
  world_.locks_down = true;
  world_.RunUntil(seconds(3));
  a.Stop(seconds(10));
  world_.RunUntil(seconds(5));
  EXPECT_TRUE(a.stopped());
}

TEST_F(Limits, AtMostOnceIsMarkedWhenItHasItsSlot) {
  world_.Add("a");
  duration_ = seconds(2);
  std::vector<JobDefinition> jobs;
  for (const char* id : {"1", "2"}) {
    jobs.push_back(With(OnceJob(id, seconds(2)), "key", 1));
    jobs.back().delivery = Delivery::kAtMostOnce;
  }
  world_.Enqueue(jobs);
  world_.RunUntil(seconds(3));
  ASSERT_THAT(world_.starts, SizeIs(1));
  EXPECT_THAT(world_.CallsOf(CallKind::kBegin), SizeIs(1)) << "what only waits is not begun";
  world_.RunUntil(seconds(10));
  EXPECT_THAT(world_.starts, SizeIs(2));
  EXPECT_EQ(most_, 1u);
}

}  // namespace
}  // namespace escapement
