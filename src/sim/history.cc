#include "sim/history.h"

#include <algorithm>
#include <array>
#include <functional>

#include <fmt/format.h>

namespace escapement::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kRecovery = seconds(16);  // after the calm, until all is as if nothing had happened
constexpr Duration kCalm = seconds(24);      // from the calm to the end
constexpr Duration kSlack = seconds(2);      // what is due so shortly before the end may be under way
// A job that changes hands lies open for as long as a pod at its share pauses between claims, which is up to 375 ms.
constexpr Duration kNormalLateness = milliseconds(400);
constexpr Duration kSettling = seconds(5);            // after the calm, until pods attend to what they own
constexpr Duration kTrusted = seconds(8);             // a pod that was well for so long has beaten
constexpr Duration kLongOutage = seconds(4);          // everybody notices that he could not see others beat
constexpr Duration kTime = milliseconds(2'500);       // for whoever lives to beat after an outage
constexpr Duration kGiveUp = milliseconds(900);       // a client's patience with a call
constexpr Duration kBacklog = milliseconds(400);      // answers that were held up come one after the other,
constexpr Duration kBeatBacklog = milliseconds(200);  // those to beats first
constexpr int kAfterRuns = 12;             // percent of the jobs with an interval that count it from the end of a run
constexpr Duration kLeased = seconds(12);  // the lease of a slot is not longer
constexpr Duration kSmallStep = milliseconds(100);
constexpr Duration kSlowestStart = milliseconds(250);
constexpr int kBeatsAlone = 50;  // a "percent" of held-up answers

// A number that depends on nothing but its arguments: leaving a part of a plan out leaves the chances of the rest
// alone.
std::uint64_t Mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(Mix(seed)) {}
  Chance& With(std::uint64_t n) { return state_ = Mix(state_ ^ n), *this; }
  Chance& With(std::string_view text) {
    for (const char c : text) With(static_cast<unsigned char>(c));
    return *this;
  }
  std::uint64_t Next() { return state_ = Mix(state_); }
  std::size_t Below(std::size_t n) { return static_cast<std::size_t>(Next() % n); }
  bool Percent(int percent) { return static_cast<int>(Next() % 100) < percent; }
  Duration UpTo(Duration longest) {
    return Duration(static_cast<std::int64_t>(Next() % static_cast<std::uint64_t>(longest.count() + 1)));
  }

 private:
  std::uint64_t state_;
};

// The points of a grid, or, without an interval, the first alone; or each so long after the run before it.
struct FirstGrid {
  Duration interval{0};
  Duration phase{0};
  bool after_runs = false;
};

Grid GridOf(const FirstGrid& g) { return {kEpoch + g.phase, g.interval, g.after_runs}; }

Schedule ScheduleOf(const FirstGrid& g) {
  if (g.after_runs) return *Schedule::Parse("delay " + FormatDuration(g.interval));
  if (g.interval.count() == 0) return *Schedule::At(kEpoch + g.phase);
  return *Schedule::Every({.interval = g.interval, .anchor = kEpoch, .phase = g.phase});
}

// What hides where chance alone seldom looks: of these a history has one, if any.
enum class Trouble {
  kNone,
  kLateBeat,       // it tells the time of before a step, after others told that of after it
  kSlowFirstBeat,  // of a new session, after a small step that none of its calls met
  kOwnerDies,      // with a job that was changed just before it was given to it
  kFailures,       // of the first job, most of the time, while its user pauses and changes it
  kLongRuns,       // longer than leases, and some stop for nobody
  kSlowStarts,     // of runs that share a narrow rate
};

// A history has limits (of keys, or of a pod's slots) or followers: limits would not keep up with what follows a job
// that gets a short interval.
bool HasLimits(std::uint64_t seed) { return Chance(seed).With("limits or followers").Percent(50); }

Trouble TroubleOf(std::uint64_t seed) {
  Chance chance = Chance(seed).With("trouble");
  if (!chance.Percent(40)) return Trouble::kNone;
  static constexpr Trouble kWithLimits[] = {Trouble::kLongRuns, Trouble::kLongRuns, Trouble::kSlowStarts};
  static constexpr Trouble kAny[] = {Trouble::kLateBeat, Trouble::kSlowFirstBeat, Trouble::kOwnerDies,
                                     Trouble::kFailures};
  return HasLimits(seed) && chance.Percent(60) ? kWithLimits[chance.Below(3)] : kAny[chance.Below(4)];
}
constexpr std::size_t kSharers = 2;  // the first jobs, of a narrow rate: more would not keep up

// The grid that a plan's definition means; of a later version: another interval, by the version.
struct Planned {
  JobDefinition definition;
  Grid grid;
};

Planned Version(const JobDefinition& original, const Grid& grid, int version, std::uint64_t seed) {
  if (version == 1) return {original, grid};
  Chance chance = Chance(seed).With(original.id).With(static_cast<std::uint64_t>(version));
  static constexpr Duration kIntervals[] = {milliseconds(250), milliseconds(700), seconds(2)};
  const Duration interval = kIntervals[chance.Below(3)];
  const Duration phase = chance.UpTo(interval - Duration(1));
  const FirstGrid changed{interval, phase, chance.Percent(kAfterRuns) && original.overlap == Overlap::kWait};
  Planned planned{original, GridOf(changed)};
  planned.definition.schedule = ScheduleOf(changed);
  planned.definition.payload = std::to_string(version);
  if (chance.Percent(50)) planned.definition.pause_after = 0;
  return planned;
}

// The grids of the first versions, which a plan's definitions do not tell: made again from the seed.
FirstGrid FirstGridOf(std::uint64_t seed, std::size_t job) {
  Chance chance = Chance(seed).With("grid").With(job);
  if (TroubleOf(seed) == Trouble::kSlowStarts && job < kSharers) return {seconds(1), chance.UpTo(milliseconds(999))};
  if (chance.Percent(15)) return {Duration(0), seconds(2) + chance.UpTo(seconds(18))};
  static constexpr Duration kIntervals[] = {milliseconds(200), milliseconds(500), seconds(1), seconds(3)};
  const Duration interval = kIntervals[chance.Below(4)];
  const Duration phase = chance.UpTo(interval - Duration(1));
  return {interval, phase, chance.Percent(kAfterRuns)};
}

// No more than what is left to do when the faults are over can be done in the time that is left.
void PlanLimits(std::uint64_t seed, std::size_t number, Duration interval, JobDefinition* job) {
  Chance chance = Chance(seed).With("limits").With(number);
  if (interval == milliseconds(200)) return;
  const int percent = TroubleOf(seed) == Trouble::kLongRuns ? 60 : 30;
  if (chance.Percent(percent)) job->limits.push_back({.key = "one", .slots = 1});
  if (chance.Percent(15)) job->limits.push_back({.key = "two", .slots = 2});
  if (chance.Percent(20)) job->rates.push_back({.key = "rate", .starts = 4, .per = milliseconds(300)});
}

