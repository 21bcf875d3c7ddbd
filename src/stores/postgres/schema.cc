#include "stores/postgres/schema.h"

#include <array>

#include <fmt/format.h>

#include "stores/postgres/sql/migrations.h"

namespace escapement::postgres {
namespace {

constexpr std::array kMigrations = {sql::k0001Jobs};

constexpr Query kVersionTable = {"version_table", "SELECT to_regclass('escapement.migrations') IS NOT NULL"};
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

tl::unexpected<Error> Newer(int version) {
  return Fail(Code::kConflict,
              fmt::format("the store's schema is newer than this program (version {}, this program knows {}): "
                          "use a newer program",
                          version, SchemaVersion()));
}

}  // namespace

int SchemaVersion() { return static_cast<int>(kMigrations.size()); }

Status Migrate(Connection& connection, int to) {
  auto version = CurrentVersion(connection);
  if (!version) return tl::unexpected(version.error());
  if (*version > SchemaVersion()) return Newer(*version);
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
    status = connection.Run(std::string(kMigrations[static_cast<std::size_t>(v)]) +
                            fmt::format("\nINSERT INTO escapement.migrations (version) VALUES ({});", v + 1));
  }
  if (!status) {
    (void)connection.Run("ROLLBACK");
    return status;
  }
  return connection.Run("COMMIT");
}

Status CheckSchema(Connection& connection) {
  auto version = CurrentVersion(connection);
  if (!version) return tl::unexpected(version.error());
  if (*version == SchemaVersion()) return {};
  if (*version > SchemaVersion()) return Newer(*version);
  if (*version == 0) {
    return Fail(Code::kConflict, "the store has no schema yet: run the migration first");
  }
  return Fail(Code::kConflict,
              fmt::format("the store's schema is older than this program (version {}, needed {}): run the "
                          "migration first",
                          *version, SchemaVersion()));
}

}  // namespace escapement::postgres
