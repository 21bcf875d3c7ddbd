// The shards of a store on Redis: which server serves each, and scripts sent to many of them at once.
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

namespace escapement::redis_store {

// A file of scripts/, after what all of them share. Made once, and lives as long as the program.
struct Script {
  explicit Script(std::string_view body);
  std::string text;
};

// The prefix of a shard's keys: "{esc:3}:". The braces keep a shard in one slot of a cluster.
std::string ShardPrefix(int shard);

// One script, or one plain command, for one shard.
struct Call {
  int shard = 0;
  const Script* script = nullptr;      // none: a plain command
  std::vector<std::string> arguments;  // what follows the shard's prefix; or the whole command
  bool writes = true;
};

// A single server, or the masters of a cluster, with a connection to each that is used. Heals by itself: connections
// are made again, scripts loaded again, a cluster's slots looked up again. Used by one thread at a time.
class Shards {
 public:
  explicit Shards(RedisUrl url);

  // True for a cluster. Asks at the first call. kUnavailable, kInvalidArgument.
  Result<bool> IsCluster();

  // Sends all calls, pipelined, and collects their replies, in the order of the calls, within five seconds.
  // kUnavailable: nothing was changed; kInDoubt: something was, or may have been; kInternal: a script failed.
  Result<std::vector<RedisReply>> Run(const std::vector<Call>& calls);
  Result<RedisReply> Run(Call call);

  const std::string& where() const { return where_; }

 private:
  struct Server {
    RedisUrl url;
    std::unique_ptr<RedisWire> wire;
  };
  struct Range {
    int first = 0;
    int last = 0;
    std::string address;
  };
  struct Batch;

  Result<Server*> ServerOf(int shard, BootTime deadline);
  Status Connect(Server& server, BootTime deadline);
  Result<RedisReply> Ask(Server& server, const RedisArguments& command, BootTime deadline);
  Status Detect(BootTime deadline);
  Status LookUpSlots(BootTime deadline);
  Status Load(Server& server, const Script& script, BootTime deadline);
  void Send(Batch& batch, Server& server, const std::vector<std::size_t>& indexes, BootTime deadline);
  void Settle(Batch& batch, Server& server, std::size_t index, RedisReply reply);
  Server& AtAddress(const std::string& address);

  const RedisUrl url_;
  const std::string where_;
  bool detected_ = false;
  bool cluster_ = false;
  std::map<std::string, Server> servers_;  // by address, "host:port"
  std::vector<Range> ranges_;              // of slots; empty: to be looked up
  std::map<int, std::string> moved_;       // shards that are elsewhere than `ranges_` say
  std::map<const Script*, std::string> digests_;
};

}  // namespace escapement::redis_store
