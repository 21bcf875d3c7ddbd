// The composition of the public library: URLs become a store, locks, a notifier; handlers an executor.
#include "escapement/scheduler.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include <fmt/format.h>

#include "engine/driver.h"
#include "escapement/process.h"
#include "executors/function/function_executor.h"
#include "executors/process/process_runner.h"
#include "job/archive_json.h"
#include "job/audit_ledger.h"
#include "job/errors.h"
#include "job/followers.h"
#include "job/queue_key.h"
#include "scheduler/services.h"

namespace escapement {
namespace {

constexpr int kMostPods = 10'000;  // ordinals tried for a name

Status CheckOptions(const SchedulerOptions& o) {
  const auto bad = [](const char* what) { return Fail(Code::kInvalidArgument, what); };
  if (o.max_running < 1) return bad("max_running must be at least 1");
  if (o.threads < 1) return bad("threads must be at least 1");
  if (o.queues.empty()) return bad("queues must name at least one queue");
  if (std::find(o.queues.begin(), o.queues.end(), "") != o.queues.end())
    return bad("queues must not hold an empty name");
  if (std::find(o.labels.begin(), o.labels.end(), "") != o.labels.end())
    return bad("labels must not hold an empty name");
  if (o.heartbeat < std::chrono::milliseconds(10)) return bad("heartbeat must be at least 10 ms");
  if (o.session_ttl < 2 * o.heartbeat) return bad("session_ttl must be at least two heartbeats");
  if (o.horizon < std::chrono::milliseconds(100)) return bad("horizon must be at least 100 ms");
  if (o.commit_linger < Duration(0)) return bad("commit_linger must not be negative");
  if (o.outbox_limit < 1) return bad("outbox_limit must be at least 1");
  if (o.history_days < 1) return bad("history_days must be at least 1");
  return {};
}

constexpr int kJobsPage = 1000;
constexpr int kRunsPage = 5000;

// `with_store`: runs a call with the client's store. Between the pages others may use it.
template <typename WithStore>
Result<ArchiveCounts> ExportArchive(const WithStore& with_store, const Scheduler::LineSink& sink,
                                    const ExportOptions& options) {
  ArchiveCounts counts;
  if (auto s = sink(ArchiveLine(ArchiveHeader{})); !s) return tl::unexpected(s.error());
  std::string after_job;
  for (bool more_jobs = true; more_jobs;) {
    auto jobs = with_store([&](JobStore& s) { return s.ExportJobs(after_job, kJobsPage); });
    if (!jobs) return tl::unexpected(jobs.error());
    more_jobs = static_cast<int>(jobs->size()) == kJobsPage;
    if (jobs->empty()) break;
    after_job = jobs->back().definition.id;
    std::vector<std::string> ids;
    for (ArchivedJob& job : *jobs) {
      if (!job.unreadable.empty()) {
        if (!options.skip_unreadable) return Unreadable(job.definition.id, job.unreadable);
        counts.skipped.push_back(job.definition.id);
        continue;
      }
      ids.push_back(job.definition.id);
      ++counts.jobs;
      if (auto s = sink(ArchiveLine(std::move(job))); !s) return tl::unexpected(s.error());
    }
    std::optional<RunPosition> after_run;
    for (bool more_runs = !ids.empty(); more_runs;) {
      auto runs = with_store([&](JobStore& s) { return s.ExportRuns(ids, after_run, kRunsPage); });
      if (!runs) return tl::unexpected(runs.error());
      more_runs = static_cast<int>(runs->size()) == kRunsPage;
      if (more_runs) after_run = PositionOf(runs->back());
      for (RunInfo& run : *runs) {
        ++counts.runs;
        if (auto s = sink(ArchiveLine(std::move(run))); !s) return tl::unexpected(s.error());
      }
    }
  }
  if (auto s = sink(ArchiveLine(ArchiveEnd{counts.jobs, counts.runs})); !s) return tl::unexpected(s.error());
  return counts;
}

template <typename WithStore>
Result<ArchiveCounts> ImportArchive(const WithStore& with_store, const Scheduler::LineSource& source) {
  ArchiveReader reader;
  ArchiveCounts counts;
  std::vector<ArchivedJob> jobs;
  std::vector<RunInfo> runs;
  std::int64_t first = 1;  // line of the batch
  const auto flush = [&](std::int64_t last) -> Status {
    Status status;
    if (!jobs.empty()) status = with_store([&](JobStore& s) { return s.ImportJobs(jobs); });
    if (!runs.empty()) status = with_store([&](JobStore& s) { return s.ImportRuns(runs); });
    if (!status) return FailIn(fmt::format("lines {} to {}", first, last), status.error());
    counts.jobs += static_cast<std::int64_t>(jobs.size());
    counts.runs += static_cast<std::int64_t>(runs.size());
    jobs.clear();
    runs.clear();
    first = last + 1;
    return {};
  };
  while (true) {
    auto line = source();
    if (!line) return tl::unexpected(line.error());
    if (!*line) break;
    auto item = reader.Read(**line);
    if (!item) return tl::unexpected(item.error());
    auto* job = std::get_if<ArchivedJob>(&*item);
    auto* run = std::get_if<RunInfo>(&*item);
    // A batch is of one kind: jobs are there before their runs.
    const bool full =
        jobs.size() >= kJobsPage || runs.size() >= kRunsPage || (job && !runs.empty()) || (!job && !jobs.empty());
    if (full) {
      if (auto s = flush(reader.line() - 1); !s) return tl::unexpected(s.error());
    }
    if (job) jobs.push_back(std::move(*job));
    if (run) runs.push_back(std::move(*run));
  }
  if (auto s = reader.Finish(); !s) return tl::unexpected(s.error());
  if (auto s = flush(reader.line()); !s) return tl::unexpected(s.error());
  return counts;
}

class SchedulerImpl : public Scheduler {
 public:
  SchedulerImpl(SchedulerOptions options, Services services, std::unique_ptr<JobStore> client)
      : options_(std::move(options)),
        services_(std::move(services)),
        client_(std::move(client)),
        executor_(options_.threads) {}

