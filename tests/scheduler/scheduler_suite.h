// The public library as a user meets it, on whatever store and lock service the URLs name.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/escapement.h"

namespace escapement {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = seconds(60);  // only ever used up by a test that fails

struct Urls {
  std::string store;
  std::string locks;
};

// What handlers and callbacks met, in order.
class Notebook {
 public:
  struct Line {
    std::string pod;
    std::string job;
    std::string task;
    std::string payload;
    Instant fire;
    int attempt;
    Instant now;  // by the wall clock, which is the store's too: all run on one machine
  };

  void Write(const std::string& pod, const RunContext& run) {
    const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    const std::lock_guard lock(mutex_);
    lines_.push_back({pod, run.job->id, run.job->task, run.job->payload, run.fire_time, run.attempt, now});
    changed_.notify_all();
  }
  void Write(const RunReport& report) {
    const std::lock_guard lock(mutex_);
    reports_.push_back(report);
    changed_.notify_all();
  }

  // Waits until `ready` of the lines is true.
  template <typename Ready>
  [[nodiscard]] bool Await(Ready ready) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return ready(std::as_const(lines_)); });
  }
  [[nodiscard]] bool AwaitLines(std::size_t n) {
    return Await([n](const auto& lines) { return lines.size() >= n; });
  }
  [[nodiscard]] bool AwaitReports(std::size_t n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return reports_.size() >= n; });
  }

  std::vector<Line> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  std::vector<RunReport> reports() const {
    const std::lock_guard lock(mutex_);
    return reports_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Line> lines_;         // guarded by mutex_
  std::vector<RunReport> reports_;  // guarded by mutex_
};

// Opens once: whoever waits goes on, now and later.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // False when the run was cancelled first.
  bool Wait(const std::stop_token& cancelled = {}) {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, cancelled, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool open_ = false;  // guarded by mutex_
};

// What the store says follows from commits that nobody announces: asked for until it is so.
template <typename Predicate>
[[nodiscard]] bool Eventually(Predicate predicate) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

// The parameter gives URLs of an empty store.
class SchedulerSuite : public testing::TestWithParam<Urls (*)()> {
 protected:
  void SetUp() override {
    urls_ = GetParam()();
    client_ = Open("client");
    ASSERT_TRUE(client_);
    ASSERT_TRUE(client_->Migrate());
  }

  std::unique_ptr<Scheduler> Open(const std::string& pod, SchedulerOptions options = {}) {
    options.store_url = urls_.store;
    options.locks_url = urls_.locks;
    options.pod_name = pod;
    auto scheduler = Scheduler::Open(options);
    EXPECT_TRUE(scheduler) << scheduler.error().message;
    return scheduler ? std::move(*scheduler) : nullptr;
  }

  // A pod that runs the tasks "note" and "other": they write a line and succeed.
  std::unique_ptr<Scheduler> OpenWithNotes(const std::string& pod) {
    auto scheduler = Open(pod);
    for (const char* task : {"note", "other"}) {
      scheduler->Handle(task, [this, pod](const RunContext& run) -> Status {
        notebook_.Write(pod, run);
        return {};
      });
    }
    return scheduler;
  }

  Instant Now() {
    auto now = client_->StoreTime();
    EXPECT_TRUE(now);
    return now.value_or(Instant());
  }

  // n points, the first in `ahead`. All of them run, however slow the machine.
  JobDefinition Points(const std::string& id, int n, Duration interval, Duration ahead = milliseconds(100)) {
    const Instant anchor = std::chrono::ceil<milliseconds>(Now() + ahead);
    return {.id = id,
            .schedule = *Schedule::Every({.interval = interval, .anchor = anchor, .end = anchor + n * interval}),
            .task = "note",
            .late = LatePolicy::kRunAll};
  }
  JobDefinition Once(const std::string& id, const std::string& task = "note") {
    return {.id = id, .schedule = *Schedule::At(Now()), .task = task};
  }

  void Enqueue(const std::vector<JobDefinition>& jobs, EnqueueOutcome expected = EnqueueOutcome::kCreated) {
    auto out = client_->Enqueue(jobs);
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_THAT(*out, testing::Each(expected));
    EXPECT_EQ(out->size(), jobs.size());
  }

  bool AwaitFinished(const std::string& id) {
    return Eventually([&] {
      auto job = client_->Get(id);
      return job && job->state == JobState::kFinished;
    });
  }

  // Of all jobs whose id starts with `prefix`, up to `to`.
  Audit Law(const std::string& prefix, Instant to = FromMicros(4'000'000'000'000'000)) {
    auto audit = client_->AuditWindow(prefix, FromMicros(0), to);
    EXPECT_TRUE(audit) << audit.error().message;
    const auto named = client_->AuditLedger({.id_prefix = prefix});
    EXPECT_TRUE(named && named->Holds());
    return audit.value_or(Audit());
  }
  void ExpectAllSucceeded(const std::string& prefix, std::int64_t points) {
    const Audit audit = Law(prefix);
    EXPECT_EQ(audit.expected, points);
    EXPECT_EQ(audit.missing, 0);
    EXPECT_EQ(audit.doubled, 0);
    EXPECT_EQ(audit.settled, (std::map<Verdict, std::int64_t>{{Verdict::kSucceeded, points}}));
  }

  Urls urls_;
  Notebook notebook_;                  // before the schedulers: their handlers write to it
  std::unique_ptr<Scheduler> client_;  // asks and enqueues; never started, unless a test says so
};

}  // namespace escapement
