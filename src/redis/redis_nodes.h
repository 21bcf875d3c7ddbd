// A single Redis server, or the masters of a Redis Cluster: commands and scripts, each to the server that has its keys.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "redis/redis_url.h"
#include "redis/redis_wire.h"
#include "time/clock.h"

namespace escapement {

// The slot of a cluster that holds a key: of the part in braces, if there is one.
int RedisSlot(std::string_view key);

// One script with its keys, or one plain command.
struct RedisCall {
  std::string key = {};                     // where it goes, and a script's first key; empty: any server will do
  std::string_view script = {};             // whole text, which outlives the connection; empty: a plain command
  std::vector<std::string> arguments = {};  // what follows the script's first key; or the whole command
  bool writes = true;                       // false: when the reply is lost, nothing was changed
  int more_keys = 0;                        // of a script's arguments, the first of them
};

// Heals by itself: connections are made again, scripts loaded again, a cluster's slots looked up again. Used by one
// thread at a time.
class RedisNodes {
 public:
  explicit RedisNodes(RedisUrl url);

  // Asks at the first call. kUnavailable, kInvalidArgument.
  Result<bool> IsCluster(BootTime deadline);

  // Sends all calls, pipelined, and collects their replies, in the order of the calls. An error reply to any is an
  // error. kUnavailable: nothing was changed; kInDoubt: something was, or may have been; kInvalidArgument: credentials
  // or rights; kInternal: the server's own words.
  Result<std::vector<RedisReply>> Run(const std::vector<RedisCall>& calls, BootTime deadline);

 private:
  struct Server {
    RedisUrl url;
    std::unique_ptr<RedisWire> wire;
    bool demoted = false;  // a master no more: to be looked for again
  };
  struct Range {
    int first = 0;
    int last = 0;
    std::string address;
  };
  struct Batch;

  Result<Server*> ServerOf(const std::string& key, BootTime deadline);
  Status Connect(Server& server, BootTime deadline);
  Result<RedisReply> Ask(Server& server, const RedisArguments& command, BootTime deadline);
  Status Detect(BootTime deadline);
  Status LookUpSlots(BootTime deadline);
  Status Load(Server& server, std::string_view script, BootTime deadline);
  void Send(Batch& batch, Server& server, const std::vector<std::size_t>& indexes, BootTime deadline);
  void Settle(Batch& batch, Server& server, std::size_t index, RedisReply reply);
  void Forget();
  Server& AtAddress(const std::string& address);
  Server& Seed() { return AtAddress(seed_); }

  const RedisUrl url_;
  const std::string where_;
  const std::string seed_;  // the address in the URL
  bool detected_ = false;
  bool cluster_ = false;
  std::map<std::string, Server> servers_;       // by address, "host:port"
  std::vector<Range> ranges_;                   // of slots; empty: to be looked up
  std::map<int, std::string> moved_;            // slots that are elsewhere than `ranges_` say
  std::map<const char*, std::string> digests_;  // by the scripts' texts
};

}  // namespace escapement
