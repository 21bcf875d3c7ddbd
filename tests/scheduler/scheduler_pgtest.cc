#include <fmt/format.h>
#include <libpq-fe.h>

#include "servers/servers.h"
#include "tests/scheduler/scheduler_suite.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

// One of each for all tests of this program; a database of its own for each test.
class Servers : public testing::Environment {
 public:
  void SetUp() override {
    auto postgres = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(postgres) << postgres.error().message;
    auto redis = PrivateServer::Redis();
    ASSERT_TRUE(redis) << redis.error().message;
    postgres_ = std::move(*postgres);
    redis_ = std::move(*redis);
  }
  void TearDown() override {
    redis_.reset();
    postgres_.reset();
  }

  Urls Empty() {
    const std::string name = fmt::format("test_{}", ++number_);
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(postgres_->url().c_str()), PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> made(
        PQexec(connection.get(), ("CREATE DATABASE " + name).c_str()), PQclear);
    EXPECT_EQ(PQresultStatus(made.get()), PGRES_COMMAND_OK) << PQerrorMessage(connection.get());
    return {PostgresUrl(postgres_->password(), postgres_->port(), name),
            fmt::format("redis://:{}@{}:{}/{}", redis_->password(), redis_->host(), redis_->port(), number_ % 16)};
  }
  std::string PostgresUrl(const std::string& password, int port, const std::string& database) const {
    return fmt::format("postgresql://{}:{}@{}:{}/{}", postgres_->user(), password, postgres_->host(), port, database);
  }
  PrivateServer& postgres() { return *postgres_; }
  PrivateServer& redis() { return *redis_; }

 private:
  std::unique_ptr<PrivateServer> postgres_;
  std::unique_ptr<PrivateServer> redis_;
  int number_ = 0;
};

Servers* const g_servers = static_cast<Servers*>(testing::AddGlobalTestEnvironment(new Servers));

Urls EmptyServers() { return g_servers->Empty(); }
// Locks and wake-ups then go through PostgreSQL.
Urls EmptyPostgresAlone() { return {g_servers->Empty().store, ""}; }

Urls SqliteAndEmptyRedis() {
  static std::vector<std::unique_ptr<SqliteDirectory>> directories;  // removed with the program's end
  directories.push_back(std::make_unique<SqliteDirectory>());
  return {"sqlite:" + directories.back()->path("jobs.db"), g_servers->Empty().locks};
}

INSTANTIATE_TEST_SUITE_P(SqliteAndRedis, SchedulerSuite, testing::Values(&SqliteAndEmptyRedis));
INSTANTIATE_TEST_SUITE_P(PostgresAndRedis, SchedulerSuite, testing::Values(&EmptyServers));
INSTANTIATE_TEST_SUITE_P(PostgresAlone, SchedulerSuite, testing::Values(&EmptyPostgresAlone));

TEST(SchedulerOnServers, StartsOnlyOnASchemaOfItsVersion) {
  const Urls urls = EmptyServers();
  auto scheduler = Scheduler::Open({.store_url = urls.store, .locks_url = urls.locks, .pod_name = "pod"});
  ASSERT_TRUE(scheduler) << scheduler.error().message;
  auto schema = (*scheduler)->CheckSchema();
  ASSERT_FALSE(schema);
  EXPECT_EQ(schema.error().code, Code::kConflict);
  auto started = (*scheduler)->Start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kConflict) << started.error().message;
  EXPECT_THAT(started.error().message, testing::HasSubstr("migration"));
  auto enqueued = (*scheduler)->At("job", FromMicros(1), "note");
  ASSERT_FALSE(enqueued);
  EXPECT_EQ(enqueued.error().code, Code::kConflict) << enqueued.error().message;

  ASSERT_TRUE((*scheduler)->Migrate());
  EXPECT_TRUE((*scheduler)->CheckSchema());
  auto again = (*scheduler)->Start();
  EXPECT_TRUE(again) << again.error().message;
}

