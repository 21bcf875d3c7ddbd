// What `simulate` simulates: jobs of a store, of a job file or of an archive, and how long their runs take.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "escapement/scheduler.h"
#include "escapement/status.h"
#include "escapement/time.h"
#include "sim/forecast.h"

namespace escapement {

inline constexpr Duration kDefaultDuration = std::chrono::seconds(5);  // of runs of which nothing is known

enum class DurationSource { kHistory, kGiven, kDefault };

struct SimulateInput {
  std::vector<ForecastJob> jobs;
  std::vector<DurationSource> sources;  // of the durations of each job
  std::size_t paused = 0;               // jobs that were left out
  std::vector<std::string> unreadable;  // jobs that a newer program wrote: left out
};

// Active jobs, with the durations of the newest runs of each. `progress` hears of each job.
[[nodiscard]] Result<SimulateInput> JobsOfStore(Scheduler& scheduler, Instant from,
                                                const std::function<void(std::size_t jobs)>& progress);
// `file`: an archive, which is as a store, or else a job file, whose jobs are taken as created at `from`; "-" is
// standard input. kInvalidArgument naming file and line; kNotFound or kUnavailable when it cannot be read.
[[nodiscard]] Result<SimulateInput> JobsOfFile(const std::string& file, Instant from);

// `given`: texts "30s", for jobs without a history, and "JOB=30s". Afterwards each job has a duration.
[[nodiscard]] Status GiveDurations(const std::vector<std::string>& given, SimulateInput* input);

}  // namespace escapement
