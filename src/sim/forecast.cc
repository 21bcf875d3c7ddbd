#include "sim/forecast.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>
#include <random>

#include <fmt/format.h>

#include "job/settle.h"
#include "schedule/kind.h"

namespace escapement {
namespace {

using std::chrono::hours;

constexpr Duration kHour = hours(1);
constexpr int kMostDays = 3'660;
constexpr int kMostPods = 10'000;
constexpr int kMostRunning = 1'000'000;
constexpr int kNoPod = -1;
constexpr std::uint32_t kEventsBetweenProgress = 1U << 16;

// Buckets of the histogram: exact up to 2^kBits us, then 2^kBits / 2 of equal width for each power of two.
constexpr int kBits = 8;
constexpr std::size_t kHalf = std::size_t{1} << (kBits - 1);

std::size_t BucketOf(std::int64_t value) {
  const auto v = static_cast<std::uint64_t>(value);
  const int shift = std::max(0, static_cast<int>(std::bit_width(v)) - kBits);
  return static_cast<std::size_t>(shift) * kHalf + static_cast<std::size_t>(v >> shift);
}

// The largest value of a bucket.
std::int64_t TopOf(std::size_t bucket) {
  const std::size_t shift = bucket < 2 * kHalf ? 0 : bucket / kHalf - 1;
  const auto within = static_cast<std::int64_t>(bucket - shift * kHalf);
  return ((within + 1) << shift) - 1;
}

enum class Phase {
  kWaiting,  // for its due time, or for the takeover from a dead pod
  kReady,    // due; waits for a slot
  kRunning,
  kUncommitted,  // ended while the store was away
  kDone,         // no more points in the window
};

// A job, or the run of its own that an occurrence was handed on to: then its number is another than its job's.
struct Job {
  std::uint32_t number;
  std::uint32_t of;  // the job whose forecast it is
  const JobDefinition* definition = nullptr;
  const std::vector<Duration>* durations = nullptr;
  Schedule grid;
  bool delayed;  // its points come about by its runs
  Duration late_threshold;
  Present present;
  std::minstd_rand random;  // a stream of its own: what happens to other jobs changes none of its draws
  Phase phase = Phase::kWaiting;
  std::uint32_t mark = 0;                 // of its valid event or entry in the queue
  int pod = kNoPod;                       // that runs it, or keeps it because it is due again soon
  bool started_once = false;              // the present occurrence was started before
  bool rerun = false;                     // its last attempt died with its pod
  bool detained = false;                  // held by a dead pod
  Verdict verdict = Verdict::kSucceeded;  // of the attempt that runs
  Instant started, finished;              // of the last attempt
  Instant busy_since;                     // it ran from then until `finished`, with no pause but for retries
  bool behind = false;                    // later than it ever is without faults, and due again before its run ends
  std::unique_ptr<JobDefinition> alone;   // of its occurrences that are handed on: without points of its own
  std::vector<std::uint32_t> spare = {};  // runs of their own that are over
};

enum class EventKind : std::uint8_t { kFinish, kFault, kDue };  // in the order in which those of one instant happen

struct Event {
  Instant at;
  EventKind kind;
  std::uint32_t index;  // of the job, or the fault
  std::uint32_t mark;
  bool operator<(const Event& o) const {  // the top of the heap is the first
    if (at != o.at) return at > o.at;
    if (kind != o.kind) return kind > o.kind;
    return index > o.index;
  }
};

// As the pod's queue: the top is the highest priority, then the earliest.
struct ReadyEntry {
  int priority;
  Instant due;
  std::uint32_t job;
  std::uint32_t mark;
  bool operator<(const ReadyEntry& o) const {
    if (priority != o.priority) return priority < o.priority;
    if (due != o.due) return due > o.due;
    return job > o.job;
  }
};

// A stretch of time whose events are counted for a fault.
struct Watch {
  Instant from;
  std::optional<Instant> until;  // none: open
  FaultEffect effect;
};

class Simulation {
 public:
  // The faults happen if `normal` is given, what the jobs do without them. Watch i is that of fault i; one that is open
  // ends when the fault is over.
  Simulation(const std::vector<ForecastJob>& jobs, const ForecastOptions& options,
             const std::vector<JobForecast>* normal, std::vector<Watch> watches);

