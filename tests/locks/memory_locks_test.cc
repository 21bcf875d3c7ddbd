#include "locks/memory/memory_locks.h"

#include <gtest/gtest.h>

#include <atomic>

#include "contract/locks_contract.h"
#include "contract/notifier_contract.h"

namespace escapement {
namespace {

LocksUnderTest MakeLocks() {
  auto now = std::make_shared<std::atomic<std::int64_t>>(0);  // shared by the clock and the test
  auto locks = std::make_shared<MemoryLocks>([now] { return BootTime(Duration(now->load())); });
  return {.one = locks, .other = locks, .pass = [now](Duration time) { *now += time.count(); }, .unavailable = ""};
}

NotifierUnderTest MakeNotifier() {
  auto notifier = std::make_shared<MemoryNotifier>();
  return {.one = notifier, .other = notifier, .unavailable = ""};
}

INSTANTIATE_TEST_SUITE_P(Memory, LocksContract, testing::Values(LocksAdapter{"Manual", MakeLocks}), LocksAdapterName);
INSTANTIATE_TEST_SUITE_P(Memory, NotifierContract, testing::Values(NotifierAdapter{"Process", MakeNotifier}),
                         NotifierAdapterName);

TEST(MemoryLocks, UseTheClockOfTheProcessByDefault) {
  MemoryLocks locks;
  const auto lease = locks.Acquire("a", std::chrono::hours(1));
  ASSERT_TRUE(lease && *lease);
  EXPECT_FALSE(*locks.Acquire("a", std::chrono::hours(1)));
}

TEST(MemoryNotifier, ASubscriptionMayEndItselfAndOutliveTheNotifier) {
  Inbox inbox;
  auto notifier = std::make_unique<MemoryNotifier>();
  std::mutex mutex;
  std::unique_ptr<Notifier::Subscription> itself;
  auto outliving = notifier->Subscribe("channel", [&](const std::string& message) { inbox.Put(message); });
  auto subscription = notifier->Subscribe("channel", [&](const std::string& message) {
    if (message != "end") return;
    std::unique_lock lock(mutex);
    const auto mine = std::move(itself);
    lock.unlock();
    inbox.Put("ended itself");
  });
  ASSERT_TRUE(subscription);
  {
    const std::lock_guard lock(mutex);
    itself = std::move(*subscription);
  }
  ASSERT_TRUE(notifier->Publish("channel", "end"));
  EXPECT_TRUE(inbox.Got("ended itself"));
  notifier.reset();
}

}  // namespace
}  // namespace escapement
