#include "locks/sqlite/sqlite_locks.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <future>

#include <gmock/gmock.h>

#include "contract/locks_contract.h"
#include "contract/notifier_contract.h"
#include "locks/sqlite/sqlite_notifier.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

// Adapters share the directory, which goes with the last of them.
template <typename Port, typename Adapter>
std::shared_ptr<Port> Within(const std::shared_ptr<SqliteDirectory>& directory,
                             Result<std::unique_ptr<Adapter>> adapter) {
  if (!adapter) throw std::runtime_error(adapter.error().message);
  return std::shared_ptr<Port>(adapter->release(), [directory](Adapter* p) { delete p; });
}

std::shared_ptr<Locks> LocksIn(const std::shared_ptr<SqliteDirectory>& directory, std::function<BootTime()> clock) {
  return Within<Locks>(directory, SqliteLocks::Create("sqlite:" + directory->path("jobs.db"), std::move(clock)));
}

LocksUnderTest RealTime() {
  const auto directory = std::make_shared<SqliteDirectory>();
  return {.one = LocksIn(directory, BootClock::now),
          .other = LocksIn(directory, BootClock::now),
          .pass = nullptr,
          .unavailable = ""};
}

LocksUnderTest ManualTime() {
  const auto directory = std::make_shared<SqliteDirectory>();
  const auto now = std::make_shared<std::atomic<std::int64_t>>(0);  // shared by the clocks and the test
  const auto clock = [now] { return BootTime(Duration(now->load())); };
  return {.one = LocksIn(directory, clock),
          .other = LocksIn(directory, clock),
          .pass = [now](Duration time) { *now += time.count(); },
          .unavailable = ""};
}

std::shared_ptr<Notifier> NotifierIn(const std::shared_ptr<SqliteDirectory>& directory, const std::string& name) {
  return Within<Notifier>(directory, SqliteNotifier::Create("sqlite:" + directory->path(name)));
}

NotifierUnderTest Notifiers(const std::string& name) {
  const auto directory = std::make_shared<SqliteDirectory>();
  return {.one = NotifierIn(directory, name), .other = NotifierIn(directory, name), .unavailable = ""};
}
NotifierUnderTest ShortPath() { return Notifiers("jobs.db"); }
NotifierUnderTest PathLongerThanAnAddress() { return Notifiers(std::string(150, 'x')); }

INSTANTIATE_TEST_SUITE_P(Sqlite, LocksContract,
                         testing::Values(LocksAdapter{"RealTime", RealTime}, LocksAdapter{"ManualTime", ManualTime}),
                         LocksAdapterName);
INSTANTIATE_TEST_SUITE_P(Sqlite, NotifierContract,
                         testing::Values(NotifierAdapter{"ShortPath", ShortPath},
                                         NotifierAdapter{"PathLongerThanAnAddress", PathLongerThanAnAddress}),
                         NotifierAdapterName);

