// What every JobStore must do. Include it in one test program for each adapter and instantiate:
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, testing::Values(StoreUnderTest{"memory", MakeFreshStore}),
//   StoreName);
// The suite does not control the store's clock: what must be due soon is claimed with a long horizon, and outcomes are
// decided at instants of the test's own.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "job/settle.h"
#include "job/text.h"
#include "ports/job_store.h"

namespace escapement {

struct StoreUnderTest {
  std::string name;
  std::function<std::unique_ptr<JobStoreFactory>()> fresh;  // of a store that is migrated and empty
};

inline std::string StoreName(const testing::TestParamInfo<StoreUnderTest>& info) { return info.param.name; }
inline void PrintTo(const StoreUnderTest& store, std::ostream* out) { *out << store.name; }

class StoreContract : public testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr Duration kDay = std::chrono::hours(24);
  static constexpr Duration kHour = std::chrono::hours(1);
  static constexpr Duration kMinute = std::chrono::minutes(1);

  void SetUp() override {
    factory_ = GetParam().fresh();
    ASSERT_NE(factory_, nullptr);
    store_ = Connect();
    start_ = Must(store_->Now());
  }

  template <typename T>
  static T Must(Result<T> result) {
    if (!result) throw std::runtime_error(std::string(CodeName(result.error().code)) + ": " + result.error().message);
    return *std::move(result);
  }
  static void Must(const Status& status) {
    if (!status) throw std::runtime_error(std::string(CodeName(status.error().code)) + ": " + status.error().message);
  }

  std::unique_ptr<JobStore> Connect() { return Must(factory_->Open()); }

  SessionId OpenSession(const std::string& pod = "pod") {
    return Must(store_->OpenSession({.pod = pod, .ttl = std::chrono::seconds(5)}));
  }

  // Fires each hour, first in ten minutes.
  JobDefinition Hourly(const std::string& id, Duration first = 10 * kMinute) const {
    return {.id = id, .schedule = Grid(kHour, first), .task = "work"};
  }
  JobDefinition Once(const std::string& id, Duration from_start) const {
    return {.id = id, .schedule = Schedule::At(start_ + from_start).value(), .task = "work"};
  }
  Schedule Grid(Duration interval, Duration first) const {
    return Schedule::Every({.interval = interval, .anchor = start_ + first}).value();
  }

  EnqueueOutcome Enqueue(const JobDefinition& job) { return Must(store_->Enqueue({job})).at(0); }

  std::vector<ClaimedJob> Claim(SessionId session, int limit = 1000, Duration horizon = kDay,
                                const std::vector<std::string>& queues = {"default"}) {
    return Must(store_->Claim({.session = session, .horizon = horizon, .limit = limit, .queues = queues})).jobs;
  }
  ClaimedJob ClaimOne(SessionId session) {
    auto jobs = Claim(session);
    if (jobs.size() != 1) throw std::runtime_error("claimed " + std::to_string(jobs.size()) + " jobs instead of one");
    return jobs[0];
  }
  // Enqueues a job and claims it.
  ClaimedJob Own(SessionId session, const JobDefinition& job) {
    Enqueue(job);
    return ClaimOne(session);
  }

  static Completion Wrap(const ClaimedJob& job, const Settlement& settlement, bool keep = false) {
    return {.key = job.key,
            .fence = job.fence,
            .fire_time = job.present.fire_time,
            .attempt = job.present.attempt,
            .version = job.present.version,
            .run = settlement.run,
            .next = settlement.next,
            .keep = keep};
  }
  static Completion Finish(const ClaimedJob& job, Verdict verdict = Verdict::kSucceeded, bool keep = false,
                           std::string error = {}) {
    const Outcome outcome{.verdict = verdict,
                          .started_at = job.present.fire_time,
                          .finished_at = job.present.fire_time + std::chrono::milliseconds(5),
                          .error = std::move(error)};
    return Wrap(job, Settle(*job.definition, job.present, outcome, job.present.fire_time), keep);
  }
  CommitAnswer Commit(SessionId session, const Completion& completion) {
    return Must(store_->Commit(session, {completion})).answers.at(0);
  }
  // Applies the plan that a row to plan needs, so that `job` is as its owner holds it.
  void PlanAnew(SessionId session, ClaimedJob& job) {
    ASSERT_TRUE(job.present.to_plan);
    const auto plan = SettleBeforeStart(*job.definition, job.present, start_);
    ASSERT_TRUE(plan.has_value());
    const CommitAnswer answer = Commit(session, Wrap(job, *plan, /*keep=*/true));
    ASSERT_EQ(answer.outcome, CommitOutcome::kApplied);
    ASSERT_EQ(answer.kept, plan->next.fire_time.has_value());
    job.present = Advance(job.present, plan->next);
  }

  std::int64_t BeatOf(SessionId session) {
    for (const SessionView& view : Must(store_->Beat({.session = session})).sessions) {
      if (view.id == session) return view.beat;
    }
    throw std::runtime_error("the session is not live");
  }
  void Bury(SessionId session) {  // as an observer does with a dead pod
    ASSERT_TRUE(Must(store_->Reclaim(session, BeatOf(session))).ended);
  }

  JobInfo Get(const std::string& id) { return Must(store_->Get(id)); }
  bool Exists(const std::string& id) {
    const auto info = store_->Get(id);
    if (!info) {
      EXPECT_EQ(info.error().code, Code::kNotFound);
    }
    return info && info->state != JobState::kRemoved;
  }
  std::vector<RunInfo> Runs(const std::string& id) { return Must(store_->Runs({.job_id = id, .limit = 10'000})); }

  // Waits for the store's clock.
  void WaitUntil(Instant instant) {
    for (int i = 0; i < 100'000 && Must(store_->Now()) <= instant; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    ASSERT_GT(Must(store_->Now()), instant);
  }

  std::unique_ptr<JobStoreFactory> factory_;
  std::unique_ptr<JobStore> store_;
  Instant start_;
};

// --- schema and time

TEST_P(StoreContract, MigratingAgainIsHarmless) {
  Enqueue(Hourly("a"));
  EXPECT_TRUE(store_->Migrate());
  EXPECT_TRUE(store_->CheckSchema());
  EXPECT_TRUE(Exists("a"));
}

TEST_P(StoreContract, EveryConnectionReadsTheSameClock) {
  const auto other = Connect();
  const Instant first = Must(store_->Now());
  const Instant second = Must(other->Now());
  EXPECT_LE(first, second);
  EXPECT_LE(second, Must(store_->Now()));
}

// --- sessions

TEST_P(StoreContract, EverySessionIsNew) { EXPECT_NE(OpenSession("pod"), OpenSession("pod")); }

TEST_P(StoreContract, ABeatRaisesItsCounterAndShowsAllLiveSessions) {
  const SessionId a = OpenSession("a");
  const SessionId b = OpenSession("b");
  const std::int64_t before = BeatOf(a);
  const BeatReply reply = Must(store_->Beat({.session = a, .rate = 2.5, .owned = 7}));
  EXPECT_TRUE(reply.live);
  EXPECT_GE(reply.store_time, start_);
  std::map<SessionId, SessionView> views;
  for (const SessionView& view : reply.sessions) views[view.id] = view;
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[a].pod, "a");
  EXPECT_GT(views[a].beat, before);
  EXPECT_EQ(views[a].ttl, std::chrono::seconds(5));
  EXPECT_EQ(views[a].rate, 2.5);
  EXPECT_EQ(views[a].owned, 7);
  EXPECT_EQ(views[b].pod, "b");
}

TEST_P(StoreContract, PodsListsLiveSessionsWithWhatTheyPublished) {
  const SessionId a = OpenSession("a");
  const SessionId b = OpenSession("b");
  Must(store_->Beat({.session = a, .rate = 1.5, .owned = 3}));
  Must(store_->EndSession(b));
  const auto pods = Must(store_->Pods());
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(pods[0].name, "a");
  EXPECT_EQ(pods[0].session, a);
  EXPECT_EQ(pods[0].rate, 1.5);
  EXPECT_EQ(pods[0].owned, 3);
}

TEST_P(StoreContract, AnEndedSessionNeverBeatsClaimsBeginsOrCommits) {
  for (const bool reclaimed : {true, false}) {
    const std::string id = reclaimed ? "reclaimed" : "ended";
    const SessionId session = OpenSession();
    const ClaimedJob job = Own(session, Hourly(id));
    if (reclaimed) {
      Bury(session);
    } else {
      Must(store_->EndSession(session));
    }
    EXPECT_FALSE(Must(store_->Beat({.session = session})).live);
    const ClaimReply claim = Must(store_->Claim({session, kDay, 10, {"default"}}));
    EXPECT_FALSE(claim.live);
    EXPECT_TRUE(claim.jobs.empty());
    EXPECT_TRUE(Must(store_->Recover(session, {})).jobs.empty());
    EXPECT_FALSE(
        Must(store_->Begin(session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}})).at(0));
    EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kStale);
    EXPECT_EQ(Get(id).settled_total, 0);
    Must(store_->Remove(id));
  }
}

TEST_P(StoreContract, ASessionThatNeverWasIsNotLive) {
  EXPECT_FALSE(Must(store_->Beat({.session = 987'654'321})).live);
  EXPECT_FALSE(Must(store_->Claim({987'654'321, kDay, 10, {"default"}})).live);
  EXPECT_FALSE(Must(store_->Reclaim(987'654'321, 1)).ended);
  EXPECT_TRUE(store_->EndSession(987'654'321));
}

TEST_P(StoreContract, ReclaimOfASessionThatBeatAgainDoesNothing) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  const std::int64_t seen = BeatOf(session);
  BeatOf(session);
  const ReclaimReply reply = Must(store_->Reclaim(session, seen));
  EXPECT_FALSE(reply.ended);
  EXPECT_EQ(reply.jobs, 0);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
}