TEST(SchedulerOnServers, AJobThatThisProgramCannotReadHarmsNoOther) {
  const Urls urls = EmptyServers();
  auto opened = Scheduler::Open({.store_url = urls.store, .locks_url = urls.locks, .pod_name = "pod"});
  ASSERT_TRUE(opened) << opened.error().message;
  Scheduler& scheduler = **opened;
  ASSERT_TRUE(scheduler.Migrate());
  std::atomic<int> runs = 0;
  scheduler.Handle("count", [&](const RunContext&) -> Status {
    ++runs;
    return {};
  });
  ASSERT_TRUE(scheduler.At("from the future", FromMicros(1), "count"));
  ASSERT_TRUE(scheduler.At("readable", FromMicros(1), "count"));
  {  // as a newer program would have written it
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(urls.store.c_str()), PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> changed(
        PQexec(connection.get(),
               "UPDATE escapement.definitions d SET definition = definition || '{\"moon_phase\": \"full\"}' "
               "FROM escapement.jobs j WHERE j.key = d.job AND j.id = 'from the future'"),
        PQclear);
    ASSERT_STREQ(PQcmdTuples(changed.get()), "1") << PQerrorMessage(connection.get());
  }
  ASSERT_TRUE(scheduler.Start());
  ASSERT_TRUE(Eventually([&] { return runs == 1; }));
  ASSERT_TRUE(scheduler.Every("later", {.interval = std::chrono::milliseconds(50)}, "count"));
  EXPECT_TRUE(Eventually([&] { return runs >= 3; })) << "it claims on";
  EXPECT_TRUE(scheduler.Stop(std::chrono::seconds(5)));
  const auto no_sink = [](std::string_view) -> Status { return {}; };
  const auto refused = scheduler.Export(no_sink);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_THAT(refused.error().message,
              testing::AllOf(testing::HasSubstr("'from the future'"), testing::HasSubstr("moon_phase")));
  const auto exported = scheduler.Export(no_sink, {.skip_unreadable = true});
  ASSERT_TRUE(exported) << exported.error().message;
  EXPECT_EQ(exported->jobs, 2);
  EXPECT_THAT(exported->skipped, testing::ElementsAre("from the future"));
  const auto audit = scheduler.AuditLedger({});
  ASSERT_TRUE(audit) << audit.error().message;
  EXPECT_TRUE(audit->Holds());
  EXPECT_EQ(audit->counts.jobs, 2);
  EXPECT_THAT(audit->unreadable, testing::ElementsAre("from the future"));
  const auto alone = scheduler.AuditLedger({.job_id = "from the future"});
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code, Code::kUnsupported);
}

