#include "stress/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace escapement::stress {
namespace {

constexpr std::int64_t kP99LimitUs = 1'000'000;

std::int64_t ToMs(Duration duration) { return duration / std::chrono::milliseconds(1); }

// Rounds half up.
std::int64_t WholeMs(std::int64_t micros) {
  return static_cast<std::int64_t>(std::floor((static_cast<double>(micros) + 500) / 1000));
}

}  // namespace

std::string FormatLatency(std::int64_t micros) {
  if (micros >= 1000) return fmt::format("{}ms", WholeMs(micros));
  const double tenths = std::floor((static_cast<double>(micros) + 50) / 100);
  return fmt::format("{:.1f}ms", tenths / 10 + 0.0);  // + 0.0: no "-0.0"
}

std::vector<Finding> Judge(const StressReport& report) {
  using Kind = Finding::Kind;
  std::vector<Finding> findings;
  if (report.throughput >= 0.9 * report.expected_throughput) {
    findings.push_back({Kind::kPass, fmt::format("Throughput ({:.1f} jobs/sec)", report.throughput)});
  } else {
    findings.push_back({Kind::kWarn, fmt::format("Low throughput ({:.1f} jobs/sec, expected ~{:.1f})",
                                                 report.throughput, report.expected_throughput)});
  }
  if (report.latency) {
    const auto p99 = report.latency->p99;
    if (p99 < kP99LimitUs) {
      // 999.6 ms passes, so it must not be shown as 1000.
      const auto shown = FormatLatency(std::min<std::int64_t>(p99, 999'499));
      findings.push_back({Kind::kPass, fmt::format("P99 latency ({} < 1000ms)", shown)});
    } else {
      findings.push_back({Kind::kWarn, fmt::format("High P99 latency ({})", FormatLatency(p99))});
    }
  }
  if (report.plan.witness) {
    if (report.missed_jobs == 0) {
      findings.push_back({Kind::kPass, "No missed jobs"});
    } else {
      findings.push_back({Kind::kFail, fmt::format("{} jobs never executed", report.missed_jobs)});
    }
    if (report.duplicates == 0) {
      findings.push_back({Kind::kPass, "No duplicate executions"});
    } else {
      findings.push_back({Kind::kFail, fmt::format("{} duplicate executions", report.duplicates)});
    }
  }
  const Audit& ledger = report.ledger;
  if (ledger.missing != 0 || ledger.doubled != 0) {
    findings.push_back({Kind::kFail, fmt::format("Ledger: {} missing, {} double", ledger.missing, ledger.doubled)});
  }
  if (ledger.expected != report.expected) {
    findings.push_back({Kind::kFail, fmt::format("Ledger: {} points in the window, the test planned {}",
                                                 ledger.expected, report.expected)});
  }
  return findings;
}

bool Passes(const StressReport& report) {
  const auto findings = Judge(report);
  return std::all_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.kind == Finding::Kind::kPass; });
}

