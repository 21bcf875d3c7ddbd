#include "stress/analyzer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

#include "escapement/scheduler.h"
#include "stress/report.h"
#include "stress/witness_file.h"
#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

constexpr std::int64_t kNearMicros = 100'000;
constexpr auto kNearFromInterval = std::chrono::milliseconds(200);
constexpr std::int64_t kLateMicros = 1'000'000;

auto Key(const Execution& e) { return std::tie(e.job, e.fire, e.actual); }
bool ByKey(const Execution& a, const Execution& b) { return Key(a) < Key(b); }

// Takes the fence of each row from its line in the files, and adds the starts that never reached the table.
void Merge(std::vector<Execution>* table, std::vector<Execution>* starts) {
  std::sort(table->begin(), table->end(), ByKey);
  std::sort(starts->begin(), starts->end(), ByKey);
  std::vector<Execution> absent;
  std::size_t at = 0;
  for (const Execution& start : *starts) {
    while (at < table->size() && ByKey((*table)[at], start)) ++at;
    if (at < table->size() && Key((*table)[at]) == Key(start)) {
      (*table)[at].fence = start.fence;
      ++at;
    } else {
      absent.push_back(start);
    }
  }
  table->insert(table->end(), absent.begin(), absent.end());
  if (!absent.empty()) std::sort(table->begin(), table->end(), ByKey);
}

std::int64_t PointsInWindow(Duration phase, const TestPlan& plan) {
  const auto window = plan.end - plan.start;
  return phase >= window ? 0 : (window - phase - Duration(1)) / plan.interval + 1;
}

// Whether `later` may be a re-run of what `earlier` began: the job changed hands between them.
bool IsRerun(const Execution& earlier, const Execution& later) {
  if (earlier.fence < 0 || later.fence < 0) return earlier.pod != later.pod;
  return earlier.fence != later.fence;
}

Latency Percentiles(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  const auto rank = [&values](std::size_t percent) {
    const std::size_t nearest = (percent * values.size() + 99) / 100;  // ceil(p * n / 100), from 1
    return values[std::max<std::size_t>(nearest, 1) - 1];
  };
  double sum = 0;
  for (auto value : values) sum += static_cast<double>(value);
  return {values.front(), rank(50), rank(95), rank(99), values.back(), sum / static_cast<double>(values.size())};
}

}  // namespace

StressReport Analyze(AnalysisInput input) {
  const TestPlan& plan = input.plan;
  StressReport report;
  report.store = input.store;
  report.plan = plan;
  report.expect_faults = input.expect_faults;
  report.ledger = input.ledger;

  const auto outside = [&plan](const Execution& e) {
    return e.job < 0 || e.job >= plan.job_count || e.fire < ToMicros(plan.start) || e.fire >= ToMicros(plan.end);
  };
  std::erase_if(input.table, outside);
  std::erase_if(input.starts, outside);
  Merge(&input.table, &input.starts);
  const std::vector<Execution>& rows = input.table;

  std::vector<std::int64_t> pod_counts(input.pods.size());
  std::vector<std::int64_t> job_counts(static_cast<std::size_t>(plan.job_count));
  std::vector<std::int64_t> latencies;
  latencies.reserve(rows.size());
  std::int64_t last_end = ToMicros(plan.start);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Execution& row = rows[i];
    ++pod_counts[static_cast<std::size_t>(row.pod)];
    ++job_counts[static_cast<std::size_t>(row.job)];
    const std::int64_t late = row.actual - row.fire;
    latencies.push_back(late);
    last_end = std::max(last_end, row.actual + std::max(row.execution_ms, 0) * std::int64_t{1000});
    report.late_max_us = std::max(report.late_max_us, late);

    // Rows of one occurrence are neighbours, in the order of their starts.
    std::size_t first = i;
    while (first > 0 && rows[first - 1].job == row.job && rows[first - 1].fire == row.fire) --first;
    if (first == i) {
      if (late > kLateMicros) ++report.late_over_1s;
      continue;
    }
    bool rerun = input.expect_faults;
    for (std::size_t earlier = first; earlier < i; ++earlier) rerun = rerun && IsRerun(rows[earlier], row);
    ++(rerun ? report.reruns : report.duplicates);
  }

  if (plan.interval > kNearFromInterval) {
    std::vector<std::pair<int, std::int64_t>> starts;
    starts.reserve(rows.size());
    for (const Execution& row : rows) starts.emplace_back(row.job, row.actual);
    std::sort(starts.begin(), starts.end());
    for (std::size_t i = 1; i < starts.size(); ++i) {
      if (starts[i].first == starts[i - 1].first && starts[i].second - starts[i - 1].second < kNearMicros) {
        ++report.near_duplicates;
      }
    }
  }

  for (int job = 0; job < plan.job_count; ++job) {
    const auto points = PointsInWindow(plan.burst ? Duration(0) : JobPhase(job, plan.job_count, plan.interval), plan);
    const auto count = job_counts[static_cast<std::size_t>(job)];
    report.expected += points;
    if (points > 0 && count == 0) ++report.missed_jobs;
    if (count * 2 < points) ++report.low_jobs;
  }
  if (!plan.witness) report.missed_jobs = report.low_jobs = 0;

  report.total = static_cast<std::int64_t>(rows.size());
  const double window_s = std::chrono::duration<double>(plan.end - plan.start).count();
  report.actual_s = static_cast<double>(last_end - ToMicros(plan.start)) / 1e6;
  if (!plan.witness) {  // what the ledger says is all there is
    const auto succeeded = input.ledger.settled.find(Verdict::kSucceeded);
    report.total = succeeded == input.ledger.settled.end() ? 0 : succeeded->second;
    report.actual_s = window_s;
  }
  if (report.actual_s > 0) report.throughput = static_cast<double>(report.total) / report.actual_s;
  report.expected_throughput = static_cast<double>(report.expected) / window_s;
  if (!latencies.empty()) report.latency = Percentiles(std::move(latencies));
  for (std::size_t pod = 0; pod < pod_counts.size(); ++pod) {
    if (pod_counts[pod] > 0) report.pods[input.pods[pod]] += pod_counts[pod];
  }
  return report;
}

