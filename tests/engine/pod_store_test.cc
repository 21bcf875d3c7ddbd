// The store's faults: lost replies, outages, refusals.
#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

void ExpectConserved(World& world, Duration margin = seconds(2)) {
  const Audit audit = world.AuditUntil(world.StoreNow() - margin);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

// Loses the first reply of a kind after `from`.
std::function<Fate(const SimPod&, CallKind)> LoseOne(World& world, CallKind lost, Duration from, int* count) {
  return [&world, lost, from, count](const SimPod&, CallKind kind) {
    if (kind != lost || world.t() < from) return Fate{};
    return ++*count == 1 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
}

TEST(PodStore, ALostClaimIsRecoveredInTime) {
  World world;
  SimPod& a = world.Add("a");
  world.RunUntil(seconds(1));
  world.wakes_arrive = false;
  // The claim that takes the job, and no other, loses its reply.
  int n = 0;
  world.fate = [&](const SimPod&, CallKind kind) {
    const bool due = world.t() > seconds(8);
    return kind == CallKind::kClaim && due && ++n <= 2 ? Fate{.kind = Fate::Kind::kReplyLost} : Fate{};
  };
  world.Enqueue({OnceJob("j", milliseconds(8'700))});
  world.RunUntil(seconds(9));
  EXPECT_THAT(world.CallsOf(CallKind::kRecover), SizeIs(testing::Ge(1u)));
  ASSERT_THAT(world.starts, SizeIs(1));
  EXPECT_LE(world.starts[0].at, milliseconds(8'701));
  EXPECT_EQ(a.pod().Counters().sessions, 1u);
}

TEST(PodStore, WhatATaskCompletedIsSettledAndNotRunAgain) {
  World world;
  const JobDefinition job = EveryJob("j", hours(1));
  world.Enqueue({job});
  auto jobs = *world.admin().ExportJobs("", 10);
  ASSERT_THAT(jobs, SizeIs(1));
  jobs[0].definition.id = "k";
  jobs[0].present.completed_at = kEpoch;
  ASSERT_TRUE(world.admin().ImportJobs(jobs));
  world.Add("a");
  world.RunUntil(hours(1) + seconds(10));
  const auto runs = world.Runs("k");
  ASSERT_THAT(runs, SizeIs(2)) << "the completed one, settled long before its time, and the next one's";
  EXPECT_EQ(runs[0].verdict, Verdict::kSucceeded);
  EXPECT_EQ(runs[0].started_at, std::nullopt);
  EXPECT_EQ(runs[0].finished_at, kEpoch);
  EXPECT_TRUE(runs[1].started_at.has_value());
  EXPECT_THAT(world.Runs("j"), SizeIs(2));
}

TEST(PodStore, ALostCommitIsSentAgainAndAppliedOnce) {
  World world;
  int n = 0;
  world.fate = LoseOne(world, CallKind::kCommit, seconds(5), &n);
  SimPod& a = world.Add("a");
  world.Enqueue({EveryJob("j", milliseconds(200)), EveryJob("k", milliseconds(200))});
  world.RunUntil(seconds(10));
  EXPECT_GE(n, 2);
  EXPECT_EQ(world.StartedTwice(), 0u);
  EXPECT_EQ(a.pod().Counters().stale, 0u);
  ExpectConserved(world);
}

TEST(PodStore, ALostLastCommitOfAJobIsSentAgainAndAppliedOnce) {
  World world;
  int n = 0;
  world.fate = LoseOne(world, CallKind::kCommit, seconds(0), &n);
  SimPod& a = world.Add("a");
  world.Enqueue({OnceJob("j", seconds(3))});
  world.RunUntil(seconds(6));
  EXPECT_THAT(world.Runs("j"), SizeIs(1));
  EXPECT_EQ(a.pod().Counters().stale, 0u);
  EXPECT_EQ(a.pod().Counters().owned, 0u);
  EXPECT_EQ(world.Get("j").state, JobState::kFinished);
}

TEST(PodStore, AnOutageStopsNoRunAndLosesNoWork) {
  World world;
  world.task = [](const Started&) { return Task{.duration = milliseconds(2'000)}; };
  SimPod& a = world.Add("a", {.options = {.ttl = seconds(60)}});
  world.Enqueue({EveryJob("j", seconds(3)), EveryJob("k", milliseconds(500))});
  world.RunUntil(milliseconds(6'100));
  world.store_down = true;
  world.RunUntil(seconds(20));
  EXPECT_GE(a.pod().Counters().outbox, 2u);
  EXPECT_THAT(world.cancelled, IsEmpty());
  const std::size_t started = world.starts.size();
  world.store_down = false;
  world.RunUntil(seconds(30));
  EXPECT_GT(world.starts.size(), started);
  EXPECT_EQ(a.pod().Counters().sessions, 1u);
  EXPECT_EQ(a.pod().Counters().stale, 0u);
  EXPECT_EQ(world.StartedTwice(), 0u);
  for (const Started& s : world.starts) {
    if (s.at > seconds(27)) continue;
    const auto runs = world.Runs(s.job);
    EXPECT_TRUE(std::any_of(runs.begin(), runs.end(), [&](const RunInfo& r) { return r.fire_time == s.fire_time; }));
  }
  ExpectConserved(world, seconds(5));
}

TEST(PodStore, AFullOutboxStopsTheStartsAndIsCommittedAfterTheOutage) {
  World world;
  SimPod& a = world.Add("a", {.options = {.ttl = seconds(60), .max_running = 5, .outbox_limit = 20}});
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 10; ++i)
    jobs.push_back(EveryJob("j" + std::to_string(i), milliseconds(100), milliseconds(10) * i));
  world.Enqueue(jobs);
  world.RunUntil(seconds(5));
  world.fate = [](const SimPod&, CallKind kind) {
    return kind == CallKind::kCommit ? Fate{.kind = Fate::Kind::kRefused} : Fate{};
  };
  std::uint64_t most = 0;
  for (int i = 0; i < 100; ++i) {
    world.RunFor(milliseconds(50));
    most = std::max(most, a.pod().Counters().outbox);
  }
  EXPECT_GE(most, 20u);
  EXPECT_LE(most, 25u) << "the limit, and what was running when it was reached";
  EXPECT_EQ(world.StartsBetween(seconds(8), seconds(10)), 0u);
  world.fate = [](const SimPod&, CallKind) { return Fate{}; };
  world.RunFor(seconds(5));
  EXPECT_EQ(a.pod().Counters().stale, 0u);
  EXPECT_EQ(world.StartedTwice(), 0u);
  EXPECT_GT(world.StartsBetween(seconds(12), seconds(15)), 200u);
  ExpectConserved(world);
}

TEST(PodStore, BackoffKeepsCallsFewInAnOutage) {
  World world;
  world.Add("a");
  world.RunUntil(seconds(5));
  world.store_down = true;
  const std::size_t before = world.calls.size();
  world.RunFor(seconds(60));
  EXPECT_LE(world.calls.size() - before, 200u);
}

TEST(PodStore, DataThatTheStoreRefusesAreReplacedAndSettled) {
  World world;
  world.refuse_data = [](const RunRecord& run) { return run.error == "poison"; };
  world.task = [](const Started& s) {
    return s.job == "bad" ? Task{.verdict = Verdict::kFailed, .error = "poison"} : Task{};
  };
  world.Add("a");
  world.Enqueue({EveryJob("bad", milliseconds(500)), EveryJob("good", milliseconds(500))});
  world.RunUntil(seconds(10));
  const auto runs = world.Runs("bad");
  EXPECT_GE(runs.size(), 19u);
  for (const RunInfo& run : runs) EXPECT_EQ(run.verdict, Verdict::kFailed);
  EXPECT_EQ(world.StartedTwice(), 0u);
  EXPECT_THAT(world.warnings, Contains(testing::HasSubstr("refused")));
  ExpectConserved(world);
}

TEST(PodStore, DataThatTheStoreRefusesWhateverTheyAreHoldNothingElseUp) {
  World world;
  world.refuse_data = [](const RunRecord& run) { return run.verdict == Verdict::kFailed; };
  world.task = [](const Started& s) { return s.job == "bad" ? Task{.verdict = Verdict::kFailed} : Task{}; };
  world.Add("a");
  world.Enqueue({EveryJob("bad", seconds(1)), EveryJob("good", milliseconds(500))});
  world.RunUntil(seconds(10));
  EXPECT_GE(world.Runs("good").size(), 19u);
  for (const RunInfo& run : world.Runs("bad")) EXPECT_EQ(run.verdict, Verdict::kSkippedMisfired);
}

// --- one pod, answered by hand

class ByHand : public testing::Test {
 protected:
  // Opens a session and beats once.
  void Join() {
    Step();
    pod_.OnOpened(now_, SessionId{1});
    Step();
    pod_.OnBeat(now_, now_, Beat());
    Step();
    ASSERT_TRUE(commands_.claim_call) << "the first claim is under way";
  }
  BeatReply Beat() const {
    return {.live = true,
            .sessions = {{.id = 1, .pod = "a", .beat = 1, .ttl = seconds(60)}},
            .total_rate = 10,
            .total_jobs = 1,
            .changed = {},
            .store_time = Store()};
  }
  ClaimedJob Job(JobKey key, Fence fence, Instant fire) const {
    return {
        .key = key,
        .definition = std::make_shared<JobDefinition>(EveryJob("j" + std::to_string(key), milliseconds(100))),
        .fence = fence,
        .present = {.created_at = kEpoch, .cursor = kEpoch, .fire_time = fire, .due_at = fire, .planned_from = kEpoch}};
  }
  Instant Store() const { return kEpoch + seconds(100) + (now_ - kStart); }
  void Step() { commands_ = pod_.Step(now_); }
  void Pass(Duration d) { now_ += d; }
  // Lets the one started run end well, and steps until its commit is sent.
  CommitCall FinishAndCommit(RunId run) {
    pod_.OnFinished(now_, {{.id = run, .started = true, .started_at = now_, .finished_at = now_, .error = {}}});
    Step();
    Pass(milliseconds(4));
    Step();
    EXPECT_TRUE(commands_.commit_call);
    return commands_.commit_call ? std::get<CommitCall>(*commands_.commit_call) : CommitCall{};
  }
  CommitReply Answer(CommitOutcome outcome, bool kept) const {
    return {.answers = {{.outcome = outcome, .kept = kept, .error = {}}}, .store_time = Store()};
  }

  static constexpr BootTime kStart = BootTime(hours(1));
  BootTime now_ = kStart;
  Pod pod_{{.name = "a", .ttl = seconds(60)}};
  Commands commands_;
};

TEST_F(ByHand, AWakeUpDuringABeatBringsTheNextOneForward) {
  Join();
  while (!commands_.session_call) Pass(milliseconds(10)), Step();
  const BootTime sent = now_;
  Pass(milliseconds(20));
  pod_.OnWake(now_, Wake::kJobs);  // of a job that the store may have got after it was asked
  Pass(milliseconds(20));
  pod_.OnBeat(now_, sent, Beat());
  do Pass(milliseconds(10)), Step();
  while (!commands_.session_call && now_ < sent + seconds(5));
  ASSERT_TRUE(commands_.session_call && std::holds_alternative<BeatRequest>(*commands_.session_call));
  EXPECT_LE(now_ - sent, milliseconds(110)) << "and not a heartbeat later";
}

TEST_F(ByHand, ABeatTellsTheProgressOfTheRunsOfThisSessionAlone) {
  Join();
  ClaimReply claimed{.live = true, .jobs = {Job(1, 10, Store()), Job(2, 20, Store())}, .store_time = Store()};
  const Instant fire = Store();
  pod_.OnClaimed(now_, claimed);
  Pass(milliseconds(5));
  Step();
  ASSERT_THAT(commands_.start, SizeIs(2));
  const StartRun run = commands_.start[0];
  const std::vector<RunTold> told = {{run.id, now_, 0.5, "half"}, {run.id + 100, now_, 0.7, "another session's"}};
  const RunProgress expected = {
      .job_id = run.job->id, .fire_time = fire, .part = 0.5, .note = "half", .told_at = pod_.store_clock().At(now_)};
  EXPECT_THAT(pod_.ProgressOf(told), ElementsAre(expected));
  EXPECT_THAT(pod_.ProgressOf({}), IsEmpty());
  (void)FinishAndCommit(run.id);
  EXPECT_THAT(pod_.ProgressOf(told), IsEmpty()) << "it has ended";
}

TEST_F(ByHand, ABeatCarriesTheNewestProgressOfAThousandRuns) {
  Join();
  ClaimReply claimed{.live = true, .jobs = {}, .store_time = Store()};
  for (JobKey key = 1; key <= 1'005; ++key) claimed.jobs.push_back(Job(key, key, Store()));
  pod_.OnClaimed(now_, claimed);
  Pass(milliseconds(5));
  Step();
  ASSERT_THAT(commands_.start, SizeIs(1'005));
  std::vector<RunTold> told;
  for (std::size_t i = 0; i < commands_.start.size(); ++i) {
    told.push_back({commands_.start[i].id, now_ + microseconds(i * 7 % 1'005), 0.5, ""});
  }
  const auto progress = pod_.ProgressOf(told);
  ASSERT_THAT(progress, SizeIs(1'000));
  for (const RunProgress& p : progress) EXPECT_GE(p.told_at, pod_.store_clock().At(now_ + microseconds(5)));
}

TEST_F(ByHand, AStaleCommitDropsTheJobAndCancelsItsNextRun) {
  Join();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 3, Store())}, .store_time = Store()});
  Step();
  ASSERT_THAT(commands_.start, SizeIs(1));
  FinishAndCommit(commands_.start[0].id);
  Pass(milliseconds(100));
  Step();
  ASSERT_THAT(commands_.start, SizeIs(1)) << "the next occurrence, while the commit is under way";
  const RunId next = commands_.start[0].id;
  pod_.OnCommitted(now_, Answer(CommitOutcome::kStale, false));
  Step();
  EXPECT_THAT(commands_.cancel, ElementsAre(next));
  EXPECT_EQ(pod_.Counters().owned, 0u);
  EXPECT_EQ(pod_.Counters().running, 0u);
  pod_.OnFinished(now_, {{.id = next,
                          .started = true,
                          .started_at = now_,
                          .finished_at = now_,
                          .verdict = Verdict::kCancelled,
                          .error = {}}});
  Pass(seconds(1));
  Step();
  EXPECT_FALSE(commands_.commit_call);
}

TEST_F(ByHand, RowsThatATransactionHoldsAreAskedForAgainWithPauses) {
  Join();
  const auto asks = [&] {
    return commands_.session_call && std::holds_alternative<ReclaimCall>(*commands_.session_call);
  };
  pod_.OnReclaimed(now_, {.session = 9, .beat = 1}, ReclaimReply{.still_owned = 1});
  Step();
  EXPECT_FALSE(asks());
  EXPECT_GT(commands_.sleep_until, now_);
  EXPECT_LE(commands_.sleep_until, now_ + milliseconds(50));
  Pass(milliseconds(50));
  Step();
  EXPECT_TRUE(asks());
}

TEST_F(ByHand, AJobRecoveredUnderANewFenceReplacesTheOlderHolding) {
  Join();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 3, Store())}, .store_time = Store()});
  Step();
  const RunId run = commands_.start.at(0).id;
  // The next claim is in doubt: what do I own?
  while (!commands_.claim_call) Pass(milliseconds(10)), Step();
  pod_.OnClaimed(now_, Fail(Code::kInDoubt, "lost"));
  do Pass(milliseconds(10)), Step();
  while (!commands_.claim_call);
  EXPECT_THAT(std::get<RecoverCall>(*commands_.claim_call).known, ElementsAre(Pair(7, 3)));
  // Its completion was committed, which gave the job up, and the claim took it again: both replies were lost.
  FinishAndCommit(run);
  pod_.OnRecovered(now_,
                   ClaimReply{.live = true, .jobs = {Job(7, 4, Store() - milliseconds(1))}, .store_time = Store()});
  Step();
  EXPECT_EQ(pod_.Counters().owned, 1u);
  ASSERT_THAT(commands_.start, SizeIs(1));
  EXPECT_EQ(commands_.start[0].fence, 4);
  pod_.OnCommitted(now_, Answer(CommitOutcome::kAlreadyApplied, false));  // of the older holding
  EXPECT_EQ(pod_.Counters().owned, 1u);
}

TEST_F(ByHand, AJobWhoseReleaseIsUnderWayIsNotRecovered) {
  Join();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 3, Store())}, .store_time = Store()});
  Step();
  FinishAndCommit(commands_.start.at(0).id);
  pod_.OnCommitted(now_, Answer(CommitOutcome::kRefused, true));
  Step();
  Pass(milliseconds(4));
  Step();
  ASSERT_TRUE(commands_.commit_call);
  pod_.OnCommitted(now_, Answer(CommitOutcome::kRefused, true));  // whatever the text: it goes back
  Step();
  ASSERT_TRUE(commands_.commit_call);
  ASSERT_TRUE(std::holds_alternative<ReleaseCall>(*commands_.commit_call));
  while (!commands_.claim_call) Pass(milliseconds(10)), Step();
  pod_.OnClaimed(now_, Fail(Code::kInDoubt, "lost"));
  do Pass(milliseconds(10)), Step();
  while (!commands_.claim_call);
  EXPECT_THAT(std::get<RecoverCall>(*commands_.claim_call).known, ElementsAre(Pair(7, 3)));
}

TEST_F(ByHand, AChangedJobIsHandedBackAtOnceWhenItWaitsAndAtItsCommitWhenItRuns) {
  Join();
  pod_.OnClaimed(
      now_,
      ClaimReply{.live = true, .jobs = {Job(7, 3, Store()), Job(8, 4, Store() + seconds(3))}, .store_time = Store()});
  Step();
  ASSERT_THAT(commands_.start, SizeIs(1));
  const RunId run = commands_.start[0].id;
  while (!commands_.session_call) Pass(milliseconds(10)), Step();
  BeatReply reply = Beat();
  reply.changed = {7, 8};
  pod_.OnBeat(now_, now_, reply);
  Step();
  ASSERT_TRUE(commands_.commit_call);
  EXPECT_THAT(std::get<ReleaseCall>(*commands_.commit_call).jobs, ElementsAre(std::make_pair(JobKey{8}, Fence{4})));
  EXPECT_THAT(commands_.cancel, IsEmpty());
  pod_.OnReleased(now_, Status{});
  const CommitCall commit = FinishAndCommit(run);
  ASSERT_THAT(commit.completions, SizeIs(1));
  EXPECT_FALSE(commit.completions[0].keep);
  pod_.OnCommitted(now_, Answer(CommitOutcome::kApplied, false));
  EXPECT_EQ(pod_.Counters().owned, 0u);
}

TEST_F(ByHand, AnAnswerToAnEarlierSessionChangesNothing) {
  Join();
  while (!commands_.session_call) Pass(milliseconds(10)), Step();
  BeatReply dead = Beat();
  dead.live = false;
  pod_.OnBeat(now_, now_, dead);
  Step();
  pod_.OnOpened(now_, SessionId{2});
  Step();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 3, Store())}, .store_time = Store()});  // of session 1
  Step();
  EXPECT_EQ(pod_.Counters().owned, 0u);
  EXPECT_THAT(commands_.start, IsEmpty());
}

TEST_F(ByHand, AHigherFenceReplacesTheHoldingAndCancelsItsRun) {
  Join();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 3, Store())}, .store_time = Store()});
  Step();
  const RunId old = commands_.start.at(0).id;
  while (!commands_.claim_call) Pass(milliseconds(10)), Step();
  pod_.OnClaimed(now_, ClaimReply{.live = true, .jobs = {Job(7, 4, Store() - milliseconds(1))}, .store_time = Store()});
  Step();
  EXPECT_THAT(commands_.cancel, ElementsAre(old));
  ASSERT_THAT(commands_.start, SizeIs(1));
  EXPECT_EQ(commands_.start[0].fence, 4);
  EXPECT_EQ(pod_.Counters().owned, 1u);
}

}  // namespace
}  // namespace escapement
