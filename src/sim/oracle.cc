#include "sim/oracle.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace escapement::sim {
namespace {

bool IsSkip(Verdict v) {
  return v == Verdict::kSkippedMisfired || v == Verdict::kSkippedOverlapped || v == Verdict::kSkippedPaused;
}

constexpr Duration kHorizon = std::chrono::seconds(2);  // of claims
constexpr Duration kLongestThreshold = std::chrono::seconds(60);
constexpr Duration kInstant = std::chrono::milliseconds(5);  // that a pod that is well may know the time too late
constexpr Duration kObeyed = std::chrono::seconds(4);        // after a user's wish, by a pod that is well
constexpr int kRunsInSpite = 3;                              // of a user's wish: those that wait for their commit
constexpr Duration kSlack = std::chrono::milliseconds(400);  // between the command and the start
constexpr Duration kStandstill = std::chrono::seconds(1);    // of a pod, that may cost its runs their slots
constexpr Duration kTimeToStop = std::chrono::seconds(1);    // for a run, before its slots may be another's
constexpr Duration kLeased = std::chrono::seconds(10);       // the longest lease of a slot
constexpr Duration kStartDelay = std::chrono::seconds(1);    // the longest between a grant and its start
constexpr Duration kAskedAgain = std::chrono::seconds(4);    // a pod that is well renews its leases more often
constexpr Duration kSlowRenewal = std::chrono::seconds(2);   // later than a heartbeat
constexpr int kNeverPutOff = 48;                             // by chance only once in 2^48 times
constexpr Duration kAttended = std::chrono::seconds(3);

// A task was started for the present occurrence, or may have been.
bool WasBegun(const Present& p) { return p.fire_time > p.cursor && (p.attempt > 1 || p.begun || p.lost > 0); }

// The part of the window that is the job's: its key times the golden ratio, without the whole turns.
Duration PlaceIn(Duration window, JobKey key) {
  const double turns = static_cast<double>(key) * 0.6180339887498949;
  return Duration(static_cast<std::int64_t>((turns - std::floor(turns)) * static_cast<double>(window.count())));
}

// What a death may not change.
bool SameOccurrence(Present a, const Present& b) {
  a.lost = b.lost;
  return a == b;
}

}  // namespace

bool Grid::Has(Instant t) const {
  return t == first || (step.count() > 0 && t > first && (t - first) % step == Duration(0));
}

std::optional<Instant> Grid::After(Instant t) const {
  if (t < first) return first;
  if (step.count() == 0) return std::nullopt;
  return first + ((t - first) / step + 1) * step;
}

std::int64_t Grid::Count(Instant from, Instant last) const {
  std::int64_t n = 0;
  for (auto point = After(from - Duration(1)); point && *point <= last; point = After(*point)) ++n;
  return n;
}

void Oracle::Disturbed(const std::string& id) {
  disturbed_.insert(id);
  for (const JobKey key : keys_[id]) rows_[key].disturbed = true;
}

void Oracle::AskedToPause(const std::string& id) {
  for (const JobKey key : keys_[id]) rows_[key].to_pause = !rows_[key].child;
}

void Oracle::QueueRests(const std::string& queue, bool rests) {
  rests ? (void)resting_.emplace(queue, now()) : (void)resting_.erase(queue);
}

std::optional<Instant> Oracle::RestsSince(const std::string& queue) const {
  std::optional<Instant> since;
  for (const std::string& name : {queue, std::string()}) {
    const auto found = resting_.find(name);
    if (found != resting_.end() && (!since || found->second < *since)) since = found->second;
  }
  return since;
}

void Oracle::AskedToCancel(const std::string& id) {
  for (const JobKey key : keys_[id]) {
    const Row& row = rows_[key];
    if (row.owner) to_cancel_.insert({key, row.present.fire_time, row.present.attempt});
  }
}

void Oracle::OnBegin(const BeginCall& call) {
  for (const BeginRequest& b : call.requests) marks_.insert({call.session, b.key, b.fence, b.fire_time, b.attempt});
}

void Oracle::OnCommit(const CommitCall& call) {
  for (const Completion& c : call.completions) decided_.insert({call.session, c.key, c.fence, c.fire_time, c.attempt});
}

void Oracle::OnRelease(const ReleaseCall& call) {
  for (const auto& [key, fence] : call.jobs) given_back_.insert({call.session, key, fence});
}

