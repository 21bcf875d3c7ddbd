// The durable truth: jobs, runs and sessions. DESIGN section 5 is the protocol behind this port.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "escapement/dead_letter.h"
#include "escapement/job.h"
#include "escapement/paused.h"
#include "escapement/status.h"
#include "escapement/time.h"
#include "job/archive.h"
#include "job/settle.h"

namespace escapement {

using SessionId = std::int64_t;

struct OpenSessionRequest {
  std::string pod;
  Duration ttl{0};  // how long observers must see its beat unchanged before they may reclaim it
};

struct SessionView {
  SessionId id = 0;
  std::string pod;
  std::int64_t beat = 0;
  Duration ttl{0};
  double rate = 0;  // points a second of the jobs it owns, as it last published
  std::int64_t owned = 0;
};

struct BeatRequest {
  SessionId session = 0;
  double rate = 0;
  std::int64_t owned = 0;
  std::vector<RunProgress> progress = {};  // of all its runs that told of any, in place of what it sent before
};

// A run that a user asked to cancel.
struct CancelMark {
  JobKey key = 0;
  Instant fire_time;
  int attempt = 1;
};

struct BeatReply {
  bool live = false;                  // false: the session was ended; it never comes back
  std::vector<SessionView> sessions;  // all live ones, this one included
  double total_rate = 0;              // points a second of all active jobs, as last counted
  std::int64_t total_jobs = 0;        // active jobs, as last counted
  std::vector<JobKey> changed;        // owned jobs that a user changed, paused or removed: hand them back
  std::vector<CancelMark> cancelled;  // owned runs that a user asked to cancel, until they are settled
  PausedQueues paused;                // hand back what waits of these
  Instant store_time;                 // stamped as late as possible
};

// A job as its owner holds it.
struct ClaimedJob {
  JobKey key = 0;
  std::shared_ptr<const JobDefinition> definition;  // shared: handed to runs and callbacks without copying
  std::string unreadable;  // why `definition` is null: a newer program wrote what this one does not know
  Fence fence = 0;
  Present present;
};

// What is due comes first, by priority and then by time; then what will be due within the horizon, by time.
struct ClaimRequest {
  SessionId session = 0;
  Duration horizon{0};  // claims jobs whose time to look is before store time + horizon
  int limit = 0;
  std::vector<std::string> queues;  // QueueKeys of what the pod takes
  bool oldest_first = false;        // what is due goes by time alone, whatever its priority
  int above = -1;                   // only jobs of a higher priority than this
};

struct ClaimReply {
  bool live = false;  // false: the session was ended and claimed nothing
  std::vector<ClaimedJob> jobs;
  Instant store_time;
};

// What became of one occurrence (or skipped stretch), and what the job's row must become.
struct Completion {
  JobKey key = 0;
  Fence fence = 0;
  Instant fire_time;             // of the occurrence, as the row has it
  int attempt = 1;               // as the row has it
  int version = 1;               // of the definition it was planned under
  std::optional<RunRecord> run;  // none: only the plan changes
  Plan next;
  bool keep = false;  // the session wants to stay the owner
  // What it ran: for its dead letter if it failed for good, and for the jobs that run after it (FollowersOf).
  std::shared_ptr<const JobDefinition> ran = {};
};

enum class CommitOutcome {
  kApplied,
  kAlreadyApplied,  // a resend: history has this run of this session
  kStale,           // another pod owns the occurrence, or the session was ended
  kRefused,         // the store cannot hold these data; `error` says why
};

struct CommitAnswer {
  CommitOutcome outcome = CommitOutcome::kStale;
  bool kept = false;  // the session still owns the job
  std::string error;
};

struct CommitReply {
  std::vector<CommitAnswer> answers;  // one for each completion, in order
  Instant store_time;
};

struct BeginRequest {
  JobKey key = 0;
  Fence fence = 0;
  Instant fire_time;
  int attempt = 1;
};

struct ReclaimReply {
  bool ended = false;            // false: it beat again meanwhile, or was ended before
  std::int64_t jobs = 0;         // handed back by this call
  std::int64_t still_owned = 0;  // rows locked by others just now: call again
};

struct MaintainOptions {
  int history_days = 7;  // days of history to keep
};

// One connection's worth of a store. Each method is one atomic transition, idempotent where it says so,
// and timed by the store's clock. An object is used by one thread at a time; several objects (and
// processes) work on one store. Errors: kUnavailable (nothing happened), kInDoubt (the reply was lost),
// kInvalidArgument, kConflict (schema), kInternal.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // --- schema and time
  virtual Status Migrate() = 0;
  virtual Status CheckSchema() = 0;
  virtual Result<Instant> Now() = 0;

  // --- sessions
  virtual Result<SessionId> OpenSession(const OpenSessionRequest& request) = 0;
  // Raises the beat of a live session.
  virtual Result<BeatReply> Beat(const BeatRequest& request) = 0;
  // Ends a session whose beat still is `beat` and makes its jobs unowned (fence + 1, lost + 1, time to look
  // unchanged). An ended session never beats, claims, begins or commits again. Settles nothing. Called for a session
  // that was ended already, it hands back the rows that were left.
  virtual Result<ReclaimReply> Reclaim(SessionId session, std::int64_t beat) = 0;
  // Ends one's own session: as Reclaim, but nothing counts as lost.
  virtual Status EndSession(SessionId session) = 0;

