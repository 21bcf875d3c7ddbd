// Jobs that run after others: triggered with the settlement that they follow, once.

#include "contract/store_contract.h"

namespace escapement {
namespace {

JobDefinition Manual(const std::string& id) {
  return {.id = id, .schedule = Schedule::Manual(), .task = "work", .payload = "of " + id};
}

std::multiset<std::string> TriggeredIn(const std::vector<ClaimedJob>& jobs) {
  std::multiset<std::string> ids;
  for (const ClaimedJob& job : jobs) {
    if (job.definition->schedule.ToString().starts_with("at ")) ids.insert(job.definition->id);
  }
  return ids;
}

using Ids = std::multiset<std::string>;

}  // namespace

TEST_P(StoreContract, FollowersAreTriggeredWithTheSettlement) {
  for (const char* id : {"after success", "after failure", "after all"}) Enqueue(Manual(id));
  JobDefinition definition = Hourly("first");
  definition.on_success = {"after success", "not there"};
  definition.on_failure = {"after failure"};
  definition.on_end = {"after all", "after all"};
  definition.retry.max_attempts = 2;
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  EXPECT_TRUE(Get("first").definition == definition);
  const auto commit = [&](Verdict verdict) {
    Completion done = Finish(job, verdict, /*keep=*/true);
    done.ran = job.definition;
    EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kApplied);
    EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kAlreadyApplied) << "a resend triggers nothing";
    job.present = Advance(job.present, done.next);
    const auto claimed = Claim(session);
    for (const ClaimedJob& child : claimed) {
      EXPECT_EQ(child.definition->payload, "of " + child.definition->id);
      EXPECT_EQ(Commit(session, Finish(child)).outcome, CommitOutcome::kApplied);
    }
    return TriggeredIn(claimed);
  };
  EXPECT_EQ(commit(Verdict::kSucceeded), (Ids{"after success", "after all"}));
  EXPECT_EQ(commit(Verdict::kFailed), Ids{}) << "it is tried again";
  EXPECT_EQ(commit(Verdict::kFailed), (Ids{"after failure", "after all"}));
  EXPECT_EQ(commit(Verdict::kCancelled), Ids{"after all"});
  job.present.attempt = 1;
  const auto skip =
      SkipStretch(definition, job.present, job.present.fire_time + Duration(1), Verdict::kSkippedMisfired);
  Completion skipped = Wrap(job, *skip, /*keep=*/true);
  skipped.ran = job.definition;
  EXPECT_EQ(Commit(session, skipped).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{});
  const auto runs = Runs("after all");
  EXPECT_EQ(runs.size(), 3U);
  for (const RunInfo& run : runs) EXPECT_TRUE(run.triggered);
  ExpectTheLawHolds(AuditLedgerOf(*store_));
}

TEST_P(StoreContract, WhatIsStaleTriggersNothing) {
  Enqueue(Manual("follower"));
  JobDefinition definition = Hourly("first");
  definition.on_end = {"follower"};
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  Bury(session);
  Completion done = Finish(job);
  done.ran = job.definition;
  EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kStale);
  EXPECT_EQ(TriggeredIn(Claim(OpenSession())), Ids{});
}

TEST_P(StoreContract, ATriggeredRunIsFollowedAsWell) {
  Enqueue(Manual("last"));
  JobDefinition middle = Manual("middle");
  middle.on_success = {"last"};
  Enqueue(middle);
  Must(store_->Trigger("middle", std::nullopt));
  const SessionId session = OpenSession();
  const ClaimedJob child = ClaimTriggered(session);
  Completion done = Finish(child);
  done.ran = child.definition;
  EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{"last"});
}

