#include "contract/locks_contract.h"

namespace escapement {

TEST_P(LocksContract, ANameIsHeldByOneOnly) {
  const auto lease = Acquire(one(), "exclusive");
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->name, "exclusive");
  EXPECT_FALSE(lease->token.empty());
  EXPECT_FALSE(Acquire(other(), "exclusive"));
  EXPECT_FALSE(Acquire(one(), "exclusive"));
}

TEST_P(LocksContract, AReleasedNameIsFree) {
  const auto lease = Acquire(one(), "released");
  ASSERT_TRUE(lease);
  EXPECT_TRUE(Release(one(), *lease));
  EXPECT_FALSE(Release(one(), *lease)) << "it was released already";
  EXPECT_TRUE(Acquire(other(), "released"));
}

TEST_P(LocksContract, NamesAreIndependent) {
  EXPECT_TRUE(Acquire(one(), "a"));
  EXPECT_TRUE(Acquire(other(), "b"));
  EXPECT_TRUE(Acquire(one(), "a:b {c} %"));
}

TEST_P(LocksContract, ALeaseExpires) {
  ASSERT_TRUE(Acquire(one(), "expires", kShort));
  EXPECT_TRUE(AcquireOnceExpired(other(), "expires"));
}

TEST_P(LocksContract, ALeaseLastsForItsTtl) {
  if (!locks_.pass) GTEST_SKIP() << "only real time passes here, and it may pass at any speed";
  ASSERT_TRUE(Acquire(one(), "lasts", kShort));
  locks_.pass(kShort - Duration(1));
  EXPECT_FALSE(Acquire(other(), "lasts"));
  locks_.pass(Duration(1));
  EXPECT_TRUE(Acquire(other(), "lasts"));
}

TEST_P(LocksContract, RenewingKeepsALease) {
  const auto lease = Acquire(one(), "renewed", locks_.pass ? kShort : kLong);
  ASSERT_TRUE(lease);
  EXPECT_TRUE(Renew(one(), *lease, kLong));
  if (locks_.pass) locks_.pass(kShort * 2);
  EXPECT_FALSE(Acquire(other(), "renewed"));
  EXPECT_TRUE(Renew(other(), *lease, kLong)) << "a lease is its token's, not its client's";
}

TEST_P(LocksContract, ARenewedLeaseLastsForTheNewTtl) {
  const auto lease = Acquire(one(), "shortened", kLong);
  ASSERT_TRUE(lease);
  EXPECT_TRUE(Renew(one(), *lease, kShort));
  EXPECT_TRUE(AcquireOnceExpired(other(), "shortened"));
}

TEST_P(LocksContract, ALostLeaseIsNeitherRenewedNorReleased) {
  const auto lost = Acquire(one(), "lost", kShort);
  ASSERT_TRUE(lost);
  const auto lease = AcquireOnceExpired(other(), "lost");
  ASSERT_TRUE(lease);
  EXPECT_FALSE(Renew(one(), *lost));
  EXPECT_FALSE(Release(one(), *lost));
  EXPECT_FALSE(Acquire(one(), "lost")) << "the loser has freed the winner's lease";
  EXPECT_TRUE(Renew(other(), *lease));
}

TEST_P(LocksContract, AnExpiredLeaseIsNeitherRenewedNorReleasedThoughNobodyTookIt) {
  const auto lease = Acquire(one(), "name", kShort);
  ASSERT_TRUE(lease);
  if (locks_.pass) {
    locks_.pass(kShort);
  } else {
    std::this_thread::sleep_for(4 * kShort);
  }
  EXPECT_FALSE(Renew(one(), *lease));
  EXPECT_FALSE(Release(one(), *lease));
  EXPECT_TRUE(Acquire(other(), "name"));
}

TEST_P(LocksContract, OnlyItsTokenReleasesALease) {
  const auto lease = Acquire(one(), "token");
  ASSERT_TRUE(lease);
  Lease forged = *lease;
  forged.token = "guess";
  EXPECT_FALSE(Release(other(), forged));
  forged.token.clear();
  EXPECT_FALSE(Release(other(), forged));
  EXPECT_FALSE(Renew(other(), forged));
  EXPECT_FALSE(Acquire(other(), "token"));
  EXPECT_FALSE(Release(other(), {.name = "never acquired", .token = lease->token, .fence = lease->fence}));
}

TEST_P(LocksContract, TheFenceGrowsWithEveryAcquisition) {
  auto lease = Acquire(one(), "fence");
  ASSERT_TRUE(lease);
  std::int64_t last = lease->fence;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Release(one(), *lease));
    lease = Acquire(i % 2 == 0 ? other() : one(), "fence", kShort);
    ASSERT_TRUE(lease);
    EXPECT_GT(lease->fence, last);
    last = lease->fence;
    lease = AcquireOnceExpired(one(), "fence");  // after an expiry too
    ASSERT_TRUE(lease);
    EXPECT_GT(lease->fence, last);
    last = lease->fence;
  }
}

TEST_P(LocksContract, OfManyThreadsThatRaceExactlyOneWins) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 25;
  std::vector<std::atomic<int>> winners(kRounds);
  std::atomic<int> errors = 0;
  std::barrier round_begins(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < kRounds; ++round) {
          round_begins.arrive_and_wait();
          const auto lease = (i % 2 == 0 ? one() : other()).Acquire("race " + std::to_string(round), kLong);
          if (!lease) ++errors;
          if (lease && *lease) ++winners[static_cast<std::size_t>(round)];
        }
      });
    }
  }
  EXPECT_EQ(errors, 0);
  for (const auto& count : winners) EXPECT_EQ(count, 1);
}

}  // namespace escapement