void Oracle::OnSession(SessionId session, bool live) {
  if (!live && !left_.contains(session) && on_declared_dead) on_declared_dead(session);
  live ? (void)live_.insert(session) : (void)live_.erase(session);
  if (trace) trace(fmt::format("session {} {}", session, live ? "begins" : "is ended"));
}

void Oracle::CheckUniqueKey(const RowView& view) {
  const JobDefinition& d = view.definition;
  const bool active = view.state == JobState::kActive || view.state == JobState::kPaused;
  const bool holds = !view.parent && !view.gone && active && !d.unique.empty();
  const auto before = unique_key_of_.find(view.key);
  if (before != unique_key_of_.end() && (!holds || before->second != d.unique)) {
    if (UniqueKey& old = unique_keys_[before->second]; old.holder == view.key) old.holder.reset();
    unique_key_of_.erase(before);
  }
  if (!holds) return;
  UniqueKey& key = unique_keys_[d.unique];
  const auto text = [&] { return fmt::format("'{}' of {} is given to {}", d.unique, key.id, d.id); };
  Check(!key.holder || key.holder == view.key, "a unique key is held by one job at a time", text);
  Check(key.id == d.id || key.until <= now(), "a unique key is held for its window", text);
  key = {view.key, d.id, view.present.created_at + d.unique_for};
  unique_key_of_[view.key] = d.unique;
}

