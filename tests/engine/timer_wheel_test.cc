#include "engine/timer_wheel.h"

#include <map>
#include <random>
#include <vector>

#include <gmock/gmock.h>

namespace escapement {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const Instant kNow = FromMicros(1'800'000'000'000'000);

std::vector<int> Expired(TimerWheel<int>& wheel, Instant now) {
  std::vector<int> out;
  wheel.Expire(now, [&](int value) { out.push_back(value); });
  return out;
}

TEST(TimerWheel, ExpiresAtTheExactMicrosecond) {
  TimerWheel<int> wheel;
  wheel.Add(kNow + microseconds(10), 1);
  EXPECT_THAT(Expired(wheel, kNow + microseconds(9)), IsEmpty());
  EXPECT_EQ(wheel.Next(), kNow + microseconds(10));
  EXPECT_THAT(Expired(wheel, kNow + microseconds(10)), ElementsAre(1));
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.Next(), std::nullopt);
}

TEST(TimerWheel, SeparatesTimersOfOneSlot) {
  TimerWheel<int> wheel;
  wheel.Add(kNow + microseconds(3), 3);
  wheel.Add(kNow + microseconds(1), 1);
  wheel.Add(kNow + microseconds(2), 2);
  EXPECT_EQ(wheel.Next(), kNow + microseconds(1));
  EXPECT_THAT(Expired(wheel, kNow + microseconds(2)), UnorderedElementsAre(1, 2));
  EXPECT_EQ(wheel.Next(), kNow + microseconds(3));
  EXPECT_THAT(Expired(wheel, kNow + microseconds(3)), ElementsAre(3));
}

TEST(TimerWheel, TakesWhatIsOverdueAtOnce) {
  TimerWheel<int> wheel;
  EXPECT_THAT(Expired(wheel, kNow), IsEmpty());
  wheel.Add(kNow - hours(1), 1);
  wheel.Add(FromMicros(0), 2);
  EXPECT_EQ(wheel.Next(), FromMicros(0));
  EXPECT_THAT(Expired(wheel, kNow), UnorderedElementsAre(1, 2));
}

TEST(TimerWheel, KeepsWhatLiesBeyondTheWheel) {
  TimerWheel<int> wheel;
  Expired(wheel, kNow);
  wheel.Add(kNow + hours(24), 3);
  wheel.Add(kNow + seconds(10), 2);
  wheel.Add(kNow + seconds(1), 1);
  EXPECT_THAT(Expired(wheel, kNow + seconds(5)), ElementsAre(1));
  EXPECT_EQ(wheel.Next(), kNow + seconds(10));
  EXPECT_THAT(Expired(wheel, kNow + seconds(10)), ElementsAre(2));
  EXPECT_THAT(Expired(wheel, kNow + hours(24) - microseconds(1)), IsEmpty());
  EXPECT_THAT(Expired(wheel, kNow + hours(24)), ElementsAre(3));
}

TEST(TimerWheel, TakesTimersAddedWhileItExpires) {
  TimerWheel<int> wheel;
  wheel.Add(kNow, 1);
  wheel.Add(kNow + seconds(1), 2);
  std::vector<int> out;
  const auto take = [&](int value) {
    out.push_back(value);
    if (value == 1) wheel.Add(kNow, 3);
  };
  // What is added meanwhile may be left for the next call, and then Next says so.
  for (int i = 0; i < 3; ++i) wheel.Expire(kNow + seconds(2), take);
  EXPECT_THAT(out, UnorderedElementsAre(1, 2, 3));
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheel, FollowsAClockThatIsSetBack) {
  TimerWheel<int> wheel;
  wheel.Add(kNow + seconds(1), 1);
  wheel.Add(kNow + hours(2), 2);
  Expired(wheel, kNow);
  const Instant back = kNow - hours(1);
  EXPECT_THAT(Expired(wheel, back), IsEmpty());
  wheel.Add(back + milliseconds(10), 3);
  wheel.Add(back - milliseconds(10), 4);
  EXPECT_EQ(wheel.Next(), back - milliseconds(10));
  EXPECT_THAT(Expired(wheel, back), ElementsAre(4));
  EXPECT_EQ(wheel.Next(), back + milliseconds(10));
  EXPECT_THAT(Expired(wheel, back + milliseconds(10)), ElementsAre(3));
  EXPECT_THAT(Expired(wheel, kNow + seconds(1)), ElementsAre(1));
  EXPECT_THAT(Expired(wheel, kNow + hours(2)), ElementsAre(2));
}

TEST(TimerWheel, NothingIsLeftAfterClear) {
  TimerWheel<int> wheel;
  wheel.Add(kNow, 1);
  wheel.Add(kNow + hours(1), 2);
  wheel.Clear();
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.Next(), std::nullopt);
  EXPECT_THAT(Expired(wheel, kNow + hours(2)), IsEmpty());
}

TEST(TimerWheel, AgreesWithASortedListOnTenThousandRandomTimers) {
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    std::mt19937_64 random(seed);
    TimerWheel<int> wheel;
    std::multimap<Instant, int> sorted;
    Instant now = kNow;
    int added = 0;
    while (added < 10'000 || !sorted.empty()) {
      for (int i = 0; i < 100 && added < 10'000; ++i) {
        static constexpr std::int64_t kReach[] = {500, 5'000, 3'000'000, 20'000'000, 4'000'000'000};
        const std::int64_t reach = kReach[random() % 5];
        const Instant due =
            now + Duration(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(reach)) - 200);
        wheel.Add(due, added);
        sorted.emplace(due, added++);
      }
      ASSERT_EQ(wheel.size(), sorted.size());
      ASSERT_EQ(wheel.Next(), sorted.begin()->first);
      switch (random() % 4) {
        case 0: now = std::max(now, sorted.begin()->first); break;
        case 1: now += Duration(static_cast<std::int64_t>(random() % 2'000)); break;
        case 2: now += Duration(static_cast<std::int64_t>(random() % 100'000'000)); break;
        default: now = std::max(now, sorted.begin()->first - Duration(1)); break;
      }
      std::vector<int> expected;
      while (!sorted.empty() && sorted.begin()->first <= now) {
        expected.push_back(sorted.begin()->second);
        sorted.erase(sorted.begin());
      }
      ASSERT_THAT(Expired(wheel, now), testing::UnorderedElementsAreArray(expected));
    }
    EXPECT_EQ(wheel.Next(), std::nullopt);
  }
}

}  // namespace
}  // namespace escapement
