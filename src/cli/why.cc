#include "cli/why.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/output.h"
#include "job/settle.h"
#include "schedule/kind.h"

namespace escapement {
namespace {

using Kind = WhyAnswer::Kind;

bool Has(const Schedule& grid, Instant instant) { return grid.Count(instant, instant + Duration(1)) > 0; }

std::string Attempt(const JobInfo& job) {
  const int most = job.definition.retry.max_attempts;
  return most > 1 ? fmt::format("attempt {} of {}", job.attempt, most) : fmt::format("attempt {}", job.attempt);
}

// "; if it has not started, it waits there for its limits: 'db' (1 at a time), 'api' (10 starts in 1m)". Whether
// it was refused, its pod alone knows.
std::string Waits(const JobDefinition& job) {
  std::vector<std::string> limits;
  for (const ConcurrencyLimit& limit : job.limits) {
    limits.push_back(fmt::format("'{}' ({} at a time)", limit.key, limit.slots));
  }
  for (const RateLimit& rate : job.rates) {
    limits.push_back(fmt::format("'{}' ({} starts in {})", rate.key, rate.starts, FormatDuration(rate.per)));
  }
  return limits.empty()
             ? ""
             : fmt::format("; if it has not started, it waits there for its limits: {}", fmt::join(limits, ", "));
}

// Of history: the verdict, if one of the rows is one.
std::optional<WhyAnswer> FromHistory(const std::vector<RunInfo>& runs) {
  const auto verdict = std::find_if(runs.begin(), runs.end(), [](const RunInfo& r) { return r.settles > 0; });
  if (verdict == runs.end()) return std::nullopt;
  WhyAnswer answer{.kind = Kind::kSettled, .text = {}, .runs = runs, .before = {}, .after = {}};
  const RunInfo& run = *verdict;
  const auto name = VerdictName(run.verdict);
  if (name.starts_with("skipped")) {
    answer.kind = Kind::kSkipped;
    const char* reason = run.verdict == Verdict::kSkippedMisfired     ? "too late by the job's late policy"
                         : run.verdict == Verdict::kSkippedOverlapped ? "the run before it was still going"
                                                                      : "the job was paused";
    answer.text = run.settles == 1
                      ? fmt::format("skipped: {}", reason)
                      : fmt::format("skipped with a stretch of {} occurrences from {} to {}: {}", run.settles,
                                    FormatInstant(run.fire_time), FormatInstant(run.last_fire), reason);
    return answer;
  }
  answer.text = fmt::format("{}{}, attempt {}", name, run.pod.empty() ? "" : " on pod " + run.pod, run.attempt);
  return answer;
}

// The answer is in the run of its own that came of it. `runs`: that one's rows are among them.
void TellHandedOn(std::vector<RunInfo> runs, WhyAnswer& answer) {
  std::vector<RunInfo> own;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(own), [](const RunInfo& r) { return r.triggered; });
  const auto run = FromHistory(own);
  answer.text = "handed on to a run of its own: " + (run ? run->text : "not settled yet");
  answer.runs = std::move(runs);
}

WhyAnswer OfPresent(const JobInfo& job, std::vector<RunInfo> runs, Instant now) {
  WhyAnswer answer{.kind = Kind::kToCome, .text = {}, .runs = std::move(runs), .before = {}, .after = {}};
  const Instant instant = *job.fire_time;
  if (!answer.runs.empty() && job.attempt > 1) {
    const Instant due = answer.runs.back().settled_at + RetryDelay(job.definition, instant, job.attempt - 1);
    if (due > now) {
      answer.kind = Kind::kRetry;
      answer.text = fmt::format("waits for its retry, {}, due {}", Attempt(job), HumanDistance(due, now));
      return answer;
    }
  }
  if (instant > now) {
    answer.text = fmt::format("still to come, {}{}{}", HumanDistance(instant, now),
                              job.owner_pod ? ", on pod " + *job.owner_pod : "",
                              job.state == JobState::kPaused ? "; the job is paused" : "");
  } else if (job.owner_pod) {
    answer.kind = Kind::kUnderWay;
    answer.text = fmt::format("under way, or about to start, on pod {}, {}{}", *job.owner_pod, Attempt(job),
                              Waits(job.definition));
  } else if (job.state == JobState::kPaused) {
    answer.kind = Kind::kPaused;
    answer.text = "the job is paused: this occurrence will be skipped when it is resumed";
  } else if (job.attempt == 1 && now < instant + job.definition.jitter + job.definition.flex) {
    answer.kind = Kind::kWaiting;
    answer.text = fmt::format("its jitter and flex put its start off by up to {}",
                              HumanDuration(job.definition.jitter + job.definition.flex));
  } else {
    answer.kind = Kind::kOverdue;
    answer.text = fmt::format("overdue by {}: no pod that serves queue '{}' has taken it, {}",
                              HumanDuration(now - instant), job.definition.queue, Attempt(job));
  }
  return answer;
}

WhyAnswer Simple(Kind kind, std::string text) {
  return {.kind = kind, .text = std::move(text), .runs = {}, .before = {}, .after = {}};
}

}  // namespace