  ~SchedulerImpl() override {
    (void)Stop(Duration(0));
    driver_.reset();
  }

  // The next free ordinal is a lease; the pod keeps it alive as long as it lives.
  Status TakeName() {
    if (!options_.pod_name.empty()) return {};
    if (options_.pod_name_prefix.empty()) {
      char host[256] = {};
      (void)gethostname(host, sizeof host - 1);
      options_.pod_name = host;
      return {};
    }
    for (int i = 1; i <= kMostPods; ++i) {
      const std::string name = fmt::format("{}{}", options_.pod_name_prefix, i);
      auto lease = services_.locks->Acquire("pod/" + name, kNameLeaseTtl);
      if (!lease) return tl::unexpected(lease.error());
      if (!*lease) continue;
      options_.pod_name = name;
      name_lease_ = **lease;
      return {};
    }
    return Fail(Code::kConflict, "no free ordinal for a pod's name");
  }

  Status Migrate() override {
    return Locked([](JobStore& s) { return s.Migrate(); });
  }
  Status CheckSchema() override {
    return Locked([](JobStore& s) { return s.CheckSchema(); });
  }

  void Handle(std::string task, Handler handler) override { executor_.Handle(std::move(task), std::move(handler)); }
  void HandleAsync(std::string task, AsyncHandler handler) override {
    executor_.HandleAsync(std::move(task), std::move(handler));
  }
  Status HandleProcesses() override {
    const std::lock_guard lock(life_mutex_);
    if (processes_) return {};
    if (driver_) return Fail(Code::kConflict, "commands must be registered before Start");
    auto runner = ProcessRunner::Create();
    if (!runner) return tl::unexpected(runner.error());
    processes_ = std::move(*runner);
    executor_.HandleAsync(kProcessTask, processes_->Handler());
    return {};
  }
  void OnSuccess(std::function<void(const RunReport&)> callback) override { on_success_ = std::move(callback); }
  void OnFailure(std::function<void(const RunReport&)> callback) override { on_failure_ = std::move(callback); }

  Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) override {
    std::vector<JobDefinition> own = jobs;
    for (JobDefinition& job : own) job.schedule = job.schedule.ForJob(job.id);
    const auto stored = [this](const std::string& id) -> Result<std::optional<JobDefinition>> {
      auto job = Locked([&](JobStore& s) { return s.Get(id); });
      if (job) return std::optional(std::move(job->definition));
      if (job.error().code == Code::kNotFound) return std::nullopt;
      return tl::unexpected(job.error());
    };
    for (const JobDefinition& job : own) {
      if (auto valid = Validate(job); !valid) return tl::unexpected(valid.error());
    }
    if (auto checked = CheckFollowers(own, stored); !checked) return tl::unexpected(checked.error());
    auto out = Locked([&](JobStore& s) { return s.Enqueue(own); });
    if (out) Tell(Wake::kJobs);
    return out;
  }
  Status Remove(const std::string& id) override {
    return Told(Locked([&](JobStore& s) { return s.Remove(id); }));
  }
  Status Pause(const std::string& id) override {
    return Told(Locked([&](JobStore& s) { return s.Pause(id); }));
  }
  Status Resume(const std::string& id) override {
    return Told(Locked([&](JobStore& s) { return s.Resume(id); }));
  }
  Status PauseQueue(const std::optional<std::string>& queue) override {
    return Told(Locked([&](JobStore& s) { return s.PauseQueue(queue); }));
  }
  Status ResumeQueue(const std::optional<std::string>& queue) override {
    return Told(Locked([&](JobStore& s) { return s.ResumeQueue(queue); }));
  }
  Result<PausedQueues> Paused() override {
    return Locked([](JobStore& s) { return s.Paused(); });
  }
  Status Trigger(const std::string& id, std::optional<std::string> payload) override {
    return Told(Locked([&](JobStore& s) { return s.Trigger(id, payload); }));
  }
  Status Cancel(const std::string& id) override {
    return Told(Locked([&](JobStore& s) { return s.Cancel(id); }));
  }

  Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) override {
    return Locked([&](JobStore& s) { return s.DeadLetters(filter); });
  }
  Status RetryDead(std::int64_t id) override {
    return Told(Locked([&](JobStore& s) { return s.RetryDead(id); }));
  }
  Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) override {
    return Locked([&](JobStore& s) { return s.DiscardDead(ids); });
  }

  Result<JobInfo> Get(const std::string& id) override {
    return Locked([&](JobStore& s) { return s.Get(id); });
  }
  Result<std::vector<JobInfo>> List(const JobFilter& filter) override {
    return Locked([&](JobStore& s) { return s.List(filter); });
  }
  Result<std::vector<RunInfo>> Runs(const RunFilter& filter) override {
    return Locked([&](JobStore& s) { return s.Runs(filter); });
  }
  Result<std::vector<RunProgress>> Progress(const std::string& job_id) override {
    return Locked([&](JobStore& s) { return s.Progress(job_id); });
  }
  Result<StoreStats> Stats() override {
    return Locked([](JobStore& s) { return s.Stats(); });
  }
  Result<std::vector<PodInfo>> Pods() override {
    return Locked([](JobStore& s) { return s.Pods(); });
  }
  Result<Audit> AuditWindow(const std::string& prefix, Instant from, Instant to) override {
    return Locked([&](JobStore& s) { return s.AuditWindow(prefix, from, to); });
  }
  Result<LedgerAudit> AuditLedger(const AuditOptions& options) override {
    const LedgerSource source = {
        .now = [this] { return StoreTime(); },
        .jobs = [this](const std::string& after,
                       int limit) { return Locked([&](JobStore& s) { return s.ExportJobs(after, limit); }); },
        .runs = [this](const std::vector<std::string>& ids, const std::optional<RunPosition>& after,
                       int limit) { return Locked([&](JobStore& s) { return s.ExportRuns(ids, after, limit); }); },
    };
    return escapement::AuditLedger(source, options, options_.history_days);
  }
  Result<Instant> StoreTime() override {
    return Locked([](JobStore& s) { return s.Now(); });
  }

  using Scheduler::Export;
  Result<ArchiveCounts> Export(const LineSink& sink, const ExportOptions& options) override {
    return ExportArchive([this](const auto& call) { return Locked(call); }, sink, options);
  }
  Result<ArchiveCounts> Import(const LineSource& source) override {
    auto counts = ImportArchive([this](const auto& call) { return Locked(call); }, source);
    Tell(Wake::kJobs);  // after an error too: what stands before it is there
    return counts;
  }

  Status Start() override {
    const std::lock_guard lock(life_mutex_);
    if (driver_) return Fail(Code::kConflict, "this scheduler was started before");
    if (auto s = TakeName(); !s) return s;
    DriverOptions o;
    o.pod.name = options_.pod_name;
    o.pod.queues = QueueKeys(options_.queues, options_.labels);
    o.pod.ttl = options_.session_ttl;
    o.pod.heartbeat = options_.heartbeat;
    o.pod.horizon = options_.horizon;
    o.pod.commit_linger = options_.commit_linger;
    o.pod.max_running = static_cast<std::size_t>(options_.max_running);
    o.pod.outbox_limit = options_.outbox_limit;
    o.pod.seed = std::hash<std::string>()(options_.pod_name) ^ static_cast<std::uint64_t>(getpid());
    o.maintain.history_days = options_.history_days;
    o.name_lease = name_lease_;
    Driver::Parts parts{services_.store.get(), services_.locks.get(), services_.notifier.get(), &executor_, {}};
    if (on_success_ || on_failure_) {
      parts.report = [this](const RunReport& r) {
        const auto& callback = r.verdict == Verdict::kSucceeded ? on_success_ : on_failure_;
        if (callback) callback(r);
      };
    }
    auto driver = Driver::Create(std::move(o), std::move(parts));
    if (auto s = driver->Start(); !s) return s;
    driver_ = std::move(driver);
    return {};
  }

  Status Stop(Duration grace) override {
    const std::lock_guard lock(stop_mutex_);
    // Without life_mutex_: handlers and callbacks that end meanwhile may still use this object.
    Driver* const driver = Running();
    if (driver == nullptr) return {};
    Status status = driver->Stop(grace);
    stopped_ = true;
    return status;
  }

  const std::string& pod_name() const override { return options_.pod_name; }
  std::string store_name() const override { return services_.store->Name(); }

  PodCounters Counters() override {
    Driver* const driver = Running();
    return driver != nullptr ? driver->Counters() : PodCounters();
  }

 private:
  template <typename Call>
  auto Locked(Call call) -> decltype(call(std::declval<JobStore&>())) {
    const std::lock_guard lock(client_mutex_);
    return call(*client_);
  }

  void Tell(Wake wake) {
    Driver* const driver = Running();
    if (driver != nullptr && !stopped_) {
      driver->Publish(wake);
    } else {
      (void)services_.notifier->Publish(kWakeChannel, "jobs");
    }
  }

  // Once there, it lives as long as this object.
  Driver* Running() {
    const std::lock_guard lock(life_mutex_);
    return driver_.get();
  }

  Status Told(Status status) {
    if (status) Tell(Wake::kJobs);
    return status;
  }

  SchedulerOptions options_;
  Services services_;
  std::optional<Lease> name_lease_;
  std::function<void(const RunReport&)> on_success_, on_failure_;
  std::mutex client_mutex_;
  std::unique_ptr<JobStore> client_;          // guarded by client_mutex_
  std::unique_ptr<ProcessRunner> processes_;  // guarded by life_mutex_; outlives the executor, which cancels its runs
  FunctionExecutor executor_;
  std::mutex stop_mutex_;  // of two who stop it, one waits for the other
  std::atomic<bool> stopped_ = false;
  std::mutex life_mutex_;
  std::unique_ptr<Driver> driver_;  // guarded by life_mutex_; set once
};

}  // namespace

