// A connection to Redis, a single server or a cluster, for many threads, that heals itself.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "redis/redis_nodes.h"
#include "redis/redis_url.h"
#include "redis/redis_wire.h"
#include "time/clock.h"

namespace escapement {

// Thread-safe; commands take turns. A call ends within about a second, during an outage too: it connects again if
// need be, at most every 250 ms; calls in between fail at once. kUnavailable: nothing happened; kInDoubt: the reply
// was lost; kInvalidArgument: user, password or database are refused; kInternal: the server's own words.
class RedisConnection {
 public:
  explicit RedisConnection(const RedisUrl& url);

  [[nodiscard]] Result<RedisReply> Command(const RedisArguments& command);
  // Runs a script by its digest, where its keys are; all of them are in one slot of a cluster. `script` must outlive
  // the connection.
  [[nodiscard]] Result<RedisReply> Run(std::string_view script, const std::vector<std::string>& keys,
                                       const std::vector<std::string>& arguments);

 private:
  class Turn;
  Result<RedisReply> Exchange(RedisCall call);

  const std::string where_;
  std::mutex mutex_;  // guards busy_
  std::condition_variable free_;
  bool busy_ = false;
  // The rest belongs to the thread that has the turn.
  RedisNodes nodes_;
  BootTime next_attempt_;
  Error last_error_;
};

}  // namespace escapement