void Oracle::OnRow(const RowView& view) {
  CheckUniqueKey(view);
  auto [it, fresh] = rows_.try_emplace(view.key);
  Row& row = it->second;
  const Present& p = view.present;
  if (fresh) {
    row.id = view.definition.id;
    row.child = view.parent.has_value();
    row.settled = p.cursor;
    row.grids.push_back(row.child ? Grid{p.fire_time, {}} : grids_.at(row.id));
    row.last = {p.cursor, 0};
    row.present = p;
    row.fence = view.fence;
    keys_[row.id].insert(view.key);
    const auto handed_on = handed_on_.find({row.id, p.fire_time});
    if (row.child && handed_on != handed_on_.end()) {
      handed_on_.erase(handed_on);
    } else if (row.child) {
      auto& asked = to_follow_.contains(row.id) ? to_follow_ : to_trigger_;
      const auto one = asked.find(row.id);
      Check(one != asked.end(), "nothing is triggered unasked", [&] { return row.id; });
      if (one != asked.end()) asked.erase(one);
    }
    for (const JobKey other : keys_[row.id]) {
      Check(other == view.key || rows_[other].child || row.child || rows_[other].fence < view.fence,
            "fences of an id only grow", [&] { return fmt::format("{} begins again at {}", row.id, view.fence); });
    }
  }
  const JobDefinition& d = view.definition;
  if (p.version != row.present.version) {
    row.grids.push_back(grids_.at(row.id));
    row.changed = row.wished = now();
    row.in_spite = 0;
    row.pending = row.present.fire_time;
  } else if (row.state == JobState::kPaused && view.state == JobState::kActive) {
    if (row.present.to_plan && !view.owner) row.changed = now();
    Check(view.owner || p.to_plan || p.fire_time >= now(), "what passed in a pause is settled",
          [&] { return fmt::format("{} goes on at {}", row.id, FormatInstant(p.fire_time)); });
  } else if (row.state != view.state) {
    row.wished = now();
    row.in_spite = 0;
  }
  Check(!row.present.to_plan || p.to_plan || p.cursor != row.present.cursor || !WasBegun(row.present) ||
            p.fire_time == row.present.fire_time,
        "a plan keeps what was begun",
        [&] { return fmt::format("{} {}", row.id, FormatInstant(row.present.fire_time)); });
  Check(row.state != JobState::kRemoved || view.state == JobState::kRemoved, "what was removed stays removed",
        [&] { return row.id; });
  Check(!p.to_plan || p.fire_time == row.present.fire_time, "until its plan a job stays where the change met it", [&] {
    return fmt::format("{}: from {} to {}", row.id, FormatInstant(row.present.fire_time), FormatInstant(p.fire_time));
  });
  // A plan that keeps what the version before it had begun: the last version counts from there.
  if (row.present.to_plan && !p.to_plan && p.fire_time == row.pending && p.cursor < row.pending) {
    row.changed = row.pending;
  }
  // The place in a flex window is the job's for good.
  const bool placed = d.flex.count() > 0 && d.jitter.count() == 0 && view.owner && p.attempt == 1 && p.lost == 0 &&
                      !p.to_plan && p.due_at > p.fire_time;
  if (p.version != row.present.version) row.flex.reset();
  Check(!placed || !row.flex || p.due_at - p.fire_time == *row.flex, "a job keeps its place in its window",
        [&] { return fmt::format("{}: now {} us", row.id, (p.due_at - p.fire_time).count()); });
  if (placed) row.flex = p.due_at - p.fire_time;
  row.later = d.jitter + d.flex;
  row.deadline = d.deadline;
  row.replaces = d.overlap == Overlap::kReplace;
  row.hands_on = d.overlap == Overlap::kAllow;
  row.on_success = d.on_success;
  row.on_failure = d.on_failure;
  row.on_end = d.on_end;
  Check(p.to_plan || p.attempt > 1 || p.lost > 0 || p.due_at <= p.fire_time + row.later,
        "nothing is put off by more than jitter and flex",
        [&] { return fmt::format("{}: {} us", row.id, (p.due_at - p.fire_time).count()); });
  const bool paused = row.state == JobState::kActive && view.state == JobState::kPaused;
  const bool resumed = row.state == JobState::kPaused && view.state == JobState::kActive;
  const bool too_often = row.failed && d.pause_after > 0 && row.failures >= d.pause_after;
  Check(!paused || row.to_pause || too_often, "nothing but a user's wish and failures in a row pause a job",
        [&] { return fmt::format("{} after {} failures", row.id, row.failures); });
  // A change of definition that its pod did not know of comes first.
  Check(!too_often || view.state != JobState::kActive || p.to_plan || row.child,
        "too many failures in a row pause a job",
        [&] { return fmt::format("{}: {} of {}", row.id, row.failures, d.pause_after); });
  if (resumed) row.failures = 0;
  Check(p.failures == row.failures || row.child, "failures in a row are counted",
        [&] { return fmt::format("{}: {}, not {}", row.id, p.failures, row.failures); });
  if (paused && !row.to_pause && on_gave_up) on_gave_up(row.id);
  row.failed = row.to_pause = false;
  row.limited = !d.limits.empty() || !d.rates.empty();
  row.late = d.late.value_or(LatePolicy::kRunOnce);
  row.late_limit = d.late_limit;
  const Duration step = row.grids.back().step;
  if (row.grids.back().after_runs && !p.to_plan) {
    const auto text = [&] {
      return fmt::format("{}: {} after {}", row.id, FormatInstant(p.fire_time), FormatInstant(p.cursor));
    };
    if (p.cursor != row.present.cursor) {
      Check(p.fire_time >= std::max(p.cursor, row.ended.value_or(p.cursor)) + step, "a delay passes between two runs",
            text);
      Check(p.fire_time <= std::max(p.cursor, now()) + step || clock_stepped_, "a delay begins with the end of a run",
            text);
    } else if (row.present.to_plan && !WasBegun(row.present)) {
      Check(p.fire_time <= std::max(p.cursor, row.present.planned_from) + step, "no change makes a delay longer", text);
    }
  }
  row.threshold = d.late_threshold.value_or(step.count() == 0 ? kLongestThreshold : std::min(step, kLongestThreshold));
  Check(view.fence >= row.fence, "fences only grow",
        [&] { return fmt::format("{}: from {} to {}", row.id, row.fence, view.fence); });
  Check(!view.owner || live_.contains(*view.owner), "an ended session owns nothing",
        [&] { return fmt::format("{} is given to session {}", row.id, *view.owner); });
  Check(!view.owner || view.owner == row.owner || view.fence > row.fence, "a new owner has a new fence",
        [&] { return fmt::format("{}: session {} under fence {}", row.id, *view.owner, view.fence); });
  Check(!view.owner || !row.owner || view.owner == row.owner, "what is owned is not given away",
        [&] { return fmt::format("{}: from session {} to {}", row.id, *row.owner, *view.owner); });
  Check(!row.owner || view.owner || live_.contains(*row.owner) || view.fence > row.fence,
        "what a dead pod owned gets a new fence",
        [&] { return fmt::format("{} leaves session {} under fence {}", row.id, *row.owner, view.fence); });
  if (row.owner && !view.owner && live_.contains(*row.owner)) {
    Check(given_back_.contains({*row.owner, view.key, row.fence}) ||
              decided_.contains({*row.owner, view.key, row.fence, row.present.fire_time, row.present.attempt}),
          "nothing is taken from its owner unasked",
          [&] { return fmt::format("{}: session {} under fence {}", row.id, *row.owner, row.fence); });
  }
  if (view.owner && view.owner != row.owner) {
    row.owned_since = now();
    row.in_spite = 0;
    Check(view.state == JobState::kActive, "only active jobs are claimed", [&] { return row.id; });
    Check(!RestsSince(d.queue), "nothing is claimed of a queue that rests", [&] { return row.id; });
    Check((p.to_plan ? p.planned_from : p.due_at) < now() + kHorizon, "nothing is claimed beyond the horizon",
          [&] { return fmt::format("{}, due {}", row.id, FormatInstant(p.due_at)); });
  }
  if (row.owner && !view.owner && !live_.contains(*row.owner)) {
    Check(SameOccurrence(row.present, p), "a death changes no occurrence", [&] {
      return fmt::format("{}: {} attempt {} due {}, now {} attempt {} due {}", row.id,
                         FormatInstant(row.present.fire_time), row.present.attempt, FormatInstant(row.present.due_at),
                         FormatInstant(p.fire_time), p.attempt, FormatInstant(p.due_at));
    });
    Check(p.lost == row.present.lost + (left_.contains(*row.owner) ? 0 : 1), "the dead are counted",
          [&] { return fmt::format("{}: from {} to {}", row.id, row.present.lost, p.lost); });
  }
  Check(!view.gone || !view.owner, "what is owned does not go", [&] { return row.id; });
  Check(!p.begun || row.present.begun ||
            marks_.contains({view.owner.value_or(0), view.key, view.fence, p.fire_time, p.attempt}),
        "a mark is set as it was asked for",
        [&] { return fmt::format("{} {} under fence {}", row.id, FormatInstant(p.fire_time), view.fence); });
  Check(p.cursor == row.settled, "the cursor is the last settled point",
        [&] { return fmt::format("{}: {}, settled {}", row.id, FormatInstant(p.cursor), FormatInstant(row.settled)); });
  if (trace && row.owner != view.owner) {
    trace(fmt::format("{} {} {} (fence {})", row.id, view.owner ? "is owned by session" : "leaves session",
                      view.owner.value_or(row.owner.value_or(0)), view.fence));
  }
  row.fence = view.fence;
  row.owner = view.owner;
  row.state = view.state;
  row.present = p;
  row.gone = view.gone;
  if (view.gone) keys_[row.id].erase(view.key);
}

