// What a user defines (a job), and what becomes of it (runs with verdicts).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/schedule.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

// How an occurrence ended. The numbers are stored: never change one.
enum class Verdict : std::int16_t {
  kSucceeded = 1,
  kFailed = 2,
  kTimedOut = 3,
  kCancelled = 4,
  kLost = 5,               // its pod died: at_most_once, or too many pods died of it
  kSkippedMisfired = 6,    // too late by the job's late policy
  kSkippedOverlapped = 7,  // the previous run was still going
  kSkippedPaused = 8,      // the job was paused
  kHandedOn = 9,           // overlap allowed: it runs as a triggered run of its own, which came with this row
};
std::string_view VerdictName(Verdict verdict);  // "succeeded", "timed out", "skipped: misfired", ...

enum class JobState : std::int16_t { kActive = 1, kPaused = 2, kFinished = 3, kRemoved = 4 };
std::string_view JobStateName(JobState state);

// What to do with points that passed, by more than the late threshold, before they could start.
enum class LatePolicy {
  kSkip,     // skip all of them
  kRunOnce,  // skip all but the newest
  kRunAll,   // run the newest `late_limit`, skip the rest
};

enum class Delivery { kAtLeastOnce, kAtMostOnce };

// What is tried again: attempts that failed, that timed out, or both.
enum class RetryOn { kAny, kFailed, kTimedOut };

