#include "job/settle.h"

#include <algorithm>
#include <cmath>

#include "job/failures.h"
#include "job/text.h"
#include "schedule/kind.h"
#include "time/stable_hash.h"

namespace escapement {
namespace {

constexpr Duration kLongestThreshold = std::chrono::seconds(60);

// Of a delay, whose points are known only up to the next one: as if runs took no time from there on.
Schedule GridOf(const JobDefinition& job, const Present& present) {
  return job.schedule.AnchoredAt(DelayOf(job.schedule) ? present.fire_time : present.created_at);
}

// The fire time after a run that ended at `ended`; none of the new definition's, if it changed, before that.
std::optional<Instant> NextAfterRun(const JobDefinition& job, const Present& present, Instant ended) {
  Instant after = present.fire_time;
  if (present.to_plan) after = std::max(after, present.planned_from);
  if (!DelayOf(job.schedule)) return GridOf(job, present).Next(after);
  after = std::max(after, ended);  // a store's clock may have been set back
  return job.schedule.AnchoredAt(after).Next(after);
}

// The fire time by a definition that changed while nothing was under way.
std::optional<Instant> NextAfterChange(const JobDefinition& job, const Present& present) {
  const Instant after = std::max(present.cursor, present.planned_from);
  if (!DelayOf(job.schedule)) return GridOf(job, present).Next(after);
  const auto next = job.schedule.AnchoredAt(after).Next(after);
  // Else a job that is changed often would never run.
  return present.fire_time > after && next ? std::min(present.fire_time, *next) : next;
}

Plan PlanFrom(Instant cursor, std::optional<Instant> fire_time, int failures) {
  return {.cursor = cursor,
          .fire_time = fire_time,
          .due_at = fire_time.value_or(cursor),
          .attempt = 1,
          .failures = failures};
}

// So much after its fire time the first attempt was to start.
Duration PlacedLater(const Present& present) {
  return present.attempt == 1 ? std::max(present.due_at - present.fire_time, Duration::zero()) : Duration::zero();
}

// The instant before which points are skipped by the late policy.
Instant LateUntil(const JobDefinition& job, const Present& present, Instant now) {
  const Instant late_before = now - PlacedLater(present) - LateThreshold(job);  // points before this one are late
  const Instant first = present.fire_time;
  const LatePolicy late = LateOf(job);
  if (first >= late_before || late == LatePolicy::kSkip) return late_before;
  const Schedule grid = GridOf(job, present);
  if (late == LatePolicy::kRunOnce) return std::max(first, grid.Last(late_before).value_or(first));
  // The earliest instant from which no more than late_limit late points are left.
  Instant low = first;
  Instant high = late_before;
  while (low < high) {
    const Instant middle = low + (high - low) / 2;
    if (grid.Count(middle, late_before) > job.late_limit) {
      low = middle + Duration(1);
    } else {
      high = middle;
    }
  }
  return low;
}

bool IsTriedAgain(const JobDefinition& job, const Present& present, Verdict verdict) {
  return present.attempt < job.retry.max_attempts &&
         ((verdict == Verdict::kFailed && job.retry.on != RetryOn::kTimedOut) ||
          (verdict == Verdict::kTimedOut && job.retry.on != RetryOn::kFailed));
}

// Of what is to be handed on nothing ran, though its pod died: but for what was begun before the job allowed it.
bool MayHaveRun(const JobDefinition& job, const Present& present) {
  return WasStarted(present) &&
         (job.overlap != Overlap::kAllow || present.attempt > 1 || present.begun || present.completed_at);
}

// A number of [0, size) by 64 even bits.
Duration Part(Duration size, std::uint64_t bits) {
  __extension__ using Wide = unsigned __int128;
  return Duration(static_cast<std::int64_t>((static_cast<Wide>(size.count()) * bits) >> 64));
}

std::uint64_t HashOf(const JobDefinition& job, Instant fire_time, std::uint64_t which) {
  return StableHash(job.id, static_cast<std::uint64_t>(ToMicros(fire_time)) * 10'001 + which);
}

// delay * factor^(attempt - 1), at most max_delay; or the list's.
Duration PlainDelay(const RetryPolicy& retry, int attempt) {
  if (!retry.delays.empty()) {
    return retry.delays[std::min(static_cast<std::size_t>(std::max(attempt, 1)), retry.delays.size()) - 1];
  }
  if (attempt <= 1 || retry.delay == Duration::zero()) return std::min(retry.delay, retry.max_delay);
  // Compared as doubles: a large power is infinite.
  const double delay = static_cast<double>(retry.delay.count()) * std::pow(retry.factor, attempt - 1);
  if (delay >= static_cast<double>(retry.max_delay.count())) return retry.max_delay;
  return Duration(static_cast<std::int64_t>(delay));
}

}  // namespace

bool WasStarted(const Present& present) {
  // An occurrence at the cursor is settled: a finished job that got a new schedule.
  return present.fire_time > present.cursor &&
         (present.attempt > 1 || present.begun || present.lost > 0 || present.completed_at);
}

Settlement Settle(const JobDefinition& job, const Present& present, const Outcome& outcome, Instant now) {
  Settlement settlement;
  settlement.run = RunRecord{.fire_time = present.fire_time,
                             .last_fire = present.fire_time,
                             .attempt = present.attempt,
                             .verdict = outcome.verdict,
                             .settles = 1,
                             .started_at = outcome.started_at,
                             .finished_at = outcome.finished_at,
                             .error = MakeValidText(outcome.error),
                             .output = MakeValidTail(outcome.output, kOutputLimit)};
  if (IsTriedAgain(job, present, outcome.verdict)) {
    const Instant due_at = now + RetryDelay(job, present.fire_time, present.attempt);
    const auto deadline = DeadlineOf(job, present.fire_time);
    if (!deadline || due_at < *deadline) {
      settlement.run->settles = 0;
      settlement.retried = true;
      settlement.next = {.cursor = present.cursor,
                         .fire_time = present.fire_time,
                         .due_at = due_at,
                         .attempt = present.attempt + 1,
                         .failures = present.failures};
      return settlement;
    }
  }
  const int failures = FailuresAfter(present.failures, outcome.verdict, settlement.run->settles);
  settlement.next = PlanFrom(present.fire_time, NextAfterRun(job, present, now), failures);
  settlement.next.pause =
      job.pause_after > 0 && failures > present.failures && failures >= job.pause_after && settlement.next.fire_time;
  return settlement;
}

std::optional<Settlement> SettleBeforeStart(const JobDefinition& job, const Present& present, Instant now) {
  if (present.to_plan && !WasStarted(present)) {
    return Settlement{.run = std::nullopt,
                      .next = PlanFrom(present.cursor, NextAfterChange(job, present), present.failures)};
  }
  if (present.completed_at) {
    return Settle(job, present,
                  {.verdict = Verdict::kSucceeded,
                   .finished_at = present.completed_at,
                   .output = "(completed by its task; its pod could not settle it)"},
                  now);
  }
  // Before the mark `to_plan` is cleared: that would clear the started mark with it.
  if (job.delivery == Delivery::kAtMostOnce && present.begun) {
    return Settle(job, present, {.verdict = Verdict::kLost, .error = "its pod died after the run had begun"}, now);
  }
  const bool may_have_run = MayHaveRun(job, present);
  if (job.delivery == Delivery::kAtLeastOnce && present.lost >= job.lost_limit && may_have_run) {
    return Settle(job, present, {.verdict = Verdict::kLost, .error = "too many pods died with it"}, now);
  }
  if (const auto deadline = DeadlineOf(job, present.fire_time); deadline && now >= *deadline && may_have_run) {
    return Settle(job, present,
                  {.verdict = Verdict::kTimedOut, .error = "its deadline passed before it could start again"}, now);
  }
  if (present.to_plan) {
    return Settlement{.run = std::nullopt,
                      .next = {.cursor = present.cursor,
                               .fire_time = present.fire_time,
                               .due_at = present.due_at,
                               .attempt = present.attempt,
                               .failures = present.failures}};
  }
  const bool replaces = job.overlap == Overlap::kReplace;
  if (may_have_run) {
    const auto next = replaces ? GridOf(job, present).Next(present.fire_time) : std::nullopt;
    if (!next || *next > now) return std::nullopt;
    return Settle(job, present, {.verdict = Verdict::kCancelled, .error = std::string(kReplacedText)}, now);
  }
  const Instant late_until = LateUntil(job, present, now);
  // What could only start after its deadline is skipped, as what is late.
  const Instant expired_until = job.deadline > Duration::zero() ? now - job.deadline + Duration(1) : late_until;
  auto skipped = SkipStretch(job, present, std::max(late_until, expired_until), Verdict::kSkippedMisfired);
  if (!skipped && job.overlap == Overlap::kAllow) return Settle(job, present, {.verdict = Verdict::kHandedOn}, now);
  if (skipped || !replaces) return skipped;
  // Of what is due by now only the newest is run.
  const auto newest = GridOf(job, present).Last(now - PlacedLater(present) + Duration(1));
  return newest ? SkipStretch(job, present, *newest, Verdict::kSkippedOverlapped) : std::nullopt;
}

Result<JobDefinition> TriggeredDefinition(const JobDefinition& job, Instant fire_time,
                                          const std::optional<std::string>& payload) {
  auto at = Schedule::At(fire_time);
  if (!at) return tl::unexpected(at.error());
  JobDefinition child = job;
  child.schedule = *std::move(at);
  child.jitter = child.flex = Duration::zero();  // at once
  child.pause_after = 0;                         // it is over with its only occurrence
  child.overlap = Overlap::kWait;                // as well
  child.unique.clear();                          // the job itself holds the key
  child.unique_for = Duration::zero();
  if (payload) child.payload = *payload;
  if (const Status valid = Validate(child); !valid) return tl::unexpected(valid.error());
  return child;
}

std::optional<Settlement> SkipStretch(const JobDefinition& job, const Present& present, Instant until,
                                      Verdict verdict) {
  const Instant first = present.fire_time;
  if (first >= until) return std::nullopt;
  const Schedule grid = GridOf(job, present);
  // The first point is counted by itself: it may stem from an earlier version of the schedule.
  const Instant last = std::max(first, grid.Last(until).value_or(first));
  Settlement settlement;
  settlement.run = RunRecord{.fire_time = first,
                             .last_fire = last,
                             .attempt = present.attempt,
                             .verdict = verdict,
                             .settles = 1 + grid.Count(first + Duration(1), until),
                             .started_at = std::nullopt,
                             .finished_at = std::nullopt,
                             .error = {},
                             .output = {}};
  settlement.next = PlanFrom(last, grid.Next(last), present.failures);
  return settlement;
}

Present Advance(const Present& present, const Plan& next) {
  Present after = present;
  after.cursor = next.cursor;
  if (next.fire_time && *next.fire_time != present.fire_time) {
    after.fire_time = *next.fire_time;
    after.lost = 0;
  }
  after.due_at = next.due_at;
  after.attempt = next.attempt;
  after.failures = next.failures;
  after.begun = false;
  after.completed_at.reset();
  after.to_plan = false;
  return after;
}

Instant StartAt(const JobDefinition& job, JobKey key, Instant fire_time) {
  // Multiples of the golden ratio, modulo 1: of all sequences the one whose first n fill a window most evenly, for
  // every n (Knuth, The Art of Computer Programming 3, section 6.4).
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;
  return fire_time + Part(job.flex, static_cast<std::uint64_t>(key) * kGolden) +
         Part(job.jitter, HashOf(job, fire_time, 0));
}

LatePolicy LateOf(const JobDefinition& job) {
  return job.late.value_or(job.schedule.ZoneName().empty() ? LatePolicy::kRunOnce : LatePolicy::kSkip);
}

Duration LateThreshold(const JobDefinition& job) {
  if (job.late_threshold) return *job.late_threshold;
  const Duration spacing = job.schedule.Spacing();
  // A single instant has no interval; it gets the most that an interval would give.
  return spacing == Duration::zero() ? kLongestThreshold : std::min(spacing, kLongestThreshold);
}

Duration RetryDelay(const JobDefinition& job, Instant fire_time, int attempt) {
  const Duration delay = PlainDelay(job.retry, attempt);
  if (job.retry.jitter == 0.0) return delay;
  // Not random: every pod, and whoever asks when the retry is due, comes to the same.
  const double part = static_cast<double>(HashOf(job, fire_time, attempt) >> 11) * 0x1p-53;  // [0, 1)
  return delay + Duration(std::llround(static_cast<double>(delay.count()) * job.retry.jitter * (2 * part - 1)));
}

std::optional<Instant> DeadlineOf(const JobDefinition& job, Instant fire_time) {
  if (job.deadline == Duration::zero()) return std::nullopt;
  return fire_time + job.deadline;
}

}  // namespace escapement