// --- reading

namespace {

class PodNames {
 public:
  int Index(const std::string& name) {
    auto [it, is_new] = index_.try_emplace(name, static_cast<int>(names_.size()));
    if (is_new) names_.push_back(name);
    return it->second;
  }
  std::vector<std::string> Take() { return std::move(names_); }

 private:
  std::unordered_map<std::string, int> index_;
  std::vector<std::string> names_;
};

tl::unexpected<Error> NoTest(const std::string& why) {
  return Fail(Code::kNotFound, fmt::format("this database holds no stress test ({}): run one first", why));
}

Result<TestPlan> ReadPlan(WitnessStore& record) {
  auto read = record.ReadConfig();
  if (!read && read.error().code == Code::kNotFound) return NoTest(read.error().message);
  if (!read) return tl::make_unexpected(read.error());
  TestConfig& values = *read;
  if (values.empty()) return NoTest("stress_config is empty");
  const auto number = [&values](const char* key) -> double {
    const auto found = values.find(key);
    return found == values.end() ? -1 : std::strtod(found->second.c_str(), nullptr);
  };
  TestPlan plan;
  plan.start = FromMicros(std::llround(number("test_start") * 1e6));
  plan.end = FromMicros(std::llround(number("test_end") * 1e6));
  plan.job_count = static_cast<int>(number("job_count"));
  plan.interval = std::chrono::milliseconds(std::llround(number("interval_ms")));
  plan.duration = std::chrono::milliseconds(std::llround(number("duration_ms")));
  plan.test_duration = std::chrono::seconds(std::llround(number("test_duration")));
  plan.burst = values["burst"] == "true";
  plan.witness = values["witness"] != "false";
  if (ToMicros(plan.start) <= 0 || plan.end <= plan.start || plan.job_count < 1 || plan.job_count > 1'000'000 ||
      plan.interval < Duration(1000) || plan.duration < Duration(0)) {
    return Fail(Code::kInternal, "stress_config is incomplete or damaged: run the stress test again");
  }
  return plan;
}

}  // namespace

Result<AnalysisInput> LoadWitness(const StressConfig& config) {
  auto record = WitnessStore::Open(config);
  if (!record && record.error().code == Code::kNotFound) return NoTest(record.error().message);
  if (!record) return tl::make_unexpected(record.error());
  AnalysisInput input;
  input.store = config.store;
  auto plan = ReadPlan(**record);
  if (!plan) return tl::make_unexpected(plan.error());
  input.plan = *plan;
  if (!plan->witness) return input;

  PodNames pods;
  std::string pod_name;
  auto read = (*record)->Read([&](const RecordedRow& row) {
    pod_name.assign(row.pod);
    input.table.push_back({JobIndex(row.job_id), pods.Index(pod_name), row.fire, row.actual, row.execution_ms, -1});
  });
  if (!read) return tl::make_unexpected(read.error());
  if (!config.witness_dir.empty()) {
    auto loaded =
        LoadStarts(config.witness_dir, [&pods](const std::string& name) { return pods.Index(name); }, &input.starts);
    if (!loaded) return tl::make_unexpected(loaded.error());
  }
  input.pods = pods.Take();
  return input;
}

int RunAnalyze(const StressConfig& config) {
  const auto refuse = [](const std::string& message) {
    fmt::print(stderr, "escapement: {}\n", message);
    return 2;
  };
  auto input = LoadWitness(config);
  if (!input) return refuse(input.error().message);
  input->expect_faults = config.flags.expect_faults;

  SchedulerOptions options;
  options.store_url = config.StoreUrl();
  options.pod_name = "stress-analyzer";
  auto scheduler = Scheduler::Open(options);
  if (!scheduler) return refuse(scheduler.error().message);
  if (auto schema = (*scheduler)->CheckSchema(); !schema) return refuse(schema.error().message);
  auto ledger = (*scheduler)->AuditWindow("job-", input->plan.start, input->plan.end);
  if (!ledger) return refuse("the ledger cannot be read: " + ledger.error().message);
  input->ledger = *ledger;

  const StressReport report = Analyze(std::move(*input));
  const std::string json = RenderJson(report);
  fmt::print("{}", config.flags.json ? json : RenderText(report));
  if (!config.flags.json_file.empty()) {
    std::ofstream file(config.flags.json_file, std::ios::trunc);
    file << json;
    if (!file.flush()) return refuse(fmt::format("{} cannot be written", config.flags.json_file));
  }
  if (config.flags.clean) {
    auto record = WitnessStore::Open(config);
    if (!record) return refuse(record.error().message);
    if (auto done = (*record)->Clear(); !done) return refuse("cleaning failed: " + done.error().message);
  }
  return Passes(report) ? 0 : 1;
}

}  // namespace escapement::stress