// Attempt n + 1 starts delay * factor^(n-1) after attempt n failed, at most max_delay.
struct RetryPolicy {
  int max_attempts = 1;  // 1: no retry
  Duration delay = std::chrono::seconds(1);
  double factor = 2.0;
  Duration max_delay = std::chrono::hours(1);
  std::vector<Duration> delays =
      {};             // instead of the three above: after attempt n the nth, later on the last; at most 100
  double jitter = 0;  // 0 to 1: each delay is shorter or longer by up to this part, the same on every pod
  RetryOn on = RetryOn::kAny;
  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

// What becomes of a run when the job's next occurrence is due: it goes on and the next one waits; or it is cancelled;
// or it goes on and the next one runs beside it, for then each occurrence is handed on to a triggered run of its own.
enum class Overlap { kWait, kReplace, kAllow };

// Of all jobs with this key, no more than `slots` run at the same time, on all pods together. A mutex has one slot.
struct ConcurrencyLimit {
  std::string key;  // 1 to 200 bytes of UTF-8 without control characters
  int slots = 1;    // 1 to 10,000
  friend bool operator==(const ConcurrencyLimit&, const ConcurrencyLimit&) = default;
};

// Of all jobs with this key, no more than `starts` are started in any time of `per`, by all pods together.
struct RateLimit {
  std::string key;  // as above
  int starts = 1;   // 1 to 10,000
  Duration per = std::chrono::seconds(1);
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

struct JobDefinition {
  std::string id;  // 1 to 200 bytes of UTF-8 without control characters
  Schedule schedule;
  std::string task;          // name of the handler that runs it
  std::string payload = {};  // handed to the handler; at most 1 MiB of UTF-8 text
  std::string queue = "default";
  std::string label = {};                            // only pods with this label take the job; empty: any pod
  std::map<std::string, std::string> metadata = {};  // for people and filters; at most 50 names
  int priority = 0;                                  // 0 to 10; of jobs that are due, the higher starts first
  std::optional<LatePolicy> late = {};          // none: kSkip for a schedule by local times, as cron, else kRunOnce
  int late_limit = 1'000'000;                   // kRunAll: how many of the newest points run
  std::optional<Duration> late_threshold = {};  // none: the interval, at most 60 s
  Delivery delivery = Delivery::kAtLeastOnce;
  RetryPolicy retry = {};
  Duration timeout{0};   // of one attempt; 0: none
  Duration deadline{0};  // of all attempts of an occurrence, from its fire time: none starts later or goes on; 0: none
  int lost_limit = 5;    // at_least_once: after this many dead pods the occurrence is settled as lost
  int pause_after = 0;   // so many occurrences in a row that failed, timed out or were lost pause the job; 0: never
  Duration jitter{0};  // each occurrence starts later than its fire time by its own part of this, the same on all pods
  Duration flex{0};    // all occurrences start later by one part of this, so chosen that jobs spread evenly
  Overlap overlap = Overlap::kWait;
  std::vector<ConcurrencyLimit> limits = {};  // all must be free at once; at most 4
  std::vector<RateLimit> rates = {};          // as well; at most 4
  // Names of jobs that are triggered when an occurrence has ended so: it succeeded; it failed for good (failed, timed
  // out or was lost, after its last attempt); either, or it was cancelled. At most 20 each, and no job may follow
  // itself.
  std::vector<std::string> on_success = {};
  std::vector<std::string> on_failure = {};
  std::vector<std::string> on_end = {};
  // While a job with this key is there and not finished, or was created less than `unique_for` ago, no other is
  // created.
  std::string unique = {};  // 1 to 200 bytes of UTF-8 without control characters; empty: none
  Duration unique_for{0};
  // Of the same meaning: a late policy that is left out is the usual one.
  friend bool operator==(const JobDefinition& a, const JobDefinition& b);
};

// kInvalidArgument naming the field, what is wrong with it and what would be right.
[[nodiscard]] Status Validate(const JobDefinition& definition);

// kHeld: another job holds the unique key, and nothing was created or changed.
enum class EnqueueOutcome { kCreated, kUpdated, kUnchanged, kHeld };

// A job as it stands.
struct JobInfo {
  JobDefinition definition;
  int version = 1;
  JobState state = JobState::kActive;
  Instant created_at;
  Instant cursor;                    // the last settled instant
  std::optional<Instant> fire_time;  // of the occurrence to settle next; none when finished
  int attempt = 1;
  std::optional<std::string> owner_pod;
  std::int64_t fence = 0;
  std::int64_t settled_total = 0;
  int failures = 0;             // occurrences in a row, up to now, that failed, timed out or were lost
  std::string unreadable = {};  // why `definition` is its id alone: a newer program wrote what this one does not know
};

// One line of history: an attempt, or a skipped stretch of occurrences.
struct RunInfo {
  std::string job_id;
  Instant fire_time;  // of the first occurrence it stands for
  Instant last_fire;  // of the last; equal unless a stretch was skipped
  int attempt = 1;
  Verdict verdict = Verdict::kSucceeded;
  std::int64_t settles = 1;  // occurrences settled by this row: 0 when a retry follows
  std::optional<Instant> started_at;
  std::optional<Instant> finished_at;
  Instant settled_at;
  std::string pod;
  std::string error;
  std::string output;      // what the task printed, its last kOutputLimit bytes
  bool triggered = false;  // a run that a user asked for, beside the schedule: it settles none of the job's points
  friend bool operator==(const RunInfo&, const RunInfo&) = default;
};

// How far a run has come, as its task told.
struct RunProgress {
  std::string job_id;
  Instant fire_time;
  int attempt = 1;
  double part = 0;   // 0 to 1
  std::string note;  // at most kNoteLimit bytes of UTF-8
  Instant told_at;   // by the store's clock, as its pod saw it
  std::string pod = {};
  friend bool operator==(const RunProgress&, const RunProgress&) = default;
};
inline constexpr std::size_t kNoteLimit = 200;

inline constexpr std::size_t kOutputLimit = 16 * 1024;  // bytes of a task's output that the history keeps

struct PodInfo {
  std::string name;
  std::int64_t session = 0;
  double rate = 0;         // points a second of the jobs it owns
  std::int64_t owned = 0;  // jobs
};

struct StoreStats {
  std::map<JobState, std::int64_t> jobs;
  std::int64_t overdue = 0;  // unowned active jobs whose time has come
};

struct JobFilter {
  std::string id_prefix = {};
  std::string after_id = {};  // only ids after this one, in byte order: the next page
  std::optional<JobState> state = {};
  std::map<std::string, std::string> metadata = {};  // only jobs that have all of these
  int limit = 100;
};

struct RunFilter {
  std::string job_id;  // empty: all jobs
  std::optional<Instant> fire_from = {};
  std::optional<Instant> fire_to = {};  // exclusive
  int limit = 100;                      // newest first
};

// The conservation law of a window: each grid point settled once. Exact counts, from the ledger alone.
struct Audit {
  std::int64_t jobs = 0;
  std::int64_t expected = 0;  // grid points
  std::int64_t missing = 0;   // points without a verdict
  std::int64_t doubled = 0;   // verdicts beyond the first of a point
  std::map<Verdict, std::int64_t> settled;
};

}  // namespace escapement
