// A connection to Redis for many threads that heals itself.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "escapement/status.h"
#include "redis/redis_url.h"
#include "redis/redis_wire.h"
#include "time/clock.h"

namespace escapement {

// Thread-safe; commands take turns. A call ends within about a second, during an outage too: it connects again if
// need be, at most every 250 ms; calls in between fail at once. kUnavailable: nothing happened; kInDoubt: the reply
// was lost; kInvalidArgument: user, password or database are refused; kInternal: the server's own words.
class RedisConnection {
 public:
  explicit RedisConnection(RedisUrl url);

  [[nodiscard]] Result<RedisReply> Command(const RedisArguments& command);
  // Runs a script by its digest. `arguments`: the number of keys, the keys, further arguments. `script` must outlive
  // the connection.
  [[nodiscard]] Result<RedisReply> Run(std::string_view script, const RedisArguments& arguments);

 private:
  class Turn;
  Result<RedisReply> Exchange(const RedisArguments& command, BootTime deadline);
  Result<RedisReply> RunInTurn(std::string_view script, const RedisArguments& arguments, BootTime deadline);
  Status EnsureConnected(BootTime deadline);
  tl::unexpected<Error> Drop(Error error);
  Result<RedisReply> Checked(Result<RedisReply> reply) const;

  const RedisUrl url_;
  const std::string where_;
  std::mutex mutex_;  // guards busy_
  std::condition_variable free_;
  bool busy_ = false;
  // The rest belongs to the thread that has the turn.
  std::unique_ptr<RedisWire> wire_;
  BootTime next_attempt_;
  Error last_error_;
  std::map<std::string_view, std::string> digests_;  // of scripts that a server has seen
};

}  // namespace escapement
