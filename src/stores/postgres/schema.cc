#include "stores/postgres/schema.h"

#include <array>

#include <fmt/format.h>

#include "stores/postgres/sql/migrations.h"

namespace escapement::postgres {
namespace {

struct Migration {
  std::string_view sql;
  int compatible_from;  // the oldest program that can work on what it leaves behind
};
constexpr std::array kMigrations = {
    Migration{sql::k0001Jobs, 1},          Migration{sql::k0002TriggersArchiveSql, 1},
    Migration{sql::k0003FencedEffects, 1}, Migration{sql::k0004FailuresDeadLettersQueues, 1},
    Migration{sql::k0005Limits, 1},        Migration{sql::k0006UniqueKeysSql, 1},
    Migration{sql::k0007Progress, 1}};

constexpr Query kVersionTable = {"version_table", "SELECT to_regclass('escapement.migrations') IS NOT NULL"};
constexpr Query kCompatibleFrom = {"compatible_from",
                                   "SELECT COALESCE(compatible_from, version) FROM escapement.migrations "
                                   "ORDER BY version DESC LIMIT 1"};
constexpr Query kVersion = {"schema_version", "SELECT COALESCE(max(version), 0)::integer FROM escapement.migrations"};

// 0: absent.
Result<int> CurrentVersion(Connection& connection) {
  auto there = connection.Execute(kVersionTable, Params());
  if (!there) return tl::unexpected(there.error());
  if (!there->Bool(0, 0)) return 0;
  auto version = connection.Execute(kVersion, Params());
  if (!version) return tl::unexpected(version.error());
  return version->Int32(0, 0);
}

// A schema newer than `program` knows: may it work on it?
Status AcceptNewer(Connection& connection, int version, int program) {
  auto from = connection.Execute(kCompatibleFrom, Params());
  if (from && from->size() == 1 && from->Int32(0, 0) <= program) return {};
  return Fail(Code::kConflict,
              fmt::format("the store's schema is newer than this program (version {}, this program knows {}): "
                          "use a newer program",
                          version, program));
}

}  // namespace

int SchemaVersion() { return static_cast<int>(kMigrations.size()); }

namespace {

Status MigratePatiently(Connection& connection, int to) {
  auto version = CurrentVersion(connection);
  if (!version) return tl::unexpected(version.error());
  if (*version > to && *version > SchemaVersion()) return AcceptNewer(connection, *version, SchemaVersion());
  if (*version >= to) return {};
  std::string sql =
      "BEGIN; SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7300105, 1);\n"
      "CREATE SCHEMA IF NOT EXISTS escapement;\n"
      "CREATE TABLE IF NOT EXISTS escapement.migrations (version integer PRIMARY KEY, "
      "applied_at timestamptz NOT NULL DEFAULT clock_timestamp());";
  if (auto s = connection.Run(sql); !s) {
    (void)connection.Run("ROLLBACK");
    return s;
  }
  version = CurrentVersion(connection);  // under the lock: somebody may have been first
  Status status;
  if (!version) status = tl::unexpected(version.error());
  for (int v = version ? *version : to; status && v < to; ++v) {
    const Migration& migration = kMigrations[static_cast<std::size_t>(v)];
    status = connection.Run(
        std::string(migration.sql) +
        (v == 0 ? std::string("\nINSERT INTO escapement.migrations (version) VALUES (1);")
                : fmt::format("\nINSERT INTO escapement.migrations (version, compatible_from) VALUES ({}, {});", v + 1,
                              migration.compatible_from)));
  }
  if (!status) {
    (void)connection.Run("ROLLBACK");
    return status;
  }
  return connection.Run("COMMIT");
}

}  // namespace

Status Migrate(Connection& connection, int to) {
  // Indexes on millions of rows are not made in the time of a call.
  const Duration usual = connection.SetTimeout(std::chrono::minutes(30));
  Status status = MigratePatiently(connection, to);
  (void)connection.SetTimeout(usual);
  return status;
}

Status CheckSchema(Connection& connection, int program) {
  auto version = CurrentVersion(connection);
  if (!version) return tl::unexpected(version.error());
  if (*version == program) return {};
  if (*version > program) return AcceptNewer(connection, *version, program);
  if (*version == 0) {
    return Fail(Code::kConflict, "the store has no schema yet: run the migration first");
  }
  return Fail(Code::kConflict,
              fmt::format("the store's schema is older than this program (version {}, needed {}): run the "
                          "migration first",
                          *version, program));
}

}  // namespace escapement::postgres
