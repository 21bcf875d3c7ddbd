// What must hold at every step of a history, checked by arithmetic of its own: it shares no code with the pods, with
// the decisions of job/settle.h or with the store's audit.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/world.h"

namespace escapement::sim {

// The points first, first + step, ...; without a step, the first alone.
struct Grid {
  Instant first;
  Duration step{0};
  bool after_runs = false;  // each is `step` after the run before it ended: only then is it known
  bool Has(Instant t) const;
  std::optional<Instant> After(Instant t) const;         // the first point later than t
  std::int64_t Count(Instant from, Instant last) const;  // points in [from, last]
};

// A rule that was broken, named the same whatever the history.
struct Breach {
  Duration at{0};
  std::string rule;
  std::string what;
};

class Oracle final : public MemoryStoreObserver {
 public:
  using Sink = std::function<void(const std::string& rule, const std::string& what)>;
  using Trace = std::function<void(const std::string& what)>;
  explicit Oracle(Sink sink) : sink_(std::move(sink)) {}

  Trace trace;                                            // none by default
  std::function<Instant()> now;                           // the store's clock
  std::function<void(SessionId)> on_declared_dead;        // a session was ended, and not by its own pod
  std::function<bool(const SimPod&, Duration)> well;      // nothing hindered this pod for so long
  std::function<void(const std::string&)> on_gave_up;     // a job failed too often in a row, and is paused
  std::function<Duration()> time;                         // since the world's beginning
  std::function<bool(const SimPod&)> keeps_slots;         // nothing can have cost this pod's runs their slots
  std::function<bool(const SimPod&, Duration)> in_touch;  // well for so long, and the lock service there for it

  // The next definition of this job that the store is given will have this grid.
  void Expect(const std::string& id, const Grid& grid) { grids_[id] = grid; }
  // A user paused or removed the job, or changed its definition: its owner may run on for a moment.
  void Disturbed(const std::string& id);

  // A user paused the job.
  void AskedToPause(const std::string& id);
  // A user let a queue rest, or everything (no name), or go on.
  void QueueRests(const std::string& queue, bool rests);
  void AskedToTrigger(const std::string& id) { to_trigger_.insert(id); }
  // A user asked to cancel what is under way of the job.
  void AskedToCancel(const std::string& id);
  // The store's clock was set: what was late when it was decided need not be late any more.
  void ClockStepped() { clock_stepped_ = true; }

  // --- what the store did
  void OnSession(SessionId session, bool live) override;
  void OnRow(const RowView& row) override;
  void OnRun(JobKey key, SessionId session, Fence fence, const RunInfo& run) override;

  // --- what pods did
  void OnLeave(SessionId session) { left_.insert(session); }
  void OnBegin(const BeginCall& call);
  void OnCommit(const CommitCall& call);
  void OnRelease(const ReleaseCall& call);
  void OnStart(const SimPod& pod, const StartRun& run);
  void OnEnd(const SimPod& pod, RunId id);
  void OnCancel(const SimPod& pod, RunId id);
  void OnFreeze(const SimPod& pod) { frozen_since_[&pod] = time(); }
  void OnResume(const SimPod& pod);
  // What pods hold then, the lock service may give to others too, until they ask again.
  void LocksForgot();

  // In the calm: a pod attends to what it owns, unless `excused`.
  void CheckAttended(const std::function<bool(SessionId)>& excused);
  // Once all is calm: what was due before `until` is settled, whatever was removed is gone, the sums are right.
  void AtEnd(JobStore& store, Instant until, std::size_t pods);

  std::int64_t settled() const { return settled_; }
  std::int64_t skipped() const { return skipped_; }
  std::int64_t lost() const { return lost_; }