void Oracle::OnRun(JobKey key, SessionId session, Fence fence, const RunInfo& run) {
  Row& row = rows_.at(key);
  const auto text = [&] {
    return fmt::format("{} {}{} attempt {}: {} (settles {}) by session {} under fence {}", row.id,
                       FormatInstant(run.fire_time),
                       run.last_fire > run.fire_time ? " to " + FormatInstant(run.last_fire) : "", run.attempt,
                       VerdictName(run.verdict), run.settles, session, fence);
  };
  if (trace) trace("the ledger: " + text());
  Check(session == 0 ? !row.owner : row.owner == session && live_.contains(session), "only the owner settles", text);
  const std::pair<Instant, int> attempt{run.fire_time, run.attempt};
  Check(run.fire_time > row.settled, "settled once", text);
  Check(attempt > row.last, "one row for each attempt", text);
  row.last = std::max(row.last, {run.last_fire, run.attempt});
  const bool only_held = row.hands_on && row.present.attempt == 1 && !row.present.begun;  // nothing of it ran
  Check(run.verdict != Verdict::kSkippedMisfired || !WasBegun(row.present) || only_held,
        "what was begun is not skipped", text);
  Grid grid = row.grids.back();
  if (grid.after_runs) grid.first = run.fire_time;  // a stretch is as if its runs took no time
  auto next = row.grids.size() == 1 ? grid.After(row.settled) : grid.After(std::max(row.settled, row.changed));
  if (grid.after_runs) next = row.present.fire_time;  // what was planned is checked where it was
  // What an older version planned may be under way.
  Check(run.fire_time == next || (row.grids.size() > 1 && run.fire_time == row.pending), "no point is passed over",
        text);
  if (run.settles > 0) {
    // The first by itself: it may be of an older version.
    Check(run.settles == 1 + grid.Count(run.fire_time + Duration(1), run.last_fire) &&
              (run.last_fire == run.fire_time || grid.Has(run.last_fire)),
          "a stretch settles its points", text);
    const bool expired = row.deadline.count() > 0 && run.last_fire + row.deadline <= now();
    if (run.verdict == Verdict::kSkippedMisfired && !clock_stepped_ && !expired) {
      const Instant late_before = now() - row.threshold;
      const std::int64_t kept = row.late == LatePolicy::kSkip      ? 0
                                : row.late == LatePolicy::kRunOnce ? 1
                                                                   : row.late_limit;
      Check(run.last_fire < late_before && grid.Count(run.last_fire + Duration(1), late_before) >= kept,
            "no more is skipped than the policy says", text);
    }
    if (run.verdict == Verdict::kSkippedOverlapped && !clock_stepped_) {
      const auto newer = grid.After(run.last_fire);
      Check(row.replaces && newer && *newer <= now(), "only what is replaced is skipped as overlapped", text);
    }
    Check((run.verdict == Verdict::kHandedOn) == (row.hands_on && !IsSkip(run.verdict)) || row.grids.size() > 1,
          "where runs may overlap each is a run of its own", text);
    if (run.verdict == Verdict::kHandedOn) {
      Check(row.hands_on && !row.child && run.attempt == 1, "only what may overlap is handed on", text);
      Check(run.fire_time <= now() || clock_stepped_, "nothing is handed on early", text);
      Check(!row.present.to_plan, "nothing is handed on after a change of its job", text);
      if (row.state != JobState::kRemoved) handed_on_.insert({row.id, run.fire_time});
    }
    row.failed = run.verdict == Verdict::kFailed || run.verdict == Verdict::kTimedOut || run.verdict == Verdict::kLost;
    if (row.failed) {
      ++row.failures;
      dead_.insert({row.id, run.fire_time, run.attempt, run.verdict});
    }
    if (run.verdict == Verdict::kSucceeded) row.failures = 0;
    row.settled = run.last_fire;
    row.ended = run.finished_at;
    row.settled_total += run.settles;
    settled_ += run.settles;
  }
  if (run.settles > 0 && !IsSkip(run.verdict) && run.verdict != Verdict::kHandedOn) Follow(row, run.verdict);
  if (IsSkip(run.verdict)) skipped_ += run.settles;
  if (run.verdict == Verdict::kLost) ++lost_;
  const auto begun = begun_.find({key, run.fire_time, run.attempt});
  const auto ran = [&](const auto& how) {
    return begun != begun_.end() && std::any_of(begun->second.begin(), begun->second.end(), [&](const Begun& b) {
             return b.fence == fence && b.session == session && how(b);
           });
  };
  if (run.verdict == Verdict::kSucceeded || run.verdict == Verdict::kFailed) {
    Check(ran([](const Begun& b) { return b.ended; }), "what succeeded or failed was run to its end", text);
  } else if (run.started_at) {
    Check(ran([](const Begun&) { return true; }), "what ran was started", text);
  }
}

