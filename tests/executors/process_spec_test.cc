#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/process.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(ProcessSpecTest, IsReadBackAsItWasWritten) {
  const ProcessSpec plain{.argv = {"date"}};
  const ProcessSpec full{.argv = {"/bin/sh", "-c", "echo \"$1\" 'a b'", "é\n", ""},
                         .env = {{"TZ", "UTC"}, {"EMPTY", ""}},
                         .directory = "/tmp",
                         .kill_grace = milliseconds(1500),
                         .output_limit = 100};
  for (const ProcessSpec& spec : {plain, full}) {
    const auto read = ProcessSpecFromJson(ProcessSpecToJson(spec));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, spec);
  }
  EXPECT_EQ(ProcessSpecToJson(plain), R"({"argv":["date"]})");
  EXPECT_EQ(*ProcessSpecFromJson(R"({"argv":["date"]})"), plain);
}

TEST(ProcessSpecTest, WhatCannotBeRightIsRefusedWithWhatWouldBe) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "JSON object"},
      {"date", "JSON object"},
      {R"(["date"])", "JSON object"},
      {"{}", "argv must name a program"},
      {R"({"argv":[]})", "argv must name a program"},
      {R"({"argv":[""]})", "argv must name a program"},
      {R"({"argv":"date -u"})", "argv must be a list of texts"},
      {R"({"argv":["date", 1]})", "argv must be a list of texts"},
      {R"({"argv":["da\u0000te"]})", "argv must be UTF-8 text without NUL"},
      {R"({"argv":["date"],"shell":true})", "there is no member 'shell'"},
      {R"({"argv":["date"],"env":["A=B"]})", "env must be an object of texts"},
      {R"({"argv":["date"],"env":{"A":1}})", "env must be an object of texts"},
      {R"({"argv":["date"],"env":{"A=B":"1"}})", "A=B"},
      {R"({"argv":["date"],"env":{"":"1"}})", "name of a variable"},
      {R"({"argv":["date"],"env":{"ESCAPEMENT_JOB":"x"}})", "ESCAPEMENT_JOB is set for each run"},
      {R"({"argv":["date"],"directory":1})", "directory must be a text"},
      {R"({"argv":["date"],"kill_grace":3})", "kill_grace must be a duration"},
      {R"({"argv":["date"],"kill_grace":"soon"})", "kill_grace must be a duration"},
      {R"({"argv":["date"],"kill_grace":"1h"})", "kill_grace must be from 0s to 4s, not 1h"},
      {R"({"argv":["date"],"output_limit":-1})", "output_limit must be a number of bytes"},
      {R"({"argv":["date"],"output_limit":1000000000})", "output_limit must be at most 16384"},
  };
  for (const auto& [json, words] : bad) {
    const auto read = ProcessSpecFromJson(json);
    ASSERT_FALSE(read) << json;
    EXPECT_EQ(read.error().code, Code::kInvalidArgument);
    EXPECT_THAT(read.error().message, HasSubstr(words)) << json;
  }
  EXPECT_FALSE(Validate(ProcessSpec{.argv = {"date", "\xFF"}}));
  EXPECT_FALSE(Validate(ProcessSpec{.argv = {"date"}, .kill_grace = -seconds(1)}));
}

TEST(ProcessSpecTest, AJobOfACommandIsAJobLikeOthers) {
  const auto schedule = Schedule::Every({.interval = seconds(1)});
  const JobDefinition job = ProcessJob("dates", *schedule, {.argv = {"date"}});
  EXPECT_TRUE(Validate(job));
  EXPECT_EQ(job.task, kProcessTask);
  EXPECT_EQ(ProcessSpecFromJson(job.payload)->argv, std::vector<std::string>{"date"});
}

}  // namespace
}  // namespace escapement