  // Until the window's end, or `until`.
  void Run(Instant until, const std::function<void(double)>& progress);
  Forecast TakeForecast() { return std::move(out_); }
  const std::vector<Watch>& watches() const { return watches_; }

 private:
  void Add(const ForecastJob& given, std::size_t index);
  void Expect(Job& job, Instant at);
  void Start(Job& job, Instant now);
  void StartReady(Instant now);
  void Record(Job& job, const RunRecord& settled, Instant now);
  void HandOn(Job& job, Instant now);
  void EndAttempt(Job& job, Instant now);
  void Commit(Job& job, Instant now);
  void Proceed(Job& job, const Plan& next, Instant now);
  void ChangeFaults(Instant now);
  void Kill(int first, Instant now);
  Instant TakeoverAfter(Instant death) const;
  int NextPod();
  void MoveHours(Instant now);
  void CloseWatches(Instant now);
  void Close(Instant now);

  template <typename Count>
  void Observe(Instant now, Count count) {
    for (Watch& w : watches_) {
      if (now >= w.from && (!w.until || now <= *w.until)) count(w.effect);
    }
  }
  void SetBehind(Job& job, bool behind) {
    behind_ += (behind ? 1 : 0) - (job.behind ? 1 : 0);
    job.behind = behind;
  }
  // Decides the place in a flex window. What is told of a job does not hold its key: the order stands for it.
  static JobKey KeyOf(const Job& job) { return static_cast<JobKey>(job.number) + 1; }
  static bool IsAlone(const Job& job) { return job.number != job.of; }
  JobForecast& Of(const Job& job) { return out_.jobs[job.of]; }
  std::size_t HourOf(Instant t) const { return static_cast<std::size_t>((t - out_.first_hour) / kHour); }
  std::int64_t FreeSlots() const { return std::int64_t{alive_} * options_.max_running - running_; }

