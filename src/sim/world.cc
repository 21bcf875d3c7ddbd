#include "sim/world.h"

#include <set>
#include <variant>

#include <fmt/format.h>

namespace escapement::sim {
namespace {

using std::chrono::milliseconds;

constexpr Duration kQuick = milliseconds(20);  // a reply

std::string Text(const StartRun& run) {
  return fmt::format("{} {} attempt {} (fence {})", run.job->id, FormatInstant(run.fire_time), run.attempt, run.fence);
}

}  // namespace

std::string_view CallName(CallKind kind) {
  switch (kind) {
    case CallKind::kOpen: return "open";
    case CallKind::kBeat: return "beat";
    case CallKind::kReclaim: return "reclaim";
    case CallKind::kEnd: return "end";
    case CallKind::kClaim: return "claim";
    case CallKind::kRecover: return "recover";
    case CallKind::kCommit: return "commit";
    case CallKind::kBegin: return "begin";
    case CallKind::kRelease: return "release";
    case CallKind::kTakeSlots: return "taking of slots";
    case CallKind::kFreeSlots: return "freeing of slots";
  }
  return "";
}

World::World(MemoryStoreObserver* observer)
    : factory_([this] { return StoreNow(); }, observer),
      admin_(std::move(*factory_.Open())),
      locks_([this] { return BootTime(t_); }) {}

World::~World() = default;

void World::StepStoreClock(Duration by) {
  store_step_ += by;
  stepped_at_ = t_;
}

bool World::RunUntil(const std::function<bool()>& come_true, Duration end) {
  while (true) {
    if (come_true()) return true;
    if (events_.empty() || events_.begin()->first > end) return false;
    auto event = events_.extract(events_.begin());
    t_ = std::max(t_, event.key());
    event.mapped()();
  }
}

SimPod& World::Add(std::string name, PodSetup setup) {
  return *pods_.emplace_back(std::make_unique<SimPod>(*this, std::move(name), std::move(setup)));
}

void World::Tell(const SimPod* from, Wake wake) {
  if (!wakes_arrive || (from != nullptr && from->deaf)) return;
  After(milliseconds(1), [this, from, wake] {
    for (const auto& pod : pods_) {
      if (pod.get() != from && !pod->deaf) pod->Wake(wake);
    }
  });
}

// --- a pod

SimPod::SimPod(World& world, std::string name, PodSetup setup)
    : world_(world),
      setup_(std::move(setup)),
      pod_(Named(setup_.options, name, world.pods_.size())),
      store_(std::move(*world.factory_.Open())),
      name_(std::move(name)) {
  Step();
}

PodOptions SimPod::Named(PodOptions options, const std::string& name, std::size_t number) {
  options.name = name;
  options.token = fmt::format("{}#{}", name, number);
  // Not std::hash, which is each library's own: a seed must mean the same history everywhere.
  for (const char c : name) options.seed = options.seed * 31 + static_cast<unsigned char>(c);
  return options;
}

void SimPod::Kill() {
  alive_ = false;
  tasks_.clear();
  waiting_.clear();
}

void SimPod::Resume() {
  frozen_ = false;
  for (auto& event : std::exchange(inbox_, {})) event();
  if (alive_) Step();
}

void SimPod::Stop(Duration grace) {
  stopping_ = true;
  Receive([this, grace] { pod_.OnStop(Now(), grace); });
}

void SimPod::Wake(escapement::Wake wake) {
  Receive([this, wake] { pod_.OnWake(Now(), wake); });
}

void SimPod::Receive(std::function<void()> event) {
  if (!alive_) return;
  if (frozen_) {
    inbox_.push_back(std::move(event));
    return;
  }
  event();
  Step();
}

void SimPod::Whole(std::function<void()> action) {
  if (!alive_) return;
  frozen_ ? inbox_.push_back(std::move(action)) : action();
}

void SimPod::Step() {
  if (!alive_ || frozen_) return;
  Commands c = pod_.Step(Now());
  // A pod that asks to be stepped at once, and then does nothing, would burn a processor.
  const bool idle = !c.session_call && !c.claim_call && !c.commit_call && !c.lock_call && c.start.empty() &&
                    c.cancel.empty() && c.abandon.empty() && c.reports.empty() && c.publish.empty() &&
                    c.warnings.empty() && !c.stopped;
  idle_steps_ = idle && c.sleep_until <= Now() ? idle_steps_ + 1 : 0;
  if (idle_steps_ == 20) world_.on_breach(name_ + " steps without end");
  Duration sleep = c.sleep_until - Now();
  if (setup_.drift_ppm != 0) sleep = sleep - sleep * setup_.drift_ppm / 1'000'000 + Duration(1);
  if (idle_steps_ >= 20) sleep = std::max<Duration>(sleep, milliseconds(1));

  for (const auto& w : c.warnings) {
    world_.warnings.push_back(name_ + ": " + w);
    world_.Trace(name_, "warns: " + w);
  }
  for (auto& r : c.reports) world_.reports.push_back(std::move(r));
  for (StartRun& run : c.start) {
    if (stopped_) world_.on_breach(name_ + " starts a run after it stopped");
    if (lost_.contains({run.key, run.fence})) world_.on_breach(name_ + " starts what the store said is not its");
    const Duration start_delay = setup_.start_delay + world_.start_later(*this, run);
    if (start_delay.count() == 0) {
      Begin(run, told_time_);
    } else {
      waiting_.emplace(run.id, false);
      world_.After(start_delay, [this, run, told = told_time_] { Whole([this, run, told] { Begin(run, told); }); });
    }
  }
  for (const RunId id : c.cancel) Cancel(id);
  for (const RunId id : c.abandon) {
    if (world_.on_cancel) world_.on_cancel(*this, id);
  }
  if (c.session_call) std::visit([this](auto& call) { Send(call, sessions_busy_); }, *c.session_call);
  if (c.claim_call) std::visit([this](auto& call) { Send(call, claims_busy_); }, *c.claim_call);
  if (c.commit_call) std::visit([this](auto& call) { Send(call, commits_busy_); }, *c.commit_call);
  if (c.lock_call) std::visit([this](auto& call) { Send(call, locks_busy_); }, *c.lock_call);
  for (const auto wake : c.publish) world_.Tell(this, wake);
  if (c.stopped && !stopped_) world_.Trace(name_, "has stopped");
  stopped_ |= c.stopped;
  if (stopped_) return;
  world_.After(sleep, [this, wakeup = ++wakeup_] {
    if (wakeup == wakeup_) Step();
  });
}

// --- tasks

void SimPod::Begin(const StartRun& run, Duration told_time) {
  const auto waited = waiting_.extract(run.id);
  const bool cancelled = !waited.empty() && waited.mapped();
  if (Now() >= run.start_before || cancelled) {
    world_.Trace(name_, "does not start " + Text(run) +
                            (cancelled ? ": it was told to stop" : ": the time to start it has passed"));
    const RunFinished never{.id = run.id, .started = false, .started_at = Now(), .finished_at = Now(), .error = {}};
    world_.After(Duration(0), [this, never] { Receive([this, never] { pod_.OnFinished(Now(), {never}); }); });
    return;
  }
  CheckNotEarly(run, told_time);
  world_.Trace(name_, "starts " + Text(run));
  if (world_.on_start) world_.on_start(*this, run);
  world_.starts.push_back({world_.t_, name_, run.job->id, run.fire_time, run.attempt, run.id, run.fence});
  const Task task = world_.task(world_.starts.back());
  if (!tasks_.emplace(run.id, Running{task, Now()}).second) world_.on_breach(name_ + " starts one run twice");
  most_running_ = std::max(most_running_, tasks_.size());
  if (task.hangs) return;
  world_.After(task.duration, [this, id = run.id] { Whole([this, id] { End(id, std::nullopt); }); });
}

void SimPod::CheckNotEarly(const StartRun& run, Duration told_time) {
  // What ran once may run again, whatever a clock that was set back shows.
  if (!world_.begun_.emplace(run.job->id, run.fire_time).second) return;
  // A reply proves a step of the store's clock only as far as it exceeds the time the reply may have been under way.
  if (world_.stepped_at_ && told_time <= *world_.stepped_at_) return;
  const Duration early = run.fire_time - world_.StoreNow();
  if (early > (world_.stepped_at_ ? kQuick : Duration(0))) {
    world_.on_breach(fmt::format("{} starts {} early, by {} us", name_, Text(run), early.count()));
  }
}

void SimPod::Cancel(RunId id) {
  world_.cancelled.emplace_back(name_, id);
  if (const auto waiting = waiting_.find(id); waiting != waiting_.end()) waiting->second = true;
  if (world_.on_cancel) world_.on_cancel(*this, id);
  const auto it = tasks_.find(id);
  if (it == tasks_.end() || it->second.task.ignores_cancel) return;
  world_.After(milliseconds(1), [this, id] { Whole([this, id] { End(id, Verdict::kCancelled); }); });
}

void SimPod::End(RunId id, std::optional<Verdict> verdict) {
  const auto it = tasks_.find(id);
  if (it == tasks_.end()) return;
  const RunFinished finished{.id = id,
                             .started = true,
                             .started_at = it->second.since,
                             .finished_at = Now(),
                             .verdict = verdict.value_or(it->second.task.verdict),
                             .error = it->second.task.error};
  tasks_.erase(it);
  if (world_.on_end) world_.on_end(*this, id);
  Receive([this, finished] { pod_.OnFinished(Now(), {finished}); });
}

// --- calls

template <typename Reply>
void SimPod::Carry(Call call, bool& busy, std::function<Reply()> at_store, std::function<void(Reply)> answer) {
  if (std::exchange(busy, true)) world_.on_breach(name_ + " makes two calls at once on one channel");
  const CallKind kind = call.kind;
  call.at = world_.t_;
  call.pod = name_;
  const Fate fate = world_.fate(*this, call.kind);
  if (world_.on_trace && fate.kind != Fate::Kind::kDone) {
    static constexpr const char* kWhat[] = {"done", "is refused", "is done, and its reply lost", "is lost",
                                            "is done late"};
    world_.Trace(name_, fmt::format("its {} {}", CallName(call.kind), kWhat[static_cast<int>(fate.kind)]));
  }
  world_.calls.push_back(std::move(call));
  if (fate.kind == Fate::Kind::kLate) world_.After(fate.delay + fate.late, [at_store] { (void)at_store(); });
  world_.After(fate.delay / 2, [=, this, &busy, session = session_] {
    Reply reply = Fail(Code::kUnavailable, "no answer");
    const bool away = IsOnLocks(kind) ? world_.locks_down : world_.store_down || cut;
    if (fate.kind != Fate::Kind::kRefused && !away) {
      if (fate.kind == Fate::Kind::kDone || fate.kind == Fate::Kind::kReplyLost) reply = at_store();
      if (fate.kind != Fate::Kind::kDone) reply = Fail(Code::kInDoubt, "the reply was lost");
    }
    const Duration held_up = world_.hold_up(*this, kind);
    // Whatever a new session knows of the time, it learns after its opening.
    const bool quick = (kind == CallKind::kBeat || kind == CallKind::kCommit) && fate.delay + held_up <= kQuick;
    const bool tells_time = reply.has_value() && (quick || kind == CallKind::kOpen);
    world_.After(fate.delay - fate.delay / 2 + held_up, [=, this, &busy, at = world_.t_] {
      Receive([=, this, &busy] {
        busy = false;
        if (tells_time && session == session_) told_time_ = at;
        answer(reply);
      });
    });
  });
}

void SimPod::Send(const OpenSessionRequest& c, bool& busy) {
  Carry<Result<SessionId>>(
      {.kind = CallKind::kOpen}, busy, [=, this] { return store_->OpenSession(c); },
      [this](auto reply) {
        if (reply) session_ = *reply;
        pod_.OnOpened(Now(), reply);
      });
}
void SimPod::Send(const BeatRequest& c, bool& busy) {
  Carry<Result<BeatReply>>(
      {.kind = CallKind::kBeat}, busy, [=, this] { return store_->Beat(c); },
      [this, sent = Now()](auto reply) { pod_.OnBeat(Now(), sent, reply); });
}
void SimPod::Send(const ReclaimCall& c, bool& busy) {
  Carry<Result<ReclaimReply>>(
      {.kind = CallKind::kReclaim}, busy, [=, this] { return store_->Reclaim(c.session, c.beat); },
      [=, this](auto reply) { pod_.OnReclaimed(Now(), c, reply); });
}
void SimPod::Send(const EndSessionCall& c, bool& busy) {
  Carry<Status>(
      {.kind = CallKind::kEnd}, busy,
      [=, this] {
        if (world_.on_leave) world_.on_leave(c.session);
        return store_->EndSession(c.session);
      },
      [this](auto reply) { pod_.OnEnded(Now(), reply); });
}
void SimPod::Send(const ClaimRequest& c, bool& busy) {
  Carry<Result<ClaimReply>>(
      {.kind = CallKind::kClaim, .claim = c}, busy,
      [=, this] {
        auto reply = store_->Claim(c);
        for (std::size_t i = 0; world_.on_claim && reply && i < reply->jobs.size(); ++i) {
          world_.on_claim(*this, reply->jobs[i].definition->id);
        }
        return reply;
      },
      [this](auto reply) { pod_.OnClaimed(Now(), std::move(reply)); });
}
void SimPod::Send(const RecoverCall& c, bool& busy) {
  Carry<Result<ClaimReply>>(
      {.kind = CallKind::kRecover, .size = c.known.size()}, busy,
      [=, this] { return store_->Recover(c.session, c.known); },
      [this](auto reply) { pod_.OnRecovered(Now(), std::move(reply)); });
}
void SimPod::Send(const CommitCall& c, bool& busy) {
  std::set<JobKey> jobs;
  for (const Completion& completion : c.completions) {
    if (!jobs.insert(completion.key).second) world_.on_breach("two completions of one job in a commit");
  }
  if (c.completions.empty()) world_.on_breach("an empty commit");
  if (world_.on_commit) world_.on_commit(c);
  Carry<Result<CommitReply>>(
      {.kind = CallKind::kCommit, .size = c.completions.size()}, busy, [=, this] { return Commit(c); },
      [=, this](auto reply) {
        for (std::size_t i = 0; reply && i < c.completions.size(); ++i) {
          if (!reply->answers[i].kept && reply->answers[i].outcome != CommitOutcome::kRefused)
            lost_.emplace(c.completions[i].key, c.completions[i].fence);
        }
        pod_.OnCommitted(Now(), reply);
      });
}
void SimPod::Send(const BeginCall& c, bool& busy) {
  if (c.requests.empty()) world_.on_breach("an empty begin");
  if (world_.on_begin) world_.on_begin(c);
  Carry<Result<std::vector<bool>>>(
      {.kind = CallKind::kBegin, .size = c.requests.size()}, busy,
      [=, this] { return store_->Begin(c.session, c.requests); },
      [=, this](auto reply) {
        for (std::size_t i = 0; reply && i < c.requests.size(); ++i) {
          if (!(*reply)[i]) lost_.emplace(c.requests[i].key, c.requests[i].fence);
        }
        pod_.OnBegun(Now(), reply);
      });
}
void SimPod::Send(const ReleaseCall& c, bool& busy) {
  if (c.jobs.empty()) world_.on_breach("an empty release");
  if (world_.on_release) world_.on_release(c);
  Carry<Status>(
      {.kind = CallKind::kRelease, .size = c.jobs.size()}, busy,
      [=, this] { return store_->Release(c.session, c.jobs); }, [this](auto reply) { pod_.OnReleased(Now(), reply); });
}

void SimPod::Send(const TakeSlotsCall& c, bool& busy) {
  if (c.requests.empty()) world_.on_breach("an empty taking of slots");
  Carry<Result<std::vector<SlotAnswer>>>(
      {.kind = CallKind::kTakeSlots, .size = c.requests.size()}, busy,
      [=, this] { return world_.locks().TakeSlots(c.requests, c.ttl); },
      [this, sent = Now()](auto reply) { pod_.OnSlotsTaken(Now(), sent, reply); });
}
void SimPod::Send(const FreeSlotsCall& c, bool& busy) {
  if (c.requests.empty()) world_.on_breach("an empty freeing of slots");
  Carry<Status>(
      {.kind = CallKind::kFreeSlots, .size = c.requests.size()}, busy,
      [=, this] { return world_.locks().FreeSlots(c.requests); },
      [this](auto reply) { pod_.OnSlotsFreed(Now(), reply); });
}

// A commit whose data the store may refuse.
Result<CommitReply> SimPod::Commit(const CommitCall& c) {
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

}  // namespace escapement::sim
