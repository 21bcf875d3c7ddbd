#include "sim/forecast.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kNoon = ParseInstant("2026-11-24T12:00:00Z").value();

ForecastJob EveryMinute(std::string id, Duration duration) {
  return {.definition = {.id = std::move(id),
                         .schedule = Schedule::Every({.interval = 60s, .anchor = kNoon - 1h}).value(),
                         .task = "work"},
          .created_at = kNoon - 1h,
          .cursor = kNoon - 1us,
          .durations = {duration}};
}

ForecastOptions Minutes(int minutes, int pods, int max_running) {
  return {.from = kNoon, .to = kNoon + std::chrono::minutes(minutes), .pods = pods, .max_running = max_running};
}

Forecast Simulate(const std::vector<ForecastJob>& jobs, const ForecastOptions& options) {
  auto forecast = MakeForecast(jobs, options);
  EXPECT_TRUE(forecast) << forecast.error().message;
  return *std::move(forecast);
}

TEST(Forecast, ThreeJobsShareOneSlotInTurn) {
  const auto f = Simulate({EveryMinute("a", 10s), EveryMinute("b", 20s), EveryMinute("c", 30s)}, Minutes(10, 1, 1));
  const Duration lateness[] = {0s, 10s, 30s};
  for (int i = 0; i < 3; ++i) {
    const JobForecast& job = f.jobs[static_cast<std::size_t>(i)];
    EXPECT_EQ(job.points, 10);
    EXPECT_EQ(job.started, 10);
    EXPECT_EQ(job.runs, 10);
    EXPECT_EQ(job.overlaps, 0);
    EXPECT_EQ(job.lateness_max, lateness[i]);
    EXPECT_EQ(job.busy, 10 * (i + 1) * 10s);
  }
  EXPECT_EQ(f.jobs[2].latest, kNoon);
  EXPECT_EQ(f.slots, 1);
  EXPECT_EQ(f.peak, 1);
  EXPECT_EQ(f.peak_at, kNoon);
  EXPECT_EQ(f.hours.size(), 1U);
  EXPECT_EQ(f.hours[0].busy, 10min);
  EXPECT_EQ(f.lateness.count(), 30);
  EXPECT_NEAR(f.lateness.Percentile(50) / 1.0s, 10, 0.1);
  EXPECT_EQ(f.lateness.Percentile(99), 30s);
}

TEST(Forecast, ThePriorityDecidesWhoWaits) {
  auto first = EveryMinute("z", 30s);
  first.definition.priority = 1;
  const auto f = Simulate({EveryMinute("a", 10s), first}, Minutes(10, 1, 1));
  EXPECT_EQ(f.jobs[0].lateness_max, 30s);
  EXPECT_EQ(f.jobs[1].lateness_max, 0s);
}

// Runs of 2m30s every minute. 12:00 runs until 12:02:30, then 12:01 until 12:05; now 12:02 is skipped and 12:03, the
// newest late point, runs until 12:07:30; 12:04 and 12:05 are skipped, 12:06 runs, and 12:07 waits.
TEST(Forecast, AJobLongerThanItsIntervalOverlapsAndMisfires) {
  const auto f = Simulate({EveryMinute("a", 150s)}, Minutes(8, 2, 5));
  const JobForecast& job = f.jobs[0];
  EXPECT_EQ(job.points, 8);
  EXPECT_EQ(job.started, 4);
  EXPECT_EQ(job.skipped, 3);
  EXPECT_EQ(job.skipped_behind, 3);
  EXPECT_EQ(job.waiting, 1);
  EXPECT_EQ(job.overlaps, 2 + 2 + 3);
  EXPECT_EQ(job.lateness_max, 2min);
  EXPECT_EQ(job.latest, kNoon + 3min);
  EXPECT_EQ(job.busy, 8min);
  EXPECT_EQ(f.peak, 1);
  EXPECT_EQ(f.hours[0].skipped, 3);
}