  const ForecastOptions& options_;
  const std::vector<JobForecast>* const normal_;
  Forecast out_;
  std::deque<Job> jobs_;  // they stay where they are
  std::priority_queue<Event> events_;
  std::priority_queue<ReadyEntry> ready_;
  std::int64_t waiting_ = 0;   // valid entries of ready_
  std::int64_t detained_ = 0;  // jobs
  std::int64_t behind_ = 0;    // jobs
  int alive_;
  bool store_away_ = false;
  std::int64_t running_ = 0;
  std::vector<int> running_on_;  // by pod
  int last_pod_ = 0;
  std::size_t hour_ = 0;
  std::vector<Watch> watches_;
};

Simulation::Simulation(const std::vector<ForecastJob>& jobs, const ForecastOptions& options,
                       const std::vector<JobForecast>* normal, std::vector<Watch> watches)
    : options_(options),
      normal_(normal),
      alive_(options.pods),
      running_on_(static_cast<std::size_t>(options.pods)),
      watches_(std::move(watches)) {
  out_.first_hour = std::chrono::floor<hours>(options.from);
  out_.hours.resize(HourOf(options.to - Duration(1)) + 1);
  out_.slots = std::int64_t{options.pods} * options.max_running;
  out_.peak_at = options.from;
  out_.jobs.resize(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) Add(jobs[i], i);
  if (normal == nullptr) return;
  for (std::uint32_t i = 0; i < options.faults.size(); ++i) {
    const ForecastFault& fault = options.faults[i];
    events_.push({fault.at, EventKind::kFault, i, 0});
    events_.push({fault.at + fault.length, EventKind::kFault, i, 0});
  }
}

void Simulation::Add(const ForecastJob& given, std::size_t index) {
  const Instant cursor = std::max(given.cursor, options_.from - Duration(1));
  const auto number = static_cast<std::uint32_t>(index);
  std::seed_seq seed{static_cast<std::uint32_t>(options_.seed), static_cast<std::uint32_t>(options_.seed >> 32),
                     number};
  Job job{.number = number,
          .of = number,
          .definition = &given.definition,
          .durations = &given.durations,
          .grid = given.definition.schedule.AnchoredAt(given.created_at),
          .delayed = DelayOf(given.definition.schedule).has_value(),
          .late_threshold = LateThreshold(given.definition),
          .present = {.created_at = given.created_at, .cursor = cursor},
          .random = std::minstd_rand(seed)};
  JobForecast& forecast = out_.jobs[index];
  forecast.id = given.definition.id;
  if (!job.delayed) forecast.points = job.grid.Count(cursor + Duration(1), options_.to);
  const auto first = job.grid.Next(cursor);
  jobs_.push_back(std::move(job));
  Job& added = jobs_.back();
  if (!first || *first >= options_.to) {
    added.phase = Phase::kDone;
    return;
  }
  added.present.fire_time = *first;
  added.present.due_at = StartAt(*added.definition, KeyOf(added), *first);
  Expect(added, added.present.due_at);
}

// The job is looked at again at `at`.
void Simulation::Expect(Job& job, Instant at) {
  job.phase = Phase::kWaiting;
  events_.push({at, EventKind::kDue, job.number, ++job.mark});
}

void Simulation::Run(Instant until, const std::function<void(double)>& progress) {
  std::uint32_t events = 0;
  while (!events_.empty() && events_.top().at < until) {
    const Instant now = events_.top().at;
    while (!events_.empty() && events_.top().at == now) {
      const Event event = events_.top();
      events_.pop();
      if (event.kind == EventKind::kFault) {
        MoveHours(now);
        ChangeFaults(now);
        continue;
      }
      Job& job = jobs_[event.index];
      if (job.mark != event.mark) continue;
      if (event.kind == EventKind::kFinish) {
        MoveHours(now - Duration(1));  // an hour's peak is without what ends as it begins
        EndAttempt(job, now);
        if (store_away_) {
          job.phase = Phase::kUncommitted;
        } else {
          Commit(job, now);
        }
      } else {
        if (job.detained) {
          job.detained = false;
          --detained_;
        }
        job.phase = Phase::kReady;
        ++waiting_;
        ready_.push({job.definition->priority, job.present.due_at, event.index, job.mark});
      }
      if (progress && ++events % kEventsBetweenProgress == 0) {
        progress(static_cast<double>((now - options_.from).count()) /
                 static_cast<double>((until - options_.from).count()));
      }
    }
    MoveHours(now);
    StartReady(now);
    CloseWatches(now);
  }
  Close(until);
}

void Simulation::StartReady(Instant now) {
  while (!ready_.empty() && !store_away_ && FreeSlots() > 0) {
    const ReadyEntry top = ready_.top();
    ready_.pop();
    Job& job = jobs_[top.job];
    if (job.mark != top.mark) continue;
    --waiting_;
    const Present& p = job.present;
    const bool plain = job.definition->overlap == Overlap::kWait && job.definition->deadline == Duration(0);
    if (!plain || p.begun || p.lost > 0 || now - p.fire_time > job.late_threshold) {  // else nothing is to be decided
      if (const auto settlement = SettleBeforeStart(*job.definition, p, now)) {
        if (settlement->run && settlement->run->verdict == Verdict::kHandedOn) {
          HandOn(job, now);
        } else if (settlement->run) {
          Record(job, *settlement->run, now);
        }
        Proceed(job, settlement->next, now);
        continue;
      }
    }
    Start(job, now);
  }
}

void Simulation::Start(Job& job, Instant now) {
  JobForecast& forecast = Of(job);
  ++forecast.runs;
  ++out_.hours[hour_].runs;
  if (!job.started_once) {
    job.started_once = true;
    if (now != job.finished) job.busy_since = now;
    ++forecast.started;
    const Instant start_at =
        IsAlone(job) ? job.present.due_at : StartAt(*job.definition, KeyOf(job), job.present.fire_time);
    const Duration lateness = now - start_at;
    out_.lateness.Add(lateness);
    if (lateness > forecast.lateness_max) {
      forecast.lateness_max = lateness;
      forecast.latest = job.present.fire_time;
    }
    if (lateness > Duration(0)) {
      Observe(now, [lateness](FaultEffect& e) {
        if (lateness > kForecastLate) ++e.late;
        e.lateness_max = std::max(e.lateness_max, lateness);
      });
    }
  }
  if (job.rerun) {
    job.rerun = false;
    ++forecast.reruns;
    Observe(now, [](FaultEffect& e) { ++e.reruns; });
  }
  const std::vector<Duration>& durations = *job.durations;
  const std::size_t drawn =
      durations.size() == 1 ? 0 : std::uniform_int_distribution<std::size_t>(0, durations.size() - 1)(job.random);
  Duration duration = durations[drawn];
  const Duration timeout = job.definition->timeout;
  job.verdict = Verdict::kSucceeded;
  if (options_.fail > 0 && std::bernoulli_distribution(options_.fail)(job.random)) job.verdict = Verdict::kFailed;
  const auto at_most = [&](Duration left, Verdict verdict) {
    if (duration <= left) return;
    duration = left;
    job.verdict = verdict;
  };
  if (timeout > Duration(0)) at_most(timeout, Verdict::kTimedOut);
  if (const auto deadline = DeadlineOf(*job.definition, job.present.fire_time)) {
    at_most(std::max(*deadline - now, Duration(1)), Verdict::kTimedOut);
  }
  if (job.definition->overlap == Overlap::kReplace) {
    if (const auto next = job.grid.Next(job.present.fire_time)) {
      at_most(std::max(StartAt(*job.definition, KeyOf(job), *next) - now, Duration(1)), Verdict::kCancelled);
    }
  }
  if (normal_ != nullptr && job.present.attempt == 1 && !IsAlone(job)) {
    const bool late = now - job.present.due_at > (*normal_)[job.number].lateness_max;
    const auto again = late && !job.delayed ? job.grid.Next(job.present.fire_time) : std::nullopt;
    SetBehind(job, again && *again < now + duration);
  }
  job.phase = Phase::kRunning;
  job.started = now;
  job.present.begun = job.definition->delivery == Delivery::kAtMostOnce;
  if (job.pod == kNoPod || running_on_[static_cast<std::size_t>(job.pod)] >= options_.max_running) {
    job.pod = NextPod();
  }
  ++running_on_[static_cast<std::size_t>(job.pod)];
  if (++running_ > out_.peak) {
    out_.peak = running_;
    out_.peak_at = now;
  }
  out_.hours[hour_].peak = std::max(out_.hours[hour_].peak, running_);
  events_.push({now + duration, EventKind::kFinish, job.number, ++job.mark});
}

// Pods take turns; one of them has a free slot.
int Simulation::NextPod() {
  do {
    last_pod_ = (last_pod_ + 1) % alive_;
  } while (running_on_[static_cast<std::size_t>(last_pod_)] >= options_.max_running);
  return last_pod_;
}

// What was settled before the job could start: a stretch that is too late, or a lost occurrence.
void Simulation::Record(Job& job, const RunRecord& settled, Instant now) {
  JobForecast& forecast = Of(job);
  if (settled.verdict == Verdict::kLost) {
    ++forecast.lost;
    if (!job.started_once) ++forecast.started;
    job.rerun = false;
    Observe(now, [](FaultEffect& e) { ++e.lost; });
    return;
  }
  if (settled.verdict == Verdict::kCancelled) {
    ++forecast.replaced;
    return;
  }
  if (settled.verdict == Verdict::kTimedOut) {  // a retry whose deadline passed
    ++forecast.timed_out;
    return;
  }
  const Instant first = settled.fire_time;
  const Instant end = settled.last_fire + Duration(1);
  if (job.delayed) job.grid = job.grid.AnchoredAt(first);
  forecast.skipped += settled.settles;
  Observe(now, [&settled](FaultEffect& e) { e.skipped += settled.settles; });
  forecast.skipped_behind += job.grid.Count(std::max(first, job.busy_since), std::min(end, job.finished));
  for (std::size_t hour = HourOf(first); hour <= HourOf(end - Duration(1)); ++hour) {
    const Instant begin = out_.first_hour + static_cast<int>(hour) * kHour;
    out_.hours[hour].skipped += job.grid.Count(std::max(first, begin), std::min(end, begin + kHour));
  }
}

// The present occurrence is to run by itself, now.
void Simulation::HandOn(Job& job, Instant now) {
  if (!job.alone) {
    job.alone = std::make_unique<JobDefinition>(*TriggeredDefinition(*job.definition, now, std::nullopt));
    job.alone->schedule = Schedule::Manual();
  }
  if (job.spare.empty()) {
    job.spare.push_back(static_cast<std::uint32_t>(jobs_.size()));
    jobs_.push_back({.number = job.spare.back(),
                     .of = job.number,
                     .definition = job.alone.get(),
                     .durations = job.durations,
                     .grid = Schedule::Manual(),
                     .delayed = false,
                     .late_threshold = LateThreshold(*job.alone),
                     .random = std::minstd_rand(job.random()),
                     .alone = {}});
  }
  Job& run = jobs_[job.spare.back()];
  job.spare.pop_back();
  const Present& p = job.present;
  run.present = {.created_at = now, .cursor = p.fire_time - Duration(1), .fire_time = p.fire_time, .due_at = p.due_at};
  Expect(run, now);
}

// The attempt is over, whatever becomes of it: its slot is free.
void Simulation::EndAttempt(Job& job, Instant now) {
  job.finished = now;
  --running_;
  --running_on_[static_cast<std::size_t>(job.pod)];
  JobForecast& forecast = Of(job);
  forecast.busy += now - job.started;
  for (Instant begin = job.started; begin < now;) {
    const std::size_t hour = HourOf(begin);
    const Instant end = std::min(now, out_.first_hour + static_cast<int>(hour + 1) * kHour);
    out_.hours[hour].busy += end - begin;
    begin = end;
  }
  const Instant after = std::max(job.started, job.present.fire_time + Duration(1));
  if (!job.delayed) forecast.overlaps += jobs_[job.of].grid.Count(after, now);
}

void Simulation::Commit(Job& job, Instant now) {
  JobForecast& forecast = Of(job);
  if (job.verdict == Verdict::kFailed) ++forecast.failed;
  if (job.verdict == Verdict::kTimedOut) ++forecast.timed_out;
  if (job.verdict == Verdict::kCancelled) ++forecast.replaced;
  const Settlement settlement =
      Settle(*job.definition, job.present,
             {.verdict = job.verdict, .started_at = job.started, .finished_at = job.finished}, job.finished);
  Proceed(job, settlement.next, now);
}

void Simulation::Proceed(Job& job, const Plan& next, Instant now) {
  if (next.cursor != job.present.cursor) job.started_once = false;
  job.present = Advance(job.present, next);
  if (!next.fire_time || *next.fire_time >= options_.to) {
    job.phase = Phase::kDone;
    ++job.mark;
    SetBehind(job, false);
    if (IsAlone(job)) jobs_[job.of].spare.push_back(job.number);
    return;
  }
  if (job.present.attempt == 1 && job.present.due_at == job.present.fire_time) {
    job.present.due_at = StartAt(*job.definition, KeyOf(job), job.present.fire_time);
  }
  if (job.present.due_at > now + options_.horizon) job.pod = kNoPod;
  Expect(job, std::max(now, job.present.due_at));
}

void Simulation::ChangeFaults(Instant now) {
  int alive = options_.pods;
  bool store_away = false;
  for (const ForecastFault& fault : options_.faults) {
    if (now < fault.at || now >= fault.at + fault.length) continue;
    if (fault.kind == ForecastFault::Kind::kPods) alive = std::min(alive, fault.pods);
    if (fault.kind == ForecastFault::Kind::kStore) store_away = true;
  }
  alive_ = alive;
  Kill(alive, now);
  const bool back = store_away_ && !store_away;
  store_away_ = store_away;
  if (!back) return;
  for (Job& job : jobs_) {
    if (job.phase == Phase::kUncommitted) Commit(job, now);
  }
}

// The pods from `first` on are dead: what they ran is gone, and what they held moves to others.
void Simulation::Kill(int first, Instant now) {
  for (Job& job : jobs_) {
    if (job.pod < first || job.phase == Phase::kDone) continue;
    if (job.phase == Phase::kRunning) EndAttempt(job, now);
    if (job.phase == Phase::kReady) --waiting_;
    job.rerun = job.rerun || job.phase == Phase::kRunning || job.phase == Phase::kUncommitted;
    job.pod = kNoPod;
    ++job.present.lost;
    ++detained_;
    job.detained = true;
    Expect(job, std::max(job.present.due_at, TakeoverAfter(now)));
  }
}

// A dead pod's jobs move once others have watched it for so long. Nobody watches without a store or without pods.
Instant Simulation::TakeoverAfter(Instant death) const {
  Instant from = death;
  for (bool moved = true; moved;) {
    moved = false;
    for (const ForecastFault& fault : options_.faults) {
      const bool blind = fault.kind == ForecastFault::Kind::kStore || fault.pods == 0;
      const Instant end = fault.at + fault.length;
      if (!blind || fault.at >= from + options_.takeover || end <= from) continue;
      from = end;
      moved = true;
    }
  }
  return from + options_.takeover;
}

// Begins the hours up to that of `now`.
void Simulation::MoveHours(Instant now) {
  while (hour_ < HourOf(now)) out_.hours[++hour_].peak = running_;
}

// See FaultForecast.
void Simulation::CloseWatches(Instant now) {
  const bool more_now = !events_.empty() && events_.top().at == now;
  if (waiting_ > 0 || detained_ > 0 || behind_ > 0 || more_now) return;
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    const ForecastFault& fault = options_.faults[i];
    if (!watches_[i].until && now >= fault.at + fault.length) watches_[i].until = now;
  }
}

// At the end of the window: what runs counts as far as it lies in it.
void Simulation::Close(Instant now) {
  MoveHours(now - Duration(1));
  for (Job& job : jobs_) {
    JobForecast& forecast = Of(job);
    if (job.phase != Phase::kDone) {
      if (job.phase == Phase::kRunning) EndAttempt(job, now);
      const bool one = job.delayed || IsAlone(job);
      const std::int64_t left = one ? 1 : job.grid.Count(job.present.fire_time, options_.to);
      forecast.waiting += left - (job.started_once ? 1 : 0);
    }
    if (job.delayed) forecast.points = forecast.started + forecast.skipped + forecast.waiting;
  }
}

}  // namespace

