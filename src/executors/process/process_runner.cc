#include "executors/process/process_runner.h"

#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "escapement/process.h"
#include "executors/process/child.h"
#include "executors/process/progress_lines.h"

namespace escapement {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kStartsAtOnce = 16;             // then those that run are looked after
constexpr std::size_t kReadBytes = 64 * 1024;         // what a pipe holds
constexpr auto kEndLimit = std::chrono::seconds(10);  // for killed commands to be gone, when the runner ends

// The last bytes of what is written to it, in bounded memory.
class Tail {
 public:
  explicit Tail(std::size_t limit) : limit_(limit) {}
  void Append(std::string_view text) {
    if (text.size() > limit_) text.remove_prefix(text.size() - limit_);
    // Cut seldom: each byte is moved once at most.
    if (text_.size() + text.size() > 2 * limit_) text_.erase(0, text_.size() - std::min(text_.size(), limit_));
    text_ += text;
  }
  std::string Take() {
    if (text_.size() > limit_) text_.erase(0, text_.size() - limit_);
    return std::move(text_);
  }

 private:
  const std::size_t limit_;
  std::string text_;
};

// This process's environment, without what may hold its secrets and without what each run sets.
std::map<std::string, std::string> InheritedEnvironment() {
  std::map<std::string, std::string> inherited;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const auto end = text.find('=');
    if (end == std::string_view::npos || text.starts_with("ESCAPEMENT_")) continue;
    const std::string_view name = text.substr(0, end);
    // What libpq and the stress test read passwords from. A job that needs one says so in its own environment.
    if (name == "PGPASSWORD" || name == "POSTGRES_PASSWORD" || name == "REDIS_PASSWORD") continue;
    inherited.emplace(name, text.substr(end + 1));
  }
  return inherited;
}

std::string SignalText(int number) {
  const char* const name = sigdescr_np(number);
  return name != nullptr ? fmt::format("{} ({})", number, name) : std::to_string(number);
}

}  // namespace

class ProcessRunner::State {
 public:
  Status Begin() {
    inherited_ = InheritedEnvironment();
    epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
    wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (epoll_.get() < 0 || wake_.get() < 0 || !Watch(wake_.get(), kWake))
      return Fail(Code::kUnavailable, fmt::format("commands cannot be run: {}", std::strerror(errno)));
    // The thread takes no signal that is meant for the host program's own, nor do its children before they are set up.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    Status status;
    try {
      thread_ = std::thread([this] { Loop(); });
    } catch (const std::system_error& error) {
      status = Fail(Code::kUnavailable, fmt::format("commands cannot be run: no thread: {}", error.what()));
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return status;
  }

  void End() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    Wake();
    if (thread_.joinable()) thread_.join();
    epoll_.Reset();  // handlers may keep the rest
    wake_.Reset();
  }

  void Start(const RunContext& context, Done done) {
    {
      const std::lock_guard lock(mutex_);
      if (!stopping_) {
        starts_.push_back({context, std::move(done)});
        Wake();
        return;
      }
    }
    done(Fail(Code::kInternal, "the pod ended before the command was started"));
  }

 private:
  using Key = std::uint64_t;
  // What a descriptor's event is about: the key of a command, and which of its descriptors.
  static constexpr std::uint64_t kWake = 0;
  static std::uint64_t LifeOf(Key key) { return 2 * key; }
  static std::uint64_t OutputOf(Key key) { return 2 * key + 1; }

  struct Request {
    RunContext context;
    Done done;
  };

  struct Running {
    Running(Request r, ProcessSpec s, Command c, Child started)
        : request(std::move(r)),
          spec(std::move(s)),
          command(std::move(c)),
          child(std::move(started)),
          tail(spec.output_limit),
          lines([this](std::string_view text) { tail.Append(text); },
                [this](double part, std::string note) { request.context.Progress(part, std::move(note)); }) {}
    const Request request;
    const ProcessSpec spec;
    const Command command;
    Child child;
    Tail tail;
    ProgressLines lines;                        // between the command and `tail`
    std::optional<Steady::time_point> kill_at;  // cancelled: when it is killed
    std::string killed_because;
    // Last: gone before what it speaks of. Its callback only takes `mutex_`, never held when this is destroyed.
    std::optional<std::stop_callback<std::function<void()>>> on_cancel;
  };