// Another job has the only slot for ten minutes: nine points are late by more than their minute.
TEST(Forecast, WithoutSlotsTheLatePolicySkips) {
  auto long_one = EveryMinute("long", 10min);
  long_one.definition.schedule = Schedule::At(kNoon).value();
  long_one.definition.priority = 1;
  auto short_one = EveryMinute("short", 1s);
  short_one.definition.late = LatePolicy::kSkip;
  const auto f = Simulate({long_one, short_one}, Minutes(20, 1, 1));
  EXPECT_EQ(f.jobs[0].started, 1);
  const JobForecast& job = f.jobs[1];
  EXPECT_EQ(job.skipped, 9);
  EXPECT_EQ(job.skipped_behind, 0);
  EXPECT_EQ(job.started, 11);
  EXPECT_EQ(job.lateness_max, 60s);
  EXPECT_EQ(job.latest, kNoon + 9min);
  EXPECT_EQ(job.overlaps, 1);  // 12:10, at the instant at which 12:09 starts
}

TEST(Forecast, ADelayBeginsWithTheEndOfARun) {
  auto job = EveryMinute("a", 30s);
  job.definition.schedule = Schedule::Parse("delay 1m").value();
  const auto f = Simulate({job}, Minutes(10, 1, 1));
  EXPECT_EQ(f.jobs[0].started, 7) << "at 12:00, 12:01:30, ... 12:09";
  EXPECT_EQ(f.jobs[0].points, 7);
  EXPECT_EQ(f.jobs[0].overlaps, 0);
  EXPECT_EQ(f.jobs[0].waiting, 0);
}

TEST(Forecast, RetriesAndTimeoutsTakeTheirTime) {
  auto job = EveryMinute("a", 10s);
  job.definition.timeout = 5s;
  job.definition.retry = {.max_attempts = 3, .delay = 1s, .factor = 2};
  const auto f = Simulate({job}, Minutes(10, 1, 1));
  EXPECT_EQ(f.jobs[0].started, 10);
  EXPECT_EQ(f.jobs[0].runs, 30);
  EXPECT_EQ(f.jobs[0].timed_out, 30);
  EXPECT_EQ(f.jobs[0].busy, 150s);
  EXPECT_EQ(f.jobs[0].lateness_max, 0s);
}

TEST(Forecast, AnHourHasThePeakThatItBeganWith) {
  auto job = EveryMinute("a", 90min);
  job.definition.schedule = Schedule::At(kNoon + 15min).value();
  const auto f = Simulate({job}, Minutes(180, 1, 1));
  ASSERT_EQ(f.hours.size(), 3U);
  EXPECT_EQ(f.hours[0].busy, 45min);
  EXPECT_EQ(f.hours[1].busy, 45min);
  EXPECT_EQ(f.hours[1].runs, 0);
  EXPECT_EQ(f.hours[1].peak, 1);
  EXPECT_EQ(f.hours[2].peak, 0);
  auto until_the_hour = EveryMinute("b", 45min);
  until_the_hour.definition.schedule = job.definition.schedule;
  EXPECT_EQ(Simulate({until_the_hour}, Minutes(180, 1, 1)).hours[1].peak, 0);
}

// The store is away from 12:00:30 to 12:05:30. Then 12:01 to 12:03 are skipped, 12:04 runs 90 s late and 12:05, once
// that has ended, 40 s late.
TEST(Forecast, WithoutTheStoreNothingStarts) {
  ForecastOptions options = Minutes(20, 2, 5);
  options.faults = {{.at = kNoon + 30s, .length = 5min}};
  const auto f = Simulate({EveryMinute("a", 10s)}, options);
  ASSERT_EQ(f.faults.size(), 1U);
  EXPECT_EQ(f.faults[0].effect.late, 2);
  EXPECT_EQ(f.faults[0].effect.skipped, 3);
  EXPECT_EQ(f.faults[0].effect.lateness_max, 90s);
  EXPECT_EQ(f.faults[0].effect.reruns, 0);
  EXPECT_EQ(f.faults[0].without.late, 0);
  EXPECT_EQ(f.faults[0].without.skipped, 0);
  EXPECT_EQ(f.faults[0].recovery, 10s);
}

TEST(Forecast, WhatEndsWhileTheStoreIsAwayIsCommittedWhenItIsBack) {
  ForecastOptions options = Minutes(20, 2, 5);
  options.faults = {{.at = kNoon + 5s, .length = 1min}};
  const auto f = Simulate({EveryMinute("a", 10s)}, options);
  EXPECT_EQ(f.jobs[0].runs, 20);
  EXPECT_EQ(f.jobs[0].lateness_max, 5s);
  EXPECT_EQ(f.jobs[0].latest, kNoon + 1min);
  EXPECT_EQ(f.faults[0].recovery, 0s);
}

