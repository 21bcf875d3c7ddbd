#include "executors/function/function_executor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>

#include "job/text.h"

namespace escapement {
namespace {

struct Run {
  StartRun start;
  std::stop_source cancel;
  BootTime started_at;
  std::atomic<bool> reported = false;
  bool abandoned = false;  // guarded by State::mutex

  // A mutex of its own: a task that tells much holds nobody up. It is locked before State::mutex.
  std::mutex told_mutex;
  RunTold told;        // guarded by told_mutex
  bool tells = false;  // guarded by told_mutex
};
using RunPtr = std::shared_ptr<Run>;  // shared: by the queue, the running handler and its Done

std::string WordsOf(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return fmt::format("the task threw: {}", e.what());
  } catch (...) {
    return "the task threw something that is no std::exception";
  }
}

// Reports made by this thread while it starts a row of asynchronous tasks: handed on together.
thread_local std::vector<RunFinished>* collected = nullptr;

}  // namespace

struct FunctionExecutor::State : std::enable_shared_from_this<State> {
  const std::size_t threads;
  std::unordered_map<std::string, Handler> handlers;             // fixed before the first Start
  std::unordered_map<std::string, AsyncHandler> async_handlers;  // fixed before the first Start

  std::mutex mutex;
  std::condition_variable pool_ready, async_ready, changed;
  // The sink is called under its own mutex: once Shutdown has taken it away, no call is under way.
  std::mutex sink_mutex;
  Sink sink;  // guarded by `sink_mutex`
  // All guarded by `mutex`:
  std::unordered_map<RunId, RunPtr> running;  // reported to nobody yet
  std::unordered_map<RunId, RunPtr> telling;  // those of `running` that told how far they have come
  std::deque<RunPtr> pool_queue, async_queue;
  std::size_t pool_size = 0;  // threads, without those of abandoned runs
  std::size_t idle = 0;
  std::size_t alive = 0;  // threads of both kinds
  bool async_started = false;
  bool stopping = false;

  explicit State(std::size_t n) : threads(n) {}

  // The first report of a run counts.
  void Report(const RunPtr& run, bool started, Verdict verdict, std::string error, std::string output = {}) {
    if (run->reported.exchange(true)) return;
    std::vector<RunFinished> finished(1);
    finished[0] = {run->start.id, started,          run->started_at,  BootClock::now(),
                   verdict,       std::move(error), std::move(output)};
    {
      const std::lock_guard lock(mutex);
      running.erase(run->start.id);
      telling.erase(run->start.id);
    }
    changed.notify_all();
    if (collected != nullptr) {
      collected->push_back(std::move(finished[0]));
    } else {
      Tell(std::move(finished));
    }
  }

  void Tell(std::vector<RunFinished> finished) {
    const std::lock_guard lock(sink_mutex);
    if (sink) sink(std::move(finished));
  }

  void Report(const RunPtr& run, const Status& status, std::string output = {}) {
    if (status) {
      Report(run, true, Verdict::kSucceeded, {}, std::move(output));
    } else {
      Report(run, true, run->cancel.stop_requested() ? Verdict::kCancelled : Verdict::kFailed, status.error().message,
             std::move(output));
    }
  }

  RunContext ContextOf(const RunPtr& run) {
    const StartRun& start = run->start;
    // Weak: who keeps a context keeps no executor.
    return {start.job,
            start.fire_time,
            start.attempt,
            start.fence,
            start.key,
            run->cancel.get_token(),
            [weak = weak_from_this(), run](double part, const std::string& note) {
              if (const auto self = weak.lock()) self->Hear(run, part, note);
            }};
  }

  void Hear(const RunPtr& run, double part, const std::string& note) {
    RunTold told{run->start.id, BootClock::now(), part > 0 ? std::min(part, 1.0) : 0,  // what is no number is 0
                 MakeValidText(note, kNoteLimit)};
    const std::lock_guard lock(run->told_mutex);
    run->told = std::move(told);
    if (std::exchange(run->tells, true)) return;
    const std::lock_guard listing(mutex);
    if (running.contains(run->start.id)) telling.emplace(run->start.id, run);
  }

  // The last look at the clock before the task: a thread that stood still past the session's deadline starts nothing.
  bool Begin(const RunPtr& run) {
    run->started_at = BootClock::now();
    if (run->started_at < run->start.start_before && !run->cancel.stop_requested()) return true;
    Report(run, false, Verdict::kCancelled, {});
    return false;
  }

  void PoolThread() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      pool_ready.wait(lock, [&] { return stopping || !pool_queue.empty(); });
      --idle;
      if (pool_queue.empty()) break;
      const RunPtr run = std::move(pool_queue.front());
      pool_queue.pop_front();
      lock.unlock();
      if (Begin(run)) {
        Status status;
        try {
          status = handlers.at(run->start.job->task)(ContextOf(run));
        } catch (...) {
          status = Fail(Code::kInternal, WordsOf(std::current_exception()));
        }
        Report(run, status);
      }
      lock.lock();
      if (run->abandoned) {  // another thread has taken this one's place
        --alive;
        changed.notify_all();
        return;
      }
    }
    --pool_size;
    --alive;
    changed.notify_all();
  }

  void AsyncThread(const std::shared_ptr<State>& self) {
    std::deque<RunPtr> runs;
    std::vector<RunFinished> finished;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        async_ready.wait(lock, [&] { return stopping || !async_queue.empty(); });
        if (async_queue.empty()) {
          async_started = false;
          --alive;
          changed.notify_all();
          return;
        }
        runs.swap(async_queue);
      }
      collected = &finished;
      for (const RunPtr& run : runs) {
        if (Begin(run)) StartAsync(self, run);
      }
      collected = nullptr;
      runs.clear();
      if (!finished.empty()) Tell(std::move(finished));
      finished = {};
    }
  }

  void StartAsync(const std::shared_ptr<State>& self, const RunPtr& run) {
    // Dropped uncalled, it fails the run: nothing waits for ever.
    const auto guard = std::shared_ptr<void>(nullptr, [self, run](void*) {
      self->Report(run, true, Verdict::kFailed, "the task dropped its completion without calling it");
    });
    try {
      const Done done([self, run, guard](const Status& status, std::string output) {
        self->Report(run, status, std::move(output));
      });
      async_handlers.at(run->start.job->task)(ContextOf(run), done);
    } catch (...) {  // `guard` here outlives the completion that unwinding dropped, so this report is the first
      Report(run, Fail(Code::kInternal, WordsOf(std::current_exception())));
    }
  }
};

