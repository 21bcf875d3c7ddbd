// Jobs added in SQL, inside the user's own transaction: escapement.enqueue.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include <nlohmann/json.hpp>

#include "job/definition_json.h"
#include "job/queue_key.h"
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
                                "at 2999-01-01T00:00:00Z",
                                "delay 10m",
                                "manual"};
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
    const bool own_grid =
        text.find("anchor") == std::string::npos && (text.starts_with("every") || text.starts_with("delay"));
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

// Every member of a definition is an option of the same name.
TEST_F(PostgresEnqueue, TakesWhateverALibraryJobCanBeTold) {
  using namespace std::chrono_literals;
  ASSERT_EQ(Enqueue("next", "manual"), "created");
  JobDefinition job{.id = "job", .schedule = *Schedule::Parse("every 1h"), .task = "work", .payload = "p"};
  job.queue = "q";
  job.label = "gpu";
  job.metadata = {{"tenant", "acme"}, {"empty", ""}};
  job.priority = 3;
  job.late = LatePolicy::kRunAll;
  job.late_limit = 7;
  job.late_threshold = 0s;
  job.delivery = Delivery::kAtMostOnce;
  job.retry = {.max_attempts = 4, .delay = 2s, .factor = 1.5, .max_delay = 1min};
  job.retry.delays = {1s, 10s};
  job.retry.jitter = 0.25;
  job.retry.on = RetryOn::kFailed;
  job.timeout = 5s;
  job.deadline = 50min;
  job.lost_limit = 2;
  job.jitter = 1min;
  job.flex = 20min;
  job.overlap = Overlap::kReplace;
  job.pause_after = 6;
  job.on_success = job.on_failure = {"next"};
  job.on_end = {"next"};
  job.limits = {{.key = "db", .slots = 3}, {.key = "disk", .slots = 1}};
  job.rates = {{.key = "api", .starts = 10, .per = 1min}};
  job.unique = "key";
  job.unique_for = 1h;
  const auto options = [&] {
    auto members = nlohmann::json::parse(DefinitionToJson(job));
    for (const char* argument : {"schedule", "task", "payload"}) members.erase(argument);
    return members;
  };
  EXPECT_EQ(options().size(), 29U) << "a member that a definition has, and this test does not";
  ASSERT_EQ(Enqueue("job", "every 1h", options().dump(), "p"), "created");
  EXPECT_TRUE(store_->Get("job")->definition == job);
  EXPECT_EQ(store_->Enqueue({job})->at(0), EnqueueOutcome::kUnchanged);
  job.label = "arm";
  ASSERT_EQ(Enqueue("job", "every 1h", options().dump(), "p"), "updated");
  EXPECT_TRUE(store_->Get("job")->definition == job);
  const SessionId session = *store_->OpenSession({"pod", 5s});
  const auto claim = [&] { return store_->Claim({session, 24h, 10, {QueueKey(job)}})->jobs.size(); };
  EXPECT_EQ(claim(), 1U) << "where pods with that label look";

  // Written as the library does, however it was given.
  ASSERT_EQ(
      Enqueue("plain", "every 1h", R"({"label": "", "metadata": {}, "retry_delays_us": [], "on_end": [], "rates": {},
      "limits": {}, "unique": "", "unique_for_us": 0.0, "retry_factor": 2.0, "overlap": "wait", "late": "run_once"})"),
      "created");
  const JobDefinition plain{.id = "plain", .schedule = *Schedule::Parse("every 1h"), .task = "work"};
  EXPECT_EQ(store_->Enqueue({plain})->at(0), EnqueueOutcome::kUnchanged);
  ASSERT_EQ(Enqueue("whole", "every 1h", R"({"retry_delays_us": [1.0, 2e3], "limits": {"a": 2.0},
      "rates": {"b": {"starts": 1.0, "per_us": 1e6}}})"),
            "created");
  EXPECT_EQ(store_->Get("whole")->definition.retry.delays, (std::vector<Duration>{1us, 2ms}));
  EXPECT_EQ(store_->Get("whole")->definition.rates.at(0).per, 1s);
}

