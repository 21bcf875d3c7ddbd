#include "redis/redis_connection.h"

#include <chrono>
#include <utility>

namespace escapement {
namespace {

using std::chrono::milliseconds;

constexpr Duration kCallTimeout = milliseconds(1000);
constexpr Duration kReconnectPause = milliseconds(250);

}  // namespace

// One call's time on the connection. Waiting for it is part of the call's second.
class RedisConnection::Turn {
 public:
  Turn(RedisConnection& connection, BootTime deadline) : connection_(connection) {
    std::unique_lock lock(connection_.mutex_);
    taken_ = connection_.free_.wait_for(lock, deadline - BootClock::now(), [this] { return !connection_.busy_; });
    if (taken_) connection_.busy_ = true;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (!taken_) return;
    {
      const std::lock_guard lock(connection_.mutex_);
      connection_.busy_ = false;
    }
    connection_.free_.notify_one();
  }
  bool taken() const { return taken_; }

 private:
  RedisConnection& connection_;
  bool taken_ = false;
};

RedisConnection::RedisConnection(const RedisUrl& url) : where_(url.Name()), nodes_(url) {}

Result<RedisReply> RedisConnection::Command(const RedisArguments& command) {
  RedisCall call;
  call.arguments.assign(command.begin(), command.end());
  return Exchange(std::move(call));
}

Result<RedisReply> RedisConnection::Run(std::string_view script, const std::vector<std::string>& keys,
                                        const std::vector<std::string>& arguments) {
  RedisCall call{.key = keys.at(0), .script = script};
  call.more_keys = static_cast<int>(keys.size()) - 1;
  call.arguments.assign(keys.begin() + 1, keys.end());
  call.arguments.insert(call.arguments.end(), arguments.begin(), arguments.end());
  return Exchange(std::move(call));
}

Result<RedisReply> RedisConnection::Exchange(RedisCall call) {
  const BootTime deadline = BootClock::now() + kCallTimeout;
  const Turn turn(*this, deadline);
  if (!turn.taken()) return Fail(Code::kUnavailable, where_ + ": earlier calls still wait for their answers");
  // Calls that waited for their turn behind one that failed must not each wait for the same dead server.
  if (BootClock::now() < next_attempt_) return tl::unexpected(last_error_);
  std::vector<RedisCall> calls;
  calls.push_back(std::move(call));
  auto replies = nodes_.Run(calls, deadline);
  if (replies) return std::move(replies->front());
  Error& error = replies.error();
  if (error.code != Code::kInternal) {
    next_attempt_ = BootClock::now() + kReconnectPause;
    last_error_ = error;
    if (error.code != Code::kInvalidArgument) last_error_.code = Code::kUnavailable;
  }
  return tl::unexpected(std::move(error));
}

}  // namespace escapement
