// Enqueue, and changes of a definition.

#include "contract/store_contract.h"

namespace escapement {

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

TEST_P(StoreContract, AJobGivenTwiceInABatchIsRefused) {
  const auto result = store_->Enqueue({Hourly("a"), Hourly("b"), Hourly("a", 20 * kMinute)});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalidArgument);
  EXPECT_THAT(result.error().message, testing::HasSubstr("'a'"));
  EXPECT_FALSE(Exists("a"));
  EXPECT_FALSE(Exists("b"));
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

TEST_P(StoreContract, APointThatTwoVersionsPlannedAndNobodyStartedIsOfNeither) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("a"));
  JobDefinition definition = Hourly("a");
  definition.payload = "only the payload";
  Enqueue(definition);
  ClaimedJob job = ClaimOne(session);
  PlanAnew(session, job);  // the same point
  EXPECT_EQ(job.present.fire_time, start_ + 10 * kMinute);
  Must(store_->Release(session, {{job.key, job.fence}}));
  definition.schedule = Grid(kHour, 30 * kMinute);
  Enqueue(definition);
  job = ClaimOne(session);
  PlanAnew(session, job);
  EXPECT_EQ(job.present.fire_time, start_ + 30 * kMinute);
  const Audit audit = Must(store_->AuditWindow("a", start_ - kDay, start_ + 20 * kMinute));
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_P(StoreContract, APlanRefusedForASecondChangeIsStale) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("a"));
  JobDefinition definition = Hourly("a");
  definition.payload = "first";
  Enqueue(definition);
  const ClaimedJob job = ClaimOne(session);
  ASSERT_TRUE(job.present.to_plan);
  definition.payload = "second";
  Enqueue(definition);
  const auto plan = SettleBeforeStart(*job.definition, job.present, start_);
  const CommitAnswer answer = Commit(session, Wrap(job, *plan, /*keep=*/false));
  EXPECT_EQ(answer.outcome, CommitOutcome::kStale);
  EXPECT_FALSE(answer.kept);
}

TEST_P(StoreContract, APlanThatComesTwiceWipesNoMarkOfAStart) {
  JobDefinition definition = Hourly("a");
  definition.delivery = Delivery::kAtMostOnce;
  definition.retry.max_attempts = 3;
  const SessionId session = OpenSession();
  const ClaimedJob first = Own(session, definition);
  definition.payload = "changed while it ran";
  Enqueue(definition);
  ASSERT_EQ(Commit(session, Finish(first, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  const SessionId dead = OpenSession();
  ClaimedJob job = ClaimOne(dead);
  ASSERT_TRUE(job.present.to_plan);
  ASSERT_EQ(job.present.attempt, 2);
  const auto plan = SettleBeforeStart(*job.definition, job.present, start_);  // keeps the occurrence
  ASSERT_TRUE(plan && !plan->run);
  const Completion completion = Wrap(job, *plan, /*keep=*/true);
  ASSERT_EQ(Commit(dead, completion).outcome, CommitOutcome::kApplied);
  job.present = Advance(job.present, plan->next);
  ASSERT_TRUE(Must(store_->Begin(dead, {{job.key, job.fence, job.present.fire_time, job.present.attempt}})).at(0));
  const CommitAnswer again = Commit(dead, completion);
  EXPECT_EQ(again.outcome, CommitOutcome::kAlreadyApplied);
  EXPECT_TRUE(again.kept);
  Bury(dead);
  EXPECT_TRUE(ClaimOne(session).present.begun) << "it may have started: at most once";
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

}  // namespace escapement
