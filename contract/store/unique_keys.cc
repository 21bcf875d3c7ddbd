// Unique keys: a key is held by one job at a time.

#include "contract/store_contract.h"

namespace escapement {
namespace {

JobDefinition With(JobDefinition job, const std::string& key, Duration window = Duration::zero()) {
  job.unique = key;
  job.unique_for = window;
  return job;
}

}  // namespace

TEST_P(StoreContract, OfTwoJobsWithOneUniqueKeyTheSecondIsNotCreated) {
  EXPECT_EQ(Enqueue(With(Hourly("a"), "key")), EnqueueOutcome::kCreated);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld);
  EXPECT_FALSE(Exists("b"));
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kActive], 1);
  EXPECT_EQ(Enqueue(With(Hourly("c"), "Key")), EnqueueOutcome::kCreated) << "another key";
  EXPECT_EQ(Enqueue(Hourly("b")), EnqueueOutcome::kCreated) << "without a key";
  EXPECT_EQ(Get("a").definition.unique, "key");
}

TEST_P(StoreContract, AJobThatHoldsItsKeyIsChangedAsEver) {
  const JobDefinition job = With(Hourly("a"), "key");
  Enqueue(job);
  EXPECT_EQ(Enqueue(job), EnqueueOutcome::kUnchanged);
  EXPECT_EQ(Enqueue(With(Hourly("a", 15 * kMinute), "key")), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld);
}

TEST_P(StoreContract, APausedJobHoldsItsKey) {
  Enqueue(With(Hourly("a"), "key"));
  Must(store_->Pause("a"));
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld);
}

TEST_P(StoreContract, AKeyIsFreeWhenItsJobIsFinishedOrRemoved) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, With(Once("a", kMinute), "key"));
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld) << "its run is under way";
  ASSERT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  ASSERT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kCreated);
  EXPECT_EQ(Enqueue(With(Once("a", kMinute), "key")), EnqueueOutcome::kUnchanged) << "it is finished, and stays so";
  EXPECT_EQ(Enqueue(With(Once("a", 2 * kMinute), "key")), EnqueueOutcome::kHeld) << "it would come to life again";
  EXPECT_EQ(Get("a").version, 1);
  Must(store_->Remove("b"));
  EXPECT_EQ(Enqueue(With(Once("a", 2 * kMinute), "key")), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld);
}

TEST_P(StoreContract, AKeyIsHeldForItsWindowWhateverBecomesOfItsJob) {
  Enqueue(With(Hourly("removed"), "one", kHour));
  Must(store_->Remove("removed"));
  EXPECT_EQ(Enqueue(With(Hourly("b"), "one")), EnqueueOutcome::kHeld);
  EXPECT_EQ(Enqueue(With(Hourly("removed"), "one", kHour)), EnqueueOutcome::kCreated) << "the same id again";

  const SessionId session = OpenSession();
  Must(store_->Pause("removed"));  // out of the way
  const ClaimedJob job = Own(session, With(Once("finished", kMinute), "two", kHour));
  ASSERT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "two")), EnqueueOutcome::kHeld);
}

TEST_P(StoreContract, AKeyIsFreeAfterItsWindow) {
  const Duration window = std::chrono::milliseconds(300);
  Enqueue(With(Hourly("a"), "key", window));
  const Instant end = Get("a").created_at + window;
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld);
  WaitUntil(end);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kHeld) << "its job is still there";
  Must(store_->Remove("a"));
  EXPECT_EQ(Enqueue(With(Hourly("b"), "key")), EnqueueOutcome::kCreated);
}

TEST_P(StoreContract, AJobThatIsToTakeAHeldKeyStaysAsItIs) {
  Enqueue(With(Hourly("a"), "one"));
  Enqueue(With(Hourly("b"), "two"));
  EXPECT_EQ(Enqueue(With(Hourly("b", 15 * kMinute), "one")), EnqueueOutcome::kHeld);
  const JobInfo b = Get("b");
  EXPECT_EQ(b.definition.unique, "two");
  EXPECT_EQ(b.version, 1);
  EXPECT_EQ(b.fire_time, start_ + 10 * kMinute);
  EXPECT_EQ(Enqueue(With(Hourly("c"), "two")), EnqueueOutcome::kHeld) << "b has its own still";
}

TEST_P(StoreContract, AJobThatTakesAnotherKeyGivesItsOwnUp) {
  Enqueue(With(Hourly("a"), "one"));
  EXPECT_EQ(Enqueue(With(Hourly("a"), "two")), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "two")), EnqueueOutcome::kHeld);
  EXPECT_EQ(Enqueue(With(Hourly("b"), "one")), EnqueueOutcome::kCreated);
  EXPECT_EQ(Enqueue(Hourly("a")), EnqueueOutcome::kUpdated);
  EXPECT_EQ(Enqueue(With(Hourly("c"), "two")), EnqueueOutcome::kCreated);
}

TEST_P(StoreContract, OfJobsOfOneBatchWithOneKeyOneIsCreated) {
  const auto outcomes = Must(store_->Enqueue({With(Hourly("a"), "key"), With(Hourly("b"), "key"), Hourly("c"),
                                              With(Hourly("d"), "key"), With(Hourly("e"), "other")}));
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), EnqueueOutcome::kHeld), 2);
  EXPECT_EQ(Exists("a") + Exists("b") + Exists("d"), 1);
  EXPECT_TRUE(Exists("c"));
  EXPECT_TRUE(Exists("e"));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    EXPECT_EQ(outcomes[i] == EnqueueOutcome::kCreated, Exists(std::string(1, static_cast<char>('a' + i))));
  }
}

