// What is left of occurrences that failed for good.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, AnOccurrenceThatFailsForGoodLeavesADeadLetter) {
  JobDefinition definition = Hourly("a");
  definition.payload = "what to do";
  definition.retry.max_attempts = 2;
  definition.retry.delay = Duration(0);
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, definition);
  const Instant fire = job.present.fire_time;
  const Completion first = Finish(job, Verdict::kFailed, /*keep=*/true, "not yet");
  Commit(session, first);
  EXPECT_TRUE(Letters().empty()) << "it is tried again";
  job.present = Advance(job.present, first.next);
  const Completion second = Finish(job, Verdict::kTimedOut, /*keep=*/true, "too\nslow");
  for (int i = 0; i < 3; ++i) Commit(session, second);  // resends
  const auto letters = Letters({.payloads = true});
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_GT(letters[0].id, 0);
  EXPECT_EQ(letters[0].job_id, "a");
  EXPECT_EQ(letters[0].payload, "what to do");
  EXPECT_EQ(letters[0].fire_time, fire);
  EXPECT_EQ(letters[0].attempts, 2);
  EXPECT_EQ(letters[0].verdict, Verdict::kTimedOut);
  EXPECT_EQ(letters[0].error, "too\nslow");
  EXPECT_FALSE(letters[0].triggered);
  EXPECT_EQ(letters[0].settled_at, Runs("a").at(0).settled_at);
  EXPECT_EQ(Letters().at(0).payload, "") << "unless it is asked for";
}

TEST_P(StoreContract, OnlyWhatFailedForGoodLeavesADeadLetter) {
  const SessionId session = OpenSession();
  for (const Verdict verdict : {Verdict::kSucceeded, Verdict::kCancelled, Verdict::kLost}) {
    const std::string id(VerdictName(verdict));
    EXPECT_EQ(Commit(session, Finish(Own(session, Hourly(id)), verdict)).outcome, CommitOutcome::kApplied);
    Must(store_->Pause(id));
  }
  const ClaimedJob late = Own(session, Hourly("skipped"));
  const auto skip = SkipStretch(*late.definition, late.present, start_ + kDay, Verdict::kSkippedMisfired);
  EXPECT_EQ(Commit(session, Wrap(late, *skip)).outcome, CommitOutcome::kApplied);
  const auto letters = Letters();
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].job_id, "lost");
  EXPECT_EQ(letters[0].verdict, Verdict::kLost);
}

TEST_P(StoreContract, AStalePodLeavesNoDeadLetter) {
  const SessionId dead = OpenSession();
  const ClaimedJob job = Own(dead, Hourly("a"));
  Bury(dead);
  EXPECT_EQ(Commit(dead, Finish(job, Verdict::kFailed)).outcome, CommitOutcome::kStale);
  EXPECT_TRUE(Letters().empty());
}

TEST_P(StoreContract, ADeadLetterHasThePayloadThatWasRun) {
  JobDefinition definition = Hourly("a");
  definition.payload = "old";
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, definition);
  definition.payload = "new";
  Enqueue(definition);
  Commit(session, Finish(job, Verdict::kFailed));
  Must(store_->Pause("a"));
  Must(store_->Trigger("a", "special"));
  Commit(session, Finish(ClaimOne(session), Verdict::kFailed));
  const auto letters = Letters({.payloads = true});
  ASSERT_EQ(letters.size(), 2U);
  EXPECT_EQ(letters[0].payload, "old");
  EXPECT_FALSE(letters[0].triggered);
  EXPECT_EQ(letters[1].payload, "special");
  EXPECT_EQ(letters[1].job_id, "a");
  EXPECT_TRUE(letters[1].triggered);
  EXPECT_LT(letters[0].id, letters[1].id);
}

TEST_P(StoreContract, ARetriedLetterIsATriggeredRunWithItsPayload) {
  JobDefinition definition = Hourly("a");
  definition.payload = "old";
  definition.queue = "other";
  Enqueue(definition);
  const SessionId session = OpenSession();
  Commit(session, Finish(Claim(session, 10, kDay, {"other"}).at(0), Verdict::kFailed));
  definition.payload = "new";
  Enqueue(definition);
  Must(store_->Pause("a"));
  const DeadLetter letter = Letters().at(0);
  Must(store_->RetryDead(letter.id));
  EXPECT_TRUE(Letters().empty());
  const auto claimed = Claim(session, 10, kDay, {"other"});
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].definition->id, "a");
  EXPECT_EQ(claimed[0].definition->payload, "old");
  EXPECT_EQ(claimed[0].present.attempt, 1);
  const Status again = store_->RetryDead(letter.id);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kNotFound);
  Commit(session, Finish(claimed[0], Verdict::kFailed));
  const auto letters = Letters({.payloads = true});
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_GT(letters[0].id, letter.id) << "an id never comes back";
  EXPECT_EQ(letters[0].payload, "old");
  EXPECT_TRUE(letters[0].triggered);
}