// Later numbers, so that none comes round; some are not there.
void PlanFollowers(std::uint64_t seed, std::size_t number, JobDefinition* job) {
  Chance chance = Chance(seed).With("followers").With(number);
  if (chance.Percent(20)) job->on_end = {fmt::format("job{}", number + 1)};
  if (chance.Percent(20)) job->on_success = {fmt::format("job{}", number + 2)};
  if (chance.Percent(20)) job->on_failure = {fmt::format("job{}", number + 1), fmt::format("job{}", number + 3)};
}

void PlanUniqueKey(std::uint64_t seed, std::size_t number, JobDefinition* job) {
  Chance chance = Chance(seed).With("unique").With(number);
  if (!chance.Percent(20)) return;
  job->unique = "key";
  if (chance.Percent(50)) job->unique_for = chance.UpTo(seconds(5));
}

JobDefinition PlanJob(std::uint64_t seed, std::size_t number) {
  const FirstGrid grid = FirstGridOf(seed, number);
  Chance chance = Chance(seed).With("job").With(number);
  JobDefinition job{.id = fmt::format("job{}", number), .schedule = ScheduleOf(grid), .task = "task"};
  job.priority = static_cast<int>(chance.Below(11));
  static constexpr LatePolicy kLate[] = {LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll};
  job.late = kLate[chance.Below(3)];
  job.late_limit = 3;
  if (chance.Percent(30)) job.delivery = Delivery::kAtMostOnce;
  if (chance.Percent(25)) job.retry = {.max_attempts = 3, .delay = milliseconds(50)};
  if (chance.Percent(25)) job.timeout = milliseconds(300);
  if (chance.Percent(10)) job.lost_limit = 1;
  if (chance.Percent(20)) job.queue = "other";
  // Of a stream of their own: a seed's jobs are otherwise what they were before there were these.
  Chance more = Chance(seed).With("policies").With(number);
  if (more.Percent(15)) job.jitter = more.UpTo(milliseconds(100));
  if (more.Percent(15)) job.flex = more.UpTo(milliseconds(100));
  if (more.Percent(15)) job.deadline = milliseconds(250) + more.UpTo(seconds(2));
  if (more.Percent(15) && !grid.after_runs) job.overlap = Overlap::kReplace;
  if (more.Percent(15)) job.retry.jitter = 0.5;
  if (chance.Percent(20)) job.pause_after = 1 + static_cast<int>(chance.Below(2));
  if (HasLimits(seed)) {
    PlanLimits(seed, number, grid.interval, &job);
  } else if (grid.interval == Duration(0) || grid.interval >= seconds(1)) {
    PlanFollowers(seed, number, &job);
  }
  const Trouble trouble = TroubleOf(seed);
  if (trouble == Trouble::kFailures && number == 0) job.pause_after = 2, job.retry.max_attempts = 1;
  if (trouble == Trouble::kSlowStarts && number < kSharers) {
    job.limits.clear();
    job.rates = {{.key = "narrow", .starts = 1, .per = milliseconds(300)}};
  }
  const bool free = !HasLimits(seed) && job.rates.empty() && job.pause_after == 0 && !grid.after_runs;
  if (free && job.overlap == Overlap::kWait) {
    if (more.Percent(20)) job.overlap = Overlap::kAllow;
  }
  PlanUniqueKey(seed, number, &job);
  return job;
}

// What may rest: everything is the one without a name.
constexpr const char* kQueues[] = {"default", "other", ""};

// Of a job's user.
bool IsOfUser(EventKind kind) { return kind >= EventKind::kPause && kind <= EventKind::kCancelRun; }
// Its target is a job.
bool IsOfJob(EventKind kind) { return IsOfUser(kind) || kind == EventKind::kOwnerDies; }

// Those that are drawn by themselves, and not as part of a trouble: a seed's events are what they were before there
// were others.
constexpr std::size_t kDrawnKinds = static_cast<std::size_t>(EventKind::kPauseQueue) + 1;

Event PlanEvent(Chance& chance, Duration at, std::size_t pods, std::size_t jobs) {
  // Crashes, freezes and cuts are what the protocol is for.
  static constexpr EventKind kOften[] = {EventKind::kCrash, EventKind::kFreeze,     EventKind::kCut,
                                         EventKind::kStop,  EventKind::kCutReplies, EventKind::kHeldUp};
  const EventKind kind =
      chance.Percent(40) ? kOften[chance.Below(std::size(kOften))] : static_cast<EventKind>(chance.Below(kDrawnKinds));
  Event event{.kind = kind, .at = at};
  event.target = chance.Below(pods);
  switch (kind) {
    case EventKind::kCrash: event.span = chance.UpTo(seconds(8)); break;
    case EventKind::kFreeze: event.span = chance.UpTo(seconds(11)); break;
    case EventKind::kStop: event.span = chance.UpTo(seconds(1)); break;
    case EventKind::kCut:
    case EventKind::kCutRequests:
    case EventKind::kCutReplies:
    case EventKind::kDeaf: event.span = chance.UpTo(seconds(9)); break;
    case EventKind::kStoreDown:
      event.span = chance.Percent(30) ? chance.UpTo(seconds(9)) : chance.UpTo(seconds(1));
      break;
    case EventKind::kLocksDown: event.span = chance.UpTo(seconds(9)); break;
    case EventKind::kLossy:
      event.percent = static_cast<int>(chance.Below(60)), event.span = chance.UpTo(seconds(5));
      break;
    case EventKind::kSlow: event.span = chance.UpTo(milliseconds(600)); break;
    case EventKind::kHeldUp:
      event.percent = chance.Percent(50) ? 100 : 0;
      // Half of those to beats for so long that the session ends.
      event.span =
          event.percent > 0 && chance.Percent(50) ? seconds(5) + chance.UpTo(seconds(4)) : chance.UpTo(seconds(9));
      break;
    case EventKind::kClockStep: {
      const Duration most = chance.Percent(50) ? seconds(3) : kSmallStep;  // so little shows only by quick replies
      event.span = chance.UpTo(2 * most) - most;
      break;
    }
    case EventKind::kPause:
    case EventKind::kRemove: event.span = chance.UpTo(seconds(3)), event.target = chance.Below(jobs); break;
    case EventKind::kReschedule:
    case EventKind::kTrigger:
    case EventKind::kCancelRun: event.target = chance.Below(jobs); break;
    case EventKind::kPauseQueue:
      event.span = chance.UpTo(seconds(9)), event.target = chance.Below(std::size(kQueues));
      break;
    case EventKind::kJoin:
    case EventKind::kLocksForget:
    case EventKind::kSlowStarts:
    case EventKind::kOwnerDies: break;
  }
  // What a pod was just given, or a user changes at just that time, is where the protocol's mistakes hide.
  const bool of_user = IsOfUser(event.kind);
  if (event.kind == EventKind::kHeldUp && chance.Percent(70)) event.moment = Moment::kClaimed;
  if (of_user && chance.Percent(60)) {
    event.moment = chance.Percent(60) ? Moment::kClaimed : Moment::kStarted;
    event.wait = Duration(1) + chance.UpTo(event.moment == Moment::kClaimed ? milliseconds(5) : milliseconds(30));
  }
  return event;
}