// The holder comes after one that wants its key, in one batch.
TEST_P(StoreContract, AHolderKeepsItsKeyInABatchWithOthers) {
  Enqueue(With(Hourly("b"), "key"));
  const auto outcomes = Must(store_->Enqueue({With(Hourly("a"), "key"), With(Hourly("b", 15 * kMinute), "key")}));
  EXPECT_EQ(outcomes, (std::vector{EnqueueOutcome::kHeld, EnqueueOutcome::kUpdated}));
}

TEST_P(StoreContract, ATriggeredRunHoldsNoKey) {
  Enqueue(With(Hourly("a"), "key", kHour));
  Must(store_->Trigger("a", std::nullopt));
  const ClaimedJob run = ClaimTriggered(OpenSession());
  EXPECT_EQ(run.definition->unique, "");
  EXPECT_EQ(run.definition->unique_for, Duration::zero());
}

TEST_P(StoreContract, AnImportedJobTakesItsKey) {
  Enqueue(With(Hourly("a"), "one"));
  Enqueue(With(Hourly("b"), "two", kHour));
  const SessionId session = OpenSession();
  Must(store_->Pause("a"));
  Must(store_->Pause("b"));
  ASSERT_EQ(Commit(session, Finish(Own(session, With(Once("finished", kMinute), "three")))).outcome,
            CommitOutcome::kApplied);
  const auto jobs = AllJobs(*store_);
  const auto other_factory = GetParam().fresh();
  const auto other = Must(other_factory->Open());
  Must(other->Enqueue({With(Hourly("there"), "two"), With(Hourly("c"), "three")}));
  const Status held = other->ImportJobs(jobs);
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, Code::kConflict);
  EXPECT_THAT(held.error().message, testing::AllOf(testing::HasSubstr("'b'"), testing::HasSubstr("'two'")));
  EXPECT_EQ(Must(other->List({})).size(), 2U) << "nothing was added";
  EXPECT_EQ(Must(other->Enqueue({With(Hourly("d"), "one")})).at(0), EnqueueOutcome::kCreated) << "nor was a key taken";
  Must(other->Remove("d"));
  Must(other->Remove("there"));
  Must(other->ImportJobs(jobs));  // "finished" holds nothing: no matter who has its key
  EXPECT_EQ(Must(other->Enqueue({With(Hourly("e"), "one")})).at(0), EnqueueOutcome::kHeld);
  Must(other->Remove("b"));
  EXPECT_EQ(Must(other->Enqueue({With(Hourly("e"), "two")})).at(0), EnqueueOutcome::kHeld) << "its window goes on";
}

TEST_P(StoreContract, UpkeepLeavesKeysThatAreHeld) {
  Enqueue(With(Hourly("a"), "held by a job"));
  Enqueue(With(Hourly("b"), "held for a window", kHour));
  Enqueue(With(Hourly("c"), "free"));
  Must(store_->Remove("b"));
  Must(store_->Remove("c"));
  Must(store_->Maintain({}));
  EXPECT_EQ(Enqueue(With(Hourly("x"), "held by a job")), EnqueueOutcome::kHeld);
  EXPECT_EQ(Enqueue(With(Hourly("x"), "held for a window")), EnqueueOutcome::kHeld);
  EXPECT_EQ(Enqueue(With(Hourly("x"), "free")), EnqueueOutcome::kCreated);
}

// Many enqueue at one moment, each its own job with the key of the round; and upkeep goes on beside it.
TEST_P(StoreContract, OfManyWhoWantAKeyAtOneMomentOneGetsIt) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 25;
  std::atomic<int> created[kRounds] = {};
  std::atomic<int> arrived[kRounds] = {};
  std::atomic<int> failed = 0;
  const auto key = [](int round) { return "key " + std::to_string(round); };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto store = factory_->Open();
      if (!store) ++failed;
      for (int round = 0; round < kRounds; ++round) {
        for (++arrived[round]; arrived[round] < kThreads;) std::this_thread::yield();
        if (!store) continue;
        const std::string id = std::to_string(round) + "." + std::to_string(t);
        const auto outcomes = (*store)->Enqueue({With(Hourly(id), key(round)), Hourly(id + ".plain")});
        if (!outcomes) ++failed;
        if (outcomes && outcomes->at(0) == EnqueueOutcome::kCreated) ++created[round];
        if (t == 0 && round % 5 == 0 && !(*store)->Maintain({})) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  std::map<std::string, int> holders;
  for (const JobInfo& job : Must(store_->List({.limit = 10'000}))) {
    if (!job.definition.unique.empty()) ++holders[job.definition.unique];
  }
  for (int round = 0; round < kRounds; ++round) {
    EXPECT_EQ(created[round], 1) << key(round);
    EXPECT_EQ(holders[key(round)], 1) << key(round);
  }
}

// A key goes from job to job, and many who want it never have it together: whoever created a job with it is alone until
// it removes that job.
TEST_P(StoreContract, AKeyThatGoesFromHandToHandIsInOneHandAtATime) {
  constexpr int kThreads = 6;
  constexpr int kTries = 40;
  std::atomic<int> hands = 0;
  std::atomic<int> most = 0;
  std::atomic<int> got = 0;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto store = factory_->Open();
      if (!store) return (void)++failed;
      const std::string id = std::to_string(t);
      for (int i = 0; i < kTries; ++i) {
        const auto outcomes = (*store)->Enqueue({With(Hourly(id), "key")});
        if (!outcomes) ++failed;
        if (!outcomes || outcomes->at(0) != EnqueueOutcome::kCreated) continue;
        const int now = ++hands;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) continue;
        ++got;
        if (!(*store)->Get(id)) ++failed;
        --hands;
        if (!(*store)->Remove(id)) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(most, 1);
  EXPECT_GT(got, 0);
}

}  // namespace escapement
