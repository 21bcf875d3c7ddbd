// What can be wrong with a file, its directory and its disk: each is refused in a line that says what, and nothing is
// lost or half done. And the upkeep of the file.
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "contract/store/unreadable.h"
#include "sqlite/database.h"
#include "sqlite/file.h"
#include "stores/sqlite/schema.h"
#include "stores/sqlite/sqlite_store.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;
using sqlite::Rows;
using sqlite::Transaction;
using testing::HasSubstr;

constexpr uid_t kNobody = 65534;

// File rights do not hold for root: root is somebody else for as long as it lives.
class WithoutPrivilege {
 public:
  explicit WithoutPrivilege(const std::string& directory) : user_(geteuid()) {
    if (user_ != 0) return;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) Give(entry.path());
    Give(directory);
    if (seteuid(kNobody) != 0) throw std::runtime_error("seteuid");
  }
  ~WithoutPrivilege() {
    if (user_ == 0 && seteuid(0) != 0) std::abort();
  }
  WithoutPrivilege(const WithoutPrivilege&) = delete;
  WithoutPrivilege& operator=(const WithoutPrivilege&) = delete;

 private:
  static void Give(const fs::path& path) {
    if (chown(path.c_str(), kNobody, static_cast<gid_t>(-1)) != 0) throw std::runtime_error("chown");
  }
  const uid_t user_;
};

class SqliteFile : public testing::Test {
 protected:
  std::string path() const { return directory_.path("jobs.db"); }
  std::string url() const { return "sqlite:" + path(); }

  std::unique_ptr<SqliteStoreFactory> Factory() {
    auto factory = SqliteStoreFactory::Create(url());
    EXPECT_TRUE(factory) << factory.error().message;
    return factory ? std::move(*factory) : nullptr;
  }
  std::unique_ptr<JobStore> Migrated() {
    auto store = Factory()->Open();
    EXPECT_TRUE(store) << store.error().message;
    const Status status = (*store)->Migrate();
    EXPECT_TRUE(status) << status.error().message;
    return std::move(*store);
  }
  // Why the file cannot be opened.
  Error Refusal() {
    auto store = Factory()->Open();
    EXPECT_FALSE(store);
    return store ? Error() : store.error();
  }
  std::string Content() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static JobDefinition Job(const std::string& id, std::size_t payload = 0) {
    return {.id = id,
            .schedule = *Schedule::Every({.interval = std::chrono::hours(1)}),
            .task = "work",
            .payload = std::string(payload, 'x')};
  }
  static void ExpectOneLine(const Error& error, Code code, const std::string& about) {
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_THAT(error.message, HasSubstr(about));
    EXPECT_EQ(error.message.find('\n'), std::string::npos);
  }

  SqliteDirectory directory_;
};

TEST_F(SqliteFile, AnUnreadableJobSpoilsNoList) {
  const auto store = Migrated();
  const auto overwrite = [&](const std::string& id) {
    auto db = Database::Open({.path = path()});
    ASSERT_TRUE(db) << db.error().message;
    Transaction tx(**db, Transaction::Kind::kWrite);
    EXPECT_EQ(tx.Run("UPDATE definitions SET definition = ?1 WHERE job = (SELECT key FROM jobs WHERE id = ?2)",
                     std::string(kFutureDefinition), id),
              1);
    ASSERT_TRUE(tx.Commit());
  };
  ExpectThatAnUnreadableJobSpoilsNoList(*store, overwrite);
}

// --- URLs and places

TEST_F(SqliteFile, AUrlThatCannotBeRightIsRefused) {
  const std::string at = directory_.path();
  for (const auto& [url, about] : {std::pair<std::string, std::string>{"sqlite::memory:", "memory:"},
                                   {"sqlite://host/file", "no host"},
                                   {"sqlite:" + at + "/", "not a directory"},
                                   {"sqlite:" + at, "is a directory"},
                                   {"sqlite:/dev/null", "not a file"},
                                   {"sqlite:" + at + "/none/jobs.db", at + "/none is not there"},
                                   {"sqlite:/proc/version/jobs.db", "/proc/version"}}) {
    const auto factory = SqliteStoreFactory::Create(url);
    ASSERT_FALSE(factory) << url;
    ExpectOneLine(factory.error(), Code::kInvalidArgument, about);
  }
  EXPECT_FALSE(fs::exists(at + "/none"));
}

