#include "contract/notifier_contract.h"

namespace escapement {

TEST_P(NotifierContract, AMessageArrivesWholeAndInOrder) {
  Inbox inbox;
  const auto subscription = Subscribe(one(), "channel", inbox);
  const std::string odd = "tab \t, line \r\n and {} $1 %s";
  Publish(other(), "channel", "first");
  Publish(other(), "channel", odd);
  Publish(other(), "channel", "last");
  ASSERT_TRUE(inbox.Got("last"));
  EXPECT_EQ(inbox.Messages(), (std::vector<std::string>{"", "first", odd, "last"}));
}

TEST_P(NotifierContract, EverySubscriberGetsIt) {
  Inbox first;
  Inbox second;
  Inbox third;
  const auto a = Subscribe(one(), "all", first);
  const auto b = Subscribe(one(), "all", second);
  const auto c = Subscribe(other(), "all", third);
  Publish(one(), "all", "hello");
  EXPECT_TRUE(first.Got("hello"));
  EXPECT_TRUE(second.Got("hello"));
  EXPECT_TRUE(third.Got("hello"));
}

TEST_P(NotifierContract, ChannelsAreSeparate) {
  Inbox left;
  Inbox right;
  const auto a = Subscribe(one(), "left", left);
  const auto b = Subscribe(one(), "right", right);
  Publish(other(), "left", "to the left");
  Publish(other(), "right", "to the right");
  Publish(other(), "left", "end");
  ASSERT_TRUE(left.Got("end"));
  ASSERT_TRUE(right.Got("to the right"));
  EXPECT_EQ(left.Messages(), (std::vector<std::string>{"", "to the left", "end"}));
  EXPECT_EQ(right.Messages(), (std::vector<std::string>{"", "to the right"}));
}

TEST_P(NotifierContract, AnEndedSubscriptionIsCalledNoMore) {
  Inbox witness;
  Inbox inbox;
  auto subscription = Subscribe(one(), "ended", inbox);
  const auto stays = Subscribe(one(), "ended", witness);
  Publish(other(), "ended", "before");
  ASSERT_TRUE(inbox.Got("before"));
  subscription.reset();
  Publish(other(), "ended", "after");
  ASSERT_TRUE(witness.Got("after"));
  EXPECT_EQ(inbox.Messages(), (std::vector<std::string>{"", "before"}));
}

TEST_P(NotifierContract, EndingASubscriptionWaitsForItsCallback) {
  std::mutex mutex;
  std::condition_variable changed;
  bool entered = false;
  bool finished = false;
  auto subscription = one().Subscribe("slow", [&](const std::string&) {
    std::unique_lock lock(mutex);
    if (entered) return;
    entered = true;
    changed.notify_all();
    // Gives the destructor below every chance to return too early.
    changed.wait_for(lock, std::chrono::milliseconds(50), [] { return false; });
    finished = true;
  });
  ASSERT_TRUE(subscription);
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return entered; }));
  }
  subscription->reset();
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(finished);
}

TEST_P(NotifierContract, PublishingToNobodyIsFine) { Publish(one(), "nobody", "hello"); }

}  // namespace escapement
