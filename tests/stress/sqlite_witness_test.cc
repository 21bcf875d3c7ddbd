#include <stdlib.h>

#include <filesystem>

#include <sqlite3.h>

#include "tests/stress/witness_store_suite.h"

namespace escapement::stress {
namespace {

// One for all tests of this process, in WAL mode as the engine's store leaves it.
const std::string& File() {
  struct Directory {
    Directory() {
      std::string name = (std::filesystem::temp_directory_path() / "sqlite_witness_test-XXXXXX").string();
      path = mkdtemp(name.data());
      sqlite3* database = nullptr;
      file = path + "/stress.db";
      EXPECT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
      EXPECT_EQ(sqlite3_exec(database, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr), SQLITE_OK);
      sqlite3_close(database);
    }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string path, file;
  };
  static const Directory directory;
  return directory.file;
}

INSTANTIATE_TEST_SUITE_P(Sqlite, WitnessStoreSuite,
                         testing::Values(RecordUnderTest{[] { return OpenSqliteWitness(File()); },
                                                         /*answers_may_be_lost=*/false}));

TEST(SqliteWitness, AFileThatIsNotThereIsNotMade) {
  const std::string nowhere = File() + ".not-there";
  const auto opened = OpenSqliteWitness(nowhere);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(nowhere));
}

TEST(SqliteWitness, AFileWithoutATestIsNamedSo) {
  const std::string file = File() + ".empty";
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "CREATE TABLE other (x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  auto record = OpenSqliteWitness(file);
  ASSERT_TRUE(record);
  const auto config = (*record)->ReadConfig();
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kNotFound);
  EXPECT_EQ(config.error().message, "no table stress_config");
}

}  // namespace
}  // namespace escapement::stress
