#include "stress/analyzer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace escapement::stress {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kStart = 1'790'000'000'000'000;

// Four jobs, each second, for ten seconds; every occurrence started 5 ms late and took 50 ms.
AnalysisInput PerfectTest() {
  AnalysisInput input;
  input.plan = {.start = FromMicros(kStart),
                .end = FromMicros(kStart) + seconds(10),
                .job_count = 4,
                .interval = seconds(1),
                .duration = milliseconds(50),
                .test_duration = seconds(10)};
  input.pods = {"scheduler-1", "scheduler-leader"};
  for (int job = 0; job < 4; ++job) {
    for (int k = 0; k < 10; ++k) {
      const std::int64_t fire = kStart + k * 1'000'000 + job * 250'000;
      input.table.push_back({job, job % 2, fire, fire + 5'000, 50, -1});
      input.starts.push_back({job, job % 2, fire, fire + 5'000, -1, 7});
    }
  }
  input.ledger = {.jobs = 4, .expected = 40, .missing = 0, .doubled = 0, .settled = {{Verdict::kSucceeded, 40}}};
  return input;
}

TEST(Analyzer, CountsAPerfectTest) {
  const StressReport report = Analyze(PerfectTest());
  EXPECT_EQ(report.total, 40);
  EXPECT_EQ(report.expected, 40);
  EXPECT_DOUBLE_EQ(report.actual_s, 9.805);  // the last point is at 9.75 s
  EXPECT_NEAR(report.throughput, 40 / 9.805, 1e-9);
  EXPECT_DOUBLE_EQ(report.expected_throughput, 4);
  EXPECT_EQ(report.pods, (std::map<std::string, std::int64_t>{{"scheduler-1", 20}, {"scheduler-leader", 20}}));
  EXPECT_EQ(report.duplicates, 0);
  EXPECT_EQ(report.reruns, 0);
  EXPECT_EQ(report.near_duplicates, 0);
  EXPECT_EQ(report.missed_jobs, 0);
  EXPECT_EQ(report.low_jobs, 0);
  EXPECT_EQ(report.late_over_1s, 0);
  EXPECT_EQ(report.late_max_us, 5'000);
}

TEST(Analyzer, TakesPercentilesByNearestRank) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  for (std::size_t i = 0; i < input.table.size(); ++i) {  // 1 to 40 ms
    input.table[i].actual = input.table[i].fire + 1000 * static_cast<std::int64_t>(i + 1);
  }
  const auto latency = Analyze(input).latency;
  ASSERT_TRUE(latency);
  EXPECT_EQ(latency->min, 1'000);
  EXPECT_EQ(latency->p50, 20'000);  // rank 20 of 40
  EXPECT_EQ(latency->p95, 38'000);
  EXPECT_EQ(latency->p99, 40'000);  // rank ceil(39.6)
  EXPECT_EQ(latency->max, 40'000);
  EXPECT_DOUBLE_EQ(latency->avg, 20'500);
}

TEST(Analyzer, TakesPercentilesOfASingleStart) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  input.table.resize(1);
  const auto latency = Analyze(input).latency;
  ASSERT_TRUE(latency);
  EXPECT_EQ(latency->min, 5'000);
  EXPECT_EQ(latency->p50, 5'000);
  EXPECT_EQ(latency->p99, 5'000);
}

TEST(Analyzer, AddsStartsThatNeverReachedTheTable) {
  AnalysisInput input = PerfectTest();
  input.table.erase(input.table.begin() + 3, input.table.begin() + 8);
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.total, 40);
  EXPECT_EQ(report.duplicates, 0);
}

TEST(Analyzer, WorksFromTheTableAlone) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  EXPECT_EQ(Analyze(input).total, 40);
}

TEST(Analyzer, CountsOnlyTheWindow) {
  AnalysisInput input = PerfectTest();
  input.table.push_back({0, 0, kStart - 1'000'000, kStart - 900'000, 50, -1});
  input.table.push_back({0, 0, kStart + 10'000'000, kStart + 10'000'100, 50, -1});  // the end is outside
  input.table.push_back({-1, 0, kStart, kStart + 1, 50, -1});                       // no job of the test
  input.table.push_back({4, 0, kStart, kStart + 1, 50, -1});
  EXPECT_EQ(Analyze(input).total, 40);
}

TEST(Analyzer, CountsASecondStartUnderTheSameFenceAsADuplicateAlways) {
  AnalysisInput input = PerfectTest();
  Execution again = input.starts[5];
  again.actual += 2'000'000;
  input.starts.push_back(again);
  EXPECT_EQ(Analyze(input).duplicates, 1);
  input.expect_faults = true;
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.duplicates, 1);
  EXPECT_EQ(report.reruns, 0);
  EXPECT_EQ(report.total, 41);
}

TEST(Analyzer, CountsASecondStartUnderANewFenceAsARerunOnlyWhenFaultsAreExpected) {
  AnalysisInput input = PerfectTest();
  Execution again = input.starts[5];
  again.actual += 2'000'000;
  again.fence = 9;
  again.pod = 1;
  input.starts.push_back(again);
  EXPECT_EQ(Analyze(input).duplicates, 1);
  EXPECT_EQ(Analyze(input).reruns, 0);
  input.expect_faults = true;
  EXPECT_EQ(Analyze(input).duplicates, 0);
  EXPECT_EQ(Analyze(input).reruns, 1);

  again.actual += 1'000'000;  // a third start, under the fence of the second
  input.starts.push_back(again);
  EXPECT_EQ(Analyze(input).duplicates, 1);
  EXPECT_EQ(Analyze(input).reruns, 1);
}

TEST(Analyzer, TakesAnotherPodForARerunWhereNoFileTellsTheFence) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  input.expect_faults = true;
  Execution again = input.table[5];
  again.actual += 2'000'000;
  input.table.push_back(again);  // the same pod
  again.actual += 1;
  again.pod = 1 - again.pod;
  AnalysisInput other = PerfectTest();
  other.starts.clear();
  other.expect_faults = true;
  other.table.push_back(again);
  EXPECT_EQ(Analyze(input).duplicates, 1);
  EXPECT_EQ(Analyze(other).duplicates, 0);
  EXPECT_EQ(Analyze(other).reruns, 1);
}

TEST(Analyzer, ReportsStartsOfOneJobThatAreClose) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  input.table[0].actual = input.table[1].actual - 99'999;
  EXPECT_EQ(Analyze(input).near_duplicates, 1);
  input.table[0].actual = input.table[1].actual - 100'000;
  EXPECT_EQ(Analyze(input).near_duplicates, 0);
  input.table[0].actual = input.table[1].actual - 99'999;
  input.plan.interval = milliseconds(200);  // where close starts mean nothing
  EXPECT_EQ(Analyze(input).near_duplicates, 0);
}

TEST(Analyzer, CountsJobsWithoutAndWithFewStarts) {
  AnalysisInput input = PerfectTest();
  std::erase_if(input.table,
                [](const Execution& e) { return e.job == 2 || (e.job == 3 && e.fire > kStart + 4'000'000); });
  input.starts.clear();
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.missed_jobs, 1);
  EXPECT_EQ(report.low_jobs, 2);  // job 2 has 0 of 10, job 3 has 4 of 10
}

TEST(Analyzer, ExpectsExactlyThePointsOfTheGrid) {
  AnalysisInput input;
  input.plan = {.start = FromMicros(kStart),
                .end = FromMicros(kStart) + seconds(30),
                .job_count = 4,
                .interval = seconds(60),
                .test_duration = seconds(30)};
  EXPECT_EQ(Analyze(input).expected, 2);     // phases 0, 15, 30, 45 s
  EXPECT_EQ(Analyze(input).missed_jobs, 2);  // the others have no point to miss
  input.plan.burst = true;
  EXPECT_EQ(Analyze(input).expected, 4);
  input.plan.end = FromMicros(kStart) + seconds(60) + Duration(1);
  EXPECT_EQ(Analyze(input).expected, 8);
  input.plan.end = FromMicros(kStart) + seconds(60);
  EXPECT_EQ(Analyze(input).expected, 4);
}

TEST(Analyzer, CountsOccurrencesThatStartedLate) {
  AnalysisInput input = PerfectTest();
  input.starts.clear();
  input.table[0].actual = input.table[0].fire + 1'000'001;
  input.table[1].actual = input.table[1].fire + 1'000'000;
  input.table[2].actual = input.table[2].fire + 3'500'000;
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.late_over_1s, 2);
  EXPECT_EQ(report.late_max_us, 3'500'000);
}

TEST(Analyzer, JudgesTheLedgerAloneWhereNothingWasRecorded) {
  AnalysisInput input = PerfectTest();
  input.table.clear();
  input.starts.clear();
  input.plan.witness = false;
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.total, 40);
  EXPECT_EQ(report.missed_jobs, 0);
  EXPECT_DOUBLE_EQ(report.throughput, 4);
  EXPECT_FALSE(report.latency);
}

TEST(Analyzer, SurvivesATestWithoutAnyStart) {
  AnalysisInput input = PerfectTest();
  input.table.clear();
  input.starts.clear();
  const StressReport report = Analyze(input);
  EXPECT_EQ(report.total, 0);
  EXPECT_EQ(report.missed_jobs, 4);
  EXPECT_DOUBLE_EQ(report.throughput, 0);
  EXPECT_FALSE(report.latency);
}

}  // namespace
}  // namespace escapement::stress