LatenessHistogram::LatenessHistogram() : buckets_(BucketOf(INT64_MAX) + 1) {}

void LatenessHistogram::Add(Duration lateness) {
  ++buckets_[BucketOf(lateness.count())];
  ++count_;
  max_ = std::max(max_, lateness);
}

Duration LatenessHistogram::Percentile(double percent) const {
  const auto rank =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(percent / 100 * static_cast<double>(count_))));
  std::int64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(max_, Duration(TopOf(i)));
  }
  return max_;
}

JobForecast Forecast::Total() const {
  JobForecast total;
  for (const JobForecast& job : jobs) {
    total.points += job.points;
    total.started += job.started;
    total.skipped += job.skipped;
    total.skipped_behind += job.skipped_behind;
    total.waiting += job.waiting;
    total.runs += job.runs;
    total.failed += job.failed;
    total.timed_out += job.timed_out;
    total.replaced += job.replaced;
    total.reruns += job.reruns;
    total.lost += job.lost;
    total.overlaps += job.overlaps;
    total.busy += job.busy;
    if (job.lateness_max > total.lateness_max) {
      total.lateness_max = job.lateness_max;
      total.latest = job.latest;
    }
  }
  return total;
}

Status Validate(const ForecastOptions& o) {
  const auto bad = [](std::string why) { return Status(Fail(Code::kInvalidArgument, std::move(why))); };
  if (o.to <= o.from || o.to - o.from > std::chrono::days(kMostDays)) {
    return bad(fmt::format("the window must be longer than nothing and at most {} days", kMostDays));
  }
  if (o.pods < 1 || o.pods > kMostPods) return bad(fmt::format("pods must be 1 to {}", kMostPods));
  if (o.max_running < 1 || o.max_running > kMostRunning) {
    return bad(fmt::format("max_running must be 1 to {}", kMostRunning));
  }
  if (!(o.fail >= 0 && o.fail <= 1)) return bad("the share of runs that fail must be 0 to 1");
  for (const ForecastFault& fault : o.faults) {
    const std::string name = "the fault at " + FormatInstant(fault.at);
    if (fault.at < o.from || fault.at >= o.to) {
      return bad(fmt::format("{} does not begin between {} and {}", name, FormatInstant(o.from), FormatInstant(o.to)));
    }
    if (fault.length <= Duration(0) || fault.length > std::chrono::days(kMostDays)) {
      return bad(fmt::format("{} must be longer than nothing and at most {} days", name, kMostDays));
    }
    if (fault.kind == ForecastFault::Kind::kPods && (fault.pods < 0 || fault.pods >= o.pods)) {
      return bad(fmt::format("{} leaves {} pods of {}: it must leave 0 to {}", name, fault.pods, o.pods, o.pods - 1));
    }
  }
  return {};
}

