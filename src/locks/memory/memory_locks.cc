#include "locks/memory/memory_locks.h"

#include <utility>

#include "ports/token.h"

namespace escapement {

Result<std::optional<Lease>> MemoryLocks::Acquire(const std::string& name, Duration ttl) {
  const std::lock_guard guard(mutex_);
  const BootTime now = clock_();
  Lock& lock = locks_[name];
  if (!lock.token.empty() && now < lock.until) return std::nullopt;
  lock.token = RandomToken();
  lock.until = now + ttl;
  ++lock.fence;
  return Lease{.name = name, .token = lock.token, .fence = lock.fence};
}

Result<bool> MemoryLocks::Renew(const Lease& lease, Duration ttl) {
  const std::lock_guard guard(mutex_);
  Lock* const lock = Held(lease);
  if (lock == nullptr) return false;
  lock->until = clock_() + ttl;
  return true;
}

Result<bool> MemoryLocks::Release(const Lease& lease) {
  const std::lock_guard guard(mutex_);
  Lock* const lock = Held(lease);
  if (lock == nullptr) return false;
  lock->token.clear();
  return true;
}

MemoryLocks::Lock* MemoryLocks::Held(const Lease& lease) {
  const auto found = locks_.find(lease.name);
  const bool held = found != locks_.end() && !lease.token.empty() && found->second.token == lease.token &&
                    clock_() < found->second.until;
  return held ? &found->second : nullptr;
}

}  // namespace escapement
