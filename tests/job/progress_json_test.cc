#include "job/progress_json.h"

#include <gtest/gtest.h>

namespace escapement {
namespace {

RunProgress Of(std::string job, std::int64_t fire_time, std::string pod) {
  return {.job_id = std::move(job),
          .fire_time = FromMicros(fire_time),
          .attempt = 2,
          .part = 0.125,
          .note = "half an \"\xC3\xA9\"\n",
          .told_at = FromMicros(fire_time + 7),
          .pod = std::move(pod)};
}

TEST(ProgressJson, WhatIsReadIsWhatWasWritten) {
  const std::vector<RunProgress> a = {Of("y", 5, "a"), Of("x", 9, "a")};
  const std::vector<RunProgress> b = {Of("x", 3, "b")};
  const std::vector<SentProgress> sent = {{"a", ProgressToJson(a)}, {"none", ""}, {"b", ProgressToJson(b)}};
  EXPECT_EQ(ReadProgress(sent, ""), (std::vector<RunProgress>{b[0], a[1], a[0]}));
  EXPECT_EQ(ReadProgress(sent, "y"), (std::vector<RunProgress>{a[0]}));
  EXPECT_EQ(ReadProgress(sent, "z"), (std::vector<RunProgress>{}));
}

TEST(ProgressJson, NothingIsNoText) { EXPECT_EQ(ProgressToJson({}), ""); }

TEST(ProgressJson, WhatCannotBeReadIsLeftOut) {
  const std::string good = R"({"job":"a","fire_time":1,"told_at":2,"part":1,"of_the_future":[]})";
  for (const char* bad :
       {"1", "{}", R"({"job":7})", R"({"job":"a","part":2})", R"({"job":"a","part":"half"})",
        R"({"job":"a","fire_time":9000000000000000000})", R"({"job":"a","attempt":"1"})", R"({"job":"a","note":1})"}) {
    const auto read = ReadProgress({{"pod", std::string("[") + bad + "," + good + "]"}}, "");
    ASSERT_EQ(read.size(), 1U) << bad;
    EXPECT_EQ(read[0].part, 1);
  }
  for (const char* bad : {"", "{", "{}", "[", "null"}) {
    EXPECT_EQ(ReadProgress({{"pod", bad}, {"pod", "[" + good + "]"}}, "").size(), 1U) << bad;
  }
}

}  // namespace
}  // namespace escapement