TEST_P(StoreContract, ReclaimHandsJobsBackAndCountsThemLost) {
  const SessionId dead = OpenSession();
  Enqueue(Hourly("a"));
  Enqueue(Hourly("b"));
  const auto owned = Claim(dead);
  ASSERT_EQ(owned.size(), 2U);
  const std::int64_t beat = BeatOf(dead);
  const ReclaimReply reply = Must(store_->Reclaim(dead, beat));
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(reply.jobs, 2);
  EXPECT_EQ(reply.still_owned, 0);
  EXPECT_FALSE(Must(store_->Reclaim(dead, beat)).ended) << "it was ended before";

  const SessionId heir = OpenSession();
  const auto inherited = Claim(heir);
  ASSERT_EQ(inherited.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(inherited[i].present.fire_time, owned[i].present.fire_time);
    EXPECT_EQ(inherited[i].present.due_at, owned[i].present.due_at) << "the time to look is never earlier";
    EXPECT_EQ(inherited[i].present.attempt, 1);
    EXPECT_EQ(inherited[i].present.lost, 1);
    EXPECT_GT(inherited[i].fence, owned[i].fence);
  }
  EXPECT_EQ(Get("a").settled_total, 0) << "reclaim settles nothing";
}

TEST_P(StoreContract, EndingOnesOwnSessionLosesNothing) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->EndSession(session));
  EXPECT_TRUE(store_->EndSession(session)) << "idempotent";
  const ClaimedJob again = ClaimOne(OpenSession());
  EXPECT_EQ(again.present.lost, 0);
  EXPECT_EQ(again.present.due_at, job.present.due_at);
  EXPECT_GT(again.fence, job.fence);
}

// --- claim, recover, release

TEST_P(StoreContract, AClaimCarriesTheWholeJob) {
  JobDefinition definition = Hourly("z\xC3\xBCrich 'quoted' \\ \"id\"");
  definition.payload = "{\"a\": [1, \"\xE2\x82\xAC\"]}\n\\x00 $1 ''";
  definition.queue = "other";
  definition.priority = 7;
  definition.late = LatePolicy::kRunAll;
  definition.late_limit = 3;
  definition.late_threshold = std::chrono::milliseconds(1500);
  definition.delivery = Delivery::kAtMostOnce;
  definition.retry = {.max_attempts = 4, .delay = kMinute, .factor = 1.7, .max_delay = kHour};
  definition.timeout = kMinute;
  definition.lost_limit = 2;
  Enqueue(definition);
  const auto jobs = Claim(OpenSession(), 10, kDay, {"other"});
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_TRUE(*jobs[0].definition == definition);
  const Present& present = jobs[0].present;
  EXPECT_GE(present.created_at, start_);
  EXPECT_EQ(present.fire_time, start_ + 10 * kMinute);
  EXPECT_EQ(present.due_at, present.fire_time);
  EXPECT_EQ(present.cursor, definition.schedule.FirstCursor(present.created_at));
  EXPECT_EQ(present.attempt, 1);
  EXPECT_EQ(present.version, 1);
  EXPECT_EQ(present.lost, 0);
  EXPECT_FALSE(present.begun);
  EXPECT_FALSE(present.to_plan);
  EXPECT_TRUE(Get(definition.id).definition == definition);
}

TEST_P(StoreContract, ClaimTakesOnlyJobsWithinTheHorizon) {
  Enqueue(Hourly("soon", 10 * kMinute));
  Enqueue(Hourly("later", 50 * kMinute));
  const auto jobs = Claim(OpenSession(), 10, 30 * kMinute);
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].definition->id, "soon");
}

TEST_P(StoreContract, ClaimTakesTheEarliestFirstUpToItsLimit) {
  for (const int i : {3, 1, 4, 0, 2}) Enqueue(Hourly("job-" + std::to_string(i), (10 + i) * kMinute));
  const SessionId session = OpenSession();
  std::vector<std::string> ids;
  for (const int limit : {2, 2, 2, 2}) {
    std::set<std::string> batch;
    for (const ClaimedJob& job : Claim(session, limit)) batch.insert(job.definition->id);
    ids.insert(ids.end(), batch.begin(), batch.end());
  }
  EXPECT_THAT(ids, testing::ElementsAre("job-0", "job-1", "job-2", "job-3", "job-4"));
  EXPECT_TRUE(Claim(session, 0).empty());
}

TEST_P(StoreContract, ClaimRespectsQueues) {
  JobDefinition other = Hourly("other");
  other.queue = "other";
  Enqueue(other);
  Enqueue(Hourly("default"));
  const SessionId session = OpenSession();
  EXPECT_TRUE(Claim(session, 10, kDay, {"third"}).empty());
  const auto jobs = Claim(session, 10, kDay, {"third", "other"});
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].definition->id, "other");
}

TEST_P(StoreContract, ClaimNeverReturnsAJobOwnedByALivingPod) {
  const ClaimedJob job = Own(OpenSession("first"), Hourly("a"));
  EXPECT_TRUE(Claim(OpenSession("second")).empty());
  const JobInfo info = Get("a");
  EXPECT_EQ(info.owner_pod, "first");
  EXPECT_EQ(info.fence, job.fence);
}

