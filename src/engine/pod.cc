#include "engine/pod.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "job/failures.h"
#include "job/followers.h"
#include "job/queue_key.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirstBackoff = milliseconds(50);
constexpr Duration kLongestBackoff = seconds(1);
constexpr Duration kWakeGap = milliseconds(100);           // between heartbeats that wake-ups bring forward
constexpr Duration kHungryClaimPeriod = milliseconds(50);  // while under the fair share
constexpr Duration kSatedClaimPeriod = milliseconds(250);  // at or over it
constexpr Duration kImminent =
    milliseconds(800);  // a pod at its share claims what nobody took until so close to its time
// Runs of one job that the store has not confirmed, beyond which its next occurrence waits, as long as the store
// answers: a change by a user meets at most so many runs of the old definition.
constexpr int kRunAhead = 2;
constexpr int kHighestPriority = 10;
constexpr std::uint64_t kOldestEvery = 8;  // of so many starts, and claims, one goes to what waits longest
constexpr std::size_t kLargeBatch = 64;
constexpr Duration kLargeBatchLinger = milliseconds(10);
constexpr Duration kLongestSleep = seconds(1);
constexpr Duration kShutdownCancelGrace = seconds(1);
constexpr Duration kEndingGrace = seconds(3);
constexpr int kBeatsBetweenRecovers = 5;
// Limits: pauses after a refusal, longer each time; a freed slot or a time that the answer names ends them.
constexpr Duration kFirstAskPause = milliseconds(10);
constexpr Duration kLongestAskPause = milliseconds(500);
constexpr Duration kLongestRateWait = seconds(5);
constexpr Duration kAskSpread = milliseconds(4);  // pods that hear of a freed slot take turns at random
constexpr std::size_t kAskBatch = 100;
constexpr std::size_t kSlotBatch = 200;  // that are renewed or freed in one call
// Between the counting of a start and the start itself no more than this may pass. The window of a rate is longer by as
// much, and so holds for the starts themselves; the same for all, since each window counts the starts of others.
constexpr Duration kStartDelay = milliseconds(100);
constexpr std::size_t kMostProgress = 1'000;  // runs whose progress a heartbeat carries
constexpr const char* kRefusedText = "(the store refused the text of the error)";

// Or hands one on.
bool IsRun(const Completion& c) {
  return c.run && (c.run->started_at.has_value() || c.run->verdict == Verdict::kHandedOn);
}

bool IsLimited(const JobDefinition& job) { return !job.limits.empty() || !job.rates.empty(); }

// The same for jobs with the same limits.
std::string QueueName(const JobDefinition& job) {
  std::string name;
  for (const ConcurrencyLimit& limit : job.limits) name += fmt::format("{}\n{}\n", limit.key, limit.slots);
  for (const RateLimit& rate : job.rates) {
    name += fmt::format("\n{}\n{}\n{}\n", rate.key, rate.starts, rate.per.count());
  }
  return name;
}

bool IsTransient(const Error& e) {
  return e.code == Code::kUnavailable || e.code == Code::kInDoubt || e.code == Code::kTimeout;
}

}  // namespace

Pod::Pod(PodOptions options) : options_(std::move(options)), random_(static_cast<std::uint32_t>(options_.seed | 1)) {}

Duration Pod::Jittered(Duration base) {
  std::uniform_real_distribution<double> factor(0.5, 1.5);
  return Duration(static_cast<std::int64_t>(static_cast<double>(base.count()) * factor(random_)));
}

// Frees the channel. True when the answer belongs to the present session.
bool Pod::Answered(Channel& channel, BootTime now, const Error* error) {
  channel.busy = false;
  if (error == nullptr) {
    channel.failures = 0;
    channel.not_before = now;
  } else {
    const Duration backoff = std::min(kLongestBackoff, kFirstBackoff * (1 << std::min(channel.failures, 6)));
    ++channel.failures;
    channel.not_before = now + Jittered(backoff);
    if (!IsTransient(*error) && channel.failures == 1) warnings_.push_back(error->message);
  }
  return channel.epoch == epoch_;
}

// --- session

void Pod::OnOpened(BootTime now, const Result<SessionId>& reply) {
  if (!Answered(sessions_channel_, now, reply ? nullptr : &reply.error()) || !reply) return;
  session_ = *reply;  // nothing is claimed before the first beat, whose answer tells the time and sets the deadline
  last_contact_ = now;
  next_beat_ = now;
  next_claim_ = now;
  ++counters_.sessions;
  publish_.push_back(Wake::kMembers);
}

void Pod::OnBeat(BootTime now, BootTime sent, const Result<BeatReply>& reply) {
  if (!Answered(sessions_channel_, now, reply ? nullptr : &reply.error()) || !session_) return;
  if (!reply) {
    next_beat_ = sessions_channel_.not_before;
    return;
  }
  if (!reply->live) {
    warnings_.push_back("this pod's session was ended by others (it was cut off or stood still): joining anew");
    Rejoin();
    return;
  }
  clock_.AddSample(reply->store_time, sent, now);
  Watch(now, sent, *reply);
  deadline_ = sent + options_.ttl;
  last_contact_ = now;
  for (const auto& [id, o] : observed_) {  // whoever seems dead is judged as soon as its TTL is over
    if (o.since + o.ttl > sent) next_beat_ = std::min(next_beat_, o.since + o.ttl);
  }
  total_rate_ = reply->total_rate;
  total_jobs_ = reply->total_jobs;
  pods_ = reply->sessions.size();
  const double fair = FairShare();
  const double one_job = total_jobs_ > 0 ? total_rate_ / static_cast<double>(total_jobs_) : 0;
  others_under_share_ = std::any_of(reply->sessions.begin(), reply->sessions.end(), [&](const SessionView& s) {
    return s.id != *session_ && s.rate < fair - 0.5 * one_job;
  });
  surplus_ = others_under_share_ ? std::max(0.0, rate_ - fair) : 0;
  if (fair - rate_ >= 0.99 * one_job) next_claim_ = std::min(next_claim_, now);
  for (const JobKey key : reply->changed) {
    if (const auto it = held_.find(key); it != held_.end()) {
      it->second.hand_back = true;
      HandBack(it->second);
    }
  }
  for (const CancelMark& mark : reply->cancelled) CancelRun(now, mark);
  if (reply->paused != paused_) next_claim_ = std::min(next_claim_, now);  // something may go on
  paused_ = reply->paused;
  HandBackPaused();
  if (++beats_since_recover_ >= kBeatsBetweenRecovers) {
    need_recover_ = true;
    to_release_.insert(to_release_.end(), unreadable_.begin(), unreadable_.end());
    unreadable_.clear();
  }
}

