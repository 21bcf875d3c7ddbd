// The pod: a state machine without threads, sockets or clock. It is told what happened and when, and answers what to
// do. Everything that can go wrong is decided here, so everything that can go wrong can be tested in virtual time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "engine/store_clock.h"
#include "engine/timer_wheel.h"
#include "escapement/report.h"
#include "ports/executor.h"
#include "ports/job_store.h"
#include "ports/locks.h"

namespace escapement {

struct PodOptions {
  std::string name = {};
  std::string token = {};  // of this process alone: its holders of slots are named by it
  std::vector<std::string> queues = {"default"};
  Duration ttl = std::chrono::seconds(5);
  Duration heartbeat = std::chrono::milliseconds(1500);
  Duration horizon = std::chrono::seconds(2);
  Duration commit_linger = std::chrono::milliseconds(3);
  std::size_t max_running = 10'000;
  std::size_t outbox_limit = 200'000;
  std::size_t commit_batch = 2'000;                 // completions in one commit
  int claim_batch = 2'000;                          // jobs in one claim
  Duration cancel_grace = std::chrono::seconds(5);  // after a timeout's cancellation the run is given up
  std::uint64_t seed = 1;                           // of the jitter
};

// Calls on the store, and those on the lock service. One call at a time is under way on each of the four channels; each
// is answered by the event of the same name.
struct ReclaimCall {
  SessionId session = 0;
  std::int64_t beat = 0;
};
struct EndSessionCall {
  SessionId session = 0;
};
struct RecoverCall {
  SessionId session = 0;
  std::vector<std::pair<JobKey, Fence>> known;
};
struct CommitCall {
  SessionId session = 0;
  std::vector<Completion> completions;
};
struct BeginCall {
  SessionId session = 0;
  std::vector<BeginRequest> requests;
};
struct ReleaseCall {
  SessionId session = 0;
  std::vector<std::pair<JobKey, Fence>> jobs;
};
struct TakeSlotsCall {
  std::vector<SlotRequest> requests;
  Duration ttl{0};
};
struct FreeSlotsCall {
  std::vector<SlotRequest> requests;
};
using SessionChannelCall = std::variant<OpenSessionRequest, BeatRequest, ReclaimCall, EndSessionCall>;
using ClaimChannelCall = std::variant<ClaimRequest, RecoverCall>;
using CommitChannelCall = std::variant<CommitCall, BeginCall, ReleaseCall>;
using LockChannelCall = std::variant<TakeSlotsCall, FreeSlotsCall>;

// New or changed jobs; a pod came or went; jobs were handed back; slots of limits were freed.
enum class Wake { kJobs, kMembers, kReleased, kSlots };

struct Commands {
  std::optional<SessionChannelCall> session_call;
  std::optional<ClaimChannelCall> claim_call;
  std::optional<CommitChannelCall> commit_call;
  std::optional<LockChannelCall> lock_call;
  std::vector<StartRun> start;
  std::vector<RunId> cancel;
  std::vector<RunId> abandon;      // runs given up, which ignored their cancellation
  std::vector<RunReport> reports;  // for the user's callbacks
  std::vector<Wake> publish;
  std::vector<std::string> warnings;  // for the log
  BootTime sleep_until;               // step again then, or at the next event
  bool stopped = false;               // after Stop: everything is settled or handed back
};

// Not thread-safe: one thread tells it events and steps it.
class Pod {
 public:
  explicit Pod(PodOptions options);

  // --- events, with the time at which they happened
  void OnOpened(BootTime now, const Result<SessionId>& reply);
  void OnBeat(BootTime now, BootTime sent, const Result<BeatReply>& reply);
  void OnReclaimed(BootTime now, const ReclaimCall& call, const Result<ReclaimReply>& reply);
  void OnEnded(BootTime now, const Status& reply);
  void OnClaimed(BootTime now, Result<ClaimReply> reply);
  void OnRecovered(BootTime now, Result<ClaimReply> reply);
  void OnCommitted(BootTime now, const Result<CommitReply>& reply);
  void OnBegun(BootTime now, const Result<std::vector<bool>>& reply);
  void OnReleased(BootTime now, const Status& reply);
  void OnSlotsTaken(BootTime now, BootTime sent, const Result<std::vector<SlotAnswer>>& reply);
  void OnSlotsFreed(BootTime now, const Status& reply);
  void OnFinished(BootTime now, std::vector<RunFinished> finished);
  void OnWake(BootTime now, Wake wake);
  void OnStop(BootTime now, Duration grace);

  // What a heartbeat of now tells of the runs under way: the newest of what those of this session told.
  std::vector<RunProgress> ProgressOf(std::vector<RunTold> told) const;

  // What is to be done now. Call it after events and when sleep_until has come.
  Commands Step(BootTime now);

  bool live() const { return session_.has_value(); }
  BootTime deadline() const { return deadline_; }
  PodCounters Counters();
  const StoreClock& store_clock() const { return clock_; }