TEST_P(StoreContract, ManyThreadsClaimNoJobTwice) {
  constexpr int kJobs = 300;
  constexpr int kThreads = 6;
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < kJobs; ++i) jobs.push_back(Hourly("job-" + std::to_string(i)));
  Must(store_->Enqueue(jobs));
  std::vector<std::vector<JobKey>> claimed(kThreads);
  std::atomic<int> total = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t, session = OpenSession(), store = std::shared_ptr<JobStore>(Connect())] {
        for (int i = 0; i < 10'000 && total < kJobs; ++i) {
          const auto reply = store->Claim({session, kDay, 7, {"default"}});
          if (!reply) continue;
          for (const ClaimedJob& job : reply->jobs) claimed[t].push_back(job.key);
          total += static_cast<int>(reply->jobs.size());
        }
      });
    }
  }
  std::set<JobKey> distinct;
  for (const auto& keys : claimed) distinct.insert(keys.begin(), keys.end());
  EXPECT_EQ(distinct.size(), static_cast<std::size_t>(kJobs));
  EXPECT_EQ(total, kJobs);
}

TEST_P(StoreContract, RecoverReturnsWhatTheSessionOwnsWithoutTheKnown) {
  const SessionId session = OpenSession();
  for (const char* id : {"a", "b", "c"}) Enqueue(Hourly(id));
  const auto jobs = Claim(session);
  ASSERT_EQ(jobs.size(), 3U);
  Own(OpenSession(), Hourly("d"));
  const ClaimReply reply = Must(store_->Recover(session, {jobs[0].key, jobs[2].key}));
  EXPECT_TRUE(reply.live);
  ASSERT_EQ(reply.jobs.size(), 1U);
  EXPECT_EQ(reply.jobs[0].key, jobs[1].key);
  EXPECT_EQ(reply.jobs[0].fence, jobs[1].fence) << "recovering is not claiming";
  EXPECT_TRUE(*reply.jobs[0].definition == *jobs[1].definition);
  EXPECT_EQ(reply.jobs[0].present.fire_time, jobs[1].present.fire_time);
  EXPECT_EQ(Must(store_->Recover(session, {})).jobs.size(), 3U);
}

TEST_P(StoreContract, ReleaseKeepsTheTimeToLook) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->Release(session, {{job.key, job.fence}}));
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kStale);
  EXPECT_TRUE(Claim(session, 10, kMinute).empty());
  const ClaimedJob again = ClaimOne(session);
  EXPECT_EQ(again.present.due_at, job.present.due_at);
  EXPECT_EQ(again.present.lost, 0);
  EXPECT_GT(again.fence, job.fence);
}

TEST_P(StoreContract, ReleaseLeavesRowsUnderAnotherFenceAlone) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->Release(session, {{job.key, job.fence - 1}, {job.key + 1000, job.fence}}));
  Must(store_->Release(OpenSession(), {{job.key, job.fence}}));
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
}

// --- begin

TEST_P(StoreContract, BeginMarksExactlyTheOccurrenceItNames) {
  const SessionId session = OpenSession();
  JobDefinition definition = Hourly("a");
  definition.delivery = Delivery::kAtMostOnce;
  const ClaimedJob job = Own(session, definition);
  const Instant fire = job.present.fire_time;
  EXPECT_THAT(Must(store_->Begin(session, {{job.key, job.fence + 1, fire, 1}})), testing::ElementsAre(false));
  EXPECT_THAT(Must(store_->Begin(session, {{job.key, job.fence, fire + kHour, 1}})), testing::ElementsAre(false));
  EXPECT_THAT(Must(store_->Begin(session, {{job.key, job.fence, fire, 2}})), testing::ElementsAre(false));
  EXPECT_THAT(Must(store_->Begin(OpenSession(), {{job.key, job.fence, fire, 1}})), testing::ElementsAre(false));
  EXPECT_FALSE(Must(store_->Recover(session, {})).jobs.at(0).present.begun);
  for (int i = 0; i < 2; ++i) {  // idempotent
    EXPECT_THAT(Must(store_->Begin(session, {{job.key + 1000, job.fence, fire, 1}, {job.key, job.fence, fire, 1}})),
                testing::ElementsAre(false, true));
  }
  EXPECT_TRUE(Must(store_->Begin(session, {})).empty());
  EXPECT_TRUE(Must(store_->Recover(session, {})).jobs.at(0).present.begun);
}

TEST_P(StoreContract, TheStartedMarkSurvivesItsPodAndEndsWithTheOccurrence) {
  const SessionId dead = OpenSession();
  JobDefinition definition = Hourly("a");
  definition.delivery = Delivery::kAtMostOnce;
  ClaimedJob job = Own(dead, definition);
  Must(store_->Begin(dead, {{job.key, job.fence, job.present.fire_time, 1}}));
  Bury(dead);
  const SessionId heir = OpenSession();
  job = ClaimOne(heir);
  EXPECT_TRUE(job.present.begun);
  const auto lost = SettleBeforeStart(definition, job.present, start_);
  ASSERT_TRUE(lost && lost->run);
  EXPECT_EQ(lost->run->verdict, Verdict::kLost);
  EXPECT_EQ(Commit(heir, Wrap(job, *lost)).outcome, CommitOutcome::kApplied);
  job = ClaimOne(heir);
  EXPECT_FALSE(job.present.begun);
  EXPECT_EQ(job.present.lost, 0);
}

// --- commit

TEST_P(StoreContract, ACommitSettlesAndWritesHistory) {
  const SessionId session = OpenSession("the pod");
  const ClaimedJob job = Own(session, Hourly("a"));
  const Instant fire = job.present.fire_time;
  const CommitAnswer answer = Commit(session, Finish(job));
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept);
  const JobInfo info = Get("a");
  EXPECT_EQ(info.cursor, fire);
  EXPECT_EQ(info.fire_time, fire + kHour);
  EXPECT_EQ(info.settled_total, 1);
  EXPECT_EQ(info.state, JobState::kActive);
  EXPECT_FALSE(info.owner_pod);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].job_id, "a");
  EXPECT_EQ(runs[0].fire_time, fire);
  EXPECT_EQ(runs[0].last_fire, fire);
  EXPECT_EQ(runs[0].attempt, 1);
  EXPECT_EQ(runs[0].verdict, Verdict::kSucceeded);
  EXPECT_EQ(runs[0].settles, 1);
  EXPECT_EQ(runs[0].started_at, fire);
  EXPECT_EQ(runs[0].finished_at, fire + std::chrono::milliseconds(5));
  EXPECT_GE(runs[0].settled_at, start_);
  EXPECT_EQ(runs[0].pod, "the pod");
  EXPECT_EQ(runs[0].error, "");
}

TEST_P(StoreContract, AResendOfACommitIsAppliedOnce) {
  for (const bool keep : {false, true}) {
    const std::string id = keep ? "kept" : "handed back";
    const SessionId session = OpenSession();
    const Completion completion = Finish(Own(session, Hourly(id)), Verdict::kFailed, keep);
    EXPECT_EQ(Commit(session, completion).outcome, CommitOutcome::kApplied);
    for (int i = 0; i < 2; ++i) {
      const CommitAnswer again = Commit(session, completion);
      EXPECT_EQ(again.outcome, CommitOutcome::kAlreadyApplied);
      EXPECT_EQ(again.kept, keep);
    }
    EXPECT_EQ(Get(id).settled_total, 1);
    EXPECT_EQ(Runs(id).size(), 1U);
    Must(store_->Remove(id));
    Must(store_->EndSession(session));
  }
}

TEST_P(StoreContract, AResendAfterTheJobMovedOnIsStillKnown) {
  const SessionId session = OpenSession();
  const Completion completion = Finish(Own(session, Hourly("a")));
  Commit(session, completion);
  const SessionId other = OpenSession();
  Commit(other, Finish(ClaimOne(other)));
  const CommitAnswer again = Commit(session, completion);
  EXPECT_EQ(again.outcome, CommitOutcome::kAlreadyApplied);
  EXPECT_FALSE(again.kept);
  EXPECT_EQ(Get("a").settled_total, 2);
}

