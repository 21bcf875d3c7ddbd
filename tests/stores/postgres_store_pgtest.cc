#include "stores/postgres/postgres_store.h"

#include <atomic>

#include <fmt/format.h>

#include "contract/notifier_contract.h"
#include "contract/store/unreadable.h"
#include "contract/store_contract.h"
#include "postgres/connection.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_notifier.h"
#include "stores/postgres/schema.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;

// One private server for the whole program.
PrivateServer* Server() {
  static const auto server = PrivateServer::Postgres({.durable = false});
  return server ? server->get() : nullptr;
}

std::string UrlOf(const std::string& database) {
  std::string url = Server()->url();
  return url.substr(0, url.rfind('/') + 1) + database;
}

// A database of its own for each test.
std::string FreshDatabase() {
  static std::atomic<int> count = 0;
  const std::string name = fmt::format("test_{}", ++count);
  Connection db(Server()->url(), "test");
  if (auto s = db.Run("CREATE DATABASE " + name); !s) throw std::runtime_error(s.error().message);
  return UrlOf(name);
}

std::unique_ptr<JobStoreFactory> FreshStore() {
  auto factory = PostgresStoreFactory::Create(FreshDatabase());
  if (!factory) throw std::runtime_error(factory.error().message);
  auto store = (*factory)->Open();
  if (!store) throw std::runtime_error(store.error().message);
  if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  return std::move(*factory);
}

INSTANTIATE_TEST_SUITE_P(Postgres, StoreContract, testing::Values(StoreUnderTest{"postgres", FreshStore}), StoreName);

NotifierUnderTest MakeNotifiers() {
  const std::string url = FreshDatabase();
  return {std::make_shared<PostgresNotifier>(url), std::make_shared<PostgresNotifier>(url), ""};
}
INSTANTIATE_TEST_SUITE_P(Postgres, NotifierContract, testing::Values(NotifierAdapter{"postgres", MakeNotifiers}),
                         NotifierAdapterName);

class PostgresTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(Server(), nullptr) << "no private PostgreSQL could be started"; }

  static std::int64_t Number(Connection& db, const char* sql) {
    const std::string name = fmt::format("q{}", std::hash<std::string_view>()(sql));
    auto rows = db.Execute(Query{names_.insert(name).first->c_str(), sql}, Params());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows ? rows->Int64(0, 0) : -1;
  }
  static inline std::set<std::string> names_;
};

TEST_F(PostgresTest, MigratesFromEveryEarlierVersion) {
  for (int from = 0; from <= postgres::SchemaVersion(); ++from) {
    Connection db(FreshDatabase(), "test");
    ASSERT_TRUE(postgres::Migrate(db, from));
    const Status before = postgres::CheckSchema(db);
    EXPECT_EQ(before.has_value(), from == postgres::SchemaVersion());
    ASSERT_TRUE(postgres::Migrate(db));
    EXPECT_TRUE(postgres::CheckSchema(db));
    ASSERT_TRUE(postgres::Migrate(db)) << "again changes nothing";
  }
}

TEST_F(PostgresTest, ManyMigrateAtOnce) {
  const std::string url = FreshDatabase();
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        Connection db(url, "test");
        if (postgres::Migrate(db)) ++good;
      });
    }
  }
  EXPECT_EQ(good, 4);
}

TEST_F(PostgresTest, RefusesAnAbsentAndANewerSchema) {
  Connection db(FreshDatabase(), "test");
  Status s = postgres::CheckSchema(db);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kConflict);
  EXPECT_NE(s.error().message.find("no schema yet"), std::string::npos);
  ASSERT_TRUE(postgres::Migrate(db));
  ASSERT_TRUE(db.Run("INSERT INTO escapement.migrations (version) VALUES (999)"));
  s = postgres::CheckSchema(db);
  ASSERT_FALSE(s);
  EXPECT_NE(s.error().message.find("newer"), std::string::npos);
  s = postgres::Migrate(db);
  ASSERT_FALSE(s);
  EXPECT_NE(s.error().message.find("newer"), std::string::npos);
}

