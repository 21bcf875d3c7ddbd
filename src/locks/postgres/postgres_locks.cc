#include "locks/postgres/postgres_locks.h"

#include "locks/postgres/sql/queries.h"
#include "ports/token.h"

namespace escapement {

using postgres::Params;
using postgres::Query;
using postgres::Rows;
namespace sql = postgres::lock_sql;

namespace {

constexpr Query kAcquire = {"acquire_lease", sql::kAcquire};
constexpr Query kRenew = {"renew_lease", sql::kRenew};
constexpr Query kRelease = {"release_lease", sql::kRelease};

}  // namespace

Result<Rows> PostgresLocks::Execute(const Query& query, const Params& params) {
  const std::lock_guard lock(mutex_);
  auto rows = db_.Execute(query, params);
  if (!rows && (db_.last_sqlstate() == "42P01" || db_.last_sqlstate() == "3F000")) {  // no such table or schema
    return Fail(Code::kConflict, "the store has no table of leases yet: run the migration first");
  }
  return rows;
}

Result<std::optional<Lease>> PostgresLocks::Acquire(const std::string& name, Duration ttl) {
  Lease lease{.name = name, .token = RandomToken()};
  auto rows = Execute(kAcquire, Params().Add(name).Add(lease.token).Add(ttl.count()));
  if (!rows) return tl::unexpected(rows.error());
  if (rows->size() == 0) return std::nullopt;
  lease.fence = rows->Int64(0, 0);
  return lease;
}

Result<bool> PostgresLocks::Renew(const Lease& lease, Duration ttl) {
  auto rows = Execute(kRenew, Params().Add(lease.name).Add(lease.token).Add(ttl.count()));
  if (!rows) return tl::unexpected(rows.error());
  return rows->size() == 1;
}

Result<bool> PostgresLocks::Release(const Lease& lease) {
  auto rows = Execute(kRelease, Params().Add(lease.name).Add(lease.token));
  if (!rows) return tl::unexpected(rows.error());
  return rows->size() == 1;
}

}  // namespace escapement
