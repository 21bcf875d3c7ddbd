// What a task sees when it runs.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "escapement/job.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct RunContext {
  std::shared_ptr<const JobDefinition> job;  // shared: one definition serves all runs of a job
  Instant fire_time;                         // the occurrence's own instant, not the time of the start
  int attempt = 1;
  std::int64_t fence = 0;     // grows at every change of ownership of the job: hand it to what must refuse a stale run
  std::int64_t job_key = 0;   // of this creation of the job in its store; never used again, while ids can be
  std::stop_token cancelled;  // asked to stop: timeout, shutdown, or ownership lost

  // Tells others how far the run has come: `part` from 0 to 1, and a word about it. Cheap, thread-safe, and nothing
  // that a run waits for: the pod sends the last of each run with its heartbeat. Does nothing once the run has ended.
  void Progress(double part, std::string note = {}) const {
    if (on_progress) on_progress(part, std::move(note));
  }
  std::function<void(double part, std::string note)> on_progress = {};

  // This run's name in its store, "KEY.FENCE.FIRE_TIME.ATTEMPT" (microseconds since 1970). In PostgreSQL, for the SQL
  // functions escapement.check_fence and escapement.complete; docs/effects.md tells what they are for.
  std::string Token() const;
};

// A task that blocks. Called on a thread of the pool. An error, or an exception, is the verdict "failed".
using Handler = std::function<Status(const RunContext&)>;

// Ends a run. Call it once, from any thread; calls after the first do nothing. Dropping every copy uncalled fails the
// run.
class Done {
 public:
  using Callback = std::function<void(Status, std::string)>;
  Done() = default;
  explicit Done(Callback callback) : callback_(std::move(callback)) {}
  // `output`: what the task printed; the history keeps its last kOutputLimit bytes.
  void operator()(Status status, std::string output = {}) const { callback_(std::move(status), std::move(output)); }

 private:
  Callback callback_;
};

// A task that starts something and returns at once; `done` ends the run. Called on one thread for all
// asynchronous tasks, so it must not block.
using AsyncHandler = std::function<void(const RunContext&, Done)>;

}  // namespace escapement
