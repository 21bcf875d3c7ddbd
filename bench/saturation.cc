// How many executions a second can four pods settle, and how near is that to the database's own limit?
//
// One run measures both on one private, durable PostgreSQL (fsync on):
//   1. raw: the rows of as many executions written by plain batched SQL: batches of 1,000 jobs, two connections, the
//      same tables and indexes, no fences, no scheduler.
//   2. pods: no-op jobs of one second's interval on four pods (processes), at rising rates. A rate is sustained when,
//      over the whole step, every occurrence is settled within two seconds of the step's end and the last third of
//      the step starts no later (P99) than one second: neither lateness nor the outbox grows.
// The ratio is the highest sustained rate over the raw rate.
//
//   escapement_saturation [--seconds N] [--pods N] [--rates A,B,C] [--json FILE]
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "bench/must.h"
#include "escapement/escapement.h"
#include "postgres/connection.h"
#include "servers/servers.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;
using std::chrono::seconds;

constexpr int kRawConnections = 2;
constexpr int kRawBatch = 1000;
constexpr int kRawJobs = 50'000;

struct Options {
  int step_seconds = 30;
  int pods = 4;
  std::vector<int> rates = {20'000, 30'000, 40'000, 50'000, 60'000, 70'000, 80'000, 100'000};
  std::string json;
};

// --- 1. raw

constexpr Query kRawFill = {
    "raw_fill",
    "INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, "
    "planned_from, "
    "cursor, fire_time, due_at, claim_at, owner, fence, settled_total, rate) "
    "SELECT 'raw-' || i, 'raw', 0, 1, 1, 1, 0, false, false, now(), now(), now(), now(), now(), NULL, 1, 1, 0, 1 "
    "FROM generate_series(1, $1::integer) i RETURNING key"};
constexpr Query kRawBatchSql = {
    "raw_batch",
    "WITH done AS (UPDATE escapement.jobs j SET cursor = u.fire, fire_time = u.next, due_at = u.next, attempt = 1, "
    "lost = 0, "
    "settled_total = j.settled_total + 1 FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS u (key, "
    "fire, next) "
    "WHERE j.key = u.key RETURNING j.key, u.fire) "
    "INSERT INTO escapement.runs (settled_at, job, fire_time, last_fire, started_at, finished_at, fence, session, "
    "settles, "
    "attempt, version, verdict, error) SELECT now(), key, fire, fire, fire, fire, 1, 1, 1, 1, 1, 1, '' FROM done"};

double MeasureRaw(const std::string& url, int duration_s) {
  Connection setup(url, "raw");
  const auto filled = Must(setup.Execute(kRawFill, Params().Add(kRawJobs)));
  std::vector<std::int64_t> keys;
  for (int i = 0; i < filled.size(); ++i) keys.push_back(filled.Int64(i, 0));
  const auto end = std::chrono::steady_clock::now() + seconds(duration_s);
  std::vector<std::int64_t> written(kRawConnections, 0);
  std::vector<std::jthread> writers;
  for (int w = 0; w < kRawConnections; ++w) {
    writers.emplace_back([&, w] {
      Connection db(url, "raw");
      const std::size_t half = keys.size() / kRawConnections;
      std::size_t at = 0;
      Instant fire = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
      while (std::chrono::steady_clock::now() < end) {
        const std::size_t base = static_cast<std::size_t>(w) * half + at;
        Params p;
        p.AddArray<std::int64_t>(kRawBatch, [&](std::size_t i) { return keys[base + i]; });
        p.AddArray<Instant>(kRawBatch, [&](std::size_t) { return fire; });
        p.AddArray<Instant>(kRawBatch, [&](std::size_t) { return fire + seconds(1); });
        (void)Must(db.Execute(kRawBatchSql, p));
        written[static_cast<std::size_t>(w)] += kRawBatch;
        at += kRawBatch;
        if (at + kRawBatch > half) {
          at = 0;
          fire += seconds(1);
        }
      }
    });
  }
  writers.clear();
  Must(setup.Run("DELETE FROM escapement.jobs WHERE queue = 'raw'; TRUNCATE escapement.runs"));
  Must(setup.Run("VACUUM escapement.jobs"));
  double total = 0;
  for (const auto n : written) total += static_cast<double>(n);
  return total / duration_s;
}

