#include "stress/witness_file.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace escapement::stress {
namespace {

TEST(WitnessFile, ReadsBackWhatItWrote) {
  const std::string line = FormatStart({"job-0007", 1'790'000'000'000'000, 1'790'000'000'001'200, 2, 5});
  EXPECT_EQ(line, "job-0007 1790000000000000 1790000000001200 2 5\n");
  Start start;
  ASSERT_TRUE(ParseStart("job-0007 1790000000000000 1790000000001200 2 5", &start));
  EXPECT_EQ(start.job_id, "job-0007");
  EXPECT_EQ(start.fire, 1'790'000'000'000'000);
  EXPECT_EQ(start.actual, 1'790'000'000'001'200);
  EXPECT_EQ(start.attempt, 2);
  EXPECT_EQ(start.fence, 5);
}

TEST(WitnessFile, RefusesDamagedLines) {
  Start start;
  for (const char* line : {"", "job-0007", "job-0007 1", "job-0007 1 2 3", "job-0007 1 2 3 ", "job-0007 1 2 3 4 5",
                           "job-0007 1 x 3 4", " 1 2 3 4", "job-0007 1  2 3 4"}) {
    EXPECT_FALSE(ParseStart(line, &start)) << line;
  }
}

class WitnessDirectory : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/starts-XXXXXX";
    ASSERT_TRUE(mkdtemp(path.data()));
    path_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Write(const std::string& name, const std::string& text) { std::ofstream(path_ + "/" + name) << text; }

  std::string path_;
};

TEST_F(WitnessDirectory, TakesThePodFromTheNameAndLeavesOutALineThatWasCutOff) {
  Write(StartsFileName("scheduler-1.local", 4711), "job-0001 10 11 1 3\njob-0002 20 21 1 4\njob-0003 30 3");
  Write("other.txt", "job-0009 10 11 1 3\n");
  std::vector<std::string> pods;
  std::vector<Execution> starts;
  ASSERT_TRUE(LoadStarts(
      path_,
      [&](const std::string& name) {
        pods.push_back(name);
        return 0;
      },
      &starts));
  EXPECT_THAT(pods, testing::ElementsAre("scheduler-1.local"));
  ASSERT_EQ(starts.size(), 2U);
  EXPECT_EQ(starts[1].job, 2);
  EXPECT_EQ(starts[1].fire, 20);
  EXPECT_EQ(starts[1].actual, 21);
  EXPECT_EQ(starts[1].fence, 4);
  EXPECT_EQ(starts[1].execution_ms, -1);
}

TEST_F(WitnessDirectory, ThatIsNotThereIsAnError) {
  std::vector<Execution> starts;
  EXPECT_FALSE(LoadStarts(path_ + "/absent", [](const std::string&) { return 0; }, &starts));
}

}  // namespace
}  // namespace escapement::stress
