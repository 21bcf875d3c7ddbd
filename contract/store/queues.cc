// Queues that rest, and everything.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, NothingIsClaimedOfAQueueThatRests) {
  JobDefinition mail = Hourly("mail");
  mail.queue = "mail";
  Enqueue(mail);
  Enqueue(Hourly("a"));
  const SessionId session = OpenSession();
  const auto claimed = [&](const std::vector<std::string>& queues) {
    std::vector<std::string> ids;
    for (const ClaimedJob& job : Claim(session, 10, kDay, queues)) {
      ids.push_back(job.definition->id);
      Must(store_->Release(session, {{job.key, job.fence}}));
    }
    return ids;
  };
  Must(store_->PauseQueue("mail"));
  EXPECT_TRUE(store_->PauseQueue("mail")) << "idempotent";
  EXPECT_THAT(claimed({"mail"}), testing::IsEmpty());
  EXPECT_THAT(claimed({"mail", "default"}), testing::ElementsAre("a"));
  Must(store_->PauseQueue(std::nullopt));
  EXPECT_THAT(claimed({"mail", "default"}), testing::IsEmpty());
  Must(store_->ResumeQueue(std::nullopt));
  EXPECT_TRUE(store_->ResumeQueue(std::nullopt)) << "idempotent";
  EXPECT_THAT(claimed({"mail", "default"}), testing::ElementsAre("a")) << "what rests by itself goes on resting";
  Must(store_->ResumeQueue("mail"));
  EXPECT_THAT(claimed({"mail", "default"}), testing::UnorderedElementsAre("a", "mail"));
}

TEST_P(StoreContract, ARestingQueueRestsForTriggeredRunsToo) {
  JobDefinition mail = Hourly("mail");
  mail.queue = "mail";
  Enqueue(mail);
  Must(store_->Pause("mail"));
  Must(store_->PauseQueue("mail"));
  Must(store_->Trigger("mail", std::nullopt));
  const SessionId session = OpenSession();
  EXPECT_TRUE(Claim(session, 10, kDay, {"mail"}).empty());
  Must(store_->ResumeQueue("mail"));
  EXPECT_EQ(Claim(session, 10, kDay, {"mail"}).size(), 1U);
}

TEST_P(StoreContract, UnderABacklogTooARestingQueueGivesNothing) {
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) {
    jobs.push_back(Once("mail-" + std::to_string(i), -kMinute));
    jobs.back().queue = "mail";
    jobs.back().priority = 5;
    jobs.push_back(Once("other-" + std::to_string(i), -kMinute));
  }
  Must(store_->Enqueue(jobs));
  Must(store_->PauseQueue("mail"));
  for (int i = 0; i < 4; ++i) {
    const auto claimed = Claim(OpenSession(), 5, kDay, {"mail", "default"});
    EXPECT_EQ(claimed.size(), 5U);
    for (const ClaimedJob& job : claimed) EXPECT_EQ(job.definition->queue, "default");
  }
  EXPECT_TRUE(Claim(OpenSession(), 5, kDay, {"mail", "default"}).empty());
}

TEST_P(StoreContract, BeatsTellWhatRests) {
  const SessionId session = OpenSession();
  const auto told = [&] { return Must(store_->Beat({.session = session})).paused; };
  const auto expect = [&](const PausedQueues& paused) {
    EXPECT_EQ(told(), paused);
    EXPECT_EQ(Must(Connect()->Paused()), paused);
  };
  expect({});
  Must(store_->PauseQueue("mail"));
  Must(store_->PauseQueue("z\xC3\xBCrich's % queue"));
  expect({.all = false, .queues = {"mail", "z\xC3\xBCrich's % queue"}});
  Must(store_->PauseQueue(std::nullopt));
  Must(store_->ResumeQueue("mail"));
  expect({.all = true, .queues = {"z\xC3\xBCrich's % queue"}});
  EXPECT_TRUE(store_->ResumeQueue("nobody's"));
  Must(store_->ResumeQueue(std::nullopt));
  Must(store_->ResumeQueue("z\xC3\xBCrich's % queue"));
  expect({});
}

TEST_P(StoreContract, ARestSettlesNothingAndTakesNothing) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->PauseQueue(std::nullopt));
  EXPECT_EQ(Enqueue(Hourly("b")), EnqueueOutcome::kCreated);
  EXPECT_TRUE(Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true)).kept) << "what runs goes on";
  Must(store_->ResumeQueue(std::nullopt));
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_EQ(Get("a").state, JobState::kActive);
  EXPECT_TRUE(Runs("b").empty());
  EXPECT_EQ(ClaimOne(session).present.fire_time, start_ + 10 * kMinute);
}

TEST_P(StoreContract, WhatIsNoNameOfAQueueIsRefused) {
  for (const std::string& name :
       {std::string(), std::string("a\nb"), std::string("a\x1f"), std::string("\xFF"), std::string(201, 'x')}) {
    for (const Status& status : {store_->PauseQueue(name), store_->ResumeQueue(name)}) {
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().code, Code::kInvalidArgument);
      EXPECT_THAT(status.error().message, testing::HasSubstr("queue"));
    }
  }
  EXPECT_EQ(Must(store_->Paused()), PausedQueues{});
}

}  // namespace escapement