std::string_view WhyName(Kind kind) {
  constexpr std::array<std::string_view, 11> kNames = {"settled",     "skipped",         "under_way",     "retry",
                                                       "overdue",     "paused",          "waiting",       "to_come",
                                                       "not_a_point", "before_creation", "beyond_history"};
  return kNames.at(static_cast<std::size_t>(kind));
}

WhyAnswer Explain(const JobInfo& job, std::vector<RunInfo> runs, Instant instant, Instant now) {
  std::sort(runs.begin(), runs.end(), [](const RunInfo& a, const RunInfo& b) {
    return std::pair(a.attempt, a.settled_at) < std::pair(b.attempt, b.settled_at);
  });
  const Schedule grid = job.definition.schedule.AnchoredAt(job.created_at);
  // The points of a delay are those that its runs made, and the next one.
  const bool told_by_runs = DelayOf(grid).has_value();
  const bool on_grid = !told_by_runs && Has(grid, instant);
  // Inside a stretch only the points of the schedule were settled; its ends are such. Earlier versions may have had
  // other points, which this one cannot tell.
  const bool known = on_grid || job.version > 1;
  const auto tells = [&](const RunInfo& r) {
    return r.fire_time == instant || r.last_fire == instant ||
           (known && r.fire_time < instant && instant < r.last_fire);
  };
  runs.erase(std::remove_if(runs.begin(), runs.end(), [&](const RunInfo& r) { return !tells(r); }), runs.end());
  std::vector<RunInfo> of_schedule;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(of_schedule),
               [](const RunInfo& r) { return !r.triggered; });
  if (auto answer = FromHistory(of_schedule)) {
    if (of_schedule.back().verdict == Verdict::kHandedOn) TellHandedOn(std::move(runs), *answer);
    return *std::move(answer);
  }
  if (of_schedule.empty() && !runs.empty() && !on_grid) {
    WhyAnswer answer = Simple(Kind::kSettled, fmt::format("triggered by a user: {}", VerdictName(runs.back().verdict)));
    answer.runs = std::move(runs);
    return answer;
  }
  if (job.fire_time == instant) return OfPresent(job, std::move(of_schedule), now);
  const auto first = grid.Next(grid.FirstCursor(job.created_at));
  if (instant < job.created_at && (!first || instant < *first)) {
    return Simple(Kind::kBeforeCreation, "the job was created later, at " + FormatInstant(job.created_at));
  }
  if (told_by_runs) {
    WhyAnswer answer = Simple(Kind::kNotAPoint, "");
    if (job.fire_time > instant) answer.after = job.fire_time;
    answer.text = fmt::format("by '{}' nothing was due then that the history still has: the next run is {}",
                              grid.ToString(), answer.after ? FormatInstant(*answer.after) : "none");
    return answer;
  }
  if (!on_grid) {
    WhyAnswer answer = Simple(Kind::kNotAPoint, "");
    answer.before = grid.Last(instant);
    if (answer.before && first && *answer.before < *first) answer.before.reset();
    answer.after = grid.Next(instant);
    if (answer.after && first && *answer.after < *first) answer.after = first;
    answer.text = fmt::format(
        "not a point of '{}'{}: the nearest before is {}, the nearest after is {}", grid.ToString(),
        job.version > 1 ? fmt::format(" (version {}, the present one)", job.version) : "",
        answer.before ? FormatInstant(*answer.before) : "none", answer.after ? FormatInstant(*answer.after) : "none");
    return answer;
  }
  if (instant <= job.cursor) {
    return Simple(Kind::kBeyondHistory,
                  fmt::format("settled, but the history no longer has it{}",
                              job.version > 1 ? ", or an earlier version of the job had no such point" : ""));
  }
  if (instant > now) {
    return Simple(Kind::kToCome, fmt::format("still to come, {}{}", HumanDistance(instant, now),
                                             job.state == JobState::kPaused ? "; the job is paused" : ""));
  }
  if (job.state == JobState::kPaused && !job.owner_pod) {
    return Simple(Kind::kPaused, "the job is paused: this occurrence will be skipped when it is resumed");
  }
  return Simple(Kind::kWaiting,
                fmt::format("waits: the occurrence of {} is not settled yet; by the late policy, {}, it may be skipped",
                            job.fire_time ? FormatInstant(*job.fire_time) : "before",
                            LateOf(job.definition) == LatePolicy::kRunAll ? "run_all"
                            : LateOf(job.definition) == LatePolicy::kSkip ? "skip"
                                                                          : "run_once"));
}

}  // namespace escapement
