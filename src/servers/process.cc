#include "servers/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace escapement {
namespace {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// All that the child needs between fork and exec, where it may neither allocate nor look anything up.
struct Prepared {
  std::string file;
  std::vector<std::string> argv_text;
  std::vector<std::string> environment_text;
  std::vector<char*> argv;
  std::vector<char*> environment;
  Fd input;
  Fd output;
  bool change_user = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  int death_signal = 0;
  bool detached = false;
};

// What the child was doing when it failed; sent through the report pipe with errno.
enum Step : int { kProcessGroup, kUser, kDeathSignal, kDescriptors, kExec };

const char* StepText(int step) {
  switch (step) {
    case kProcessGroup: return "cannot leave the process group";
    case kUser: return "cannot change the user";
    case kDeathSignal: return "cannot set the death signal";
    case kDescriptors: return "cannot set up the descriptors";
    default: return "cannot be run";
  }
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

Status LookUpUser(const std::string& name, Prepared& prepared) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return Fail(Code::kNotFound, fmt::format("there is no user '{}' on this machine", name));
  prepared.change_user = true;
  prepared.uid = entry.pw_uid;
  prepared.gid = entry.pw_gid;
  int count = 256;
  prepared.groups.resize(256);
  if (getgrouplist(name.c_str(), entry.pw_gid, prepared.groups.data(), &count) < 0) count = 1;  // the first is its own
  prepared.groups.resize(static_cast<std::size_t>(count));
  return {};
}

Result<Prepared> Prepare(const SpawnOptions& options) {
  const ProcessOptions& process = options.process;
  if (process.argv.empty()) return Fail(Code::kInvalidArgument, "a process needs a program to run");
  Prepared prepared;
  auto file = FindProgram(process.argv[0]);
  if (!file) return tl::unexpected(file.error());
  prepared.file = *file;
  prepared.argv_text = process.argv;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    if (!process.environment.contains(text.substr(0, text.find('=')))) prepared.environment_text.push_back(text);
  }
  for (const auto& [name, value] : process.environment) prepared.environment_text.push_back(name + "=" + value);
  prepared.argv = Pointers(prepared.argv_text);
  prepared.environment = Pointers(prepared.environment_text);

