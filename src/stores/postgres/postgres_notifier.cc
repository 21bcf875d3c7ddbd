#include "stores/postgres/postgres_notifier.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

namespace escapement {
namespace {

constexpr postgres::Query kNotify = {"notify", "SELECT pg_notify('escapement_' || $1, $2)"};
constexpr int kFirstBackoffMs = 100;
constexpr int kLongestBackoffMs = 2000;

// Listens on a connection of its own; an eventfd ends its waits.
class Listener : public Notifier::Subscription {
 public:
  Listener(const std::string& url, const std::string& channel, std::function<void(const std::string&)> callback)
      : connection_(url, "escapement listener"),
        channel_(channel),
        callback_(std::move(callback)),
        stop_fd_(eventfd(0, EFD_CLOEXEC)),
        thread_([this](const std::stop_token& stop) { Listen(stop); }) {}

  ~Listener() override {
    thread_.request_stop();
    const std::uint64_t one = 1;
    (void)!write(stop_fd_, &one, sizeof one);
    thread_.join();
    close(stop_fd_);
  }

 private:
  void Listen(const std::stop_token& stop) {
    int backoff = kFirstBackoffMs;
    while (!stop.stop_requested()) {
      if (!Subscribe()) {
        WaitStopped(-1, backoff);
        backoff = std::min(2 * backoff, kLongestBackoffMs);
        continue;
      }
      backoff = kFirstBackoffMs;
      callback_("");
      while (!stop.stop_requested() && connection_.connected()) {
        WaitStopped(connection_.socket(), -1);
        if (stop.stop_requested()) return;
        if (PQconsumeInput(connection_.raw()) == 0) {
          connection_.Close();
          break;
        }
        while (PGnotify* n = PQnotifies(connection_.raw())) {
          callback_(n->extra);
          PQfreemem(n);
        }
      }
    }
  }

  bool Subscribe() {
    if (auto s = connection_.Connect(); !s) return false;
    char* name = PQescapeIdentifier(connection_.raw(), channel_.data(), channel_.size());  // LISTEN takes no parameters
    if (name == nullptr) return false;
    const std::string sql = std::string("LISTEN ") + name;
    PQfreemem(name);
    return connection_.Run(sql).has_value();
  }

  void WaitStopped(int fd, int timeout_ms) const {
    pollfd fds[2] = {{stop_fd_, POLLIN, 0}, {fd, POLLIN, 0}};
    (void)poll(fds, fd < 0 ? 1 : 2, timeout_ms);
  }

  postgres::Connection connection_;
  const std::string channel_;
  const std::function<void(const std::string&)> callback_;
  const int stop_fd_;
  std::jthread thread_;
};

}  // namespace

PostgresNotifier::PostgresNotifier(std::string url) : url_(std::move(url)), sender_(url_, "escapement") {}

Status PostgresNotifier::Publish(const std::string& channel, const std::string& message) {
  if (message.find('\0') != std::string::npos) return Fail(Code::kInvalidArgument, "a wake-up's text holds a NUL");
  const std::lock_guard lock(mutex_);
  auto rows = sender_.Execute(kNotify, postgres::Params().Add(channel).Add(message));
  if (!rows) return tl::unexpected(rows.error());
  return {};
}

Result<std::unique_ptr<Notifier::Subscription>> PostgresNotifier::Subscribe(
    const std::string& channel, std::function<void(const std::string&)> callback) {
  {
    const std::lock_guard lock(mutex_);
    // A server that is away now is waited for; whether a pooler hides it shows when it answers.
    if (sender_.Connect() && sender_.pooled()) {
      return Fail(Code::kUnsupported,
                  "PostgreSQL is reached through a pooler, which passes no notifications on: pods look for new jobs at "
                  "every half horizon instead");
    }
  }
  return std::make_unique<Listener>(url_, "escapement_" + channel, std::move(callback));
}

}  // namespace escapement
