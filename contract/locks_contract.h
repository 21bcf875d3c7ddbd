// What every Locks adapter must do. An adapter's test instantiates the suite:
//   INSTANTIATE_TEST_SUITE_P(Memory, LocksContract, testing::Values(LocksAdapter{...}), LocksAdapterName);
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "ports/locks.h"

namespace escapement {

// One lock service, seen by two of its clients (for an adapter without clients, twice the same object).
struct LocksUnderTest {
  std::shared_ptr<Locks> one;
  std::shared_ptr<Locks> other;
  std::function<void(Duration)> pass;  // lets time pass at once; empty: only real time passes
  std::string unavailable;             // why this adapter cannot be tested here
};

struct LocksAdapter {
  std::string name;
  std::function<LocksUnderTest()> make;
};

inline void PrintTo(const LocksAdapter& adapter, std::ostream* out) { *out << adapter.name; }
inline std::string LocksAdapterName(const testing::TestParamInfo<LocksAdapter>& info) { return info.param.name; }

class LocksContract : public testing::TestWithParam<LocksAdapter> {
 protected:
  static constexpr Duration kLong = std::chrono::hours(1);
  static constexpr Duration kShort = std::chrono::milliseconds(50);

  void SetUp() override {
    locks_ = GetParam().make();
    if (!locks_.unavailable.empty()) GTEST_SKIP() << locks_.unavailable;
  }

  static std::optional<Lease> Acquire(Locks& locks, const std::string& name, Duration ttl = kLong) {
    auto lease = locks.Acquire(name, ttl);
    EXPECT_TRUE(lease) << lease.error().message;
    return lease ? *lease : std::nullopt;
  }
  static bool Renew(Locks& locks, const Lease& lease, Duration ttl = kLong) {
    auto renewed = locks.Renew(lease, ttl);
    EXPECT_TRUE(renewed) << renewed.error().message;
    return renewed && *renewed;
  }
  static bool Release(Locks& locks, const Lease& lease) {
    auto released = locks.Release(lease);
    EXPECT_TRUE(released) << released.error().message;
    return released && *released;
  }

  // After a lease of kShort: tries until it has expired. No lease when it does not expire within 20 s.
  std::optional<Lease> AcquireOnceExpired(Locks& locks, const std::string& name) {
    if (locks_.pass) locks_.pass(kShort);
    for (int attempt = 0; attempt < 4'000; ++attempt) {
      if (auto lease = Acquire(locks, name)) return lease;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return std::nullopt;
  }

  static std::vector<SlotAnswer> Take(Locks& locks, const std::vector<SlotRequest>& requests, Duration ttl = kLong) {
    auto answers = locks.TakeSlots(requests, ttl);
    EXPECT_TRUE(answers) << answers.error().message;
    if (!answers) return std::vector<SlotAnswer>(requests.size());
    EXPECT_EQ(answers->size(), requests.size());
    return *std::move(answers);
  }
  static bool Takes(Locks& locks, const SlotRequest& request, Duration ttl = kLong) {
    return Take(locks, {request}, ttl).at(0).granted;
  }
  static void Free(Locks& locks, const SlotRequest& request) {
    const Status freed = locks.FreeSlots({request});
    EXPECT_TRUE(freed) << freed.error().message;
  }
  // After what lasts for kShort: tries until it is granted. False when it is not within 20 s.
  bool TakesOnceOver(Locks& locks, const SlotRequest& request) {
    if (locks_.pass) locks_.pass(kShort);
    for (int attempt = 0; attempt < 4'000; ++attempt) {
      if (Takes(locks, request)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // A run that takes one of the key's `slots`.
  static SlotRequest Slot(std::string holder, std::string key, int slots = 1) {
    return {.holder = std::move(holder), .limits = {{.key = std::move(key), .slots = slots}}};
  }
  static SlotRequest Start(std::string holder, std::string key, int starts = 1, Duration per = kLong) {
    return {.holder = std::move(holder), .rates = {{.key = std::move(key), .starts = starts, .per = per}}};
  }

  Locks& one() { return *locks_.one; }
  Locks& other() { return *locks_.other; }

  LocksUnderTest locks_;
};

}  // namespace escapement