void Pod::CancelRun(BootTime now, const CancelMark& mark) {
  const auto it = held_.find(mark.key);
  if (it == held_.end()) return;
  Held& held = it->second;
  const Present& p = held.job.present;
  // The run under way may be of a later occurrence: the store hears of the one asked for with the next commit.
  if (p.fire_time != mark.fire_time || p.attempt != mark.attempt) return;
  if (held.phase == Phase::kRunning) {
    Run& run = runs_.at(held.run);
    if (run.told == Stop::kNone) StopRun(now, held.run, run, Stop::kCancelled);
  } else if (held.phase == Phase::kReady || held.phase == Phase::kQueued) {  // it waits, and now for nothing
    if (held.phase == Phase::kReady) --ready_count_;
    Finish(now, held, {Verdict::kCancelled, std::nullopt, std::nullopt, "cancelled before it could start"});
  }
}

std::vector<RunProgress> Pod::ProgressOf(std::vector<RunTold> told) const {
  // Runs that were given up, or are of an ended session, tell nobody anything.
  std::erase_if(told, [&](const RunTold& t) { return !runs_.contains(t.id); });
  if (told.size() > kMostProgress) {
    const auto end = told.begin() + static_cast<std::ptrdiff_t>(kMostProgress);
    std::nth_element(told.begin(), end, told.end(), [](const RunTold& a, const RunTold& b) { return a.at > b.at; });
    told.erase(end, told.end());
  }
  std::vector<RunProgress> progress;
  progress.reserve(told.size());
  for (RunTold& t : told) {
    const ClaimedJob& job = held_.at(runs_.at(t.id).key).job;
    progress.push_back({.job_id = job.definition->id,
                        .fire_time = job.present.fire_time,
                        .attempt = job.present.attempt,
                        .part = t.part,
                        .note = std::move(t.note),
                        .told_at = clock_.At(t.at)});
  }
  return progress;
}

std::string Pod::StopText(Stop why) {
  switch (why) {
    case Stop::kReplaced: return std::string(kReplacedText);
    case Stop::kTimedOut: return "timed out";
    case Stop::kSlotsLost: return "its slots could not be kept";
    case Stop::kNone:
    case Stop::kCancelled: break;
  }
  return "cancelled";
}

void Pod::StopRun(BootTime now, RunId id, Run& run, Stop why) {
  run.told = why;
  run.give_up_at = now + options_.cancel_grace;
  cancels_.push_back(id);
  timeouts_.emplace(run.give_up_at, id);
}

// Judges the others by their beats: one that stood still for its TTL, as seen by this pod without a gap of its own, is
// dead.
void Pod::Watch(BootTime now, BootTime sent, const BeatReply& reply) {
  const bool gap = now - last_contact_ > 2 * options_.heartbeat;
  std::map<SessionId, Observed> seen;
  for (const SessionView& s : reply.sessions) {
    if (s.id == *session_) continue;
    const auto before = observed_.find(s.id);
    if (gap || before == observed_.end() || before->second.beat != s.beat) {
      seen[s.id] = {s.beat, now, s.ttl};
      continue;
    }
    seen[s.id] = before->second;
    // Read no earlier than `sent`, and unchanged since it was first received.
    if (sent - before->second.since >= s.ttl &&
        std::none_of(to_reclaim_.begin(), to_reclaim_.end(), [&](const ReclaimCall& c) { return c.session == s.id; })) {
      to_reclaim_.push_back({s.id, s.beat});
    }
  }
  observed_ = std::move(seen);
}

void Pod::OnReclaimed(BootTime now, const ReclaimCall& call, const Result<ReclaimReply>& reply) {
  const bool ours = Answered(sessions_channel_, now, reply ? nullptr : &reply.error());
  if (!reply) {
    if (ours && IsTransient(reply.error())) to_reclaim_.push_back(call);
    return;
  }
  if (reply->ended) {
    warnings_.push_back(
        fmt::format("session {} showed no life: ended it, handed back {} jobs", call.session, reply->jobs));
  }
  if (reply->still_owned > 0) {
    to_reclaim_.push_back(call);
    // Somebody's transaction holds what is left, for as long as seconds.
    if (reply->jobs == 0) sessions_channel_.not_before = now + kFirstBackoff;
  }
  if (reply->jobs > 0 || reply->ended) {
    next_beat_ = now;
    next_claim_ = now;
    publish_.push_back(Wake::kMembers);
  }
}

void Pod::OnEnded(BootTime now, const Status& reply) {
  if (!Answered(sessions_channel_, now, reply ? nullptr : &reply.error())) return;
  if (reply) {
    publish_.push_back(Wake::kMembers);
    Rejoin();
    life_ = Life::kStopped;
  }
}

// Everything held belonged to the session that is no more.
void Pod::Rejoin() {
  ++epoch_;
  session_.reset();
  clock_ = StoreClock();  // nobody told this pod of steps of the store's clock meanwhile: the first beat tells the time
  for (const auto& [id, run] : runs_) cancels_.push_back(id);
  for (auto& [id, grant] : slots_) grant.given_up = true;  // held until the tasks end, or the leases
  next_slot_check_ = BootTime::min();
  for (auto& [key, grant] : grants_) to_free_.emplace_back(std::move(grant.request), grant.until);
  grants_.clear();
  queues_.clear();
  counters_.stale += outbox_.size() + committing_.size();
  runs_.clear();
  timeouts_.clear();
  held_.clear();
  wheel_.Clear();
  ready_ = {};
  ready_by_age_ = {};
  ready_count_ = 0;
  outbox_.clear();
  committing_.clear();
  to_begin_.clear();
  beginning_.clear();
  to_release_.clear();
  releasing_.clear();
  to_reclaim_.clear();
  observed_.clear();
  rate_ = surplus_ = 0;
  need_recover_ = false;
  beats_since_recover_ = 0;
}

// --- claims

void Pod::OnClaimed(BootTime now, Result<ClaimReply> reply) {
  if (!Answered(claims_channel_, now, reply ? nullptr : &reply.error()) || !session_) return;
  if (!reply) {
    need_recover_ = true;  // what the lost answer would have told
    return;
  }
  if (!reply->live) {
    next_beat_ = now;  // the heartbeat will say so, and rejoin
    return;
  }
  for (ClaimedJob& job : reply->jobs) Adopt(std::move(job));
}

void Pod::OnRecovered(BootTime now, Result<ClaimReply> reply) {
  const bool ours = Answered(claims_channel_, now, reply ? nullptr : &reply.error());
  if (!ours || !reply || !session_) return;
  need_recover_ = false;
  beats_since_recover_ = 0;
  // None of them was given up since: the question named all that was held, and nothing was claimed meanwhile.
  for (ClaimedJob& job : reply->jobs) Adopt(std::move(job));
}

// Plans, and the stores, go by fire times: jitter and flex put the first attempt off.
void Pod::PutOff(const ClaimedJob& job, Instant fire_time, int attempt, Instant& due_at) {
  if (attempt == 1 && due_at == fire_time) due_at = StartAt(*job.definition, job.key, fire_time);
}

