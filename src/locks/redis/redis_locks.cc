#include "locks/redis/redis_locks.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <fmt/format.h>

#include "locks/redis/scripts.h"
#include "ports/token.h"

namespace escapement {
namespace {

// Braces: a cluster keeps both keys of a name in one slot.
std::string LockKey(const std::string& name) { return fmt::format("escapement:lock:{{{}}}", name); }
std::string FenceKey(const std::string& name) { return fmt::format("escapement:fence:{{{}}}", name); }

// Upwards: the holder counts in microseconds and must not outlive its lock.
std::string Millis(Duration ttl) {
  const auto millis = std::chrono::ceil<std::chrono::milliseconds>(ttl).count();
  return fmt::format("{}", std::max<std::int64_t>(millis, 1));
}

Result<bool> IsOne(const Result<RedisReply>& reply) {
  if (!reply) return tl::unexpected(reply.error());
  return reply->kind == RedisReply::Kind::kInteger && reply->integer == 1;
}

}  // namespace

Result<std::unique_ptr<RedisLocks>> RedisLocks::Connect(const RedisUrl& url) {
  std::unique_ptr<RedisLocks> locks(new RedisLocks(url));
  auto reply = locks->connection_.Command({"PING"});
  if (!reply) return tl::unexpected(reply.error());
  return locks;
}

Result<std::optional<Lease>> RedisLocks::Acquire(const std::string& name, Duration ttl) {
  Lease lease{.name = name, .token = RandomToken(), .fence = 0};
  const auto reply =
      connection_.Run(redis_lock_scripts::kAcquire, {LockKey(name), FenceKey(name)}, {lease.token, Millis(ttl)});
  if (!reply) return tl::unexpected(reply.error());
  if (reply->kind != RedisReply::Kind::kInteger) return std::nullopt;
  lease.fence = reply->integer;
  return lease;
}

Result<bool> RedisLocks::Renew(const Lease& lease, Duration ttl) {
  return IsOne(connection_.Run(redis_lock_scripts::kRenew, {LockKey(lease.name)}, {lease.token, Millis(ttl)}));
}

Result<bool> RedisLocks::Release(const Lease& lease) {
  return IsOne(connection_.Run(redis_lock_scripts::kRelease, {LockKey(lease.name)}, {lease.token}));
}

}  // namespace escapement
