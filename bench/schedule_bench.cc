// What a schedule costs: reading it, its next point, a count. docs/schedules.md tells what is promised.
#include <vector>

#include <benchmark/benchmark.h>

#include "escapement/schedule.h"

namespace {

using escapement::Duration;
using escapement::FromMicros;
using escapement::Instant;
using escapement::Schedule;

// Instants all over 50 years, the same every time.
std::vector<Instant> Instants() {
  std::vector<Instant> instants;
  std::uint64_t state = 20'261'126;
  for (int i = 0; i < 4096; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    instants.push_back(
        FromMicros(static_cast<std::int64_t>((state >> 11) % 1'577'880'000'000'000U) + 1'000'000'000'000'000));
  }
  return instants;
}

void Next(benchmark::State& state, const char* text) {
  const Schedule schedule = Schedule::Parse(text).value();
  const std::vector<Instant> instants = Instants();
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(schedule.Next(instants[i++ % instants.size()]));
}

// From one point to the next, where that is years away.
void WorstNext(benchmark::State& state, const char* text) {
  const Schedule schedule = Schedule::Parse(text).value();
  const Instant begin = *schedule.Next(Instant());
  for (auto _ : state) benchmark::DoNotOptimize(schedule.Next(begin));
}

// From a point to the next one, as a pod does.
void Chain(benchmark::State& state, const char* text) {
  const Schedule schedule = Schedule::Parse(text).value();
  const Instant begin = Instants().front();
  auto at = schedule.Next(begin);
  for (auto _ : state) {
    at = schedule.Next(at.value_or(begin));
    benchmark::DoNotOptimize(at);
  }
}

void CountYear(benchmark::State& state, const char* text) {
  const Schedule schedule = Schedule::Parse(text).value();
  const Instant begin = Instants().front();
  for (auto _ : state) benchmark::DoNotOptimize(schedule.Count(begin, begin + std::chrono::days(365)));
}

void Parse(benchmark::State& state, const char* text) {
  for (auto _ : state) benchmark::DoNotOptimize(Schedule::Parse(text));
}

}  // namespace

BENCHMARK_CAPTURE(Next, every, "every 90s");
BENCHMARK_CAPTURE(Next, daily, "0 3 * * *");
BENCHMARK_CAPTURE(Next, workdays, "*/15 9-17 * * mon-fri");
BENCHMARK_CAPTURE(Next, in_a_zone, "cron 30 2 * * mon-fri zone=Europe/Berlin");
BENCHMARK_CAPTURE(Next, monthly_in_a_zone, "cron 0 0 LW * * zone=America/New_York");
BENCHMARK_CAPTURE(Next, leap_day, "0 0 29 2 mon#5");
BENCHMARK_CAPTURE(Next, leap_day_on_a_monday, "calendar month=2 day=29 day_of_week=mon zone=Europe/Berlin");
BENCHMARK_CAPTURE(Next, week_53, "calendar week=53 day_of_week=sun month=1 day=3 zone=Europe/Berlin");
BENCHMARK_CAPTURE(Next, rrule_weekly, "rrule DTSTART;TZID=Europe/Berlin:20000103T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR");
BENCHMARK_CAPTURE(
    Next, rrule_last_workday,
    "rrule DTSTART;TZID=Europe/Berlin:20000131T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1");
BENCHMARK_CAPTURE(Next, rrule_of_the_year,
                  "rrule DTSTART:20000101T090000Z RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1");
BENCHMARK_CAPTURE(Next, rrule_drifting, "rrule DTSTART:20000101T090000Z RRULE:FREQ=MINUTELY;INTERVAL=7;BYDAY=SU");
BENCHMARK_CAPTURE(WorstNext, cron_leap_day_on_a_fifth_monday, "0 0 29 2 mon#5 start=2072-01-01T00:00:00Z");
BENCHMARK_CAPTURE(WorstNext, calendar_leap_day_on_a_monday,
                  "calendar month=2 day=29 day_of_week=mon start=2072-01-01T00:00:00Z");
BENCHMARK_CAPTURE(WorstNext, rrule_leap_day_on_a_monday,
                  "rrule DTSTART:20240229T000000Z RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;INTERVAL=8");
BENCHMARK_CAPTURE(Next, skipped_each_year, "cron 30 2 ? 3 sunL zone=Europe/Berlin gap=skip");
BENCHMARK_CAPTURE(Chain, each_second, "cron * * * * * * zone=Europe/Berlin");
BENCHMARK_CAPTURE(Chain, daily_in_a_zone, "cron 30 2 * * * zone=Europe/Berlin");
BENCHMARK_CAPTURE(CountYear, each_second, "cron * * * * * * zone=Europe/Berlin");
BENCHMARK_CAPTURE(CountYear, rrule_each_minute, "rrule DTSTART:20000101T000000Z RRULE:FREQ=MINUTELY");
BENCHMARK_CAPTURE(CountYear, rrule_drifting, "rrule DTSTART:20000101T000000Z RRULE:FREQ=SECONDLY;INTERVAL=7");
BENCHMARK_CAPTURE(CountYear, rrule_weekly, "rrule DTSTART:20000103T090000Z RRULE:FREQ=WEEKLY;BYDAY=MO,FR");
BENCHMARK_CAPTURE(CountYear, leap_day, "0 0 29 2 *");
BENCHMARK_CAPTURE(Parse, every, "every 90s");
BENCHMARK_CAPTURE(Parse, cron, "cron */15 9-17 * * mon-fri zone=Europe/Berlin");
BENCHMARK_CAPTURE(Parse, rrule, "rrule DTSTART;TZID=Europe/Berlin:20000103T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR");
BENCHMARK_CAPTURE(Parse, rrule_count,
                  "rrule DTSTART;TZID=Europe/Berlin:20000103T090000 RRULE:FREQ=MONTHLY;BYDAY=1FR;COUNT=1000");
BENCHMARK_CAPTURE(Parse, calendar, "calendar month=1-6 day=1st fri,last sun hour=3 zone=Europe/Berlin");

BENCHMARK_MAIN();