TEST_P(StoreContract, AStalePodChangesNothing) {
  const SessionId frozen = OpenSession();
  const ClaimedJob job = Own(frozen, Hourly("a"));
  Bury(frozen);
  EXPECT_EQ(Commit(frozen, Finish(job)).outcome, CommitOutcome::kStale) << "before another pod claimed it";
  const SessionId heir = OpenSession();
  const ClaimedJob inherited = ClaimOne(heir);
  EXPECT_EQ(Commit(frozen, Finish(job)).outcome, CommitOutcome::kStale) << "while another pod owns it";
  EXPECT_EQ(Commit(heir, Finish(inherited)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Commit(frozen, Finish(job)).outcome, CommitOutcome::kStale) << "after another pod settled it";
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_EQ(Runs("a").size(), 1U);
}

TEST_P(StoreContract, ACommitAppliesOnlyWhereFenceFireTimeAndAttemptAreEqual) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  std::vector<Completion> wrong(5, Finish(job));
  wrong[0].fence -= 1;
  wrong[1].fence += 1;
  wrong[2].fire_time += kHour;
  wrong[3].attempt += 1;
  wrong[4].key += 1000;
  for (const Completion& completion : wrong) EXPECT_EQ(Commit(session, completion).outcome, CommitOutcome::kStale);
  EXPECT_EQ(Commit(OpenSession(), Finish(job)).outcome, CommitOutcome::kStale);
  EXPECT_EQ(Get("a").settled_total, 0);
  EXPECT_TRUE(Runs("a").empty());
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
}

TEST_P(StoreContract, AKeptJobStaysOwnedUnderItsFence) {
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, Hourly("a"));
  for (int i = 1; i <= 3; ++i) {
    const Completion completion = Finish(job, Verdict::kSucceeded, /*keep=*/true);
    const CommitAnswer answer = Commit(session, completion);
    EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
    EXPECT_TRUE(answer.kept);
    job.present = Advance(job.present, completion.next);
    EXPECT_TRUE(Claim(OpenSession()).empty());
    EXPECT_EQ(Get("a").fence, job.fence);
    EXPECT_EQ(Get("a").settled_total, i);
  }
}

TEST_P(StoreContract, AJobThatIsNotKeptIsClaimableAtItsNextPoint) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Commit(session, Finish(job));
  EXPECT_TRUE(Claim(session, 10, kHour).empty());
  const ClaimedJob next = ClaimOne(OpenSession());
  EXPECT_EQ(next.present.fire_time, job.present.fire_time + kHour);
  EXPECT_EQ(next.present.due_at, next.present.fire_time);
  EXPECT_EQ(next.present.cursor, job.present.fire_time);
  EXPECT_GT(next.fence, job.fence);
}

TEST_P(StoreContract, ARetryKeepsTheOccurrence) {
  JobDefinition definition = Hourly("a");
  definition.retry = {.max_attempts = 2, .delay = 40 * kMinute};
  const SessionId session = OpenSession();
  const ClaimedJob first = Own(session, definition);
  const Instant fire = first.present.fire_time;
  EXPECT_EQ(Commit(session, Finish(first, Verdict::kTimedOut, false, "too slow")).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").settled_total, 0);
  EXPECT_TRUE(Claim(session, 10, 30 * kMinute).empty()) << "not before the delay is over";
  const ClaimedJob second = ClaimOne(session);
  EXPECT_EQ(second.present.fire_time, fire);
  EXPECT_EQ(second.present.due_at, fire + 40 * kMinute);
  EXPECT_EQ(second.present.attempt, 2);
  EXPECT_EQ(second.present.cursor, first.present.cursor);
  EXPECT_EQ(Commit(session, Finish(first, Verdict::kTimedOut)).outcome, CommitOutcome::kAlreadyApplied);
  EXPECT_EQ(Commit(session, Finish(second, Verdict::kFailed, false, "no")).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_EQ(Get("a").fire_time, fire + kHour);
  const auto runs = Runs("a");  // newest first
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].attempt, 2);
  EXPECT_EQ(runs[0].settles, 1);
  EXPECT_EQ(runs[0].error, "no");
  EXPECT_EQ(runs[1].attempt, 1);
  EXPECT_EQ(runs[1].settles, 0);
  EXPECT_EQ(runs[1].verdict, Verdict::kTimedOut);
}

TEST_P(StoreContract, DeadPodsAreCountedUntilTheOccurrenceIsSettled) {
  JobDefinition definition = Hourly("a");
  definition.retry.max_attempts = 2;
  Enqueue(definition);
  for (int deaths = 0; deaths < 3; ++deaths) {
    const SessionId session = OpenSession();
    EXPECT_EQ(ClaimOne(session).present.lost, deaths);
    Bury(session);
  }
  const SessionId session = OpenSession();
  Commit(session, Finish(ClaimOne(session), Verdict::kFailed));
  ClaimedJob job = ClaimOne(session);
  EXPECT_EQ(job.present.lost, 3) << "a retry is the same occurrence";
  Commit(session, Finish(job));
  EXPECT_EQ(ClaimOne(session).present.lost, 0);
}

TEST_P(StoreContract, TheLastPointFinishesTheJob) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Once("a", kMinute));
  const CommitAnswer answer = Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept);
  const JobInfo info = Get("a");
  EXPECT_EQ(info.state, JobState::kFinished);
  EXPECT_EQ(info.fire_time, std::nullopt);
  EXPECT_EQ(info.settled_total, 1);
  EXPECT_FALSE(info.owner_pod);
  EXPECT_TRUE(Claim(session, 10, 365 * kDay).empty());
}

TEST_P(StoreContract, ASkippedStretchIsOneRow) {
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, Hourly("a"));
  const Instant first = job.present.fire_time;
  const auto skip = SkipStretch(*job.definition, job.present, first + 5 * kHour, Verdict::kSkippedMisfired);
  ASSERT_TRUE(skip.has_value());
  EXPECT_TRUE(Commit(session, Wrap(job, *skip, /*keep=*/true)).kept);
  EXPECT_EQ(Commit(session, Wrap(job, *skip, /*keep=*/true)).outcome, CommitOutcome::kAlreadyApplied);
  job.present = Advance(job.present, skip->next);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").settled_total, 6);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].verdict, Verdict::kSkippedMisfired);
  EXPECT_EQ(runs[1].fire_time, first);
  EXPECT_EQ(runs[1].last_fire, first + 4 * kHour);
  EXPECT_EQ(runs[1].settles, 5);
  EXPECT_FALSE(runs[1].started_at || runs[1].finished_at);
}

TEST_P(StoreContract, ABatchAnswersEachCompletionForItself) {
  const SessionId session = OpenSession();
  for (int i = 0; i < 5; ++i) Enqueue(Hourly("job-" + std::to_string(i)));
  const auto jobs = Claim(session);
  ASSERT_EQ(jobs.size(), 5U);
  std::vector<Completion> batch;
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job)
    batch.push_back(Finish(*job, Verdict::kFailed, false, "no"));
  EXPECT_EQ(Commit(session, batch[1]).outcome, CommitOutcome::kApplied);
  batch[2].fence -= 1;
  const CommitReply reply = Must(store_->Commit(session, batch));
  EXPECT_GE(reply.store_time, start_);
  std::vector<CommitOutcome> outcomes;
  for (const CommitAnswer& answer : reply.answers) outcomes.push_back(answer.outcome);
  EXPECT_THAT(outcomes, testing::ElementsAre(CommitOutcome::kApplied, CommitOutcome::kAlreadyApplied,
                                             CommitOutcome::kStale, CommitOutcome::kApplied, CommitOutcome::kApplied));
  EXPECT_TRUE(Must(store_->Commit(session, {})).answers.empty());
}

