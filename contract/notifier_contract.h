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

}  // namespace escapement
