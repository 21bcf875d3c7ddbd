#include "locks/memory/memory_locks.h"

#include <algorithm>
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

bool MemoryLocks::Starts::Has(const std::string& holder) const {
  return std::any_of(counted.begin(), counted.end(), [&](const auto& start) { return start.second == holder; });
}

SlotAnswer MemoryLocks::Take(const SlotRequest& request, BootTime now, Duration ttl) {
  SlotAnswer answer{.granted = true};
  for (const ConcurrencyLimit& limit : request.limits) {
    auto& holders = slots_[limit.key];
    std::erase_if(holders, [&](const auto& holder) { return holder.second <= now; });
    if (!holders.contains(request.holder) && holders.size() >= static_cast<std::size_t>(limit.slots)) {
      answer.granted = false;
    }
  }
  for (const RateLimit& rate : request.rates) {
    const Starts& starts = starts_[rate.key];
    const auto allowed = static_cast<std::size_t>(rate.starts);
    if (starts.Has(request.holder) || starts.counted.size() < allowed) continue;
    // Of the newest so many, the oldest must have left the window.
    const Duration wait = starts.counted[starts.counted.size() - allowed].first + rate.per - now;
    if (wait <= Duration(0)) continue;
    answer.granted = false;
    answer.again = std::max(answer.again, wait);
  }
  if (!answer.granted) return answer;
  for (const ConcurrencyLimit& limit : request.limits) slots_[limit.key][request.holder] = now + ttl;
  for (const RateLimit& rate : request.rates) {
    Starts& starts = starts_[rate.key];
    if (starts.Has(request.holder)) continue;
    starts.counted.emplace_back(now, request.holder);
    if (starts.counted.size() > kStartsRemembered) starts.counted.erase(starts.counted.begin());
  }
  return answer;
}

Result<std::vector<SlotAnswer>> MemoryLocks::TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) {
  const std::lock_guard guard(mutex_);
  const BootTime now = clock_();
  std::vector<SlotAnswer> answers;
  for (const SlotRequest& request : requests) answers.push_back(Take(request, now, ttl));
  return answers;
}

Status MemoryLocks::FreeSlots(const std::vector<SlotRequest>& requests) {
  const std::lock_guard guard(mutex_);
  for (const SlotRequest& request : requests) {
    for (const ConcurrencyLimit& limit : request.limits) slots_[limit.key].erase(request.holder);
    for (const RateLimit& rate : request.rates) {
      std::erase_if(starts_[rate.key].counted, [&](const auto& start) { return start.second == request.holder; });
    }
  }
  return {};
}

void MemoryLocks::Forget() {
  const std::lock_guard guard(mutex_);
  locks_.clear();
  slots_.clear();
  starts_.clear();
}

MemoryLocks::Lock* MemoryLocks::Held(const Lease& lease) {
  const auto found = locks_.find(lease.name);
  const bool held = found != locks_.end() && !lease.token.empty() && found->second.token == lease.token &&
                    clock_() < found->second.until;
  return held ? &found->second : nullptr;
}

}  // namespace escapement
