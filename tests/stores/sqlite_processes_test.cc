// Several processes on one file.
#include <signal.h>

#include <span>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "servers/servers.h"
#include "sqlite/database.h"
#include "stores/sqlite/sqlite_store.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

constexpr int kJobs = 40;
constexpr int kPoints = 100;
constexpr int kWorkers = 4;
constexpr auto kPatience = std::chrono::seconds(120);

class SqliteProcesses : public testing::Test {
 protected:
  void SetUp() override {
    auto factory = SqliteStoreFactory::Create(url_);
    ASSERT_TRUE(factory) << factory.error().message;
    store_ = (*factory)->Open().value();
    ASSERT_TRUE(store_->Migrate());
    start_ = store_->Now().value() + std::chrono::minutes(1);
    end_ = start_ + kPoints * std::chrono::minutes(1);
    std::vector<JobDefinition> jobs;
    for (int i = 0; i < kJobs; ++i) {
      jobs.push_back(
          {.id = fmt::format("job-{}", i),
           .schedule = *Schedule::Every({.interval = std::chrono::minutes(1), .anchor = start_, .end = end_}),
           .task = "work"});
    }
    // Of a queue that nobody works for: until it is removed, the workers go on looking.
    jobs.push_back({.id = "gate", .schedule = *Schedule::At(start_), .task = "work", .queue = "nobody's"});
    ASSERT_TRUE(store_->Enqueue(jobs));
  }

  void WaitForTheEnd(std::span<const std::unique_ptr<ChildProcess>> workers) {
    ASSERT_TRUE(store_->Remove("gate"));
    for (const auto& worker : workers) EXPECT_EQ(worker->Wait(kPatience), 0);
  }

  std::unique_ptr<ChildProcess> StartWorker(const std::string& name) {
    auto worker = ChildProcess::Start({.argv = {SQLITE_WORKER, url_, name}});
    EXPECT_TRUE(worker) << worker.error().message;
    return worker ? std::move(*worker) : nullptr;
  }

  std::int64_t Settled() {
    std::int64_t settled = 0;
    const Audit audit = store_->AuditWindow("job-", start_, end_).value();
    for (const auto& [verdict, count] : audit.settled) settled += count;
    return settled;
  }
  void WaitUntilSettled(std::int64_t count) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (Settled() < count) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // As an observer that saw the dead pod's beat unchanged for its TTL.
  void Bury(const std::string& pod) {
    const SessionId observer = store_->OpenSession({.pod = "observer", .ttl = std::chrono::seconds(5)}).value();
    const BeatReply beat = store_->Beat({.session = observer}).value();
    for (const SessionView& view : beat.sessions) {
      if (view.pod != pod) continue;
      EXPECT_TRUE(store_->Reclaim(view.id, view.beat).value().ended);
    }
    EXPECT_TRUE(store_->EndSession(observer));
  }

  void ExpectAllSettledOnceAndTheFileWhole() {
    const Audit audit = store_->AuditWindow("job-", start_, end_).value();
    EXPECT_EQ(audit.expected, kJobs * kPoints);
    EXPECT_EQ(audit.missing, 0);
    EXPECT_EQ(audit.doubled, 0);
    EXPECT_EQ(store_->Stats()->jobs[JobState::kFinished], kJobs);
    auto db = sqlite::Database::Open({.path = directory_.path("jobs.db")});
    ASSERT_TRUE(db);
    sqlite::Transaction tx(**db, sqlite::Transaction::Kind::kRead);
    sqlite::Rows check = tx.Query("PRAGMA integrity_check");
    ASSERT_TRUE(check.Next());
    EXPECT_EQ(check.Text(0), "ok");
  }

  SqliteDirectory directory_;
  const std::string url_ = "sqlite:" + directory_.path("jobs.db");
  std::unique_ptr<JobStore> store_;
  Instant start_, end_;
};

TEST_F(SqliteProcesses, GiveNoJobToTwoAndSettleEachPointOnce) {
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(StartWorker(fmt::format("worker-{}", i)));
  WaitForTheEnd(workers);
  ExpectAllSettledOnceAndTheFileWhole();
}

TEST_F(SqliteProcesses, ThatAreKilledAtWorkLoseNothing) {
  constexpr int kDeaths = 6;
  std::vector<std::unique_ptr<ChildProcess>> workers;
  int started = 0;
  const auto name = [](int i) { return fmt::format("worker-{}", i); };
  for (; started < kWorkers; ++started) workers.push_back(StartWorker(name(started)));
  for (int death = 0; death < kDeaths; ++death) {
    WaitUntilSettled((death + 1) * kJobs * kPoints / (kDeaths + 2));
    ASSERT_TRUE(workers[static_cast<std::size_t>(death)]->Signal(SIGKILL));
    EXPECT_EQ(workers[static_cast<std::size_t>(death)]->Wait(kPatience), 128 + SIGKILL);
    Bury(name(death));
    workers.push_back(StartWorker(name(started++)));
  }
  WaitForTheEnd(std::span(workers).subspan(kDeaths));
  ExpectAllSettledOnceAndTheFileWhole();
}

// It waits for its turn and goes on, whatever the others do; a process that stands still in the middle of a write stops
// the rest until it goes on, and no longer.
TEST_F(SqliteProcesses, ThatStandStillHoldTheOthersUpOnlyUntilTheyGoOn) {
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(StartWorker(fmt::format("worker-{}", i)));
  for (int i = 1; i <= 20; ++i) {
    WaitUntilSettled(i * kJobs * kPoints / 40);
    ASSERT_TRUE(workers[0]->Signal(SIGSTOP));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(workers[0]->Signal(SIGCONT));
  }
  WaitForTheEnd(workers);
  ExpectAllSettledOnceAndTheFileWhole();
}

}  // namespace
}  // namespace escapement