TEST_F(SqliteFile, NamesAreAbsoluteAndTheSameThroughLinks) {
  EXPECT_EQ(Factory()->Name(), url());
  fs::create_directory_symlink(directory_.path(), directory_.path("link"));
  EXPECT_EQ(SqliteStoreFactory::Create("sqlite:" + directory_.path("link/jobs.db")).value()->Name(), url());
  const fs::path before = fs::current_path();
  fs::current_path(directory_.path());
  const auto relative = SqliteStoreFactory::Create("sqlite:jobs.db");
  fs::current_path(before);
  ASSERT_TRUE(relative) << relative.error().message;
  EXPECT_EQ((*relative)->Name(), url());
  EXPECT_EQ(SqliteStoreFactory::Create("sqlite://" + path()).value()->Name(), url());
}

TEST_F(SqliteFile, TheDefaultFileIsMadeWithItsDirectoryOnFirstUse) {
  const std::string state = directory_.path("home/.local/state");
  ASSERT_EQ(setenv("HOME", directory_.path("home").c_str(), 1), 0);
  unsetenv("XDG_STATE_HOME");
  auto factory = SqliteStoreFactory::Create("sqlite:");
  ASSERT_TRUE(factory) << factory.error().message;
  EXPECT_EQ((*factory)->Name(), "sqlite:" + state + "/escapement/escapement.db");
  auto store = (*factory)->Open();
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_FALSE(fs::exists(directory_.path("home"))) << "opening makes nothing";
  ASSERT_TRUE((*store)->Migrate());
  ASSERT_TRUE((*store)->Enqueue({Job("a")}));
  struct stat info{};
  ASSERT_EQ(stat((state + "/escapement").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  for (const char* name : {"/escapement/escapement.db", "/escapement/escapement.db-wal"}) {
    ASSERT_EQ(stat((state + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600U) << name;
  }
  ASSERT_EQ(setenv("XDG_STATE_HOME", directory_.path("xdg").c_str(), 1), 0);
  EXPECT_EQ(SqliteStoreFactory::Create("sqlite:").value()->Name(),
            "sqlite:" + directory_.path("xdg/escapement/escapement.db"));
  unsetenv("XDG_STATE_HOME");
}

TEST_F(SqliteFile, FileSystemsOfNetworksAreKnown) {
  for (const unsigned long magic : {0x6969UL, 0xFF534D42UL, 0xFE534D42UL}) {
    EXPECT_TRUE(sqlite::IsNetworkFilesystem(magic));
    EXPECT_TRUE(sqlite::IsNetworkFilesystem(static_cast<unsigned long>(static_cast<long>(static_cast<int>(magic)))));
  }
  for (const unsigned long magic : {0xEF53UL, 0x01021994UL, 0x58465342UL, 0x9123683EUL, 0x794C7630UL}) {
    EXPECT_FALSE(sqlite::IsNetworkFilesystem(magic));
  }
}

// --- files

TEST_F(SqliteFile, WithoutASchemaItSaysWhatToDo) {
  auto store = Factory()->Open();
  ASSERT_TRUE(store) << store.error().message;
  for (int i = 0; i < 2; ++i) {
    const Status schema = (*store)->CheckSchema();
    ASSERT_FALSE(schema);
    ExpectOneLine(schema.error(), Code::kConflict, "run the migration first");
    const auto enqueued = (*store)->Enqueue({Job("a")});
    ASSERT_FALSE(enqueued);
    ExpectOneLine(enqueued.error(), Code::kConflict, "run the migration first");
    EXPECT_EQ(fs::exists(path()), i == 1) << "asking makes no file";
    if (i == 0) std::ofstream(path()).flush();  // an empty file is a store without a schema
  }
  EXPECT_TRUE((*store)->Migrate());
  EXPECT_TRUE((*store)->Enqueue({Job("a")}));
}

TEST_F(SqliteFile, ManyMigrateAtOnce) {
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&] {
        auto factory = SqliteStoreFactory::Create(url());
        auto store = (*factory)->Open();
        const Status status = store ? (*store)->Migrate() : tl::unexpected(store.error());
        if (status) {
          ++good;
        } else {
          ADD_FAILURE() << status.error().message;
        }
      });
    }
  }
  EXPECT_EQ(good, 6);
  EXPECT_TRUE(Migrated()->CheckSchema());
}

