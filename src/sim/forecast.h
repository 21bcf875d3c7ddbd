// What the coming days would bring to a set of jobs on a cluster: a discrete-event simulation in virtual time with the
// real schedules and the real decisions of job/settle.h. The cluster is ideal: one queue before the slots of all pods,
// and no time lost between store and pods. Pure: equal input gives an equal forecast.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct ForecastJob {
  JobDefinition definition;
  Instant created_at;               // the grid's anchor, if the schedule has none of its own
  Instant cursor;                   // no point at or before it
  std::vector<Duration> durations;  // one is drawn for each run; at least one
};

struct ForecastFault {
  enum class Kind {
    kPods,   // only `pods` of them live; the others die with what they run, and are back at the end
    kStore,  // nothing is claimed or committed; runs under way go on
  };
  Instant at;
  Duration length{0};
  Kind kind = Kind::kStore;
  int pods = 0;
};

struct ForecastOptions {
  Instant from;
  Instant to;  // exclusive
  int pods = 2;
  int max_running = 10'000;                              // runs at once, of one pod
  double fail = 0;                                       // the share of runs that fail, 0 to 1
  std::uint64_t seed = 1;                                // of the durations drawn and of what fails
  Duration takeover = std::chrono::milliseconds(6'500);  // from a pod's death until others run its jobs
  Duration horizon = std::chrono::seconds(2);            // a pod keeps a job that is due again so soon
  std::vector<ForecastFault> faults = {};
  std::function<void(double)> progress = {};  // called now and then with the share that is done, 0 to 1
};

// How late occurrences started. Bounded memory: percentiles are at most 1 % too high, the maximum is exact.
// Not thread-safe.
class LatenessHistogram {
 public:
  LatenessHistogram();
  void Add(Duration lateness);  // not negative
  // By nearest rank, `percent` in (0, 100]; zero without values.
  Duration Percentile(double percent) const;
  Duration max() const { return max_; }
  std::int64_t count() const { return count_; }

 private:
  std::vector<std::int64_t> buckets_;
  std::int64_t count_ = 0;
  Duration max_{0};
};

// Of the points in the window. points = started + skipped + waiting.
struct JobForecast {
  std::string id;
  std::int64_t points = 0;
  std::int64_t started = 0;         // occurrences of which a run started, or which were lost with their pod just before
  std::int64_t skipped = 0;         // by the late policy
  std::int64_t skipped_behind = 0;  // those of them that came due while the job ran without a pause: no slot would help
  std::int64_t waiting = 0;         // due, and neither started nor skipped when the window ends
  std::int64_t runs = 0;            // attempts: retries, and those after a pod's death, included
  std::int64_t failed = 0;          // runs
  std::int64_t timed_out = 0;       // runs
  std::int64_t replaced = 0;        // runs, and retries that waited, cancelled for the next occurrence
  std::int64_t reruns = 0;          // runs that take the place of one that died with its pod
  std::int64_t lost = 0;            // occurrences settled as lost, because of a pod's death
  std::int64_t overlaps = 0;        // points that came due while the job's previous run went
  Duration lateness_max{0};         // of an occurrence's first start
  Instant latest;                   // the fire time of that occurrence
  Duration busy{0};                 // the sum of the runs' times, as far as they lie in the window
};

struct HourForecast {
  std::int64_t runs = 0;     // started in it
  std::int64_t skipped = 0;  // points due in it
  Duration busy{0};          // the sum of the running times
  std::int64_t peak = 0;     // runs at once
};

struct FaultEffect {
  std::int64_t late = 0;  // occurrences started more than kForecastLate after their time
  std::int64_t skipped = 0;
  std::int64_t reruns = 0;
  std::int64_t lost = 0;
  Duration lateness_max{0};
};

inline constexpr Duration kForecastLate = std::chrono::seconds(1);

// Counted from the fault's begin until lateness is normal again: nothing waits for a slot or for the takeover from a
// dead pod, and no run that began later than its job ever does without faults makes the job's next point late.
struct FaultForecast {
  ForecastFault fault;
  FaultEffect effect;
  FaultEffect without;               // the same stretch of time, without any fault
  std::optional<Duration> recovery;  // from the fault's end until then; none: not within the window
};

struct Forecast {
  std::vector<JobForecast> jobs;  // in the order given
  Instant first_hour;             // the whole hour in which the window begins
  std::vector<HourForecast> hours;
  LatenessHistogram lateness;  // of the first starts of all occurrences
  std::int64_t slots = 0;
  std::int64_t peak = 0;  // runs at once
  Instant peak_at;
  std::vector<FaultForecast> faults;  // in the order given

  JobForecast Total() const;  // without an id
};

// kInvalidArgument: an empty or too long window (at most 3,660 days), no pod or slot or more than 10,000 pods, a share
// that is none, a job without durations, a fault that begins outside of the window, has no length, or leaves as many
// pods as there are.
[[nodiscard]] Status Validate(const ForecastOptions& options);
[[nodiscard]] Result<Forecast> MakeForecast(const std::vector<ForecastJob>& jobs, const ForecastOptions& options);

}  // namespace escapement
