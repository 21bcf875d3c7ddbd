#include "stores/sqlite/schema.h"

#include <array>

#include <fmt/format.h>

#include "stores/sqlite/sql/migrations.h"

namespace escapement::sqlite {
namespace {

constexpr std::array kMigrations = {sql::k0001Jobs, sql::k0002FailuresDeadLettersQueues, sql::k0003UniqueKeys,
                                    sql::k0004Progress};

constexpr std::string_view kVersionTable = "SELECT 1 FROM sqlite_schema WHERE name = 'migrations'";
constexpr std::string_view kVersion = "SELECT COALESCE(max(version), 0) FROM migrations";

// 0: absent.
int CurrentVersion(Transaction& tx) {
  if (!tx.Query(kVersionTable).Next()) return 0;
  Rows version = tx.Query(kVersion);
  return version.Next() ? version.Int(0) : 0;
}

tl::unexpected<Error> Newer(int version) {
  return Fail(Code::kConflict,
              fmt::format("the store's schema is newer than this program (version {}, this program knows {}): "
                          "use a newer program",
                          version, SchemaVersion()));
}

}  // namespace

int SchemaVersion() { return static_cast<int>(kMigrations.size()); }

Status Migrate(Database& database, int to) {
  Transaction tx(database, Transaction::Kind::kWrite);
  const int version = CurrentVersion(tx);
  if (tx.failed()) return tx.error();
  if (version > SchemaVersion()) return Newer(version);
  if (version >= to) return {};
  std::string sql =
      "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;\n";
  for (int v = version; v < to; ++v) {
    sql += kMigrations[static_cast<std::size_t>(v)];
    sql += fmt::format("\nINSERT INTO migrations VALUES ({}, datetime());\n", v + 1);
  }
  if (auto s = database.Run(sql); !s) return s;
  return tx.Commit();
}

Status CheckSchema(Database& database) {
  Transaction tx(database, Transaction::Kind::kRead);
  const int version = CurrentVersion(tx);
  if (tx.failed()) return tx.error();
  if (version == SchemaVersion()) return {};
  if (version > SchemaVersion()) return Newer(version);
  if (version == 0) return Fail(Code::kConflict, "the store has no schema yet: run the migration first");
  return Fail(Code::kConflict,
              fmt::format("the store's schema is older than this program (version {}, needed {}): run the "
                          "migration first",
                          version, SchemaVersion()));
}

}  // namespace escapement::sqlite