TEST_F(SqliteFile, MigratesFromEveryEarlierVersion) {
  for (int from = 0; from <= sqlite::SchemaVersion(); ++from) {
    const sqlite::FileName file{directory_.path(fmt::format("from-{}.db", from)), false};
    ASSERT_TRUE(sqlite::MakeFile(file));
    auto db = Database::Open({.path = file.path});
    ASSERT_TRUE(db) << db.error().message;
    ASSERT_TRUE(sqlite::Migrate(**db, from));
    EXPECT_EQ(sqlite::CheckSchema(**db).has_value(), from == sqlite::SchemaVersion());
    ASSERT_TRUE(sqlite::Migrate(**db));
    EXPECT_TRUE(sqlite::CheckSchema(**db));
    ASSERT_TRUE(sqlite::Migrate(**db)) << "again changes nothing";
  }
}

TEST_F(SqliteFile, ANewerSchemaIsLeftAlone) {
  const auto store = Migrated();
  {
    auto db = Database::Open({.path = path()});
    ASSERT_TRUE((*db)->Run("INSERT INTO migrations VALUES (999, 'tomorrow')"));
  }
  for (const Status& status : {store->CheckSchema(), store->Migrate()}) {
    ASSERT_FALSE(status);
    ExpectOneLine(status.error(), Code::kConflict, "newer");
  }
}

TEST_F(SqliteFile, AFileThatIsNoDatabaseIsLeftAlone) {
  const std::string text(10'000, 'a');
  std::ofstream(path()) << text;
  ExpectOneLine(Refusal(), Code::kInvalidArgument, path() + " is not an SQLite database");
  EXPECT_EQ(Content(), text);
}

TEST_F(SqliteFile, AnotherProgramsDatabaseIsLeftAlone) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE bookmarks (url)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  const std::string before = Content();
  ExpectOneLine(Refusal(), Code::kInvalidArgument, "another program's");
  EXPECT_EQ(Content(), before);
}

TEST_F(SqliteFile, ADamagedFileIsSaidToBe) {
  {
    const auto store = Migrated();
    std::vector<JobDefinition> jobs;
    for (int i = 0; i < 500; ++i) jobs.push_back(Job(fmt::format("job-{}", i), 200));
    ASSERT_TRUE(store->Enqueue(jobs));
  }
  {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3 * 4096);
    const std::string garbage(static_cast<std::size_t>(fs::file_size(path())) - 3 * 4096, '\x55');
    file << garbage;
  }
  auto store = Factory()->Open();
  if (!store) return ExpectOneLine(store.error(), Code::kInternal, "damaged");
  const auto jobs = (*store)->List({.limit = 1000});
  ASSERT_FALSE(jobs);
  ExpectOneLine(jobs.error(), Code::kInternal, "damaged");
}

TEST_F(SqliteFile, AFileThatIsReadOnlyIsRefused) {
  {
    Migrated();
  }
  const WithoutPrivilege nobody(directory_.path());
  ASSERT_EQ(chmod(path().c_str(), 0400), 0);
  ExpectOneLine(Refusal(), Code::kInvalidArgument, "read-only");
  ASSERT_EQ(chmod(path().c_str(), 0000), 0);
  ExpectOneLine(Refusal(), Code::kInvalidArgument, path());
}

TEST_F(SqliteFile, ADirectoryThatIsReadOnlyIsRefused) {
  {
    Migrated();
  }
  const WithoutPrivilege nobody(directory_.path());
  ASSERT_EQ(chmod(directory_.path().c_str(), 0500), 0);
  ExpectOneLine(Refusal(), Code::kInvalidArgument, "directory");
  auto factory = SqliteStoreFactory::Create("sqlite:" + directory_.path("new.db"));
  ASSERT_TRUE(factory);
  const Status migrated = (*factory)->Open().value()->Migrate();
  ASSERT_FALSE(migrated);
  ExpectOneLine(migrated.error(), Code::kInvalidArgument, "cannot make the file");
  ASSERT_EQ(chmod(directory_.path().c_str(), 0700), 0);
}

