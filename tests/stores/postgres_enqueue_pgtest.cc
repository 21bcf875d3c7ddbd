// Jobs added in SQL, inside the user's own transaction: escapement.enqueue.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/connection.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_notifier.h"
#include "stores/postgres/postgres_store.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;

class PostgresEnqueue : public testing::Test {
 protected:
  void SetUp() override {
    static const auto server = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(server) << "no private PostgreSQL could be started";
    url_ = (*server)->url();
    static int count = 0;
    const std::string name = fmt::format("enqueue_{}", ++count);
    ASSERT_TRUE(Connection(url_, "test").Run("CREATE DATABASE " + name));
    url_ = url_.substr(0, url_.rfind('/') + 1) + name;
    store_ = *(*PostgresStoreFactory::Create(url_))->Open();
    ASSERT_TRUE(store_->Migrate());
    user_ = std::make_unique<Connection>(url_, "user");
  }

  // What escapement.enqueue gives, or its error.
  std::string Enqueue(const std::string& id, const std::string& schedule, const std::string& options = "{}",
                      const std::string& payload = "") {
    constexpr Query kEnqueue = {"enqueue", "SELECT escapement.enqueue($1, $2, 'work', $3, $4::text::jsonb)"};
    auto rows = user_->Execute(kEnqueue, Params().Add(id).Add(schedule).Add(payload).Add(options));
    return rows ? std::string(rows->Text(0, 0)) : rows.error().message;
  }

  std::string url_;
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<Connection> user_;
};

TEST_F(PostgresEnqueue, IsPartOfTheUsersTransaction) {
  ASSERT_TRUE(user_->Run("BEGIN"));
  EXPECT_EQ(Enqueue("a", "every 1h"), "created");
  EXPECT_EQ(store_->Get("a").error().code, Code::kNotFound) << "not committed";
  ASSERT_TRUE(user_->Run("ROLLBACK"));
  EXPECT_EQ(store_->Get("a").error().code, Code::kNotFound);
  ASSERT_TRUE(user_->Run("BEGIN"));
  EXPECT_EQ(Enqueue("a", "every 1h"), "created");
  ASSERT_TRUE(user_->Run("COMMIT"));
  EXPECT_TRUE(store_->Get("a"));
}

TEST_F(PostgresEnqueue, MakesTheSameJobsAsTheLibrary) {
  const std::string kTexts[] = {"every 1h",
                                "every 1h30m",
                                "every 250ms",
                                "every 1d anchor=2020-01-01T00:00:00Z",
                                "every 7s anchor=2020-01-01T00:00:00Z phase=10ms",
                                "every 1h anchor=2020-01-01T00:00:00Z end=2020-02-01T00:00:00Z",
                                "every 2w phase=1d",
                                "every 1h anchor=2999-01-01T00:00:00Z",
                                "at 2020-01-01T00:00:00Z",
                                "at 2999-01-01T00:00:00Z"};
  for (const std::string& text : kTexts) {
    SCOPED_TRACE(text);
    ASSERT_EQ(Enqueue("sql " + text, text, R"({"priority": 3, "queue": "q", "timeout_us": 5000000})", "p"), "created");
    JobDefinition job{.id = "lib " + text, .schedule = *Schedule::Parse(text), .task = "work", .payload = "p"};
    job.priority = 3;
    job.queue = "q";
    job.timeout = std::chrono::seconds(5);
    ASSERT_TRUE(store_->Enqueue({job}));
    const JobInfo a = *store_->Get("sql " + text);
    const JobInfo b = *store_->Get(job.id);
    job.id = "sql " + text;
    EXPECT_TRUE(a.definition == job);
    EXPECT_EQ(a.state, b.state);
    // An interval without an anchor begins with the creation of each.
    const bool own_grid = text.find("anchor") == std::string::npos && text.starts_with("every");
    ASSERT_EQ(a.fire_time.has_value(), b.fire_time.has_value());
    if (a.fire_time) {
      EXPECT_EQ(*a.fire_time - (own_grid ? a.created_at : Instant()),
                *b.fire_time - (own_grid ? b.created_at : Instant()));
    }
    EXPECT_EQ(store_->Enqueue({job})->at(0), EnqueueOutcome::kUnchanged);
    EXPECT_EQ(Enqueue(job.id, text, R"({"priority": 3, "queue": "q", "timeout_us": 5000000, "lost_limit": 5})", "p"),
              "unchanged");
  }
  EXPECT_EQ(Enqueue("sql every 1h", "every 2h"), "updated");
  EXPECT_EQ(Enqueue("whole", "every 1h", R"({"max_attempts": 3.0})"), "created");
  EXPECT_EQ(store_->Get("whole")->definition.retry.max_attempts, 3);
  EXPECT_EQ(store_->Get("sql every 1h")->version, 2);
}