TEST_P(StoreContract, TextThatNoStoreCanHoldIsMadeValidNotRefused) {
  using namespace std::string_literals;
  const SessionId session = OpenSession();
  for (const char* id : {"a", "b", "c"}) Enqueue(Hourly(id));
  std::vector<Completion> batch;
  for (const ClaimedJob& job : Claim(session)) batch.push_back(Finish(job, Verdict::kFailed, false, "fine"));
  ASSERT_EQ(batch.size(), 3U);
  batch[1].run->error = "before\0\xFF\xC3 after"s;
  for (const CommitAnswer& answer : Must(store_->Commit(session, batch)).answers) {
    EXPECT_EQ(answer.outcome, CommitOutcome::kApplied) << answer.error;
  }
  int odd = 0;
  for (const RunInfo& run : Must(store_->Runs({}))) {
    EXPECT_TRUE(IsValidText(run.error));
    if (run.error == "fine") continue;
    ++odd;
    EXPECT_THAT(run.error, testing::StartsWith("before"));
    EXPECT_THAT(run.error, testing::EndsWith(" after"));
  }
  EXPECT_EQ(odd, 1);
}

TEST_P(StoreContract, ALargeBatchIsAppliedWhole) {
  constexpr int kJobs = 1500;
  std::vector<JobDefinition> definitions;
  for (int i = 0; i < kJobs; ++i) definitions.push_back(Hourly("job-" + std::to_string(i)));
  Must(store_->Enqueue(definitions));
  const SessionId session = OpenSession();
  auto jobs = Claim(session, kJobs);
  ASSERT_EQ(jobs.size(), static_cast<std::size_t>(kJobs));
  std::shuffle(jobs.begin(), jobs.end(), std::minstd_rand(1));
  std::vector<Completion> batch;
  for (const ClaimedJob& job : jobs) batch.push_back(Finish(job, Verdict::kSucceeded, /*keep=*/true));
  const auto answers = Must(store_->Commit(session, batch)).answers;
  EXPECT_EQ(std::count_if(answers.begin(), answers.end(),
                          [](const auto& a) { return a.outcome == CommitOutcome::kApplied && a.kept; }),
            kJobs);
}

// --- enqueue

TEST_P(StoreContract, TheSameDefinitionAgainChangesNothing) {
  EXPECT_EQ(Enqueue(Hourly("a")), EnqueueOutcome::kCreated);
  const JobInfo before = Get("a");
  EXPECT_EQ(Enqueue(Hourly("a")), EnqueueOutcome::kUnchanged);
  const JobInfo after = Get("a");
  EXPECT_EQ(after.version, 1);
  EXPECT_EQ(after.created_at, before.created_at);
  EXPECT_FALSE(ClaimOne(OpenSession()).present.to_plan);
}

TEST_P(StoreContract, AnUnanchoredJobBeginsWithItsCreation) {
  const JobDefinition plain{.id = "a", .schedule = Schedule::Every({.interval = kHour}).value(), .task = "work"};
  Enqueue(plain);
  const JobInfo info = Get("a");
  EXPECT_EQ(info.fire_time, info.created_at + kHour);
  const SessionId session = OpenSession();
  Commit(session, Finish(ClaimOne(session)));
  EXPECT_EQ(Get("a").fire_time, info.created_at + 2 * kHour);
}

TEST_P(StoreContract, AnInstantThatPassedIsAnOccurrenceStill) {
  Enqueue(Once("a", -kDay));
  EXPECT_EQ(Get("a").fire_time, start_ - kDay);
  EXPECT_EQ(Claim(OpenSession(), 10, Duration::zero()).size(), 1U);
}

TEST_P(StoreContract, AJobWithoutPointsIsFinishedAtOnce) {
  JobDefinition job = Hourly("a");
  job.schedule = Schedule::Every({.interval = kHour, .anchor = start_ - kDay, .end = start_ - kHour}).value();
  EXPECT_EQ(Enqueue(job), EnqueueOutcome::kCreated);
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Get("a").fire_time, std::nullopt);
  EXPECT_TRUE(Claim(OpenSession()).empty());
}

TEST_P(StoreContract, ABatchWithOneBadJobChangesNothing) {
  JobDefinition bad = Hourly("bad");
  bad.task = "";
  JobDefinition changed = Hourly("old");
  Enqueue(changed);
  changed.payload = "new";
  const auto result = store_->Enqueue({Hourly("good"), changed, bad});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalidArgument);
  EXPECT_THAT(result.error().message, testing::HasSubstr("task"));
  EXPECT_FALSE(Exists("good"));
  EXPECT_EQ(Get("old").version, 1);
}

TEST_P(StoreContract, ABatchAnswersEachJobForItself) {
  Enqueue(Hourly("same"));
  Enqueue(Hourly("changed"));
  JobDefinition changed = Hourly("changed");
  changed.payload = "new";
  EXPECT_THAT(Must(store_->Enqueue({Hourly("new"), changed, Hourly("same")})),
              testing::ElementsAre(EnqueueOutcome::kCreated, EnqueueOutcome::kUpdated, EnqueueOutcome::kUnchanged));
  EXPECT_TRUE(Must(store_->Enqueue({})).empty());
}

// --- changes of a definition

TEST_P(StoreContract, AChangedJobIsClaimableAtOnceAndPlannedByItsNextOwner) {
  Enqueue(Hourly("a", 10 * kHour));
  JobDefinition changed = Hourly("a", 20 * kMinute);
  EXPECT_EQ(Enqueue(changed), EnqueueOutcome::kUpdated);
  const SessionId session = OpenSession();
  auto jobs = Claim(session, 10, kMinute);
  ASSERT_EQ(jobs.size(), 1U);
  ClaimedJob& job = jobs[0];
  EXPECT_TRUE(*job.definition == changed);
  EXPECT_EQ(job.present.version, 2);
  EXPECT_GE(job.present.planned_from, start_);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, start_ + 20 * kMinute);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  const JobInfo info = Get("a");
  EXPECT_EQ(info.fire_time, start_ + kHour + 20 * kMinute);
  EXPECT_EQ(info.version, 2);
  EXPECT_EQ(info.settled_total, 1);
  EXPECT_FALSE(ClaimOne(session).present.to_plan);
}

TEST_P(StoreContract, AChangeUnderWayLetsTheRunSettleAndWinsAfterIt) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  const JobDefinition changed = Hourly("a", 30 * kMinute);
  EXPECT_EQ(Enqueue(changed), EnqueueOutcome::kUpdated);
  EXPECT_TRUE(Claim(OpenSession()).empty()) << "it is owned still";
  const CommitAnswer answer = Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept);
  EXPECT_EQ(Get("a").settled_total, 1);
  auto jobs = Claim(session, 10, kMinute);
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].present.cursor, job.present.fire_time);
  PlanAnew(session, jobs[0]);
  EXPECT_EQ(jobs[0].present.fire_time, start_ + 30 * kMinute);
}

TEST_P(StoreContract, AChangeLetsTheLastPointOfTheOldScheduleSettle) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Once("a", kMinute));
  Enqueue(Hourly("a", 30 * kMinute));
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kActive) << "the new schedule has points";
  auto jobs = Claim(session, 10, kMinute);
  ASSERT_EQ(jobs.size(), 1U);
  PlanAnew(session, jobs[0]);
  EXPECT_EQ(jobs[0].present.fire_time, start_ + 30 * kMinute);
}