Result<std::unique_ptr<Scheduler>> Scheduler::Open(SchedulerOptions options) {
  if (auto s = CheckOptions(options); !s) return tl::unexpected(s.error());
  auto services = Connect(options.store_url, options.locks_url);
  if (!services) return tl::unexpected(services.error());
  auto client = services->store->Open();
  if (!client) return tl::unexpected(client.error());
  return std::make_unique<SchedulerImpl>(std::move(options), std::move(*services), std::move(*client));
}

Result<EnqueueOutcome> Scheduler::Every(std::string id, const EveryOptions& every, std::string task,
                                        std::string payload) {
  auto schedule = Schedule::Every(every);
  if (!schedule) return tl::unexpected(schedule.error());
  JobDefinition job{.id = std::move(id), .schedule = *schedule, .task = std::move(task), .payload = std::move(payload)};
  auto out = Enqueue({std::move(job)});
  if (!out) return tl::unexpected(out.error());
  return out->front();
}

Result<EnqueueOutcome> Scheduler::Cron(std::string id, const CronOptions& cron, std::string task, std::string payload) {
  auto schedule = Schedule::Cron(cron);
  if (!schedule) return tl::unexpected(schedule.error());
  JobDefinition job{.id = std::move(id), .schedule = *schedule, .task = std::move(task), .payload = std::move(payload)};
  auto out = Enqueue({std::move(job)});
  if (!out) return tl::unexpected(out.error());
  return out->front();
}

Result<EnqueueOutcome> Scheduler::At(std::string id, Instant instant, std::string task, std::string payload) {
  auto schedule = Schedule::At(instant);
  if (!schedule) return tl::unexpected(schedule.error());
  JobDefinition job{.id = std::move(id), .schedule = *schedule, .task = std::move(task), .payload = std::move(payload)};
  auto out = Enqueue({std::move(job)});
  if (!out) return tl::unexpected(out.error());
  return out->front();
}

}  // namespace escapement