TEST(SchedulerOnServers, TheAuditNamesWhatWasBrokenInTheLedger) {
  const Urls urls = EmptyServers();
  auto opened = Scheduler::Open({.store_url = urls.store, .locks_url = urls.locks, .pod_name = "pod"});
  ASSERT_TRUE(opened) << opened.error().message;
  Scheduler& scheduler = **opened;
  ASSERT_TRUE(scheduler.Migrate());
  scheduler.Handle("work", [](const RunContext&) -> Status { return {}; });
  ASSERT_TRUE(scheduler.Start());
  ASSERT_TRUE(scheduler.Every("a", {.interval = std::chrono::milliseconds(10)}, "work"));
  ASSERT_TRUE(scheduler.Every("b", {.interval = std::chrono::milliseconds(20)}, "work"));
  ASSERT_TRUE(Eventually([&] {
    auto audit = scheduler.AuditLedger({});  // while the pod runs
    EXPECT_TRUE(audit && audit->Holds());
    return !audit || !audit->Holds() || audit->counts.expected > 60;
  }));
  ASSERT_TRUE(scheduler.Stop(std::chrono::seconds(5)));

  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(urls.store.c_str()), PQfinish);
  const auto ask = [&](const std::string& sql) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> done(PQexec(connection.get(), sql.c_str()), PQclear);
    EXPECT_EQ(PQresultStatus(done.get()), PGRES_TUPLES_OK) << PQerrorMessage(connection.get());
    EXPECT_EQ(PQntuples(done.get()), 1) << sql;
    return PQntuples(done.get()) == 1 ? FromMicros(std::stoll(PQgetvalue(done.get(), 0, 0))) : Instant();
  };
  const std::string nth_of_a =
      " FROM escapement.runs r WHERE (r.job, r.fire_time) = (SELECT job, fire_time FROM escapement.runs WHERE settles "
      "= 1 "
      "AND job = (SELECT key FROM escapement.jobs WHERE id = 'a') ORDER BY fire_time OFFSET {} LIMIT 1)";
  const std::string micros = "(extract(epoch FROM {}) * 1000000)::bigint";
  const Instant lost = ask("DELETE" + fmt::format(fmt::runtime(nth_of_a), 5) + " RETURNING " +
                           fmt::format(fmt::runtime(micros), "fire_time"));
  const Instant twice = ask("INSERT INTO escapement.runs SELECT r.*" + fmt::format(fmt::runtime(nth_of_a), 10) +
                            " RETURNING " + fmt::format(fmt::runtime(micros), "fire_time"));
  const auto audit = scheduler.AuditLedger({});
  ASSERT_TRUE(audit) << audit.error().message;
  ASSERT_EQ(audit->named.size(), 2U);
  EXPECT_EQ(audit->breaches, 2);
  const Breach& missing = audit->named[0];
  EXPECT_EQ(std::tuple(missing.kind, missing.job_id, missing.first, missing.last),
            std::tuple(BreachKind::kMissing, std::string("a"), lost, lost));
  const Breach& doubled = audit->named[1];
  EXPECT_EQ(std::tuple(doubled.kind, doubled.job_id, doubled.first, doubled.last),
            std::tuple(BreachKind::kDoubled, std::string("a"), twice, twice));
  ASSERT_EQ(doubled.runs.size(), 2U);
  EXPECT_EQ(doubled.runs[1].pod, "pod");
  EXPECT_TRUE(scheduler.AuditLedger({.from = twice + Duration(1)})->Holds());
  EXPECT_TRUE(scheduler.AuditLedger({.job_id = "b"})->Holds());
}

TEST(SchedulerOnServers, OpeningTellsARefusalFromASilence) {
  const Urls urls = EmptyServers();
  const std::string wrong = "not-the-right-one";
  struct Case {
    std::string store, locks;
    Code expected;
  };
  const auto& postgres = g_servers->postgres();
  const auto& redis = g_servers->redis();
  constexpr int kNobodyListens = 1;
  const std::vector<Case> cases = {
      {g_servers->PostgresUrl(wrong, postgres.port(), "postgres"), urls.locks, Code::kInvalidArgument},
      {g_servers->PostgresUrl(postgres.password(), postgres.port(), "nowhere"), urls.locks, Code::kInvalidArgument},
      {g_servers->PostgresUrl(postgres.password(), kNobodyListens, "postgres"), urls.locks, Code::kUnavailable},
      {urls.store, fmt::format("redis://:{}@{}:{}", wrong, redis.host(), redis.port()), Code::kInvalidArgument},
      {urls.store, fmt::format("redis://:{}@{}:{}", redis.password(), redis.host(), kNobodyListens),
       Code::kUnavailable},
  };
  for (const Case& c : cases) {
    auto scheduler = Scheduler::Open({.store_url = c.store, .locks_url = c.locks, .pod_name = "pod"});
    ASSERT_FALSE(scheduler);
    EXPECT_EQ(scheduler.error().code, c.expected) << scheduler.error().message;
    for (const auto& secret : {wrong, postgres.password(), redis.password()}) {
      EXPECT_THAT(scheduler.error().message, testing::Not(testing::HasSubstr(secret)));
    }
  }
}

}  // namespace
}  // namespace escapement
