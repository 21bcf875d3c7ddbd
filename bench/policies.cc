// What policies cost and give, on a private PostgreSQL with its pods in this process.
//
//   escapement_policies backlog [--jobs N] [--trials N]
// N jobs of priority 5 (100,000) are due at once, and one pod runs tasks of 5 ms on 8 threads. Meanwhile jobs of
// priority 10 are made, one after the other, each due at once: how long after its fire time does each start? One job of
// priority 0, due with the backlog, is to start before the backlog ends.
//   escapement_policies flex [--jobs N]
// N jobs (10,000) of @hourly with a flex window of an hour: how even are the minutes, and what moves when a tenth of
// the jobs goes and as many come? By the time at which the store would have each started.
// Exit status: 0, 1 if a bound does not hold, 2 wrong input.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "bench/must.h"
#include "escapement/escapement.h"
#include "job/settle.h"
#include "ports/job_store.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_store.h"

namespace escapement {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

void EnqueueAll(Scheduler& client, const std::vector<JobDefinition>& jobs) {
  for (std::size_t i = 0; i < jobs.size(); i += 1000) {
    const auto end = jobs.begin() + static_cast<std::ptrdiff_t>(std::min(i + 1000, jobs.size()));
    (void)Must(client.Enqueue({jobs.begin() + static_cast<std::ptrdiff_t>(i), end}));
  }
}

int Backlog(std::int64_t jobs, std::int64_t trials) {
  auto server = Must(PrivateServer::Postgres({}));
  const SchedulerOptions options{.store_url = server->url(), .pod_name = "pod", .max_running = 100, .threads = 8};
  auto pod = Must(Scheduler::Open(options));
  Must(pod->Migrate());
  std::mutex mutex;
  std::map<std::string, Duration> late;  // of the high and the low ones
  std::atomic<std::int64_t> done = 0;
  Scheduler* clock = pod.get();
  pod->Handle("work", [&](const RunContext& run) -> Status {
    if (run.job->priority != 5) {
      const auto now = clock->StoreTime();
      const std::lock_guard lock(mutex);
      if (now) late[run.job->id] = *now - run.fire_time;
    }
    std::this_thread::sleep_for(milliseconds(5));
    ++done;
    return {};
  });
  const Instant due = Must(pod->StoreTime());
  std::vector<JobDefinition> backlog;
  for (std::int64_t i = 0; i < jobs; ++i) {
    backlog.push_back({.id = fmt::format("backlog-{:07}", i),
                       .schedule = Must(Schedule::At(due)),
                       .task = "work",
                       .priority = 5,
                       .late = LatePolicy::kRunAll});
  }
  EnqueueAll(*pod, backlog);
  (void)Must(pod->Enqueue({{.id = "low",
                            .schedule = Must(Schedule::At(Must(pod->StoreTime()))),
                            .task = "work",
                            .late = LatePolicy::kRunAll}}));
  Must(pod->Start());
  std::this_thread::sleep_for(seconds(2));
  for (std::int64_t i = 0; i < trials; ++i) {
    (void)Must(pod->Enqueue({{.id = fmt::format("high-{:04}", i),
                              .schedule = Must(Schedule::At(Must(pod->StoreTime()))),
                              .task = "work",
                              .priority = 10}}));
    std::this_thread::sleep_for(milliseconds(150));
  }
  const std::int64_t done_then = done;
  const auto began = std::chrono::steady_clock::now();
  while (done < jobs + trials + 1 && std::chrono::steady_clock::now() - began < minutes(10)) {
    std::this_thread::sleep_for(milliseconds(100));
  }
  (void)pod->Stop(seconds(5));
  std::vector<Duration> high;
  for (const auto& [id, lateness] : late) {
    if (id != "low") high.push_back(lateness);
  }
  std::sort(high.begin(), high.end());
  if (high.empty()) Die("no job of priority 10 was run");
  const auto ms = [](Duration d) { return static_cast<double>(d.count()) / 1000; };
  const Duration worst = high.back();
  fmt::print("backlog of {} jobs of priority 5, {} of them done when the last of {} jobs of priority 10 was made\n",
             jobs, done_then, high.size());
  fmt::print("priority 10 starts after its fire time: p50 {:.1f} ms, p90 {:.1f} ms, longest {:.1f} ms\n",
             ms(high[high.size() / 2]), ms(high[high.size() * 9 / 10]), ms(worst));
  const bool low_ran = late.contains("low");
  if (low_ran) fmt::print("priority 0 starts after {:.1f} s\n", ms(late["low"]) / 1000);
  const bool holds =
      worst <= milliseconds(250) && low_ran && done_then < jobs && static_cast<std::int64_t>(high.size()) == trials;
  fmt::print("within 250 ms, all of them, and the low one was run: {}\n", holds ? "yes" : "NO");
  return holds ? 0 : 1;
}

// The place of each job in its hour, by the row that the store has of it.
std::map<std::string, Duration> Places(const std::string& url) {
  std::map<std::string, Duration> places;
  auto store = Must(Must(PostgresStoreFactory::Create(url))->Open());
  const SessionId session = Must(store->OpenSession({.pod = "looker", .ttl = seconds(5)}));
  for (;;) {
    const auto claim = Must(
        store->Claim({.session = session, .horizon = std::chrono::hours(2), .limit = 2000, .queues = {"default"}}));
    if (claim.jobs.empty()) break;
    for (const ClaimedJob& job : claim.jobs) {
      const Instant fire_time = job.present.fire_time;
      places[job.definition->id] = StartAt(*job.definition, job.key, fire_time) - fire_time;
    }
  }
  Must(store->EndSession(session));
  return places;
}

double BusiestToMean(const std::map<std::string, Duration>& places) {
  std::array<std::int64_t, 60> load{};
  for (const auto& [id, place] : places) ++load.at(static_cast<std::size_t>(place / minutes(1)));
  return static_cast<double>(*std::max_element(load.begin(), load.end())) * 60 / static_cast<double>(places.size());
}

int Flex(std::int64_t jobs) {
  auto server = Must(PrivateServer::Postgres({.durable = false}));
  auto client = Must(Scheduler::Open({.store_url = server->url(), .pod_name = "client"}));
  Must(client->Migrate());
  const auto make = [&](std::int64_t from, std::int64_t to) {
    std::vector<JobDefinition> batch;
    for (std::int64_t i = from; i < to; ++i) {
      batch.push_back({.id = fmt::format("job-{:07}", i),
                       .schedule = Must(Schedule::Parse("@hourly")),
                       .task = "work",
                       .flex = std::chrono::hours(1)});
    }
    EnqueueAll(*client, batch);
  };
  make(0, jobs);
  const auto before = Places(server->url());
  for (std::int64_t i = 0; i < jobs; i += 10) Must(client->Remove(fmt::format("job-{:07}", i)));
  make(jobs, jobs + jobs / 10);
  const auto after = Places(server->url());
  std::int64_t stayed = 0, moved = 0;
  for (const auto& [id, place] : after) {
    const auto it = before.find(id);
    if (it != before.end()) ++(it->second == place ? stayed : moved);
  }
  const double even = BusiestToMean(before), later = BusiestToMean(after);
  fmt::print("{} jobs of @hourly, flex 1h: busiest minute / mean minute {:.3f}\n", before.size(), even);
  fmt::print("a tenth removed, as many added: {:.3f}; of the others {} stayed, {} moved\n", later, stayed, moved);
  const bool holds = static_cast<std::int64_t>(before.size()) == jobs && even <= 1.2 && moved * 100 < stayed;
  fmt::print("at most 1.2, fewer than 1 % moved: {}\n", holds ? "yes" : "NO");
  return holds ? 0 : 1;
}

int Main(int argc, char** argv) {
  std::int64_t trials = 100;
  std::int64_t jobs = 0;
  const std::string what = argc > 1 ? argv[1] : "";
  if (what != "backlog" && what != "flex") Die("write backlog or flex, and then --jobs N, --trials N");
  for (int i = 2; i < argc; ++i) {
    const std::string flag = argv[i];
    if (i + 1 == argc || (flag != "--jobs" && flag != "--trials"))
      Die("unknown option, or its number is missing: " + flag);
    (flag == "--jobs" ? jobs : trials) = WholeNumber(argv[++i]);
  }
  if (what == "flex") return Flex(jobs > 0 ? jobs : 10'000);
  return Backlog(jobs > 0 ? jobs : 100'000, trials);
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) { return escapement::Main(argc, argv); }
