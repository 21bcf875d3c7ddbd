// Carrying jobs and their history from one store to another.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, WhatWasImportedIsExportedAgain) {
  Populate();
  const auto jobs = AllJobs(*store_);
  ASSERT_EQ(jobs.size(), 8U);
  EXPECT_TRUE(std::is_sorted(jobs.begin(), jobs.end(), [](const ArchivedJob& a, const ArchivedJob& b) {
    return a.definition.id < b.definition.id;
  }));
  EXPECT_TRUE(ValidateArchive(jobs));
  const auto runs = AllRuns(*store_, IdsOf(jobs));
  EXPECT_EQ(runs.size(), 8U);
  EXPECT_EQ(std::count_if(runs.begin(), runs.end(), [](const RunInfo& run) { return run.triggered; }), 1);

  const auto other_factory = GetParam().fresh();
  const auto other = Must(other_factory->Open());
  Must(other->ImportJobs(jobs));
  Must(other->ImportRuns(runs));
  const auto jobs_again = AllJobs(*other);
  ASSERT_EQ(jobs_again.size(), jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    SCOPED_TRACE(jobs[i].definition.id);
    EXPECT_TRUE(jobs_again[i].definition == jobs[i].definition);
    EXPECT_EQ(jobs_again[i].state, jobs[i].state);
    EXPECT_TRUE(jobs_again[i].present == jobs[i].present);
    EXPECT_EQ(jobs_again[i].settled_total, jobs[i].settled_total);
    EXPECT_TRUE(jobs_again[i].reigns == jobs[i].reigns);
  }
  EXPECT_TRUE(AllRuns(*other, IdsOf(jobs)) == runs);
  const auto law = [&](JobStore& store) { return Must(store.AuditWindow("", start_ - kDay, start_ + 20 * kMinute)); };
  const Audit before = law(*store_);
  const Audit after = law(*other);
  EXPECT_EQ(after.jobs, before.jobs);
  EXPECT_EQ(after.expected, before.expected);
  EXPECT_EQ(after.missing, before.missing);
  EXPECT_EQ(after.doubled, 0);
  EXPECT_EQ(before.doubled, 0);
  EXPECT_TRUE(after.settled == before.settled);
}

TEST_P(StoreContract, AnImportedJobGoesOnWhereItWas) {
  JobDefinition definition = Hourly("a");
  definition.retry.max_attempts = 3;
  const SessionId session = OpenSession();
  Commit(session, Finish(Own(session, definition), Verdict::kFailed));
  const auto jobs = AllJobs(*store_);
  const auto runs = AllRuns(*store_, {"a"});
  const auto other_factory = GetParam().fresh();
  const auto other = Must(other_factory->Open());
  Must(other->ImportJobs(jobs));
  Must(other->ImportRuns(runs));
  const SessionId heir = Must(other->OpenSession({.pod = "heir", .ttl = std::chrono::seconds(5)}));
  const auto claimed = Must(other->Claim({heir, kDay, 10, {"default"}})).jobs;
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].present.attempt, 2);
  EXPECT_EQ(claimed[0].present.fire_time, start_ + 10 * kMinute);
  ASSERT_EQ(Must(other->Commit(heir, {Finish(claimed[0])})).answers[0].outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Must(other->Get("a")).settled_total, 1);
  const Audit audit = Must(other->AuditWindow("a", start_, start_ + 20 * kMinute));
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_P(StoreContract, HistoryOfAJobThatWasRemovedIsNotItsSuccessors) {
  const SessionId session = OpenSession();
  Commit(session, Finish(Own(session, Hourly("a"))));
  Must(store_->Remove("a"));
  Enqueue(Hourly("a"));
  EXPECT_TRUE(AllRuns(*store_, {"a"}).empty());
  EXPECT_EQ(AllJobs(*store_).at(0).settled_total, 0);
}

TEST_P(StoreContract, ABadImportChangesNothing) {
  Enqueue(Hourly("there"));
  ArchivedJob there = AllJobs(*store_).at(0);
  ArchivedJob fresh = there;
  fresh.definition.id = "fresh";
  const Status twice = store_->ImportJobs({fresh, there});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Code::kConflict);
  EXPECT_THAT(twice.error().message, testing::HasSubstr("'there'"));
  EXPECT_FALSE(Exists("fresh"));
  ArchivedJob bad = fresh;
  bad.reigns.clear();
  EXPECT_EQ(store_->ImportJobs({bad}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(store_->ImportJobs({fresh, fresh}).error().code, Code::kInvalidArgument);
  EXPECT_FALSE(Exists("fresh"));

  const RunInfo run{.job_id = "there", .fire_time = start_, .last_fire = start_, .settled_at = start_};
  RunInfo stray = run;
  stray.job_id = "nobody";
  const Status unknown = store_->ImportRuns({run, stray});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("'nobody'"));
  EXPECT_TRUE(Runs("there").empty());
}

}  // namespace escapement
