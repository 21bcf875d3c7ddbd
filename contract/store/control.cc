// What users do to jobs: remove, pause, resume, trigger, cancel.

#include "contract/store_contract.h"

namespace escapement {

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

TEST_P(StoreContract, AJobPausedAtItsLastPointIsFinishedByIt) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Once("a", kMinute));
  Must(store_->Pause("a"));
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_FALSE(Get("a").fire_time);
  Must(store_->Resume("a"));
  EXPECT_EQ(Get("a").state, JobState::kFinished);
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_TRUE(Claim(session).empty());
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

// --- trigger

TEST_P(StoreContract, ATriggeredRunIsBesideTheSchedule) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("a"));
  const JobInfo before = Get("a");
  Must(store_->Trigger("a", std::nullopt));
  const ClaimedJob child = ClaimTriggered(session);
  EXPECT_EQ(child.definition->id, "a");
  EXPECT_EQ(child.definition->task, "work");
  EXPECT_GE(child.present.fire_time, start_);
  EXPECT_LE(child.present.fire_time, Must(store_->Now()));
  EXPECT_FALSE(child.present.to_plan);

  const Completion done = Finish(child, Verdict::kSucceeded, /*keep=*/true);
  const CommitAnswer answer = Commit(session, done);
  EXPECT_EQ(answer.outcome, CommitOutcome::kApplied);
  EXPECT_FALSE(answer.kept) << "it is over";
  EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kAlreadyApplied);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_TRUE(runs[0].triggered);
  EXPECT_EQ(runs[0].job_id, "a");
  EXPECT_EQ(runs[0].fire_time, child.present.fire_time);

  const JobInfo after = Get("a");
  EXPECT_EQ(after.settled_total, 0) << "it settles none of the job's points";
  EXPECT_EQ(after.fire_time, before.fire_time);
  EXPECT_EQ(after.cursor, before.cursor);
  EXPECT_EQ(Must(store_->List({})).size(), 1U);
  const Audit audit = Must(store_->AuditWindow("a", start_ - kDay, start_ + 30 * kMinute));
  EXPECT_EQ(audit.jobs, 1);
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing, 1);
  EXPECT_EQ(audit.doubled, 0);
  Must(store_->EndSession(session));
  const auto left = Claim(OpenSession());
  ASSERT_EQ(left.size(), 1U) << "the job itself, and nothing of what was triggered";
  EXPECT_EQ(left[0].present.fire_time, before.fire_time);
}

TEST_P(StoreContract, ATriggeredRunMayHaveAPayloadOfItsOwn) {
  JobDefinition definition = Hourly("a");
  definition.payload = "usual";
  definition.queue = "other";
  Enqueue(definition);
  EXPECT_EQ(store_->Trigger("a", std::string(2 << 20, 'x')).error().code, Code::kInvalidArgument);
  const SessionId session = OpenSession();
  EXPECT_EQ(Claim(session, 10, kDay, {"other"}).size(), 1U) << "a refused trigger leaves nothing";
  Must(store_->Trigger("a", "special"));
  Must(store_->Trigger("a", std::nullopt));
  const auto children = Claim(session, 10, kDay, {"other"});
  ASSERT_EQ(children.size(), 2U);
  EXPECT_NE(children[0].key, children[1].key);
  EXPECT_THAT((std::vector{children[0].definition->payload, children[1].definition->payload}),
              testing::UnorderedElementsAre("special", "usual"));
  EXPECT_EQ(Get("a").definition.payload, "usual");
}

TEST_P(StoreContract, AJobIsTriggeredWhateverItsState) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("paused"));
  Must(store_->Pause("paused"));
  Must(store_->Trigger("paused", std::nullopt));
  ClaimedJob child = ClaimOne(session);
  EXPECT_EQ(Commit(session, Finish(child)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("paused").state, JobState::kPaused);
  Commit(session, Finish(Own(session, Once("finished", kMinute))));
  Must(store_->Trigger("finished", std::nullopt));
  child = ClaimOne(session);
  EXPECT_EQ(Commit(session, Finish(child)).outcome, CommitOutcome::kApplied);
  EXPECT_EQ(Get("finished").state, JobState::kFinished);
  EXPECT_EQ(Get("finished").settled_total, 1);
  EXPECT_EQ(store_->Trigger("nobody", std::nullopt).error().code, Code::kNotFound);
}

TEST_P(StoreContract, ATriggeredRunIsTriedAgainAndSurvivesItsPod) {
  JobDefinition definition = Hourly("a");
  definition.retry = {.max_attempts = 2, .delay = kMinute};
  Enqueue(definition);
  Must(store_->Pause("a"));
  Must(store_->Trigger("a", std::nullopt));
  const SessionId session = OpenSession();
  const ClaimedJob first = ClaimOne(session);
  EXPECT_EQ(Commit(session, Finish(first, Verdict::kFailed)).outcome, CommitOutcome::kApplied);
  const ClaimedJob second = ClaimOne(session);
  EXPECT_EQ(second.key, first.key);
  EXPECT_EQ(second.present.attempt, 2);
  Bury(session);
  const SessionId heir = OpenSession();
  const ClaimedJob again = ClaimOne(heir);
  EXPECT_EQ(again.present.lost, 1);
  EXPECT_EQ(Commit(session, Finish(second)).outcome, CommitOutcome::kStale);
  EXPECT_EQ(Commit(heir, Finish(again)).outcome, CommitOutcome::kApplied);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_TRUE(runs[0].triggered && runs[1].triggered);
}

