// Commit: what settles, what is refused, what is kept.

#include "contract/store_contract.h"

namespace escapement {

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

TEST_P(StoreContract, TheOutputOfARunIsKept) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Completion done = Finish(job, Verdict::kFailed, /*keep=*/true, "exit status 3");
  done.run->output = "first line\n'quoted' \\ \xE2\x82\xAC\n";
  EXPECT_EQ(Commit(session, done).outcome, CommitOutcome::kApplied);
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].output, done.run->output);
  EXPECT_EQ(runs[0].error, "exit status 3");
  EXPECT_FALSE(runs[0].triggered);
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

}  // namespace escapement