TEST_F(PostgresEnqueue, ItsJobsRunAndKeepTheLaw) {
  ASSERT_EQ(Enqueue("a", "every 1m anchor=2020-01-01T00:00:00Z"), "created");
  const Instant now = *store_->Now();
  const SessionId session = *store_->OpenSession({"pod", std::chrono::seconds(5)});
  const auto claimed = store_->Claim({session, std::chrono::hours(1), 10, {"default"}});
  ASSERT_TRUE(claimed);
  ASSERT_EQ(claimed->jobs.size(), 1U);
  const ClaimedJob& job = claimed->jobs[0];
  EXPECT_FALSE(job.present.to_plan);
  const Settlement s = Settle(*job.definition, job.present, {}, job.present.fire_time);
  ASSERT_EQ(store_->Commit(session, {{job.key, job.fence, job.present.fire_time, 1, 1, s.run, s.next, false}})
                ->answers[0]
                .outcome,
            CommitOutcome::kApplied);
  const Audit audit = *store_->AuditWindow("a", now, job.present.fire_time + Duration(1));
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(PostgresEnqueue, RefusesWhatTheLibraryRefuses) {
  for (const char* schedule : {"",
                               "every",
                               "every 5",
                               "every 0s",
                               "every 1us",
                               "every -1s",
                               "every 1s phase=1s",
                               "every 1s phase=x",
                               "every 1s anchor=yesterday",
                               "every 1s anchor=2020-01-01T00:00:00",
                               "every 1s end=2020-13-01T00:00:00Z",
                               "every 1s anchor=2020-01-02T00:00:00Z end=2020-01-01T00:00:00Z",
                               "every 1s every=1",
                               "every 1m phase=0s phase=5s",
                               "at 2026-01-01T24:00:00Z",
                               "at 2026-01-01T10:00:60Z",
                               "every 600w",
                               "at",
                               "at noon",
                               "at 2020-01-01T00:00:00Z again",
                               "sometimes",
                               "every 1s anchor=2020-01-01T00:00:00Z anchor=2020-01-01T00:00:00Z"}) {
    EXPECT_THAT(Enqueue("bad", schedule), testing::HasSubstr("schedule")) << schedule;
    EXPECT_FALSE(Schedule::Parse(schedule)) << schedule;
  }
  for (const char* options : {R"([])", R"({"priority": 11})", R"({"priority": 1.5})", R"({"priority": "1"})",
                              R"({"unknown": 1})", R"({"late": "soon"})", R"({"queue": ""})", R"({"queue": 1})",
                              R"({"retry_factor": 0.5})", R"({"max_attempts": 0})", R"({"timeout_us": -1})"}) {
    EXPECT_THAT(Enqueue("bad", "every 1s", options), testing::HasSubstr("escapement:")) << options;
  }
  EXPECT_THAT(Enqueue("", "every 1s"), testing::HasSubstr("id"));
  EXPECT_THAT(Enqueue("a\x01", "every 1s"), testing::HasSubstr("id"));
  EXPECT_THAT(Enqueue(std::string(201, 'x'), "every 1s"), testing::HasSubstr("id"));
  EXPECT_THAT(Enqueue("bad", "every 1s", "{}", std::string((1 << 20) + 1, 'x')), testing::HasSubstr("payload"));
  EXPECT_TRUE(store_->List({})->empty());
}

TEST_F(PostgresEnqueue, WakesPodsWhenItIsCommitted) {
  PostgresNotifier notifier(url_);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> heard;
  auto subscription = notifier.Subscribe("wake", [&](const std::string& text) {
    const std::lock_guard lock(mutex);
    heard.push_back(text);
    changed.notify_all();
  });
  ASSERT_TRUE(subscription);
  const auto hear = [&](std::size_t n) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), [&] { return heard.size() >= n; });
  };
  ASSERT_TRUE(hear(1)) << "it listens";
  ASSERT_EQ(Enqueue("a", "every 1h"), "created");
  ASSERT_TRUE(hear(2));
  EXPECT_EQ(heard[1], "jobs");
}

}  // namespace
}  // namespace escapement