  void Wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);  // full: it is awake already
  }

  bool Watch(int fd, std::uint64_t what) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = what;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }

  // --- the thread

  void Loop() {
    std::optional<Steady::time_point> give_up;
    for (;;) {
      std::vector<Request> starts;
      std::vector<Key> cancels;
      bool more = false;
      bool stopping = false;
      {
        const std::lock_guard lock(mutex_);
        stopping = stopping_;
        while (!starts_.empty() && (stopping || starts.size() < kStartsAtOnce)) {
          starts.push_back(std::move(starts_.front()));
          starts_.pop_front();
        }
        more = !starts_.empty();
        cancels.swap(cancels_);
      }
      for (Request& request : starts) {
        if (stopping) {
          request.done(Fail(Code::kInternal, "the pod ended before the command was started"));
        } else {
          StartOne(std::move(request));
        }
      }
      starts.clear();
      for (const Key key : cancels) Terminate(key);
      if (stopping && !give_up) {
        give_up = Steady::now() + kEndLimit;
        for (auto& [key, running] : running_) Kill(*running, "the pod ended");
      }
      if (stopping && (running_.empty() || Steady::now() >= *give_up)) break;
      WaitForEvents(more ? std::optional(Steady::now()) : NextKill(give_up));
      KillIgnorant();
    }
    for (auto& [key, running] : running_)  // deep in the kernel; its signal waits for it
      running->request.done(Fail(Code::kInternal, "the command did not end when it was killed"), running->tail.Take());
    running_.clear();
  }

  std::optional<Steady::time_point> NextKill(std::optional<Steady::time_point> other) const {
    if (kills_.empty()) return other;
    const Steady::time_point first = kills_.begin()->first;
    return other ? std::min(*other, first) : first;
  }

  void WaitForEvents(std::optional<Steady::time_point> until) {
    int timeout = -1;
    if (until) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Steady::now()).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t what = events[static_cast<std::size_t>(i)].data.u64;
      if (what == kWake) {
        std::uint64_t ignored = 0;
        [[maybe_unused]] const ssize_t got = read(wake_.get(), &ignored, sizeof ignored);
        continue;
      }
      const auto found = running_.find(what / 2);
      if (found == running_.end()) continue;  // it ended earlier in this row of events
      if (what == OutputOf(found->first)) {
        Read(*found->second);
      } else {
        Finish(found->first, std::move(found->second));
      }
    }
  }

  Command CommandOf(const RunContext& context, const ProcessSpec& spec) const {
    auto variables = inherited_;
    for (const auto& [name, value] : spec.env) variables[name] = value;
    variables["ESCAPEMENT_JOB"] = context.job->id;
    variables["ESCAPEMENT_FIRE_TIME"] = FormatInstant(context.fire_time);
    variables["ESCAPEMENT_ATTEMPT"] = std::to_string(context.attempt);
    variables["ESCAPEMENT_FENCE"] = std::to_string(context.fence);
    variables["ESCAPEMENT_RUN"] = context.Token();
    Command command{.argv = spec.argv, .environment = {}, .directory = spec.directory};
    for (const auto& [name, value] : variables) command.environment.push_back(name + "=" + value);
    return command;
  }

  void StartOne(Request request) {
    const auto refuse = [&request](const Error& error) { request.done(tl::unexpected(error)); };
    auto spec = ProcessSpecFromJson(request.context.job->payload);
    if (!spec) return refuse(spec.error());
    if (request.context.cancelled.stop_requested())
      return refuse({Code::kInternal, "cancelled before the command was started"});
    Command command = CommandOf(request.context, *spec);
    auto child = StartChild(command);
    if (!child) return refuse(child.error());
    const Key key = next_key_++;
    auto running =
        std::make_unique<Running>(std::move(request), std::move(*spec), std::move(command), std::move(*child));
    Running& r = *running;
    running_[key] = std::move(running);
    if (!Watch(r.child.life.get(), LifeOf(key)) || !Watch(r.child.output.get(), OutputOf(key))) {
      Kill(r, fmt::format("it cannot be watched: {}", std::strerror(errno)));
      return Finish(key, std::move(running_[key]));  // waits for its end
    }
    r.on_cancel.emplace(r.request.context.cancelled, [this, key] {
      const std::lock_guard lock(mutex_);
      cancels_.push_back(key);
      Wake();
    });
  }

  // --- the end of a command

  void Terminate(Key key) {
    const auto found = running_.find(key);
    if (found == running_.end() || found->second->kill_at) return;
    Running& r = *found->second;
    r.kill_at = Steady::now() + r.spec.kill_grace;
    kills_.emplace(*r.kill_at, key);
    kill(-r.child.pid, SIGTERM);
    kill(-r.child.pid, SIGCONT);  // what was stopped could not hear it
  }

  void KillIgnorant() {
    const auto now = Steady::now();
    while (!kills_.empty() && kills_.begin()->first <= now) {
      Running& r = *running_.at(kills_.begin()->second);
      kills_.erase(kills_.begin());
      Kill(r, r.spec.kill_grace > Duration(0)
                  ? fmt::format("it did not stop within {}", FormatDuration(r.spec.kill_grace))
                  : "");
    }
  }

  void Kill(Running& r, std::string because) {
    kill(-r.child.pid, SIGKILL);
    r.killed_because = std::move(because);
  }

  void Read(Running& r) {
    const ssize_t got = read(r.child.output.get(), buffer_.data(), buffer_.size());
    if (got > 0) {
      r.lines.Append({buffer_.data(), static_cast<std::size_t>(got)});
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      StopWatching(r.child.output.get());
      r.child.output.Reset();  // it closed its outputs
    }
  }

  // What is in the pipe now, and no more: somebody who left the group may write for ever.
  void ReadRest(Running& r) {
    int left = 0;
    if (r.child.output.get() < 0 || ioctl(r.child.output.get(), FIONREAD, &left) != 0) return;
    while (left > 0) {
      const ssize_t got = read(r.child.output.get(), buffer_.data(), buffer_.size());
      if (got <= 0) return;
      r.lines.Append({buffer_.data(), static_cast<std::size_t>(got)});
      left -= static_cast<int>(std::min<ssize_t>(got, left));
    }
  }

  // Closing is not enough when the host program has forked meanwhile: its child holds a copy.
  void StopWatching(int fd) {
    if (fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }

  void Finish(Key key, std::unique_ptr<Running> running) {
    Running& r = *running;
    StopWatching(r.child.output.get());
    StopWatching(r.child.life.get());
    running_.erase(key);
    if (r.kill_at) kills_.erase({*r.kill_at, key});
    r.on_cancel.reset();
    // Before it is reaped: until then its process id, and so its group's, is nobody else's.
    kill(-r.child.pid, SIGKILL);
    siginfo_t info{};
    int waited = 0;
    while ((waited = waitid(P_PID, static_cast<id_t>(r.child.pid), &info, WEXITED)) != 0 && errno == EINTR) {
    }
    ReadRest(r);
    r.lines.End();
    r.request.done(waited == 0 ? Judge(r, info)
                               : Fail(Code::kInternal, "its exit status is lost: this program reaps all children"),
                   r.tail.Take());
  }

  static Status Judge(const Running& r, const siginfo_t& info) {
    if (auto failure = StartFailure(r.child, r.command)) return Fail(Code::kInternal, std::move(*failure));
    if (info.si_code == CLD_EXITED && info.si_status == 0) return {};
    if (info.si_code == CLD_EXITED) return Fail(Code::kInternal, fmt::format("exit status {}", info.si_status));
    std::string error = "killed by signal " + SignalText(info.si_status);
    if (info.si_status == SIGKILL && !r.killed_because.empty()) error += ": " + r.killed_because;
    return Fail(Code::kInternal, std::move(error));
  }

  UniqueFd epoll_, wake_;
  std::map<std::string, std::string> inherited_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::deque<Request> starts_;
  std::vector<Key> cancels_;
  bool stopping_ = false;

  // Of the thread alone:
  Key next_key_ = 1;
  std::unordered_map<Key, std::unique_ptr<Running>> running_;
  std::set<std::pair<Steady::time_point, Key>> kills_;  // of cancelled commands
  std::array<char, kReadBytes> buffer_;

  std::thread thread_;
};

Result<std::unique_ptr<ProcessRunner>> ProcessRunner::Create() {
  auto state = std::make_shared<State>();
  if (auto status = state->Begin(); !status) return tl::unexpected(status.error());
  return std::unique_ptr<ProcessRunner>(new ProcessRunner(std::move(state)));
}

ProcessRunner::ProcessRunner(std::shared_ptr<State> state) : state_(std::move(state)) {}

ProcessRunner::~ProcessRunner() { state_->End(); }

AsyncHandler ProcessRunner::Handler() const {
  return [state = state_](const RunContext& context, Done done) { state->Start(context, std::move(done)); };
}

}  // namespace escapement
