// Rolling upgrades: a program that knows only the schema before this one keeps working beside those that know this one.
// It is played by its queries, frozen in tests/stores/postgres_v1.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "job/definition_json.h"
#include "postgres/connection.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_store.h"
#include "stores/postgres/schema.h"
#include "tests/postgres_v1.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;
using postgres::Rows;
namespace v1 = postgres_v1;

class PostgresUpgrade : public testing::Test {
 protected:
  void SetUp() override {
    static const auto server = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(server) << "no private PostgreSQL could be started";
    url_ = (*server)->url();
    static int count = 0;
    const std::string name = fmt::format("upgrade_{}", ++count);
    ASSERT_TRUE(Connection(url_, "test").Run("CREATE DATABASE " + name));
    url_ = url_.substr(0, url_.rfind('/') + 1) + name;
    old_ = std::make_unique<Connection>(url_, "old pod");
    store_ = *(*PostgresStoreFactory::Create(url_))->Open();
  }

  Rows Old(const Query& query, const Params& params) {
    auto rows = old_->Execute(query, params);
    if (!rows) throw std::runtime_error(rows.error().message);
    return *std::move(rows);
  }
  std::int64_t OldSession() {
    return Old({"open", v1::kOpenSession}, Params().Add("old").Add(std::int64_t{5'000'000})).Int64(0, 0);
  }
  Rows OldClaim(std::int64_t session) {
    const std::string_view queue = "default";
    return Old({"claim", v1::kClaim}, Params()
                                          .Add(session)
                                          .Add(std::int64_t{86'400'000'000})
                                          .Add(std::int64_t{100})
                                          .AddArray<std::string_view>(1, [&](std::size_t) { return queue; }));
  }
  // What an old pod commits: the run of a claimed row, and the point after it.
  Rows OldCommit(std::int64_t session, const Rows& claimed, int row, std::optional<Instant> next, bool keep) {
    const Instant fire = claimed.Time(row, 7);
    Params p;
    p.Add(session);
    const auto one = [&p]<typename T>(std::optional<T> value) { p.AddArray<T>(1, [&](std::size_t) { return value; }); };
    one(std::optional(claimed.Int64(row, 1)));
    one(std::optional(claimed.Int64(row, 4)));
    one(std::optional(fire));
    one(std::optional(claimed.Int32(row, 9)));
    one(std::optional(claimed.Int32(row, 10)));
    one(std::optional(fire));
    one(next);
    one(std::optional(next.value_or(fire)));
    one(std::optional(std::int32_t{1}));
    one(std::optional(keep));
    one(std::optional(std::int16_t{1}));
    one(std::optional(std::int64_t{1}));
    one(std::optional(fire));
    one(std::optional(fire));
    one(std::optional(fire));
    one(std::optional(std::string_view("")));
    return Old({"commit", v1::kCommit}, p);
  }
  void OldEnqueue(const JobDefinition& job, Instant now) {
    const std::string text = DefinitionToJson(job);
    const Instant cursor = job.schedule.FirstCursor(now);
    Params p;
    const auto one = [&p]<typename T>(T value) { p.AddArray<T>(1, [&](std::size_t) { return std::optional(value); }); };
    one(std::string_view(job.id));
    one(std::string_view(text));
    one(std::string_view(job.queue));
    one(std::int16_t{0});
    one(job.schedule.Rate());
    one(cursor);
    one(*job.schedule.Next(cursor));
    p.Add(now);
    EXPECT_EQ(Old({"enqueue", v1::kEnqueue}, p).size(), 1);
  }

  std::string url_;
  std::unique_ptr<Connection> old_;
  std::unique_ptr<JobStore> store_;
};

JobDefinition Hourly(const std::string& id, Instant anchor) {
  return {
      .id = id, .schedule = *Schedule::Every({.interval = std::chrono::hours(1), .anchor = anchor}), .task = "work"};
}

TEST_F(PostgresUpgrade, AnOldPodWorksOnUnderTheNewSchema) {
  ASSERT_TRUE(postgres::Migrate(*old_, 1));
  const Instant now = *store_->Now();
  const Instant first = std::chrono::floor<std::chrono::seconds>(now) + std::chrono::minutes(5);
  const std::int64_t session = OldSession();
  OldEnqueue(Hourly("kept", first), now);
  const Rows before = OldClaim(session);
  ASSERT_EQ(before.size(), 1);

  ASSERT_TRUE(store_->Migrate());  // while it holds a job
  EXPECT_TRUE(postgres::CheckSchema(*old_, 1)) << "the new schema says that version 1 can work on it";
  const Rows done = OldCommit(session, before, 0, first + std::chrono::hours(1), /*keep=*/true);
  ASSERT_EQ(done.size(), 1);
  EXPECT_TRUE(done.Bool(0, 2)) << "kept";

  OldEnqueue(Hourly("added", first), now);
  OldEnqueue(Hourly("added", first + std::chrono::minutes(1)), now);  // a change
  const Rows added = OldClaim(session);
  ASSERT_EQ(added.size(), 1);
  EXPECT_EQ(added.Text(0, 2), "added");
  EXPECT_TRUE(added.Bool(0, 13)) << "to plan";
  EXPECT_EQ(Old({"beat", v1::kBeat}, Params().Add(session).Add(1.0).Add(std::int64_t{2})).size(), 1);
  EXPECT_GE(Old({"live", v1::kLiveSessions}, Params()).size(), 1);
  EXPECT_EQ(Old({"pause", v1::kPause}, Params().Add("added")).size(), 1);
  EXPECT_EQ(Old({"changed", v1::kChangedJobs}, Params().Add(session)).size(), 1);
  EXPECT_EQ(Old({"remove", v1::kRemove}, Params().Add("added")).size(), 1);

  // The new program sees what the old one did, and takes over when it dies.
  const auto runs = store_->Runs({.job_id = "kept"});
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 1U);
  EXPECT_EQ(runs->at(0).output, "");
  EXPECT_EQ(store_->Get("kept")->owner_pod, "old");
  std::int64_t beat = 0;
  const BeatReply seen = *store_->Beat({.session = *store_->OpenSession({"new", std::chrono::seconds(5)})});
  for (const SessionView& s : seen.sessions) {
    if (s.id == session) beat = s.beat;
  }
  EXPECT_TRUE(store_->Reclaim(session, beat)->ended);
  EXPECT_EQ(OldCommit(session, before, 0, std::nullopt, false).size(), 0) << "its session is over";
}

TEST_F(PostgresUpgrade, AnOldPodNeverMeetsWhatANewProgramTriggered) {
  ASSERT_TRUE(store_->Migrate());
  const Instant now = *store_->Now();
  ASSERT_TRUE(store_->Enqueue({Hourly("job", now + std::chrono::hours(48))}));
  ASSERT_TRUE(store_->Trigger("job", std::nullopt));
  const std::int64_t session = OldSession();
  const Rows claimed = OldClaim(session);
  ASSERT_EQ(claimed.size(), 1);
  EXPECT_TRUE(claimed.IsNull(0, 1)) << "nothing: it could not read the id";
  EXPECT_EQ(Old({"list", v1::kListJobs},
                Params().AddNull(postgres::kText).Add("%").AddNull(postgres::kInt4).Add(std::int64_t{10}))
                .size(),
            1);
  const SessionId young = *store_->OpenSession({"new", std::chrono::seconds(5)});
  EXPECT_EQ(store_->Claim({young, std::chrono::seconds(1), 10, {"default"}})->jobs.size(), 1U);
}

TEST_F(PostgresUpgrade, AnOldPodVoidsACompletionByMovingOn) {
  ASSERT_TRUE(store_->Migrate());
  const Instant now = *store_->Now();
  ASSERT_TRUE(store_->Enqueue({Hourly("job", now + std::chrono::minutes(5))}));
  const std::int64_t session = OldSession();
  const Rows claimed = OldClaim(session);
  ASSERT_EQ(claimed.size(), 1);
  ASSERT_TRUE(old_->Run("UPDATE escapement.jobs SET completed_fire = fire_time, completed_at = now()"));
  ASSERT_EQ(OldCommit(session, claimed, 0, claimed.Time(0, 7) + std::chrono::hours(1), /*keep=*/false).size(), 1);
  const SessionId young = *store_->OpenSession({"new", std::chrono::seconds(5)});
  const auto jobs = store_->Claim({young, std::chrono::hours(24), 10, {"default"}})->jobs;
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_FALSE(jobs[0].present.completed_at) << "the next occurrence is to run";
}

TEST_F(PostgresUpgrade, AProgramIsRefusedByASchemaThatNamesANewerOne) {
  ASSERT_TRUE(store_->Migrate());
  ASSERT_TRUE(old_->Run("INSERT INTO escapement.migrations (version, compatible_from) VALUES (998, 1)"));
  EXPECT_TRUE(postgres::CheckSchema(*old_));
  EXPECT_TRUE(store_->Migrate()) << "leaves it alone";
  ASSERT_TRUE(old_->Run("INSERT INTO escapement.migrations (version, compatible_from) VALUES (999, 998)"));
  const Status refused = postgres::CheckSchema(*old_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_NE(refused.error().message.find("newer"), std::string::npos);
  EXPECT_FALSE(store_->Migrate());
}

}  // namespace
}  // namespace escapement
