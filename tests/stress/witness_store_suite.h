// What every place of the witness's record must do.
#pragma once

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stress/witness_store.h"

namespace escapement::stress {

struct RecordUnderTest {
  Result<std::unique_ptr<WitnessStore>> (*open)();
  bool answers_may_be_lost = true;
};

// Each test gets the same server or file, emptied by Prepare.
class WitnessStoreSuite : public testing::TestWithParam<RecordUnderTest> {
 protected:
  struct Row {
    std::string job, pod;
    std::int64_t fire, actual;
    std::int32_t ms;
    friend bool operator==(const Row&, const Row&) = default;
    friend auto operator<=>(const Row&, const Row&) = default;
    friend void PrintTo(const Row& row, std::ostream* out) {
      *out << row.job << ' ' << row.pod << ' ' << row.fire << ' ' << row.actual << ' ' << row.ms;
    }
  };

  void SetUp() override {
    record_ = OpenOne();
    ASSERT_TRUE(record_);
    const Status prepared = record_->Prepare();
    ASSERT_TRUE(prepared) << prepared.error().message;
  }

  static std::unique_ptr<WitnessStore> OpenOne() {
    auto opened = GetParam().open();
    if (opened) return std::move(*opened);
    ADD_FAILURE() << opened.error().message;
    return nullptr;
  }

  std::vector<Row> All() {
    std::vector<Row> rows;
    const Status read = record_->Read([&](const RecordedRow& row) {
      rows.push_back({std::string(row.job_id), std::string(row.pod), row.fire, row.actual, row.execution_ms});
    });
    EXPECT_TRUE(read) << read.error().message;
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  std::unique_ptr<WitnessStore> record_;
};

constexpr std::int64_t kFire = 1'790'000'000'123'456;

TEST_P(WitnessStoreSuite, GivesBackWhatWasWritten) {
  std::vector<WitnessRow> mine = {{.job_id = "job-0000", .fire = kFire, .actual = kFire + 1'234, .execution_ms = 50},
                                  {.job_id = "job-0001", .fire = kFire, .actual = kFire + 1, .execution_ms = 0}};
  std::vector<WitnessRow> theirs = {
      {.job_id = "job-0000", .fire = kFire + 1'000'000, .actual = kFire + 1'000'001, .execution_ms = -1}};
  ASSERT_TRUE(record_->Insert("scheduler-1", &mine));
  ASSERT_TRUE(OpenOne()->Insert("pod\\2", &theirs));
  EXPECT_THAT(All(), testing::ElementsAre(Row{"job-0000", "pod\\2", kFire + 1'000'000, kFire + 1'000'001, -1},
                                          Row{"job-0000", "scheduler-1", kFire, kFire + 1'234, 50},
                                          Row{"job-0001", "scheduler-1", kFire, kFire + 1, 0}));
  EXPECT_EQ(*record_->Count(), 3);
}

TEST_P(WitnessStoreSuite, HoldsMoreThanABatchAndAPage) {
  std::vector<WitnessRow> rows;
  for (int i = 0; i < 25'001; ++i) rows.push_back({.job_id = JobId(i), .fire = kFire, .actual = kFire + i});
  ASSERT_TRUE(record_->Insert("pod", &rows));
  const auto all = All();
  ASSERT_EQ(all.size(), rows.size());
  EXPECT_EQ(all.front(), (Row{"job-0000", "pod", kFire, kFire, -1}));
  EXPECT_EQ(*record_->Count(), 25'001);
}

TEST_P(WitnessStoreSuite, AnEndThatComesLaterIsAdded) {
  std::vector<WitnessRow> rows = {{.job_id = "job-0000", .fire = kFire, .actual = kFire + 1},
                                  {.job_id = "job-0001", .fire = kFire, .actual = kFire + 2}};
  ASSERT_TRUE(record_->Insert("pod", &rows));
  EXPECT_NE(rows[0].id, 0);
  EXPECT_NE(rows[0].id, rows[1].id);
  rows[1].execution_ms = 1'500;
  for (int twice = 0; twice < 2; ++twice) ASSERT_TRUE(record_->Update("pod", {rows[1]}));
  EXPECT_THAT(All(), testing::ElementsAre(Row{"job-0000", "pod", kFire, kFire + 1, -1},
                                          Row{"job-0001", "pod", kFire, kFire + 2, 1'500}));
}

// A duplicate is what the witness is there to see: two starts are two rows, whatever they have in common.
TEST_P(WitnessStoreSuite, TwoStartsThatLookTheSameAreTwoRows) {
  std::vector<WitnessRow> rows(2, {.job_id = "job-0000", .fire = kFire, .actual = kFire + 1, .execution_ms = 1});
  std::vector<WitnessRow> again = {rows[0]};
  ASSERT_TRUE(record_->Insert("pod", &rows));
  ASSERT_TRUE(OpenOne()->Insert("pod", &again));
  EXPECT_EQ(All().size(), 3U);
}

TEST_P(WitnessStoreSuite, PreparingAgainEmptiesIt) {
  std::vector<WitnessRow> rows = {{.job_id = "job-0000", .fire = kFire, .actual = kFire}};
  ASSERT_TRUE(record_->Insert("pod", &rows));
  ASSERT_TRUE(record_->WriteConfig({{"job_count", "1"}}));
  ASSERT_TRUE(record_->Prepare());
  EXPECT_TRUE(All().empty());
  EXPECT_TRUE(record_->ReadConfig()->empty());
  EXPECT_EQ(*record_->Count(), 0);
}

TEST_P(WitnessStoreSuite, ThePlanIsWrittenAndChanged) {
  ASSERT_TRUE(record_->WriteConfig({{"job_count", "1"}, {"test_start", "1790000000.500000"}}));
  ASSERT_TRUE(OpenOne()->WriteConfig({{"job_count", "2"}}));
  EXPECT_EQ(*record_->ReadConfig(), (TestConfig{{"job_count", "2"}, {"test_start", "1790000000.500000"}}));
}

TEST_P(WitnessStoreSuite, TheClockOfTheStoreGoesOn) {
  const auto now = record_->Now();
  ASSERT_TRUE(now);
  EXPECT_GT(ToMicros(*now), 1'600'000'000'000'000);
  EXPECT_GE(*record_->Now(), *now);
}

// A reply was lost: the pod does not know whether its rows arrived, and writes them over a new connection.
TEST_P(WitnessStoreSuite, RowsThatAreWrittenAgainAreThereOnce) {
  if (!GetParam().answers_may_be_lost) GTEST_SKIP() << "an answer of this store is never in doubt";
  std::vector<WitnessRow> rows = {{.job_id = "job-0000", .fire = kFire, .actual = kFire},
                                  {.job_id = "job-0001", .fire = kFire, .actual = kFire}};
  ASSERT_TRUE(record_->Insert("pod", &rows));
  ASSERT_TRUE(OpenOne()->Insert("pod", &rows));
  EXPECT_EQ(All().size(), 2U);
}

}  // namespace escapement::stress