TEST_P(StoreContract, ARetryUnderWayKeepsItsOccurrenceThroughAChange) {
  JobDefinition definition = Hourly("a");
  definition.retry.max_attempts = 3;
  const SessionId session = OpenSession();
  const ClaimedJob first = Own(session, definition);
  Commit(session, Finish(first, Verdict::kFailed));
  definition.schedule = Grid(kHour, 30 * kMinute);
  Enqueue(definition);
  ClaimedJob job = ClaimOne(session);
  EXPECT_EQ(job.present.attempt, 2);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, first.present.fire_time);
  EXPECT_EQ(job.present.attempt, 2);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").fire_time, start_ + 30 * kMinute);
  const Audit audit = Must(store_->AuditWindow("a", start_, start_ + 20 * kMinute));
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_P(StoreContract, SkipsMadeUnderAnOlderVersionAreRefused) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Enqueue(Hourly("a", 30 * kMinute));
  const auto skip = SkipStretch(*job.definition, job.present, start_ + kDay, Verdict::kSkippedMisfired);
  EXPECT_EQ(Commit(session, Wrap(job, *skip)).outcome, CommitOutcome::kStale);
  EXPECT_EQ(Get("a").settled_total, 0);
  EXPECT_TRUE(Runs("a").empty());
}

TEST_P(StoreContract, AFinishedJobWithANewScheduleIsActiveAgain) {
  const SessionId session = OpenSession();
  Commit(session, Finish(Own(session, Once("a", kMinute))));
  EXPECT_EQ(Enqueue(Once("a", 2 * kMinute)), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  ClaimedJob job = ClaimOne(session);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, start_ + 2 * kMinute);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Get("a").settled_total, 2);
}

TEST_P(StoreContract, PlansMadeUnderAnOlderVersionAreRefused) {
  Enqueue(Hourly("a"));
  Enqueue(Hourly("a", 30 * kMinute));
  const SessionId session = OpenSession();
  const ClaimedJob job = ClaimOne(session);
  Enqueue(Hourly("a", 40 * kMinute));
  const auto plan = SettleBeforeStart(*job.definition, job.present, start_);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(Commit(session, Wrap(job, *plan, /*keep=*/true)).outcome, CommitOutcome::kStale);
  EXPECT_EQ(Get("a").fire_time, start_ + 10 * kMinute) << "a point that no reigning version has may not be kept";
}

TEST_P(StoreContract, APointOfAVersionThatNeverReignedIsNotKept) {
  JobDefinition definition = Hourly("a");
  definition.lost_limit = 1;
  SessionId dead = OpenSession();
  Own(dead, definition);
  Bury(dead);
  definition.schedule = Grid(kHour, 30 * kMinute);
  Enqueue(definition);
  const SessionId session = OpenSession();
  const ClaimedJob second = ClaimOne(session);
  const auto lost = SettleBeforeStart(*second.definition, second.present, start_);  // plans under version 2
  ASSERT_TRUE(lost && lost->run);
  definition.schedule = Grid(kHour, 40 * kMinute);
  Enqueue(definition);
  EXPECT_EQ(Commit(session, Wrap(second, *lost)).outcome, CommitOutcome::kApplied);
  dead = OpenSession();
  ClaimOne(dead);
  Bury(dead);
  ClaimedJob third = ClaimOne(session);
  PlanAnew(session, third);
  EXPECT_EQ(third.present.fire_time, start_ + 40 * kMinute);
  const Audit audit = Must(store_->AuditWindow("a", start_, start_ + 35 * kMinute));
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_P(StoreContract, ASettledOccurrenceIsNotRunAgainAfterItsPodDiedBeforePlanning) {
  const SessionId session = OpenSession();
  Commit(session, Finish(Own(session, Once("a", kMinute))));
  Enqueue(Once("a", 2 * kMinute));
  const SessionId dead = OpenSession();
  ClaimOne(dead);
  Bury(dead);
  ClaimedJob job = ClaimOne(session);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, start_ + 2 * kMinute);
}

TEST_P(StoreContract, APlanWithoutPointsFinishesTheJob) {
  Enqueue(Hourly("a"));
  Enqueue(Once("a", -kDay));
  const SessionId session = OpenSession();
  ClaimedJob job = ClaimOne(session);
  PlanAnew(session, job);
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Get("a").settled_total, 0);
}

// --- remove

TEST_P(StoreContract, ARemovedJobIsGone) {
  Enqueue(Hourly("a"));
  Must(store_->Remove("a"));
  EXPECT_FALSE(Exists("a"));
  EXPECT_TRUE(Claim(OpenSession()).empty());
}

TEST_P(StoreContract, ARunUnderWayIsSettledBeforeItsJobIsGone) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->Remove("a"));
  const CommitAnswer answer = Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept);
  EXPECT_FALSE(Exists("a"));
  EXPECT_TRUE(Claim(session).empty());
  EXPECT_EQ(Runs("a").size(), 1U) << "history outlives the job";
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kSucceeded, true)).outcome, CommitOutcome::kAlreadyApplied);
}

TEST_P(StoreContract, ARemovedJobIsGoneWhenItsOwnerIs) {
  const SessionId dead = OpenSession();
  const SessionId releasing = OpenSession();
  Own(dead, Hourly("a"));
  const ClaimedJob b = Own(releasing, Hourly("b"));
  Must(store_->Remove("a"));
  Must(store_->Remove("b"));
  Bury(dead);
  Must(store_->Release(releasing, {{b.key, b.fence}}));
  EXPECT_FALSE(Exists("a"));
  EXPECT_FALSE(Exists("b"));
  EXPECT_TRUE(Claim(OpenSession()).empty());
}

TEST_P(StoreContract, FencesAndKeysOfOneIdNeverStartAgain) {
  JobKey key = 0;
  Fence fence = 0;
  const SessionId session = OpenSession();
  for (int i = 0; i < 3; ++i) {
    const ClaimedJob job = Own(session, Hourly("a"));
    EXPECT_NE(job.key, key);
    EXPECT_GT(job.fence, fence);
    key = job.key;
    fence = job.fence;
    Must(store_->Release(session, {{key, fence}}));
    Must(store_->Remove("a"));
    WaitUntil(Must(store_->Now()) + std::chrono::milliseconds(5));
  }
}

TEST_P(StoreContract, AJobCreatedAnewIsNotTouchedByTheOldOnesRun) {
  const SessionId session = OpenSession();
  const ClaimedJob old = Own(session, Hourly("a"));
  Must(store_->Remove("a"));
  WaitUntil(Must(store_->Now()) + std::chrono::milliseconds(5));
  ASSERT_EQ(Enqueue(Hourly("a")), EnqueueOutcome::kCreated);
  Commit(session, Finish(old));
  const JobInfo info = Get("a");
  EXPECT_EQ(info.settled_total, 0);
  EXPECT_EQ(info.fire_time, start_ + 10 * kMinute);
  EXPECT_EQ(info.state, JobState::kActive);
  EXPECT_NE(ClaimOne(session).key, old.key);
}

TEST_P(StoreContract, WhatIsNotThereIsNotFound) {
  for (const Status& status : {store_->Remove("nothing"), store_->Pause("nothing"), store_->Resume("nothing")}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kNotFound);
  }
  ASSERT_FALSE(store_->Get("nothing"));
  EXPECT_EQ(store_->Get("nothing").error().code, Code::kNotFound);
  EXPECT_TRUE(Runs("nothing").empty());
}

// --- pause and resume

TEST_P(StoreContract, APausedJobIsNotClaimed) {
  Enqueue(Hourly("a"));
  Must(store_->Pause("a"));
  EXPECT_TRUE(store_->Pause("a")) << "idempotent";
  EXPECT_EQ(Get("a").state, JobState::kPaused);
  EXPECT_TRUE(Claim(OpenSession()).empty());
  Must(store_->Resume("a"));
  EXPECT_TRUE(store_->Resume("a")) << "idempotent";
  EXPECT_EQ(Get("a").state, JobState::kActive);
  EXPECT_EQ(ClaimOne(OpenSession()).present.fire_time, start_ + 10 * kMinute);
  EXPECT_TRUE(Runs("a").empty()) << "no point passed meanwhile";
}