void Pod::Adopt(ClaimedJob job) {
  const JobKey key = job.key;
  if (job.definition == nullptr) {
    // It is held for some heartbeats, so that pods that cannot read it do not hand it round and round.
    if (warned_unreadable_.insert(key).second) {
      warnings_.push_back("a job cannot be read and is left to others: " + job.unreadable);
    }
    unreadable_[key] = job.fence;
    return;
  }
  // It may have gone away and come back under a new fence while this pod believed it held it: the older holding is
  // void.
  Drop(key);
  Held& held = held_[key];
  held.job = std::move(job);
  held.rate = held.job.definition->schedule.Rate();
  rate_ += held.rate;
  PutOff(held.job, held.job.present.fire_time, held.job.present.attempt, held.job.present.due_at);
  // A claim of before its queue was paused may arrive after the beat that told of it.
  if (life_ == Life::kRunning && !paused_.Hold(held.job.definition->queue)) {
    Arm(held);
  } else {
    HandBack(held);
  }
}

void Pod::Arm(Held& held) {
  held.phase = Phase::kWaiting;
  held.mark = next_mark_++;
  const Present& p = held.job.present;
  // What needs a decision first does not wait for its time.
  const bool decide_now = p.to_plan || p.begun || p.completed_at;
  wheel_.Add(decide_now ? FromMicros(0) : p.due_at, {held.job.key, held.mark});
}

// Forgets a job: it is not ours any more.
void Pod::Drop(JobKey key) {
  const auto it = held_.find(key);
  if (it == held_.end()) return;
  Held& held = it->second;
  if (held.phase == Phase::kRunning) {
    cancels_.push_back(held.run);
    runs_.erase(held.run);
    GiveUpSlots(held.run);
  }
  if (held.phase == Phase::kReady) --ready_count_;
  ReturnGrant(key);
  rate_ -= held.rate;
  held_.erase(it);
  if (held_.empty()) rate_ = 0;  // no drift of the sum
}

// Gives a job back, unsettled, once nothing of it runs or waits for a commit.
void Pod::HandBack(Held& held) {
  held.hand_back = true;
  const bool lies = held.phase == Phase::kWaiting || held.phase == Phase::kReady || held.phase == Phase::kQueued;
  if (held.uncommitted > 0 || !lies) return;
  if (held.phase == Phase::kReady) --ready_count_;
  ReturnGrant(held.job.key);
  held.phase = Phase::kReleasing;
  to_release_.emplace_back(held.job.key, held.job.fence);
}

// What waits of queues that rest; what runs goes on to its end.
void Pod::HandBackPaused() {
  if (!paused_.all && paused_.queues.empty()) return;
  for (auto& [key, held] : held_) {
    if (paused_.Hold(held.job.definition->queue)) HandBack(held);
  }
}

// --- runs

void Pod::ExpireTimers(BootTime now) {
  if (!clock_.known() || life_ != Life::kRunning) return;
  wheel_.Expire(clock_.At(now), [&](Timer t) {
    const auto it = held_.find(t.key);
    if (it == held_.end() || it->second.mark != t.mark || it->second.phase != Phase::kWaiting) return;
    MakeReady(now, it->second);
  });
}

void Pod::MakeReady(BootTime now, Held& held) {
  if (held.hand_back) {
    HandBack(held);
    return;
  }
  if (held.uncommitted_runs >= kRunAhead && commits_channel_.failures == 0) {
    held.waits_for_commit = true;
    return;
  }
  held.waits_for_commit = false;
  if (auto settlement = BeforeStart(held, clock_.At(now))) {
    Settled(now, held, std::move(*settlement));
    return;
  }
  BecomeReady(held, held.job.definition->priority);
}

void Pod::BecomeReady(Held& held, int priority) {
  held.phase = Phase::kReady;
  ++ready_count_;
  const ReadyEntry entry{priority, held.job.present.due_at, held.job.key, held.mark};
  ready_.push(entry);
  ready_by_age_.push(entry);
}

// What must be settled before the present occurrence may start, if anything.
std::optional<Settlement> Pod::BeforeStart(const Held& held, Instant store_now) {
  const JobDefinition& job = *held.job.definition;
  const Present& p = held.job.present;
  if (held.marked_here) {  // decided before it was marked; but marking may have taken long
    const auto deadline = DeadlineOf(job, p.fire_time);
    if (!deadline || store_now < *deadline) return std::nullopt;
    return Settle(job, p, {.verdict = Verdict::kTimedOut, .error = "its deadline passed before it could start"},
                  store_now);
  }
  const bool plain = !p.to_plan && !p.begun && !p.completed_at && p.lost == 0;
  const Duration late = store_now - p.fire_time;
  if (plain && late <= LateThreshold(job) && (late < job.deadline || job.deadline == Duration::zero()) &&
      job.overlap == Overlap::kWait) {
    return std::nullopt;
  }
  return SettleBeforeStart(job, p, store_now);
}

// The entry is not overtaken: its job is ready still.
bool Pod::Stands(const ReadyEntry& e) const {
  const auto it = held_.find(e.key);
  return it != held_.end() && it->second.mark == e.mark && it->second.phase == Phase::kReady;
}

void Pod::StartReady(BootTime now, Commands* out) {
  while (!ready_.empty() && MayStart(now) && Starting() < options_.max_running) {
    // Mostly the highest priority; but none waits for ever behind higher ones.
    while (!ready_by_age_.empty() && !Stands(ready_by_age_.top())) ready_by_age_.pop();
    const bool by_age = starts_ % kOldestEvery == kOldestEvery - 1 && !ready_by_age_.empty();
    const ReadyEntry top = by_age ? ready_by_age_.top() : ready_.top();
    if (by_age) {
      ready_by_age_.pop();
    } else {
      ready_.pop();
    }
    if (!Stands(top)) continue;
    ++starts_;
    Held& held = held_.at(top.key);
    --ready_count_;
    if (held.hand_back && !held.marked_here) {  // it could not be given up while a commit of it was under way
      held.phase = Phase::kWaiting;
      HandBack(held);
      continue;
    }
    const Present& p = held.job.present;
    if (clock_.At(now) < p.due_at) {  // the store's clock was set back meanwhile
      held.phase = Phase::kWaiting;
      wheel_.Add(p.due_at, {top.key, top.mark});
      continue;
    }
    if (auto settlement = BeforeStart(held, clock_.At(now))) {  // too late, after its wait for a slot
      Settled(now, held, std::move(*settlement));
      continue;
    }
    if (IsLimited(*held.job.definition) && !IsGranted(now, top.key)) {
      WaitForLimits(now, held);
      continue;
    }
    if (held.job.definition->delivery == Delivery::kAtMostOnce && !p.begun) {
      held.phase = Phase::kBeginning;
      to_begin_.push_back({top.key, held.job.fence, p.fire_time, p.attempt});
      continue;
    }
    held.phase = Phase::kRunning;
    held.run = next_run_++;
    runs_[held.run] = {.key = top.key, .fence = held.job.fence, .give_up_at = {}};
    LimitTime(now, held);
    BootTime start_before = UseGrant(held);
    if (const auto deadline = DeadlineOf(*held.job.definition, p.fire_time)) {
      start_before = std::min(start_before, clock_.When(*deadline));
    }
    out->start.push_back(
        {held.run, held.job.definition, p.fire_time, p.attempt, held.job.fence, top.key, start_before});
    ++counters_.started;
  }
}