TEST_F(PostgresEnqueue, RefusesOptionsThatTheLibraryCannotRead) {
  const std::string name(201, 'n');
  const std::string metadata = [] {
    nlohmann::json many;
    for (int i = 0; i < 51; ++i) many[std::to_string(i)] = "";
    return many.dump();
  }();
  const std::string delays = nlohmann::json(std::vector<int>(101, 1)).dump();
  const std::string followers = nlohmann::json(std::vector<std::string>(21, "there")).dump();
  ASSERT_EQ(Enqueue("there", "manual"), "created");
  struct Bad {
    std::string option;
    std::string value;
    std::string schedule = "every 1m";
  };
  const std::vector<Bad> bad = {
      {"label", R"("a\u001fb")"},
      {"label", "7"},
      {"label", '"' + name + '"'},
      {"unique", '"' + name + '"'},
      {"unique", "null"},
      {"unique", R"("a\nb")"},
      {"unique_for_us", "1"},
      {"unique_for_us", "-1"},
      {"unique_for_us", R"("1h")"},
      {"metadata", "[]"},
      {"metadata", R"({"a": 1})"},
      {"metadata", R"({"": "a"})"},
      {"metadata", R"({"a": ")" + std::string(1001, 'x') + "\"}"},
      {"metadata", metadata},
      {"retry_delays_us", "1"},
      {"retry_delays_us", "[1.5]"},
      {"retry_delays_us", "[-1]"},
      {"retry_delays_us", R"(["1"])"},
      {"retry_delays_us", delays},
      {"retry_jitter", "1.01"},
      {"retry_jitter", "-0.1"},
      {"retry_jitter", R"("0.5")"},
      {"retry_on", R"("monday")"},
      {"deadline_us", "0.5"},
      {"pause_after", "10001"},
      {"jitter_us", "60000001"},
      {"flex_us", "60000001"},
      {"overlap", R"("fight")"},
      {"overlap", R"("replace")", "delay 1m"},
      {"overlap", R"("allow")", "delay 1m"},
      {"on_success", R"("there")"},
      {"on_success", "[1]"},
      {"on_failure", R"([""])"},
      {"on_end", R"(["bad"])"},
      {"on_end", followers},
      {"limits", R"({"a": 0})"},
      {"limits", R"({"a": 10001})"},
      {"limits", R"({"": 1})"},
      {"limits", R"({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})"},
      {"limits", "[1]"},
      {"rates", R"({"a": 1})"},
      {"rates", R"({"a": {"starts": 1}})"},
      {"rates", R"({"a": {"starts": 0, "per_us": 1000000}})"},
      {"rates", R"({"a": {"starts": 1, "per_us": 99999}})"},
      {"rates", R"({"a": {"starts": 1, "per_us": 1000000, "more": 1}})"},
  };
  for (const auto& [option, value, schedule] : bad) {
    const std::string options = "{\"" + option + "\": " + value + "}";
    SCOPED_TRACE(options.substr(0, 200));
    EXPECT_THAT(Enqueue("bad", schedule, options),
                testing::AllOf(testing::HasSubstr("escapement: job 'bad'"), testing::HasSubstr(option)));
    EXPECT_FALSE(DefinitionFromJson(
        "bad", R"({"task": "work", "schedule": ")" + schedule + "\", \"" + option + "\": " + value + "}"))
        << "the library would take it";
  }
  EXPECT_THAT(Enqueue("bad", "every 1m", R"({"overlap": "allow", "pause_after": 1})"),
              testing::HasSubstr("pause_after"));
  EXPECT_THAT(Enqueue("bad", "every 1m", R"({"flex_us": 9, "jitter_us": 1, "deadline_us": 10})"),
              testing::HasSubstr("deadline_us"));
  EXPECT_THAT(Enqueue("bad", "manual again"), testing::HasSubstr("schedule"));
  EXPECT_THAT(Enqueue("bad", "delay 1m phase=1s"), testing::HasSubstr("schedule"));
  EXPECT_EQ(store_->List({})->size(), 1U);
}

TEST_F(PostgresEnqueue, RefusesFollowersThatAreNotThereAndCircles) {
  EXPECT_THAT(Enqueue("a", "manual", R"({"on_success": ["b"]})"), testing::HasSubstr("'b', which is not there"));
  ASSERT_EQ(Enqueue("a", "manual"), "created");
  ASSERT_EQ(Enqueue("b", "manual", R"({"on_failure": ["a"]})"), "created");
  ASSERT_EQ(Enqueue("c", "manual", R"({"on_end": ["b", "a"]})"), "created");
  EXPECT_THAT(Enqueue("a", "manual", R"({"on_success": ["c"]})"), testing::HasSubstr("in a circle"));
  EXPECT_EQ(store_->Get("a")->version, 1);
}

