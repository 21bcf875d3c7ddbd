// Judges a test: a pure function of what the witness and the ledger hold.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"
#include "escapement/time.h"
#include "stress/config.h"

namespace escapement::stress {

// What the leader planned, as read from stress_config.
struct TestPlan {
  Instant start;
  Instant end;
  int job_count = 0;
  Duration interval{0};
  Duration duration{0};
  std::chrono::seconds test_duration{0};
  bool burst = false;
  bool witness = true;  // false: no executions were recorded, only the ledger can be judged
};

// One start of a job's body.
struct Execution {
  int job = 0;                     // number in the id
  int pod = 0;                     // index into the names
  std::int64_t fire = 0;           // us since the epoch
  std::int64_t actual = 0;         // us since the epoch
  std::int32_t execution_ms = -1;  // -1: did not end, as far as is known
  std::int64_t fence = -1;         // -1: not known
};

struct AnalysisInput {
  StoreKind store = StoreKind::kPostgresql;
  TestPlan plan;
  std::vector<std::string> pods;
  std::vector<Execution> table;   // rows of the witness's record
  std::vector<Execution> starts;  // lines of the pods' files; those that are not in the table are added
  Audit ledger;                   // over [plan.start, plan.end)
  bool expect_faults = false;
};

struct Latency {  // us, start minus fire time; percentiles by nearest rank
  std::int64_t min = 0, p50 = 0, p95 = 0, p99 = 0, max = 0;
  double avg = 0;
};

struct StressReport {
  StoreKind store = StoreKind::kPostgresql;
  TestPlan plan;
  bool expect_faults = false;
  std::int64_t total = 0;     // starts in the window
  std::int64_t expected = 0;  // grid points in the window
  double actual_s = 0;        // last end - test_start
  double throughput = 0;      // per second of actual_s
  double expected_throughput = 0;
  std::optional<Latency> latency;  // none without a start
  std::map<std::string, std::int64_t> pods;
  std::int64_t duplicates = 0;       // starts of an occurrence beyond its first that nothing excuses
  std::int64_t reruns = 0;           // starts beyond the first under a new fence, when faults are expected
  std::int64_t near_duplicates = 0;  // starts of one job less than 100 ms apart where the interval is over 200 ms
  std::int64_t missed_jobs = 0;      // jobs with points and without a start
  std::int64_t low_jobs = 0;         // jobs with less than half of their starts
  std::int64_t late_over_1s = 0;     // occurrences whose first start was later than 1 s
  std::int64_t late_max_us = 0;
  Audit ledger;
};

StressReport Analyze(AnalysisInput input);

// Reads the plan, the witness's record and, where a directory is configured, the pods' files; the ledger is the
// caller's. kNotFound when there was no test.
[[nodiscard]] Result<AnalysisInput> LoadWitness(const StressConfig& config);

// Runs the whole of `stress analyze`: loads, judges, prints, cleans. Returns the exit status: 0 PASS, 1 issues, 2 no
// test to judge or no way to read it.
int RunAnalyze(const StressConfig& config);

}  // namespace escapement::stress
