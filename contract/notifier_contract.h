// What every Notifier adapter must do. An adapter's test instantiates the suite:
//   INSTANTIATE_TEST_SUITE_P(Memory, NotifierContract, testing::Values(NotifierAdapter{...}), NotifierAdapterName);
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <vector>

#include "ports/notifier.h"

namespace escapement {

// One service, seen by two of its clients (for an adapter without clients, twice the same object).
struct NotifierUnderTest {
  std::shared_ptr<Notifier> one;
  std::shared_ptr<Notifier> other;
  std::string unavailable;  // why this adapter cannot be tested here
};

struct NotifierAdapter {
  std::string name;
  std::function<NotifierUnderTest()> make;
};

inline void PrintTo(const NotifierAdapter& adapter, std::ostream* out) { *out << adapter.name; }
inline std::string NotifierAdapterName(const testing::TestParamInfo<NotifierAdapter>& info) { return info.param.name; }

// What a subscription was given, in order. Thread-safe.
class Inbox {
 public:
  void Put(const std::string& message) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(message);
    changed_.notify_all();
  }
  // Waits, within reason, until it was given `message` `times` times.
  bool Got(const std::string& message, int times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return std::count(messages_.begin(), messages_.end(), message) >= times; });
  }
  std::vector<std::string> Messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }

 private:
  std::mutex mutex_;  // guards messages_
  std::condition_variable changed_;
  std::vector<std::string> messages_;
};

class NotifierContract : public testing::TestWithParam<NotifierAdapter> {
 protected:
  void SetUp() override {
    notifiers_ = GetParam().make();
    if (!notifiers_.unavailable.empty()) GTEST_SKIP() << notifiers_.unavailable;
  }

  // Waits until it is in force.
  static std::unique_ptr<Notifier::Subscription> Subscribe(Notifier& notifier, const std::string& channel,
                                                           Inbox& inbox) {
    auto subscription = notifier.Subscribe(channel, [&inbox](const std::string& message) { inbox.Put(message); });
    EXPECT_TRUE(subscription) << subscription.error().message;
    EXPECT_TRUE(inbox.Got("")) << "no empty message after the first connection";
    return subscription ? std::move(*subscription) : nullptr;
  }
  static void Publish(Notifier& notifier, const std::string& channel, const std::string& message) {
    const auto status = notifier.Publish(channel, message);
    EXPECT_TRUE(status) << status.error().message;
  }

  Notifier& one() { return *notifiers_.one; }
  Notifier& other() { return *notifiers_.other; }

  NotifierUnderTest notifiers_;
};

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