std::string RenderText(const StressReport& report) {
  const std::string rule(70, '=');
  fmt::memory_buffer out;
  const auto line = [&out]<typename... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
    out.push_back('\n');
  };
  // The store is named where it is not Redis, the lock service, alone.
  line("STRESS TEST RESULTS{}", report.store == StoreKind::kRedis ? "" : fmt::format(" ({})", StoreName(report.store)));
  line("{}", rule);
  line("");
  line("Configuration:");
  line("  Jobs: {}", report.plan.job_count);
  line("  Interval: {}ms", ToMs(report.plan.interval));
  line("  Job duration: {}ms", ToMs(report.plan.duration));
  line("  Test duration: {}s (actual: {:.1f}s)", report.plan.test_duration.count(), report.actual_s);
  line("");
  line("Execution Summary:");
  line("  Total executions: {}", report.total);
  line("  Expected (approx): {}", report.expected);
  line("  Throughput: {:.1f} jobs/sec", report.throughput);
  line("");
  line("Latency (scheduled -> actual execution):");
  if (report.latency) {
    line("  Min:  {}", FormatLatency(report.latency->min));
    line("  P50:  {}", FormatLatency(report.latency->p50));
    line("  P95:  {}", FormatLatency(report.latency->p95));
    line("  P99:  {}", FormatLatency(report.latency->p99));
    line("  Max:  {}", FormatLatency(report.latency->max));
    line("  Avg:  {:.1f}ms", report.latency->avg / 1000);
  } else {
    line("  {}", report.plan.witness ? "No executions" : "Not recorded (--no-witness)");
  }
  if (report.expect_faults) {
    line("  Started later than 1s: {} (worst: {})", report.late_over_1s, FormatLatency(report.late_max_us));
  }
  line("");
  line("Worker Distribution:");
  for (const auto& [pod, count] : report.pods) {
    line("  {}: {} ({:.1f}%)", pod, count, 100.0 * static_cast<double>(count) / static_cast<double>(report.total));
  }
  line("");
  line("Job Execution Check:");
  line("  Jobs with 0 executions: {}", report.missed_jobs);
  line("  Jobs with <50% expected: {}", report.low_jobs);
  line("");
  line("Duplicate Check:");
  if (report.duplicates == 0) {
    line("  No duplicates detected");
  } else {
    line("  Duplicate executions: {}", report.duplicates);
  }
  if (report.near_duplicates > 0) line("  Executions of one job less than 100ms apart: {}", report.near_duplicates);
  if (report.expect_faults) line("  Re-runs after faults: {}", report.reruns);
  line("");
  line("{}", rule);
  for (const Finding& finding : Judge(report)) {
    constexpr std::string_view kWords[] = {"PASS", "WARN", "FAIL"};
    line("{}: {}", kWords[static_cast<int>(finding.kind)], finding.text);
  }
  line("{}", rule);
  line("OVERALL: {}", Passes(report) ? "PASS" : "ISSUES DETECTED - Review warnings above");
  return fmt::to_string(out);
}

std::string RenderJson(const StressReport& report) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["total"] = report.total;
  json["expected"] = report.expected;
  json["throughput_per_s"] = report.throughput;
  json["latency_us"] = nullptr;
  if (report.latency) {
    json["latency_us"] = {{"min", report.latency->min}, {"p50", report.latency->p50}, {"p95", report.latency->p95},
                          {"p99", report.latency->p99}, {"max", report.latency->max}, {"avg", report.latency->avg}};
  }
  json["pods"] = Json::object();
  for (const auto& [pod, count] : report.pods) json["pods"][pod] = count;
  json["duplicates"] = report.duplicates;
  json["near_duplicates"] = report.near_duplicates;
  json["reruns"] = report.reruns;
  json["late_over_1s"] = report.late_over_1s;
  json["late_max_us"] = report.late_max_us;
  json["missed_jobs"] = report.missed_jobs;
  json["low_jobs"] = report.low_jobs;
  json["settled"] = Json::object();
  for (const auto& [verdict, count] : report.ledger.settled) json["settled"][std::string(VerdictName(verdict))] = count;
  json["missing"] = report.ledger.missing;
  json["double"] = report.ledger.doubled;
  json["window_s"] = std::chrono::duration<double>(report.plan.end - report.plan.start).count();
  json["config"] = {{"store", StoreWord(report.store)},
                    {"job_count", report.plan.job_count},
                    {"interval_ms", ToMs(report.plan.interval)},
                    {"duration_ms", ToMs(report.plan.duration)},
                    {"test_duration_s", report.plan.test_duration.count()},
                    {"burst", report.plan.burst},
                    {"witness", report.plan.witness},
                    {"test_start", static_cast<double>(ToMicros(report.plan.start)) / 1e6},
                    {"actual_s", report.actual_s},
                    {"points_in_ledger", report.ledger.expected}};
  json["verdict"] = Passes(report) ? "PASS" : "ISSUES DETECTED";
  // A pod's name may hold anything: replace what is not UTF-8 instead of throwing.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace escapement::stress