TEST_F(PostgresEnqueue, AUniqueKeyIsHeldByOneJobAtATime) {
  ASSERT_EQ(Enqueue("a", "every 1h", R"({"unique": "key", "unique_for_us": 3600000000})"), "created");
  EXPECT_EQ(Enqueue("b", "every 1h", R"({"unique": "key"})"), "held");
  EXPECT_EQ(store_->Get("b").error().code, Code::kNotFound);
  JobDefinition job{.id = "c", .schedule = *Schedule::Parse("every 1h"), .task = "work"};
  job.unique = "key";
  EXPECT_EQ(store_->Enqueue({job})->at(0), EnqueueOutcome::kHeld) << "whoever asks";
  ASSERT_TRUE(store_->Remove("a"));
  EXPECT_EQ(Enqueue("b", "every 1h", R"({"unique": "key"})"), "held") << "its window";
  job.unique = "other";
  ASSERT_EQ(store_->Enqueue({job})->at(0), EnqueueOutcome::kCreated);
  EXPECT_EQ(Enqueue("b", "every 1h", R"({"unique": "other"})"), "held");
  ASSERT_EQ(Enqueue("b", "every 1h"), "created");
  EXPECT_EQ(Enqueue("b", "every 2h", R"({"unique": "other"})"), "held");
  EXPECT_EQ(store_->Get("b")->version, 1);
}

TEST_F(PostgresEnqueue, UpkeepDropsWhatSaysWhoHadAKey) {
  for (int i = 0; i < 2001; ++i) {  // more than upkeep looks at in one step
    ASSERT_EQ(Enqueue("job", "every 1h", fmt::format(R"({{"unique": "{:04}"}})", i)), i == 0 ? "created" : "updated");
  }
  ASSERT_EQ(Enqueue("window", "every 1h", R"({"unique": "0000", "unique_for_us": 3600000000})"), "created");
  ASSERT_TRUE(store_->Remove("window"));
  ASSERT_TRUE(store_->Maintain({}));
  auto left =
      user_->Execute({"left", "SELECT string_agg(key, ' ' ORDER BY key) FROM escapement.unique_keys"}, Params());
  ASSERT_TRUE(left);
  EXPECT_EQ(left->Text(0, 0), "0000 2000");
}

TEST_F(PostgresEnqueue, WhoWantsAKeyWaitsForTheTransactionThatTookIt) {
  constexpr Query kBlocked = {"blocked",
                              "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() "
                              "AND wait_event_type = 'Lock'"};
  Connection watcher(url_, "watcher");
  for (const bool was_there : {false, true}) {
    for (const bool committed : {true, false}) {
      const std::string key = fmt::format("{} {}", was_there, committed);
      const std::string options = R"({"unique": ")" + key + "\"}";
      if (was_there) {  // and nobody holds it any more
        ASSERT_EQ(Enqueue("before " + key, "every 1h", options), "created");
        ASSERT_TRUE(store_->Remove("before " + key));
      }
      ASSERT_TRUE(user_->Run("BEGIN"));
      ASSERT_EQ(Enqueue("user's " + key, "every 1h", options), "created");
      auto other = std::async(std::launch::async, [&] {
        JobDefinition job{.id = "other's " + key, .schedule = *Schedule::Parse("every 1h"), .task = "work"};
        job.unique = key;
        return store_->Enqueue({job});
      });
      bool blocked = false;
      for (int i = 0; i < 100'000 && !blocked; ++i) blocked = watcher.Execute(kBlocked, Params())->Bool(0, 0);
      EXPECT_TRUE(blocked);
      ASSERT_TRUE(user_->Run(committed ? "COMMIT" : "ROLLBACK"));
      const auto outcomes = other.get();
      ASSERT_TRUE(outcomes) << outcomes.error().message;
      EXPECT_EQ(outcomes->at(0), committed ? EnqueueOutcome::kHeld : EnqueueOutcome::kCreated) << key;
    }
  }
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
