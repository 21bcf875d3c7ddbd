#include "stress/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace escapement::stress {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// The figures of the sample in the interface's description.
StressReport Sample() {
  StressReport report;
  report.plan = {.start = FromMicros(1'790'000'000'000'000),
                 .end = FromMicros(1'790'000'060'000'000),
                 .job_count = 100,
                 .interval = seconds(1),
                 .duration = milliseconds(50),
                 .test_duration = seconds(60)};
  report.total = 5892;
  report.expected = 6000;
  report.actual_s = 60.2;
  report.throughput = 5892 / 60.2;
  report.expected_throughput = 100;
  report.latency = Latency{2'000, 12'400, 45'499, 89'000, 155'500, 18'300};
  report.pods = {{"scheduler-1", 1478}, {"scheduler-2", 1470}, {"scheduler-3", 1472}, {"scheduler-leader", 1472}};
  report.ledger = {.jobs = 100, .expected = 6000, .missing = 0, .doubled = 0, .settled = {{Verdict::kSucceeded, 6000}}};
  return report;
}

TEST(Report, NamesTheStoreWhereItIsNotRedisAlone) {
  StressReport report = Sample();
  const auto title = [&report] {
    const std::string text = RenderText(report);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(title(), "STRESS TEST RESULTS (PostgreSQL)");
  report.store = StoreKind::kSqlite;
  EXPECT_EQ(title(), "STRESS TEST RESULTS (SQLite)");
  report.store = StoreKind::kRedis;
  EXPECT_EQ(title(), "STRESS TEST RESULTS");
  EXPECT_THAT(RenderJson(report), HasSubstr(R"("store": "redis")"));
}

TEST(Report, MatchesTheInterfaceToTheLetter) {
  EXPECT_EQ(RenderText(Sample()), R"(STRESS TEST RESULTS (PostgreSQL)
======================================================================

Configuration:
  Jobs: 100
  Interval: 1000ms
  Job duration: 50ms
  Test duration: 60s (actual: 60.2s)

Execution Summary:
  Total executions: 5892
  Expected (approx): 6000
  Throughput: 97.9 jobs/sec

Latency (scheduled -> actual execution):
  Min:  2ms
  P50:  12ms
  P95:  45ms
  P99:  89ms
  Max:  156ms
  Avg:  18.3ms

Worker Distribution:
  scheduler-1: 1478 (25.1%)
  scheduler-2: 1470 (24.9%)
  scheduler-3: 1472 (25.0%)
  scheduler-leader: 1472 (25.0%)

Job Execution Check:
  Jobs with 0 executions: 0
  Jobs with <50% expected: 0

Duplicate Check:
  No duplicates detected

======================================================================
PASS: Throughput (97.9 jobs/sec)
PASS: P99 latency (89ms < 1000ms)
PASS: No missed jobs
PASS: No duplicate executions
======================================================================
OVERALL: PASS
)");
}

TEST(Report, ShowsLatencies) {
  EXPECT_EQ(FormatLatency(0), "0.0ms");
  EXPECT_EQ(FormatLatency(-20), "0.0ms");
  EXPECT_EQ(FormatLatency(-5'000), "-5.0ms");
  EXPECT_EQ(FormatLatency(400), "0.4ms");
  EXPECT_EQ(FormatLatency(949), "0.9ms");
  EXPECT_EQ(FormatLatency(1'000), "1ms");
  EXPECT_EQ(FormatLatency(1'499), "1ms");
  EXPECT_EQ(FormatLatency(1'500), "2ms");
}

// One thing is wrong: its line is there, and the verdict falls.
void ExpectIssue(const StressReport& report, const std::string& line) {
  const std::string text = RenderText(report);
  EXPECT_FALSE(Passes(report)) << line;
  EXPECT_THAT(text, HasSubstr("\n" + line + "\n"));
  EXPECT_THAT(text, EndsWith("\nOVERALL: ISSUES DETECTED - Review warnings above\n"));
  EXPECT_EQ(nlohmann::json::parse(RenderJson(report))["verdict"], "ISSUES DETECTED");
}

TEST(Report, WarnsOfLowThroughputBelowNineTenths) {
  StressReport report = Sample();
  report.throughput = 90;
  EXPECT_TRUE(Passes(report));
  report.throughput = 89.9;
  ExpectIssue(report, "WARN: Low throughput (89.9 jobs/sec, expected ~100.0)");
}

TEST(Report, WarnsOfAHighP99FromOneSecond) {
  StressReport report = Sample();
  report.latency->p99 = 999'999;
  EXPECT_TRUE(Passes(report));
  EXPECT_THAT(RenderText(report), HasSubstr("PASS: P99 latency (999ms < 1000ms)\n"));
  report.latency->p99 = 1'000'000;
  ExpectIssue(report, "WARN: High P99 latency (1000ms)");
}

TEST(Report, FailsForJobsThatNeverRan) {
  StressReport report = Sample();
  report.missed_jobs = 3;
  ExpectIssue(report, "FAIL: 3 jobs never executed");
}

TEST(Report, FailsForDuplicates) {
  StressReport report = Sample();
  report.duplicates = 2;
  ExpectIssue(report, "FAIL: 2 duplicate executions");
  EXPECT_THAT(RenderText(report), HasSubstr("Duplicate Check:\n  Duplicate executions: 2\n"));
  EXPECT_THAT(RenderText(report), Not(HasSubstr("No duplicate")));
}

TEST(Report, FailsForALedgerThatDoesNotBalance) {
  StressReport report = Sample();
  report.ledger.missing = 4;
  ExpectIssue(report, "FAIL: Ledger: 4 missing, 0 double");
  report.ledger = Sample().ledger;
  report.ledger.doubled = 1;
  ExpectIssue(report, "FAIL: Ledger: 0 missing, 1 double");
  report.ledger = Sample().ledger;
  report.ledger.expected = 5999;
  ExpectIssue(report, "FAIL: Ledger: 5999 points in the window, the test planned 6000");
}

TEST(Report, FailsWithoutAnyExecution) {
  StressReport report = Sample();
  report.total = 0;
  report.throughput = 0;
  report.latency.reset();
  report.pods.clear();
  report.missed_jobs = 100;
  ExpectIssue(report, "FAIL: 100 jobs never executed");
}

TEST(Report, ShowsCloseStartsAsInformation) {
  StressReport report = Sample();
  report.near_duplicates = 6;
  EXPECT_TRUE(Passes(report));
  EXPECT_THAT(RenderText(report),
              HasSubstr("  No duplicates detected\n  Executions of one job less than 100ms apart: 6\n"));
}

TEST(Report, ShowsRerunsAndLateStartsWhenFaultsAreExpected) {
  StressReport report = Sample();
  report.expect_faults = true;
  report.reruns = 7;
  report.late_over_1s = 12;
  report.late_max_us = 5'312'000;
  EXPECT_TRUE(Passes(report));
  EXPECT_THAT(RenderText(report), HasSubstr("  No duplicates detected\n  Re-runs after faults: 7\n"));
  EXPECT_THAT(RenderText(report), HasSubstr("  Started later than 1s: 12 (worst: 5312ms)\n"));
}

TEST(Report, HasTheSameFiguresAsJson) {
  const auto json = nlohmann::json::parse(RenderJson(Sample()));
  EXPECT_EQ(json["total"], 5892);
  EXPECT_EQ(json["expected"], 6000);
  EXPECT_NEAR(json["throughput_per_s"].get<double>(), 97.87, 0.01);
  EXPECT_EQ(json["latency_us"]["p95"], 45'499);
  EXPECT_EQ(json["latency_us"]["avg"], 18'300);
  EXPECT_EQ(json["pods"]["scheduler-1"], 1478);
  for (const char* zero : {"duplicates", "near_duplicates", "missed_jobs", "low_jobs", "missing", "double", "reruns",
                           "late_over_1s", "late_max_us"}) {
    EXPECT_EQ(json[zero], 0) << zero;
  }
  EXPECT_EQ(json["settled"]["succeeded"], 6000);
  EXPECT_EQ(json["window_s"], 60);
  EXPECT_EQ(json["verdict"], "PASS");
  EXPECT_EQ(json["config"]["job_count"], 100);
}

}  // namespace
}  // namespace escapement::stress
