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

// --- slots

TEST_P(LocksContract, NoMoreHoldAKeyThanItHasSlots) {
  EXPECT_TRUE(Takes(one(), Slot("a", "key", 2)));
  EXPECT_TRUE(Takes(other(), Slot("b", "key", 2)));
  EXPECT_FALSE(Takes(one(), Slot("c", "key", 2)));
  EXPECT_FALSE(Takes(other(), Slot("d", "key", 2)));
  EXPECT_TRUE(Takes(one(), Slot("c", "another key: {x} % \xC3\xBC", 2)));
}

TEST_P(LocksContract, AFreedSlotIsTakenAtOnce) {
  EXPECT_TRUE(Takes(one(), Slot("a", "key")));
  Free(one(), Slot("nobody", "key"));
  Free(one(), Slot("a", "no such key"));
  EXPECT_FALSE(Takes(other(), Slot("b", "key")));
  Free(other(), Slot("a", "key"));
  EXPECT_TRUE(Takes(other(), Slot("b", "key")));
  Free(one(), Slot("a", "key"));
  EXPECT_FALSE(Takes(one(), Slot("c", "key"))) << "freed twice, and the second time was the next one's";
}

TEST_P(LocksContract, ASlotIsFreeAgainWhenItsLeaseEnds) {
  EXPECT_TRUE(Takes(one(), Slot("a", "key"), kShort));
  EXPECT_TRUE(TakesOnceOver(other(), Slot("b", "key")));
  EXPECT_FALSE(Takes(one(), Slot("a", "key"))) << "it is the other's now";
}

TEST_P(LocksContract, ALeaseOfSlotsLastsForItsTtl) {
  if (!locks_.pass) GTEST_SKIP() << "only real time passes here, and it may pass at any speed";
  ASSERT_TRUE(Takes(one(), Slot("a", "key"), kShort));
  locks_.pass(kShort - Duration(1));
  EXPECT_FALSE(Takes(other(), Slot("b", "key")));
  EXPECT_TRUE(Takes(one(), Slot("a", "key"), kShort));
  locks_.pass(kShort - Duration(1));
  EXPECT_FALSE(Takes(other(), Slot("b", "key"))) << "it was renewed";
  locks_.pass(Duration(1));
  EXPECT_TRUE(Takes(other(), Slot("b", "key")));
}

TEST_P(LocksContract, WhoHasSlotsTakesThemAgainAndCountsOnce) {
  EXPECT_TRUE(Takes(one(), Slot("a", "key", 2)));
  EXPECT_TRUE(Takes(other(), Slot("a", "key", 2)));
  EXPECT_TRUE(Takes(one(), Slot("b", "key", 2)));
  EXPECT_TRUE(Takes(one(), Slot("a", "key", 2)));
  EXPECT_FALSE(Takes(one(), Slot("c", "key", 2)));
  EXPECT_TRUE(Takes(one(), Slot("b", "key", 2), kShort));
  EXPECT_TRUE(TakesOnceOver(other(), Slot("c", "key", 2))) << "the last ttl counts";
}

TEST_P(LocksContract, ARunTakesAllOfItsSlotsOrNone) {
  const SlotRequest both{.holder = "both", .limits = {{.key = "x", .slots = 1}, {.key = "y", .slots = 1}}};
  EXPECT_TRUE(Takes(one(), Slot("a", "y")));
  EXPECT_FALSE(Takes(one(), both));
  EXPECT_TRUE(Takes(other(), Slot("b", "x"))) << "it was refused, and holds one of its slots";
  Free(one(), Slot("a", "y"));
  EXPECT_FALSE(Takes(one(), both));
  Free(other(), Slot("b", "x"));
  EXPECT_TRUE(Takes(one(), both));
  EXPECT_FALSE(Takes(one(), Slot("a", "x")));
  EXPECT_FALSE(Takes(one(), Slot("a", "y")));
  Free(one(), both);
  EXPECT_TRUE(Takes(one(), Slot("a", "x")));
  EXPECT_TRUE(Takes(one(), Slot("a", "y")));
}