TEST_P(StoreContract, ResumeSettlesThePausedStretchAsOneRow) {
  const Duration interval = std::chrono::milliseconds(2);
  Enqueue({.id = "a", .schedule = Schedule::Every({.interval = interval}).value(), .task = "work"});
  Must(store_->Pause("a"));
  const JobInfo paused = Get("a");
  WaitUntil(*paused.fire_time + 5 * interval);
  Must(store_->Resume("a"));
  const JobInfo resumed = Get("a");
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].verdict, Verdict::kSkippedPaused);
  EXPECT_EQ(runs[0].fire_time, *paused.fire_time);
  EXPECT_EQ(runs[0].last_fire, resumed.cursor);
  EXPECT_GE(runs[0].settles, 6);
  EXPECT_EQ(resumed.settled_total, runs[0].settles);
  EXPECT_EQ(*resumed.fire_time - *paused.fire_time, runs[0].settles * interval);
  EXPECT_EQ(ClaimOne(OpenSession()).present.fire_time, *resumed.fire_time);
  const Audit audit = Must(store_->AuditWindow("", paused.created_at, *resumed.fire_time));
  EXPECT_EQ(audit.expected, runs[0].settles);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_P(StoreContract, APauseUnderWayLetsTheRunSettleAndWinsAfterIt) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->Pause("a"));
  const CommitAnswer answer = Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept);
  const JobInfo info = Get("a");
  EXPECT_EQ(info.state, JobState::kPaused);
  EXPECT_EQ(info.settled_total, 1);
  EXPECT_FALSE(info.owner_pod);
  EXPECT_TRUE(Claim(session).empty());
  Must(store_->Resume("a"));
  EXPECT_EQ(ClaimOne(session).present.fire_time, job.present.fire_time + kHour);
}

TEST_P(StoreContract, APausedJobStaysPausedWhenItsOwnerDies) {
  const SessionId session = OpenSession();
  Own(session, Hourly("a"));
  Must(store_->Pause("a"));
  Bury(session);
  EXPECT_TRUE(Claim(OpenSession()).empty());
  Must(store_->Resume("a"));
  EXPECT_EQ(Claim(OpenSession()).size(), 1U);
}

TEST_P(StoreContract, AChangeLeavesAPausedJobPaused) {
  Enqueue(Hourly("a"));
  Must(store_->Pause("a"));
  EXPECT_EQ(Enqueue(Hourly("a", 30 * kMinute)), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Get("a").state, JobState::kPaused);
  EXPECT_TRUE(Claim(OpenSession()).empty());
  Must(store_->Resume("a"));
  const SessionId session = OpenSession();
  ClaimedJob job = ClaimOne(session);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, start_ + 30 * kMinute);
}

// --- questions

TEST_P(StoreContract, ListFiltersByPrefixStateAndLimit) {
  for (const char* id : {"job-1", "job-2", "job-3", "other", "job%", "job_4"}) Enqueue(Hourly(id));
  Must(store_->Pause("job-2"));
  const auto list = [&](const JobFilter& filter) {
    std::set<std::string> ids;
    for (const JobInfo& info : Must(store_->List(filter))) ids.insert(info.definition.id);
    return ids;
  };
  EXPECT_THAT(list({}), testing::SizeIs(6));
  EXPECT_THAT(list({.id_prefix = "job-"}), testing::ElementsAre("job-1", "job-2", "job-3"));
  EXPECT_THAT(list({.id_prefix = "job_"}), testing::ElementsAre("job_4")) << "a prefix is not a pattern";
  EXPECT_THAT(list({.id_prefix = "job%"}), testing::ElementsAre("job%"));
  EXPECT_THAT(list({.state = JobState::kPaused}), testing::ElementsAre("job-2"));
  EXPECT_THAT(list({.id_prefix = "job-", .limit = 2}), testing::SizeIs(2));
}

TEST_P(StoreContract, RunsFilterByJobWindowAndLimitNewestFirst) {
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, Hourly("a"));
  const Instant first = job.present.fire_time;
  for (int i = 0; i < 4; ++i) {
    const Completion completion = Finish(job, Verdict::kSucceeded, /*keep=*/true);
    Commit(session, completion);
    job.present = Advance(job.present, completion.next);
  }
  Enqueue(Hourly("b"));
  Commit(session, Finish(ClaimOne(session)));
  EXPECT_EQ(Must(store_->Runs({})).size(), 5U);
  EXPECT_EQ(Runs("b").size(), 1U);
  EXPECT_EQ(Runs("a").at(0).fire_time, first + 3 * kHour);
  const auto limited = Must(store_->Runs({.job_id = "a", .limit = 2}));
  ASSERT_EQ(limited.size(), 2U);
  EXPECT_EQ(limited[1].fire_time, first + 2 * kHour);
  const auto window = Must(store_->Runs({.job_id = "a", .fire_from = first + kHour, .fire_to = first + 3 * kHour}));
  ASSERT_EQ(window.size(), 2U);
  EXPECT_EQ(window[0].fire_time, first + 2 * kHour);
  EXPECT_EQ(window[1].fire_time, first + kHour);
}

TEST_P(StoreContract, StatsCountJobsByStateAndTheOverdue) {
  Enqueue(Once("overdue", -kMinute));
  Enqueue(Hourly("future"));
  Enqueue(Hourly("paused"));
  Must(store_->Pause("paused"));
  StoreStats stats = Must(store_->Stats());
  EXPECT_EQ(stats.jobs[JobState::kActive], 2);
  EXPECT_EQ(stats.jobs[JobState::kPaused], 1);
  EXPECT_EQ(stats.overdue, 1);
  const SessionId session = OpenSession();
  const auto jobs = Claim(session, 10, Duration::zero());
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(Must(store_->Stats()).overdue, 0) << "it is owned";
  Commit(session, Finish(jobs[0]));
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kFinished], 1);
}

TEST_P(StoreContract, TheTotalRateIsThatOfAllActiveJobs) {
  for (int i = 0; i < 5; ++i) {
    Enqueue({.id = std::to_string(i), .schedule = Grid(std::chrono::milliseconds(500), kHour), .task = "work"});
  }
  Must(store_->Pause("0"));
  Must(store_->Maintain({}));
  EXPECT_NEAR(Must(store_->Beat({.session = OpenSession()})).total_rate, 8.0, 1e-6);
}

TEST_P(StoreContract, MaintainingIsHarmlessAtAnyTime) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  const auto other = Connect();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(store_->Maintain({.history_days = 1}));
    EXPECT_TRUE(other->Maintain({.history_days = 1}));
  }
  EXPECT_EQ(Runs("a").size(), 1U) << "young history stays";
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_EQ(Must(store_->Recover(session, {})).jobs.size(), 1U);
}

// --- the conservation law

TEST_P(StoreContract, TheAuditFindsPointsWithoutAVerdict) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("job-1"));
  Enqueue(Hourly("job-2"));
  Enqueue(Hourly("other"));
  for (const ClaimedJob& job : Claim(session)) {
    if (job.definition->id == "job-1") Commit(session, Finish(job));
  }
  Audit audit = Must(store_->AuditWindow("job-", start_, start_ + 2 * kHour));
  EXPECT_EQ(audit.jobs, 2);
  EXPECT_EQ(audit.expected, 4);
  EXPECT_EQ(audit.missing, 3);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_THAT(audit.settled, testing::ElementsAre(testing::Pair(Verdict::kSucceeded, 1)));
  EXPECT_EQ(Must(store_->AuditWindow("", start_ - kDay, start_)).expected, 0) << "no points before the creation";
  EXPECT_EQ(Must(store_->AuditWindow("none", start_, start_ + kDay)).jobs, 0);
}

