#include <memory>

#include "tests/scheduler/scheduler_suite.h"
#include "tests/stores/sqlite_directory.h"

#include <future>

#include "escapement/process.h"

namespace escapement {
namespace {

Urls EmptyMemory() {
  static int number = 0;
  const std::string name = "memory:" + std::to_string(++number);
  return {name, name};
}

INSTANTIATE_TEST_SUITE_P(Memory, SchedulerSuite, testing::Values(&EmptyMemory));

// A file of its own for each test, removed with the program's end. Locks and wake-ups are the store's own.
Urls EmptySqlite() {
  static std::vector<std::unique_ptr<SqliteDirectory>> directories;
  directories.push_back(std::make_unique<SqliteDirectory>());
  return {"sqlite:" + directories.back()->path("jobs.db"), ""};
}

INSTANTIATE_TEST_SUITE_P(Sqlite, SchedulerSuite, testing::Values(&EmptySqlite));

std::string RefusalOf(SchedulerOptions options) {
  auto scheduler = Scheduler::Open(std::move(options));
  if (scheduler) return "";
  EXPECT_EQ(scheduler.error().code, Code::kInvalidArgument) << scheduler.error().message;
  return scheduler.error().message;
}

TEST(SchedulerOpen, RefusesUrlsThatCannotBeRightAndKeepsTheirPasswords) {
  for (const char* url :
       {"", "mysql://u:secret@h/d", "sqlite::memory:", "sqlite://host/file", "sqlite:/nowhere/at/all/jobs.db",
        "postgres:", "postgresql://u:secret@h:port/d", "postgresql://u:secret@[::1/d",
        "postgresql://u:secret@h/d?nonsense=1", "u:secret@h", "postgresql://u:sec%zzret@h/d"}) {
    const std::string why = RefusalOf({.store_url = url, .pod_name = "pod"});
    EXPECT_NE(why, "") << url;
    EXPECT_THAT(why, testing::Not(testing::HasSubstr("secret"))) << url;
    EXPECT_THAT(why, testing::Not(testing::HasSubstr("zzret"))) << url;
  }
  for (const char* url : {"redis:", "redis://:secret@", "redis://:secret@h:port/0", "redis://:secret@h:1/x",
                          "http://:secret@h", "redis://:sec%zzret@h"}) {
    const std::string why = RefusalOf({.store_url = "memory:", .locks_url = url, .pod_name = "pod"});
    EXPECT_NE(why, "") << url;
    EXPECT_THAT(why, testing::Not(testing::HasSubstr("secret"))) << url;
    EXPECT_THAT(why, testing::Not(testing::HasSubstr("zzret"))) << url;
  }
}

TEST(SchedulerOpen, AnSqliteFileHasLocksOfItsOwnOrTakesOthers) {
  const SqliteDirectory directory;
  const std::string sqlite = "sqlite:" + directory.path("jobs.db");
  for (const std::string& locks : {std::string(), sqlite, std::string("memory:")}) {
    EXPECT_EQ(RefusalOf({.store_url = sqlite, .locks_url = locks, .pod_name = "pod"}), "") << locks;
  }
}

TEST(SchedulerOpen, RefusesOptionsThatCannotBeRightAndNamesThem) {
  const SchedulerOptions good{.store_url = "memory:", .pod_name = "pod"};
  EXPECT_EQ(RefusalOf(good), "");
  const auto with = [&](auto change) {
    SchedulerOptions options = good;
    change(options);
    return RefusalOf(options);
  };
  using testing::HasSubstr;
  EXPECT_THAT(with([](auto& o) { o.max_running = 0; }), HasSubstr("max_running"));
  EXPECT_THAT(with([](auto& o) { o.threads = 0; }), HasSubstr("threads"));
  EXPECT_THAT(with([](auto& o) { o.queues = {}; }), HasSubstr("queues"));
  EXPECT_THAT(with([](auto& o) { o.heartbeat = Duration(0); }), HasSubstr("heartbeat"));
  EXPECT_THAT(with([](auto& o) { o.session_ttl = o.heartbeat; }), HasSubstr("session_ttl"));
  EXPECT_THAT(with([](auto& o) { o.horizon = Duration(0); }), HasSubstr("horizon"));
  EXPECT_THAT(with([](auto& o) { o.commit_linger = Duration(-1); }), HasSubstr("commit_linger"));
  EXPECT_THAT(with([](auto& o) { o.outbox_limit = 0; }), HasSubstr("outbox_limit"));
  EXPECT_THAT(with([](auto& o) { o.history_days = 0; }), HasSubstr("history_days"));
}

TEST(SchedulerProcesses, ACommandIsAJobAndItsOutputIsInTheHistory) {
  const Urls urls = EmptyMemory();
  auto opened = Scheduler::Open({.store_url = urls.store, .locks_url = urls.locks, .pod_name = "pod"});
  ASSERT_TRUE(opened) << opened.error().message;
  Scheduler& scheduler = **opened;
  ASSERT_TRUE(scheduler.Migrate());
  ASSERT_TRUE(scheduler.HandleProcesses());
  ASSERT_TRUE(scheduler.HandleProcesses());
  std::promise<RunReport> reported;
  scheduler.OnFailure([&](const RunReport& report) { reported.set_value(report); });
  const Schedule now = *Schedule::At(*scheduler.StoreTime());
  ASSERT_TRUE(scheduler.Enqueue({ProcessJob("greeting", now, {.argv = {"sh", "-c", "echo hello; exit 7"}})}));
  ASSERT_TRUE(scheduler.Start());
  auto future = reported.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(60)), std::future_status::ready);
  const RunReport report = future.get();
  EXPECT_EQ(report.error, "exit status 7");
  EXPECT_EQ(report.output, "hello\n");
  ASSERT_TRUE(scheduler.Stop(std::chrono::seconds(10)));
  const auto runs = scheduler.Runs({.job_id = "greeting"});
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 1U);
  EXPECT_EQ(runs->front().verdict, Verdict::kFailed);
  EXPECT_EQ(runs->front().output, "hello\n");
}

}  // namespace
}  // namespace escapement
