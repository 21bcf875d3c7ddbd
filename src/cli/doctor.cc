#include "cli/doctor.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/output.h"
#include "scheduler/services.h"

namespace escapement {
namespace {

using Level = Finding::Level;

constexpr Duration kClockWarning = std::chrono::seconds(1);
constexpr Duration kOverdueGrace = std::chrono::milliseconds(500);

bool IsRedis(const std::string& url) { return url.starts_with("redis") && url.find("://") != std::string::npos; }

void ExamineClock(JobStore& store, std::vector<Finding>* out) {
  const Instant before = SystemNow();
  const auto theirs = store.Now();
  const Instant after = SystemNow();
  if (!theirs) {
    out->push_back({Level::kFail, "clock", theirs.error().message});
    return;
  }
  const Duration took = after - before;
  const Duration offset = *theirs - (before + took / 2);
  const Duration distance = offset < Duration(0) ? -offset : offset;
  out->push_back(
      {distance > kClockWarning + took ? Level::kWarn : Level::kOk, "clock",
       fmt::format("the store's clock is {} {} this machine's (a question takes {}){}", HumanDuration(distance),
                   offset < Duration(0) ? "behind" : "ahead of", HumanDuration(took),
                   distance > kClockWarning + took ? "; jobs run by the store's" : "")});
}

void ExamineJobs(JobStore& store, std::vector<Finding>* out) {
  const auto pods = store.Pods();
  if (!pods) {
    out->push_back({Level::kFail, "pods", pods.error().message});
    return;
  }
  out->push_back({pods->empty() ? Level::kWarn : Level::kOk, "pods",
                  pods->empty() ? std::string("no pod runs: escapement run") : fmt::format("{} alive", pods->size())});
  auto stats = store.Stats();
  if (stats && stats->overdue > 0) {  // what has just fallen due is taken within a moment
    std::this_thread::sleep_for(kOverdueGrace);
    const auto again = store.Stats();
    if (again) stats->overdue = std::min(stats->overdue, again->overdue);
  }
  if (!stats) {
    out->push_back({Level::kFail, "jobs", stats.error().message});
    return;
  }
  const auto active = stats->jobs[JobState::kActive];
  out->push_back({stats->overdue > 0 ? Level::kWarn : Level::kOk, "jobs",
                  stats->overdue > 0 ? fmt::format("{} of {} active are overdue: is there a pod for their queues?",
                                                   stats->overdue, active)
                                     : fmt::format("{} active, none overdue", active)});
}

void ExamineQueues(JobStore& store, std::vector<Finding>* out) {
  const auto paused = store.Paused();
  if (!paused) {
    out->push_back({Level::kFail, "queues", paused.error().message});
  } else if (paused->all) {
    out->push_back({Level::kWarn, "queues", "everything is paused (escapement resume --all)"});
  } else if (!paused->queues.empty()) {
    out->push_back({Level::kWarn, "queues",
                    fmt::format("paused: {} (escapement resume --queue NAME)", fmt::join(paused->queues, ", "))});
  }
}

void ExamineLocks(Locks& locks, std::vector<Finding>* out) {
  auto lease = locks.Acquire(fmt::format("doctor/{}", ToMicros(SystemNow())), std::chrono::seconds(5));
  if (!lease || !*lease) {
    out->push_back({Level::kFail, "locks", lease ? "a lease that nobody has was refused" : lease.error().message});
    return;
  }
  const auto released = locks.Release(**lease);
  if (!released || !*released) {
    out->push_back({Level::kFail, "locks", released ? "a lease was lost at once" : released.error().message});
    return;
  }
  out->push_back({Level::kOk, "locks", "a lease was acquired and released"});
}

// False: there is nothing more to ask of it.
bool ExamineStore(const std::string& url, std::vector<Finding>* out) {
  const auto services = Connect(url, "");
  auto store = services ? services->store->Open() : tl::unexpected(services.error());
  // Opening may be lazy: only an answer shows that the store is there.
  const auto now = store ? (*store)->Now() : tl::unexpected(store.error());
  if (!now) {
    out->push_back({Level::kFail, "store", now.error().message});
    return false;
  }
  out->push_back({Level::kOk, "store", services->store->Name() + " answers"});
  if (const auto schema = (*store)->CheckSchema(); !schema) {
    out->push_back({Level::kFail, "schema", schema.error().message + " (escapement migrate)"});
    return false;
  }
  out->push_back({Level::kOk, "schema", "up to date"});
  ExamineClock(**store, out);
  ExamineJobs(**store, out);
  ExamineQueues(**store, out);
  return true;
}

}  // namespace

std::vector<Finding> Examine(const std::string& store_url, const std::string& locks_url) {
  std::vector<Finding> findings;
  const bool answers = ExamineStore(store_url, &findings);
  if (answers && IsRedis(store_url)) {
    for (Finding& finding : ExamineRedis("store", store_url)) findings.push_back(std::move(finding));
  }
  if (answers && store_url.starts_with("sqlite:")) {
    for (Finding& finding : ExamineSqlite(store_url)) findings.push_back(std::move(finding));
  }
  if (!answers && locks_url.empty()) return findings;
  const auto services = Connect(store_url, locks_url);
  if (!services) {
    findings.push_back({Level::kFail, "locks", services.error().message});
    return findings;
  }
  ExamineLocks(*services->locks, &findings);
  if (IsRedis(locks_url) && locks_url != store_url) {
    for (Finding& finding : ExamineRedis("locks", locks_url)) findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace escapement