 private:
  // Job, fire time, attempt. By its key: a triggered run may have the fire time of its job's own occurrence.
  using Occurrence = std::tuple<JobKey, Instant, int>;
  struct Row {
    std::string id;
    std::vector<Grid> grids;  // of all its versions, the last reigns
    bool child = false;
    bool disturbed = false;
    bool gone = false;
    JobState state = JobState::kActive;
    Present present;
    LatePolicy late = LatePolicy::kRunOnce;
    int late_limit = 0;
    Duration threshold{0};              // of lateness
    Duration later{0};                  // than its fire time an occurrence may be meant to start
    std::optional<Duration> flex = {};  // so much later all occurrences start, if nothing else moves them
    Duration deadline{0};
    bool replaces = false, hands_on = false;
    std::vector<std::string> on_success = {}, on_failure = {}, on_end = {};
    Instant settled;               // the last settled point
    Instant changed;               // from here on the last version counts
    Instant pending;               // planned by the version before it
    std::optional<Instant> ended;  // the last settled run, by its pod's word
    Instant wished;                // when a user last wanted something else of it
    int in_spite = 0;              // runs that its owner started since
    std::pair<Instant, int> last;
    int soon = 0;  // first attempts in a row that began within the first half of the jitter
    std::int64_t settled_total = 0;
    int failures = 0;       // in a row
    int pause_after = 0;    // so many of them
    bool failed = false;    // with the change that is under way
    bool to_pause = false;  // a user asked for it
    Fence fence = 0;
    std::optional<SessionId> owner;
    Instant owned_since;
    bool limited = false;
  };
  struct Running {
    JobKey key = 0;          // 0: of no row that its pod owned
    bool stoppable = false;  // it has a timeout, a deadline or a successor that replaces it
    SessionId session = 0;
    Occurrence occurrence;
    Fence fence = 0;
    std::vector<std::string> keys = {};         // of which it has slots
    std::optional<Duration> stop_at = {};       // it was told to stop
    Duration kept_until{0};                     // its slots are surely its own, though it was
    bool excused = false;                       // its slots may be another's, and nobody can help it
    std::optional<Duration> forgotten_at = {};  // the lock service may know nothing of its slots since
  };
  struct Begun {  // an attempt that a task was started for
    SessionId session = 0;
    Fence fence = 0;
    bool cancelled = false;
    bool ended = false;
  };

  // Since when the queue has rested, if it does.
  std::optional<Instant> RestsSince(const std::string& queue) const;
  void Check(bool holds, const char* rule, const std::function<std::string()>& what) {
    if (!holds) sink_(rule, what());
  }

  void Follow(const Row& row, Verdict verdict);
  void CheckUniqueKey(const RowView& view);
  void CheckPutOff(const StartRun& run, Row* row);
  void CheckLimits(const SimPod& pod, const StartRun& run, Running* running);
  bool HoldsSlots(const SimPod& pod, const Running& run) const;
  bool IsForgotten(const SimPod& pod, const Running& run) const;

  Sink sink_;
  struct UniqueKey {  // who had it last
    std::optional<JobKey> holder;
    std::string id;
    Instant until;
  };
  std::map<std::string, UniqueKey> unique_keys_;
  std::map<JobKey, std::string> unique_key_of_;
  std::multiset<std::string> to_trigger_;                     // users asked for it
  std::multiset<std::string> to_follow_;                      // what they run after has ended
  std::multiset<std::pair<std::string, Instant>> handed_on_;  // points that are to be runs of their own
  std::map<std::string, Grid> grids_;
  std::map<JobKey, Row> rows_;
  std::map<std::string, std::set<JobKey>> keys_;  // those that are not gone
  std::set<std::string> disturbed_;
  std::set<SessionId> live_;
  std::set<SessionId> left_;                                                      // ended by their own pods
  std::set<std::tuple<SessionId, JobKey, Fence, Instant, int>> marks_, decided_;  // that were asked for
  std::set<std::tuple<SessionId, JobKey, Fence>> given_back_;
  std::set<Occurrence> to_cancel_;
  bool clock_stepped_ = false;
  std::map<std::string, Instant> resting_;  // queues, since when
  std::map<std::pair<const SimPod*, RunId>, Running> running_;
  std::map<Occurrence, std::vector<Begun>> begun_;
  std::multiset<std::tuple<std::string, Instant, int, Verdict>> dead_;  // what failed for good
  std::map<const SimPod*, Duration> frozen_since_;
  std::optional<Duration> locks_forgot_at_;
  std::map<std::string, std::vector<Duration>> starts_;  // of keys of rates
  std::int64_t settled_ = 0, skipped_ = 0, lost_ = 0;
};

}  // namespace escapement::sim
