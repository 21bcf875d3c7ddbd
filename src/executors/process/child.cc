#include "executors/process/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "job/text.h"

namespace escapement {
namespace {

constexpr std::string_view kUsualPath = "/usr/local/bin:/usr/bin:/bin";

// All that the child needs between fork and exec, where it may neither allocate nor look anything up.
struct Prepared {
  std::vector<std::string> files;  // the program, wherever it may be, in the order of PATH
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* directory = nullptr;
  UniqueFd input;
  UniqueFd output;
  UniqueFd report;
};

// What the child was doing when it failed; sent through the report pipe with errno.
enum Step : int { kSetUp, kDirectory, kExec };

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  // execve changes nothing, whatever its type says.
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> FilesOf(const Command& command) {
  const std::string& program = command.argv.front();
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = kUsualPath;
  for (std::string_view variable : command.environment) {
    if (variable.starts_with("PATH=")) path = variable.substr(5);
  }
  std::vector<std::string> files;
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), folder.size() + 1));
    if (!folder.empty()) files.push_back(fmt::format("{}/{}", folder, program));
  }
  return files;
}

// In the child: only async-signal-safe calls, since other threads of the parent may have held any lock.
[[noreturn]] void BecomeProgram(const Prepared& prepared, pid_t parent) {
  const auto give_up = [&prepared](int step) {
    const int words[2] = {step, errno};
    [[maybe_unused]] const ssize_t written = write(prepared.report.get(), words, sizeof words);
    _exit(127);
  };
  if (setpgid(0, 0) != 0) give_up(kSetUp);
  // It fires when the *thread* that forked ends.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(kSetUp);
  if (getppid() != parent) _exit(127);                                    // the parent died before the call above
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);  // ignored signals would stay ignored
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) != 0) give_up(kSetUp);
  if (dup2(prepared.input.get(), STDIN_FILENO) < 0 || dup2(prepared.output.get(), STDOUT_FILENO) < 0 ||
      dup2(prepared.output.get(), STDERR_FILENO) < 0 ||
      close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)  // others may have forgotten to say it
    give_up(kSetUp);
  if (prepared.directory != nullptr && chdir(prepared.directory) != 0) give_up(kDirectory);
  int why = ENOENT;
  for (const std::string& file : prepared.files) {
    execve(file.c_str(), prepared.argv.data(), prepared.environment.data());
    if (errno == EACCES) why = EACCES;  // another folder of PATH may still have one that may be run
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) continue;
    why = errno;
    break;
  }
  errno = why;
  give_up(kExec);
  _exit(127);
}

tl::unexpected<Error> NoChild(const char* what) {
  return Fail(Code::kUnavailable, fmt::format("no process can be started: {}: {}", what, std::strerror(errno)));
}

// Leaves none of the standard descriptors' numbers to a pipe: dup2 in the child would close it under another.
Result<UniqueFd> AboveStandard(int fd) {
  UniqueFd low(fd);
  if (fd > STDERR_FILENO) return low;
  UniqueFd high(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (high.get() < 0) return NoChild("a descriptor");
  return high;
}

struct Pipe {
  UniqueFd reader, writer;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return NoChild("a pipe");
  auto reader = AboveStandard(ends[0]);
  auto writer = AboveStandard(ends[1]);
  if (!reader || !writer) return tl::unexpected(reader ? writer.error() : reader.error());
  // The reader only: the program writes to a pipe as others do.
  if (fcntl(reader->get(), F_SETFL, O_NONBLOCK) != 0) return NoChild("a pipe");
  return Pipe{std::move(*reader), std::move(*writer)};
}

}  // namespace

Result<Child> StartChild(const Command& command) {
  Prepared prepared{.files = FilesOf(command),
                    .argv = Pointers(command.argv),
                    .environment = Pointers(command.environment),
                    .directory = command.directory.empty() ? nullptr : command.directory.c_str()};
  auto input = AboveStandard(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!input) return tl::unexpected(input.error());
  if (input->get() < 0) return NoChild("/dev/null");
  auto output = MakePipe();
  if (!output) return tl::unexpected(output.error());
  auto report = MakePipe();
  if (!report) return tl::unexpected(report.error());
  prepared.input = std::move(*input);
  prepared.output = std::move(output->writer);
  prepared.report = std::move(report->writer);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return NoChild("fork");
  if (pid == 0) BecomeProgram(prepared, parent);
  setpgid(pid, pid);  // as the child does: whoever comes first, the group is there when it is signalled
  UniqueFd life(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (life.get() < 0) {
    const auto why = NoChild("a pidfd");
    kill(-pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return why;
  }
  return Child{pid, std::move(life), std::move(output->reader), std::move(report->reader)};
}

std::optional<std::string> StartFailure(const Child& child, const Command& command) {
  int words[2] = {0, 0};
  if (read(child.report.get(), words, sizeof words) != sizeof words) return std::nullopt;  // exec closed the pipe
  const std::string program = MakeValidText(command.argv.front(), 200);
  const char* const why = std::strerror(words[1]);
  switch (words[0]) {
    case kDirectory:
      return fmt::format("cannot run '{}' in '{}': {}", program, MakeValidText(command.directory, 200), why);
    case kExec: return fmt::format("cannot run '{}': {}", program, why);
    default: return fmt::format("cannot run '{}': its process cannot be set up: {}", program, why);
  }
}

}  // namespace escapement
