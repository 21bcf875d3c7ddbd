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

}  // namespace escapement