 private:
  enum class Phase {
    kWaiting,    // in the wheel until it is due
    kReady,      // due; waits for a place among the runs
    kQueued,     // due; its limits are to be asked for, or were refused
    kAsking,     // its limits are being asked for
    kBeginning,  // at_most_once: the started mark is on its way to the store
    kRunning,
    kLeaving,  // its last completion gives the job up
    kReleasing,
  };
  struct Held {
    ClaimedJob job;
    double rate = 0;
    Phase phase = Phase::kWaiting;
    std::uint64_t mark = 0;      // of the valid entry in the wheel or the ready queue
    std::uint64_t in_batch = 0;  // number of the commit that holds a completion of it
    RunId run = 0;
    int uncommitted = 0;            // completions that the store has not confirmed
    int uncommitted_runs = 0;       // those of them that are runs, not skips or plans
    bool waits_for_commit = false;  // due, but too far ahead of what the store has confirmed
    bool marked_here = false;       // this pod set the present occurrence's started mark, and starts it
    bool hand_back = false;         // a user changed it: give it up as soon as it does not run
  };
  // Cancelled: by a user. Slots lost: they may soon be another's.
  enum class Stop { kNone, kTimedOut, kCancelled, kReplaced, kSlotsLost };
  struct Run {
    JobKey key = 0;
    Fence fence = 0;
    Stop at_time = Stop::kTimedOut;  // what it is told when its time is over
    Stop told = Stop::kNone;
    BootTime give_up_at;  // once it was told to stop
  };
  struct Timer {
    JobKey key = 0;
    std::uint64_t mark = 0;
  };
  struct ReadyEntry {
    int priority = 0;
    Instant due;
    JobKey key = 0;
    std::uint64_t mark = 0;
    bool operator<(const ReadyEntry& o) const {  // the top is the highest priority, then the earliest
      if (priority != o.priority) return priority < o.priority;
      if (due != o.due) return due > o.due;
      return key > o.key;
    }
  };
  struct Younger {
    bool operator()(const ReadyEntry& a, const ReadyEntry& b) const { return a.due > b.due; }
  };
  // One line to the store: at most one call under way; errors delay the next.
  struct Channel {
    bool busy = false;
    std::uint64_t epoch = 0;  // of the session the call was made for
    int failures = 0;
    BootTime not_before;
  };
  // What a run's limits were granted. `until` counts from the sending of the last request that was granted, less what
  // the clocks may differ by.
  struct Grant {
    SlotRequest request;
    BootTime until;
    BootTime start_before;  // so late the run may start: while the lease is long enough, and its start counts
    BootTime renew_at;
    bool given_up = false;  // not renewed any more: its run was told to stop, or is nobody's business now
  };
  // Jobs with the same limits: while one is refused the others need not ask.
  struct Queue {
    std::priority_queue<ReadyEntry> jobs;
    int most = 1;  // that may be granted at once
    BootTime ask_at;
    Duration pause{0};
    bool for_rates = false;  // refused for rates: no freed slot helps
  };
  struct Asked {
    ReadyEntry entry;
    std::string queue;
    SlotRequest request;
  };
  struct Observed {
    std::int64_t beat = 0;
    BootTime since;
    Duration ttl{0};
  };
  enum class Life { kRunning, kDraining, kEnding, kStopped };

  // --- events' halves
  bool Answered(Channel& channel, BootTime now, const Error* error);
  void CancelRun(BootTime now, const CancelMark& mark);
  void Watch(BootTime now, BootTime sent, const BeatReply& reply);
  void Rejoin();
  void Adopt(ClaimedJob job);
  static void PutOff(const ClaimedJob& job, Instant fire_time, int attempt, Instant& due_at);
  void Drop(JobKey key);
  void Finish(BootTime now, Held& held, const Outcome& outcome);
  void Settled(BootTime now, Held& held, Settlement settlement);
  void OnAnswer(BootTime now, const Completion& completion, const CommitAnswer& answer);
  void Arm(Held& held);

  // --- Step's parts
  void ExpireTimers(BootTime now);
  void MakeReady(BootTime now, Held& held);
  bool Stands(const ReadyEntry& e) const;
  void BecomeReady(Held& held, int priority);
  static std::optional<Settlement> BeforeStart(const Held& held, Instant store_now);
  void StartReady(BootTime now, Commands* out);
  void LimitTime(BootTime now, const Held& held);
  void StopRun(BootTime now, RunId id, Run& run, Stop why);
  static std::string StopText(Stop why);
  void CheckTimeouts(BootTime now, Commands* out);
  void CallSessions(BootTime now, Commands* out);
  void CallClaims(BootTime now, Commands* out);
  void CallCommits(BootTime now, Commands* out);
  void CallLocks(BootTime now, Commands* out);
  void HandBack(Held& held);
  void HandBackPaused();

