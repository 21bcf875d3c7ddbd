#include "locks/redis/redis_locks.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>

#include <fmt/format.h>

#include "locks/redis/scripts.h"
#include "ports/token.h"

namespace escapement {
namespace {

// Braces: a cluster keeps both keys of a name in one slot.
std::string LockKey(const std::string& name) { return fmt::format("escapement:lock:{{{}}}", name); }
std::string FenceKey(const std::string& name) { return fmt::format("escapement:fence:{{{}}}", name); }

// The keys of a script's call, each once. One tag: of whatever keys a run takes slots, they are on one node.
class SlotKeys {
 public:
  std::string NumberOf(const ConcurrencyLimit& limit) { return Number("escapement:slots:{limits}:" + limit.key); }
  std::string NumberOf(const RateLimit& rate) { return Number("escapement:starts:{limits}:" + rate.key); }
  const std::vector<std::string>& all() const { return keys_; }

 private:
  std::string Number(std::string key) {
    const auto [it, fresh] = numbers_.try_emplace(std::move(key), keys_.size() + 1);
    if (fresh) keys_.push_back(it->first);
    return fmt::format("{}", it->second);
  }
  std::vector<std::string> keys_;
  std::map<std::string, std::size_t> numbers_;
};

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

Result<std::vector<SlotAnswer>> RedisLocks::TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) {
  SlotKeys keys;
  std::vector<std::string> arguments = {fmt::format("{}", ttl.count()), fmt::format("{}", kStartsRemembered)};
  for (const SlotRequest& r : requests) {
    arguments.push_back(r.holder);
    arguments.push_back(fmt::format("{}", r.limits.size()));
    arguments.push_back(fmt::format("{}", r.rates.size()));
    for (const ConcurrencyLimit& limit : r.limits) {
      arguments.push_back(keys.NumberOf(limit));
      arguments.push_back(fmt::format("{}", limit.slots));
    }
    for (const RateLimit& rate : r.rates) {
      arguments.push_back(keys.NumberOf(rate));
      arguments.push_back(fmt::format("{}", rate.starts));
      arguments.push_back(fmt::format("{}", rate.per.count()));
    }
  }
  std::vector<SlotAnswer> answers(requests.size(), SlotAnswer{.granted = true});
  if (keys.all().empty()) return answers;
  const auto reply = connection_.Run(redis_lock_scripts::kTakeSlots, keys.all(), arguments);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->elements.size() != requests.size()) return Fail(Code::kInternal, "the script of slots: no such answer");
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::int64_t again = reply->elements[i].integer;
    if (again >= 0) answers[i] = {.granted = false, .again = Duration(again)};
  }
  return answers;
}

Status RedisLocks::FreeSlots(const std::vector<SlotRequest>& requests) {
  SlotKeys keys;
  std::vector<std::string> arguments;
  for (const SlotRequest& r : requests) {
    for (const ConcurrencyLimit& limit : r.limits) {
      arguments.insert(arguments.end(), {keys.NumberOf(limit), r.holder});
    }
    for (const RateLimit& rate : r.rates) arguments.insert(arguments.end(), {keys.NumberOf(rate), r.holder});
  }
  if (keys.all().empty()) return {};
  const auto reply = connection_.Run(redis_lock_scripts::kFreeSlots, keys.all(), arguments);
  if (!reply) return tl::unexpected(reply.error());
  return {};
}

}  // namespace escapement