  // --- the hot path
  // Gives nothing of queues that rest.
  virtual Result<ClaimReply> Claim(const ClaimRequest& request) = 0;
  // What the session owns, without what is `known` under the fence it has.
  virtual Result<ClaimReply> Recover(SessionId session, const std::vector<std::pair<JobKey, Fence>>& known) = 0;
  // Marks occurrences as started, where fence, fire time and attempt are equal. Answer i: it may start. Idempotent.
  virtual Result<std::vector<bool>> Begin(SessionId session, const std::vector<BeginRequest>& requests) = 0;
  // Settles: applies to a row only where owner, fence, fire time and attempt are equal. Idempotent. At most one
  // completion of a job in a call. What failed for good leaves a dead letter, and its followers that are there are
  // triggered, in the same transition (Redis: soon after it, and once).
  virtual Result<CommitReply> Commit(SessionId session, const std::vector<Completion>& completions) = 0;
  // Hands jobs back, unsettled: their time to look stays what it was. Rows under another fence are left alone.
  virtual Status Release(SessionId session, const std::vector<std::pair<JobKey, Fence>>& jobs) = 0;

  // --- what users do
  virtual Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) = 0;
  // Triggered runs that nobody owns go with it.
  virtual Status Remove(const std::string& id) = 0;
  virtual Status Pause(const std::string& id) = 0;
  // Settles the paused stretch as one row of history.
  virtual Status Resume(const std::string& id) = 0;
  // Lets a queue rest, or everything (none). Neither settles anything. Idempotent; kInvalidArgument for what is no
  // name. A queue that rests by itself goes on resting when everything is resumed.
  virtual Status PauseQueue(const std::optional<std::string>& queue) = 0;
  virtual Status ResumeQueue(const std::optional<std::string>& queue) = 0;
  virtual Result<PausedQueues> Paused() = 0;
  // Runs the job once more, now, beside its schedule and whatever its state: a child row with the job's definition (and
  // `payload`, if given) and the present instant as its schedule. Its runs are the job's, marked as triggered; it
  // settles none of the job's points, is in no list, and ends with its settlement.
  virtual Status Trigger(const std::string& id, const std::optional<std::string>& payload) = 0;
  // Asks the owners of the job's runs under way, triggered ones included, to cancel them: rows that are owned and whose
  // time to look has come. Beat tells them. kConflict: nothing of the job is under way.
  virtual Status Cancel(const std::string& id) = 0;
  // Letters in the order of their ids.
  virtual Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) = 0;
  // The letter goes, and a triggered run of its job with its payload comes. kNotFound when there is no such letter, or
  // its job is gone: then the letter stays.
  virtual Status RetryDead(std::int64_t id) = 0;
  // Gives those of the ids that were letters, which are no more.
  virtual Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) = 0;
  // kUnsupported, naming it, for a job that this program cannot read. List and ExportJobs give such a job like any
  // other, with the reason in `unreadable`, so that one bad job spoils no list.
  virtual Result<JobInfo> Get(const std::string& id) = 0;
  virtual Result<std::vector<JobInfo>> List(const JobFilter& filter) = 0;
  virtual Result<std::vector<RunInfo>> Runs(const RunFilter& filter) = 0;
  // What live sessions sent with their last beat; of one job, or of all (no id).
  virtual Result<std::vector<RunProgress>> Progress(const std::string& job_id) = 0;
  virtual Result<StoreStats> Stats() = 0;
  virtual Result<std::vector<PodInfo>> Pods() = 0;
  virtual Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) = 0;

  // --- carrying jobs from store to store
  // Jobs after `after_id` in the order of their ids; no triggered children.
  virtual Result<std::vector<ArchivedJob>> ExportJobs(const std::string& after_id, int limit) = 0;
  // History of these jobs as they are there now, triggered runs included, after a position in its order.
  virtual Result<std::vector<RunInfo>> ExportRuns(const std::vector<std::string>& job_ids,
                                                  const std::optional<RunPosition>& after, int limit) = 0;
  // All or none of a batch. kConflict, naming it, when a job is there already. What ExportJobs gives afterwards is
  // equal.
  virtual Status ImportJobs(const std::vector<ArchivedJob>& jobs) = 0;
  // Adds history to jobs that are there, changing nothing else of them. kNotFound, naming it, for an unknown job.
  virtual Status ImportRuns(const std::vector<RunInfo>& runs) = 0;

  // --- upkeep: any pod, any time; the leader does it regularly
  // Counts the total rate anew, makes the partitions of the days ahead, drops history and tombstones beyond retention.
  virtual Status Maintain(const MaintainOptions& options) = 0;
};

// Opens further connections to one store. Thread-safe.
class JobStoreFactory {
 public:
  virtual ~JobStoreFactory() = default;
  virtual Result<std::unique_ptr<JobStore>> Open() = 0;
  // The store without secrets, for messages: "postgresql://127.0.0.1:5432/postgres".
  virtual std::string Name() const = 0;
};

}  // namespace escapement
