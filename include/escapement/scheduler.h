// A scheduler: one pod of a cluster, and a client of its store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/audit.h"
#include "escapement/dead_letter.h"
#include "escapement/handler.h"
#include "escapement/job.h"
#include "escapement/paused.h"
#include "escapement/report.h"
#include "escapement/schedule.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct SchedulerOptions {
  // "sqlite:PATH" (processes of one machine; "sqlite:" alone: ~/.local/state/escapement/escapement.db),
  // "postgresql://user:password@host:port/database", or "memory:" (this process only).
  std::string store_url;
  // "redis://:password@host:port/0", "sqlite:PATH" (for a sqlite: store), or "memory:"; empty: the store's own, which
  // are "memory:" for postgresql://.
  std::string locks_url;
  std::string pod_name;  // empty: the next free pod_name_prefix + ordinal if a prefix is set, else the host's name
  std::string pod_name_prefix;
  std::vector<std::string> queues = {"default"};
  std::vector<std::string> labels = {};  // jobs with one of these labels are taken, beside those without a label
  int max_running = 10'000;              // runs in flight at once, asynchronous ones included
  int threads = 8;                       // of the pool for blocking handlers
  Duration session_ttl = std::chrono::seconds(5);
  Duration heartbeat = std::chrono::milliseconds(1500);
  Duration horizon = std::chrono::seconds(2);             // how far ahead of its due time a job may be claimed
  Duration commit_linger = std::chrono::milliseconds(3);  // the longest a completion waits for company
  std::size_t outbox_limit = 200'000;                     // uncommitted completions at which no more runs are started
  int history_days = 7;                                   // retention of runs
};

struct ArchiveCounts {
  std::int64_t jobs = 0;
  std::int64_t runs = 0;
  std::vector<std::string> skipped = {};  // jobs that an export left out
};

struct ExportOptions {
  bool skip_unreadable = false;  // leave out jobs that this program cannot read, with their history
};

// Thread-safe. The destructor stops the pod without grace.
class Scheduler {
 public:
  // Reads the URLs and connects. kInvalidArgument for a URL that cannot be right or a password that is
  // refused, kUnavailable for a server that does not answer. Neither changes anything.
  [[nodiscard]] static Result<std::unique_ptr<Scheduler>> Open(SchedulerOptions options);

  virtual ~Scheduler() = default;

  // --- the schema
  // Creates or upgrades the store's schema; harmless when it is up to date or another process does the same.
  [[nodiscard]] virtual Status Migrate() = 0;
  // kConflict, saying what to do, when the schema is absent, older or newer than this program needs.
  [[nodiscard]] virtual Status CheckSchema() = 0;

  // --- handlers and callbacks: register before Start
  virtual void Handle(std::string task, Handler handler) = 0;
  virtual void HandleAsync(std::string task, AsyncHandler handler) = 0;
  // Registers the task kProcessTask (process.h): commands of this machine. kConflict after Start, kUnavailable when the
  // system refuses what it needs; again it changes nothing.
  [[nodiscard]] virtual Status HandleProcesses() = 0;
  virtual void OnSuccess(std::function<void(const RunReport&)> callback) = 0;
  virtual void OnFailure(std::function<void(const RunReport&)> callback) = 0;

