// Claim, recover, release, and the started mark.

#include "contract/store_contract.h"

namespace escapement {

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

TEST_P(StoreContract, OfWhatIsDueTheHigherPriorityIsClaimedFirst) {
  const auto with = [](JobDefinition job, int priority) {
    job.priority = priority;
    return job;
  };
  for (const int i : {0, 1, 2}) Enqueue(with(Once("low-" + std::to_string(i), -(30 - i) * kMinute), 1));
  Enqueue(with(Once("middle", -10 * kMinute), 5));
  Enqueue(with(Once("high", -kMinute), 10));
  Enqueue(with(Hourly("soon", 10 * kMinute), 10));
  Enqueue(with(Hourly("sooner", 5 * kMinute), 0));
  const SessionId session = OpenSession();
  // In a batch no order is promised.
  const std::vector<std::set<std::string>> expected = {
      {"high"}, {"middle", "low-0"}, {"low-1"}, {"low-2", "sooner"}, {"soon"}};
  for (const auto& ids : expected) {
    std::set<std::string> claimed;
    for (const ClaimedJob& job : Claim(session, static_cast<int>(ids.size()))) claimed.insert(job.definition->id);
    EXPECT_EQ(claimed, ids);
  }
}

TEST_P(StoreContract, WhatIsDueMayBeClaimedByItsTimeAloneOrAboveAPriority) {
  const auto with = [](JobDefinition job, int priority) {
    job.priority = priority;
    return job;
  };
  Enqueue(with(Once("oldest", -30 * kMinute), 0));
  Enqueue(with(Once("older", -20 * kMinute), 9));
  Enqueue(with(Once("old", -10 * kMinute), 5));
  Enqueue(with(Once("high", -kMinute), 10));
  Enqueue(with(Hourly("soon", 5 * kMinute), 10));
  const SessionId session = OpenSession();
  const auto claim = [&](const ClaimRequest& request) {
    std::set<std::string> ids;
    for (const ClaimedJob& job : Must(store_->Claim(request)).jobs) ids.insert(job.definition->id);
    return ids;
  };
  using Ids = std::set<std::string>;
  ClaimRequest request{.session = session, .horizon = kDay, .limit = 1, .queues = {"default"}};
  request.oldest_first = true;
  EXPECT_EQ(claim(request), Ids{"oldest"});
  EXPECT_EQ(claim(request), Ids{"older"});
  request.oldest_first = false;
  request.limit = 10;
  request.above = 10;
  EXPECT_EQ(claim(request), Ids{});
  request.above = 5;
  EXPECT_EQ(claim(request), (Ids{"high", "soon"}));
  request.above = 4;
  EXPECT_EQ(claim(request), Ids{"old"});
}

TEST_P(StoreContract, AChangeOfPriorityCountsAtTheNextClaim) {
  JobDefinition late = Once("late", -kMinute);
  Enqueue(Once("early", -2 * kMinute));
  Enqueue(late);
  late.priority = 3;
  Enqueue(late);
  const auto jobs = Claim(OpenSession(), 1);
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].definition->id, "late");
}

TEST_P(StoreContract, OnlyPodsWithItsLabelTakeAJob) {
  JobDefinition labelled = Hourly("labelled");
  labelled.label = "gpu";
  Enqueue(labelled);
  Enqueue(Hourly("plain"));
  Must(store_->Trigger("labelled", std::nullopt));
  const SessionId session = OpenSession();
  const auto plain = Claim(session, 10, kDay, QueueKeys({"default"}, {"cpu"}));
  ASSERT_EQ(plain.size(), 1U);
  EXPECT_EQ(plain[0].definition->id, "plain");
  EXPECT_TRUE(Claim(session, 10, kDay, QueueKeys({"other"}, {"gpu"})).empty());
  EXPECT_EQ(Claim(session, 10, kDay, QueueKeys({"default"}, {"cpu", "gpu"})).size(), 2U);
  EXPECT_TRUE(Get("labelled").definition == labelled);
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
  const auto known = [](const ClaimedJob& job, Fence fence) { return std::pair(job.key, fence); };
  const ClaimReply reply = Must(store_->Recover(
      session, {known(jobs[0], jobs[0].fence), known(jobs[1], jobs[1].fence - 1), known(jobs[2], jobs[2].fence)}));
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

}  // namespace escapement