// When a run that starts now is told to stop, and why: the first of its timeout, its deadline and its replacement.
void Pod::LimitTime(BootTime now, const Held& held) {
  const JobDefinition& job = *held.job.definition;
  const Present& p = held.job.present;
  Run& run = runs_.at(held.run);
  std::optional<Duration> limit;
  const auto at_most = [&](Duration left, Stop why) {
    if (limit && *limit <= left) return;
    limit = std::max(left, Duration(1));
    run.at_time = why;
  };
  if (job.timeout.count() > 0) at_most(job.timeout, Stop::kTimedOut);
  if (const auto deadline = DeadlineOf(job, p.fire_time)) at_most(*deadline - clock_.At(now), Stop::kTimedOut);
  if (job.overlap == Overlap::kReplace) {
    if (const auto next = job.schedule.AnchoredAt(p.created_at).Next(p.fire_time)) {
      at_most(StartAt(job, held.job.key, *next) - clock_.At(now), Stop::kReplaced);
    }
  }
  if (limit) timeouts_.emplace(now + *limit, held.run);
}

void Pod::OnBegun(BootTime now, const Result<std::vector<bool>>& reply) {
  const bool ours = Answered(commits_channel_, now, reply ? nullptr : &reply.error());
  if (!ours) return;
  if (!reply) {
    for (const BeginRequest& b : beginning_) {
      const auto it = held_.find(b.key);
      if (it == held_.end() || it->second.phase != Phase::kBeginning || it->second.job.fence != b.fence) continue;
      if (life_ == Life::kRunning) {
        to_begin_.push_back(b);
      } else {  // it will not start here; the next owner sees whether the mark was set
        it->second.phase = Phase::kWaiting;
        HandBack(it->second);
      }
    }
    beginning_.clear();
    return;
  }
  for (std::size_t i = 0; i < beginning_.size(); ++i) {
    const auto it = held_.find(beginning_[i].key);
    if (it == held_.end() || it->second.phase != Phase::kBeginning || it->second.job.fence != beginning_[i].fence)
      continue;
    Held& held = it->second;
    if (!(*reply)[i]) {
      // Stale, or the user paused or removed it: ownership is decided by the heartbeat and the commit.
      held.phase = Phase::kWaiting;
      held.hand_back = true;
      HandBack(held);
      continue;
    }
    held.job.present.begun = true;
    held.marked_here = true;
    if (life_ != Life::kRunning) {
      Finish(now, held, {Verdict::kLost, std::nullopt, std::nullopt, "marked as started, but not started in time"});
      continue;
    }
    BecomeReady(held, std::numeric_limits<int>::max());  // before all others: the slot was kept for it
  }
  beginning_.clear();
}

void Pod::OnFinished(BootTime now, std::vector<RunFinished> finished) {
  for (RunFinished& f : finished) {
    FreeAfter(now, f);
    const auto run = runs_.find(f.id);
    if (run == runs_.end()) {  // given up, or of an ended session
      ++counters_.stale;
      continue;
    }
    const Run r = run->second;
    runs_.erase(run);
    const auto it = held_.find(r.key);
    if (it == held_.end() || it->second.run != f.id || it->second.phase != Phase::kRunning) continue;
    Held& held = it->second;
    if (!f.started) {
      --counters_.started;
      if (held.job.present.begun) {
        Finish(now, held, {Verdict::kLost, std::nullopt, std::nullopt, "marked as started, but not started in time"});
      } else {
        Arm(held);
        if (held.hand_back || life_ != Life::kRunning) HandBack(held);
      }
      continue;
    }
    const Instant started = clock_.At(f.started_at);
    if (held.job.present.attempt == 1) {
      counters_.lateness_max = std::max(counters_.lateness_max, started - held.job.present.due_at);
    }
    if (f.verdict == Verdict::kCancelled && life_ != Life::kRunning && r.told == Stop::kNone &&
        !held.job.present.begun) {
      held.phase = Phase::kWaiting;  // stopped by our shutdown: it runs again elsewhere
      HandBack(held);
      continue;
    }
    if (f.verdict == Verdict::kCancelled && r.told == Stop::kSlotsLost && !held.job.present.begun) {
      Arm(held);  // it runs again once it has slots again
      if (held.hand_back) HandBack(held);
      continue;
    }
    Outcome outcome{f.verdict, started, clock_.At(f.finished_at), std::move(f.error), std::move(f.output)};
    if (r.told != Stop::kNone && f.verdict != Verdict::kSucceeded) {
      outcome.verdict = r.told == Stop::kTimedOut ? Verdict::kTimedOut : Verdict::kCancelled;
      if (outcome.error.empty() || r.told == Stop::kReplaced) outcome.error = StopText(r.told);
    }
    Finish(now, held, outcome);
  }
}

void Pod::CheckTimeouts(BootTime now, Commands* out) {
  while (!timeouts_.empty() && timeouts_.begin()->first <= now) {
    const RunId id = timeouts_.begin()->second;
    timeouts_.erase(timeouts_.begin());
    const auto run = runs_.find(id);
    if (run == runs_.end()) continue;
    const auto it = held_.find(run->second.key);
    const Stop told = run->second.told;
    if (told == Stop::kNone) {
      StopRun(now, id, run->second, run->second.at_time);
    } else if (it != held_.end() && now >= run->second.give_up_at) {
      runs_.erase(run);
      GiveUpSlots(id);
      out->abandon.push_back(id);
      Finish(now, it->second,
             {told == Stop::kTimedOut ? Verdict::kTimedOut : Verdict::kCancelled, std::nullopt, clock_.At(now),
              told == Stop::kCancelled ? "ignored its cancellation"
                                       : fmt::format("{}, and ignored its cancellation", StopText(told))});
    }
  }
}

void Pod::Finish(BootTime now, Held& held, const Outcome& outcome) {
  Settlement settlement = Settle(*held.job.definition, held.job.present, outcome, clock_.At(now));
  RunReport report;
  report.run = {
      held.job.definition, held.job.present.fire_time, held.job.present.attempt, held.job.fence, held.job.key, {}};
  report.verdict = outcome.verdict;
  report.error = outcome.error;
  report.output = outcome.output;
  report.retried = settlement.retried;
  reports_.push_back(std::move(report));
  Settled(now, held, std::move(settlement));
}

bool Pod::KeepAfter(const Held& held, const Plan& next, Instant store_now) {
  if (life_ != Life::kRunning || held.hand_back || !next.fire_time || next.pause ||
      next.due_at > store_now + options_.horizon) {
    return false;
  }
  if (held.rate > 0 && surplus_ + 1e-9 >= held.rate) {
    surplus_ -= held.rate;
    return false;
  }
  return true;
}