TEST_F(SqliteFile, AFileTakenAwayIsNotWrittenTo) {
  const auto store = Migrated();
  ASSERT_TRUE(store->Enqueue({Job("a")}));
  fs::rename(path(), directory_.path("elsewhere.db"));
  const auto enqueued = store->Enqueue({Job("b")});
  ASSERT_FALSE(enqueued);
  ExpectOneLine(enqueued.error(), Code::kConflict, "is not there");
  fs::rename(directory_.path("elsewhere.db"), path());
  EXPECT_TRUE(store->Enqueue({Job("b")})) << "it heals";
  EXPECT_TRUE(store->Get("a"));
}

// --- others, and the disk

TEST_F(SqliteFile, ALockedFileIsUnavailableAndHeals) {
  const auto store = Migrated();
  auto other = Database::Open({.path = path()});
  ASSERT_TRUE(other);
  {
    const Transaction holding(**other, Transaction::Kind::kWrite);
    const auto enqueued = store->Enqueue({Job("a")});
    ASSERT_FALSE(enqueued);
    ExpectOneLine(enqueued.error(), Code::kUnavailable, "locked by another process");
    EXPECT_EQ(store->Get("a").error().code, Code::kNotFound) << "reading needs no turn";
  }
  EXPECT_TRUE(store->Enqueue({Job("a")}));
}

TEST_F(SqliteFile, WhoeverWaitsGetsItsTurn) {
  const auto store = Migrated();
  auto other = Database::Open({.path = path()});
  ASSERT_TRUE(other);
  auto holding = std::make_unique<Transaction>(**other, Transaction::Kind::kWrite);
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    holding.reset();
  });
  EXPECT_TRUE(store->Enqueue({Job("a")}));
}

TEST_F(SqliteFile, ADatabaseAtItsLimitIsFullAndNothingChanges) {
  Migrated();
  auto db = Database::Open({.path = path()});
  ASSERT_TRUE(db);
  ASSERT_TRUE((*db)->Run("PRAGMA max_page_count = 40"));
  Transaction tx(**db, Transaction::Kind::kWrite);
  for (int i = 0; i < 100; ++i) tx.Run("INSERT INTO definitions VALUES (?1, ?2)", i, std::string(4096, 'x'));
  const Status full = tx.Commit();
  ASSERT_FALSE(full);
  ExpectOneLine(full.error(), Code::kUnavailable, "no space left");
  Transaction after(**db, Transaction::Kind::kRead);
  Rows count = after.Query("SELECT count(*) FROM definitions");
  ASSERT_TRUE(count.Next());
  EXPECT_EQ(count.Int(0), 0);
}

