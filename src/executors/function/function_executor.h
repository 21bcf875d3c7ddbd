// Runs C++ functions: blocking ones in a bounded pool, asynchronous ones from one thread that never waits for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "escapement/handler.h"
#include "ports/executor.h"

namespace escapement {

class FunctionExecutor : public Executor {
 public:
  // At most `threads` blocking handlers run at once; threads start as they are needed.
  explicit FunctionExecutor(int threads);
  // Like Shutdown without grace.
  ~FunctionExecutor() override;

  // Before the first Start.
  void Handle(std::string task, Handler handler);
  void HandleAsync(std::string task, AsyncHandler handler);

  void SetSink(Sink sink) override;
  void Start(std::vector<StartRun> runs) override;
  void Cancel(RunId id) override;
  void Abandon(RunId id) override;
  std::vector<RunTold> Progress() override;
  void Shutdown(Duration grace) override;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared: with threads that a hung handler holds, and with every Done
};

}  // namespace escapement
