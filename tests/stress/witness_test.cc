// The witness itself, over the record that needs no server.
#include "stress/witness.h"

#include <stdlib.h>

#include <filesystem>
#include <map>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "stress/witness_file.h"

namespace escapement::stress {
namespace {

using std::chrono::seconds;

class WitnessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "witness_test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    config_.store = StoreKind::kSqlite;
    config_.sqlite_path = directory_ + "/stress.db";
    config_.witness_dir = directory_;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void MakeRecord() {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(config_.sqlite_path.c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
    auto record = WitnessStore::Open(config_);
    ASSERT_TRUE(record) << record.error().message;
    ASSERT_TRUE((*record)->Prepare());
  }

  static RunContext RunOf(int job) {
    RunContext run;
    run.job = std::make_shared<const JobDefinition>(
        JobDefinition{.id = JobId(job), .schedule = *Schedule::At(FromMicros(1)), .task = "stress"});
    run.fire_time = FromMicros(1'790'000'000'000'000);
    run.fence = 7;
    return run;
  }

  // Job to whether its end is recorded.
  std::map<std::string, bool> Recorded() {
    std::map<std::string, bool> rows;
    auto record = WitnessStore::Open(config_);
    EXPECT_TRUE(record);
    EXPECT_TRUE((*record)->Read([&](const RecordedRow& row) {
      EXPECT_EQ(row.pod, "pod");
      EXPECT_TRUE(rows.emplace(row.job_id, row.execution_ms >= 0).second) << row.job_id;
    }));
    return rows;
  }

  std::string directory_;
  StressConfig config_;
};

TEST_F(WitnessTest, RecordsWhatBeganAndWhatEnded) {
  MakeRecord();
  auto witness = Witness::Open(config_);
  ASSERT_TRUE(witness) << witness.error().message;
  (*witness)->SetPodName("pod");
  const auto first = (*witness)->Begin(RunOf(0));
  const auto second = (*witness)->Begin(RunOf(1));
  (*witness)->End(second);
  EXPECT_EQ((*witness)->starts(), 2);
  EXPECT_EQ((*witness)->Stop(seconds(30)), 0);
  EXPECT_EQ(Recorded(), (std::map<std::string, bool>{{"job-0000", false}, {"job-0001", true}}));

  std::vector<Execution> starts;
  ASSERT_TRUE(LoadStarts(directory_, [](const std::string& pod) { return pod == "pod" ? 0 : -1; }, &starts));
  ASSERT_EQ(starts.size(), 2U);
  EXPECT_EQ(starts[0].pod, 0);
  EXPECT_EQ(starts[0].fence, 7);
}

TEST_F(WitnessTest, AnEndAfterItsStartWasWrittenIsAdded) {
  MakeRecord();
  auto witness = Witness::Open(config_);
  ASSERT_TRUE(witness);
  (*witness)->SetPodName("pod");
  const auto row = (*witness)->Begin(RunOf(0));
  const auto limit = std::chrono::steady_clock::now() + seconds(60);
  while (Recorded().empty() && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // written unended after a while
  (*witness)->End(row);
  EXPECT_EQ((*witness)->Stop(seconds(30)), 0);
  EXPECT_EQ(Recorded(), (std::map<std::string, bool>{{"job-0000", true}}));
}

TEST_F(WitnessTest, RowsWaitWhileTheStoreIsAway) {
  auto witness = Witness::Open(config_);
  ASSERT_TRUE(witness);
  (*witness)->SetPodName("pod");
  for (int job = 0; job < 12'000; ++job) (*witness)->End((*witness)->Begin(RunOf(job)));
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // it has tried, and met nothing
  MakeRecord();
  EXPECT_EQ((*witness)->Stop(seconds(60)), 0);
  EXPECT_EQ(Recorded().size(), 12'000U);
}

TEST_F(WitnessTest, RowsThatCannotBeWrittenAreCounted) {
  auto witness = Witness::Open(config_);
  ASSERT_TRUE(witness);
  (*witness)->SetPodName("pod");
  (*witness)->End((*witness)->Begin(RunOf(0)));
  EXPECT_EQ((*witness)->Stop(Duration(0)), 1);
}

}  // namespace
}  // namespace escapement::stress