TEST_F(SqliteFile, AFullDiskRefusesWritesLosesNothingAndHeals) {
  const std::string disk = directory_.path("disk");
  fs::create_directory(disk);
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=2m") != 0) GTEST_SKIP() << "no right to mount a small file system";
  struct Unmount {
    std::string disk;
    ~Unmount() { umount2(disk.c_str(), MNT_DETACH); }
  } const unmount{disk};
  auto store = SqliteStoreFactory::Create("sqlite:" + disk + "/jobs.db").value()->Open().value();
  ASSERT_TRUE(store->Migrate());
  const std::string filler = disk + "/filler";
  std::ofstream(filler) << std::string(1'000'000, 'x');
  int enqueued = 0;
  Status status;
  for (; enqueued < 1'000 && status; ++enqueued) {
    const auto result = store->Enqueue({Job(fmt::format("job-{}", enqueued), 10'000)});
    if (!result) status = tl::unexpected(result.error());
  }
  --enqueued;
  ASSERT_FALSE(status);
  ExpectOneLine(status.error(), Code::kUnavailable, "no space left");
  EXPECT_EQ(store->List({.limit = 10'000})->size(), static_cast<std::size_t>(enqueued));
  fs::remove(filler);
  EXPECT_TRUE(store->Enqueue({Job("afterwards", 10'000)})) << "it heals";
  EXPECT_EQ(store->List({.limit = 10'000})->size(), static_cast<std::size_t>(enqueued) + 1);
}

// --- upkeep

TEST_F(SqliteFile, HistoryAndTombstonesBeyondRetentionAreDroppedAndYoungerOnesKept) {
  const auto store = Migrated();
  const Instant now = store->Now().value();
  ASSERT_TRUE(store->Enqueue({Job("kept"), Job("removed")}));
  std::vector<RunInfo> runs;
  constexpr int kOld = 5'000;  // more than a batch
  for (int i = 0; i < kOld; ++i) {
    const Instant old = now - std::chrono::days(10) + Duration(i);
    runs.push_back({.job_id = i % 2 == 0 ? "kept" : "removed", .fire_time = old, .last_fire = old, .settled_at = old});
  }
  runs.push_back({.job_id = "kept", .fire_time = now, .last_fire = now, .settled_at = now});
  ASSERT_TRUE(store->ImportRuns(runs));
  ASSERT_TRUE(store->Remove("removed"));
  ASSERT_TRUE(store->Maintain({.history_days = 11}));
  EXPECT_EQ(store->Runs({.job_id = "removed", .limit = kOld}).value().size(), kOld / 2U) << "history outlives its job";
  ASSERT_TRUE(store->Maintain({.history_days = 7}));
  EXPECT_EQ(store->Runs({.limit = kOld}).value().size(), 1U);
  auto db = Database::Open({.path = path()});
  ASSERT_TRUE((*db)->Run("UPDATE jobs SET planned_from = 0 WHERE state = 4"));  // removed long ago
  ASSERT_TRUE(store->Maintain({.history_days = 7}));
  Transaction tx(**db, Transaction::Kind::kRead);
  Rows left = tx.Query("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM definitions)");
  ASSERT_TRUE(left.Next());
  EXPECT_EQ(left.Int(0), 1);
  EXPECT_EQ(left.Int(1), 1);
}

TEST_F(SqliteFile, AnEndedSessionsLeftoversAreSweptByMaintenance) {
  const auto store = Migrated();
  ASSERT_TRUE(store->Enqueue({Job("a")}));
  const SessionId session = store->OpenSession({"pod", std::chrono::seconds(5)}).value();
  ASSERT_EQ(store->Claim({session, std::chrono::hours(2), 1, {"default"}})->jobs.size(), 1U);
  auto db = Database::Open({.path = path()});
  ASSERT_TRUE((*db)->Run("DELETE FROM sessions"));  // as if its reclaimer had died half-way
  ASSERT_TRUE(store->Maintain({}));
  const SessionId heir = store->OpenSession({"heir", std::chrono::seconds(5)}).value();
  const auto claimed = store->Claim({heir, std::chrono::hours(2), 1, {"default"}});
  ASSERT_EQ(claimed->jobs.size(), 1U);
  EXPECT_EQ(claimed->jobs[0].present.lost, 1);
}

TEST_F(SqliteFile, AKeptJobsCommitTouchesNoIndexOfJobs) {
  Migrated();
  auto db = Database::Open({.path = path()});
  Transaction tx(**db, Transaction::Kind::kRead);
  // Indexes on what a kept job's commit changes would be updated with each execution.
  Rows rows = tx.Query(
      "SELECT count(*) FROM sqlite_schema s, pragma_index_info(s.name) i WHERE s.type = 'index' AND s.tbl_name = "
      "'jobs' "
      "AND i.name IN ('attempt', 'lost', 'begun', 'cursor', 'fire_time', 'due_at', 'settled_total')");
  ASSERT_TRUE(rows.Next());
  EXPECT_EQ(rows.Int(0), 0);
}

TEST_F(SqliteFile, MaintenanceEmptiesTheLog) {
  const auto store = Migrated();
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 2'000; ++i) jobs.push_back(Job(fmt::format("job-{}", i), 300));
  ASSERT_TRUE(store->Enqueue(jobs));
  EXPECT_GT(fs::file_size(path() + "-wal"), 100'000U);
  ASSERT_TRUE(store->Maintain({}));
  EXPECT_EQ(fs::file_size(path() + "-wal"), 0U);
}

}  // namespace
}  // namespace escapement
