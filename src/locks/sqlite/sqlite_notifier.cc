#include "locks/sqlite/sqlite_notifier.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "ports/token.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kLongestMessage = 64 * 1024;
constexpr milliseconds kFirstPause(250);
constexpr milliseconds kLongestPause(2'000);
// Somebody may clean the directory up; a socket that is gone from it gets no more messages, and hears nothing of that.
constexpr milliseconds kLookAround(5'000);

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Descriptor OpenDirectory(const std::string& path) {
  return Descriptor(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// An address has room for 107 bytes; a longer path is reached through the directory's descriptor.
sockaddr_un AddressOf(const std::string& directory, int directory_fd, const std::string& name) {
  std::string path = directory + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) path = fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

Error ErrnoError(const std::string& what) {
  return {Code::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno))};
}

class SocketSubscription final : public Notifier::Subscription {
 public:
  SocketSubscription(sqlite::FileName directory, std::string channel, std::function<void(const std::string&)> callback,
                     int wake_fd)
      : directory_(std::move(directory)),
        channel_(std::move(channel)),
        callback_(std::move(callback)),
        name_(RandomToken()),
        wake_fd_(wake_fd),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}
  ~SocketSubscription() override {
    thread_.request_stop();
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_.get(), &one, sizeof one);  // ends every wait, from now on
    thread_.join();
    unlink((directory_.path + "/" + name_).c_str());
  }

 private:
  void Run(const std::stop_token& stop) {
    milliseconds pause = kFirstPause;
    bool told = false;  // an outage is logged once
    while (!stop.stop_requested()) {
      Descriptor socket;
      if (const Error error = Bind(socket); !error.message.empty()) {
        if (!told) spdlog::warn("wake-ups interrupted: channel={} error=\"{}\"", channel_, error.message);
        told = true;
        pollfd wake{.fd = wake_fd_.get(), .events = POLLIN, .revents = 0};
        poll(&wake, 1, static_cast<int>(pause.count()));
        pause = std::min(pause * 2, kLongestPause);
        continue;
      }
      pause = kFirstPause;
      told = false;
      callback_("");
      Listen(stop, socket.get());
    }
  }

  // No message: it is bound.
  Error Bind(Descriptor& socket) {
    if (auto s = sqlite::MakeDirectory(directory_); !s) return s.error();
    if (mkdir(directory_.path.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoError("cannot make the directory " + directory_.path);
    }
    const Descriptor directory = OpenDirectory(directory_.path);
    if (directory.get() < 0) return ErrnoError("cannot open the directory " + directory_.path);
    socket = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.get() < 0) return ErrnoError("socket");
    // Visible to publishers once it can be sent to: who finds a socket that refuses takes it for a dead one's.
    const std::string hidden = "." + name_;
    const sockaddr_un address = AddressOf(directory_.path, directory.get(), hidden);
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        renameat(directory.get(), hidden.c_str(), directory.get(), name_.c_str()) != 0) {
      const Error error = ErrnoError("cannot make a socket in " + directory_.path);
      unlinkat(directory.get(), hidden.c_str(), 0);
      return error;
    }
    return {};
  }

  // Until the socket is gone from its directory, or the subscription ends.
  void Listen(const std::stop_token& stop, int socket) {
    std::vector<char> buffer(kLongestMessage);
    while (!stop.stop_requested()) {
      pollfd fds[] = {{.fd = socket, .events = POLLIN, .revents = 0},
                      {.fd = wake_fd_.get(), .events = POLLIN, .revents = 0}};
      const int ready = poll(fds, 2, static_cast<int>(kLookAround.count()));
      struct stat info{};
      if (ready == 0 && lstat((directory_.path + "/" + name_).c_str(), &info) != 0) return;
      if (ready <= 0 || fds[0].revents == 0) continue;
      const ssize_t size = recv(socket, buffer.data(), buffer.size(), 0);
      if (size < 0) continue;
      const std::string_view datagram(buffer.data(), static_cast<std::size_t>(size));
      const std::size_t end = datagram.find('\0');
      if (end == std::string_view::npos || datagram.substr(0, end) != channel_) continue;
      callback_(std::string(datagram.substr(end + 1)));
    }
  }

  const sqlite::FileName directory_;
  const std::string channel_;
  const std::function<void(const std::string&)> callback_;
  const std::string name_;
  const Descriptor wake_fd_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<SqliteNotifier>> SqliteNotifier::Create(const std::string& url) {
  auto file = sqlite::ParseUrl(url);
  if (!file) return tl::unexpected(file.error());
  if (auto s = sqlite::CheckPlace(*file); !s) return tl::unexpected(s.error());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return tl::unexpected(ErrnoError("socket"));
  return std::unique_ptr<SqliteNotifier>(new SqliteNotifier(sqlite::Beside(*file, ".wake"), fd));
}

SqliteNotifier::~SqliteNotifier() { close(fd_); }

Status SqliteNotifier::Publish(const std::string& channel, const std::string& message) {
  const std::string datagram = channel + '\0' + message;
  if (datagram.size() > kLongestMessage) {
    return Fail(Code::kInvalidArgument, fmt::format("a message may have at most {} bytes", kLongestMessage));
  }
  const Descriptor fd = OpenDirectory(directory_.path);
  if (fd.get() < 0) {
    if (errno == ENOENT) return {};  // nobody has ever subscribed
    return tl::unexpected(ErrnoError("cannot open the directory " + directory_.path));
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(dup(fd.get())), closedir);
  if (entries == nullptr) return tl::unexpected(ErrnoError("cannot read the directory " + directory_.path));
  Status status;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name.starts_with('.')) continue;
    const sockaddr_un address = AddressOf(directory_.path, fd.get(), name);
    if (sendto(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
               sizeof address) >= 0) {
      continue;
    }
    if (errno == ECONNREFUSED) {
      unlinkat(fd.get(), name.c_str(), 0);  // its process died
    } else if (errno != EAGAIN && errno != ENOENT && status) {
      status = tl::unexpected(ErrnoError("cannot wake the subscriber " + directory_.path + "/" + name));
    }
  }
  return status;
}

Result<std::unique_ptr<Notifier::Subscription>> SqliteNotifier::Subscribe(
    const std::string& channel, std::function<void(const std::string&)> callback) {
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return tl::unexpected(ErrnoError("eventfd"));
  return std::make_unique<SocketSubscription>(directory_, channel, std::move(callback), wake_fd);
}

}  // namespace escapement
