// Runs tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "escapement/handler.h"
#include "escapement/job.h"
#include "job/settle.h"
#include "time/clock.h"

namespace escapement {

using RunId = std::uint64_t;  // of one pod's life

struct StartRun {
  RunId id = 0;
  std::shared_ptr<const JobDefinition> job;  // shared: see ClaimedJob
  Instant fire_time;
  int attempt = 1;
  Fence fence = 0;
  JobKey key = 0;
  BootTime start_before;  // the deadline of the session, or of the job: looked at once more at the very start
};

// What a run under way told of itself last.
struct RunTold {
  RunId id = 0;
  BootTime at;
  double part = 0;   // 0 to 1
  std::string note;  // at most kNoteLimit bytes of UTF-8
};

struct RunFinished {
  RunId id = 0;
  bool started = false;  // false: start_before had passed; the task never ran
  BootTime started_at;
  BootTime finished_at;
  Verdict verdict = Verdict::kSucceeded;  // kSucceeded, kFailed or kCancelled
  std::string error;                      // bounded
  std::string output;                     // what the task printed, its last kOutputLimit bytes
};

// Thread-safe. Every started run is reported to the sink exactly once, from any thread.
class Executor {
 public:
  using Sink = std::function<void(std::vector<RunFinished>)>;
  virtual ~Executor() = default;
  virtual void SetSink(Sink sink) = 0;
  virtual void Start(std::vector<StartRun> runs) = 0;
  // Asks a run to stop. It may end as it likes.
  virtual void Cancel(RunId id) = 0;
  // Gives up a run that ignores its cancellation: its thread counts no more, and its report is of no interest.
  virtual void Abandon(RunId id) = 0;
  // Of each run under way that told how far it has come; none of what has ended.
  virtual std::vector<RunTold> Progress() = 0;
  // After it returns no handler is running any more, or `grace` is over and the rest is abandoned to its threads.
  virtual void Shutdown(Duration grace) = 0;
};

}  // namespace escapement
