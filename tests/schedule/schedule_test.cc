#include "escapement/schedule.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace escapement {
namespace {

using namespace std::chrono_literals;

Instant At(std::string_view text) { return ParseInstant(text).value(); }
const Instant kNoon = At("2026-11-24T12:00:00Z");
const Instant kEarliest = FromMicros(std::numeric_limits<std::int64_t>::min());
const Instant kLatest = FromMicros(std::numeric_limits<std::int64_t>::max());

TEST(Every, FiresOnItsGridFromTheAnchorOn) {
  const auto schedule = Schedule::Every({.interval = 10s, .anchor = kNoon, .phase = 3s, .end = kNoon + 30s}).value();
  EXPECT_EQ(schedule.Next(kEarliest), kNoon + 3s);
  EXPECT_EQ(schedule.Next(kNoon + 3s), kNoon + 13s);
  EXPECT_EQ(schedule.Next(kNoon + 4s), kNoon + 13s);
  EXPECT_EQ(schedule.Next(kNoon + 23s), std::nullopt) << "no point at or after the end";
  EXPECT_EQ(schedule.Next(kLatest), std::nullopt);
  EXPECT_EQ(schedule.Last(kNoon + 3s), std::nullopt);
  EXPECT_EQ(schedule.Last(kLatest), kNoon + 23s);
  EXPECT_EQ(schedule.Count(kEarliest, kLatest), 3);
  EXPECT_EQ(schedule.Count(kLatest, kEarliest), 0);
  EXPECT_DOUBLE_EQ(schedule.Rate(), 0.1);
  EXPECT_EQ(schedule.Spacing(), 10s);
}

TEST(Every, DoesNotFireAtItsEnd) {
  const auto schedule = Schedule::Every({.interval = 10s, .anchor = kNoon, .end = kNoon + 20s}).value();
  EXPECT_EQ(schedule.Count(kEarliest, kLatest), 2);
  EXPECT_EQ(schedule.Next(kNoon + 10s), std::nullopt);
}

TEST(Every, WithItsOwnAnchorIncludesTheInstantOfCreation) {
  const auto schedule = Schedule::Every({.interval = 10s, .anchor = kNoon}).value().AnchoredAt(kNoon + 1s);
  EXPECT_EQ(schedule.Next(schedule.FirstCursor(kNoon)), kNoon);
  EXPECT_EQ(schedule.Next(schedule.FirstCursor(kNoon - 1h)), kNoon);
  EXPECT_EQ(schedule.Next(schedule.FirstCursor(kNoon + 1us)), kNoon + 10s);
}

TEST(Every, WithoutAnAnchorBeginsWithTheJob) {
  const auto plain = Schedule::Every({.interval = 10s}).value().AnchoredAt(kNoon);
  EXPECT_EQ(plain.Next(plain.FirstCursor(kNoon)), kNoon + 10s);
  EXPECT_EQ(plain.ToString(), "every 10s") << "the implied anchor belongs to the job";
  const auto phased = Schedule::Every({.interval = 10s, .phase = 4s}).value().AnchoredAt(kNoon);
  EXPECT_EQ(phased.Next(phased.FirstCursor(kNoon)), kNoon + 4s);
  const auto unanchored = Schedule::Every({.interval = 10s}).value();
  EXPECT_EQ(unanchored.Next(kNoon), kNoon + 10s) << "as if anchored at the epoch";
}

TEST(Every, DoesNotDriftInTenYears) {
  const auto schedule = Schedule::Every({.interval = 7'001us, .anchor = kNoon}).value();
  Instant at = kNoon;
  for (int i = 1; i <= 1000; ++i) at = schedule.Next(at).value();
  EXPECT_EQ(at, kNoon + 1000 * 7'001us);
  const std::int64_t points = std::chrono::microseconds(std::chrono::years(10)) / 7'001us;
  const Instant late = kNoon + points * 7'001us;
  EXPECT_EQ(schedule.Next(late - 1us), late);
  EXPECT_EQ(schedule.Count(kNoon, late), points);
}

TEST(Every, EndsWithTheYear9999) {
  const auto schedule = Schedule::Every({.interval = std::chrono::weeks(520), .anchor = kNoon}).value();
  const Instant last = schedule.Last(kLatest).value();
  EXPECT_LE(last, At("9999-12-31T23:59:59.999999Z"));
  EXPECT_EQ(schedule.Next(last), std::nullopt);
}

TEST(Every, RefusesOptionsThatCannotBeRight) {
  for (const EveryOptions& options : std::vector<EveryOptions>{
           {.interval = 0us},
           {.interval = 999us},
           {.interval = std::chrono::weeks(520) + 1us},
           {.interval = -1s},
           {.interval = 1s, .phase = 1s},
           {.interval = 1s, .phase = -1us},
           {.interval = 1s, .anchor = FromMicros(-1)},
           {.interval = 1s, .anchor = kLatest},
           {.interval = 1s, .end = kLatest},
           {.interval = 1s, .anchor = kNoon, .end = kNoon},
       }) {
    const auto result = Schedule::Every(options);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
  }
}

TEST(At, FiresOnceWheneverItWasCreated) {
  const auto schedule = Schedule::At(kNoon).value();
  for (const Instant created : {kNoon - 1h, kNoon, kNoon + 1h}) {
    EXPECT_EQ(schedule.Next(schedule.FirstCursor(created)), kNoon);
  }
  EXPECT_EQ(schedule.Next(kNoon), std::nullopt);
  EXPECT_EQ(schedule.Last(kNoon), std::nullopt);
  EXPECT_EQ(schedule.Last(kNoon + 1us), kNoon);
  EXPECT_EQ(schedule.Count(kNoon, kNoon + 1us), 1);
  EXPECT_EQ(schedule.Count(kNoon - 1s, kNoon), 0);
  EXPECT_EQ(schedule.Rate(), 0);
  EXPECT_EQ(schedule.Spacing(), 0us);
  EXPECT_FALSE(Schedule::At(FromMicros(-1)));
}

TEST(In, FiresOnceSoLongAfterTheJobWasCreated) {
  const auto schedule = Schedule::Parse("in 10m").value();
  EXPECT_EQ(schedule.ToString(), "in 10m");
  EXPECT_EQ(schedule.Describe(), "once, 10m after the job is made");
  const auto grid = schedule.AnchoredAt(kNoon);
  EXPECT_EQ(grid.ToString(), "in 10m") << "the implied anchor belongs to the job";
  EXPECT_EQ(grid.Next(grid.FirstCursor(kNoon)), kNoon + 10min);
  EXPECT_EQ(grid.Next(kNoon + 10min), std::nullopt);
  EXPECT_EQ(grid.Last(kNoon + 10min), std::nullopt);
  EXPECT_EQ(grid.Last(kLatest), kNoon + 10min);
  EXPECT_EQ(grid.Count(kEarliest, kLatest), 1);
  EXPECT_EQ(grid.Count(kNoon + 10min + 1us, kLatest), 0);
  EXPECT_EQ(grid.Rate(), 0);
  EXPECT_EQ(grid.Spacing(), 0us);
  const auto at_once = Schedule::Parse("in 0s").value().AnchoredAt(kNoon);
  EXPECT_EQ(at_once.Next(at_once.FirstCursor(kNoon)), kNoon);
  const auto never = schedule.AnchoredAt(At("9999-12-31T23:55:00Z"));
  EXPECT_EQ(never.Next(kEarliest), std::nullopt) << "there is no year 10000";
  EXPECT_EQ(never.Count(kEarliest, kLatest), 0);
}

TEST(Delay, IsAsIfRunsTookNoTime) {
  const auto schedule = Schedule::Parse("delay 90s").value();
  EXPECT_EQ(schedule.ToString(), "delay 1m30s");
  EXPECT_EQ(schedule.Describe(), "1m30s after the run before it ended");
  const auto grid = schedule.AnchoredAt(kNoon);
  EXPECT_EQ(grid.ToString(), "delay 1m30s");
  EXPECT_EQ(grid.Next(grid.FirstCursor(kNoon)), kNoon + 90s);
  EXPECT_EQ(grid.Next(kNoon + 90s), kNoon + 180s);
  EXPECT_EQ(grid.Count(kNoon + 1us, kNoon + 180s), 1);
  EXPECT_EQ(grid.Spacing(), 90s);
}

std::vector<Instant> PointsOf(const Schedule& grid, Instant created) {
  std::vector<Instant> points;
  for (auto next = grid.Next(grid.FirstCursor(created)); next && points.size() < 100; next = grid.Next(*next)) {
    points.push_back(*next);
  }
  return points;
}

TEST(Bounds, LeaveOutWhatLiesBeforeTheStartAndAfterTheEnd) {
  const auto schedule = Schedule::Parse("cron 0 3 * * * start=2026-11-24T03:00:00Z end=2026-11-26T03:00:00Z").value();
  const Instant first = At("2026-11-24T03:00:00Z");
  EXPECT_EQ(PointsOf(schedule, first - 72h), (std::vector{first, first + 24h}));
  EXPECT_EQ(schedule.Next(kEarliest), first);
  EXPECT_EQ(schedule.Last(kLatest), first + 24h);
  EXPECT_EQ(schedule.Last(first), std::nullopt);
  EXPECT_EQ(schedule.Count(kEarliest, kLatest), 2);
  EXPECT_EQ(schedule.Count(first + 1us, kLatest), 1);
}

TEST(Bounds, CountFromTheStartEvenWhatPassedBeforeTheJobWasMade) {
  const auto schedule = Schedule::Parse("@hourly start=2026-11-24T10:00:00Z count=4").value();
  EXPECT_EQ(PointsOf(schedule.AnchoredAt(kNoon), kNoon), (std::vector{kNoon, kNoon + 1h}));
}

TEST(Bounds, CountFromTheCreationOfTheJobWithoutAStart) {
  const auto cron = Schedule::Parse("@hourly count=3").value().AnchoredAt(kNoon);
  EXPECT_EQ(PointsOf(cron, kNoon), (std::vector{kNoon, kNoon + 1h, kNoon + 2h}));
  const auto every = Schedule::Parse("every 1h count=2").value().AnchoredAt(kNoon);
  EXPECT_EQ(PointsOf(every, kNoon), (std::vector{kNoon + 1h, kNoon + 2h}));
  EXPECT_EQ(every.AnchoredAt(kNoon + 1h).Last(kLatest), kNoon + 3h) << "it is anchored anew";
  EXPECT_EQ(cron.Count(kEarliest, kLatest), 3);
}

TEST(Bounds, AreReadBackAndSaidInWords) {
  for (const auto& [text, best, words] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"count=2 every 1h", "", ""},
           {"every 1h  count=2 anchor=2026-01-01T00:00:00Z start=2026-01-02T00:00:00Z",
            "every 1h anchor=2026-01-01T00:00:00Z start=2026-01-02T00:00:00Z count=2",
            "every 1h from 2026-01-01T00:00:00Z, not before 2026-01-02T00:00:00Z, 2 times"},
           {"every 1h end=2026-01-01T00:00:00Z", "every 1h end=2026-01-01T00:00:00Z",
            "every 1h, before 2026-01-01T00:00:00Z"},
           {"0 3 * * * count=1 zone=Europe/Berlin", "cron 0 3 * * * zone=Europe/Berlin count=1",
            "at 03:00, Europe/Berlin time, once"},
           {"calendar hour=3 end=2027-01-01T00:00:00Z", "calendar hour=3 end=2027-01-01T00:00:00Z",
            "at 03:00, UTC, before 2027-01-01T00:00:00Z"},
       }) {
    const auto schedule = Schedule::Parse(text);
    if (best.empty()) {
      EXPECT_FALSE(schedule) << text;
      continue;
    }
    ASSERT_TRUE(schedule) << schedule.error().message;
    EXPECT_EQ(schedule->ToString(), best);
    EXPECT_EQ(schedule->Describe(), words);
    EXPECT_EQ(Schedule::Parse(best).value().ToString(), best);
  }
}

TEST(Bounds, KeepTheJobsOwnHash) {
  const auto schedule = Schedule::Parse("cron H H * * * count=2").value().ForJob("backup");
  EXPECT_EQ(schedule.ToString(), Schedule::Parse("cron H H * * *").value().ForJob("backup").ToString() + " count=2");
  EXPECT_EQ(PointsOf(schedule.AnchoredAt(kNoon), kNoon).size(), 2);
}

TEST(Parse, ReadsTheDocumentedText) {
  const auto schedule =
      Schedule::Parse("every 1s anchor=2026-01-01T00:00:00Z phase=10ms end=2026-01-02T00:00:00Z").value();
  const auto same = Schedule::Every(
      {.interval = 1s, .anchor = At("2026-01-01T00:00:00Z"), .phase = 10ms, .end = At("2026-01-02T00:00:00Z")});
  EXPECT_TRUE(schedule == same.value());
  EXPECT_EQ(Schedule::Parse("at 2026-01-01T00:00:00Z").value().Next(Instant{}), At("2026-01-01T00:00:00Z"));
  EXPECT_EQ(Schedule::Parse("  every   60s ").value().ToString(), "every 1m");
}

TEST(Parse, SaysWhatIsWrong) {
  for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
           {"", "every"},
           {"hourly", "every"},
           {"every", "interval"},
           {"every soon", "interval"},
           {"every 1s phase", "phase"},
           {"every 1s phase=2s", "phase"},
           {"every 1s colour=red", "colour"},
           {"every 1s phase=0s phase=1ms", "twice"},
           {"every 1s end=tomorrow", "end"},
           {"every 1s count=0", "count"},
           {"every 1s count=2 count=2", "twice"},
           {"every 1s count=many", "many"},
           {"every 1s start=soon", "start"},
           {"0 3 * * * start=2026-01-02T00:00:00Z end=2026-01-02T00:00:00Z", "after start"},
           {"0 0 0 1 1 ? 2026 start=2027-01-01T00:00:00Z", "never fires"},
           {"0 99 * * * count=2", "column 3"},
           {"count=2 0 99 * * *", "every"},
           {"at 2026-01-01T00:00:00Z count=2", "count"},
           {"delay", "delay"},
           {"delay 0s", "interval"},
           {"delay 5m anchor=2026-01-01T00:00:00Z", "anchor"},
           {"delay 5m count=2", "count"},
           {"in", "time to wait"},
           {"in -1s", "time to wait"},
           {"in 521w", "520w"},
           {"in 5m count=2", "count"},
           {"at", "instant"},
           {"at noon", "noon"},
           {"at 2026-01-01T00:00:00Z again", "again"},
       }) {
    const auto result = Schedule::Parse(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    EXPECT_NE(result.error().message.find(word), std::string::npos) << result.error().message;
  }
}

EveryOptions AnyOptions() {
  EveryOptions options;
  options.interval = Duration(*rc::gen::inRange<std::int64_t>(1'000, 20'000));
  if (*rc::gen::arbitrary<bool>()) options.anchor = kNoon + Duration(*rc::gen::inRange(-50'000, 50'000));
  options.phase = Duration(*rc::gen::inRange<std::int64_t>(0, options.interval.count()));
  if (*rc::gen::arbitrary<bool>()) options.end = kNoon + Duration(*rc::gen::inRange(60'000, 300'000));
  return options;
}

RC_GTEST_PROP(Every, AgreesWithAWalkOverTheGrid, ()) {
  const EveryOptions options = AnyOptions();
  const auto schedule = Schedule::Every(options).value().AnchoredAt(kNoon);
  std::vector<Instant> points;
  for (Instant p = options.anchor.value_or(kNoon) + options.phase;
       p < kNoon + 400ms && (!options.end || p < *options.end); p += options.interval) {
    points.push_back(p);
  }
  const Instant from = kNoon + Duration(*rc::gen::inRange(-100'000, 350'000));
  const Instant to = kNoon + Duration(*rc::gen::inRange(-100'000, 350'000));
  const auto lower = [&](Instant t) { return std::lower_bound(points.begin(), points.end(), t); };
  const auto next = std::upper_bound(points.begin(), points.end(), from);
  if (next != points.end()) {
    RC_ASSERT(schedule.Next(from) == *next);
    RC_ASSERT(*next > from);
  } else if (options.end) {
    RC_ASSERT(!schedule.Next(from));
  }
  const auto last = lower(from);
  RC_ASSERT(schedule.Last(from) == (last == points.begin() ? std::nullopt : std::optional(*(last - 1))));
  RC_ASSERT(schedule.Count(from, to) == std::max<std::int64_t>(0, lower(to) - lower(from)));
}

RC_GTEST_PROP(Bounds, AgreeWithAWalkOverTheGrid, ()) {
  const std::string inner = "every 7ms anchor=2026-11-24T11:59:59.99Z";
  const auto all = Schedule::Parse(inner).value();
  const Instant created = kNoon + Duration(*rc::gen::inRange(-50'000, 50'000));
  const Instant start = kNoon + Duration(*rc::gen::inRange(-50'000, 50'000));
  const Instant end = kNoon + Duration(*rc::gen::inRange(60'000, 300'000));
  const auto count = *rc::gen::inRange<std::size_t>(1, 60);
  const bool has_start = *rc::gen::arbitrary<bool>();
  const bool has_end = *rc::gen::arbitrary<bool>();
  const bool has_count = *rc::gen::arbitrary<bool>();
  std::string text = inner;
  if (has_start) text += " start=" + FormatInstant(start);
  if (has_end) text += " end=" + FormatInstant(end);
  if (has_count) text += " count=" + std::to_string(count);
  const auto read = Schedule::Parse(text);
  RC_ASSERT(read.has_value());
  RC_ASSERT(Schedule::Parse(read->ToString()).value() == *read);
  const auto bounded = read->AnchoredAt(created);
  std::vector<Instant> points;
  for (auto p = all.Next((has_start ? start : created) - 1us); p && *p < kNoon + 600ms; p = all.Next(*p)) {
    if (has_count && points.size() == count) break;
    if (!has_end || *p < end) points.push_back(*p);
  }
  const Instant from = std::max(created, kNoon + Duration(*rc::gen::inRange(-60'000, 350'000)));
  const Instant to = from + Duration(*rc::gen::inRange(0, 200'000));
  const auto lower = [&](Instant t) { return std::lower_bound(points.begin(), points.end(), t); };
  const auto next = std::upper_bound(points.begin(), points.end(), from);
  if (next != points.end()) {
    RC_ASSERT(bounded.Next(from) == *next);
  } else if (has_end || has_count) {
    RC_ASSERT(!bounded.Next(from));
  }
  RC_ASSERT(bounded.Count(from, to) == lower(to) - lower(from));
  if (lower(to) != lower(from)) RC_ASSERT(bounded.Last(to) == *(lower(to) - 1));
}

RC_GTEST_PROP(Every, NextIsLaterAndMonotone, (std::int64_t a, std::int64_t b)) {
  const auto schedule = Schedule::Every(AnyOptions()).value();
  const auto next_a = schedule.Next(FromMicros(std::min(a, b)));
  const auto next_b = schedule.Next(FromMicros(std::max(a, b)));
  if (next_a) RC_ASSERT(ToMicros(*next_a) > std::min(a, b));
  if (next_b) RC_ASSERT(next_a && *next_a <= *next_b);
}

RC_GTEST_PROP(Schedule, IsReadBackFromItsText, ()) {
  const auto every = Schedule::Every(AnyOptions()).value();
  RC_ASSERT(Schedule::Parse(every.ToString()).value() == every);
  const auto at = Schedule::At(FromMicros(*rc::gen::inRange<std::int64_t>(0, 253'402'300'800'000'000))).value();
  RC_ASSERT(Schedule::Parse(at.ToString()).value() == at);
}

RC_GTEST_PROP(Schedule, ParseTakesAnyTextWithoutHarm, (const std::string& text)) {
  (void)Schedule::Parse(text);
  (void)Schedule::Parse("every " + text);
}

}  // namespace
}  // namespace escapement