TEST_F(PostgresTest, ErrorsNameTheServerAndNeverThePassword) {
  std::string url = Server()->url();
  const std::string password = Server()->password();
  url.replace(url.find(password), password.size(), "wr0ng-pass");
  Connection db(url, "test");
  const Status s = db.Connect();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kInvalidArgument);
  EXPECT_NE(s.error().message.find("password authentication failed"), std::string::npos) << s.error().message;
  EXPECT_EQ(s.error().message.find("wr0ng-pass"), std::string::npos);
  EXPECT_EQ(s.error().message.find('\n'), std::string::npos);
}

TEST_F(PostgresTest, AServerThatIsDownIsUnavailable) {
  Connection db("postgresql://postgres:secret@127.0.0.1:1/postgres", "test");
  const Status s = db.Connect();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kUnavailable);
  EXPECT_EQ(s.error().message.find("secret"), std::string::npos);
}

TEST_F(PostgresTest, AConnectionThatWasCutIsInDoubtAndThenHeals) {
  Connection db(FreshDatabase(), "test");
  const std::int64_t pid = Number(db, "SELECT pg_backend_pid()::bigint");
  Connection killer(Server()->url(), "test");
  std::jthread later([&] {
    // Once the sleep below is seen running.
    for (int i = 0; i < 1000; ++i) {
      if (Number(killer,
                 "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND wait_event = 'PgSleep'") >
          0)
        break;
    }
    (void)killer.Run(fmt::format("SELECT pg_terminate_backend({})", pid));
  });
  const Query sleep = {"sleep", "SELECT pg_sleep(30)::text"};
  const auto cut = db.Execute(sleep, Params());
  ASSERT_FALSE(cut);
  EXPECT_TRUE(cut.error().code == Code::kUnavailable || cut.error().code == Code::kInDoubt) << cut.error().message;
  EXPECT_NE(Number(db, "SELECT pg_backend_pid()::bigint"), pid);
}

TEST_F(PostgresTest, StickyCommitsStayWithinTheirPage) {
  auto factory = PostgresStoreFactory::Create(FreshDatabase());
  ASSERT_TRUE(factory);
  auto store = (*factory)->Open();
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->Migrate());
  const Instant start = *(*store)->Now();
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back({.id = fmt::format("job-{}", i),
                    .schedule = *Schedule::Every({.interval = std::chrono::seconds(1), .anchor = start}),
                    .task = "t"});
  }
  ASSERT_TRUE((*store)->Enqueue(jobs));
  const SessionId session = *(*store)->OpenSession({"pod", std::chrono::seconds(5)});
  auto claimed = (*store)->Claim({session, std::chrono::seconds(10), 1000, {"default"}});
  ASSERT_TRUE(claimed);
  ASSERT_EQ(claimed->jobs.size(), 100U);
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Completion> batch;
    for (ClaimedJob& job : claimed->jobs) {
      const Settlement s = Settle(*job.definition, job.present, {Verdict::kSucceeded, start, start, ""}, start);
      batch.push_back({job.key, job.fence, job.present.fire_time, 1, 1, s.run, s.next, true});
      job.present = Advance(job.present, s.next);
    }
    auto reply = (*store)->Commit(session, batch);
    ASSERT_TRUE(reply) << reply.error().message;
    for (const CommitAnswer& a : reply->answers) EXPECT_TRUE(a.outcome == CommitOutcome::kApplied && a.kept);
  }
  Connection db(Server()->url().substr(0, Server()->url().rfind('/') + 1) +
                    (*factory)->Name().substr((*factory)->Name().rfind('/') + 1),
                "test");
  (void)(*store).reset();  // its statistics are sent at the latest when it leaves
  std::int64_t updates = 0, hot = 0;
  for (int i = 0; i < 200 && updates < 100 * kRounds; ++i) {
    ASSERT_TRUE(db.Run("SELECT pg_stat_clear_snapshot()"));
    updates = Number(db, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'jobs'");
    hot = Number(db, "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jobs'");
  }
  EXPECT_GE(updates, 100 * kRounds);
  EXPECT_GE(static_cast<double>(hot), 0.9 * 100 * kRounds);
}