// The jobs that are there when what they run after has ended.
void Oracle::Follow(const Row& row, Verdict verdict) {
  std::set<std::string> names(row.on_end.begin(), row.on_end.end());
  if (verdict == Verdict::kSucceeded) names.insert(row.on_success.begin(), row.on_success.end());
  if (verdict == Verdict::kFailed || verdict == Verdict::kTimedOut || verdict == Verdict::kLost) {
    names.insert(row.on_failure.begin(), row.on_failure.end());
  }
  for (const std::string& name : names) {
    const bool there = std::any_of(keys_[name].begin(), keys_[name].end(), [&](JobKey key) {
      const Row& other = rows_[key];
      return !other.child && !other.gone && other.state != JobState::kRemoved;
    });
    if (there) to_follow_.insert(name);
  }
}

void Oracle::OnStart(const SimPod& pod, const StartRun& run) {
  const SessionId session = pod.session().value_or(0);
  const std::string& id = run.job->id;
  const auto text = [&] {
    return fmt::format("{} (session {}) starts {} {} attempt {} under fence {}", pod.name(), session, id,
                       FormatInstant(run.fire_time), run.attempt, run.fence);
  };
  Check(live_.contains(session), "no start without a live session", text);
  const auto& queues = pod.options().queues;
  Check(std::find(queues.begin(), queues.end(), run.job->queue) != queues.end(), "pods keep to their queues", text);
  // Until then whoever is cut off has not heard of it. A mark that was set must be made good.
  const auto rests = RestsSince(run.job->queue);
  Check(!rests || clock_stepped_ || run.job->delivery == Delivery::kAtMostOnce ||
            now() - *rests <= pod.options().ttl + kSlack,
        "nothing starts of a queue that rests", text);
  Check(run.attempt <= run.job->retry.max_attempts, "no more attempts than allowed", text);
  Check(run.job->deadline.count() == 0 || now() < run.fire_time + run.job->deadline + kInstant || clock_stepped_ ||
            !well(pod, kObeyed),
        "nothing starts after its deadline", text);
  const auto found = rows_.find(run.key);
  const bool owned = found != rows_.end() && found->second.owner == session && found->second.fence == run.fence;
  const JobKey own = owned ? run.key : 0;
  Check(own != 0 || disturbed_.contains(id), "only what is owned is started", text);

  if (own != 0) {
    Row& row = rows_[own];
    // Its owner has the new definition, by its claim or by a recovery, and its plan may be under way.
    const bool planned_so =
        row.wished <= row.owned_since || row.grids.back().Has(run.fire_time) || row.grids.back().after_runs;
    const bool as_wished = row.state == JobState::kActive && (!row.present.to_plan || planned_so);
    Check(as_wished || ++row.in_spite <= kRunsInSpite || !well(pod, kObeyed),
          "few runs start in spite of a user's wish", text);
    Check(as_wished || now() - std::max(row.wished, row.owned_since) < kObeyed || clock_stepped_ || !well(pod, kObeyed),
          "a user's wish is obeyed soon", text);
  }

  const Occurrence occurrence{run.key, run.fire_time, run.attempt};
  std::vector<Begun>& before = begun_[occurrence];
  if (run.job->delivery == Delivery::kAtMostOnce) {
    Check(before.empty(), "at most once", text);
    Check(own == 0 || rows_[own].present.begun || disturbed_.contains(id), "at most once: marked before it starts",
          text);
  }
  if (own != 0 && run.job->delivery == Delivery::kAtLeastOnce) {
    const Present& p = rows_[own].present;
    Check(p.fire_time != run.fire_time || p.lost < run.job->lost_limit, "no more deaths than allowed", text);
  }
  if (own != 0 && rows_[own].present.fire_time == run.fire_time && rows_[own].present.attempt == run.attempt) {
    Check(now() >= rows_[own].present.due_at || clock_stepped_ || disturbed_.contains(id),
          "nothing starts before its own time", text);
  }
  if (run.attempt == 1) CheckPutOff(run, own != 0 ? &rows_[own] : nullptr);
  for (const Begun& b : before) {
    Check(b.cancelled || !live_.contains(b.session) || disturbed_.contains(id), "a living run is not run again", text);
  }
  for (const auto& [who, other] : running_) {
    Check(own == 0 || other.key != own || !live_.contains(other.session) || disturbed_.contains(id),
          "runs of a job do not overlap", text);
  }
  before.push_back({session, run.fence});
  const bool stoppable = run.job->timeout + run.job->deadline > Duration(0) || run.job->overlap == Overlap::kReplace;
  Running running{own, stoppable, session, occurrence, run.fence};
  CheckLimits(pod, run, &running);
  running_[{&pod, run.id}] = std::move(running);
}