// One of two pods dies ten seconds into two runs; its run is taken over after 6.5 s.
TEST(Forecast, ADeadPodsRunsRunAgain) {
  ForecastOptions options = Minutes(20, 2, 5);
  options.faults = {{.at = kNoon + 10s, .length = 1s, .kind = ForecastFault::Kind::kPods, .pods = 1}};
  const auto f = Simulate({EveryMinute("a", 30s), EveryMinute("b", 30s)}, options);
  EXPECT_EQ(f.Total().started, 40);
  EXPECT_EQ(f.Total().runs, 41);
  EXPECT_EQ(f.Total().reruns, 1);
  EXPECT_EQ(f.Total().busy, 40 * 30s + 10s);
  EXPECT_EQ(f.faults[0].effect.reruns, 1);
  EXPECT_EQ(f.faults[0].effect.lost, 0);
  EXPECT_EQ(f.faults[0].recovery, 5500ms);
}

// 12:00 runs again at 12:01:16.5, 12:01 at 12:01:46.5 and 12:02 at 12:02:16.5; 12:03 is on time.
TEST(Forecast, RecoveryEndsWithTheLastRunThatIsLate) {
  ForecastOptions options = Minutes(20, 2, 5);
  options.takeover = 1min;
  options.faults = {{.at = kNoon + 10s, .length = 6500ms, .kind = ForecastFault::Kind::kPods, .pods = 0}};
  const auto f = Simulate({EveryMinute("a", 30s)}, options);
  EXPECT_EQ(f.faults[0].effect.late, 2);
  EXPECT_EQ(f.faults[0].effect.lateness_max, 46500ms);
  EXPECT_EQ(f.faults[0].recovery, 60s + 60s);
}

TEST(Forecast, AtMostOnceLosesWhatADeadPodRan) {
  ForecastOptions options = Minutes(20, 2, 5);
  options.faults = {{.at = kNoon + 10s, .length = 1min, .kind = ForecastFault::Kind::kPods, .pods = 0}};
  auto job = EveryMinute("a", 30s);
  job.definition.delivery = Delivery::kAtMostOnce;
  const auto f = Simulate({job}, options);
  EXPECT_EQ(f.jobs[0].lost, 1);
  EXPECT_EQ(f.jobs[0].started, 20);
  EXPECT_EQ(f.jobs[0].runs, 20);
  // Nobody watches the dead while all are dead: 12:01 waits for the fault's end and the takeover, until 12:01:16.5.
  EXPECT_EQ(f.jobs[0].lateness_max, 16500ms);
  EXPECT_EQ(f.faults[0].recovery, 6500ms);
}

TEST(Forecast, APodThatDiesWhileTheStoreIsAwayLosesWhatItCouldNotCommit) {
  ForecastOptions options = Minutes(20, 1, 5);
  options.faults = {{.at = kNoon + 5s, .length = 60s},
                    {.at = kNoon + 20s, .length = 1s, .kind = ForecastFault::Kind::kPods, .pods = 0}};
  const auto f = Simulate({EveryMinute("a", 10s)}, options);
  EXPECT_EQ(f.jobs[0].reruns, 1);
  EXPECT_EQ(f.jobs[0].runs, 21);
  EXPECT_EQ(f.jobs[0].started, 20);
}

// Fifteen jobs have 150 s of work a minute for three slots; with one slot they fall behind, and recover when the
// backlog is worked off.
TEST(Forecast, RecoveryLastsAsLongAsTheBacklog) {
  std::vector<ForecastJob> jobs;
  for (int i = 0; i < 15; ++i) jobs.push_back(EveryMinute(std::to_string(i), 10s));
  for (auto& job : jobs) {
    job.definition.late = LatePolicy::kRunAll;
  }
  ForecastOptions options = Minutes(120, 3, 1);
  options.takeover = 1s;
  options.faults = {{.at = kNoon + 59s, .length = 10min, .kind = ForecastFault::Kind::kPods, .pods = 1}};
  const auto f = Simulate(jobs, options);
  EXPECT_EQ(f.Total().started, f.Total().points);
  // 150 s of work a minute, 60 s of it done, for ten minutes: 90 s short each. Then 180 s a minute are done.
  ASSERT_TRUE(f.faults[0].recovery);
  EXPECT_NEAR(*f.faults[0].recovery / 1.0s, 10 * 90 / 30 * 60, 120);
  EXPECT_GT(f.faults[0].effect.late, f.faults[0].without.late);
}

