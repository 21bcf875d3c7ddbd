#include "stores/memory/memory_store.h"

#include "contract/store_contract.h"

namespace escapement {
namespace {

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         testing::Values(StoreUnderTest{"memory",
                                                        [] { return std::make_unique<MemoryStoreFactory>(); }}),
                         StoreName);

using namespace std::chrono_literals;

// What only a store with a settable clock can show.
class MemoryStoreTest : public testing::Test {
 protected:
  Instant now_ = ParseInstant("2026-11-24T12:00:00Z").value();
  MemoryStoreFactory factory_{[this] { return now_; }};
  std::unique_ptr<JobStore> store_ = factory_.Open().value();
};

TEST_F(MemoryStoreTest, DropsHistoryBeyondRetention) {
  const JobDefinition job{.id = "a", .schedule = Schedule::Every({.interval = 1h}).value(), .task = "work"};
  ASSERT_TRUE(store_->Enqueue({job}));
  const SessionId session = store_->OpenSession({.pod = "pod", .ttl = 5s}).value();
  for (int day = 0; day < 3; ++day) {
    const ClaimedJob claimed = store_->Claim({session, 1h + 1us, 1, {"default"}}).value().jobs.at(0);
    const Settlement settlement = Settle(job, claimed.present, {}, now_);
    ASSERT_TRUE(store_->Commit(session, {{claimed.key, claimed.fence, claimed.present.fire_time, 1, 1, settlement.run,
                                          settlement.next, false}}));
    now_ += 24h;
  }
  ASSERT_TRUE(store_->Maintain({.history_days = 2}));
  EXPECT_EQ(store_->Runs({.job_id = "a"}).value().size(), 2U);
  EXPECT_EQ(store_->Get("a").value().settled_total, 3);
}

TEST_F(MemoryStoreTest, FencesGrowThoughTheClockGoesBack) {
  const JobDefinition job{.id = "a", .schedule = Schedule::At(now_).value(), .task = "work"};
  const SessionId session = store_->OpenSession({.pod = "pod", .ttl = 5s}).value();
  Fence fence = 0;
  for (int i = 0; i < 3; ++i, now_ -= 1s) {
    ASSERT_TRUE(store_->Enqueue({job}));
    const ClaimedJob claimed = store_->Claim({session, 1h, 1, {"default"}}).value().jobs.at(0);
    EXPECT_GT(claimed.fence, fence);
    fence = claimed.fence;
    ASSERT_TRUE(store_->Remove("a"));
    ASSERT_TRUE(store_->Release(session, {{claimed.key, claimed.fence}}));
  }
}

}  // namespace
}  // namespace escapement
