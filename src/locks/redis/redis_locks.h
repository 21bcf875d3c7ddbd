// Locks in a Redis server: SET NX PX with a random token; renewal and release compare it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ports/locks.h"
#include "redis/redis_connection.h"
#include "redis/redis_url.h"

namespace escapement {

// Keys: "escapement:lock:{name}" and, for good, "escapement:fence:{name}"; "escapement:slots:{limits}:KEY" and
// "escapement:starts:{limits}:KEY", which go when nothing in them counts any more. Errors of calls: as RedisConnection.
// A lock whose acquisition is in doubt frees itself after its ttl. Thread-safe.
class RedisLocks final : public Locks {
 public:
  // kUnavailable: no answer; kInvalidArgument: user, password or database are refused. Once connected, an outage is an
  // error of each call and heals by itself.
  [[nodiscard]] static Result<std::unique_ptr<RedisLocks>> Connect(const RedisUrl& url);

  Result<std::optional<Lease>> Acquire(const std::string& name, Duration ttl) override;
  Result<bool> Renew(const Lease& lease, Duration ttl) override;
  Result<bool> Release(const Lease& lease) override;
  Result<std::vector<SlotAnswer>> TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) override;
  Status FreeSlots(const std::vector<SlotRequest>& requests) override;

 private:
  explicit RedisLocks(const RedisUrl& url) : connection_(url) {}

  RedisConnection connection_;
};

}  // namespace escapement
