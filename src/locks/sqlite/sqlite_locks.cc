#include "locks/sqlite/sqlite_locks.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "ports/token.h"

namespace escapement {
namespace {

using sqlite::Database;
using sqlite::Rows;
using sqlite::Transaction;

constexpr Duration kPatience = std::chrono::seconds(2);
constexpr int kCacheKib = 256;
constexpr int kVersion = 1;

// A name's row stays for the sake of its fence. An empty token: it was released.
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS locks (name TEXT PRIMARY KEY, token TEXT NOT NULL, boot TEXT NOT NULL, "
    "until_us INTEGER NOT NULL, fence INTEGER NOT NULL) STRICT, WITHOUT ROWID; PRAGMA user_version = 1";
// These came later. A program that does not know them works beside: it has no limits.
constexpr const char* kSlotsSchema =
    "CREATE TABLE IF NOT EXISTS slots (key TEXT, holder TEXT, boot TEXT NOT NULL, until_us INTEGER NOT NULL, "
    "PRIMARY KEY (key, holder)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS starts (key TEXT, holder TEXT, boot TEXT NOT NULL, at_us INTEGER NOT NULL, "
    "PRIMARY KEY (key, holder)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS starts_by_time ON starts (key, at_us)";
constexpr std::string_view kHasSlots = "SELECT count(*) FROM sqlite_master WHERE name = 'starts_by_time'";
constexpr std::string_view kDropExpired = "DELETE FROM slots WHERE key = ?1 AND (boot <> ?2 OR until_us <= ?3)";
// ?1 key, ?2 holder. How many others hold one, and whether this one does.
constexpr std::string_view kHolders = "SELECT count(*), coalesce(max(holder = ?2), 0) FROM slots WHERE key = ?1";
constexpr std::string_view kTakeSlot =
    "INSERT INTO slots VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key, holder) DO UPDATE SET until_us = ?4";
constexpr std::string_view kFreeSlot = "DELETE FROM slots WHERE key = ?1 AND holder = ?2";
// What an earlier boot counted may have been just now. ?1 key, ?2 boot, ?3 now.
constexpr std::string_view kMoveStarts = "UPDATE starts SET boot = ?2, at_us = ?3 WHERE key = ?1 AND boot <> ?2";
// ?1 key, ?2 how many newer ones there are.
constexpr std::string_view kStartBefore =
    "SELECT at_us FROM starts WHERE key = ?1 ORDER BY at_us DESC LIMIT 1 OFFSET ?2";
constexpr std::string_view kIsCounted = "SELECT count(*) FROM starts WHERE key = ?1 AND holder = ?2";
constexpr std::string_view kCountStart = "INSERT INTO starts VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
constexpr std::string_view kForgetStarts =
    "DELETE FROM starts WHERE key = ?1 AND holder IN "
    "(SELECT holder FROM starts WHERE key = ?1 ORDER BY at_us DESC LIMIT -1 OFFSET ?2)";
constexpr std::string_view kUncountStart = "DELETE FROM starts WHERE key = ?1 AND holder = ?2";
constexpr int kTakingsBetweenForgetting = 100;

constexpr std::string_view kUserVersion = "PRAGMA user_version";
// ?1 name, ?2 token, ?3 boot, ?4 until, ?5 now. Gives the fence; no row: somebody holds it.
constexpr std::string_view kAcquire =
    "INSERT INTO locks VALUES (?1, ?2, ?3, ?4, 1) "
    "ON CONFLICT (name) DO UPDATE SET token = ?2, boot = ?3, until_us = ?4, fence = fence + 1 "
    "WHERE token = '' OR boot <> ?3 OR until_us <= ?5 RETURNING fence";
constexpr std::string_view kRenew =
    "UPDATE locks SET until_us = ?4 WHERE name = ?1 AND token = ?2 AND token <> '' AND boot = ?3 AND until_us > ?5";
constexpr std::string_view kRelease =
    "UPDATE locks SET token = '' WHERE name = ?1 AND token = ?2 AND token <> '' AND boot = ?3 AND until_us > ?4";

}  // namespace

Result<std::unique_ptr<SqliteLocks>> SqliteLocks::Create(const std::string& url, std::function<BootTime()> clock) {
  auto file = sqlite::ParseUrl(url);
  if (!file) return tl::unexpected(file.error());
  if (auto s = sqlite::CheckPlace(*file); !s) return tl::unexpected(s.error());
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  if (boot.empty()) return Fail(Code::kUnavailable, "cannot read /proc/sys/kernel/random/boot_id: is /proc mounted?");
  return std::unique_ptr<SqliteLocks>(
      new SqliteLocks(sqlite::Beside(*file, ".locks"), std::move(boot), std::move(clock)));
}

Status SqliteLocks::Connect() {
  if (db_ != nullptr && !db_->broken()) return {};
  db_.reset();
  if (auto s = sqlite::MakeFile(file_); !s) return s;
  auto db = Database::Open({.path = file_.path, .patience = kPatience, .cache_kib = kCacheKib});
  if (!db) return tl::unexpected(db.error());
  Transaction tx(**db, Transaction::Kind::kWrite);
  int version = 0;
  if (Rows r = tx.Query(kUserVersion); r.Next()) version = r.Int(0);
  if (tx.failed()) return tx.error();
  if (version > kVersion) {
    return Fail(Code::kConflict,
                fmt::format("{} is of a newer program (version {}, this program knows {}): use a newer program",
                            file_.path, version, kVersion));
  }
  bool has_slots = false;
  if (Rows r = tx.Query(kHasSlots); r.Next()) has_slots = r.Bool(0);
  if (tx.failed()) return tx.error();
  if (version < kVersion) {
    if (auto s = (*db)->Run(kSchema); !s) return s;
  }
  if (!has_slots) {
    if (auto s = (*db)->Run(kSlotsSchema); !s) return s;
  }
  if (auto s = tx.Commit(); !s) return s;
  db_ = std::move(*db);
  return {};
}

Result<std::optional<Lease>> SqliteLocks::Acquire(const std::string& name, Duration ttl) {
  const std::lock_guard lock(mutex_);
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  Lease lease{.name = name, .token = RandomToken(), .fence = 0};
  Transaction tx(*db_, Transaction::Kind::kWrite);
  const std::int64_t now = NowMicros();
  if (Rows r = tx.Query(kAcquire, name, lease.token, boot_, now + ttl.count(), now); r.Next()) lease.fence = r.Int64(0);
  if (tx.failed()) return tx.error();
  if (lease.fence == 0) return std::nullopt;
  if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
  return lease;
}

Result<bool> SqliteLocks::Renew(const Lease& lease, Duration ttl) {
  const std::lock_guard lock(mutex_);
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  Transaction tx(*db_, Transaction::Kind::kWrite);
  const std::int64_t now = NowMicros();
  const bool held = tx.Run(kRenew, lease.name, lease.token, boot_, now + ttl.count(), now) == 1;
  if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
  return held;
}

Result<bool> SqliteLocks::Release(const Lease& lease) {
  const std::lock_guard lock(mutex_);
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  Transaction tx(*db_, Transaction::Kind::kWrite);
  const bool held = tx.Run(kRelease, lease.name, lease.token, boot_, NowMicros()) == 1;
  if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
  return held;
}

SlotAnswer SqliteLocks::Take(Transaction& tx, const SlotRequest& request, std::int64_t now, Duration ttl) {
  SlotAnswer answer{.granted = true};
  for (const ConcurrencyLimit& limit : request.limits) {
    tx.Run(kDropExpired, limit.key, boot_, now);
    Rows r = tx.Query(kHolders, limit.key, request.holder);
    if (r.Next() && r.Int64(0) >= limit.slots && !r.Bool(1)) answer.granted = false;
  }
  for (const RateLimit& rate : request.rates) {
    tx.Run(kMoveStarts, rate.key, boot_, now);
    std::int64_t wait = 0;
    // Of the newest so many starts, the oldest must have left the window.
    if (Rows r = tx.Query(kStartBefore, rate.key, rate.starts - 1); r.Next())
      wait = r.Int64(0) + rate.per.count() - now;
    if (wait <= 0) continue;
    if (Rows r = tx.Query(kIsCounted, rate.key, request.holder); r.Next() && r.Bool(0)) continue;
    answer.granted = false;
    answer.again = std::max(answer.again, Duration(wait));
  }
  if (!answer.granted) return answer;
  for (const ConcurrencyLimit& limit : request.limits) {
    tx.Run(kTakeSlot, limit.key, request.holder, boot_, now + ttl.count());
  }
  for (const RateLimit& rate : request.rates) tx.Run(kCountStart, rate.key, request.holder, boot_, now);
  return answer;
}

Result<std::vector<SlotAnswer>> SqliteLocks::TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) {
  const std::lock_guard lock(mutex_);
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  Transaction tx(*db_, Transaction::Kind::kWrite);
  const std::int64_t now = NowMicros();
  const bool forget = ++takings_ % kTakingsBetweenForgetting == 0;
  std::vector<SlotAnswer> answers;
  for (const SlotRequest& request : requests) {
    answers.push_back(Take(tx, request, now, ttl));
    for (const RateLimit& rate : request.rates) {
      if (forget) tx.Run(kForgetStarts, rate.key, kStartsRemembered);
    }
  }
  if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
  return answers;
}

Status SqliteLocks::FreeSlots(const std::vector<SlotRequest>& requests) {
  const std::lock_guard lock(mutex_);
  if (auto s = Connect(); !s) return s;
  Transaction tx(*db_, Transaction::Kind::kWrite);
  for (const SlotRequest& request : requests) {
    for (const ConcurrencyLimit& limit : request.limits) tx.Run(kFreeSlot, limit.key, request.holder);
    for (const RateLimit& rate : request.rates) tx.Run(kUncountStart, rate.key, request.holder);
  }
  return tx.Commit();
}

}  // namespace escapement
