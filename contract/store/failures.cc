// Failures in a row, and the pause that too many of them bring.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, FailuresInARowAreCountedUntilOneSucceeds) {
  JobDefinition definition = Hourly("a");
  definition.retry.max_attempts = 2;
  definition.retry.delay = Duration(0);
  definition.retry.on = RetryOn::kTimedOut;
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  const auto settle = [&](const Completion& completion) {
    const CommitAnswer answer = Commit(session, completion);
    EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
    EXPECT_TRUE(answer.kept);
    EXPECT_EQ(Commit(session, completion).outcome, CommitOutcome::kAlreadyApplied);
    job.present = Advance(job.present, completion.next);
    EXPECT_EQ(Get("a").failures, job.present.failures);
    return job.present.failures;
  };
  const auto end = [&](Verdict verdict) { return settle(Finish(job, verdict, /*keep=*/true)); };
  EXPECT_EQ(end(Verdict::kFailed), 1);
  EXPECT_EQ(end(Verdict::kTimedOut), 1) << "it is tried again";
  EXPECT_EQ(end(Verdict::kTimedOut), 2);
  EXPECT_EQ(end(Verdict::kCancelled), 2);
  const auto skip =
      SkipStretch(*job.definition, job.present, job.present.fire_time + 3 * kHour, Verdict::kSkippedMisfired);
  EXPECT_EQ(settle(Wrap(job, *skip, /*keep=*/true)), 2);
  EXPECT_EQ(end(Verdict::kLost), 3);
  Bury(session);
  const SessionId heir = OpenSession();
  job = ClaimOne(heir);
  EXPECT_EQ(job.present.failures, 3) << "the next owner goes on counting";
  EXPECT_EQ(Must(store_->Recover(heir, {})).jobs.at(0).present.failures, 3);
  EXPECT_EQ(Commit(heir, Finish(job)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").failures, 0);
}

TEST_P(StoreContract, TheFailureThatIsTooManyPausesItsJob) {
  JobDefinition definition = Hourly("a");
  definition.pause_after = 2;
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  const Completion first = Finish(job, Verdict::kFailed, /*keep=*/true);
  EXPECT_TRUE(Commit(session, first).kept);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  job.present = Advance(job.present, first.next);
  const Completion second = Finish(job, Verdict::kLost, /*keep=*/true);
  for (const CommitOutcome outcome : {CommitOutcome::kApplied, CommitOutcome::kAlreadyApplied}) {
    const CommitAnswer answer = Commit(session, second);
    EXPECT_EQ(answer.outcome, outcome);
    EXPECT_FALSE(answer.kept) << "nobody keeps what is paused";
  }
  const JobInfo info = Get("a");
  EXPECT_EQ(info.state, JobState::kPaused);
  EXPECT_EQ(info.failures, 2);
  EXPECT_EQ(info.settled_total, 2);
  EXPECT_EQ(info.fire_time, job.present.fire_time + kHour);
  EXPECT_FALSE(info.owner_pod);
  EXPECT_TRUE(Claim(session).empty());
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kPaused], 1);

  Must(store_->Resume("a"));
  EXPECT_EQ(Get("a").failures, 0) << "counted anew";
  job = ClaimOne(session);
  EXPECT_EQ(job.present.fire_time, *info.fire_time);
  EXPECT_EQ(job.present.failures, 0);
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kActive);
}

TEST_P(StoreContract, FailuresOfBeforeAResumptionPauseNothing) {
  JobDefinition definition = Hourly("a");
  definition.pause_after = 2;
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  const Completion first = Finish(job, Verdict::kFailed, /*keep=*/true);
  Commit(session, first);
  job.present = Advance(job.present, first.next);
  Must(store_->Pause("a"));
  Must(store_->Resume("a"));  // its pod has not heard of it
  const Completion second = Finish(job, Verdict::kFailed);
  ASSERT_TRUE(second.next.pause);
  EXPECT_EQ(Commit(session, second).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  EXPECT_EQ(Get("a").failures, 1);
  EXPECT_EQ(ClaimOne(session).present.failures, 1);
}

TEST_P(StoreContract, AChangedJobIsNotPausedByWhatItWas) {
  JobDefinition definition = Hourly("a");
  definition.pause_after = 1;
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  definition.payload = "mended";
  Enqueue(definition);
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  ClaimedJob changed = ClaimOne(session);
  EXPECT_EQ(changed.present.failures, 1) << "it failed all the same";
  PlanAnew(session, changed);
  EXPECT_EQ(Get("a").failures, 1);
  EXPECT_EQ(Commit(session, Finish(changed, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kPaused);
}

TEST_P(StoreContract, AFailureThatIsTheLastPointFinishesAndPausesNothing) {
  JobDefinition definition = Once("a", kMinute);
  definition.pause_after = 1;
  const SessionId session = OpenSession();
  EXPECT_EQ(Commit(session, Finish(Own(session, definition), Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Get("a").failures, 1);
}

TEST_P(StoreContract, ARemovedJobIsNotPausedByItsLastRun) {
  JobDefinition definition = Hourly("a");
  definition.pause_after = 1;
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  Must(store_->Remove("a"));
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(Exists("a"));
}

TEST_P(StoreContract, TriggeredRunsCountForNothing) {
  JobDefinition definition = Hourly("a");
  definition.pause_after = 1;
  Enqueue(definition);
  Must(store_->Trigger("a", std::nullopt));
  const SessionId session = OpenSession();
  EXPECT_EQ(Commit(session, Finish(ClaimTriggered(session), Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  EXPECT_EQ(Get("a").failures, 0);
}

}  // namespace escapement