// Puts the decision into the outbox, and the job on its way.
void Pod::Settled(BootTime now, Held& held, Settlement settlement) {
  ReturnGrant(held.job.key);
  Completion c;
  c.key = held.job.key;
  c.fence = held.job.fence;
  c.fire_time = held.job.present.fire_time;
  c.attempt = held.job.present.attempt;
  c.version = held.job.present.version;
  c.run = std::move(settlement.run);
  c.next = settlement.next;
  if (c.next.fire_time) PutOff(held.job, *c.next.fire_time, c.next.attempt, c.next.due_at);
  if (c.run && (FailedForGood(c.run->verdict, c.run->settles) || HasFollowers(*held.job.definition))) {
    c.ran = held.job.definition;
  }
  c.keep = KeepAfter(held, c.next, clock_.At(now));
  held.marked_here = false;
  if (c.keep) {
    held.job.present = Advance(held.job.present, c.next);
    Arm(held);
  } else {
    held.phase = Phase::kLeaving;
  }
  ++held.uncommitted;
  if (IsRun(c)) ++held.uncommitted_runs;
  if (outbox_.empty()) outbox_since_ = now;
  outbox_.push_back(std::move(c));
}

// --- commits

void Pod::OnCommitted(BootTime now, const Result<CommitReply>& reply) {
  if (!Answered(commits_channel_, now, reply ? nullptr : &reply.error())) return;
  if (!reply) {
    // Sent again as they are: what was applied already is told apart by the store.
    outbox_.insert(outbox_.begin(), std::make_move_iterator(committing_.begin()),
                   std::make_move_iterator(committing_.end()));
    committing_.clear();
    // The store is away: what waited for it goes on. It may settle skips, and so add to the outbox.
    std::vector<JobKey> waiting;
    for (const auto& [key, held] : held_) {
      if (held.waits_for_commit) waiting.push_back(key);
    }
    for (const JobKey key : waiting) MakeReady(now, held_.at(key));
    return;
  }
  clock_.AddSample(reply->store_time, commit_sent_, now);
  for (std::size_t i = 0; i < committing_.size(); ++i) OnAnswer(now, committing_[i], reply->answers[i]);
  committing_.clear();
}

void Pod::OnAnswer(BootTime now, const Completion& c, const CommitAnswer& answer) {
  const auto it = held_.find(c.key);
  const bool held_still = it != held_.end() && it->second.job.fence == c.fence;
  switch (answer.outcome) {
    case CommitOutcome::kApplied:
    case CommitOutcome::kAlreadyApplied:
      ++counters_.committed;
      // What it triggered is due.
      if (c.run && c.ran && !FollowersOf(*c.ran, c.run->verdict, c.run->settles).empty()) {
        next_claim_ = std::min(next_claim_, now);
      }
      if (!held_still) return;
      --it->second.uncommitted;
      if (IsRun(c)) --it->second.uncommitted_runs;
      if (!answer.kept) {
        // Given up as asked, or because a user changed the job meanwhile.
        Drop(c.key);
      } else if (it->second.phase == Phase::kLeaving && it->second.uncommitted == 0) {
        // It was to be given up, and the store says that it is still ours.
        to_release_.emplace_back(c.key, c.fence);
        Drop(c.key);
      } else if (it->second.hand_back) {
        HandBack(it->second);
      } else if (it->second.waits_for_commit) {
        MakeReady(now, it->second);
      }
      return;
    case CommitOutcome::kStale:
      ++counters_.stale;
      if (held_still) {
        // Whatever the reason, nothing is kept that this pod no longer minds; under a newer fence it is a no-op.
        to_release_.emplace_back(c.key, c.fence);
        Drop(c.key);
      }
      return;
    case CommitOutcome::kRefused:
      warnings_.push_back("the store refused the data of a run: " + answer.error);
      if (!held_still) return;
      if (c.run && c.run->error != kRefusedText) {
        Completion again = c;
        again.run->error = kRefusedText;
        if (outbox_.empty()) outbox_since_ = now;
        outbox_.push_front(std::move(again));
      } else {
        it->second.uncommitted = 0;
        const Fence fence = it->second.job.fence;
        Drop(c.key);
        to_release_.emplace_back(c.key, fence);
      }
      return;
  }
}

void Pod::OnReleased(BootTime now, const Status& reply) {
  if (!Answered(commits_channel_, now, reply ? nullptr : &reply.error())) return;
  if (!reply) {
    to_release_.insert(to_release_.end(), releasing_.begin(), releasing_.end());
    releasing_.clear();
    return;
  }
  for (const auto& [key, fence] : releasing_) {
    const auto it = held_.find(key);
    if (it != held_.end() && it->second.job.fence == fence && it->second.phase == Phase::kReleasing) Drop(key);
  }
  releasing_.clear();
  publish_.push_back(Wake::kReleased);
}

// --- wishes

void Pod::OnWake(BootTime now, Wake wake) {
  if (wake == Wake::kSlots) {
    AskAgain(now);
    return;
  }
  next_claim_ = std::min(next_claim_, now);
  if (wake != Wake::kReleased) next_beat_ = std::min(next_beat_, std::max(now, last_beat_sent_ + kWakeGap));
}

void Pod::OnStop(BootTime now, Duration grace) {
  if (life_ != Life::kRunning) return;
  life_ = Life::kDraining;
  grace_until_ = now + grace;
  for (const BeginRequest& b : to_begin_) {  // not asked yet, so not marked
    if (const auto it = held_.find(b.key); it != held_.end()) it->second.phase = Phase::kWaiting;
  }
  to_begin_.clear();
  for (auto& [key, held] : held_) {
    held.hand_back = true;
    HandBack(held);
  }
}

// --- Step

Commands Pod::Step(BootTime now) {
  Commands out;
  CheckSlots(now);
  CheckTimeouts(now, &out);
  ExpireTimers(now);
  StartReady(now, &out);
  if (life_ == Life::kDraining) {
    const bool quiet = runs_.empty() && outbox_.empty() && committing_.empty() && to_release_.empty() &&
                       releasing_.empty() && to_begin_.empty() && beginning_.empty() && SlotsQuiet();
    if (quiet || !session_) {
      life_ = Life::kEnding;
      grace_until_ = std::max(grace_until_, now + kEndingGrace);
    } else if (now >= grace_until_) {
      for (const auto& [id, run] : runs_) out.cancel.push_back(id);
      life_ = Life::kEnding;  // what answers the cancellation within a second is still committed
      grace_until_ = now + kEndingGrace;
      next_beat_ = now + kShutdownCancelGrace;
    }
  }
  CallSessions(now, &out);
  CallClaims(now, &out);
  CallCommits(now, &out);
  CallLocks(now, &out);
  out.cancel.insert(out.cancel.end(), cancels_.begin(), cancels_.end());
  cancels_.clear();
  out.reports.swap(reports_);
  out.publish.swap(publish_);
  out.warnings.swap(warnings_);
  if (life_ == Life::kEnding && (!session_ || now >= grace_until_)) life_ = Life::kStopped;
  out.stopped = life_ == Life::kStopped;
  out.sleep_until = NextStep(now);
  return out;
}