TEST_P(StoreContract, RacingPodsSettleEachPointOnce) {
  constexpr int kJobs = 40;
  constexpr int kPoints = 12;
  constexpr int kThreads = 4;
  const Instant end = start_ + kMinute + kPoints * kMinute;
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < kJobs; ++i) {
    jobs.push_back({.id = "job-" + std::to_string(i),
                    .schedule = Schedule::Every({.interval = kMinute, .anchor = start_ + kMinute, .end = end}).value(),
                    .task = "work"});
  }
  Must(store_->Enqueue(jobs));
  std::atomic<int> settled = 0;
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, session = OpenSession(), store = std::shared_ptr<JobStore>(Connect())] {
        for (int i = 0; i < 5'000 && settled < kJobs * kPoints && failures == 0; ++i) {
          const auto claim = store->Claim({session, kDay, 9, {"default"}});
          if (!claim) {
            ++failures;
            continue;
          }
          std::vector<Completion> batch;
          for (const ClaimedJob& job : claim->jobs) batch.push_back(Finish(job));
          const auto reply = store->Commit(session, batch);
          if (!reply) {
            ++failures;
            continue;
          }
          for (const CommitAnswer& answer : reply->answers) {
            ++(answer.outcome == CommitOutcome::kApplied ? settled : failures);
          }
        }
      });
    }
  }
  EXPECT_EQ(failures, 0);
  const Audit audit = Must(store_->AuditWindow("job-", start_, end + kDay));
  EXPECT_EQ(audit.expected, kJobs * kPoints);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kFinished], kJobs);
}

// Pods that die, freeze, retry, skip, resend and release, and users who change, pause and resume: whatever happens,
// when all that was due is settled, every point has one verdict.
TEST_P(StoreContract, TheLawHoldsOverRandomHistories) {
  struct Pod {
    SessionId session = 0;
    std::vector<ClaimedJob> held;
    std::vector<Completion> sent;
  };
  constexpr Verdict kOutcomes[] = {Verdict::kSucceeded, Verdict::kSucceeded, Verdict::kFailed, Verdict::kTimedOut,
                                   Verdict::kCancelled};
  for (const unsigned seed : {1U, 2U, 3U}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::minstd_rand random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() / 7 % static_cast<unsigned>(n)); };
    const std::string prefix = "law-" + std::to_string(seed) + "-";
    const Instant begin = Must(store_->Now());
    Instant now = begin;  // as the pods believe
    const auto define = [&](int i) {
      JobDefinition job{.id = prefix + std::to_string(i),
                        .schedule = Grid((1 + pick(3)) * kMinute, Duration(pick(60'000'000))),
                        .task = "work"};
      job.late = static_cast<LatePolicy>(pick(3));
      job.late_limit = 1 + pick(3);
      job.delivery = static_cast<Delivery>(pick(2));
      job.retry = {.max_attempts = 1 + pick(3), .delay = Duration(pick(90'000'000))};
      job.lost_limit = 1 + pick(3);
      return job;
    };
    constexpr int kJobs = 6;
    for (int i = 0; i < kJobs; ++i) Enqueue(define(i));
    std::vector<Pod> pods(3);
    for (Pod& pod : pods) pod.session = OpenSession();

    const auto forget = [&](Pod& pod, std::size_t i) {
      pod.held.erase(pod.held.begin() + static_cast<std::ptrdiff_t>(i));
    };
    // Takes one step with a held job, as a pod would.
    const auto advance = [&](Pod& pod, std::size_t i, bool keep) {
      ClaimedJob& job = pod.held[i];
      auto settlement = SettleBeforeStart(*job.definition, job.present, now);
      if (!settlement) {
        if (job.present.due_at > now) return;
        if (job.definition->delivery == Delivery::kAtMostOnce) {
          if (!Must(
                  store_->Begin(pod.session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}}))[0]) {
            return forget(pod, i);
          }
          job.present.begun = true;
          if (pick(8) == 0) return;  // hangs; a begun occurrence of a living pod is settled as lost next time
        }
        settlement = Settle(*job.definition, job.present, {.verdict = kOutcomes[pick(5)]}, now);
      }
      const Completion completion = Wrap(job, *settlement, keep);
      const CommitAnswer answer = Commit(pod.session, completion);
      pod.sent.push_back(completion);
      if (answer.outcome != CommitOutcome::kApplied || !answer.kept) return forget(pod, i);
      job.present = Advance(job.present, settlement->next);
    };
    for (int step = 0; step < 250; ++step) {
      now += Duration(pick(40'000'000));
      Pod& pod = pods[static_cast<std::size_t>(pick(3))];
      switch (pick(14)) {
        case 0:
        case 1:
        case 2: {
          const Duration horizon = std::max(Duration::zero(), now - Must(store_->Now()));
          for (const ClaimedJob& job : Claim(pod.session, 1 + pick(4), horizon)) pod.held.push_back(job);
          break;
        }
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
          if (!pod.held.empty())
            advance(pod, static_cast<std::size_t>(pick(static_cast<int>(pod.held.size()))), pick(2) == 0);
          break;
        case 8:  // dies, or is frozen and tries to commit afterwards
          Bury(pod.session);
          if (!pod.held.empty()) {
            EXPECT_EQ(Commit(pod.session, Finish(pod.held[0])).outcome, CommitOutcome::kStale);
          }
          pod = {.session = OpenSession(), .held = {}, .sent = {}};
          break;
        case 9:
          if (!pod.sent.empty()) {
            EXPECT_NE(Commit(pod.session, pod.sent[static_cast<std::size_t>(pick(static_cast<int>(pod.sent.size())))])
                          .outcome,
                      CommitOutcome::kRefused);
          }
          break;
        case 10:
          if (!pod.held.empty()) {
            Must(store_->Release(pod.session, {{pod.held[0].key, pod.held[0].fence}}));
            forget(pod, 0);
          }
          break;
        case 11:
          if (pick(3) == 0) Enqueue(define(pick(kJobs)));
          break;
        case 12: Must(store_->Pause(prefix + std::to_string(pick(kJobs)))); break;
        case 13: Must(store_->Resume(prefix + std::to_string(pick(kJobs)))); break;
        default: break;
      }
    }
    // Settle all that is due.
    for (int i = 0; i < kJobs; ++i) Must(store_->Resume(prefix + std::to_string(i)));
    for (const Pod& pod : pods) Must(store_->EndSession(pod.session));
    const Instant end = now;
    Pod last{.session = OpenSession(), .held = {}, .sent = {}};
    for (int round = 0; round < 3000; ++round) {
      bool open = false;
      for (int i = 0; i < kJobs; ++i) {
        const JobInfo info = Get(prefix + std::to_string(i));
        open = open || (info.fire_time && *info.fire_time < end);
      }
      if (!open) break;
      now += kMinute;  // so that the last retries become due
      for (const ClaimedJob& job : Claim(last.session, 100, std::max(Duration::zero(), now - Must(store_->Now())))) {
        last.held.push_back(job);
      }
      while (!last.held.empty()) {
        if (last.held[0].present.due_at > now) {
          Must(store_->Release(last.session, {{last.held[0].key, last.held[0].fence}}));
          forget(last, 0);
        } else {
          advance(last, 0, false);
        }
      }
    }
    const Audit audit = Must(store_->AuditWindow(prefix, begin - kDay, end));
    EXPECT_EQ(audit.jobs, kJobs);
    EXPECT_GT(audit.expected, 50);
    EXPECT_EQ(audit.missing, 0);
    EXPECT_EQ(audit.doubled, 0);
    std::int64_t settled = 0;
    for (const auto& [verdict, count] : audit.settled) settled += count;
    EXPECT_EQ(settled, audit.expected);
    Must(store_->EndSession(last.session));
    for (int i = 0; i < kJobs; ++i) Must(store_->Remove(prefix + std::to_string(i)));
  }
}

}  // namespace escapement