Result<Forecast> MakeForecast(const std::vector<ForecastJob>& jobs, const ForecastOptions& options) {
  if (Status status = Validate(options); !status) return tl::unexpected(status.error());
  for (const ForecastJob& job : jobs) {
    if (job.durations.empty()) {
      return Fail(Code::kInvalidArgument, fmt::format("job '{}' has no durations", job.definition.id));
    }
  }
  const auto progress = [&](int pass, int passes) -> std::function<void(double)> {
    if (!options.progress) return {};
    return [&options, pass, passes](double share) { options.progress((pass + share) / passes); };
  };
  if (options.faults.empty()) {
    Simulation simulation(jobs, options, nullptr, {});
    simulation.Run(options.to, progress(0, 1));
    return simulation.TakeForecast();
  }

  // What is normal; what the faults make of it; and what is normal in the times that the faults took.
  Simulation normal(jobs, options, nullptr, {});
  normal.Run(options.to, progress(0, 3));
  const Forecast undisturbed = normal.TakeForecast();
  std::vector<Watch> watches;
  for (const ForecastFault& fault : options.faults) watches.push_back({fault.at, std::nullopt, {}});
  Simulation faulty(jobs, options, &undisturbed.jobs, watches);
  faulty.Run(options.to, progress(1, 3));
  Forecast forecast = faulty.TakeForecast();

  Instant last = options.from;
  for (std::size_t i = 0; i < watches.size(); ++i) {
    watches[i].until = faulty.watches()[i].until.value_or(options.to);
    last = std::max(last, *watches[i].until);
  }
  Simulation beside(jobs, options, nullptr, watches);
  beside.Run(std::min(options.to, last + Duration(1)), progress(2, 3));
  for (std::size_t i = 0; i < watches.size(); ++i) {
    const ForecastFault& fault = options.faults[i];
    FaultForecast out{fault, faulty.watches()[i].effect, beside.watches()[i].effect, std::nullopt};
    if (const auto until = faulty.watches()[i].until) out.recovery = *until - (fault.at + fault.length);
    forecast.faults.push_back(out);
  }
  return forecast;
}

}  // namespace escapement