// --- 2. pods

// One pod: a process of its own, until it is told to stop.
int RunPod() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  SchedulerOptions options;
  options.store_url = std::getenv("SATURATION_STORE");
  options.locks_url = std::getenv("SATURATION_LOCKS");
  options.pod_name_prefix = "scheduler-";
  options.max_running = 100'000;
  auto scheduler = Must(Scheduler::Open(options));
  scheduler->HandleAsync("noop", [](const RunContext&, const Done& done) { done({}); });
  Must(scheduler->Start());
  int signal = 0;
  sigwait(&stop, &signal);
  (void)scheduler->Stop(seconds(2));
  return 0;
}

struct Step {
  int rate = 0;
  std::int64_t expected = 0, settled = 0;
  double late_p50_ms = 0, late_p99_ms = 0, last_third_p99_ms = 0;
  bool sustained = false;
};

constexpr Query kJudge = {
    "judge",
    "WITH step AS (SELECT extract(epoch FROM started_at - fire_time) * 1000 AS late, fire_time FROM escapement.runs "
    "WHERE fire_time >= $1 AND fire_time < $2 AND settled_at < $2 + interval '2 seconds') "
    "SELECT count(*), COALESCE(percentile_disc(0.5) WITHIN GROUP (ORDER BY late), 0)::float8, "
    "COALESCE(percentile_disc(0.99) WITHIN GROUP (ORDER BY late), 0)::float8, "
    "COALESCE(percentile_disc(0.99) WITHIN GROUP (ORDER BY late) FILTER (WHERE fire_time >= $2 - ($2 - $1) / 3), "
    "0)::float8 FROM step"};

Step MeasureStep(Scheduler& client, const std::string& url, int rate, int duration_s) {
  const Instant start = std::chrono::ceil<seconds>(Must(client.StoreTime()) + seconds(4 + rate / 2000));
  const Instant end = start + seconds(duration_s);
  std::vector<JobDefinition> batch;
  for (int i = 0; i < rate; ++i) {
    auto schedule = Must(Schedule::Every(
        {.interval = seconds(1), .anchor = start, .phase = Duration(1'000'000LL * i / rate), .end = end}));
    batch.push_back(
        {.id = fmt::format("s{}-{:06}", rate, i), .schedule = schedule, .task = "noop", .late = LatePolicy::kRunAll});
    if (batch.size() == 500 || i + 1 == rate) {
      (void)Must(client.Enqueue(batch));
      batch.clear();
    }
  }
  const Instant enqueued = Must(client.StoreTime());
  if (enqueued > start - seconds(2))
    fmt::print(stderr, "enqueueing took until {} us before the start\n", (start - enqueued).count());
  std::this_thread::sleep_for(end + seconds(3) - Must(client.StoreTime()));
  Connection db(url, "judge", seconds(120));
  Must(db.Run("SET work_mem = '512MB'"));
  const auto rows = Must(db.Execute(kJudge, Params().Add(start).Add(end)));
  Step step;
  step.rate = rate;
  step.expected = static_cast<std::int64_t>(rate) * duration_s;
  step.settled = rows.Int64(0, 0);
  step.late_p50_ms = rows.Float(0, 1);
  step.late_p99_ms = rows.Float(0, 2);
  step.last_third_p99_ms = rows.Float(0, 3);
  step.sustained = step.settled == step.expected && step.last_third_p99_ms <= 1000;
  Must(db.Run("TRUNCATE escapement.runs; DELETE FROM escapement.jobs WHERE state = 3"));
  Must(db.Run("VACUUM escapement.jobs"));
  Must(db.Run("CHECKPOINT"));  // so that one step's pages are not written during the next
  return step;
}