TEST_P(StoreContract, ARemovedJobTakesWhatWaitsOfItsTriggeredRunsWithIt) {
  Enqueue(Hourly("a"));
  const SessionId session = OpenSession();
  Must(store_->Trigger("a", std::nullopt));
  const ClaimedJob under_way = ClaimTriggered(session);
  Must(store_->EndSession(OpenSession()));
  Must(store_->Trigger("a", std::nullopt));
  Must(store_->Remove("a"));
  EXPECT_TRUE(Claim(OpenSession()).empty());
  EXPECT_EQ(Commit(session, Finish(under_way)).outcome, CommitOutcome::kApplied) << "a run under way is settled";
  Enqueue(Hourly("a"));
  EXPECT_EQ(Get("a").settled_total, 0);
}

// --- cancel

TEST_P(StoreContract, TheOwnerOfARunUnderWayIsToldToCancelIt) {
  const SessionId session = OpenSession();
  const SessionId other = OpenSession();
  const ClaimedJob job = Own(session, Once("a", -kMinute));
  EXPECT_TRUE(Must(store_->Beat({.session = session})).cancelled.empty());
  Must(store_->Cancel("a"));
  Must(store_->Cancel("a"));
  EXPECT_TRUE(Must(store_->Beat({.session = other})).cancelled.empty());
  for (int i = 0; i < 2; ++i) {  // until it is settled: a reply may be lost
    const auto marks = Must(store_->Beat({.session = session})).cancelled;
    ASSERT_EQ(marks.size(), 1U);
    EXPECT_EQ(marks[0].key, job.key);
    EXPECT_EQ(marks[0].fire_time, job.present.fire_time);
    EXPECT_EQ(marks[0].attempt, 1);
  }
  EXPECT_EQ(Commit(session, Finish(job, Verdict::kCancelled)).outcome, CommitOutcome::kApplied);
  EXPECT_TRUE(Must(store_->Beat({.session = session})).cancelled.empty());
  EXPECT_EQ(Runs("a").at(0).verdict, Verdict::kCancelled);
}

TEST_P(StoreContract, OnlyWhatIsUnderWayIsCancelled) {
  const SessionId session = OpenSession();
  EXPECT_EQ(store_->Cancel("nobody").error().code, Code::kNotFound);
  Enqueue(Once("a", -kMinute));
  EXPECT_EQ(store_->Cancel("a").error().code, Code::kConflict) << "nobody owns it";
  const ClaimedJob later = [&] {
    Must(store_->Remove("a"));
    return Own(session, Hourly("b"));
  }();
  EXPECT_EQ(store_->Cancel("b").error().code, Code::kConflict) << "its time has not come";
  EXPECT_TRUE(Must(store_->Beat({.session = session})).cancelled.empty());
  EXPECT_EQ(Commit(session, Finish(later)).outcome, CommitOutcome::kApplied);
}

TEST_P(StoreContract, ACancellationEndsWithTheAttemptAndWithTheOwnership) {
  JobDefinition definition = Once("a", -kMinute);
  definition.retry = {.max_attempts = 3, .delay = Duration(0)};
  const SessionId session = OpenSession();
  const ClaimedJob first = Own(session, definition);
  Must(store_->Cancel("a"));
  EXPECT_EQ(Commit(session, Finish(first, Verdict::kFailed, /*keep=*/true)).outcome, CommitOutcome::kApplied);
  EXPECT_TRUE(Must(store_->Beat({.session = session})).cancelled.empty()) << "the next attempt is not cancelled";
  Must(store_->Cancel("a"));
  ASSERT_EQ(Must(store_->Beat({.session = session})).cancelled.size(), 1U);
  EXPECT_EQ(Must(store_->Beat({.session = session})).cancelled[0].attempt, 2);
  Bury(session);
  const SessionId heir = OpenSession();
  const ClaimedJob again = ClaimOne(heir);
  EXPECT_TRUE(Must(store_->Beat({.session = heir})).cancelled.empty()) << "the dead pod's run is over as it is";
  Must(store_->Cancel("a"));
  Must(store_->Release(heir, {{again.key, again.fence}}));
  ClaimOne(heir);
  EXPECT_TRUE(Must(store_->Beat({.session = heir})).cancelled.empty());
}

TEST_P(StoreContract, CancelReachesTriggeredRuns) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("a"));
  Must(store_->Trigger("a", std::nullopt));
  const ClaimedJob child = ClaimTriggered(session);
  Must(store_->Cancel("a"));
  const auto marks = Must(store_->Beat({.session = session})).cancelled;
  ASSERT_EQ(marks.size(), 1U) << "the job itself is not due";
  EXPECT_EQ(marks[0].key, child.key);
}

}  // namespace escapement