TEST_P(LocksContract, RequestsOfOneCallAreServedInTheirOrder) {
  const auto answers =
      Take(one(), {Slot("a", "x"), Slot("b", "x"), Slot("c", "y"), Slot("a", "x"), {.holder = "none"}});
  std::vector<bool> granted;
  for (const SlotAnswer& answer : answers) granted.push_back(answer.granted);
  EXPECT_EQ(granted, std::vector<bool>({true, false, true, true, true}));
  EXPECT_TRUE(Take(other(), {}).empty());
  const Status freed = other().FreeSlots({Slot("a", "x"), Slot("c", "y"), {.holder = "none"}});
  EXPECT_TRUE(freed);
  EXPECT_TRUE(Takes(one(), Slot("b", "x")));
  EXPECT_TRUE(Takes(one(), Slot("b", "y")));
}

TEST_P(LocksContract, OfTwoNumbersForOneKeyTheAskersOwnCounts) {
  EXPECT_TRUE(Takes(one(), Slot("a", "key", 1)));
  EXPECT_TRUE(Takes(one(), Slot("b", "key", 3)));
  EXPECT_FALSE(Takes(one(), Slot("c", "key", 2)));
  EXPECT_TRUE(Takes(one(), Slot("c", "key", 3)));
  EXPECT_TRUE(Takes(one(), Slot("a", "key", 1))) << "what it has it keeps";
  Free(one(), Slot("b", "key"));
  Free(one(), Slot("c", "key"));
  EXPECT_FALSE(Takes(one(), Slot("d", "key", 1)));
}

TEST_P(LocksContract, OfManyThreadsNoMoreHoldSlotsThanThereAre) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 40;
  constexpr int kSlots = 3;
  std::atomic<int> holding = 0, most = 0, taken = 0, errors = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Locks& locks = i % 2 == 0 ? one() : other();
        for (int round = 0; round < kRounds; ++round) {
          const std::string holder = std::to_string(i) + "/" + std::to_string(round);
          const SlotRequest request{.holder = holder,
                                    .limits = {{.key = "race", .slots = kSlots}, {.key = "second", .slots = kThreads}}};
          const auto answers = locks.TakeSlots({request}, kLong);
          if (!answers) ++errors;
          if (!answers || !answers->at(0).granted) continue;
          ++taken;
          const int now = ++holding;
          for (int before = most; now > before && !most.compare_exchange_weak(before, now);) {
          }
          std::this_thread::yield();
          --holding;
          if (!locks.FreeSlots({request})) ++errors;
        }
      });
    }
  }
  EXPECT_EQ(errors, 0);
  EXPECT_LE(most, kSlots);
  EXPECT_GE(taken, kRounds) << "nobody else holds any slot for long";
}

// --- rates

TEST_P(LocksContract, NoMoreAreStartedThanTheRateAllows) {
  EXPECT_TRUE(Takes(one(), Start("a", "key", 2)));
  EXPECT_TRUE(Takes(other(), Start("b", "key", 2)));
  const SlotAnswer refused = Take(one(), {Start("c", "key", 2)}).at(0);
  EXPECT_FALSE(refused.granted);
  EXPECT_GT(refused.again, Duration(0));
  EXPECT_LE(refused.again, kLong);
  EXPECT_TRUE(Takes(one(), Start("c", "another", 2)));
  EXPECT_TRUE(Takes(one(), Slot("c", "key"))) << "a key of a rate is no key of slots";
}