int Number(const char* text) { return static_cast<int>(WholeNumber(text)); }

Options Read(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--help") {
      fmt::print("escapement_saturation [--seconds N] [--pods N] [--rates A,B,C] [--json FILE]\n");
      std::exit(0);
    }
    if (i + 1 == argc) Die(fmt::format("unknown option or missing value: {}", flag));
    const char* value = argv[++i];
    if (flag == "--seconds") {
      o.step_seconds = Number(value);
    } else if (flag == "--pods") {
      o.pods = Number(value);
    } else if (flag == "--json") {
      o.json = value;
    } else if (flag == "--rates") {
      o.rates.clear();
      std::string list = value;
      for (char* word = std::strtok(list.data(), ","); word != nullptr; word = std::strtok(nullptr, ","))
        o.rates.push_back(Number(word));
    } else {
      Die(fmt::format("unknown option {}: expected --seconds, --pods, --rates or --json", flag));
    }
  }
  return o;
}

int Main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--pod") == 0) return RunPod();
  const Options o = Read(argc, argv);
  const auto pg = Must(PrivateServer::Postgres());
  const auto redis = Must(PrivateServer::Redis());
  auto client = Must(Scheduler::Open({.store_url = pg->url(), .locks_url = redis->url(), .pod_name = "client"}));
  Must(client->Migrate());

  const double raw = MeasureRaw(pg->url(), std::min(o.step_seconds, 20));
  fmt::print("raw batched SQL (batches of {}, {} connections): {:.0f} rows/s\n", kRawBatch, kRawConnections, raw);
  std::fflush(stdout);

  std::vector<std::unique_ptr<ChildProcess>> pods;
  for (int i = 0; i < o.pods; ++i) {
    pods.push_back(Must(
        ChildProcess::Start({.argv = {"/proc/self/exe", "--pod"},
                             .environment = {{"SATURATION_STORE", pg->url()}, {"SATURATION_LOCKS", redis->url()}}})));
  }
  while (Must(client->Pods()).size() < pods.size()) std::this_thread::sleep_for(std::chrono::milliseconds(100));

  int best = 0;
  std::string steps_json;
  for (const int rate : o.rates) {
    const Step s = MeasureStep(*client, pg->url(), rate, o.step_seconds);
    fmt::print(
        "{:>7}/s for {} s, {} pods: settled {} of {}, start lateness P50 {:.2f} ms, P99 {:.1f} ms, last third P99 "
        "{:.1f} ms: {}\n",
        s.rate, o.step_seconds, o.pods, s.settled, s.expected, s.late_p50_ms, s.late_p99_ms, s.last_third_p99_ms,
        s.sustained ? "sustained" : "not sustained");
    std::fflush(stdout);
    steps_json += fmt::format(
        "{}{{\"rate\":{},\"settled\":{},\"expected\":{},\"p50_ms\":{:.3f},\"p99_ms\":{:.3f},\"sustained\":{}}}",
        steps_json.empty() ? "" : ",", s.rate, s.settled, s.expected, s.late_p50_ms, s.late_p99_ms, s.sustained);
    if (!s.sustained) break;
    best = s.rate;
  }
  for (const auto& pod : pods) pod->Signal(SIGTERM);
  for (const auto& pod : pods) (void)pod->Wait(seconds(10));
  fmt::print("highest rate sustained: {}/s, ratio to raw SQL {:.2f}\n", best, best / raw);
  if (!o.json.empty()) {
    if (std::FILE* f = std::fopen(o.json.c_str(), "w")) {
      fmt::print(f, "{{\"raw_per_s\":{:.0f},\"sustained_per_s\":{},\"ratio\":{:.3f},\"steps\":[{}]}}\n", raw, best,
                 best / raw, steps_json);
      std::fclose(f);
    }
  }
  return 0;
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) { return escapement::Main(argc, argv); }