FunctionExecutor::FunctionExecutor(int threads)
    : state_(std::make_shared<State>(static_cast<std::size_t>(std::max(1, threads)))) {}

FunctionExecutor::~FunctionExecutor() { Shutdown(Duration(0)); }

void FunctionExecutor::Handle(std::string task, Handler handler) {
  state_->handlers[std::move(task)] = std::move(handler);
}

void FunctionExecutor::HandleAsync(std::string task, AsyncHandler handler) {
  state_->async_handlers[std::move(task)] = std::move(handler);
}

void FunctionExecutor::SetSink(Sink sink) {
  if (sink) {  // of a pod that starts, after another one failed to
    const std::lock_guard lock(state_->mutex);
    state_->stopping = false;
  }
  const std::lock_guard lock(state_->sink_mutex);
  state_->sink = std::move(sink);
}

void FunctionExecutor::Start(std::vector<StartRun> starts) {
  std::vector<RunPtr> runs;
  runs.reserve(starts.size());
  for (StartRun& s : starts) {
    runs.push_back(std::make_shared<Run>());
    runs.back()->start = std::move(s);
  }
  std::vector<RunPtr> refused;
  bool wake_async = false;
  {
    State& s = *state_;
    const std::lock_guard lock(s.mutex);
    for (RunPtr& run : runs) {
      s.running[run->start.id] = run;
      if (!s.stopping && s.async_handlers.contains(run->start.job->task)) {
        wake_async = wake_async || s.async_queue.empty();
        s.async_queue.push_back(std::move(run));
        if (!s.async_started) {
          s.async_started = true;
          ++s.alive;
          std::thread([state = state_] { state->AsyncThread(state); }).detach();
        }
      } else if (!s.stopping && s.handlers.contains(run->start.job->task)) {
        s.pool_queue.push_back(std::move(run));
        if (s.pool_queue.size() > s.idle && s.pool_size < s.threads) {
          ++s.pool_size;
          ++s.alive;
          std::thread([state = state_] { state->PoolThread(); }).detach();
        }
        s.pool_ready.notify_one();
      } else {
        refused.push_back(std::move(run));
      }
    }
  }
  if (wake_async) state_->async_ready.notify_one();
  for (const RunPtr& run : refused) {
    run->started_at = BootClock::now();
    state_->Report(run, true, Verdict::kFailed,
                   fmt::format("this pod has no handler for the task '{}'", run->start.job->task));
  }
}

void FunctionExecutor::Cancel(RunId id) {
  RunPtr run;
  {
    const std::lock_guard lock(state_->mutex);
    const auto it = state_->running.find(id);
    if (it == state_->running.end()) return;
    run = it->second;
  }
  run->cancel.request_stop();
}

void FunctionExecutor::Abandon(RunId id) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const auto it = s.running.find(id);
  if (it == s.running.end() || it->second->abandoned || !s.handlers.contains(it->second->start.job->task)) return;
  it->second->abandoned = true;
  --s.pool_size;
  if (!s.pool_queue.empty() && !s.stopping) {
    ++s.pool_size;
    ++s.alive;
    std::thread([state = state_] { state->PoolThread(); }).detach();
  }
}

std::vector<RunTold> FunctionExecutor::Progress() {
  std::vector<RunPtr> runs;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [id, run] : state_->telling) runs.push_back(run);
  }
  std::vector<RunTold> told;
  told.reserve(runs.size());
  for (const RunPtr& run : runs) {
    const std::lock_guard lock(run->told_mutex);
    told.push_back(run->told);
  }
  return told;
}

void FunctionExecutor::Shutdown(Duration grace) {
  State& s = *state_;
  std::deque<RunPtr> queued;
  {
    const std::lock_guard lock(s.mutex);
    s.stopping = true;
    for (auto* queue : {&s.pool_queue, &s.async_queue}) {
      queued.insert(queued.end(), queue->begin(), queue->end());
      queue->clear();
    }
  }
  s.pool_ready.notify_all();
  s.async_ready.notify_all();
  for (const RunPtr& run : queued) s.Report(run, false, Verdict::kCancelled, {});
  std::unique_lock lock(s.mutex);
  s.changed.wait_for(lock, grace, [&] { return s.running.empty() && s.alive == 0; });
  std::vector<RunPtr> left;
  for (const auto& [id, run] : s.running) left.push_back(run);
  lock.unlock();
  SetSink(nullptr);
  for (const RunPtr& run : left) run->cancel.request_stop();
  // Threads between two tasks end at once; one that its handler holds is left to it.
  lock.lock();
  s.changed.wait_for(lock, std::chrono::milliseconds(100), [&] { return s.alive == 0; });
}

}  // namespace escapement