TEST_P(StoreContract, ADeadLetterStaysWhenItsJobAndItsHistoryGo) {
  const SessionId session = OpenSession();
  Commit(session, Finish(Own(session, Hourly("a")), Verdict::kFailed));
  Must(store_->Remove("a"));
  Must(store_->Maintain({.history_days = 0}));
  const auto letters = Letters();
  ASSERT_EQ(letters.size(), 1U);
  const Status refused = store_->RetryDead(letters[0].id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("'a'"));
  EXPECT_EQ(Letters().size(), 1U) << "a refused retry changes nothing";
  Enqueue(Hourly("a"));
  Must(store_->Pause("a"));
  Must(store_->RetryDead(letters[0].id));
  EXPECT_EQ(ClaimOne(session).definition->id, "a") << "the job of that name runs it";
}

TEST_P(StoreContract, DiscardedLettersAreGone) {
  const SessionId session = OpenSession();
  for (const char* id : {"a", "b", "c"}) {
    Commit(session, Finish(Own(session, Hourly(id)), Verdict::kFailed));
    Must(store_->Pause(id));
  }
  const auto letters = Letters();
  ASSERT_EQ(letters.size(), 3U);
  const std::vector<std::int64_t> ids = {letters[0].id, letters[2].id, letters[2].id + 1000, 0, -1};
  EXPECT_THAT(Must(store_->DiscardDead(ids)), testing::UnorderedElementsAre(letters[0].id, letters[2].id));
  EXPECT_THAT(Must(store_->DiscardDead(ids)), testing::IsEmpty());
  EXPECT_THAT(Must(store_->DiscardDead({})), testing::IsEmpty());
  EXPECT_EQ(Letters(), std::vector{letters[1]});
  for (const std::int64_t id : {letters[0].id, std::int64_t{0}, std::int64_t{-1}}) {
    EXPECT_EQ(store_->RetryDead(id).error().code, Code::kNotFound) << id;
  }
}

TEST_P(StoreContract, LettersAreListedByIdInPagesAndByJob) {
  const SessionId session = OpenSession();
  std::map<std::string, ClaimedJob> jobs;
  for (const char* id : {"a", "b"}) {
    Enqueue(Hourly(id));
    for (ClaimedJob& job : Claim(session)) jobs.insert_or_assign(id, std::move(job));
  }
  for (int i = 0; i < 4; ++i) {
    for (auto& [id, job] : jobs) {
      const Completion failed = Finish(job, Verdict::kFailed, /*keep=*/true);
      ASSERT_EQ(Commit(session, failed).outcome, CommitOutcome::kApplied);
      job.present = Advance(job.present, failed.next);
    }
  }
  const auto all = Letters();
  ASSERT_EQ(all.size(), 8U);
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1].id, all[i].id);
  std::vector<DeadLetter> paged;
  for (;;) {
    const auto page = Letters({.after_id = paged.empty() ? 0 : paged.back().id, .limit = 3});
    if (page.empty()) break;
    EXPECT_LE(page.size(), 3U);
    paged.insert(paged.end(), page.begin(), page.end());
  }
  EXPECT_EQ(paged, all);
  const auto of_b = Letters({.job_id = "b"});
  ASSERT_EQ(of_b.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(of_b[i].job_id, "b");
    EXPECT_EQ(of_b[i].fire_time, jobs.at("b").present.fire_time - (4 - static_cast<int>(i)) * kHour);
  }
  EXPECT_EQ(Letters({.job_id = "b", .after_id = of_b[1].id, .limit = 1}), std::vector{of_b[2]});
  EXPECT_TRUE(Letters({.job_id = "nobody"}).empty());
  EXPECT_TRUE(Letters({.limit = 0}).empty());
}

TEST_P(StoreContract, OfManyWhoRetryALetterOneDoes) {
  constexpr int kLetters = 20;
  const SessionId session = OpenSession();
  std::vector<JobDefinition> definitions;
  for (int i = 0; i < kLetters; ++i) definitions.push_back(Hourly("job-" + std::to_string(i)));
  Must(store_->Enqueue(definitions));
  std::vector<Completion> failed;
  for (const ClaimedJob& job : Claim(session)) failed.push_back(Finish(job, Verdict::kFailed));
  Must(store_->Commit(session, failed));
  for (const JobDefinition& job : definitions) Must(store_->Pause(job.id));
  const auto letters = Letters();
  ASSERT_EQ(letters.size(), static_cast<std::size_t>(kLetters));
  std::atomic<int> done = 0;
  {
    std::vector<std::jthread> users;
    for (int user = 0; user < 3; ++user) {
      users.emplace_back([&, store = Connect()] {
        for (const DeadLetter& letter : letters) done += store->RetryDead(letter.id) ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(done, kLetters);
  EXPECT_EQ(Claim(session).size(), static_cast<std::size_t>(kLetters));
}

}  // namespace escapement