  // --- limits
  bool MayStart(BootTime now) const;
  bool IsGranted(BootTime now, JobKey key);
  BootTime UseGrant(const Held& held);
  void WaitForLimits(BootTime now, Held& held);
  SlotRequest RequestFor(const JobDefinition& job);
  void OnRenewed(BootTime now, BootTime sent, const std::vector<SlotAnswer>* answers);
  void OnAsked(BootTime now, BootTime sent, const Result<std::vector<SlotAnswer>>& reply);
  void Granted(BootTime sent, Held& held, SlotRequest request);
  bool Renew(BootTime now, Commands* out);
  bool Free(BootTime now, Commands* out);
  bool Ask(BootTime now, Commands* out);
  void CheckSlots(BootTime now);
  void StopForSlots(BootTime now, RunId id);
  void GiveUpSlots(RunId id);
  void ReturnGrant(JobKey key);
  void FreeAfter(BootTime now, const RunFinished& finished);
  void AskAgain(BootTime now);
  // What was granted upon a request of that time is this pod's until then, however the clocks differ.
  BootTime LeaseEnd(BootTime sent) const { return sent + SlotTtl() - SlotTtl() / 1'000; }
  bool SlotsQuiet() const;
  Duration SlotTtl() const { return 2 * options_.ttl; }
  // So long before its slots' lease ends a run is told to stop.
  Duration SlotMargin() const { return SlotTtl() / 5; }
  std::size_t Room() const { return options_.max_running - std::min(options_.max_running, Starting()); }
  std::size_t Starting() const { return runs_.size() + to_begin_.size() + beginning_.size(); }
  BootTime NextLockCall(BootTime now) const;

  void Send(Channel& channel) { channel.busy = true, channel.epoch = epoch_; }
  BootTime CommitDue() const;
  BootTime NextStep(BootTime now) const;
  Duration ClaimPeriod() const;
  std::vector<std::string> AwakeQueues() const;
  double FairShare() const { return pods_ == 0 ? 0 : total_rate_ / static_cast<double>(pods_); }
  bool KeepAfter(const Held& held, const Plan& next, Instant store_now);
  Duration Jittered(Duration base);

  const PodOptions options_;
  std::minstd_rand random_;
  StoreClock clock_;
  Life life_ = Life::kRunning;
  BootTime grace_until_;

  // session
  std::optional<SessionId> session_;
  std::uint64_t epoch_ = 0;  // grows with each session: answers to calls of an older one are not for us
  BootTime deadline_;
  BootTime next_beat_;
  BootTime last_contact_;
  BootTime last_beat_sent_;
  std::map<SessionId, Observed> observed_;
  std::deque<ReclaimCall> to_reclaim_;
  std::size_t pods_ = 0;
  double total_rate_ = 0;
  std::int64_t total_jobs_ = 0;
  bool others_under_share_ = false;
  PausedQueues paused_;

  // jobs
  std::unordered_map<JobKey, Held> held_;
  double rate_ = 0;
  double surplus_ = 0;  // rate to give up at the next commits
  TimerWheel<Timer> wheel_;
  std::priority_queue<ReadyEntry> ready_;
  std::priority_queue<ReadyEntry, std::vector<ReadyEntry>, Younger> ready_by_age_;  // the same entries
  std::uint64_t starts_ = 0;  // every kOldestEvery-th goes to what waits longest
  std::uint64_t claims_ = 0;  // as well
  std::size_t ready_count_ = 0;
  std::uint64_t next_mark_ = 1;
  std::unordered_map<RunId, Run> runs_;
  RunId next_run_ = 1;
  std::multimap<BootTime, RunId> timeouts_;
  std::vector<BeginRequest> to_begin_;
  std::vector<std::pair<JobKey, Fence>> to_release_;

  std::map<JobKey, Fence> unreadable_;  // claimed jobs that this program cannot read
  std::unordered_set<JobKey> warned_unreadable_;

  // claims
  BootTime next_claim_;
  bool need_recover_ = false;
  int beats_since_recover_ = 0;

  // commits
  std::deque<Completion> outbox_;
  BootTime outbox_since_;
  BootTime commit_sent_;
  std::vector<Completion> committing_;
  std::vector<BeginRequest> beginning_;
  std::vector<std::pair<JobKey, Fence>> releasing_;
  std::uint64_t batch_ = 0;
  std::size_t last_batch_size_ = 0;
  bool begun_last_ = false;  // the last call on the channel set marks: a commit comes next

  // limits
  std::uint64_t next_holder_ = 1;
  std::map<std::string, Queue> queues_;
  BootTime next_ask_ = BootTime::max();
  std::vector<Asked> asking_;
  std::vector<RunId> renewing_;
  std::unordered_map<JobKey, Grant> grants_;  // of jobs whose run is to start
  // Of tasks that may be running, whatever became of their runs and sessions.
  std::unordered_map<RunId, Grant> slots_;
  BootTime next_renewal_ = BootTime::max();
  BootTime next_slot_check_ = BootTime::max();
  std::deque<std::pair<SlotRequest, BootTime>> to_free_, freeing_;  // and until when that is of use

  Channel sessions_channel_, claims_channel_, commits_channel_, locks_channel_;
  std::vector<RunReport> reports_;
  std::vector<RunId> cancels_;
  std::vector<Wake> publish_;
  std::vector<std::string> warnings_;
  PodCounters counters_;
};

}  // namespace escapement