class Player {
 public:
  Player(const HistoryPlan& plan, bool timeline)
      : plan_(plan),
        oracle_([this](const std::string& rule, const std::string& what) { Broken(rule, what); }),
        world_(&oracle_) {
    oracle_.now = [this] { return world_.StoreNow(); };
    oracle_.time = [this] { return world_.t(); };
    oracle_.keeps_slots = [this](const SimPod& pod) { return KeepsSlots(pod); };
    oracle_.well = [this](const SimPod& pod, Duration span) { return IsWell(pod, span, /*store_too=*/true); };
    oracle_.in_touch = [this](const SimPod& pod, Duration span) { return IsInTouch(pod, span); };
    oracle_.on_gave_up = [this](const std::string& id) { ResumeSoon(id); };
    oracle_.on_declared_dead = [this](SessionId session) { CheckDeclaredDead(session); };
    world_.on_begin = [this](const BeginCall& call) { oracle_.OnBegin(call); };
    world_.on_commit = [this](const CommitCall& call) { oracle_.OnCommit(call); };
    world_.on_release = [this](const ReleaseCall& call) { oracle_.OnRelease(call); };
    world_.on_leave = [this](SessionId session) { oracle_.OnLeave(session); };
    world_.on_breach = [this](const std::string& what) { Broken("what pods never do", what); };
    world_.on_start = [this](const SimPod& pod, const StartRun& run) {
      ++result_.counts.runs;
      oracle_.OnStart(pod, run);
      Reached(Moment::kStarted, pod, run.job->id);
      if (world_.t() >= plan_.calm + kRecovery) CheckLateness(run);
    };
    world_.on_end = [this](const SimPod& pod, RunId id) {
      world_.Trace(pod.name(), fmt::format("its task of run {} is over", id));
      oracle_.OnEnd(pod, id);
    };
    world_.on_cancel = [this](const SimPod& pod, RunId id) {
      world_.Trace(pod.name(), fmt::format("its task of run {} is told to stop", id));
      oracle_.OnCancel(pod, id);
    };
    world_.fate = [this](const SimPod& pod, CallKind kind) { return FateOf(pod, kind); };
    world_.hold_up = [this](const SimPod& pod, CallKind kind) { return HoldUp(pod, kind); };
    world_.start_later = [this](const SimPod& pod, const StartRun& run) { return StartLater(pod, run); };
    world_.on_claim = [this](const SimPod& pod, const std::string& job) { Reached(Moment::kClaimed, pod, job); };
    world_.task = [this](const Started& started) { return TaskOf(started); };
    if (timeline) {
      world_.on_trace = [this](const std::string& who, const std::string& what) { Note(who, what); };
      oracle_.trace = [this](const std::string& what) { Note("store", what); };
    }
  }