TEST_P(LocksContract, InNoTimeOfItsRateAreMoreStarted) {
  if (!locks_.pass) GTEST_SKIP() << "only real time passes here, and it may pass at any speed";
  using std::chrono::milliseconds;
  const auto start = [&](const char* holder) {
    return Take(one(), {Start(holder, "key", 3, milliseconds(100))}).at(0);
  };
  EXPECT_TRUE(start("a").granted);
  locks_.pass(milliseconds(60));
  EXPECT_TRUE(start("b").granted);
  EXPECT_TRUE(start("c").granted);
  const SlotAnswer refused = start("d");
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.again, Duration(milliseconds(40)));
  locks_.pass(milliseconds(40) - Duration(1));
  EXPECT_FALSE(start("d").granted);
  locks_.pass(Duration(1));
  EXPECT_TRUE(start("d").granted);
  EXPECT_EQ(start("e").again, Duration(milliseconds(60)));
  locks_.pass(milliseconds(60));
  EXPECT_TRUE(start("e").granted);
  EXPECT_TRUE(start("f").granted);
  EXPECT_EQ(start("g").again, Duration(milliseconds(40)));
}

TEST_P(LocksContract, WhatWasStartedLongEnoughAgoDoesNotCount) {
  EXPECT_TRUE(Takes(one(), Start("a", "key", 1, kShort)));
  EXPECT_TRUE(TakesOnceOver(other(), Start("b", "key", 1, kShort)));
}

TEST_P(LocksContract, AStartIsCountedOnceForItsHolder) {
  EXPECT_TRUE(Takes(one(), Start("a", "key", 2)));
  EXPECT_TRUE(Takes(other(), Start("a", "key", 2)));
  EXPECT_TRUE(Takes(one(), Start("b", "key", 2)));
  EXPECT_TRUE(Takes(one(), Start("a", "key", 2)));
  EXPECT_FALSE(Takes(one(), Start("c", "key", 2)));
}

TEST_P(LocksContract, AStartThatWasNoneIsTakenBack) {
  EXPECT_TRUE(Takes(one(), Start("a", "key")));
  EXPECT_FALSE(Takes(one(), Start("b", "key")));
  Free(other(), Start("a", "key"));
  EXPECT_TRUE(Takes(one(), Start("b", "key")));
  Free(other(), {.holder = "b", .limits = {{.key = "key", .slots = 1}}});
  EXPECT_FALSE(Takes(one(), Start("c", "key"))) << "its run is over, but it was started";
}

TEST_P(LocksContract, WhoIsRefusedForOneThingTakesNothingElse) {
  const auto request = [](const char* holder) {
    return SlotRequest{
        .holder = holder,
        .limits = {{.key = "slot", .slots = 2}},
        .rates = {{.key = "fast", .starts = 5, .per = kLong}, {.key = "slow", .starts = 1, .per = kLong}}};
  };
  EXPECT_TRUE(Takes(one(), request("a")));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Takes(one(), request("b")));
  EXPECT_TRUE(Takes(one(), Slot("c", "slot", 2))) << "the slot was taken all the same";
  for (const char* holder : {"d", "e", "f", "g"}) {
    EXPECT_TRUE(Takes(one(), Start(holder, "fast", 5))) << "a start was counted all the same";
  }
  EXPECT_FALSE(Takes(one(), Start("h", "fast", 5)));
  const SlotAnswer full = Take(one(), {Slot("i", "slot", 2)}).at(0);
  EXPECT_FALSE(full.granted);
  EXPECT_EQ(full.again, Duration(0)) << "nobody knows when a slot is freed";
}

TEST_P(LocksContract, ALongerRateSeesWhatWasCountedForAShorterOne) {
  EXPECT_TRUE(Takes(one(), Start("a", "key", 1, kShort)));
  if (locks_.pass) locks_.pass(2 * kShort);
  EXPECT_TRUE(Takes(one(), Start("b", "key", 10)));
  EXPECT_FALSE(Takes(one(), Start("c", "key", 1)));
  EXPECT_TRUE(Takes(one(), Start("c", "key", 3)));
}

}  // namespace escapement