// Of first attempts: the same on whichever pod, and whoever planned them.
void Oracle::CheckPutOff(const StartRun& run, Row* row) {
  const Duration later = now() - run.fire_time - PlaceIn(run.job->flex, run.key);
  Check(later >= -Duration(1) || clock_stepped_ || run.job->flex.count() == 0,
        "nothing starts before its place in its window", [&] {
          return fmt::format("{} {}: {} us before it", run.job->id, FormatInstant(run.fire_time), -later.count());
        });
  if (row == nullptr || run.job->jitter < std::chrono::milliseconds(1)) return;
  row->soon = 2 * later < run.job->jitter ? row->soon + 1 : 0;
  Check(row->soon < kNeverPutOff, "jitter puts some starts off",
        [&] { return fmt::format("{}: {} in a row by less than half of it", run.job->id, row->soon); });
}

void Oracle::CheckLimits(const SimPod& pod, const StartRun& run, Running* running) {
  for (const ConcurrencyLimit& limit : run.job->limits) running->keys.push_back(limit.key);
  if (locks_forgot_at_ && time() - *locks_forgot_at_ < kLeased) running->forgotten_at = locks_forgot_at_;
  const auto text = [&] { return fmt::format("{} starts {}", pod.name(), run.job->id); };
  for (const ConcurrencyLimit& limit : run.job->limits) {
    int others = 0;
    for (const auto& [who, other] : running_) {
      const auto& keys = other.keys;
      others += std::find(keys.begin(), keys.end(), limit.key) != keys.end() && HoldsSlots(*who.first, other);
    }
    Check(IsForgotten(pod, *running) || others < limit.slots, "no more run at once than a limit allows", text);
  }
  for (const RateLimit& rate : run.job->rates) {
    if (locks_forgot_at_ && time() - *locks_forgot_at_ < kStartDelay) continue;
    auto& starts = starts_[rate.key];
    starts.push_back(time());
    const auto in_window =
        std::count_if(starts.begin(), starts.end(), [&](Duration t) { return t > time() - rate.per; });
    Check(in_window <= rate.starts, "no more are started than a rate allows", text);
  }
}

