// Rows with NULLs and values of other types, written by hand into a real file.
#include <sqlite3.h>

#include <fmt/format.h>

#include "stores/sqlite/sqlite_store.h"
#include "tests/stores/spoilt_rows.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

TEST(SqliteSpoilt, ARowThatCannotBeReadIsLeftAloneAndTheOthersGoOn) {
  const SqliteDirectory directory;
  const std::string file = directory.path("jobs.db");
  auto factory = SqliteStoreFactory::Create("sqlite:" + file);
  ASSERT_TRUE(factory) << factory.error().message;
  const auto run = [&file](const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    sqlite3_busy_timeout(db, 5000);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db) << ": " << sql;
    sqlite3_close(db);
  };
  {
    auto made = (*factory)->Open();
    ASSERT_TRUE(made && (*made)->Migrate());
  }
  run("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'STRICT, ', ''), "
      "') STRICT', ')'), ' NOT NULL', '') WHERE type = 'table'");
  auto store = (*factory)->Open();
  ASSERT_TRUE(store) << store.error().message;

  std::vector<SpoiltRow> rows;
  const auto set = [&](const char* column, const char* value, bool told = true) {
    rows.push_back({fmt::format("{} = {}", column, value),
                    fmt::format("UPDATE jobs SET {} = {} WHERE id = 'spoilt'", column, value), told});
  };
  set("version", "NULL");
  set("attempt", "NULL");
  set("attempt", "'x'");
  set("attempt", "-1", false);
  set("attempt", "99999999999");
  set("lost", "1.5", false);
  set("begun", "NULL", false);
  set("to_plan", "x'00'", false);
  set("created_at", "NULL");
  set("planned_from", "-9223372036854775807", false);
  set("cursor", "9223372036854775807");
  set("fire_time", "NULL");
  set("fire_time", "9223372036854775807");
  set("due_at", "'soon'", false);
  set("claim_at", "0.5", false);
  set("claim_at", "'now'", false);
  set("fence", "NULL");
  for (const char* definition : {"NULL", "5", "'{}'", "x'ff'", "'[]'"}) {
    rows.push_back({definition, fmt::format("UPDATE definitions SET definition = {} WHERE job = (SELECT key FROM jobs "
                                            "WHERE id = 'spoilt')",
                                            definition)});
  }
  rows.push_back({"no definition", "DELETE FROM definitions WHERE job = (SELECT key FROM jobs WHERE id = 'spoilt')"});
  for (const char* load : {"rate = NULL", "jobs = 'x'"}) {
    rows.push_back({load, fmt::format("UPDATE load SET {}", load), false, true});
  }
  for (const SpoiltRow& row : rows) {
    ExpectOthersGoOn(**store, row, run, [&] {
      run("DELETE FROM jobs; DELETE FROM definitions; DELETE FROM runs; DELETE FROM reigns; "
          "UPDATE load SET rate = 0, jobs = 0");
    });
  }
}

}  // namespace
}  // namespace escapement
