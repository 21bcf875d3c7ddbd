#include "locks/sqlite/sqlite_locks.h"

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
  if (version < kVersion) {
    if (auto s = (*db)->Run(kSchema); !s) return s;
    if (auto s = tx.Commit(); !s) return s;
  }
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

}  // namespace escapement