void Pod::CallSessions(BootTime now, Commands* out) {
  Channel& channel = sessions_channel_;
  if (channel.busy || now < channel.not_before || life_ == Life::kStopped) return;
  if (!session_) {
    if (life_ != Life::kRunning) return;
    out->session_call = OpenSessionRequest{options_.name, options_.ttl};
    Send(channel);
    return;
  }
  if (life_ == Life::kEnding) {
    const bool quiet = runs_.empty() && outbox_.empty() && committing_.empty() && to_release_.empty() &&
                       releasing_.empty() && SlotsQuiet();
    if (!quiet && now < next_beat_) return;
    out->session_call = EndSessionCall{*session_};
    Send(channel);
    return;
  }
  if (now >= next_beat_) {
    out->session_call = BeatRequest{*session_, rate_, static_cast<std::int64_t>(held_.size())};
    last_beat_sent_ = now;
    next_beat_ = now + options_.heartbeat;  // unless something happens meanwhile: what this beat asks may be older
    Send(channel);
    return;
  }
  if (!to_reclaim_.empty()) {
    out->session_call = to_reclaim_.front();
    to_reclaim_.pop_front();
    Send(channel);
  }
}

void Pod::CallClaims(BootTime now, Commands* out) {
  Channel& channel = claims_channel_;
  if (channel.busy || now < channel.not_before || !session_ || life_ != Life::kRunning || now >= deadline_) return;
  if (need_recover_) {
    RecoverCall call{*session_, {}};
    call.known.reserve(held_.size());
    for (const auto& [key, held] : held_) call.known.emplace_back(key, held.job.fence);
    for (const auto* leaving : {&to_release_, &releasing_}) {  // dropped, but the store may not know yet
      call.known.insert(call.known.end(), leaving->begin(), leaving->end());
    }
    out->claim_call = std::move(call);
    Send(channel);
    return;
  }
  if (now < next_claim_ || !clock_.known()) return;
  ClaimRequest request{.session = *session_,
                       .horizon = std::min(options_.horizon, kImminent),
                       .limit = std::max(1, options_.claim_batch / 8),
                       .queues = AwakeQueues(),
                       .oldest_first = ++claims_ % kOldestEvery == 0};
  if (request.queues.empty()) {
    next_claim_ = now + kSatedClaimPeriod;
    return;
  }
  const std::size_t busy = ready_count_ + runs_.size();
  if (busy >= options_.max_running) {
    // No free slot: others may have one. But what waits here must not keep from its turn what waits in the store: a
    // higher priority, and now and then what waits longest.
    next_claim_ = now + kHungryClaimPeriod;
    while (!ready_.empty() && !Stands(ready_.top())) ready_.pop();
    if (ready_.empty()) return;
    request.horizon = Duration(1);
    if (request.oldest_first) {
      request.limit = 1;
    } else {
      request.above = ready_.top().priority;
      if (request.above >= kHighestPriority) return;
    }
    out->claim_call = std::move(request);
    Send(channel);
    return;
  }
  next_claim_ = now + Jittered(kSatedClaimPeriod);
  if (pods_ > 0 && total_jobs_ > 0) {
    const double one_job = total_rate_ / static_cast<double>(total_jobs_);
    const double deficit =
        one_job > 0 ? (FairShare() - rate_) / one_job + 0.01 : static_cast<double>(options_.claim_batch);
    if (deficit >= 1) {
      request.horizon = options_.horizon;
      request.limit = static_cast<int>(std::min(deficit, static_cast<double>(options_.claim_batch)));
      next_claim_ = now + Jittered(kHungryClaimPeriod);
    }
  }
  request.limit = static_cast<int>(std::min<std::size_t>(request.limit, options_.max_running - busy));
  out->claim_call = std::move(request);
  Send(channel);
}

// Not asked for what would be handed back at once.
std::vector<std::string> Pod::AwakeQueues() const {
  std::vector<std::string> queues;
  std::copy_if(options_.queues.begin(), options_.queues.end(), std::back_inserter(queues),
               [&](const std::string& queue) { return !paused_.Hold(QueueOf(queue)); });
  return queues;
}

void Pod::CallCommits(BootTime now, Commands* out) {
  Channel& channel = commits_channel_;
  if (channel.busy || now < channel.not_before || !session_) return;
  // The mark is set on the row as the commit before it leaves it; and marks must not hold up commits for ever.
  const auto blocked = std::partition(to_begin_.begin(), to_begin_.end(), [&](const BeginRequest& b) {
    const auto it = held_.find(b.key);
    return it == held_.end() || it->second.uncommitted == 0;
  });
  if (blocked != to_begin_.begin() && (outbox_.empty() || !begun_last_)) {
    beginning_.assign(to_begin_.begin(), blocked);
    to_begin_.erase(to_begin_.begin(), blocked);
    begun_last_ = true;
    out->commit_call = BeginCall{*session_, beginning_};
    Send(channel);
    return;
  }
  if (!to_release_.empty()) {
    releasing_.swap(to_release_);
    out->commit_call = ReleaseCall{*session_, releasing_};
    Send(channel);
    return;
  }
  if (outbox_.empty()) return;
  if (now < CommitDue()) return;
  begun_last_ = false;
  ++batch_;
  std::deque<Completion> later;  // second completions of a job wait for the next commit, in order
  while (!outbox_.empty() && committing_.size() < options_.commit_batch && later.size() < options_.commit_batch) {
    Completion c = std::move(outbox_.front());
    outbox_.pop_front();
    const auto it = held_.find(c.key);
    if (it == held_.end() || it->second.job.fence != c.fence) {
      ++counters_.stale;  // the store said so of an earlier one
      continue;
    }
    if (it->second.in_batch == batch_) {
      later.push_back(std::move(c));
      continue;
    }
    it->second.in_batch = batch_;
    committing_.push_back(std::move(c));
  }
  const bool waited = !later.empty();
  outbox_.insert(outbox_.begin(), std::make_move_iterator(later.begin()), std::make_move_iterator(later.end()));
  outbox_since_ = waited ? now - kLargeBatchLinger : now;  // what waited once does not linger
  last_batch_size_ = committing_.size();
  if (committing_.empty()) return;
  out->commit_call = CommitCall{*session_, committing_};
  commit_sent_ = now;
  Send(channel);
}

// When the outbox is to be sent: at once when a batch is full or somebody waits for it, else after the linger. A pod
// whose batches are large lingers longer: it is throughput that counts then, and a commit's fixed cost is shared by
// more.
BootTime Pod::CommitDue() const {
  if (outbox_.size() >= options_.commit_batch || !to_begin_.empty() || life_ != Life::kRunning) return outbox_since_;
  return outbox_since_ + (last_batch_size_ >= kLargeBatch ? std::max(options_.commit_linger, kLargeBatchLinger)
                                                          : options_.commit_linger);
}