TEST(Forecast, ASeedGivesTheSameAgain) {
  std::vector<ForecastJob> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(EveryMinute(std::to_string(i), 10s));
  for (auto& job : jobs) job.durations = {1s, 7s, 90s};
  ForecastOptions options = Minutes(600, 1, 2);
  options.fail = 0.3;
  const auto summary = [&](std::uint64_t seed) {
    options.seed = seed;
    const auto f = Simulate(jobs, options);
    const JobForecast t = f.Total();
    return std::vector<std::int64_t>{t.started, t.runs, t.skipped, t.failed, t.overlaps, t.busy.count()};
  };
  EXPECT_EQ(summary(1), summary(1));
  EXPECT_NE(summary(1), summary(2));
  EXPECT_NE(summary(1), summary(std::uint64_t{1} << 32));
}

TEST(Forecast, SaysWhatIsWrongWithItsInput) {
  const auto wrong = [](const std::function<void(ForecastOptions&)>& change) {
    ForecastOptions options = Minutes(10, 2, 5);
    change(options);
    const Status status = Validate(options);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(wrong([](ForecastOptions&) {}), "");
  const auto has = [&](const std::function<void(ForecastOptions&)>& change, const std::string& word) {
    EXPECT_NE(wrong(change).find(word), std::string::npos) << wrong(change);
  };
  has([](ForecastOptions& o) { o.to = o.from; }, "3660 days");
  has([](ForecastOptions& o) { o.to += std::chrono::days(3661); }, "3660 days");
  has([](ForecastOptions& o) { o.pods = 0; }, "pods");
  has([](ForecastOptions& o) { o.max_running = 0; }, "max_running");
  has([](ForecastOptions& o) { o.fail = std::nan(""); }, "share");
  has([](ForecastOptions& o) { o.faults = {{.at = o.to, .length = 1s}}; }, "begin between");
  has([](ForecastOptions& o) { o.faults = {{.at = o.from, .length = 0s}}; }, "longer than nothing");
  has(
      [](ForecastOptions& o) {
        o.faults = {{.at = o.from, .length = 1s, .kind = ForecastFault::Kind::kPods, .pods = 2}};
      },
      "0 to 1");
  EXPECT_FALSE(MakeForecast({EveryMinute("a", 1s), {.definition = EveryMinute("b", 1s).definition}}, Minutes(1, 1, 1)));
}

ForecastJob AnyJob(int number) {
  const auto interval = std::chrono::seconds(*rc::gen::inRange(1, 4000));
  EveryOptions every{.interval = interval, .phase = std::chrono::milliseconds(*rc::gen::inRange(0, 1000))};
  if (*rc::gen::arbitrary<bool>()) every.anchor = kNoon - std::chrono::seconds(*rc::gen::inRange(-2000, 100'000));
  JobDefinition definition{.id = std::to_string(number), .schedule = Schedule::Every(every).value(), .task = "work"};
  definition.late = *rc::gen::element(LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll);
  definition.late_limit = *rc::gen::inRange(1, 5);
  definition.priority = *rc::gen::inRange(0, 3);
  definition.delivery = *rc::gen::element(Delivery::kAtLeastOnce, Delivery::kAtMostOnce);
  definition.retry.max_attempts = *rc::gen::inRange(1, 4);
  definition.lost_limit = *rc::gen::inRange(1, 3);
  return {.definition = definition,
          .created_at = kNoon - std::chrono::seconds(*rc::gen::inRange(-100, 10'000)),
          .cursor = kNoon - 1us,
          .durations = *rc::gen::nonEmpty(rc::gen::container<std::vector<Duration>>(
              rc::gen::map(rc::gen::inRange(0, 5'000'000), [](int micros) { return Duration(micros * 100); })))};
}

std::vector<ForecastJob> AnyJobs() {
  std::vector<ForecastJob> jobs;
  const int count = *rc::gen::inRange(1, 8);
  for (int i = 0; i < count; ++i) jobs.push_back(AnyJob(i));
  return jobs;
}

RC_GTEST_PROP(Forecast, WithSlotsEnoughEveryPointRunsOnTime, ()) {
  std::vector<ForecastJob> jobs = AnyJobs();
  for (ForecastJob& job : jobs) {
    job.definition.retry.max_attempts = 1;
    for (Duration& d : job.durations) d %= job.definition.schedule.Spacing();
  }
  const auto f = Simulate(jobs, Minutes(300, 1, static_cast<int>(jobs.size())));
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Schedule grid = jobs[i].definition.schedule.AnchoredAt(jobs[i].created_at);
    RC_ASSERT(f.jobs[i].points == grid.Count(kNoon, kNoon + 300min));
    RC_ASSERT(f.jobs[i].runs == f.jobs[i].points);
    RC_ASSERT(f.jobs[i].started == f.jobs[i].points);
    RC_ASSERT(f.jobs[i].overlaps == 0);
    RC_ASSERT(f.jobs[i].lateness_max == 0s);
  }
}

RC_GTEST_PROP(Forecast, EveryPointIsStartedSkippedOrWaiting, ()) {
  const std::vector<ForecastJob> jobs = AnyJobs();
  ForecastOptions options = Minutes(300, *rc::gen::inRange(1, 4), *rc::gen::inRange(1, 3));
  options.fail = *rc::gen::element(0.0, 0.2);
  const int faults = *rc::gen::inRange(0, 4);
  for (int i = 0; i < faults; ++i) {
    const bool store = *rc::gen::arbitrary<bool>();
    options.faults.push_back({.at = kNoon + std::chrono::seconds(*rc::gen::inRange(0, 17'000)),
                              .length = std::chrono::seconds(*rc::gen::inRange(1, 3'000)),
                              .kind = store ? ForecastFault::Kind::kStore : ForecastFault::Kind::kPods,
                              .pods = *rc::gen::inRange(0, options.pods)});
  }
  const auto f = Simulate(jobs, options);
  for (const JobForecast& job : f.jobs) {
    RC_ASSERT(job.points == job.started + job.skipped + job.waiting);
    RC_ASSERT(job.skipped_behind <= job.skipped);
    RC_ASSERT(job.waiting >= 0);
    RC_ASSERT(job.runs <= job.started + job.failed + job.reruns);
  }
  HourForecast sum;
  for (const HourForecast& hour : f.hours) {
    sum.runs += hour.runs;
    sum.skipped += hour.skipped;
    sum.busy += hour.busy;
    sum.peak = std::max(sum.peak, hour.peak);
    RC_ASSERT(hour.busy <= f.slots * 1h);
    RC_ASSERT(hour.busy <= hour.peak * 1h);
  }
  RC_ASSERT(sum.runs == f.Total().runs);
  RC_ASSERT(sum.skipped == f.Total().skipped);
  RC_ASSERT(sum.busy == f.Total().busy);
  RC_ASSERT(sum.peak == f.peak);
  RC_ASSERT(f.peak <= f.slots);
}

RC_GTEST_PROP(LatenessHistogram, PercentilesAreAtMostOnePercentHigh, ()) {
  const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(
      rc::gen::map(rc::gen::arbitrary<std::uint64_t>(),
                   [](std::uint64_t v) { return static_cast<std::int64_t>(v >> (1 + v % 60)); })));
  LatenessHistogram histogram;
  for (const std::int64_t v : values) histogram.Add(Duration(v));
  std::vector<std::int64_t> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  for (const std::size_t percent : {1, 50, 90, 99, 100}) {
    const std::int64_t exact = sorted[(percent * sorted.size() + 99) / 100 - 1];
    const std::int64_t got = histogram.Percentile(static_cast<double>(percent)).count();
    RC_ASSERT(got >= exact);
    RC_ASSERT(static_cast<double>(got - exact) <= 0.01 * static_cast<double>(exact));
  }
  RC_ASSERT(histogram.Percentile(100).count() == sorted.back());
}

TEST(LatenessHistogram, WithoutValuesIsZero) { EXPECT_EQ(LatenessHistogram().Percentile(99), 0s); }

}  // namespace
}  // namespace escapement