TEST(SqliteLocks, FencesOutliveTheObjectAndTheFileIsItsOwnersOnly) {
  const auto directory = std::make_shared<SqliteDirectory>();
  std::int64_t fence = 0;
  for (int i = 0; i < 3; ++i) {
    const auto locks = LocksIn(directory, BootClock::now);
    const auto lease = locks->Acquire("leader", std::chrono::hours(1));
    ASSERT_TRUE(lease) << lease.error().message;
    ASSERT_TRUE(*lease);
    EXPECT_GT((*lease)->fence, fence);
    fence = (*lease)->fence;
    EXPECT_TRUE(*locks->Release(**lease));
  }
  struct stat info{};
  ASSERT_EQ(stat(directory->path("jobs.db.locks").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(SqliteLocks, ALeaseOfAnEarlierBootIsOver) {
  const auto directory = std::make_shared<SqliteDirectory>();
  const auto locks = LocksIn(directory, BootClock::now);
  const auto lease = locks->Acquire("leader", std::chrono::hours(1));
  ASSERT_TRUE(lease && *lease);
  {
    auto db = sqlite::Database::Open({.path = directory->path("jobs.db.locks")});
    ASSERT_TRUE(db) << db.error().message;
    ASSERT_TRUE((*db)->Run("UPDATE locks SET boot = 'before'"));
  }
  EXPECT_FALSE(*locks->Renew(**lease, std::chrono::hours(1)));
  const auto next = locks->Acquire("leader", std::chrono::hours(1));
  ASSERT_TRUE(next && *next);
  EXPECT_GT((*next)->fence, (*lease)->fence);
}

TEST(SqliteLocks, AFileOfANewerProgramIsRefused) {
  const auto directory = std::make_shared<SqliteDirectory>();
  ASSERT_TRUE(LocksIn(directory, BootClock::now)->Acquire("a", std::chrono::hours(1)));
  {
    auto db = sqlite::Database::Open({.path = directory->path("jobs.db.locks")});
    ASSERT_TRUE(db);
    ASSERT_TRUE((*db)->Run("PRAGMA user_version = 2"));
  }
  const auto refused = LocksIn(directory, BootClock::now)->Acquire("b", std::chrono::hours(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("newer"));
}

TEST(SqliteNotifier, SocketsOfTheDeadAreRemovedAndTheLivingAreReached) {
  const auto directory = std::make_shared<SqliteDirectory>();
  const auto notifier = NotifierIn(directory, "jobs.db");
  Inbox inbox;
  const auto subscription = notifier->Subscribe("channel", [&](const std::string& m) { inbox.Put(m); });
  ASSERT_TRUE(inbox.Got(""));
  const std::string dead = directory->path("jobs.db.wake") + "/0dead";
  {
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    dead.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    close(fd);
  }
  ASSERT_TRUE(std::filesystem::exists(dead));
  EXPECT_TRUE(notifier->Publish("channel", "hello"));
  EXPECT_TRUE(inbox.Got("hello"));
  EXPECT_FALSE(std::filesystem::exists(dead));
  struct stat info{};
  ASSERT_EQ(stat(directory->path("jobs.db.wake").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST(SqliteNotifier, ASubscriberWhoseDirectoryWasCleanedUpComesBack) {
  const auto directory = std::make_shared<SqliteDirectory>();
  const auto notifier = NotifierIn(directory, "jobs.db");
  Inbox inbox;
  const auto subscription = notifier->Subscribe("channel", [&](const std::string& m) { inbox.Put(m); });
  ASSERT_TRUE(inbox.Got(""));
  std::filesystem::remove_all(directory->path("jobs.db.wake"));
  EXPECT_TRUE(notifier->Publish("channel", "nobody hears it"));
  EXPECT_TRUE(inbox.Got("", 2)) << "it tells that messages may have been missed";
  EXPECT_TRUE(notifier->Publish("channel", "hello"));
  EXPECT_TRUE(inbox.Got("hello"));
}

TEST(SqliteNotifier, AFullQueueHoldsNobodyUp) {
  const auto directory = std::make_shared<SqliteDirectory>();
  const auto notifier = NotifierIn(directory, "jobs.db");
  std::promise<void> go_on;
  Inbox inbox;
  const auto subscription = notifier->Subscribe("channel", [&](const std::string& m) {
    if (m == "0") go_on.get_future().wait();
    inbox.Put(m);
  });
  ASSERT_TRUE(inbox.Got(""));
  for (int i = 0; i < 2'000; ++i) EXPECT_TRUE(notifier->Publish("channel", std::to_string(i)));
  go_on.set_value();
  EXPECT_TRUE(inbox.Got("1"));
  EXPECT_TRUE(notifier->Publish("channel", "last"));
  EXPECT_FALSE(notifier->Publish("channel", std::string(70'000, 'x')));
}

}  // namespace
}  // namespace escapement