  // --- jobs
  // Creates or changes jobs; the same definition again changes nothing. All or none of a batch is refused. Jobs that
  // run after others must be there, or in the batch, and may not come round to them: kInvalidArgument, naming the
  // circle. Two who close one at the same moment are not found. A job whose unique key another one holds is neither
  // created nor changed: kHeld is that job's outcome, and the others of the batch have theirs.
  [[nodiscard]] virtual Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) = 0;
  // Shorthands for one job that runs `task`.
  [[nodiscard]] Result<EnqueueOutcome> Every(std::string id, const EveryOptions& every, std::string task,
                                             std::string payload = {});
  [[nodiscard]] Result<EnqueueOutcome> Cron(std::string id, const CronOptions& cron, std::string task,
                                            std::string payload = {});
  [[nodiscard]] Result<EnqueueOutcome> At(std::string id, Instant instant, std::string task, std::string payload = {});
  // kNotFound when there is no such job. A run in flight is settled first.
  [[nodiscard]] virtual Status Remove(const std::string& id) = 0;
  [[nodiscard]] virtual Status Pause(const std::string& id) = 0;
  [[nodiscard]] virtual Status Resume(const std::string& id) = 0;
  // Lets a queue rest, or everything (none), until it is resumed: see PausedQueues. Jobs are added, changed and
  // triggered as ever. A queue that rests by itself goes on resting when everything is resumed. kInvalidArgument for
  // what is no name of a queue.
  [[nodiscard]] virtual Status PauseQueue(const std::optional<std::string>& queue) = 0;
  [[nodiscard]] virtual Status ResumeQueue(const std::optional<std::string>& queue) = 0;
  [[nodiscard]] virtual Result<PausedQueues> Paused() = 0;
  // Runs the job once more, now, beside its schedule and whatever its state, with a payload of its own if one is given.
  [[nodiscard]] virtual Status Trigger(const std::string& id, std::optional<std::string> payload = {}) = 0;
  // Asks the pods that run the job now, triggered runs included, to cancel these runs; what is due there and only waits
  // is settled as cancelled without being started. kConflict when nothing of it is under way.
  [[nodiscard]] virtual Status Cancel(const std::string& id) = 0;

  // --- what failed for good
  // Letters in the order of their ids.
  [[nodiscard]] virtual Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) = 0;
  // Runs once more, now, what a dead letter is left of: the letter goes, and a triggered run of its job, as the job is
  // now but with the letter's payload, comes. kNotFound when there is no such letter, or its job is gone: the letter
  // stays then.
  [[nodiscard]] virtual Status RetryDead(std::int64_t id) = 0;
  // Gives those of the ids that were letters, which are no more.
  [[nodiscard]] virtual Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) = 0;

  // --- questions
  [[nodiscard]] virtual Result<JobInfo> Get(const std::string& id) = 0;
  // Jobs that a newer program wrote and this one cannot read are among them: see JobInfo::unreadable.
  [[nodiscard]] virtual Result<std::vector<JobInfo>> List(const JobFilter& filter) = 0;
  [[nodiscard]] virtual Result<std::vector<RunInfo>> Runs(const RunFilter& filter) = 0;
  // How far runs under way have come, as their pods told with their last heartbeat; of one job, or of all (no id). A
  // run that told nothing is not among them.
  [[nodiscard]] virtual Result<std::vector<RunProgress>> Progress(const std::string& job_id) = 0;
  [[nodiscard]] virtual Result<StoreStats> Stats() = 0;
  [[nodiscard]] virtual Result<std::vector<PodInfo>> Pods() = 0;
  // The conservation law for all jobs whose id starts with `id_prefix`, over points in [from, to).
  [[nodiscard]] virtual Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) = 0;
  // The conservation law, occurrence by occurrence, from the ledger alone; right while pods run. Trusts that no pod
  // keeps less history than this scheduler's `history_days`. kInvalidArgument for a window of which nothing can be
  // judged, kNotFound for a job that is not there, kUnsupported for one that this program cannot read. Removed jobs are
  // not judged: their schedules went with them. Reads all retained history of the jobs asked for, in pages.
  [[nodiscard]] virtual Result<LedgerAudit> AuditLedger(const AuditOptions& options) = 0;
  // The store's clock, read now.
  [[nodiscard]] virtual Result<Instant> StoreTime() = 0;

  // --- carrying jobs from store to store
  // Hands all jobs with their history to `sink` as the lines of an archive, JSON without the line's end. An error of
  // the sink ends it and is returned. While pods run, jobs move on between the pages that are read, so that a run may
  // be in the archive that its job does not know yet: pause the pods for an exact copy. kUnsupported, naming it, for a
  // job that a newer program wrote and this one cannot read.
  using LineSink = std::function<Status(std::string_view line)>;
  [[nodiscard]] virtual Result<ArchiveCounts> Export(const LineSink& sink, const ExportOptions& options) = 0;
  [[nodiscard]] Result<ArchiveCounts> Export(const LineSink& sink) { return Export(sink, {}); }
  // Adds the jobs and the history of an archive; `source` gives the next line, or none. Jobs come in batches, all or
  // none of each; an error names the line, and what stands before the batch is in the store. kInvalidArgument for what
  // is no archive, kConflict when a job is there already.
  using LineSource = std::function<Result<std::optional<std::string>>()>;
  [[nodiscard]] virtual Result<ArchiveCounts> Import(const LineSource& source) = 0;

  // --- life of the pod
  // Registers a session and runs jobs until Stop. kUnavailable when the store does not answer at once.
  [[nodiscard]] virtual Status Start() = 0;
  // Starts nothing new, gives running tasks `grace` to end, commits what ended, hands every job back.
  virtual Status Stop(Duration grace) = 0;
  virtual const std::string& pod_name() const = 0;
  // The store without secrets, for messages.
  virtual std::string store_name() const = 0;
  virtual PodCounters Counters() = 0;
};

}  // namespace escapement
