// Runs commands: the task of process.h.
#pragma once

#include <memory>

#include "escapement/handler.h"
#include "escapement/status.h"

namespace escapement {

// One thread starts, watches and ends all commands, however many run.
class ProcessRunner {
 public:
  // The environment that commands get is this process's of this moment. kUnavailable: the system refuses what it needs.
  [[nodiscard]] static Result<std::unique_ptr<ProcessRunner>> Create();

  ProcessRunner(const ProcessRunner&) = delete;
  ProcessRunner& operator=(const ProcessRunner&) = delete;
  // Kills what still runs, with all of each group, and fails its runs.
  ~ProcessRunner();

  // To be registered for kProcessTask. Copies may outlive the runner: they then fail their runs.
  AsyncHandler Handler() const;

 private:
  class State;
  explicit ProcessRunner(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared: with the handlers
};

}  // namespace escapement