// Where runs may overlap: each occurrence is a run of its own, which the job does not wait for.
TEST_P(StoreContract, WhatIsHandedOnRunsByItselfAndKeepsItsFireTime) {
  Enqueue(Manual("last"));
  JobDefinition definition = Hourly("wide");
  definition.overlap = Overlap::kAllow;
  definition.flex = 5 * kMinute;
  definition.on_success = {"last"};
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  const Instant first = job.present.fire_time;
  for (int i = 0; i < 2; ++i) {
    const auto settlement = SettleBeforeStart(*job.definition, job.present, job.present.fire_time + kMinute);
    ASSERT_TRUE(settlement && settlement->run && settlement->run->verdict == Verdict::kHandedOn);
    const Completion handed_on = Wrap(job, *settlement, /*keep=*/true);
    EXPECT_EQ(Commit(session, handed_on).outcome, CommitOutcome::kApplied);
    EXPECT_EQ(Commit(session, handed_on).outcome, CommitOutcome::kAlreadyApplied) << "a resend hands on nothing";
    job.present = Advance(job.present, settlement->next);
  }
  EXPECT_EQ(job.present.fire_time, first + 2 * kHour);
  auto runs = Claim(session);
  std::sort(runs.begin(), runs.end(),
            [](const auto& a, const auto& b) { return a.present.fire_time < b.present.fire_time; });
  ASSERT_EQ(runs.size(), 2U) << "both at once, while the job itself is owned";
  for (const ClaimedJob& run : runs) {
    const Instant fire_time = first + (&run - runs.data()) * kHour;
    EXPECT_EQ(run.present.fire_time, fire_time);
    EXPECT_EQ(run.present.due_at, fire_time) << "it comes when its place in the window has come";
    EXPECT_EQ(run.definition->id, "wide");
    EXPECT_EQ(run.definition->overlap, Overlap::kWait);
    EXPECT_EQ(run.definition->flex, Duration(0));
    EXPECT_FALSE(SettleBeforeStart(*run.definition, run.present, fire_time + kMinute / 2));
  }
  EXPECT_EQ(Commit(session, Finish(runs[1])).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{"last"});
  EXPECT_EQ(Commit(session, Finish(runs[0], Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{});
  std::multiset<std::tuple<Instant, Verdict, bool>> ledger;
  for (const RunInfo& run : Runs("wide")) ledger.insert({run.fire_time, run.verdict, run.triggered});
  EXPECT_EQ(ledger, (std::multiset<std::tuple<Instant, Verdict, bool>>{{first, Verdict::kHandedOn, false},
                                                                       {first, Verdict::kFailed, true},
                                                                       {first + kHour, Verdict::kHandedOn, false},
                                                                       {first + kHour, Verdict::kSucceeded, true}}));
  EXPECT_EQ(Get("wide").settled_total, 2);
  EXPECT_EQ(Letters({.job_id = "wide"}).size(), 1U);
  ExpectTheLawHolds(AuditLedgerOf(*store_));
}

TEST_P(StoreContract, APointOfAnOlderDefinitionIsNotHandedOn) {
  JobDefinition definition = Hourly("wide");
  definition.overlap = Overlap::kAllow;
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  definition.payload = "changed";
  EXPECT_EQ(Enqueue(definition), EnqueueOutcome::kUpdated);
  const auto settlement = SettleBeforeStart(*job.definition, job.present, job.present.fire_time + kMinute);
  EXPECT_EQ(Commit(session, Wrap(job, *settlement, /*keep=*/true)).outcome, CommitOutcome::kStale);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{});
  EXPECT_TRUE(Runs("wide").empty());
}

TEST_P(StoreContract, WhatARemovedJobHandsOnIsNotAnotherJobs) {
  JobDefinition definition = Hourly("wide");
  definition.overlap = Overlap::kAllow;
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  Must(store_->Remove("wide"));
  Enqueue(definition);
  const auto settlement = SettleBeforeStart(*job.definition, job.present, job.present.fire_time + kMinute);
  EXPECT_EQ(Commit(session, Wrap(job, *settlement, /*keep=*/true)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(TriggeredIn(Claim(session)), Ids{});
}

}  // namespace escapement
