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
constexpr Query kTakeSlots = {"take_slots", sql::kTakeSlots};
constexpr Query kFreeSlots = {"free_slots", sql::kFreeSlots};

// The limits, or the rates, of all requests in one row.
template <typename Limit>
struct Flat {
  std::vector<const Limit*> all;
  std::vector<std::size_t> request;  // that each is of

  Flat(const std::vector<SlotRequest>& requests, std::vector<Limit> SlotRequest::* limits) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      for (const Limit& limit : requests[i].*limits) {
        all.push_back(&limit);
        request.push_back(i);
      }
    }
  }
  void AddNumbers(Params& p) const {
    p.AddArray<std::int32_t>(all.size(), [&](std::size_t i) { return static_cast<std::int32_t>(request[i] + 1); });
  }
  void AddKeys(Params& p) const {
    p.AddArray<std::string_view>(all.size(), [&](std::size_t i) { return std::string_view(all[i]->key); });
  }
  void AddHolders(Params& p, const std::vector<SlotRequest>& requests) const {
    p.AddArray<std::string_view>(all.size(),
                                 [&](std::size_t i) { return std::string_view(requests[request[i]].holder); });
  }
};

}  // namespace

Result<Rows> PostgresLocks::Execute(const Query& query, const Params& params) {
  const std::lock_guard lock(mutex_);
  auto rows = db_.Execute(query, params);
  if (!rows && (db_.last_sqlstate() == "42P01" || db_.last_sqlstate() == "3F000" ||
                db_.last_sqlstate() == "42883")) {  // table, schema, function
    return Fail(Code::kConflict, "the store has no such table or function of locks yet: run the migration first");
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

Result<std::vector<SlotAnswer>> PostgresLocks::TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) {
  const Flat limits(requests, &SlotRequest::limits);
  const Flat rates(requests, &SlotRequest::rates);
  Params p;
  p.AddArray<std::string_view>(requests.size(), [&](std::size_t i) { return std::string_view(requests[i].holder); });
  p.Add(ttl.count());
  limits.AddNumbers(p);
  limits.AddKeys(p);
  p.AddArray<std::int32_t>(limits.all.size(), [&](std::size_t i) { return limits.all[i]->slots; });
  rates.AddNumbers(p);
  rates.AddKeys(p);
  p.AddArray<std::int32_t>(rates.all.size(), [&](std::size_t i) { return rates.all[i]->starts; });
  p.AddArray<std::int64_t>(rates.all.size(), [&](std::size_t i) { return rates.all[i]->per.count(); });
  p.Add(kStartsRemembered);
  auto rows = Execute(kTakeSlots, p);
  if (!rows) return tl::unexpected(rows.error());
  if (static_cast<std::size_t>(rows->size()) != requests.size()) {
    return Fail(Code::kInternal, "escapement.take_slots: no such answer");
  }
  std::vector<SlotAnswer> answers(requests.size(), SlotAnswer{.granted = true});
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::int64_t again = rows->Int64(static_cast<int>(i), 0);
    if (again >= 0) answers[i] = {.granted = false, .again = Duration(again)};
  }
  return answers;
}

Status PostgresLocks::FreeSlots(const std::vector<SlotRequest>& requests) {
  const Flat limits(requests, &SlotRequest::limits);
  const Flat rates(requests, &SlotRequest::rates);
  Params p;
  limits.AddKeys(p);
  limits.AddHolders(p, requests);
  rates.AddKeys(p);
  rates.AddHolders(p, requests);
  auto rows = Execute(kFreeSlots, p);
  if (!rows) return tl::unexpected(rows.error());
  return {};
}

}  // namespace escapement
