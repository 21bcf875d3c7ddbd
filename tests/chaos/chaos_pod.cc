// A pod for tools/chaos: runs the task "chaos" and writes down each start and each end itself, beside the engine.
//
// Variables: CHAOS_STORE and CHAOS_LOCKS (URLs), CHAOS_POD (its name), CHAOS_LABEL (of the jobs that it takes besides
// those without), CHAOS_WITNESS (the file to append to).
// A job's payload is "<ms of work> <attempts that fail>", and, where every other point has others, further "<interval,
// us> <ms of work> <attempts that fail>" for those whose number of intervals since the epoch is odd.
// Lines of the file, instants in us since the epoch:
//   S <token> <job> <fire time> <attempt> <fence> <instant> <how far this process's own clock is ahead, us> <job key>
//   E <token> <instant> [cancelled]
// The token is what the run prints, so each row of the ledger names the start that it is the outcome of.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "escapement/scheduler.h"

namespace escapement {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kGrace = seconds(5);
constexpr auto kCancelLook = milliseconds(20);

// By system call: a library that fakes the clock for the engine must not fake it for the witness.
std::int64_t WallMicros() {
  timespec now = {};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One write(2) for each line, so that SIGKILL hides none. Thread-safe.
class WitnessFile {
 public:
  bool Open(const std::string& path) {
    file_ = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return file_ >= 0;
  }
  void Write(const std::string& line) const {
    if (write(file_, line.data(), line.size()) == static_cast<ssize_t>(line.size())) return;
    fmt::print(stderr, "the witness cannot write: {}\n", std::strerror(errno));
    std::abort();  // what follows could not be judged
  }

 private:
  int file_ = -1;
};

struct Task {
  int length_ms = 0;
  int failures = 0;
};

Task TaskOf(const RunContext& run) {
  Task task, odd;
  long long interval = 0;
  const int words = std::sscanf(run.job->payload.c_str(), "%d %d %lld %d %d", &task.length_ms, &task.failures,
                                &interval, &odd.length_ms, &odd.failures);
  return words == 5 && interval > 0 && ToMicros(run.fire_time) / interval % 2 == 1 ? odd : task;
}

// Ends simulated work: when its time has come, or soon after it was cancelled. One thread, whatever is in flight.
class Work {
 public:
  Work() : thread_([this] { Loop(); }) {}
  ~Work() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  // `end` is told whether it was cancelled.
  void Add(milliseconds length, std::stop_token cancelled, std::function<void(bool)> end) {
    const std::lock_guard lock(mutex_);
    works_.emplace(Steady::now() + length, Item{std::move(cancelled), std::move(end)});
    wake_.notify_one();
  }

 private:
  struct Item {
    std::stop_token cancelled;
    std::function<void(bool)> end;
  };

  void Loop() {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      const auto now = Steady::now();
      auto it = works_.begin();
      while (it != works_.end() && it->first > now && !it->second.cancelled.stop_requested()) ++it;
      if (it == works_.end()) {
        if (works_.empty()) {
          wake_.wait(lock);
        } else {
          const auto until = std::min(now + kCancelLook, works_.begin()->first);  // a copy: the map changes meanwhile
          wake_.wait_until(lock, until);
        }
        continue;
      }
      const auto over = works_.extract(it);
      lock.unlock();
      over.mapped().end(over.key() > now);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<Steady::time_point, Item> works_;  // by their end; guarded by mutex_
  bool stopped_ = false;                           // guarded by mutex_
  std::thread thread_;                             // last: it uses the others
};

// True when SIGTERM or SIGINT, which are blocked, came within that time.
bool Told(const sigset_t& signals, milliseconds within) {
  const timespec limit = {within.count() / 1000, within.count() % 1000 * 1'000'000};
  return sigtimedwait(&signals, nullptr, &limit) > 0;
}

int Run() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  WitnessFile witness;
  if (!witness.Open(Variable("CHAOS_WITNESS"))) {
    fmt::print(stderr, "CHAOS_WITNESS: {}: {}\n", Variable("CHAOS_WITNESS"), std::strerror(errno));
    return 2;
  }
  SchedulerOptions options;
  options.store_url = Variable("CHAOS_STORE");
  options.locks_url = Variable("CHAOS_LOCKS");
  options.pod_name = Variable("CHAOS_POD");
  options.queues = {"default", "rests"};
  options.labels = {Variable("CHAOS_LABEL")};

  // Servers may be away when it starts: it tries until it is told to stop.
  Work work;
  std::unique_ptr<Scheduler> scheduler;
  std::atomic<std::int64_t> starts = 0;
  const auto start = [&]() -> Status {
    auto opened = Scheduler::Open(options);
    if (!opened) return tl::make_unexpected(opened.error());
    scheduler = std::move(*opened);
    scheduler->HandleAsync("chaos", [&](const RunContext& run, Done done) {
      const std::string token = fmt::format("{}.{}.{}", options.pod_name, getpid(), ++starts);
      const std::int64_t now = WallMicros();
      const auto own = std::chrono::floor<Duration>(std::chrono::system_clock::now().time_since_epoch()).count();
      witness.Write(fmt::format("S {} {} {} {} {} {} {} {}\n", token, run.job->id, ToMicros(run.fire_time), run.attempt,
                                run.fence, now, own - now, run.job_key));
      const Task task = TaskOf(run);
      const bool fails = run.attempt <= task.failures;
      work.Add(milliseconds(task.length_ms), run.cancelled,
               [&witness, token, fails, done = std::move(done)](bool cancelled) {
                 witness.Write(fmt::format("E {} {}{}\n", token, WallMicros(), cancelled ? " cancelled" : ""));
                 if (cancelled) {
                   done(Fail(Code::kUnavailable, "cancelled"), token);
                 } else {
                   done(fails ? Fail(Code::kInternal, "as planned") : Status(), token);
                 }
               });
    });
    return scheduler->Start();
  };
  for (auto started = start(); !started; started = start()) {
    const Code code = started.error().code;
    if (code != Code::kUnavailable && code != Code::kTimeout && code != Code::kInDoubt) {
      fmt::print(stderr, "{}\n", started.error().message);
      return 2;
    }
    scheduler.reset();
    if (Told(signals, milliseconds(500))) return 0;
  }
  while (!Told(signals, seconds(3600))) {
  }
  if (auto stopped = scheduler->Stop(kGrace); !stopped) fmt::print(stderr, "stopping: {}\n", stopped.error().message);
  scheduler.reset();
  return 0;
}

}  // namespace
}  // namespace escapement

int main() { return escapement::Run(); }