// As far as anybody can know: the tasks of a dead pod are dead, those of one that stands still too long, or that do not
// stop when they are told to, are the stated exceptions.
bool Oracle::HoldsSlots(const SimPod& pod, const Running& run) const {
  const auto frozen = frozen_since_.find(&pod);
  if (!pod.alive() || pod.stopped() || run.excused || IsForgotten(pod, run)) return false;
  if (time() < run.kept_until) return true;
  if (frozen != frozen_since_.end() && time() - frozen->second >= kStandstill) return false;
  return !run.stop_at || time() - *run.stop_at < kTimeToStop;
}

// Until its pod has asked for its slots again: then it has them, or was told to stop.
bool Oracle::IsForgotten(const SimPod& pod, const Running& run) const {
  if (!run.forgotten_at) return false;
  const Duration since = time() - *run.forgotten_at;
  return run.stop_at || since < kAskedAgain || !in_touch(pod, since);
}

void Oracle::OnResume(const SimPod& pod) {
  const auto frozen = frozen_since_.extract(&pod);
  if (frozen.empty() || time() - frozen.mapped() < kStandstill) return;
  for (auto& [who, run] : running_) run.excused |= who.first == &pod;
}

void Oracle::LocksForgot() {
  locks_forgot_at_ = time();
  starts_.clear();
  for (auto& [who, run] : running_) run.forgotten_at = time();
}

void Oracle::OnEnd(const SimPod& pod, RunId id) {
  const auto it = running_.find({&pod, id});
  if (it == running_.end()) return;
  for (Begun& b : begun_[it->second.occurrence]) {
    if (b.session == it->second.session && b.fence == it->second.fence) b.ended = true;
  }
  running_.erase(it);
}

void Oracle::OnCancel(const SimPod& pod, RunId id) {
  const auto it = running_.find({&pod, id});
  if (it == running_.end()) return;
  Running& run = it->second;
  if (!run.stop_at) run.stop_at = time();
  const auto row = rows_.find(run.key);
  const bool lost_slots = !run.keys.empty() && !keeps_slots(pod);
  if (!run.keys.empty() && !lost_slots) {
    const PodOptions& options = pod.options();
    // Even if it does not obey: it is given up then or now, and its last lease goes on.
    run.kept_until = time() + 2 * options.ttl - options.heartbeat - kSlowRenewal;
  }
  if (row != rows_.end() && !run.stoppable && !lost_slots && !pod.stopping() && !to_cancel_.contains(run.occurrence)) {
    const bool own = row->second.owner == run.session && row->second.fence == run.fence && live_.contains(run.session);
    Check(!own || disturbed_.contains(row->second.id), "no run is stopped without a reason", [&] {
      return fmt::format("{} stops {} {}", pod.name(), row->second.id, FormatInstant(std::get<1>(run.occurrence)));
    });
  }
  for (Begun& b : begun_[it->second.occurrence]) {
    if (b.session == it->second.session && b.fence == it->second.fence) b.cancelled = true;
  }
  it->second.key = 0;  // it may go on for as long as it likes
}