TEST_F(PostgresTest, AnUnreadableJobSpoilsNoList) {
  const std::string url = FreshDatabase();
  auto factory = PostgresStoreFactory::Create(url);
  ASSERT_TRUE(factory);
  auto store = (*factory)->Open();
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->Migrate());
  ExpectThatAnUnreadableJobSpoilsNoList(**store, [&](const std::string& id) {
    Connection db(url, "test");
    ASSERT_TRUE(
        db.Run(fmt::format("UPDATE escapement.definitions d SET definition = '{}' FROM escapement.jobs j "
                           "WHERE d.job = j.key AND j.id = '{}'",
                           kFutureDefinition, id)));
  });
}

TEST_F(PostgresTest, HistoryDaysAreMadeAheadAndOldOnesDropped) {
  const std::string url = FreshDatabase();
  auto factory = PostgresStoreFactory::Create(url);
  ASSERT_TRUE(factory);
  auto store = (*factory)->Open();
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->Migrate());
  Connection db(url, "test");
  const char* count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'escapement.runs'::regclass";
  EXPECT_EQ(Number(db, count), 9);  // yesterday to a week ahead
  ASSERT_TRUE(
      db.Run("CREATE TABLE escapement.runs_20200101 PARTITION OF escapement.runs FOR VALUES FROM ('2020-01-01') TO "
             "('2020-01-02')"));
  ASSERT_TRUE(db.Run("DROP TABLE " + [&] {
    const Query last = {
        "last", "SELECT max(c.relname::text) FROM pg_class c WHERE c.relname LIKE 'runs_2%' AND c.relname !~ 'job'"};
    auto rows = db.Execute(last, Params());
    return "escapement." + std::string(rows->Text(0, 0));
  }()));
  const Status s = (*store)->Maintain({.history_days = 7});
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(Number(db, count), 9);
  EXPECT_EQ(Number(db, "SELECT count(*) FROM pg_class WHERE relname = 'runs_20200101'"), 0);
}

TEST_F(PostgresTest, CommitsMakeTheDaysPartitionWhenNobodyDid) {
  const std::string url = FreshDatabase();
  auto factory = PostgresStoreFactory::Create(url);
  auto store = (*factory)->Open();
  ASSERT_TRUE((*store)->Migrate());
  Connection db(url, "test");
  ASSERT_TRUE(db.Run(
      "DO $$ DECLARE n text; BEGIN FOR n IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
      "WHERE i.inhparent = 'escapement.runs'::regclass LOOP EXECUTE 'DROP TABLE escapement.' || n; END LOOP; END $$"));
  const Instant now = *(*store)->Now();
  ASSERT_TRUE((*store)->Enqueue({{.id = "a", .schedule = *Schedule::At(now), .task = "t"}}));
  const SessionId session = *(*store)->OpenSession({"pod", std::chrono::seconds(5)});
  const auto claimed = (*store)->Claim({session, std::chrono::seconds(1), 1, {"default"}});
  ASSERT_TRUE(claimed && claimed->jobs.size() == 1);
  const ClaimedJob& job = claimed->jobs[0];
  const Settlement s = Settle(*job.definition, job.present, {}, now);
  const auto reply =
      (*store)->Commit(session, {{job.key, job.fence, job.present.fire_time, 1, 1, s.run, s.next, false}});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->answers[0].outcome, CommitOutcome::kApplied);
}

TEST_F(PostgresTest, AnEndedSessionsLeftoversAreSweptByMaintenance) {
  const std::string url = FreshDatabase();
  auto factory = PostgresStoreFactory::Create(url);
  auto store = (*factory)->Open();
  ASSERT_TRUE((*store)->Migrate());
  ASSERT_TRUE((*store)->Enqueue(
      {{.id = "a", .schedule = *Schedule::Every({.interval = std::chrono::seconds(1)}), .task = "t"}}));
  const SessionId session = *(*store)->OpenSession({"pod", std::chrono::seconds(5)});
  ASSERT_EQ((*store)->Claim({session, std::chrono::seconds(10), 1, {"default"}})->jobs.size(), 1U);
  Connection db(url, "test");
  ASSERT_TRUE(db.Run("UPDATE escapement.sessions SET ended_at = now()"));  // as if its reclaimer had died half-way
  ASSERT_TRUE((*store)->Maintain({}));
  EXPECT_EQ((*store)->Get("a")->owner_pod, std::nullopt);
}

}  // namespace
}  // namespace escapement
