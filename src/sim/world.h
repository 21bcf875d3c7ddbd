// A world in virtual time: real pods, the store they share, the tasks they run, and everything that can go wrong
// between them. No threads, no clock, no chance of its own: the same program gives the same history.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/pod.h"
#include "locks/memory/memory_locks.h"
#include "stores/memory/memory_store.h"

namespace escapement::sim {

inline const Instant kEpoch = FromMicros(1'800'000'000'000'000);  // the store's time at the world's time zero

enum class CallKind {
  kOpen,
  kBeat,
  kReclaim,
  kEnd,
  kClaim,
  kRecover,
  kCommit,
  kBegin,
  kRelease,
  kTakeSlots,  // this and the next: on the lock service
  kFreeSlots,
};
std::string_view CallName(CallKind kind);
inline bool IsOnLocks(CallKind kind) { return kind >= CallKind::kTakeSlots; }

// What becomes of one call on the store or the lock service. It is there at half its delay.
struct Fate {
  enum class Kind {
    kDone,
    kRefused,      // kUnavailable: nothing happened
    kReplyLost,    // it was done, and answered kInDoubt
    kRequestLost,  // nothing happened, and answered kInDoubt
    kLate,         // answered kInDoubt, and done `late` after that
  };
  Kind kind = Kind::kDone;
  Duration delay = std::chrono::milliseconds(1);
  Duration late{0};
};

// What a task does.
struct Task {
  Duration duration = std::chrono::milliseconds(10);
  Verdict verdict = Verdict::kSucceeded;
  std::string error = {};
  bool hangs = false;  // until it is cancelled
  bool ignores_cancel = false;
};

struct Started {
  Duration at{0};
  std::string pod;
  std::string job;
  Instant fire_time;
  int attempt = 1;
  RunId run = 0;
  Fence fence = 0;
};

struct Call {
  Duration at{0};  // when it was sent
  std::string pod = {};
  CallKind kind = CallKind::kOpen;
  std::size_t size = 0;  // jobs or completions
  ClaimRequest claim = {};
};

struct PodSetup {
  PodOptions options = {};
  Duration boot = std::chrono::hours(1);  // what its boot clock shows at the world's time zero
  int drift_ppm = 0;                      // how much faster than the store's its clock runs
  Duration start_delay{0};                // between the command and the start of a task
};

class SimPod;

// Not thread-safe; worlds are independent of each other.
class World {
 public:
  explicit World(MemoryStoreObserver* observer = nullptr);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // --- time
  Duration t() const { return t_; }
  Instant StoreNow() const { return kEpoch + t_ + store_step_; }
  // No pod can know of it before a quick reply tells it.
  void StepStoreClock(Duration by);
  void After(Duration delay, std::function<void()> action) {
    events_.emplace(t_ + std::max(delay, Duration(0)), std::move(action));
  }
  void RunUntil(Duration end) {
    RunUntil([] { return false; }, end);
    t_ = std::max(t_, end);
  }
  void RunFor(Duration span) { RunUntil(t_ + span); }
  // True: it came true before `end`.
  bool RunUntil(const std::function<bool()>& come_true, Duration end);

  // --- the store
  JobStore& admin() { return *admin_; }
  MemoryStoreFactory& factory() { return factory_; }

  // --- the lock service, whose clock is the world's
  MemoryLocks& locks() { return locks_; }

  // --- pods
  SimPod& Add(std::string name, PodSetup setup = {});
  // Hints, 1 ms under way.
  void Tell(const SimPod* from, Wake wake);

  // --- what happens, as its user wants it
  std::function<Fate(const SimPod&, CallKind)> fate = [](const SimPod&, CallKind) { return Fate{}; };
  // For so long an answer is held up, beyond its delay. Asked when the store has done the call.
  std::function<Duration(const SimPod&, CallKind)> hold_up = [](const SimPod&, CallKind) { return Duration(0); };
  // For so much longer than the pod's own start_delay a run waits for a thread.
  std::function<Duration(const SimPod&, const StartRun&)> start_later = [](const SimPod&, const StartRun&) {
    return Duration(0);
  };
  std::function<Task(const Started&)> task = [](const Started&) { return Task{}; };
  std::function<bool(const RunRecord&)> refuse_data = [](const RunRecord&) { return false; };
  bool store_down = false;
  bool locks_down = false;
  bool wakes_arrive = true;

  // --- what its user is told
  std::function<void(const std::string& what)> on_breach = [](const std::string&) {};  // of what pods must never do
  std::function<void(const SimPod&, const StartRun&)> on_start;                        // a task begins
  std::function<void(const SimPod&, RunId)> on_end;                                    // a task is over
  std::function<void(const SimPod&, RunId)> on_cancel;                            // it is told to stop, or given up
  std::function<void(const SimPod&, const std::string& job)> on_claim;            // the store has given it a job
  std::function<void(const BeginCall&)> on_begin;                                 // a pod asks for marks
  std::function<void(const CommitCall&)> on_commit;                               // and that its decisions be kept
  std::function<void(const ReleaseCall&)> on_release;                             // and gives jobs back
  std::function<void(SessionId)> on_leave;                                        // a pod ends its own session, now
  std::function<void(const std::string& who, const std::string& what)> on_trace;  // costs time: none by default
  void Trace(const std::string& who, const std::string& what) const {
    if (on_trace) on_trace(who, what);
  }

  // --- what happened
  std::vector<Started> starts;
  std::vector<std::pair<std::string, RunId>> cancelled;
  std::vector<Call> calls;
  std::vector<std::string> warnings;
  std::vector<RunReport> reports;

 private:
  friend class SimPod;

  Duration t_{0};
  Duration store_step_{0};
  std::optional<Duration> stepped_at_;                     // the store's clock, the last time
  std::set<std::pair<std::string, Instant>> begun_;        // occurrences that a task was started for
  std::multimap<Duration, std::function<void()>> events_;  // of one time: in the order of their making
  MemoryStoreFactory factory_;
  std::unique_ptr<JobStore> admin_;
  MemoryLocks locks_;
  std::vector<std::unique_ptr<SimPod>> pods_;
};

// A pod with what the driver is around it.
class SimPod {
 public:
  SimPod(World& world, std::string name, PodSetup setup);

  Pod& pod() { return pod_; }
  const std::string& name() const { return name_; }
  const PodOptions& options() const { return setup_.options; }
  BootTime Now() const { return BootTime(setup_.boot + world_.t_ + world_.t_ * setup_.drift_ppm / 1'000'000); }
  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  bool stopping() const { return stopping_; }
  bool frozen() const { return frozen_; }
  std::optional<SessionId> session() const { return session_; }  // the last that it was told of
  std::size_t running() const { return tasks_.size(); }
  std::size_t most_running() const { return most_running_; }

  void Kill();
  void Freeze() { frozen_ = true; }
  void Resume();
  void Stop(Duration grace);
  void Wake(escapement::Wake wake);
  bool cut = false;   // off from the store
  bool deaf = false;  // off from the lock service: wake-ups neither come nor go

 private:
  struct Running {
    Task task;
    BootTime since;
  };

  static PodOptions Named(PodOptions options, const std::string& name, std::size_t number);
  void Receive(std::function<void()> event);
  void Whole(std::function<void()> action);  // a frozen process does nothing of its own
  void Step();
  void Begin(const StartRun& run, Duration told_time);
  void Cancel(RunId id);
  void End(RunId id, std::optional<Verdict> verdict);
  template <typename Reply>
  void Carry(Call call, bool& busy, std::function<Reply()> at_store, std::function<void(Reply)> answer);
  void Send(const OpenSessionRequest& call, bool& busy);
  void Send(const BeatRequest& call, bool& busy);
  void Send(const ReclaimCall& call, bool& busy);
  void Send(const EndSessionCall& call, bool& busy);
  void Send(const ClaimRequest& call, bool& busy);
  void Send(const RecoverCall& call, bool& busy);
  void Send(const CommitCall& call, bool& busy);
  void Send(const BeginCall& call, bool& busy);
  void Send(const ReleaseCall& call, bool& busy);
  void Send(const TakeSlotsCall& call, bool& busy);
  void Send(const FreeSlotsCall& call, bool& busy);
  Result<CommitReply> Commit(const CommitCall& call);
  void CheckNotEarly(const StartRun& run, Duration told_time);

  World& world_;
  const PodSetup setup_;
  Pod pod_;
  std::unique_ptr<JobStore> store_;
  const std::string name_;
  bool alive_ = true, frozen_ = false, stopping_ = false, stopped_ = false;
  std::optional<SessionId> session_;
  bool sessions_busy_ = false, claims_busy_ = false, commits_busy_ = false, locks_busy_ = false;
  std::vector<std::function<void()>> inbox_;  // of a frozen pod
  std::map<RunId, Running> tasks_;
  std::map<RunId, bool> waiting_;  // for a thread; true: told to stop meanwhile
  std::size_t most_running_ = 0;
  std::set<std::pair<JobKey, Fence>> lost_;  // holdings that the store said are no more
  std::uint64_t wakeup_ = 0;
  int idle_steps_ = 0;
  Duration told_time_{-1};  // when the store last told it the time, in a quick reply
};

}  // namespace escapement::sim