void Oracle::CheckAttended(const std::function<bool(SessionId)>& excused) {
  std::set<JobKey> busy;
  for (const auto& [who, run] : running_) busy.insert(run.key);
  for (const auto& [key, row] : rows_) {
    const Present& p = row.present;
    if (row.gone || !row.owner || row.state != JobState::kActive || busy.contains(key) || excused(*row.owner)) continue;
    if (row.limited) continue;  // it may wait for others
    Check(std::max(p.to_plan ? p.planned_from : p.due_at, row.owned_since) > now() - kAttended,
          "a pod attends to what it owns",
          [&] { return fmt::format("{} {} lies with session {}", row.id, FormatInstant(p.fire_time), *row.owner); });
  }
}

void Oracle::AtEnd(JobStore& store, Instant until, std::size_t pods) {
  Check(handed_on_.empty(), "what is handed on is run", [&] { return handed_on_.begin()->first; });
  Check(to_follow_.empty(), "what follows is triggered", [&] { return *to_follow_.begin(); });
  for (const auto& [id, keys] : keys_) {
    const auto jobs = std::count_if(keys.begin(), keys.end(), [&](JobKey key) { return !rows_[key].child; });
    Check(jobs <= 1, "an id is one job", [&] { return fmt::format("{} is there {} times", id, jobs); });
  }
  for (const auto& [key, row] : rows_) {
    if (row.gone) continue;
    Check(row.state != JobState::kRemoved, "what was removed goes", [&] { return row.id + " is there still"; });
    Check(!row.child || row.present.fire_time >= until, "what was triggered is run",
          [&] { return "a triggered run of " + row.id + " is left"; });
    if (row.child || row.state == JobState::kRemoved) continue;
    if (row.state == JobState::kActive) {
      const auto next = row.grids.back().after_runs ? row.present.fire_time : row.grids.back().After(row.settled);
      Check(row.grids.size() > 1 || !next || *next >= until, "what is due is settled",
            [&] { return fmt::format("{} {} is not", row.id, next ? FormatInstant(*next) : ""); });
    }
    if (const auto info = store.Get(row.id)) {
      Check(info->settled_total == row.settled_total, "the total is the sum of the ledger",
            [&] { return fmt::format("{}: {}, not {}", row.id, info->settled_total, row.settled_total); });
    }
  }
  std::multiset<std::tuple<std::string, Instant, int, Verdict>> letters;
  for (const DeadLetter& d : store.DeadLetters({.limit = 1'000'000}).value_or(std::vector<DeadLetter>())) {
    letters.insert({d.job_id, d.fire_time, d.attempts, d.verdict});
  }
  Check(letters == dead_, "what failed for good leaves a dead letter, and nothing else does",
        [&] { return fmt::format("{} letters of {}", letters.size(), dead_.size()); });
  std::map<SessionId, double> rates;
  double total = 0, greatest = 0;
  for (const auto& [key, row] : rows_) {
    const Duration step = row.grids.back().step;
    if (row.gone || step.count() == 0 || step >= kHorizon) continue;  // what fires seldom is owned for moments
    const double rate = 1e6 / static_cast<double>(step.count());
    total += rate;
    greatest = std::max(greatest, rate);
    if (row.owner) rates[*row.owner] += rate;
  }
  const double fair = total / static_cast<double>(std::max<std::size_t>(pods, 1));
  for (const auto& [session, rate] : rates) {
    Check(rate <= 2 * fair + 2 * greatest, "the load evens out", [&, session = session, rate = rate] {
      return fmt::format("session {} has {:.1f} of {:.1f} runs a second, one of {} pods", session, rate, total, pods);
    });
  }
  Check(live_.size() == pods, "each pod has one session",
        [&] { return fmt::format("{} sessions of {} pods", live_.size(), pods); });
  const auto audit = store.AuditWindow("", kEpoch, until);
  Check(audit && audit->missing == 0 && audit->doubled == 0, "the conservation law", [&] {
    return audit
               ? fmt::format("of {} points {} are missing, {} doubled", audit->expected, audit->missing, audit->doubled)
               : audit.error().message;
  });
}

}  // namespace escapement::sim
