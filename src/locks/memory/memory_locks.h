// Locks and wake-ups within one process: for a single pod, tests and the simulation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ports/locks.h"
#include "ports/notifier.h"
#include "time/clock.h"

namespace escapement {

// Everybody who shares the object shares the locks. Never fails. Thread-safe.
class MemoryLocks final : public Locks {
 public:
  // `clock` must be thread-safe if the locks are used by several threads.
  explicit MemoryLocks(std::function<BootTime()> clock = BootClock::now) : clock_(std::move(clock)) {}

  Result<std::optional<Lease>> Acquire(const std::string& name, Duration ttl) override;
  Result<bool> Renew(const Lease& lease, Duration ttl) override;
  Result<bool> Release(const Lease& lease) override;
  Result<std::vector<SlotAnswer>> TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) override;
  Status FreeSlots(const std::vector<SlotRequest>& requests) override;

  // As a server that comes back empty.
  void Forget();

 private:
  struct Lock {
    std::string token;  // empty: released
    BootTime until;
    std::int64_t fence = 0;  // of the last acquisition; the entry stays for its sake
  };

  struct Starts {  // of a key, the oldest first
    std::vector<std::pair<BootTime, std::string>> counted;
    bool Has(const std::string& holder) const;
  };

  // The lock while `lease` holds it, else null.
  Lock* Held(const Lease& lease);
  SlotAnswer Take(const SlotRequest& request, BootTime now, Duration ttl);

  const std::function<BootTime()> clock_;
  std::mutex mutex_;  // guards the rest
  std::map<std::string, Lock> locks_;
  std::map<std::string, std::map<std::string, BootTime>> slots_;  // by key: holders, and until when
  std::map<std::string, Starts> starts_;
};

// Messages are delivered in order, on one thread. Of those that wait, all beyond 10,000 are dropped. A subscription may
// outlive the notifier, and may be destroyed by its own callback. Thread-safe.
class MemoryNotifier final : public Notifier {
 public:
  MemoryNotifier();
  MemoryNotifier(const MemoryNotifier&) = delete;
  MemoryNotifier& operator=(const MemoryNotifier&) = delete;
  ~MemoryNotifier() override;

  Status Publish(const std::string& channel, const std::string& message) override;
  Result<std::unique_ptr<Subscription>> Subscribe(const std::string& channel,
                                                  std::function<void(const std::string&)> callback) override;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with subscriptions, which may live longer
};

}  // namespace escapement
