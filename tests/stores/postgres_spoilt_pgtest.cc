// Rows with NULLs and nonsense, written by hand past the constraints of a real store.
#include "stores/postgres/postgres_store.h"

#include <fmt/format.h>

#include "postgres/connection.h"
#include "servers/servers.h"
#include "tests/stores/spoilt_rows.h"

namespace escapement {
namespace {

TEST(PostgresSpoilt, ARowThatCannotBeReadIsLeftAloneAndTheOthersGoOn) {
  auto server = PrivateServer::Postgres({.durable = false});
  ASSERT_TRUE(server) << server.error().message;
  auto factory = PostgresStoreFactory::Create((*server)->url());
  ASSERT_TRUE(factory);
  auto store = (*factory)->Open();
  ASSERT_TRUE(store) << store.error().message;
  ASSERT_TRUE((*store)->Migrate());
  postgres::Connection hand((*server)->url(), "hand");
  const auto run = [&hand](const std::string& sql) {
    const Status done = hand.Run(sql);
    ASSERT_TRUE(done) << sql << ": " << done.error().message;
  };
  std::string free = "ALTER TABLE escapement.jobs";
  for (const char* column :
       {"version", "attempt", "lost", "begun", "to_plan", "created_at", "planned_from", "cursor", "due_at", "fence"}) {
    free += fmt::format("{} ALTER {} DROP NOT NULL", free.ends_with("jobs") ? "" : ",", column);
  }
  run(free);

  std::vector<SpoiltRow> rows;
  const auto set = [&](const char* column, const char* value, bool told = true) {
    rows.push_back({fmt::format("{} = {}", column, value),
                    fmt::format("UPDATE escapement.jobs SET {} = {} WHERE id = 'spoilt'", column, value), told});
  };
  set("version", "NULL");  // its definition cannot be found
  set("attempt", "NULL");
  set("attempt", "-1", false);
  set("lost", "NULL", false);
  set("begun", "NULL", false);
  set("to_plan", "NULL", false);
  set("created_at", "NULL");
  set("created_at", "'-infinity'");
  set("planned_from", "NULL", false);
  set("cursor", "NULL");
  set("cursor", "'infinity'");
  set("fire_time", "NULL", false);
  set("fire_time", "'infinity'");
  set("fire_time", "'4713-01-01 BC'");
  set("due_at", "NULL", false);
  set("due_at", "'infinity'", false);
  set("fence", "NULL");
  for (const char* definition : {"null", "5", "{}", R"({"schedule": "every 1s", "task": 1})",
                                 R"({"schedule": "every 1s", "task": "t", "new\u0007": 1})"}) {
    rows.push_back(
        {definition, fmt::format("UPDATE escapement.definitions SET definition = '{}' WHERE job = (SELECT key "
                                 "FROM escapement.jobs WHERE id = 'spoilt')",
                                 definition)});
  }
  rows.push_back(
      {"no definition",
       "DELETE FROM escapement.definitions WHERE job = (SELECT key FROM escapement.jobs WHERE id = 'spoilt')"});
  for (const SpoiltRow& row : rows) {
    ExpectOthersGoOn(**store, row, run, [&] {
      run("DELETE FROM escapement.jobs; DELETE FROM escapement.definitions; DELETE FROM escapement.runs");
    });
  }
}

TEST(PostgresSpoilt, AHistoryThatCannotBeReadIsAnErrorThatNamesTheJob) {
  auto server = PrivateServer::Postgres({.durable = false});
  ASSERT_TRUE(server) << server.error().message;
  auto factory = PostgresStoreFactory::Create((*server)->url());
  ASSERT_TRUE(factory);
  auto store = (*factory)->Open();
  ASSERT_TRUE(store) << store.error().message;
  ASSERT_TRUE((*store)->Migrate());
  ASSERT_TRUE((*store)->Enqueue({{.id = "job", .schedule = *Schedule::Parse("every 1h"), .task = "noop"}}));
  postgres::Connection hand((*server)->url(), "hand");
  for (const char* column : {"last_fire", "settles", "attempt", "verdict", "error", "output"}) {
    ASSERT_TRUE(hand.Run(fmt::format("ALTER TABLE escapement.runs ALTER {} DROP NOT NULL", column)));
  }
  for (const char* spoil : {"last_fire = NULL", "last_fire = 'infinity'", "settles = NULL", "attempt = NULL",
                            "verdict = NULL", "error = NULL", "output = NULL", "started_at = '-infinity'"}) {
    SCOPED_TRACE(spoil);
    const Status written = hand.Run(fmt::format(
        "DELETE FROM escapement.runs; INSERT INTO escapement.runs (settled_at, job, fire_time, last_fire, fence, "
        "session, "
        "settles, attempt, version, verdict, error) SELECT now(), key, now(), now(), 1, 1, 1, 1, 1, 1, '' FROM "
        "escapement.jobs; UPDATE escapement.runs SET {}",
        spoil));
    ASSERT_TRUE(written) << written.error().message;
    const auto runs = (*store)->Runs({.job_id = "job"});
    ASSERT_FALSE(runs);
    EXPECT_EQ(runs.error().code, Code::kInternal);
    EXPECT_THAT(runs.error().message, testing::HasSubstr("job 'job'"));
    EXPECT_TRUE((*store)->Get("job"));
  }
}

}  // namespace
}  // namespace escapement
