// Locks for the processes of one machine that share an SQLite store.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ports/locks.h"
#include "sqlite/database.h"
#include "sqlite/file.h"
#include "time/clock.h"

namespace escapement {

// Leases in a file of their own beside the jobs', PATH.locks: a renewal then never waits for a large commit, and pods
// can take their names before the store has a schema. Leases run by the time since boot, so that nobody's setting of
// the clock ends one, and end with the boot; fences survive it. So do slots; starts of an earlier boot count for a
// whole `per` from the first look at them. Thread-safe.
class SqliteLocks final : public Locks {
 public:
  // Of the store "sqlite:PATH". The file is made with the first lease. kInvalidArgument as for the store. `clock` must
  // be thread-safe.
  [[nodiscard]] static Result<std::unique_ptr<SqliteLocks>> Create(const std::string& url,
                                                                   std::function<BootTime()> clock = BootClock::now);

  Result<std::optional<Lease>> Acquire(const std::string& name, Duration ttl) override;
  Result<bool> Renew(const Lease& lease, Duration ttl) override;
  Result<bool> Release(const Lease& lease) override;
  Result<std::vector<SlotAnswer>> TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) override;
  Status FreeSlots(const std::vector<SlotRequest>& requests) override;

 private:
  SqliteLocks(sqlite::FileName file, std::string boot, std::function<BootTime()> clock)
      : file_(std::move(file)), boot_(std::move(boot)), clock_(std::move(clock)) {}
  Status Connect();
  SlotAnswer Take(sqlite::Transaction& tx, const SlotRequest& request, std::int64_t now, Duration ttl);
  std::int64_t NowMicros() const { return clock_().time_since_epoch().count(); }

  const sqlite::FileName file_;
  const std::string boot_;  // the kernel's id of this boot
  const std::function<BootTime()> clock_;
  std::mutex mutex_;  // guards the rest
  int takings_ = 0;
  std::unique_ptr<sqlite::Database> db_;  // null until the first use
};

}  // namespace escapement
