// A small world in virtual time: pods, the store they share, the tasks they run, and everything that can go wrong
// between them. No threads, no real clock: the same program gives the same history.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "engine/pod.h"
#include "stores/memory/memory_store.h"

namespace escapement {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline const Instant kEpoch = FromMicros(1'800'000'000'000'000);  // the store's time at the world's time zero

enum class CallKind { kOpen, kBeat, kReclaim, kEnd, kClaim, kRecover, kCommit, kBegin, kRelease };

// What becomes of one call on the store. It reaches the store at half its delay.
struct Fate {
  enum class Kind {
    kDone,
    kRefused,      // kUnavailable: nothing happened
    kReplyLost,    // it was done, and answered kInDoubt
    kRequestLost,  // nothing happened, and answered kInDoubt
  };
  Kind kind = Kind::kDone;
  Duration delay = milliseconds(1);
};

// What a task does.
struct Task {
  Duration duration = milliseconds(10);
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
};

struct Call {
  Duration at{0};  // when it was sent
  std::string pod = {};
  CallKind kind = CallKind::kOpen;
  std::size_t size = 0;  // jobs or completions
  ClaimRequest claim = {};
};

class World {
 public:
  class SimPod;
  struct PodSetup {
    PodOptions options = {};
    Duration boot = hours(1);  // what its boot clock shows at the world's time zero
    Duration start_delay{0};   // between the command and the start of a task
  };

  World() : factory_([this] { return StoreNow(); }), admin_(std::move(*factory_.Open())) { Maintain(); }

  // --- time
  Duration t() const { return t_; }
  Instant StoreNow() const { return kEpoch + t_ + store_step_; }
  // Until the next beat no pod can know of it.
  void StepStoreClock(Duration by) { store_step_ += by, unknown_until_ = t_ + milliseconds(1'510); }
  void After(Duration delay, std::function<void()> action) {
    events_.emplace(t_ + std::max(delay, Duration(0)), std::move(action));
  }
  void RunUntil(Duration end) {
    RunUntil([] { return false; }, end);
    t_ = std::max(t_, end);
  }
  void RunFor(Duration span) { RunUntil(t_ + span); }
  // True: it came true before `end`.
  bool RunUntil(const std::function<bool()>& come_true, Duration end) {
    while (true) {
      if (come_true()) return true;
      if (events_.empty() || events_.begin()->first > end) return false;
      auto event = events_.extract(events_.begin());
      t_ = std::max(t_, event.key());
      event.mapped()();
    }
  }

  // --- the store
  JobStore& admin() { return *admin_; }
  void Enqueue(const std::vector<JobDefinition>& jobs) {
    const auto outcome = admin_->Enqueue(jobs);
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_TRUE(admin_->Maintain({}));
    Tell(nullptr, Wake::kJobs);
  }
  Audit AuditUntil(Instant end, Instant from = kEpoch + seconds(1)) {
    const auto audit = admin_->AuditWindow("", from, end);
    EXPECT_TRUE(audit);
    return *audit;
  }
  std::vector<RunInfo> Runs(const std::string& id) {  // the oldest first
    auto runs = *admin_->Runs({.job_id = id, .fire_from = {}, .fire_to = {}, .limit = 1'000'000});
    std::reverse(runs.begin(), runs.end());
    return runs;
  }
  JobInfo Get(const std::string& id) {
    const auto info = admin_->Get(id);
    EXPECT_TRUE(info);
    return info ? *info
                : JobInfo{.definition = {id, *Schedule::At(kEpoch), ""},
                          .created_at = {},
                          .cursor = {},
                          .fire_time = {},
                          .owner_pod = {}};
  }
  SessionId SessionOf(const std::string& pod) {
    const auto pods = *admin_->Pods();
    const auto it = std::find_if(pods.begin(), pods.end(), [&](const PodInfo& p) { return p.name == pod; });
    return it == pods.end() ? 0 : it->session;
  }

  // --- pods
  SimPod& Add(std::string name) { return Add(std::move(name), PodSetup{}); }
  SimPod& Add(std::string name, PodSetup setup);
  // Hints, 1 ms under way.
  void Tell(const SimPod* from, Wake wake);

  // --- what happens, as the test wants it
  std::function<Fate(const SimPod&, CallKind)> fate = [](const SimPod&, CallKind) { return Fate{}; };
  std::function<Task(const Started&)> task = [](const Started&) { return Task{}; };
  std::function<bool(const RunRecord&)> refuse_data = [](const RunRecord&) { return false; };
  bool store_down = false;
  bool wakes_arrive = true;

  // --- what happened
  std::vector<Started> starts;
  std::vector<std::pair<std::string, RunId>> cancelled;
  std::vector<Call> calls;
  std::vector<std::string> warnings;
  std::vector<RunReport> reports;

  std::vector<Started> StartsOf(const std::string& job) const {
    std::vector<Started> out;
    std::copy_if(starts.begin(), starts.end(), std::back_inserter(out), [&](const Started& s) { return s.job == job; });
    return out;
  }
  std::size_t StartsBetween(Duration from, Duration to, const std::string& pod = "") const {
    return static_cast<std::size_t>(std::count_if(starts.begin(), starts.end(), [&](const Started& s) {
      return s.at >= from && s.at < to && (pod.empty() || s.pod == pod);
    }));
  }
  std::vector<Call> CallsOf(CallKind kind, const std::string& pod = "") const {
    std::vector<Call> out;
    std::copy_if(calls.begin(), calls.end(), std::back_inserter(out),
                 [&](const Call& c) { return c.kind == kind && (pod.empty() || c.pod == pod); });
    return out;
  }
  // Occurrences of which more than one attempt of the same number was started.
  std::size_t StartedTwice() const {
    std::map<std::tuple<std::string, Instant, int>, int> seen;
    for (const Started& s : starts) ++seen[{s.job, s.fire_time, s.attempt}];
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [](const auto& e) { return e.second > 1; }));
  }

 private:
  friend class SimPod;
  void Maintain() {  // what the leader does
    EXPECT_TRUE(admin_->Maintain({}));
    After(seconds(1), [this] { Maintain(); });
  }

  Duration t_{0};
  Duration store_step_{0};
  Duration unknown_until_{0};
  std::multimap<Duration, std::function<void()>> events_;  // of one time: in the order of their making
  MemoryStoreFactory factory_;
  std::unique_ptr<JobStore> admin_;
  std::vector<std::unique_ptr<SimPod>> pods_;
};

// A pod with what the driver is around it.
class World::SimPod {
 public:
  SimPod(World& world, std::string name, PodSetup setup)
      : world_(world),
        setup_(std::move(setup)),
        pod_(Named(setup_.options, name)),
        store_(std::move(*world.factory_.Open())),
        name_(std::move(name)) {
    Step();
  }

  Pod& pod() { return pod_; }
  const std::string& name() const { return name_; }
  BootTime Now() const { return BootTime(setup_.boot + world_.t_); }
  bool alive() const { return alive_; }
  bool stopped() const { return stopped_; }
  bool frozen() const { return frozen_; }
  std::size_t running() const { return tasks_.size(); }
  std::size_t most_running() const { return most_running_; }

  void Kill() {
    alive_ = false;
    tasks_.clear();
  }
  void Freeze() { frozen_ = true; }
  void Resume() {
    frozen_ = false;
    for (auto& event : std::exchange(inbox_, {})) event();
    if (alive_) Step();
  }
  void Stop(Duration grace) {
    Receive([this, grace] { pod_.OnStop(Now(), grace); });
  }
  void Wake(escapement::Wake wake) {
    Receive([this, wake] { pod_.OnWake(Now(), wake); });
  }
  bool cut = false;  // off from the store

 private:
  static PodOptions Named(PodOptions options, const std::string& name) {
    options.name = name;
    options.seed = std::hash<std::string>()(name);
    return options;
  }

  void Receive(std::function<void()> event) {
    if (!alive_) return;
    if (frozen_) {
      inbox_.push_back(std::move(event));
      return;
    }
    event();
    Step();
  }

  void Step() {
    if (!alive_ || frozen_) return;
    Commands c = pod_.Step(Now());
    // A pod that asks to be stepped at once, and then does nothing, would burn a processor.
    const bool idle = !c.session_call && !c.claim_call && !c.commit_call && c.start.empty() && c.cancel.empty() &&
                      c.reports.empty() && c.publish.empty() && c.warnings.empty() && !c.stopped;
    idle_steps_ = idle && c.sleep_until <= Now() ? idle_steps_ + 1 : 0;
    if (idle_steps_ == 20) ADD_FAILURE() << name_ << " steps without end at " << world_.t_.count() << " us";
    Duration sleep = c.sleep_until - Now();
    if (idle_steps_ >= 20) sleep = std::max<Duration>(sleep, milliseconds(1));

    for (const auto& w : c.warnings) world_.warnings.push_back(name_ + ": " + w);
    for (auto& r : c.reports) world_.reports.push_back(std::move(r));
    for (StartRun& run : c.start) {
      EXPECT_FALSE(stopped_);
      if (setup_.start_delay.count() == 0) {
        Begin(run);
      } else {
        world_.After(setup_.start_delay, [this, run] { Whole([this, run] { Begin(run); }); });
      }
    }
    for (const RunId id : c.cancel) Cancel(id);
    if (c.session_call) std::visit([this](auto& call) { Send(call, sessions_busy_); }, *c.session_call);
    if (c.claim_call) std::visit([this](auto& call) { Send(call, claims_busy_); }, *c.claim_call);
    if (c.commit_call) std::visit([this](auto& call) { Send(call, commits_busy_); }, *c.commit_call);
    for (const auto wake : c.publish) world_.Tell(this, wake);
    stopped_ |= c.stopped;
    if (stopped_) return;
    world_.After(sleep, [this, wakeup = ++wakeup_] {
      if (wakeup == wakeup_) Step();
    });
  }

  // --- tasks. A frozen process does nothing of its own.
  void Whole(std::function<void()> action) {
    if (!alive_) return;
    frozen_ ? inbox_.push_back(std::move(action)) : action();
  }

  void Begin(const StartRun& run) {
    if (Now() >= run.start_before) {
      const RunFinished never{.id = run.id, .started = false, .started_at = Now(), .finished_at = Now(), .error = {}};
      world_.After(Duration(0), [this, never] { Receive([this, never] { pod_.OnFinished(Now(), {never}); }); });
      return;
    }
    if (world_.t_ >= world_.unknown_until_) {
      EXPECT_GE(ToMicros(world_.StoreNow()), ToMicros(run.fire_time)) << run.job->id << " started early by " << name_;
    }
    world_.starts.push_back({world_.t_, name_, run.job->id, run.fire_time, run.attempt, run.id});
    const Task task = world_.task(world_.starts.back());
    EXPECT_TRUE(tasks_.emplace(run.id, std::make_pair(task, Now())).second);
    most_running_ = std::max(most_running_, tasks_.size());
    if (task.hangs) return;
    world_.After(task.duration, [this, id = run.id] { Whole([this, id] { End(id, std::nullopt); }); });
  }

  void Cancel(RunId id) {
    world_.cancelled.emplace_back(name_, id);
    const auto it = tasks_.find(id);
    if (it == tasks_.end() || it->second.first.ignores_cancel) return;
    world_.After(milliseconds(1), [this, id] { Whole([this, id] { End(id, Verdict::kCancelled); }); });
  }

  void End(RunId id, std::optional<Verdict> verdict) {
    const auto it = tasks_.find(id);
    if (it == tasks_.end()) return;
    const RunFinished finished{.id = id,
                               .started = true,
                               .started_at = it->second.second,
                               .finished_at = Now(),
                               .verdict = verdict.value_or(it->second.first.verdict),
                               .error = it->second.first.error};
    tasks_.erase(it);
    Receive([this, finished] { pod_.OnFinished(Now(), {finished}); });
  }

  // --- calls
  template <typename Reply>
  void Carry(Call call, bool& busy, std::function<Reply()> at_store, std::function<void(Reply)> answer) {
    EXPECT_FALSE(std::exchange(busy, true)) << "two calls at once on one channel";
    call.at = world_.t_;
    call.pod = name_;
    const Fate fate = world_.fate(*this, call.kind);
    world_.calls.push_back(std::move(call));
    auto reply =
        std::make_shared<Reply>(Fail(Code::kUnavailable, "the store does not answer"));  // shared: by two events
    world_.After(fate.delay / 2, [=, this] {
      if (fate.kind == Fate::Kind::kRefused || world_.store_down || cut) return;
      if (fate.kind != Fate::Kind::kRequestLost) *reply = at_store();
      if (fate.kind != Fate::Kind::kDone) *reply = Fail(Code::kInDoubt, "the reply was lost");
    });
    world_.After(fate.delay, [=, this, &busy] {
      Receive([=, &busy] {
        busy = false;
        answer(*reply);
      });
    });
  }

  void Send(const OpenSessionRequest& c, bool& busy) {
    Carry<Result<SessionId>>(
        {.kind = CallKind::kOpen}, busy, [=, this] { return store_->OpenSession(c); },
        [this, sent = Now()](auto reply) { pod_.OnOpened(Now(), sent, reply); });
  }
  void Send(const BeatRequest& c, bool& busy) {
    Carry<Result<BeatReply>>(
        {.kind = CallKind::kBeat}, busy, [=, this] { return Beat(c); },
        [this, sent = Now()](auto reply) { pod_.OnBeat(Now(), sent, reply); });
  }
  void Send(const ReclaimCall& c, bool& busy) {
    Carry<Result<ReclaimReply>>(
        {.kind = CallKind::kReclaim}, busy, [=, this] { return store_->Reclaim(c.session, c.beat); },
        [=, this](auto reply) { pod_.OnReclaimed(Now(), c, reply); });
  }
  void Send(const EndSessionCall& c, bool& busy) {
    Carry<Status>(
        {.kind = CallKind::kEnd}, busy, [=, this] { return store_->EndSession(c.session); },
        [this](auto reply) { pod_.OnEnded(Now(), reply); });
  }
  void Send(const ClaimRequest& c, bool& busy) {
    Carry<Result<ClaimReply>>(
        {.kind = CallKind::kClaim, .claim = c}, busy, [=, this] { return store_->Claim(c); },
        [this](auto reply) { pod_.OnClaimed(Now(), std::move(reply)); });
  }
  void Send(const RecoverCall& c, bool& busy) {
    Carry<Result<ClaimReply>>(
        {.kind = CallKind::kRecover, .size = c.known.size()}, busy,
        [=, this] { return store_->Recover(c.session, c.known); },
        [this](auto reply) { pod_.OnRecovered(Now(), std::move(reply)); });
  }
  void Send(const CommitCall& c, bool& busy) {
    std::set<JobKey> jobs;
    for (const Completion& completion : c.completions) {
      EXPECT_TRUE(jobs.insert(completion.key).second) << "two completions of one job in a commit";
    }
    EXPECT_FALSE(c.completions.empty());
    Carry<Result<CommitReply>>(
        {.kind = CallKind::kCommit, .size = c.completions.size()}, busy, [=, this] { return Commit(c); },
        [this](auto reply) { pod_.OnCommitted(Now(), reply); });
  }
  void Send(const BeginCall& c, bool& busy) {
    EXPECT_FALSE(c.requests.empty());
    Carry<Result<std::vector<bool>>>(
        {.kind = CallKind::kBegin, .size = c.requests.size()}, busy,
        [=, this] { return store_->Begin(c.session, c.requests); }, [this](auto reply) { pod_.OnBegun(Now(), reply); });
  }
  void Send(const ReleaseCall& c, bool& busy) {
    EXPECT_FALSE(c.jobs.empty());
    Carry<Status>(
        {.kind = CallKind::kRelease, .size = c.jobs.size()}, busy,
        [=, this] { return store_->Release(c.session, c.jobs); },
        [this](auto reply) { pod_.OnReleased(Now(), reply); });
  }

  Result<BeatReply> Beat(const BeatRequest& c) {
    auto reply = store_->Beat(c);
    if (reply && reply->total_jobs == 0) reply->total_jobs = world_.admin().Stats()->jobs[JobState::kActive];
    return reply;
  }

  // A commit whose data the store may refuse.
  Result<CommitReply> Commit(const CommitCall& c) {
    std::vector<Completion> good;
    for (const Completion& one : c.completions) {
      if (!one.run || !world_.refuse_data(*one.run)) good.push_back(one);
    }
    auto reply = store_->Commit(c.session, good);
    if (!reply) return reply;
    for (std::size_t i = 0; i < c.completions.size(); ++i) {
      const Completion& one = c.completions[i];
      if (!one.run || !world_.refuse_data(*one.run)) continue;
      reply->answers.insert(reply->answers.begin() + static_cast<std::ptrdiff_t>(i),
                            {.outcome = CommitOutcome::kRefused, .kept = false, .error = "not this text"});
    }
    return reply;
  }

  World& world_;
  const PodSetup setup_;
  Pod pod_;
  std::unique_ptr<JobStore> store_;
  const std::string name_;
  bool alive_ = true, frozen_ = false, stopped_ = false;
  bool sessions_busy_ = false, claims_busy_ = false, commits_busy_ = false;
  std::vector<std::function<void()>> inbox_;  // of a frozen pod
  std::map<RunId, std::pair<Task, BootTime>> tasks_;
  std::size_t most_running_ = 0;
  std::uint64_t wakeup_ = 0;
  int idle_steps_ = 0;
};

inline World::SimPod& World::Add(std::string name, PodSetup setup) {
  return *pods_.emplace_back(std::make_unique<SimPod>(*this, std::move(name), std::move(setup)));
}

inline void World::Tell(const SimPod* from, Wake wake) {
  if (!wakes_arrive) return;
  After(milliseconds(1), [this, from, wake] {
    for (const auto& pod : pods_) {
      if (pod.get() != from) pod->Wake(wake);
    }
  });
}

using SimPod = World::SimPod;

// A job every `interval`, on the grid of the epoch.
inline JobDefinition EveryJob(std::string id, Duration interval, Duration phase = Duration(0)) {
  return {.id = std::move(id),
          .schedule = *Schedule::Every({.interval = interval, .anchor = kEpoch, .phase = phase}),
          .task = "task"};
}
inline JobDefinition OnceJob(std::string id, Duration at) {
  return {.id = std::move(id), .schedule = *Schedule::At(kEpoch + at), .task = "task"};
}

}  // namespace escapement