  HistoryResult Play() {
    for (std::size_t i = 0; i < plan_.pods; ++i) JoinFirst(i);
    std::vector<JobDefinition> definitions;
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) {
      versions_.push_back(1);
      if (!plan_.jobs[i]) continue;
      definitions.push_back(*plan_.jobs[i]);
      oracle_.Expect(plan_.jobs[i]->id, FirstGridFor(i));
    }
    Told(world_.admin().Enqueue(definitions).has_value());
    world_.Tell(nullptr, Wake::kJobs);
    for (const Event& event : plan_.events) {
      world_.After(event.at,
                   [this, &event] { event.moment == Moment::kNone ? Happen(event) : waiting_.push_back(&event); });
    }
    world_.After(plan_.calm, [this] { Calm(); });
    world_.RunUntil([this] { return result_.breach.has_value(); }, plan_.end);
    if (!result_.breach) {
      world_.RunUntil(plan_.end);
      AtEnd();
    }
    HistoryCounts& counts = result_.counts;
    counts.histories = 1;
    counts.settled = oracle_.settled();
    counts.skipped = oracle_.skipped();
    counts.lost = oracle_.lost();
    counts.calls = static_cast<std::int64_t>(world_.calls.size());
    counts.disturbed = static_cast<std::int64_t>(result_.disturbed.size());
    for (SimPod* pod : every_) counts.stale += static_cast<std::int64_t>(pod->pod().Counters().stale);
    for (const std::string& warning : world_.warnings)
      counts.ended += warning.find("showed no life") != std::string::npos;
    return std::move(result_);
  }

 private:
  struct Slot {
    SimPod* pod = nullptr;
    int lives = 0;
    std::vector<std::string> queues;
    Duration since{0};  // it began
    Duration cut_until{0}, requests_until{0}, replies_until{0}, frozen_until{0};
    Duration held_up_until{-kBacklog};
    bool beats_held_up = false, others_held_up = false;
    Duration late_claim{-kCalm};  // the last that is done after it was answered in doubt
    Duration deaf_until{-kLeased};
    bool unheard = false;  // while it is deaf
    Duration slow_starts_until{0};
  };

  void Broken(const std::string& rule, const std::string& what) {
    if (!result_.breach) {
      result_.breach = Breach{world_.t(), rule, what};
      world_.Trace("RULE", rule + ": " + what);
    }
  }
  void Told(bool ok) {
    if (!ok) Broken("users are served", "a user's call failed");
  }
  void Note(const std::string& who, const std::string& what) {
    result_.timeline.push_back(
        fmt::format("{:>10.3f} s  {:<8} {}", static_cast<double>(world_.t().count()) / 1e6, who, what));
  }

  Grid FirstGridFor(std::size_t job) const { return GridOf(FirstGridOf(plan_.seed, job)); }

  // --- pods
  // Every pod serves one queue or both; a pod that takes another's place serves what that one served.
  void Join(std::vector<std::string> queues = {"default", "other"}) {
    slots_.emplace_back().queues = std::move(queues);
    Start(slots_.size() - 1);
  }
  void JoinFirst(std::size_t number) {
    Chance chance = Chance(plan_.seed).With("queues").With(number);
    const bool one = number > 0 && chance.Percent(25);
    one ? Join({"default"}) : Join();
  }
  void Start(std::size_t number) {
    Slot& slot = slots_[number];
    starting_ = number;
    Chance chance = Chance(plan_.seed).With("pod").With(number).With(static_cast<std::uint64_t>(slot.lives++));
    PodSetup setup{.boot = chance.UpTo(hours(10'000))};
    setup.options.seed = plan_.seed;
    if (chance.Percent(30)) setup.start_delay = milliseconds(1);
    setup.drift_ppm = static_cast<int>(chance.Below(201)) - 100;
    setup.options.queues = slot.queues;
    if (chance.Percent(20)) setup.options.ttl = seconds(3), setup.options.heartbeat = seconds(1);
    if (chance.Percent(15) && HasLimits(plan_.seed)) setup.options.max_running = 4;
    if (chance.Percent(10)) setup.options.outbox_limit = 3;
    if (chance.Percent(10)) setup.start_delay = chance.UpTo(milliseconds(30));
    slot.since = world_.t();
    slot.pod = &world_.Add(fmt::format("pod{}", number), setup);
    every_.push_back(slot.pod);
    number_of_[slot.pod] = number;
    world_.Trace(slot.pod->name(), "begins");
  }

  // --- chance
  Fate FateOf(const SimPod& pod, CallKind kind) {
    const int n = ++call_numbers_[{&pod, kind}];
    const auto known = number_of_.find(&pod);
    const std::size_t number = known != number_of_.end() ? known->second : starting_;
    const int life = slots_[number].lives;
    const CallNumber call{fmt::format("{}.{}", pod.name(), life), kind, n};
    Chance chance = Chance(plan_.seed).With(std::get<0>(call)).With(static_cast<std::uint64_t>(kind));
    chance.With(static_cast<std::uint64_t>(n));
    Fate fate;
    if (!plan_.plain_delays) fate.delay += chance.UpTo(milliseconds(4));
    const Duration t = world_.t();
    if (t >= plan_.calm) return fate;
    if (!plan_.plain_delays && chance.Percent(2)) fate.delay += chance.UpTo(kGiveUp);
    if (t < slow_until_) fate.delay += chance.UpTo(slow_by_);
    const Slot& slot = slots_[number];
    if (IsOnLocks(kind)) {
      if (t < locks_down_until_) return {Fate::Kind::kRefused, fate.delay};
      if (t < slot.deaf_until) {
        const bool unheard = chance.Percent(50) || slot.unheard;
        return {unheard ? Fate::Kind::kRequestLost : Fate::Kind::kReplyLost, kGiveUp};
      }
    } else if (t < store_down_until_) {
      return {Fate::Kind::kRefused, fate.delay};
    } else if (t < slot.cut_until || t < slot.requests_until) {
      return {Fate::Kind::kRequestLost, kGiveUp};
    } else if (t < slot.replies_until) {
      return {Fate::Kind::kReplyLost, kGiveUp};
    }
    const int percent = t < lossy_until_ ? lossy_percent_ : plan_.lost_percent;
    const bool hit = chance.Percent(percent);
    static constexpr Fate::Kind kKinds[] = {Fate::Kind::kRefused, Fate::Kind::kReplyLost, Fate::Kind::kRequestLost,
                                            Fate::Kind::kLate};
    const Fate::Kind kind_of_loss = kKinds[chance.Below(4)];
    const Duration late = chance.UpTo(seconds(3));
    if (plan_.disturbed ? !plan_.disturbed->contains(call) : !hit) return fate;
    result_.disturbed.insert(call);
    fate.kind = kind_of_loss;
    if (kind_of_loss == Fate::Kind::kLate) fate.late = late;
    if (kind_of_loss == Fate::Kind::kLate && kind == CallKind::kClaim) slots_[number].late_claim = t;
    return fate;
  }

  Duration HoldUp(const SimPod& pod, CallKind kind) {
    const auto known = number_of_.find(&pod);
    if (known == number_of_.end()) return Duration(0);
    const Slot& slot = slots_[known->second];
    const Duration t = world_.t();
    if (t >= std::min(slot.held_up_until + kBacklog, plan_.calm) || !IsHeldUp(slot, kind)) return Duration(0);
    Chance chance = Chance(plan_.seed).With("held up").With(pod.name()).With(static_cast<std::uint64_t>(t.count()));
    return std::max(slot.held_up_until - t, Duration(0)) +
           chance.UpTo(kind == CallKind::kBeat ? kBeatBacklog : kBacklog);
  }

  // A session is opened whatever else is held up: what its predecessor is answered then meets it.
  static bool IsHeldUp(const Slot& slot, CallKind kind) {
    if (kind == CallKind::kBeat) return slot.beats_held_up;
    return slot.others_held_up && kind != CallKind::kOpen && kind != CallKind::kReclaim && kind != CallKind::kEnd;
  }

  Duration StartLater(const SimPod& pod, const StartRun& run) const {
    const auto known = number_of_.find(&pod);
    if (known == number_of_.end() || world_.t() >= slots_[known->second].slow_starts_until) return Duration(0);
    Chance chance = Chance(plan_.seed).With("slow start").With(pod.name());
    return chance.With(static_cast<std::uint64_t>(world_.t().count())).With(run.id).UpTo(kSlowestStart);
  }

  Task TaskOf(const Started& started) const {
    Task task;
    if (plan_.plain_tasks || world_.t() >= plan_.calm) return task;
    Chance chance = Chance(plan_.seed).With(started.job).With(static_cast<std::uint64_t>(ToMicros(started.fire_time)));
    chance.With(static_cast<std::uint64_t>(started.attempt));
    task.duration = chance.UpTo(milliseconds(60));
    if (chance.Percent(5)) task.duration += chance.UpTo(seconds(2));
    const bool has_slots = std::any_of(plan_.jobs.begin(), plan_.jobs.end(), [&](const auto& job) {
      return job && job->id == started.job && !job->limits.empty();
    });
    // Longer than a lease lasts: it must be renewed meanwhile.
    Chance more = Chance(plan_.seed).With("long").With(started.job);
    more.With(static_cast<std::uint64_t>(ToMicros(started.fire_time)));
    const bool long_runs = trouble_ == Trouble::kLongRuns;
    if (has_slots && more.Percent(long_runs ? 50 : 3)) {
      task.duration = long_runs ? seconds(6) + more.UpTo(seconds(10)) : seconds(5) + chance.UpTo(seconds(8));
    } else if (has_slots && long_runs) {
      task.duration = milliseconds(200) + more.UpTo(seconds(1));
    }
    if (chance.Percent(10)) task.verdict = Verdict::kFailed, task.error = "no";
    if (chance.Percent(2)) task.ignores_cancel = true;
    if (long_runs && more.Percent(30)) task.ignores_cancel = true;
    if (trouble_ == Trouble::kFailures && plan_.jobs.front() && started.job == plan_.jobs.front()->id) {
      task.duration = std::max<Duration>(task.duration, milliseconds(40));
      if (more.Percent(70)) task.verdict = Verdict::kFailed, task.error = "no";
    }
    return task;
  }

  // --- what goes wrong
  void Reached(Moment moment, const SimPod& pod, const std::string& job) {
    const auto begin = std::stable_partition(waiting_.begin(), waiting_.end(), [&](const Event* e) {
      return e->moment != moment || Subject(*e) != (IsOfJob(e->kind) ? job : pod.name());
    });
    const std::vector<const Event*> now(begin, waiting_.end());
    waiting_.erase(begin, waiting_.end());
    for (const Event* event : now) {
      if (event->wait.count() == 0) {  // before the answer leaves the store
        Happen(*event, &pod);
      } else {
        world_.After(event->wait, [this, event, &pod] { Happen(*event, &pod); });
      }
    }
  }

  // `reached`: the pod that got to the moment.
  void Happen(const Event& event, const SimPod* reached = nullptr) {
    if (world_.t() >= plan_.calm) return;  // it waited for too long
    ++result_.counts.events[event.kind];
    const Duration until = std::min(world_.t() + event.span, plan_.calm);
    const std::size_t number = event.kind == EventKind::kOwnerDies ? number_of_.at(reached) : event.target;
    Slot* slot = number < slots_.size() ? &slots_[number] : nullptr;
    SimPod* pod = slot != nullptr ? slot->pod : nullptr;
    const bool well = pod != nullptr && pod->alive() && !pod->stopped() && !pod->frozen();
    world_.Trace("EVENT", Text(event));
    switch (event.kind) {
      case EventKind::kCrash:
      case EventKind::kOwnerDies:
        if (pod == nullptr || !pod->alive()) break;
        pod->Kill();
        At(until, [this, number] { Start(number); });
        break;
      case EventKind::kFreeze:
        if (!well) break;
        pod->Freeze();
        slot->frozen_until = until;
        oracle_.OnFreeze(*pod);
        At(until, [this, pod] {
          oracle_.OnResume(*pod);
          pod->Resume();
        });
        break;
      case EventKind::kStop:
        if (!well) break;
        pod->Stop(event.span);
        Join(std::vector(slot->queues));
        break;
      case EventKind::kJoin: Join(); break;
      case EventKind::kCut:
        if (slot != nullptr) slot->cut_until = until;
        break;
      case EventKind::kCutRequests:
        if (slot != nullptr) slot->requests_until = until;
        break;
      case EventKind::kCutReplies:
        if (slot != nullptr) slot->replies_until = until;
        break;
      case EventKind::kHeldUp:
        if (slot == nullptr) break;
        slot->held_up_until = until;
        slot->beats_held_up = event.percent > 0, slot->others_held_up = event.percent != kBeatsAlone;
        break;
      case EventKind::kDeaf:
        if (pod == nullptr) break;
        pod->deaf = true;
        slot->deaf_until = until, slot->unheard = event.percent > 0;
        At(until, [pod] { pod->deaf = false; });
        break;
      case EventKind::kStoreDown:
        if (world_.t() >= store_down_until_) store_down_since_ = world_.t();
        store_down_until_ = until;
        break;
      case EventKind::kLocksDown:
        world_.wakes_arrive = false;
        locks_down_until_ = std::max(locks_down_until_, until);
        At(until, [this] { world_.wakes_arrive = true; });
        break;
      case EventKind::kLocksForget:
        world_.locks().Forget();
        oracle_.LocksForgot();
        locks_forgot_at_ = world_.t();
        break;
      case EventKind::kLossy: lossy_until_ = until, lossy_percent_ = event.percent; break;
      case EventKind::kSlow: slow_until_ = world_.t() + seconds(3), slow_by_ = event.span; break;
      case EventKind::kClockStep: oracle_.ClockStepped(), world_.StepStoreClock(event.span); break;
      case EventKind::kPauseQueue: RestQueue(kQueues[event.target], until); break;
      case EventKind::kSlowStarts:
        if (slot != nullptr) slot->slow_starts_until = until;
        break;
      default: AskFor(event); break;
    }
  }

  void RestQueue(const std::string& name, Duration until) {
    const std::optional<std::string> queue = name.empty() ? std::nullopt : std::optional(name);
    Told(world_.admin().PauseQueue(queue).has_value());
    oracle_.QueueRests(name, true);
    world_.Tell(nullptr, Wake::kJobs);
    Duration& rests_until = rests_until_[name];
    rests_until = std::max(rests_until, until);
    At(until, [this, name, queue] {
      if (world_.t() < rests_until_[name]) return;  // somebody paused it again meanwhile
      Told(world_.admin().ResumeQueue(queue).has_value());
      oracle_.QueueRests(name, false);
      world_.Tell(nullptr, Wake::kJobs);
    });
  }

  // What users do.
  void AskFor(const Event& event) {
    const std::size_t number = event.target;
    if (number >= plan_.jobs.size() || !plan_.jobs[number]) return;
    const std::string& id = plan_.jobs[number]->id;
    if (!world_.admin().Get(id)) return;  // removed just now
    switch (event.kind) {
      case EventKind::kPause:
        oracle_.Disturbed(id);
        oracle_.AskedToPause(id);
        Told(world_.admin().Pause(id).has_value());
        At(std::min(world_.t() + event.span, plan_.calm), [this, id] { (void)world_.admin().Resume(id); });
        break;
      case EventKind::kReschedule: Define(number); break;
      case EventKind::kRemove:
        oracle_.Disturbed(id);
        Told(world_.admin().Remove(id).has_value());
        At(std::min(world_.t() + event.span, plan_.calm), [this, number] { Define(number); });
        break;
      case EventKind::kTrigger:
        oracle_.AskedToTrigger(id);
        Told(world_.admin().Trigger(id, std::nullopt).has_value());
        break;
      case EventKind::kCancelRun:
        if (world_.admin().Cancel(id)) oracle_.AskedToCancel(id);
        break;
      default: return;
    }
    world_.Tell(nullptr, Wake::kJobs);
  }

  // Somebody looks after a job that was paused because it failed.
  void ResumeSoon(const std::string& id) {
    ++result_.counts.gave_up;
    Chance chance = Chance(plan_.seed).With("gave up").With(id).With(static_cast<std::uint64_t>(world_.t().count()));
    world_.After(Duration(1) + chance.UpTo(seconds(2)), [this, id] {
      (void)world_.admin().Resume(id);
      world_.Tell(nullptr, Wake::kJobs);
    });
  }

  void Define(std::size_t number) {
    const JobDefinition& job = *plan_.jobs[number];
    const Planned next = Version(job, FirstGridFor(number), ++versions_[number], plan_.seed);
    oracle_.Disturbed(job.id);
    oracle_.Expect(job.id, next.grid);
    Told(world_.admin().Enqueue({next.definition}).has_value());
    world_.Tell(nullptr, Wake::kJobs);
  }

  void At(Duration time, std::function<void()> action) { world_.After(time - world_.t(), std::move(action)); }

  // --- the calm
  void Calm() {
    world_.Trace("EVENT", "nothing goes wrong any more");
    for (Duration t = plan_.calm + kSettling; t < plan_.end; t += seconds(1)) At(t, [this] { CheckAttended(); });
  }

  // A claim that the store did long after it was answered in doubt is found out when the pod next asks what it owns.
  void CheckAttended() {
    oracle_.CheckAttended([this](SessionId session) {
      const Slot* slot = Of(session);
      return slot == nullptr || !IsWell(*slot->pod, kSettling, /*store_too=*/true) ||
             world_.t() - slot->late_claim < kCalm;
    });
  }

  // --- how pods are
  const Slot* Of(SessionId session) const {
    for (const Slot& slot : slots_) {
      if (slot.pod->session() == session && slot.pod->alive() && !slot.pod->stopping()) return &slot;
    }
    return nullptr;
  }

  // For so long nothing hindered it.
  bool IsWell(const SimPod& pod, Duration span, bool store_too) const {
    const auto number = number_of_.find(&pod);
    if (number == number_of_.end()) return false;
    const Slot& slot = slots_[number->second];
    if (slot.pod != &pod || !pod.alive() || pod.frozen() || pod.stopping()) return false;
    if (plan_.lost_percent > 0 && world_.t() - span < plan_.calm) return false;
    const Duration hindered = std::max({slot.since, slot.cut_until, slot.requests_until, slot.replies_until,
                                        slot.frozen_until, slot.slow_starts_until + kSlowestStart,
                                        slot.held_up_until + 2 * kBacklog, lossy_until_, slow_until_ + slow_by_});
    return world_.t() - hindered >= span && (!store_too || world_.t() - store_down_until_ >= span);
  }

  // The lock service was there for it, and forgot nothing, for as long as a lease lasts.
  bool KeepsSlots(const SimPod& pod) const {
    const auto number = number_of_.find(&pod);
    if (number == number_of_.end() || !IsWell(pod, kLeased, /*store_too=*/false)) return false;
    return world_.t() - std::max({slots_[number->second].deaf_until, locks_down_until_, locks_forgot_at_}) >= kLeased;
  }

  // As far as its leases go.
  bool IsInTouch(const SimPod& pod, Duration span) const {
    const auto number = number_of_.find(&pod);
    if (number == number_of_.end() || !IsWell(pod, span, /*store_too=*/true)) return false;
    return world_.t() - std::max(slots_[number->second].deaf_until, locks_down_until_) >= span;
  }

  // Who beats is not declared dead, and nobody is judged by a time in which nobody could beat.
  void CheckDeclaredDead(SessionId session) {
    const Slot* slot = Of(session);
    if (slot == nullptr || !IsWell(*slot->pod, kTrusted, /*store_too=*/false)) return;
    const Duration back = world_.t() - store_down_until_;
    const bool all_were_cut =
        store_down_until_ - store_down_since_ > kLongOutage && back >= Duration(0) && back < kTime;
    if (back >= kTrusted || all_were_cut) {
      Broken("who is well is not declared dead",
             fmt::format("session {} of {}, {:.3f} s after an outage", session, slot->pod->name(),
                         static_cast<double>(back.count()) / 1e6));
    }
  }

  void CheckLateness(const StartRun& run) {
    const Duration late = world_.StoreNow() - run.fire_time - run.job->jitter - run.job->flex;
    if (run.attempt > 1 || run.job->schedule.Rate() == 0) return;
    if (!run.job->limits.empty() || !run.job->rates.empty()) return;  // it waits for others
    if (late > kNormalLateness) {
      Broken("lateness is normal again",
             fmt::format("{} {} starts {} ms late", run.job->id, FormatInstant(run.fire_time), late.count() / 1000));
    }
  }

  void AtEnd() {
    std::size_t alive = 0;
    for (const Slot& slot : slots_) alive += slot.pod->alive() && !slot.pod->stopped();
    oracle_.AtEnd(world_.admin(), world_.StoreNow() - kSlack, alive);
    for (const Slot& slot : slots_) {
      if (!slot.pod->alive() || slot.pod->stopped()) continue;
      const PodCounters counters = slot.pod->pod().Counters();
      if (counters.outbox > 20) Broken("outboxes empty", fmt::format("{} holds {}", slot.pod->name(), counters.outbox));
    }
  }

  static std::string Subject(const Event& e) { return fmt::format("{}{}", IsOfJob(e.kind) ? "job" : "pod", e.target); }
  static std::string Text(const Event& e);

  const HistoryPlan& plan_;
  const Trouble trouble_ = TroubleOf(plan_.seed);
  HistoryResult result_;
  Oracle oracle_;
  World world_;
  std::vector<Slot> slots_;
  std::vector<SimPod*> every_;
  std::map<const SimPod*, std::size_t> number_of_;
  std::size_t starting_ = 0;  // the pod being made, which is not in the map yet
  std::map<std::pair<const SimPod*, CallKind>, int> call_numbers_;
  std::vector<int> versions_;
  std::vector<const Event*> waiting_;  // for their moments
  Duration store_down_since_{0}, store_down_until_{0}, lossy_until_{0}, slow_until_{0}, slow_by_{0};
  Duration locks_down_until_{-kLeased}, locks_forgot_at_{-kLeased};
  int lossy_percent_ = 0;
  std::map<std::string, Duration> rests_until_;  // by queue

  friend std::vector<std::string> escapement::sim::Describe(const HistoryPlan& plan);
};

std::string Player::Text(const Event& e) {
  const double s = static_cast<double>(e.span.count()) / 1e6;
  const std::string pod = fmt::format("pod{}", e.target);
  const std::string job = fmt::format("job{}", e.target);
  switch (e.kind) {
    case EventKind::kCrash: return fmt::format("{} dies, and is started again after {:.3f} s", pod, s);
    case EventKind::kFreeze: return fmt::format("{} stands still for {:.3f} s", pod, s);
    case EventKind::kStop: return fmt::format("{} is told to stop, with {:.3f} s of grace; another pod joins", pod, s);
    case EventKind::kJoin: return "a pod joins";
    case EventKind::kCut: return fmt::format("{} is cut off from the store for {:.3f} s", pod, s);
    case EventKind::kCutRequests: return fmt::format("what {} asks of the store is lost for {:.3f} s", pod, s);
    case EventKind::kCutReplies: return fmt::format("what the store answers {} is lost for {:.3f} s", pod, s);
    case EventKind::kDeaf:
      return fmt::format("{} is cut off from the lock service for {:.3f} s{}", pod, s,
                         e.percent > 0 ? ", and not heard by it" : "");
    case EventKind::kStoreDown: return fmt::format("the store is down for {:.3f} s", s);
    case EventKind::kLocksDown: return fmt::format("the lock service is down for {:.3f} s", s);
    case EventKind::kLocksForget: return "the lock service forgets everything";
    case EventKind::kLossy: return fmt::format("{}% of the calls are lost for {:.3f} s", e.percent, s);
    case EventKind::kSlow: return fmt::format("calls take up to {:.3f} s longer for 3 s", s);
    case EventKind::kHeldUp:
      return fmt::format("what the store answers {} is held up for {:.3f} s{}", pod, s,
                         e.percent == kBeatsAlone ? ", beats alone"
                         : e.percent > 0          ? ", beats too"
                                                  : "");
    case EventKind::kClockStep: return fmt::format("the store's clock is set by {:+.3f} s", s);
    case EventKind::kPause: return fmt::format("{} is paused for {:.3f} s", job, s);
    case EventKind::kReschedule: return fmt::format("{} gets another interval", job);
    case EventKind::kRemove: return fmt::format("{} is removed, and created again after {:.3f} s", job, s);
    case EventKind::kTrigger: return fmt::format("{} is triggered", job);
    case EventKind::kCancelRun: return fmt::format("{}'s run is cancelled", job);
    case EventKind::kPauseQueue: {
      const std::string queue = kQueues[e.target];
      return fmt::format("{} is paused for {:.3f} s", queue.empty() ? "everything" : "queue " + queue, s);
    }
    case EventKind::kSlowStarts: return fmt::format("runs on {} wait for a thread for {:.3f} s", pod, s);
    case EventKind::kOwnerDies: return fmt::format("who is given {} dies, and is started again after {:.3f} s", job, s);
  }
  return "";
}

}  // namespace

std::string_view EventName(EventKind kind) {
  static constexpr std::array<std::string_view, kEventKinds> kNames = {
      "crashes",     "freezes",         "stops",       "joins",        "cuts",     "lost requests", "lost replies",
      "deaf pods",   "store down",      "locks down",  "locks forget", "lossy",    "slow",          "held-up answers",
      "clock steps", "pauses",          "reschedules", "removals",     "triggers", "cancellations", "paused queues",
      "slow starts", "deaths of owners"};
  return kNames[static_cast<std::size_t>(kind)];
}

namespace {

// Little else happens, and nobody gives those that share a narrow rate a shorter interval.
void LeaveToTrouble(HistoryPlan* plan) {
  plan->lost_percent = 0;
  plan->events.resize(std::min<std::size_t>(plan->events.size(), 2));
  std::erase_if(plan->events, [](const Event& e) { return IsOfUser(e.kind) && e.target < kSharers; });
}

void PlanTrouble(HistoryPlan* plan) {
  Chance chance = Chance(plan->seed).With("the trouble");
  std::vector<Event>& events = plan->events;
  const Trouble trouble = TroubleOf(plan->seed);
  if (trouble == Trouble::kLongRuns || trouble == Trouble::kSlowStarts) LeaveToTrouble(plan);
  Duration at = seconds(3) + chance.UpTo(seconds(1));
  const std::size_t pod = chance.Below(plan->pods), job = chance.Below(plan->jobs.size());
  static constexpr EventKind kCostSlots[] = {EventKind::kDeaf, EventKind::kLocksForget, EventKind::kCut};
  const EventKind cost_slots = kCostSlots[chance.Below(std::size(kCostSlots))];
  switch (trouble) {
    case Trouble::kNone: return;
    case Trouble::kLateBeat:
      for (int i = 0; i < 2; ++i, at += seconds(5)) {
        const Duration span = seconds(1) + chance.UpTo(seconds(2));
        events.push_back({.kind = EventKind::kHeldUp, .at = at, .span = span, .target = pod, .percent = kBeatsAlone});
        const Duration step = milliseconds(200) + chance.UpTo(seconds(3));
        events.push_back({.kind = EventKind::kClockStep, .at = at + chance.UpTo(span), .span = -step});
      }
      break;
    case Trouble::kSlowFirstBeat: {
      // A reply tells of a step that is longer than the way of its request.
      const Duration span = seconds(8) + chance.UpTo(milliseconds(1'500));
      const Duration step = milliseconds(40) + chance.UpTo(milliseconds(50));
      events.push_back({.kind = EventKind::kHeldUp, .at = at, .span = span, .target = pod, .percent = 100});
      events.push_back({.kind = EventKind::kClockStep, .at = at + chance.UpTo(span), .span = -step});
      events.push_back({.kind = EventKind::kSlow, .at = at + span, .span = milliseconds(600)});
      break;
    }
    case Trouble::kOwnerDies:
      for (int i = 0; i < 3; ++i, at += seconds(2) + chance.UpTo(seconds(2))) {
        const Duration wait = Duration(1) + chance.UpTo(milliseconds(30));
        events.push_back(
            {.kind = EventKind::kReschedule, .at = at, .moment = Moment::kStarted, .wait = wait, .target = job});
        events.push_back({.kind = EventKind::kOwnerDies,
                          .at = at + chance.UpTo(milliseconds(500)),
                          .moment = Moment::kClaimed,
                          .span = chance.UpTo(seconds(3)),
                          .target = job});
      }
      break;
    case Trouble::kFailures:
      for (int i = 0; i < 8; ++i, at += seconds(1)) {
        const EventKind kind = chance.Percent(70) ? EventKind::kPause : EventKind::kReschedule;
        const Duration wait = Duration(1) + chance.UpTo(milliseconds(20));
        events.push_back({.kind = kind,
                          .at = at,
                          .moment = Moment::kStarted,
                          .wait = wait,
                          .span = Duration(1) + chance.UpTo(milliseconds(15)),
                          .target = 0});
      }
      break;
    case Trouble::kLongRuns:
      // One pod at a time: somebody is there to take what it loses.
      for (std::size_t i = 0; i < 2; ++i, at += seconds(12) + chance.UpTo(seconds(2))) {
        const Duration span = seconds(cost_slots == EventKind::kDeaf ? 10 : 6) + chance.UpTo(seconds(3));
        events.push_back(
            {.kind = cost_slots, .at = at, .span = span, .target = (pod + i) % plan->pods, .percent = 100});
      }
      break;
    case Trouble::kSlowStarts:
      for (std::size_t i = 0; i < 2; ++i, at += seconds(1)) {
        const std::size_t target = (pod + i) % plan->pods;
        events.push_back({.kind = EventKind::kSlowStarts, .at = at, .span = seconds(5), .target = target});
      }
      break;
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.at < b.at; });
  for (const Event& event : events) plan->calm = std::max(plan->calm, event.at + event.span + seconds(2));
}

}  // namespace

HistoryPlan PlanHistory(std::uint64_t seed) {
  Chance chance = Chance(seed).With("plan");
  HistoryPlan plan;
  plan.seed = seed;
  plan.pods = 2 + chance.Below(3);
  const std::size_t jobs = 3 + chance.Below(8);
  for (std::size_t i = 0; i < jobs; ++i) plan.jobs.emplace_back(PlanJob(seed, i));
  plan.lost_percent = chance.Percent(50) ? static_cast<int>(chance.Below(20)) : 0;
  const std::size_t events = 1 + chance.Below(14);
  Duration at = milliseconds(500) + chance.UpTo(seconds(2));
  std::optional<std::size_t> last_of_user;  // its job
  for (std::size_t i = 0; i < events; ++i) {
    Event event = PlanEvent(chance, at, plan.pods + 1, jobs);
    // A pod that hears nothing hears of no step either.
    if (i > 0 && plan.events.back().kind == EventKind::kHeldUp && chance.Percent(35)) {
      event = {.kind = EventKind::kClockStep, .at = at, .span = -chance.UpTo(kSmallStep)};
    }
    const bool of_user = IsOfUser(event.kind);
    if (of_user && last_of_user && chance.Percent(50)) event.target = *last_of_user;
    if (of_user) last_of_user = event.target;
    plan.events.push_back(event);
    at += chance.Percent(50) ? chance.UpTo(milliseconds(300)) : chance.UpTo(seconds(4));
  }
  plan.calm = at + seconds(2);
  for (const Event& event : plan.events) {  // what is held up longest meets a pod in a new session
    if (event.kind == EventKind::kHeldUp) plan.calm = std::max(plan.calm, event.at + event.span + seconds(1));
  }
  PlanTrouble(&plan);
  plan.end = plan.calm + kCalm;
  return plan;
}

void HistoryCounts::Add(const HistoryCounts& o) {
  histories += o.histories;
  runs += o.runs;
  settled += o.settled;
  skipped += o.skipped;
  lost += o.lost;
  calls += o.calls;
  disturbed += o.disturbed;
  stale += o.stale;
  ended += o.ended;
  gave_up += o.gave_up;
  for (const auto& [kind, n] : o.events) events[kind] += n;
}

HistoryResult RunHistory(const HistoryPlan& plan, bool timeline) { return Player(plan, timeline).Play(); }

HistoryPlan Shrink(HistoryPlan plan, const std::string& rule, int tries) {
  const auto breaks = [&](const HistoryPlan& smaller) -> std::optional<HistoryResult> {
    if (tries-- <= 0) return std::nullopt;
    HistoryResult result = RunHistory(smaller);
    if (!result.breach || result.breach->rule != rule) return std::nullopt;
    return result;
  };
  const auto take_if_breaks = [&](const HistoryPlan& smaller) {
    const auto result = breaks(smaller);
    if (result) plan = smaller;
    return result.has_value();
  };
  const auto first = breaks(plan);
  if (!first) return plan;
  const auto without = [&](auto&& change) {
    HistoryPlan smaller = plan;
    change(smaller);
    return take_if_breaks(smaller);
  };
  without([&](HistoryPlan& p) { p.disturbed = first->disturbed; });
  for (bool progress = true; progress && tries > 0;) {
    progress = false;
    if (!plan.plain_tasks) progress |= without([](HistoryPlan& p) { p.plain_tasks = true; });
    if (!plan.plain_delays) progress |= without([](HistoryPlan& p) { p.plain_delays = true; });
    for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
      if (plan.jobs[i]) progress |= without([i](HistoryPlan& p) { p.jobs[i].reset(); });
    }
    for (std::size_t size = std::max<std::size_t>(plan.events.size() / 2, 1);; size /= 2) {
      for (std::size_t i = 0; i + size <= plan.events.size();) {
        const bool gone = without([&](HistoryPlan& p) {
          const auto begin = p.events.begin() + static_cast<std::ptrdiff_t>(i);
          p.events.erase(begin, begin + static_cast<std::ptrdiff_t>(size));
        });
        progress |= gone;
        if (!gone) i += size;
      }
      if (size <= 1) break;
    }
    if (plan.disturbed && !plan.disturbed->empty()) {
      if (without([](HistoryPlan& p) { p.disturbed->clear(); })) progress = true;
      const std::vector<CallNumber> calls(plan.disturbed->begin(), plan.disturbed->end());
      for (std::size_t size = std::max<std::size_t>(calls.size() / 2, 1);; size /= 2) {
        for (std::size_t i = 0; i < calls.size(); i += size) {
          const auto last = std::min(i + size, calls.size());
          if (std::none_of(calls.begin() + static_cast<std::ptrdiff_t>(i),
                           calls.begin() + static_cast<std::ptrdiff_t>(last),
                           [&](const CallNumber& c) { return plan.disturbed->contains(c); })) {
            continue;
          }
          progress |= without([&](HistoryPlan& p) {
            for (std::size_t k = i; k < last; ++k) p.disturbed->erase(calls[k]);
          });
        }
        if (size <= 1) break;
      }
    }
    while (plan.pods > 1 && without([](HistoryPlan& p) { --p.pods; })) progress = true;
  }
  return plan;
}

std::vector<std::string> Describe(const HistoryPlan& plan) {
  std::vector<std::string> lines{fmt::format("{} pods", plan.pods)};
  for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
    if (!plan.jobs[i]) continue;
    const JobDefinition& job = *plan.jobs[i];
    std::string line = fmt::format("{}: {}{}{}{}", job.id, job.schedule.ToString(),
                                   job.delivery == Delivery::kAtMostOnce ? ", at most once" : "",
                                   job.retry.max_attempts > 1 ? ", up to 3 attempts" : "",
                                   job.pause_after > 0 ? fmt::format(", paused after {}", job.pause_after) : "");
    if (!job.unique.empty()) {
      line += fmt::format(", unique by '{}' for {}", job.unique, FormatDuration(job.unique_for));
    }
    for (const ConcurrencyLimit& limit : job.limits)
      line += fmt::format(", a slot of {} of '{}'", limit.slots, limit.key);
    for (const RateLimit& rate : job.rates) {
      line += fmt::format(", {} starts in {} of '{}'", rate.starts, FormatDuration(rate.per), rate.key);
    }
    lines.push_back(line);
  }
  for (const Event& event : plan.events) {
    std::string moment;
    if (event.moment != Moment::kNone) {
      moment = fmt::format("{:.3f} ms after the next {} of {}, ", static_cast<double>(event.wait.count()) / 1e3,
                           event.moment == Moment::kClaimed ? "claim" : "start", Player::Subject(event));
    }
    lines.push_back(
        fmt::format("{:.3f} s: {}{}", static_cast<double>(event.at.count()) / 1e6, moment, Player::Text(event)));
  }
  if (plan.disturbed) {
    for (const auto& [pod, kind, n] : *plan.disturbed) {
      lines.push_back(fmt::format("{}: its {} number {} is disturbed", pod, CallName(kind), n));
    }
  } else if (plan.lost_percent > 0) {
    lines.push_back(fmt::format("{}% of the calls are lost", plan.lost_percent));
  }
  return lines;
}

}  // namespace escapement::sim
