#include "servers/private_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "ports/token.h"
#include "time/clock.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kStartTimeout = seconds(60);
constexpr Duration kStopTimeout = seconds(60);

Status ChangeOwner(const std::string& file, const std::string& user) {
  const passwd* const entry = getpwnam(user.c_str());
  if (entry == nullptr) return Fail(Code::kNotFound, fmt::format("there is no user '{}' on this machine", user));
  if (chown(file.c_str(), entry->pw_uid, entry->pw_gid) != 0)
    return Fail(Code::kUnavailable, fmt::format("cannot give {} to {}: {}", file, user, std::strerror(errno)));
  return {};
}

}  // namespace

Result<int> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(Code::kUnavailable, fmt::format("socket: {}", std::strerror(errno)));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool ok = bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
  const int error = errno;
  close(fd);
  if (!ok) return Fail(Code::kUnavailable, fmt::format("no free port on 127.0.0.1: {}", std::strerror(error)));
  return ntohs(address.sin_port);
}

LocalServer::LocalServer(Traits traits, const PrivateServerOptions& options)
    : traits_(std::move(traits)),
      parent_(options.directory.empty() ? std::filesystem::temp_directory_path().string() : options.directory),
      settings_(options.settings),
      keep_(options.keep),
      password_(options.password.empty() ? RandomToken() : options.password) {}

LocalServer::~LocalServer() {
  if (keep_ && process_ != nullptr) return;
  if (process_ != nullptr && process_->Signal(traits_.abort_signal) && !process_->Wait(seconds(10))) KillWithChildren();
  process_.reset();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

Status LocalServer::MakeDirectory() {
  std::error_code error;
  std::filesystem::create_directories(parent_, error);
  std::string path = fmt::format("{}/escapement-{}-XXXXXX", std::filesystem::absolute(parent_).string(), traits_.name);
  if (mkdtemp(path.data()) == nullptr)
    return Fail(Code::kUnavailable, fmt::format("cannot make {}: {}", path, std::strerror(errno)));
  directory_ = path;
  if (!traits_.user.empty()) return ChangeOwner(directory_, traits_.user);
  return {};
}

Status LocalServer::StartOnAFreePort() {
  Status status;
  for (int attempt = 0; attempt < 5; ++attempt) {
    auto port = FreePort();
    if (!port) return tl::unexpected(port.error());
    port_ = *port;
    status = Start();
    if (status || LogTail().find("ddress already in use") == std::string::npos) return status;
    std::error_code ignored;
    std::filesystem::remove(LogFile(), ignored);
  }
  return status;
}

Status LocalServer::Start() {
  if (process_ != nullptr && !process_->Poll()) return {};
  SpawnOptions options{.process = Command(), .death_signal = traits_.abort_signal, .detached = keep_};
  options.process.output_file = LogFile();
  options.process.user = traits_.user;
  auto process = Spawn(options);
  if (!process) return FailIn(traits_.name, process.error());
  process_ = std::move(*process);
  const BootTime deadline = BootClock::now() + kStartTimeout;
  do {
    if (Answers()) return {};
    if (const auto status = process_->Wait(milliseconds(20))) {
      process_.reset();
      return Fail(Code::kUnavailable,
                  fmt::format("{} ended with status {} when started: {}", traits_.name, *status, LogTail()));
    }
  } while (BootClock::now() < deadline);
  KillWithChildren();
  process_.reset();
  return Fail(Code::kTimeout, fmt::format("{} did not answer within 60 s: {}", traits_.name, LogTail()));
}

Status LocalServer::Stop(bool immediately) {
  if (process_ == nullptr) return {};
  if (immediately) {
    KillWithChildren();
  } else if (process_->Signal(traits_.stop_signal) && !process_->Wait(kStopTimeout)) {
    KillWithChildren();
    process_.reset();
    return Fail(Code::kTimeout, fmt::format("{} did not stop within 60 s and was killed", traits_.name));
  }
  process_.reset();
  return {};
}

// As a crash of the machine would: PostgreSQL's backends, children that may be deep in a query, would otherwise go on,
// and even commit, after their postmaster was killed. Descriptors of the processes keep their ids from being reused.
void LocalServer::KillWithChildren() {
  if (process_->Poll()) return;
  process_->Signal(SIGSTOP);  // it makes no more children
  std::vector<int> children;
  std::ifstream list(fmt::format("/proc/{0}/task/{0}/children", process_->pid()));
  for (pid_t child = 0; list >> child;) {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    if (fd >= 0) children.push_back(fd);
  }
  process_->Signal(SIGKILL);
  for (const int fd : children) syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0);
  process_->Wait(seconds(10));
  for (const int fd : children) {
    pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
    poll(&ended, 1, 10'000);
    close(fd);
  }
}

std::string LocalServer::LogTail() const {
  std::ifstream file(LogFile());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::string tail;
  for (std::size_t i = lines.size() < 5 ? 0 : lines.size() - 5; i < lines.size(); ++i)
    tail += (tail.empty() ? "" : " | ") + lines[i];
  return tail.empty() ? "its log is empty" : tail;
}

}  // namespace escapement