BootTime Pod::NextStep(BootTime now) const {
  BootTime next = now + kLongestSleep;
  const auto at = [&](BootTime t) { next = std::min(next, t); };
  if (life_ == Life::kStopped) return now;
  if (!sessions_channel_.busy) {
    at(session_ ? std::max(next_beat_, sessions_channel_.not_before) : sessions_channel_.not_before);
    if (!to_reclaim_.empty() && life_ != Life::kEnding) at(sessions_channel_.not_before);
  }
  if (life_ == Life::kRunning) {
    if (const auto due = wheel_.Next(); due && clock_.known()) at(clock_.When(*due));
    if (session_ && !claims_channel_.busy && now < deadline_) {
      if (need_recover_ || clock_.known()) at(std::max(need_recover_ ? now : next_claim_, claims_channel_.not_before));
    }
  } else {
    at(grace_until_);
  }
  if (session_ && !commits_channel_.busy) {
    if (!to_begin_.empty() || !to_release_.empty()) at(commits_channel_.not_before);
    if (!outbox_.empty()) at(std::max(commits_channel_.not_before, CommitDue()));
  }
  if (!timeouts_.empty()) at(timeouts_.begin()->first);
  at(NextLockCall(now));
  if (!slots_.empty()) at(next_slot_check_);
  return std::max(next, now);
}

// --- limits

bool Pod::MayStart(BootTime now) const {
  return session_ && now < deadline_ && life_ == Life::kRunning &&
         outbox_.size() + committing_.size() < options_.outbox_limit;
}

SlotRequest Pod::RequestFor(const JobDefinition& job) {
  // A name is asked for once: what becomes of a request whose answer was lost then matters to nobody.
  SlotRequest request{fmt::format("{}/{}", options_.token, next_holder_++), job.limits, job.rates};
  for (RateLimit& rate : request.rates) rate.per += kStartDelay + kStartDelay / 1'000 + Duration(1);
  return request;
}

void Pod::WaitForLimits(BootTime now, Held& held) {
  const JobDefinition& job = *held.job.definition;
  auto [it, fresh] = queues_.try_emplace(QueueName(job));
  Queue& queue = it->second;
  if (fresh) {
    queue.ask_at = now;
    queue.most = static_cast<int>(kAskBatch);
    for (const ConcurrencyLimit& limit : job.limits) queue.most = std::min(queue.most, limit.slots);
    for (const RateLimit& rate : job.rates) queue.most = std::min(queue.most, rate.starts);
  }
  held.phase = Phase::kQueued;
  queue.jobs.push({job.priority, held.job.present.due_at, held.job.key, held.mark});
  next_ask_ = std::min(next_ask_, queue.ask_at);
}

// The best jobs of each queue that does not pause. They hold no place among the runs meanwhile.
bool Pod::Ask(BootTime now, Commands* out) {
  if (now < next_ask_ || !MayStart(now) || Room() == 0) return false;
  std::erase_if(queues_, [](const auto& queue) { return queue.second.jobs.empty(); });
  const std::size_t room = std::min(kAskBatch, Room());
  next_ask_ = BootTime::max();
  for (auto& [name, queue] : queues_) {
    int asked = 0;
    while (queue.ask_at <= now && asked < queue.most && !queue.jobs.empty() && asking_.size() < room) {
      const ReadyEntry entry = queue.jobs.top();
      queue.jobs.pop();
      const auto it = held_.find(entry.key);
      if (it == held_.end() || it->second.mark != entry.mark || it->second.phase != Phase::kQueued) continue;
      Held& held = it->second;
      if (held.hand_back) {
        HandBack(held);
      } else if (auto settlement = BeforeStart(held, clock_.At(now))) {  // too late, after its wait
        Settled(now, held, std::move(*settlement));
      } else {
        held.phase = Phase::kAsking;
        asking_.push_back({entry, name, RequestFor(*held.job.definition)});
        ++asked;
      }
    }
    if (!queue.jobs.empty()) next_ask_ = std::min(next_ask_, queue.ask_at);
  }
  if (asking_.empty()) return false;
  std::stable_sort(asking_.begin(), asking_.end(), [](const Asked& a, const Asked& b) { return b.entry < a.entry; });
  TakeSlotsCall call{{}, SlotTtl()};
  for (const Asked& asked : asking_) call.requests.push_back(asked.request);
  out->lock_call = std::move(call);
  return true;
}

void Pod::OnSlotsTaken(BootTime now, BootTime sent, const Result<std::vector<SlotAnswer>>& reply) {
  (void)Answered(locks_channel_, now, reply ? nullptr : &reply.error());
  if (!reply && locks_channel_.failures == 1) {
    warnings_.push_back("the lock service does not answer: jobs with limits wait for it");
  }
  renewing_.empty() ? OnAsked(now, sent, reply) : OnRenewed(now, sent, reply ? &*reply : nullptr);
}

void Pod::OnAsked(BootTime now, BootTime sent, const Result<std::vector<SlotAnswer>>& reply) {
  const std::vector<Asked> asking = std::exchange(asking_, {});
  for (std::size_t i = 0; i < asking.size(); ++i) {
    const Asked& asked = asking[i];
    const SlotAnswer answer = reply ? (*reply)[i] : SlotAnswer{};
    const bool in_doubt = !reply && reply.error().code != Code::kUnavailable;
    const auto it = held_.find(asked.entry.key);
    const bool ours = it != held_.end() && it->second.mark == asked.entry.mark && it->second.phase == Phase::kAsking;
    const bool wanted = ours && !it->second.hand_back && life_ == Life::kRunning;
    if (in_doubt || (answer.granted && !wanted)) to_free_.emplace_back(asked.request, now + SlotTtl());
    if (!ours) continue;
    it->second.phase = Phase::kQueued;
    if (!wanted) {
      HandBack(it->second);
      continue;
    }
    Queue& queue = queues_[asked.queue];
    if (answer.granted) {
      queue.pause = Duration(0);
      Granted(sent, it->second, asked.request);
      continue;
    }
    queue.jobs.push(asked.entry);
    if (reply && queue.ask_at <= now) {  // the first of this call that was refused
      queue.pause = std::min(std::max(2 * queue.pause, kFirstAskPause), kLongestAskPause);
      queue.for_rates = answer.again.count() > 0;
      queue.ask_at = now + (queue.for_rates ? std::min(answer.again, kLongestRateWait) : Jittered(queue.pause));
    }
  }
  for (const auto& [name, queue] : queues_) {
    if (!queue.jobs.empty()) next_ask_ = std::min(next_ask_, queue.ask_at);
  }
}

void Pod::Granted(BootTime sent, Held& held, SlotRequest request) {
  const BootTime until = LeaseEnd(sent);
  const BootTime start_before =
      request.rates.empty() ? until - SlotMargin() : std::min(until - SlotMargin(), sent + kStartDelay);
  grants_[held.job.key] = {std::move(request), until, start_before, sent + options_.heartbeat};
  BecomeReady(held, std::numeric_limits<int>::max());  // before all others: it keeps what they wait for
}

bool Pod::IsGranted(BootTime now, JobKey key) {
  const auto it = grants_.find(key);
  if (it == grants_.end()) return false;
  if (now < it->second.start_before) return true;
  ReturnGrant(key);  // it waited for too long
  return false;
}

