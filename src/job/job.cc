#include "escapement/job.h"

#include <set>

#include <fmt/format.h>

#include "job/queue_key.h"
#include "job/text.h"
#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr std::size_t kNameLimit = 200;
constexpr std::size_t kPayloadLimit = 1 << 20;
constexpr std::size_t kFollowersLimit = 20;
constexpr std::size_t kMetadataLimit = 50;
constexpr std::size_t kMetadataValueLimit = 1000;
constexpr Duration kLongest = std::chrono::weeks(520);
constexpr std::size_t kMostLimits = 4;
constexpr int kMostSlots = 10'000;
constexpr Duration kShortestRate = std::chrono::milliseconds(100);
constexpr Duration kLongestRate = std::chrono::days(366);

Status Bad(std::string_view field, std::string_view why) {
  return Fail(Code::kInvalidArgument, fmt::format("{} {}", field, why));
}

Status CheckName(std::string_view field, std::string_view text) {
  if (text.empty()) return Bad(field, "is empty: it must be 1 to 200 bytes of text");
  if (text.size() > kNameLimit) return Bad(field, fmt::format("has {} bytes: at most 200 are allowed", text.size()));
  if (!IsPrintableText(text)) return Bad(field, "must be UTF-8 text without control characters");
  return {};
}

Status CheckRange(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return Bad(field, fmt::format("is {}: it must be between {} and {}", value, low, high));
}

Status CheckDuration(std::string_view field, Duration value) {
  if (value >= Duration::zero() && value <= kLongest) return {};
  return Bad(field, fmt::format("is {}: it must be between 0s and 520w", FormatDuration(value)));
}

Status CheckMetadata(const std::map<std::string, std::string>& metadata) {
  if (metadata.size() > kMetadataLimit) {
    return Bad("metadata", fmt::format("has {} names: at most {} are allowed", metadata.size(), kMetadataLimit));
  }
  for (const auto& [name, value] : metadata) {
    if (auto s = CheckName("metadata's name", name); !s) return s;
    const std::string field = fmt::format("metadata.{}", name);
    if (value.size() > kMetadataValueLimit) {
      return Bad(field, fmt::format("has {} bytes: at most {} are allowed", value.size(), kMetadataValueLimit));
    }
    if (!IsValidText(value)) return Bad(field, "must be UTF-8 text without NUL");
  }
  return {};
}

Status CheckFollowerNames(std::string_view field, const JobDefinition& job, const std::vector<std::string>& names) {
  if (names.size() > kFollowersLimit) {
    return Bad(field, fmt::format("has {} names: at most {} are allowed", names.size(), kFollowersLimit));
  }
  for (const std::string& name : names) {
    if (auto s = CheckName(field, name); !s) return s;
    if (name == job.id) return Bad(field, "names the job itself: no job may run after itself");
  }
  return {};
}

template <typename Limit>
Status CheckKeys(std::string_view field, const std::vector<Limit>& limits) {
  if (limits.size() > kMostLimits) {
    return Bad(field, fmt::format("has {} keys: at most {} are allowed", limits.size(), kMostLimits));
  }
  std::set<std::string_view> keys;
  for (const Limit& limit : limits) {
    if (auto s = CheckName(fmt::format("{}: a key", field), limit.key); !s) return s;
    if (!keys.insert(limit.key).second) {
      return Bad(field, fmt::format("has the key '{}' twice", Quoted(limit.key, kNameLimit)));
    }
  }
  return {};
}

// Starts that lie further apart than the fire times would let later occurrences overtake.
Status CheckLater(const JobDefinition& job) {
  if (auto s = CheckDuration("jitter", job.jitter); !s) return s;
  if (auto s = CheckDuration("flex", job.flex); !s) return s;
  const Duration spacing = job.schedule.Spacing();
  if (spacing > Duration::zero() && job.flex + job.jitter > spacing) {
    return Bad(job.flex > Duration::zero() ? "flex" : "jitter",
               fmt::format("moves starts by up to {}: at most {}, the time from one point to the next, is allowed",
                           FormatDuration(job.flex + job.jitter), FormatDuration(spacing)));
  }
  if (job.deadline > Duration::zero() && job.flex + job.jitter >= job.deadline) {
    return Bad("deadline", fmt::format("is {}: it must be longer than flex and jitter together, {}",
                                       FormatDuration(job.deadline), FormatDuration(job.flex + job.jitter)));
  }
  return {};
}

Status CheckLimits(const JobDefinition& job) {
  Status status = CheckKeys("limits", job.limits);
  for (const ConcurrencyLimit& limit : job.limits) {
    if (status) status = CheckRange(fmt::format("limits: '{}'", limit.key), limit.slots, 1, kMostSlots);
  }
  if (status) status = CheckKeys("rates", job.rates);
  for (const RateLimit& rate : job.rates) {
    if (status) status = CheckRange(fmt::format("rates: '{}'", rate.key), rate.starts, 1, kMostSlots);
    if (status && (rate.per < kShortestRate || rate.per > kLongestRate)) {
      status = Bad(fmt::format("rates: '{}'", rate.key),
                   fmt::format("counts starts in {}: it must be between 100ms and 366d", FormatDuration(rate.per)));
    }
  }
  return status;
}

