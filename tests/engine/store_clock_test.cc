#include "engine/store_clock.h"

#include <random>

#include <gtest/gtest.h>

namespace escapement {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kStore = FromMicros(1'800'000'000'000'000);
const BootTime kBoot = BootTime(hours(3));

TEST(StoreClock, KnowsNothingBeforeTheFirstSample) {
  StoreClock clock;
  EXPECT_FALSE(clock.known());
  clock.AddSample(kStore, kBoot);
  EXPECT_TRUE(clock.known());
}

TEST(StoreClock, CountsFromTheReceiptOfAReply) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot);
  EXPECT_EQ(clock.At(kBoot + seconds(5)), kStore + seconds(5));
  EXPECT_EQ(clock.When(kStore + seconds(5)), kBoot + seconds(5));
}

TEST(StoreClock, TheQuickestReplyCounts) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot + milliseconds(40));                 // 40 ms under way
  clock.AddSample(kStore + seconds(1), kBoot + milliseconds(1002));  // 2 ms
  clock.AddSample(kStore + seconds(2), kBoot + milliseconds(2090));  // 90 ms
  EXPECT_EQ(clock.At(kBoot + seconds(3)), kStore + seconds(3) - milliseconds(2));
}

TEST(StoreClock, IsNeverAheadOfTheStoreWhateverTheDelays) {
  std::mt19937 random(7);
  StoreClock clock;
  for (int i = 0; i < 1'000; ++i) {
    const Duration sent = milliseconds(300) * i;
    const Duration delay = Duration(100 + random() % 3'000'000);
    clock.AddSample(kStore + sent, kBoot + sent + delay);
    ASSERT_LE(clock.At(kBoot + sent + delay), kStore + sent + delay);
  }
}

TEST(StoreClock, AnOldSampleExpires) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot);
  Duration t{0};
  // The store's clock is slow against ours: half a second in 100 s.
  for (int i = 0; i < 100; ++i) {
    t += seconds(1);
    clock.AddSample(kStore + t - t / 200, kBoot + t);
    ASSERT_LE(clock.At(kBoot + t) - (kStore + t - t / 200), milliseconds(62'000) / 200);
  }
}

TEST(StoreClock, FollowsAStepBackAtOnce) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot);
  clock.AddSample(kStore - hours(1), kBoot + seconds(1));
  EXPECT_EQ(clock.At(kBoot + seconds(1)), kStore - hours(1));
  // The bound of before the step is forgotten for good.
  for (int i = 2; i < 100; ++i) {
    clock.AddSample(kStore - hours(1) + seconds(i - 1), kBoot + seconds(i));
    ASSERT_EQ(clock.At(kBoot + seconds(i)), kStore - hours(1) + seconds(i - 1));
  }
}

TEST(StoreClock, FollowsAStepForwardAtOnce) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot);
  clock.AddSample(kStore + hours(1), kBoot + seconds(1));
  EXPECT_EQ(clock.At(kBoot + seconds(1)), kStore + hours(1));
}

TEST(StoreClock, AReplyReadLateDoesNoLastingHarm) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot);
  clock.AddSample(kStore + seconds(1), kBoot + seconds(11));  // this process stood still for 10 s
  EXPECT_LE(clock.At(kBoot + seconds(11)), kStore + seconds(11));
  clock.AddSample(kStore + seconds(12), kBoot + seconds(12));
  EXPECT_EQ(clock.At(kBoot + seconds(12)), kStore + seconds(12));
}

}  // namespace
}  // namespace escapement
