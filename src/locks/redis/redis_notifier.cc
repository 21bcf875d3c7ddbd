#include "locks/redis/redis_notifier.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stop_token>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "redis/redis_wire.h"
#include "time/clock.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kConnectTimeout = seconds(1);
constexpr Duration kFirstPause = milliseconds(250);
constexpr Duration kLongestPause = seconds(2);
// A cut network closes no connection: one that has been silent for so long is asked, and given up if it stays silent.
constexpr Duration kSilence = seconds(5);
constexpr Duration kPongTimeout = seconds(2);

std::string ChannelKey(const std::string& channel) { return "escapement:" + channel; }

class RedisSubscription final : public Notifier::Subscription {
 public:
  RedisSubscription(RedisUrl url, std::string channel, std::function<void(const std::string&)> callback, int wake_fd)
      : url_(std::move(url)),
        channel_(std::move(channel)),
        callback_(std::move(callback)),
        wake_fd_(wake_fd),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}
  RedisSubscription(const RedisSubscription&) = delete;
  RedisSubscription& operator=(const RedisSubscription&) = delete;
  ~RedisSubscription() override {
    thread_.request_stop();
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);  // ends every wait, from now on
    thread_.join();
    close(wake_fd_);
  }

 private:
  void Run(const std::stop_token& stop) {
    Duration pause = kFirstPause;
    bool told = false;  // an outage is logged once
    while (!stop.stop_requested()) {
      bool connected = false;
      const Error error = Listen(stop, connected);
      if (stop.stop_requested()) return;
      if (connected) {
        pause = kFirstPause;
        told = false;
      }
      if (!told) spdlog::warn("wake-ups interrupted: channel={} error=\"{}\"", channel_, error.message);
      told = true;
      pollfd wake{.fd = wake_fd_, .events = POLLIN, .revents = 0};
      poll(&wake, 1, static_cast<int>(std::chrono::ceil<milliseconds>(pause).count()));
      pause = std::min(pause * 2, kLongestPause);
    }
  }

  // One connection's life. Returns why it ended.
  Error Listen(const std::stop_token& stop, bool& connected) {
    BootTime deadline = BootClock::now() + kConnectTimeout;
    auto wire = RedisWire::Open(url_, deadline, wake_fd_);
    if (!wire) return wire.error();
    if (auto sent = (*wire)->Send({"SUBSCRIBE", channel_}, deadline); !sent) return sent.error();
    bool asked = false;
    while (true) {
      const auto reply = (*wire)->Receive(deadline);
      if (stop.stop_requested()) return {};
      if (!reply) {
        if (reply.error().code != Code::kTimeout || asked || !connected) return reply.error();
        deadline = BootClock::now() + kPongTimeout;
        if (auto sent = (*wire)->Send({"PING"}, deadline); !sent) return sent.error();
        asked = true;
        continue;
      }
      if (reply->kind == RedisReply::Kind::kError) return RedisErrorOf(url_.Name(), reply->text);
      asked = false;
      deadline = BootClock::now() + kSilence;
      const auto& parts = reply->elements;
      if (parts.size() == 3 && parts[0].text == "subscribe") {
        connected = true;
        callback_("");
      } else if (parts.size() == 3 && parts[0].text == "message") {
        callback_(parts[2].text);
      }
    }
  }

  const RedisUrl url_;
  const std::string channel_;
  const std::function<void(const std::string&)> callback_;
  const int wake_fd_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<RedisNotifier>> RedisNotifier::Connect(const RedisUrl& url) {
  std::unique_ptr<RedisNotifier> notifier(new RedisNotifier(url));
  auto reply = notifier->connection_.Command({"PING"});
  if (!reply) return tl::unexpected(reply.error());
  return notifier;
}

Status RedisNotifier::Publish(const std::string& channel, const std::string& message) {
  auto reply = connection_.Command({"PUBLISH", ChannelKey(channel), message});
  if (!reply) return tl::unexpected(reply.error());
  return {};
}

Result<std::unique_ptr<Notifier::Subscription>> RedisNotifier::Subscribe(
    const std::string& channel, std::function<void(const std::string&)> callback) {
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return Fail(Code::kUnavailable, fmt::format("eventfd: {}", std::strerror(errno)));
  return std::make_unique<RedisSubscription>(url_, ChannelKey(channel), std::move(callback), wake_fd);
}

}  // namespace escapement