Status Check(const JobDefinition& job) {
  Status status = CheckName("id", job.id);
  if (status) status = CheckName("task", job.task);
  if (status) status = CheckName("queue", job.queue);
  if (status && !job.label.empty()) status = CheckName("label", job.label);
  if (status) status = CheckMetadata(job.metadata);
  if (status && job.payload.size() > kPayloadLimit) {
    status = Bad("payload", fmt::format("has {} bytes: at most 1 MiB is allowed", job.payload.size()));
  }
  if (status && !IsValidText(job.payload)) status = Bad("payload", "must be UTF-8 text without NUL");
  if (status) status = CheckRange("priority", job.priority, 0, 10);
  if (status && job.late) status = CheckRange("late", static_cast<int>(*job.late), 0, 2);
  if (status) status = CheckRange("late_limit", job.late_limit, 1, 1'000'000'000);
  if (status && job.late_threshold) status = CheckDuration("late_threshold", *job.late_threshold);
  if (status) status = CheckRange("delivery", static_cast<int>(job.delivery), 0, 1);
  if (status) status = CheckRange("retry.max_attempts", job.retry.max_attempts, 1, 10'000);
  if (status) status = CheckDuration("retry.delay", job.retry.delay);
  if (status) status = CheckDuration("retry.max_delay", job.retry.max_delay);
  if (status && !(job.retry.factor >= 1.0 && job.retry.factor <= 1000.0)) {  // so that NaN is refused too
    status = Bad("retry.factor", fmt::format("is {}: it must be between 1 and 1000", job.retry.factor));
  }
  if (status) status = CheckRange("retry.delays", static_cast<std::int64_t>(job.retry.delays.size()), 0, 100);
  for (const Duration delay : job.retry.delays) {
    if (status) status = CheckDuration("retry.delays", delay);
  }
  if (status && !(job.retry.jitter >= 0.0 && job.retry.jitter <= 1.0)) {
    status = Bad("retry.jitter", fmt::format("is {}: it must be between 0 and 1", job.retry.jitter));
  }
  if (status) status = CheckRange("retry.on", static_cast<int>(job.retry.on), 0, 2);
  if (status) status = CheckDuration("timeout", job.timeout);
  if (status) status = CheckDuration("deadline", job.deadline);
  if (status) status = CheckLater(job);
  if (status) status = CheckFollowerNames("on_success", job, job.on_success);
  if (status) status = CheckFollowerNames("on_failure", job, job.on_failure);
  if (status) status = CheckFollowerNames("on_end", job, job.on_end);
  if (status) status = CheckRange("overlap", static_cast<int>(job.overlap), 0, 2);
  if (status && job.overlap != Overlap::kWait && DelayOf(job.schedule)) {
    status = Bad("overlap", fmt::format("'{}' needs points that come while a run goes on: after a delay none does",
                                        job.overlap == Overlap::kAllow ? "allow" : "replace"));
  }
  if (status && job.overlap == Overlap::kAllow && job.pause_after > 0) {
    status = Bad("pause_after", "counts what a job's occurrences came to: with overlap 'allow' they are handed on");
  }
  if (status && !job.unique.empty()) status = CheckName("unique", job.unique);
  if (status) status = CheckDuration("unique_for", job.unique_for);
  if (status && job.unique.empty() && job.unique_for > Duration::zero()) {
    status = Bad("unique_for", "is the time for which a key is held: set the key, `unique`, too");
  }
  if (status) status = CheckRange("lost_limit", job.lost_limit, 1, 10'000);
  if (status) status = CheckRange("pause_after", job.pause_after, 0, 10'000);
  if (status) status = CheckLimits(job);
  return status;
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSucceeded: return "succeeded";
    case Verdict::kFailed: return "failed";
    case Verdict::kTimedOut: return "timed out";
    case Verdict::kCancelled: return "cancelled";
    case Verdict::kLost: return "lost";
    case Verdict::kSkippedMisfired: return "skipped: misfired";
    case Verdict::kSkippedOverlapped: return "skipped: overlapped";
    case Verdict::kSkippedPaused: return "skipped: paused";
    case Verdict::kHandedOn: return "handed on";
  }
  return "unknown";
}

std::string_view JobStateName(JobState state) {
  switch (state) {
    case JobState::kActive: return "active";
    case JobState::kPaused: return "paused";
    case JobState::kFinished: return "finished";
    case JobState::kRemoved: return "removed";
  }
  return "unknown";
}

Status CheckQueue(const std::optional<std::string>& queue) { return queue ? CheckName("queue", *queue) : Status(); }

Status Validate(const JobDefinition& definition) {
  const Status status = Check(definition);
  if (status) return status;
  return FailIn(fmt::format("job '{}'", Quoted(definition.id, kNameLimit)), status.error());
}

}  // namespace escapement