  // The input is a file in memory, not a pipe: nobody has to feed it, however long it is.
  prepared.input =
      Fd(process.stdin_text.empty() ? open("/dev/null", O_RDONLY | O_CLOEXEC) : memfd_create("stdin", MFD_CLOEXEC));
  const std::string& text = process.stdin_text;
  if (prepared.input.get() < 0 ||
      (!text.empty() && (write(prepared.input.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
                         lseek(prepared.input.get(), 0, SEEK_SET) != 0)))
    return Fail(Code::kUnavailable, fmt::format("cannot prepare the input of {}: {}", *file, std::strerror(errno)));
  if (!process.output_file.empty()) {
    prepared.output = Fd(open(process.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (prepared.output.get() < 0)
      return Fail(Code::kUnavailable, fmt::format("cannot write {}: {}", process.output_file, std::strerror(errno)));
  }
  if (!process.user.empty()) {
    if (auto status = LookUpUser(process.user, prepared); !status) return tl::unexpected(status.error());
  }
  prepared.death_signal = options.detached ? 0 : options.death_signal;
  prepared.detached = options.detached;
  return prepared;
}

// In the child: only async-signal-safe calls, since other threads of the parent may have held any lock.
[[noreturn]] void BecomeProgram(const Prepared& prepared, pid_t parent, int report) {
  const auto give_up = [report](int step) {
    const int words[2] = {step, errno};
    [[maybe_unused]] const ssize_t written = write(report, words, sizeof words);
    _exit(127);
  };
  if ((prepared.detached ? setsid() : setpgid(0, 0)) < 0) give_up(kProcessGroup);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);  // ignored signals would stay ignored
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (prepared.change_user) {
    if (setgroups(prepared.groups.size(), prepared.groups.data()) != 0 || setgid(prepared.gid) != 0 ||
        setuid(prepared.uid) != 0 || chdir("/") != 0)  // it may not be allowed to look at our working directory
      give_up(kUser);
  }
  if (prepared.death_signal != 0) {
    // After setuid, which clears it. It fires when the *thread* that forked ends: see Keeper.
    if (prctl(PR_SET_PDEATHSIG, prepared.death_signal) != 0) give_up(kDeathSignal);
    if (getppid() != parent) _exit(127);  // the parent died before the call above
  }
  if (dup2(prepared.input.get(), STDIN_FILENO) < 0) give_up(kDescriptors);
  if (prepared.output.get() >= 0 &&
      (dup2(prepared.output.get(), STDOUT_FILENO) < 0 || dup2(prepared.output.get(), STDERR_FILENO) < 0))
    give_up(kDescriptors);
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(kDescriptors);  // others may have forgotten to say it
  execve(prepared.file.c_str(), prepared.argv.data(), prepared.environment.data());
  give_up(kExec);
  _exit(127);
}

Result<pid_t> Fork(const Prepared& prepared) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail(Code::kUnavailable, fmt::format("pipe: {}", std::strerror(errno)));
  Fd reader(ends[0]);
  Fd writer(ends[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return Fail(Code::kUnavailable, fmt::format("fork: {}", std::strerror(errno)));
  if (pid == 0) BecomeProgram(prepared, parent, writer.get());
  writer = Fd();
  int words[2] = {0, 0};
  ssize_t got = 0;
  while ((got = read(reader.get(), words, sizeof words)) < 0 && errno == EINTR) {
  }
  if (got == 0) return pid;  // exec closed the pipe
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return Fail(words[1] == ENOENT ? Code::kNotFound : Code::kUnavailable,
              fmt::format("{} {}: {}", prepared.file, StepText(words[0]), std::strerror(words[1])));
}

struct Life {
  std::mutex mutex;
  std::condition_variable ended;
  std::optional<int> status;  // guarded by mutex; with it empty, the pid is not yet reaped and so not yet reused
};

// The thread that forks a child waits for its end: so the thread lives as long as the child, and the death signal,
// which the kernel ties to the thread, means the death of this process.
void Keeper(Prepared prepared, const std::shared_ptr<Life>& life, std::promise<Result<pid_t>> started) {
  const Result<pid_t> pid = Fork(prepared);
  prepared = Prepared();  // its descriptors are the child's now
  started.set_value(pid);
  if (!pid) return;
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  const std::lock_guard lock(life->mutex);
  int raw = 0;
  if (waitpid(*pid, &raw, 0) != *pid) {
    life->status = 255;  // the host program ignores SIGCHLD: its status is lost
  } else {
    life->status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  }
  life->ended.notify_all();
}

class SpawnedProcess final : public ChildProcess {
 public:
  // Life is shared with the keeper, which outlives a detached child's object.
  SpawnedProcess(pid_t pid, std::shared_ptr<Life> life, std::thread keeper, bool detached)
      : pid_(pid), life_(std::move(life)), keeper_(std::move(keeper)), detached_(detached) {}
  SpawnedProcess(const SpawnedProcess&) = delete;
  SpawnedProcess& operator=(const SpawnedProcess&) = delete;
  ~SpawnedProcess() override {
    if (detached_) {
      keeper_.detach();
      return;
    }
    Signal(SIGKILL);
    keeper_.join();
  }

  pid_t pid() const override { return pid_; }

  bool Signal(int number) override {
    const std::lock_guard lock(life_->mutex);
    return !life_->status && kill(pid_, number) == 0;
  }

  std::optional<int> Poll() override {
    const std::lock_guard lock(life_->mutex);
    return life_->status;
  }

  std::optional<int> Wait(Duration timeout) override {
    std::unique_lock lock(life_->mutex);
    life_->ended.wait_for(lock, timeout, [this] { return life_->status.has_value(); });
    return life_->status;
  }

 private:
  const pid_t pid_;
  const std::shared_ptr<Life> life_;
  std::thread keeper_;
  const bool detached_;
};

}  // namespace

Result<std::string> FindProgram(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    if (access(program.c_str(), X_OK) == 0) return program;
    return Fail(Code::kNotFound, fmt::format("{}: {}", program, std::strerror(errno)));
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    const std::string file = fmt::format("{}/{}", folder, program);
    if (!folder.empty() && access(file.c_str(), X_OK) == 0) return file;
  }
  return Fail(Code::kNotFound, fmt::format("the program '{}' is not in PATH", program));
}

Result<std::unique_ptr<ChildProcess>> Spawn(const SpawnOptions& options) {
  auto prepared = Prepare(options);
  if (!prepared) return tl::unexpected(prepared.error());
  auto life = std::make_shared<Life>();
  std::promise<Result<pid_t>> promise;
  std::future<Result<pid_t>> started = promise.get_future();
  // The keeper takes no signal that is meant for the host program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread keeper([prepared = std::move(*prepared), life, promise = std::move(promise)]() mutable {
    Keeper(std::move(prepared), life, std::move(promise));
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const Result<pid_t> pid = started.get();
  if (!pid) {
    keeper.join();
    return tl::unexpected(pid.error());
  }
  return std::make_unique<SpawnedProcess>(*pid, std::move(life), std::move(keeper), options.detached);
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ProcessOptions& options) {
  return Spawn({.process = options, .death_signal = SIGKILL, .detached = false});
}

}  // namespace escapement
