#include "stress/pod.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <mutex>
#include <queue>
#include <thread>

#include <fmt/format.h>

#include "escapement/scheduler.h"
#include "stress/stop_signal.h"
#include "stress/witness.h"
#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kWaitForSchema = seconds(60);
constexpr auto kWaitForPods = seconds(60);
constexpr auto kWaitForTest = seconds(600);
constexpr auto kMembershipSettled = seconds(3);
constexpr auto kDrain = seconds(10);
constexpr auto kGrace = seconds(5);
constexpr int kChunk = 500;            // measured: larger ones took longer a job
constexpr int kJobsPerSecond = 5'000;  // that go in for certain; a slower store is noticed on the way
constexpr const char* kTask = "stress";

// Ends simulated work: one thread, whatever is in flight.
class BodyTimer {
 public:
  BodyTimer() : thread_([this] { Loop(); }) {}
  ~BodyTimer() { Stop(); }

  void Add(Steady::time_point due, std::function<void()> end) {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    const bool first = queue_.empty() || due < queue_.top().due;
    queue_.push({due, std::move(end)});
    if (first) wake_.notify_one();
  }

  // Drops what has not ended.
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
    queue_ = {};
  }

 private:
  struct Entry {
    Steady::time_point due;
    std::function<void()> end;
    bool operator<(const Entry& other) const { return due > other.due; }  // the earliest on top
  };

  void Loop() {
    std::unique_lock lock(mutex_);
    std::vector<std::function<void()>> ended;
    while (!stopped_) {
      if (queue_.empty()) {
        wake_.wait(lock);
        continue;
      }
      const auto now = Steady::now();
      while (!queue_.empty() && queue_.top().due <= now) {
        // It is popped at once: its order is not read again.
        ended.push_back(std::move(const_cast<Entry&>(queue_.top()).end));
        queue_.pop();
      }
      if (ended.empty()) {
        const auto due = queue_.top().due;  // the queue may move its entries while this waits
        wake_.wait_until(lock, due);
        continue;
      }
      lock.unlock();
      for (auto& end : ended) end();
      ended.clear();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::priority_queue<Entry> queue_;  // guarded by mutex_
  bool stopped_ = false;              // guarded by mutex_
  std::thread thread_;                // last: it uses the others
};

// An instant of the store's clock as a time of this process's clock.
struct StoreClock {
  Steady::time_point steady;
  Instant store;
  Steady::time_point At(Instant instant) const { return steady + (instant - store); }
  Instant Now() const { return store + std::chrono::duration_cast<Duration>(Steady::now() - steady); }
};

class StressPod {
 public:
  explicit StressPod(const StressConfig& config) : config_(config), stop_(/*block=*/true) {}

  int Run() {
    signal(SIGPIPE, SIG_IGN);  // a server that goes away is an error to report, not the end of the pod
    int status = Live();
    if (status == kStopped) status = 0;
    Leave();
    return status;
  }

 private:
  // Exit statuses; kStopped: a signal came.
  static constexpr int kStopped = -1;

  int Live() {
    if (int status = Open()) return status;
    if (int status = config_.is_leader ? PrepareStore() : WaitForSchema()) return status;
    RegisterBody();
    if (int status = Start()) return status;
    if (int status = config_.is_leader ? BeginTest() : WaitForTest()) return status;
    if (int status = RunUntilEnd()) return status;
    return Drain();
  }

  int Complain(int status, const std::string& message) {
    fmt::print(stderr, "{}escapement: {}\n", terminal_ ? "\r\033[K" : "", message);
    return status;
  }

  // Tries until it succeeds, while the server is away and the time for servers is not up. What was done in doubt can be
  // done again: everything that is tried here. An exit status or 0.
  template <typename Try>
  int Retry(const char* what, Try attempt) {
    const auto limit = Steady::now() + config_.connect_timeout;
    for (;;) {
      const Status status = attempt();
      if (status) return 0;
      const Error& error = status.error();
      const bool again =
          error.code == Code::kUnavailable || error.code == Code::kTimeout || error.code == Code::kInDoubt;
      if (error.code == Code::kInvalidArgument || error.code == Code::kConflict) return Complain(2, error.message);
      if (!again) return Complain(1, fmt::format("{}: {}", what, error.message));
      if (Steady::now() >= limit) {
        return Complain(
            1, fmt::format("{} did not succeed within {} s: {}", what, config_.connect_timeout.count(), error.message));
      }
      if (stop_.Wait(milliseconds(500))) return kStopped;
    }
  }

  int Open() {
    SchedulerOptions options;
    options.store_url = config_.StoreUrl();
    options.locks_url = config_.LocksUrl();
    options.pod_name = config_.pod_name;
    if (options.pod_name.empty() && config_.is_leader) options.pod_name = "scheduler-leader";
    if (options.pod_name.empty()) options.pod_name_prefix = "scheduler-";
    return Retry("connecting", [&]() -> Status {
      auto opened = Scheduler::Open(options);
      if (!opened) return tl::make_unexpected(opened.error());
      scheduler_ = std::move(*opened);
      return {};
    });
  }

  // Over a connection of its own.
  template <typename Body>
  Status InRecord(Body body) {
    auto record = WitnessStore::Open(config_);
    if (!record) return tl::make_unexpected(record.error());
    return body(**record);
  }

  // --- the leader

  int PrepareStore() {
    if (int status = Retry("migrating", [&] { return scheduler_->Migrate(); })) return status;
    const auto prepare = [](WitnessStore& record) { return record.Prepare(); };
    if (int status = Retry("preparing the witness's record", [&] { return InRecord(prepare); })) return status;
    return RemoveOldJobs();
  }

  // Jobs of an earlier test would settle points that this one does not plan.
  int RemoveOldJobs() {
    for (JobState state : {JobState::kActive, JobState::kPaused, JobState::kFinished}) {
      constexpr int kPages = 1'000'000 / 1000 + 1;
      for (int page = 0; page < kPages; ++page) {
        auto jobs = scheduler_->List({.id_prefix = "job-", .state = state, .limit = 1000});
        if (!jobs) return Complain(1, "listing the jobs of an earlier test: " + jobs.error().message);
        int removed = 0;
        for (const JobInfo& job : *jobs) {
          auto status = scheduler_->Remove(job.definition.id);
          if (!status && status.error().code != Code::kNotFound) {
            return Complain(1, "removing a job of an earlier test: " + status.error().message);
          }
          ++removed;
        }
        if (removed == 0) break;
        if (stop_.Wait(Duration(0))) return kStopped;
      }
    }
    return 0;
  }

  int BeginTest() {
    if (int status = WaitForPods()) return status;
    // Measured on the way: when jobs go in slower than planned, the test starts later.
    seconds allowance(2 + config_.job_count / kJobsPerSecond);
    for (int plan = 0; plan < 3; ++plan) {
      auto now = scheduler_->StoreTime();
      if (!now) return Complain(1, "asking the store's time: " + now.error().message);
      clock_ = {Steady::now(), *now};
      test_start_ = std::chrono::ceil<seconds>(*now) + allowance;
      test_end_ = test_start_ + config_.test_duration;
      bool late = false;
      if (int status = EnqueueJobs(&allowance, &late)) return status;
      if (!late) return WriteTestConfig();
    }
    return Complain(1, fmt::format("the store takes jobs too slowly: {} were not in before the test was to start",
                                   config_.job_count));
  }

  int WaitForPods() {
    const auto limit = Steady::now() + kWaitForPods;
    std::size_t seen = 0;
    auto since = Steady::now();
    for (;;) {
      auto pods = scheduler_->Pods();
      const std::size_t now = pods ? pods->size() : 0;
      if (now != seen) {
        seen = now;
        since = Steady::now();
      }
      if (config_.pods ? seen >= static_cast<std::size_t>(*config_.pods)
                       : seen > 0 && Steady::now() - since >= kMembershipSettled) {
        return 0;
      }
      if (Steady::now() >= limit) {
        if (config_.pods) Complain(0, fmt::format("only {} of {} pods after 60 s: going on", seen, *config_.pods));
        return 0;
      }
      if (stop_.Wait(milliseconds(100))) return kStopped;
    }
  }

  // `late`: gave up because the rest would not be in before the test starts; `allowance` then says what is needed.
  int EnqueueJobs(seconds* allowance, bool* late) {
    std::deque<Steady::time_point> chunk_ends = {Steady::now()};
    const auto latest = clock_.At(test_start_) - milliseconds(500);
    int done = 0;
    while (done < config_.job_count) {
      std::vector<JobDefinition> chunk;
      for (; done < config_.job_count && chunk.size() < kChunk; ++done) {
        EveryOptions every{.interval = config_.interval, .anchor = test_start_, .phase = Duration(0), .end = test_end_};
        if (!config_.flags.burst) every.phase = JobPhase(done, config_.job_count, config_.interval);
        auto schedule = Schedule::Every(every);
        if (!schedule) return Complain(2, schedule.error().message);
        chunk.push_back({.id = JobId(done), .schedule = *schedule, .task = kTask, .late = LatePolicy::kRunAll});
      }
      if (int status = Retry("creating the jobs", [&]() -> Status {
            auto outcome = scheduler_->Enqueue(chunk);
            if (!outcome) return tl::make_unexpected(outcome.error());
            return {};
          })) {
        return status;
      }
      // The last few chunks tell the speed; the first ones meet pods that are still starting.
      chunk_ends.push_back(Steady::now());
      if (chunk_ends.size() > 5) chunk_ends.pop_front();
      const auto each = (chunk_ends.back() - chunk_ends.front()) / (chunk_ends.size() - 1);
      const auto rest = each * ((config_.job_count - done + kChunk - 1) / kChunk);
      if (Steady::now() + rest > latest && (chunk_ends.size() == 5 || Steady::now() > latest)) {
        *late = true;
        *allowance = std::chrono::ceil<seconds>(each * (config_.job_count / kChunk + 1) * 4 / 3) + seconds(3);
        return 0;
      }
      if (stop_.Wait(Duration(0))) return kStopped;
    }
    return 0;
  }

  int WriteTestConfig() {
    TestConfig values = {
        {"test_start", EpochSeconds(ToMicros(test_start_))},
        {"test_end", EpochSeconds(ToMicros(test_end_))},
        {"job_count", std::to_string(config_.job_count)},
        {"interval_ms", std::to_string(config_.interval / milliseconds(1))},
        {"duration_ms", std::to_string(config_.duration / milliseconds(1))},
        {"test_duration", std::to_string(config_.test_duration.count())},
    };
    // Only where they differ from what the table of every test says.
    if (config_.flags.burst) values["burst"] = "true";
    if (config_.flags.no_witness) values["witness"] = "false";
    const auto write = [&](WitnessStore& record) { return record.WriteConfig(values); };
    return Retry("writing stress_config", [&] { return InRecord(write); });
  }

  // --- the followers

  int WaitForSchema() {
    const auto limit = Steady::now() + kWaitForSchema;
    for (;;) {
      auto schema = scheduler_->CheckSchema();
      if (schema) return 0;
      const Error& error = schema.error();
      // An absent or older schema is about to be migrated by the leader; a newer one never fits.
      if (error.code == Code::kConflict && error.message.find("newer") != std::string::npos) {
        return Complain(2, error.message);
      }
      if (Steady::now() >= limit) return Complain(1, "no migration within 60 s: " + error.message);
      if (stop_.Wait(milliseconds(200))) return kStopped;
    }
  }

  int WaitForTest() {
    const auto limit = Steady::now() + kWaitForTest;
    while (!ReadTestEnd()) {
      if (Steady::now() >= limit) return Complain(1, "no test began within 600 s: is the leader running?");
      if (stop_.Wait(milliseconds(200))) return kStopped;
    }
    return 0;
  }

  // False while there is no test under way; an end that has passed belongs to an earlier test.
  bool ReadTestEnd() {
    if (!record_) {
      auto record = WitnessStore::Open(config_);
      if (!record) return false;
      record_ = std::move(*record);
    }
    const auto values = record_->ReadConfig();
    const auto now = values ? record_->Now() : Result<Instant>(tl::make_unexpected(values.error()));
    if (!now) {
      if (now.error().code != Code::kNotFound) record_.reset();
      return false;
    }
    const auto end = values->find("test_end");
    if (end == values->end()) return false;
    const Instant test_end = FromMicros(std::llround(std::strtod(end->second.c_str(), nullptr) * 1e6));
    if (test_end <= *now) return false;
    test_end_ = test_end;
    clock_ = {Steady::now(), *now};
    return true;
  }

  // --- both

  void RegisterBody() {
    scheduler_->HandleAsync(kTask, [this](const RunContext& run, Done done) {
      auto row = witness_ ? witness_->Begin(run) : nullptr;
      if (config_.duration == Duration(0)) {
        if (row) witness_->End(row);
        done(Status());
        return;
      }
      timer_.Add(Steady::now() + config_.duration, [this, row = std::move(row), done = std::move(done)] {
        if (row) witness_->End(row);
        done(Status());
      });
    });
  }

  int Start() {
    if (!config_.flags.no_witness) {
      auto witness = Witness::Open(config_);
      if (!witness) return Complain(2, witness.error().message);
      witness_ = std::move(*witness);
    }
    if (int status = Retry("starting", [&] { return scheduler_->Start(); })) return status;
    started_ = true;
    if (witness_) witness_->SetPodName(scheduler_->pod_name());
    if (!config_.ready_file.empty()) {
      std::ofstream file(config_.ready_file, std::ios::trunc);
      file << getpid() << '\n';
      if (!file.flush()) return Complain(2, config_.ready_file + " cannot be written");
    }
    return 0;
  }

  int RunUntilEnd() {
    auto next_look = Steady::now() + seconds(1);
    while (Steady::now() < clock_.At(test_end_)) {
      const auto left = clock_.At(test_end_) - Steady::now();
      if (stop_.Wait(std::clamp<Duration>(std::chrono::ceil<Duration>(left), Duration(0), milliseconds(200)))) {
        return kStopped;
      }
      if (Steady::now() < next_look) continue;
      next_look += seconds(1);
      if (!config_.is_leader) ReadTestEnd();  // a leader that began anew moved it
      if (config_.is_leader && terminal_) ShowProgress();
    }
    return 0;
  }

  void ShowProgress() {
    const auto counters = scheduler_->Counters();
    const auto elapsed = std::chrono::duration_cast<seconds>(clock_.Now() - test_start_).count();
    fmt::print(stderr, "\r\033[K{} s of {} s: {} executions here, {} running, {} jobs owned",
               std::max<long>(elapsed, 0), config_.test_duration.count(), counters.started, counters.running,
               counters.owned);
  }

  int Drain() {
    const auto limit = clock_.At(test_end_) + kDrain;
    while (Steady::now() < limit) {
      const auto counters = scheduler_->Counters();
      if (counters.owned == 0 && counters.running == 0 && counters.outbox == 0) {
        auto stats = scheduler_->Stats();
        if (stats && stats->jobs[JobState::kActive] == 0) break;
      }
      if (stop_.Wait(milliseconds(300))) return kStopped;
    }
    return 0;
  }

  void Leave() {
    if (scheduler_ && started_) {
      if (auto stopped = scheduler_->Stop(kGrace); !stopped) Complain(0, "stopping: " + stopped.error().message);
    }
    timer_.Stop();
    if (witness_) {
      // A container gets 10 s to stop, of which the grace may have taken 5.
      const auto lost = witness_->Stop(stop_.received() ? seconds(4) : seconds(30));
      if (lost > 0) Complain(0, fmt::format("{} rows of the witness did not reach {}", lost, StoreName(config_.store)));
    }
    if (started_ && !config_.ready_file.empty()) unlink(config_.ready_file.c_str());
    if (terminal_ && config_.is_leader) fmt::print(stderr, "\r\033[K");
  }

  const StressConfig& config_;
  StopSignal stop_;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  StoreClock clock_;
  Instant test_start_;
  Instant test_end_;
  bool started_ = false;
  std::unique_ptr<WitnessStore> record_;
  // The scheduler goes first: its threads use the other two.
  std::unique_ptr<Witness> witness_;
  BodyTimer timer_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace

int RunPod(const StressConfig& config) { return StressPod(config).Run(); }

}  // namespace escapement::stress
