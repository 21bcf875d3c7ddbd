// Locks in the PostgreSQL that keeps the jobs: a cluster needs no other service.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "ports/locks.h"
#include "postgres/connection.h"

namespace escapement {

// Leases are rows of escapement.leases, slots and starts of tables of those names; all by the server's clock.
// Thread-safe; one connection, opened at first use. kConflict when the schema has not been migrated.
class PostgresLocks final : public Locks {
 public:
  explicit PostgresLocks(const std::string& url) : db_(url, "escapement locks") {}

  Result<std::optional<Lease>> Acquire(const std::string& name, Duration ttl) override;
  Result<bool> Renew(const Lease& lease, Duration ttl) override;
  Result<bool> Release(const Lease& lease) override;
  Result<std::vector<SlotAnswer>> TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) override;
  Status FreeSlots(const std::vector<SlotRequest>& requests) override;

 private:
  Result<postgres::Rows> Execute(const postgres::Query& query, const postgres::Params& params);

  std::mutex mutex_;
  postgres::Connection db_;  // guarded by mutex_
};

}  // namespace escapement
