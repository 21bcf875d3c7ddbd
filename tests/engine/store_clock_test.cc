#include "engine/store_clock.h"

#include <random>

#include <gtest/gtest.h>

namespace escapement {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kStore = FromMicros(1'800'000'000'000'000);
const BootTime kBoot = BootTime(hours(3));

// What a clock that is too fast may have gained in `t`.
Duration Allowance(Duration t) { return t / 5'000; }

TEST(StoreClock, KnowsNothingBeforeTheFirstSample) {
  StoreClock clock;
  EXPECT_FALSE(clock.known());
  clock.AddSample(kStore, kBoot, kBoot);
  EXPECT_TRUE(clock.known());
}

TEST(StoreClock, CountsFromTheReceiptOfAReply) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  EXPECT_EQ(clock.At(kBoot), kStore);
  EXPECT_EQ(clock.At(kBoot + seconds(5)), kStore + seconds(5) - Allowance(seconds(5)));
}

TEST(StoreClock, SaysWhenATimeHasSurelyCome) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  for (Duration t{0}; t < seconds(20); t += microseconds(7'777)) {
    const BootTime when = clock.When(kStore + t);
    ASSERT_GE(clock.At(when), kStore + t);
    ASSERT_LT(clock.At(when - Duration(1)), kStore + t);
  }
}

TEST(StoreClock, IsNeverAheadOfTheStoreWhenThisMachinesClockIsFast) {
  StoreClock clock;
  for (Duration t{0}; t < seconds(200); t += milliseconds(100)) {  // of the store; ours gains 150 us a second
    const BootTime ours = kBoot + t + t * 15 / 100'000;
    if (t % seconds(1) == Duration(0)) clock.AddSample(kStore + t, ours, ours);
    ASSERT_LE(clock.At(ours), kStore + t);
  }
}

TEST(StoreClock, TheQuickestReplyCounts) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot + milliseconds(40));                              // 40 ms under way
  clock.AddSample(kStore + seconds(1), kBoot + seconds(1), kBoot + milliseconds(1002));  // 2 ms
  clock.AddSample(kStore + seconds(2), kBoot + seconds(2), kBoot + milliseconds(2090));  // 90 ms
  const Duration old = seconds(2) - milliseconds(2);
  const Instant expected = kStore + seconds(3) - milliseconds(2) - Allowance(old);
  EXPECT_LE(clock.At(kBoot + seconds(3)), expected);
  EXPECT_GE(clock.At(kBoot + seconds(3)), expected - microseconds(1));
}

TEST(StoreClock, IsNeverAheadOfTheStoreWhateverTheDelays) {
  std::mt19937 random(7);
  StoreClock clock;
  for (int i = 0; i < 1'000; ++i) {
    const Duration sent = milliseconds(300) * i;
    const Duration delay = Duration(100 + random() % 3'000'000);
    clock.AddSample(kStore + sent, kBoot + sent, kBoot + sent + delay);
    ASSERT_LE(clock.At(kBoot + sent + delay), kStore + sent + delay);
  }
}

TEST(StoreClock, AnOldSampleExpires) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  Duration t{0};
  // The store's clock is slow against ours: half a second in 100 s.
  for (int i = 0; i < 100; ++i) {
    t += seconds(1);
    clock.AddSample(kStore + t - t / 200, kBoot + t, kBoot + t);
    ASSERT_LE(clock.At(kBoot + t) - (kStore + t - t / 200), milliseconds(62'000) / 200);
  }
}

TEST(StoreClock, FollowsAStepBackAtOnce) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  clock.AddSample(kStore - hours(1), kBoot + seconds(1), kBoot + seconds(1));
  EXPECT_EQ(clock.At(kBoot + seconds(1)), kStore - hours(1));
  // The bound of before the step is forgotten for good.
  for (int i = 2; i < 100; ++i) {
    clock.AddSample(kStore - hours(1) + seconds(i - 1), kBoot + seconds(i), kBoot + seconds(i));
    ASSERT_EQ(clock.At(kBoot + seconds(i)), kStore - hours(1) + seconds(i - 1));
  }
}

TEST(StoreClock, FollowsASmallStepBackAsSoonAsAReplyProvesIt) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  // Set back by 100 ms; a reply that may have been under way for longer proves nothing yet.
  const Duration step = milliseconds(100);
  clock.AddSample(kStore + seconds(1) - step, kBoot + seconds(1) - milliseconds(150), kBoot + seconds(1));
  EXPECT_GT(clock.At(kBoot + seconds(1)), kStore + seconds(1) - step);
  clock.AddSample(kStore + seconds(2) - step, kBoot + seconds(2) - milliseconds(3), kBoot + seconds(2));
  EXPECT_EQ(clock.At(kBoot + seconds(2)), kStore + seconds(2) - step);
}

TEST(StoreClock, AReplyOfBeforeAStepBackDoesNotBringItsTimeAgain) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  const Duration step = seconds(2);
  const Duration t = seconds(5);
  clock.AddSample(kStore + t - step, kBoot + t - milliseconds(1), kBoot + t);
  // Stamped before the step, and slow to arrive.
  clock.AddSample(kStore + t - milliseconds(50), kBoot + t - milliseconds(60), kBoot + t + milliseconds(300));
  EXPECT_LE(clock.At(kBoot + t + milliseconds(300)), kStore + t - step + milliseconds(300));
}

TEST(StoreClock, FollowsAStepForwardAtOnce) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  clock.AddSample(kStore + hours(1), kBoot + seconds(1), kBoot + seconds(1));
  EXPECT_EQ(clock.At(kBoot + seconds(1)), kStore + hours(1));
}

TEST(StoreClock, AReplyReadLateDoesNoLastingHarm) {
  StoreClock clock;
  clock.AddSample(kStore, kBoot, kBoot);
  clock.AddSample(kStore + seconds(1), kBoot + seconds(1), kBoot + seconds(11));  // this process stood still for 10 s
  EXPECT_LE(clock.At(kBoot + seconds(11)), kStore + seconds(11));
  clock.AddSample(kStore + seconds(12), kBoot + seconds(12), kBoot + seconds(12));
  EXPECT_EQ(clock.At(kBoot + seconds(12)), kStore + seconds(12));
}

}  // namespace
}  // namespace escapement
