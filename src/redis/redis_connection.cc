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

RedisConnection::RedisConnection(RedisUrl url) : url_(std::move(url)), where_(url_.Name()) {}

Result<RedisReply> RedisConnection::Command(const RedisArguments& command) {
  const BootTime deadline = BootClock::now() + kCallTimeout;
  const Turn turn(*this, deadline);
  if (!turn.taken()) return Fail(Code::kUnavailable, where_ + ": earlier calls still wait for their answers");
  return Checked(Exchange(command, deadline));
}

Result<RedisReply> RedisConnection::Run(std::string_view script, const RedisArguments& arguments) {
  const BootTime deadline = BootClock::now() + kCallTimeout;
  const Turn turn(*this, deadline);
  if (!turn.taken()) return Fail(Code::kUnavailable, where_ + ": earlier calls still wait for their answers");
  return Checked(RunInTurn(script, arguments, deadline));
}

Result<RedisReply> RedisConnection::RunInTurn(std::string_view script, const RedisArguments& arguments,
                                              BootTime deadline) {
  auto digest = digests_.find(script);
  if (digest == digests_.end()) {
    auto loaded = Exchange({"SCRIPT", "LOAD", script}, deadline);
    if (!loaded && loaded.error().code == Code::kInDoubt)  // a script loaded or not changes nothing
      return Fail(Code::kUnavailable, std::move(loaded.error().message));
    if (!loaded || loaded->kind == RedisReply::Kind::kError) return loaded;
    digest = digests_.emplace(script, loaded->text).first;
  }
  RedisArguments command = {"EVALSHA", digest->second};
  command.insert(command.end(), arguments.begin(), arguments.end());
  auto reply = Exchange(command, deadline);
  // The server was restarted, or told to forget its scripts. EVAL makes it remember.
  if (reply && reply->kind == RedisReply::Kind::kError && reply->text.starts_with("NOSCRIPT")) {
    command[0] = "EVAL";
    command[1] = script;
    reply = Exchange(command, deadline);
  }
  return reply;
}

Result<RedisReply> RedisConnection::Exchange(const RedisArguments& command, BootTime deadline) {
  if (auto status = EnsureConnected(deadline); !status) return tl::unexpected(status.error());
  if (auto status = wire_->Send(command, deadline); !status) return Drop(status.error());
  auto reply = wire_->Receive(deadline);
  if (reply) return reply;
  return Drop({Code::kInDoubt, reply.error().message + "; the reply was lost"});
}

Status RedisConnection::EnsureConnected(BootTime deadline) {
  // Found out now, a lost connection costs nothing; found out by a command, it leaves the command in doubt.
  if (wire_ != nullptr && !wire_->Quiet()) wire_.reset();
  if (wire_ != nullptr) return {};
  if (BootClock::now() < next_attempt_) return tl::unexpected(last_error_);
  auto wire = RedisWire::Open(url_, deadline);
  if (!wire) return Drop(wire.error());
  next_attempt_ = BootClock::now() + kReconnectPause;
  last_error_ = {Code::kUnavailable, where_ + ": the connection was lost"};
  wire_ = std::move(*wire);
  return {};
}

// Calls that wait for their turn behind this one must not each wait for the same dead server.
tl::unexpected<Error> RedisConnection::Drop(Error error) {
  wire_.reset();
  next_attempt_ = BootClock::now() + kReconnectPause;
  last_error_ = error;
  if (error.code != Code::kInvalidArgument) last_error_.code = Code::kUnavailable;
  return tl::unexpected(std::move(error));
}

Result<RedisReply> RedisConnection::Checked(Result<RedisReply> reply) const {
  if (reply && reply->kind == RedisReply::Kind::kError) return tl::unexpected(RedisErrorOf(where_, reply->text));
  return reply;
}

}  // namespace escapement