// A job will not start upon what it was granted.
void Pod::ReturnGrant(JobKey key) {
  if (grants_.empty()) return;
  const auto it = grants_.find(key);
  if (it == grants_.end()) return;
  to_free_.emplace_back(std::move(it->second.request), it->second.until);
  grants_.erase(it);
}

// Gives the time before which the run must start.
BootTime Pod::UseGrant(const Held& held) {
  if (grants_.empty()) return deadline_;
  const auto it = grants_.find(held.job.key);
  if (it == grants_.end()) return deadline_;
  const BootTime start_before = std::min(deadline_, it->second.start_before);
  if (!it->second.request.limits.empty()) {
    next_renewal_ = std::min(next_renewal_, it->second.renew_at);
    next_slot_check_ = std::min(next_slot_check_, it->second.until - SlotMargin());
  }
  slots_.emplace(held.run, std::move(it->second));
  grants_.erase(it);
  return start_before;
}

bool Pod::Renew(BootTime now, Commands* out) {
  if (now < next_renewal_) return false;
  TakeSlotsCall call{{}, SlotTtl()};
  next_renewal_ = BootTime::max();
  for (auto& [id, grant] : slots_) {
    if (grant.given_up || grant.request.limits.empty()) continue;
    if (grant.renew_at <= now && renewing_.size() < kSlotBatch) {
      grant.renew_at = now + options_.heartbeat;
      renewing_.push_back(id);
      call.requests.push_back({grant.request.holder, grant.request.limits});
    }
    next_renewal_ = std::min(next_renewal_, grant.renew_at);
  }
  if (renewing_.empty()) return false;
  out->lock_call = std::move(call);
  return true;
}

// No answers: the call failed.
void Pod::OnRenewed(BootTime now, BootTime sent, const std::vector<SlotAnswer>* answers) {
  const std::vector<RunId> renewing = std::exchange(renewing_, {});
  for (std::size_t i = 0; i < renewing.size(); ++i) {
    const auto it = slots_.find(renewing[i]);
    if (it == slots_.end() || it->second.given_up) continue;
    if (answers == nullptr) {
      it->second.renew_at = next_renewal_ = now;
    } else if ((*answers)[i].granted) {
      it->second.until = LeaseEnd(sent);
    } else {  // the service forgot them, and somebody else has them now
      StopForSlots(now, renewing[i]);
    }
  }
}

// Whose lease could not be renewed is stopped while nobody else can have its slots.
void Pod::CheckSlots(BootTime now) {
  if (now < next_slot_check_) return;
  next_slot_check_ = BootTime::max();
  for (auto it = slots_.begin(); it != slots_.end();) {
    Grant& grant = it->second;
    if (!grant.given_up && !grant.request.limits.empty() && now >= grant.until - SlotMargin()) {
      StopForSlots(now, it->first);
    }
    if (grant.given_up && now >= grant.until) {
      it = slots_.erase(it);
      continue;
    }
    if (grant.given_up || !grant.request.limits.empty()) {
      next_slot_check_ = std::min(next_slot_check_, grant.given_up ? grant.until : grant.until - SlotMargin());
    }
    ++it;
  }
}

void Pod::StopForSlots(BootTime now, RunId id) {
  GiveUpSlots(id);
  const auto it = runs_.find(id);
  if (it == runs_.end() || it->second.told != Stop::kNone) return;
  StopRun(now, id, it->second, Stop::kSlotsLost);
  if (const auto held = held_.find(it->second.key); held != held_.end()) {
    warnings_.push_back(fmt::format("the run of '{}' is stopped: the lock service does not keep its slots",
                                    held->second.job.definition->id));
  }
}

// They stay held until the task ends, or the lease.
void Pod::GiveUpSlots(RunId id) {
  if (slots_.empty()) return;
  const auto it = slots_.find(id);
  if (it == slots_.end()) return;
  it->second.given_up = true;
  next_slot_check_ = std::min(next_slot_check_, it->second.until);
}

// Of any task, whatever became of its run: now it is surely over.
void Pod::FreeAfter(BootTime now, const RunFinished& finished) {
  if (slots_.empty()) return;
  const auto it = slots_.find(finished.id);
  if (it == slots_.end()) return;
  SlotRequest request = std::move(it->second.request);
  slots_.erase(it);
  if (finished.started) request.rates.clear();
  if (!request.limits.empty() || !request.rates.empty()) to_free_.emplace_back(std::move(request), now + SlotTtl());
}

bool Pod::Free(BootTime now, Commands* out) {
  FreeSlotsCall call;
  while (!to_free_.empty() && call.requests.size() < kSlotBatch) {
    if (to_free_.front().second > now) {
      call.requests.push_back(to_free_.front().first);
      freeing_.push_back(std::move(to_free_.front()));
    }
    to_free_.pop_front();
  }
  if (call.requests.empty()) return false;
  out->lock_call = std::move(call);
  return true;
}

void Pod::OnSlotsFreed(BootTime now, const Status& reply) {
  (void)Answered(locks_channel_, now, reply ? nullptr : &reply.error());
  if (!reply) {
    to_free_.insert(to_free_.begin(), std::make_move_iterator(freeing_.begin()),
                    std::make_move_iterator(freeing_.end()));
    freeing_.clear();
    return;
  }
  freeing_.clear();
  publish_.push_back(Wake::kSlots);
  AskAgain(now);
}

// A slot was freed somewhere.
void Pod::AskAgain(BootTime now) {
  for (auto& [name, queue] : queues_) {
    if (queue.for_rates || queue.ask_at <= now) continue;
    std::uniform_int_distribution<std::int64_t> wait(0, kAskSpread.count());
    queue.ask_at = std::min(queue.ask_at, now + Duration(wait(random_)));
    if (!queue.jobs.empty()) next_ask_ = std::min(next_ask_, queue.ask_at);
  }
}

void Pod::CallLocks(BootTime now, Commands* out) {
  Channel& channel = locks_channel_;
  if (channel.busy || now < channel.not_before || life_ == Life::kStopped) return;
  if (Renew(now, out) || Free(now, out) || Ask(now, out)) Send(channel);
}

BootTime Pod::NextLockCall(BootTime now) const {
  if (locks_channel_.busy) return BootTime::max();
  BootTime next = to_free_.empty() ? next_renewal_ : now;
  if (MayStart(now) && Room() > 0) next = std::min(next, next_ask_);
  return std::max(next, locks_channel_.not_before);
}

// Nothing is left to say to the lock service, or it does not listen.
bool Pod::SlotsQuiet() const {
  return locks_channel_.failures > 0 || (asking_.empty() && to_free_.empty() && freeing_.empty());
}

PodCounters Pod::Counters() {
  PodCounters out = counters_;
  out.outbox = outbox_.size() + committing_.size();
  out.running = runs_.size();
  out.owned = held_.size();
  counters_.lateness_max = Duration(0);
  return out;
}

}  // namespace escapement
