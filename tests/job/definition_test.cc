#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "escapement/job.h"
#include "job/definition_json.h"
#include "job/settle.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;

JobDefinition Plain() {
  return {.id = "job-0001", .schedule = Schedule::Every({.interval = 1s}).value(), .task = "work"};
}

TEST(Validate, AcceptsTheDefaults) { EXPECT_TRUE(Validate(Plain())); }

TEST(Validate, NamesTheFieldThatIsWrong) {
  struct Row {
    const char* field;
    void (*spoil)(JobDefinition&);
  };
  const Row rows[] = {
      {"id", [](JobDefinition& j) { j.id = ""; }},
      {"id", [](JobDefinition& j) { j.id.assign(201, 'x'); }},
      {"id", [](JobDefinition& j) { j.id = "a\nb"; }},
      {"id", [](JobDefinition& j) { j.id = "a\xFF"; }},
      {"task", [](JobDefinition& j) { j.task = ""; }},
      {"queue", [](JobDefinition& j) { j.queue = ""; }},
      {"payload", [](JobDefinition& j) { j.payload.assign((1 << 20) + 1, 'x'); }},
      {"payload", [](JobDefinition& j) { j.payload = std::string(1, '\0'); }},
      {"priority", [](JobDefinition& j) { j.priority = 11; }},
      {"priority", [](JobDefinition& j) { j.priority = -1; }},
      {"late", [](JobDefinition& j) { j.late = static_cast<LatePolicy>(3); }},
      {"late_limit", [](JobDefinition& j) { j.late_limit = 0; }},
      {"late_threshold", [](JobDefinition& j) { j.late_threshold = -1us; }},
      {"delivery", [](JobDefinition& j) { j.delivery = static_cast<Delivery>(-1); }},
      {"max_attempts", [](JobDefinition& j) { j.retry.max_attempts = 0; }},
      {"retry.delay", [](JobDefinition& j) { j.retry.delay = -1us; }},
      {"max_delay", [](JobDefinition& j) { j.retry.max_delay = Duration::max(); }},
      {"factor", [](JobDefinition& j) { j.retry.factor = std::numeric_limits<double>::quiet_NaN(); }},
      {"factor", [](JobDefinition& j) { j.retry.factor = 0.5; }},
      {"retry.delays", [](JobDefinition& j) { j.retry.delays.assign(101, 1s); }},
      {"retry.delays", [](JobDefinition& j) { j.retry.delays = {1s, -1us}; }},
      {"retry.jitter", [](JobDefinition& j) { j.retry.jitter = 1.5; }},
      {"retry.jitter", [](JobDefinition& j) { j.retry.jitter = std::numeric_limits<double>::quiet_NaN(); }},
      {"retry.on", [](JobDefinition& j) { j.retry.on = static_cast<RetryOn>(3); }},
      {"timeout", [](JobDefinition& j) { j.timeout = -1s; }},
      {"deadline", [](JobDefinition& j) { j.deadline = -1us; }},
      {"lost_limit", [](JobDefinition& j) { j.lost_limit = 0; }},
      {"label", [](JobDefinition& j) { j.label = "a\x1f"; }},
      {"metadata", [](JobDefinition& j) { j.metadata[""] = "x"; }},
      {"metadata", [](JobDefinition& j) { j.metadata["a\nb"] = "x"; }},
      {"metadata.tenant", [](JobDefinition& j) { j.metadata["tenant"].assign(1001, 'x'); }},
      {"metadata.tenant", [](JobDefinition& j) { j.metadata["tenant"] = "\xFF"; }},
      {"metadata",
       [](JobDefinition& j) {
         for (int i = 0; i <= 50; ++i) j.metadata[std::to_string(i)] = "x";
       }},
      {"jitter", [](JobDefinition& j) { j.jitter = -1us; }},
      {"jitter", [](JobDefinition& j) { j.jitter = 2s; }},
      {"flex", [](JobDefinition& j) { j.flex = -1us; }},
      {"flex", [](JobDefinition& j) { j.flex = 600ms, j.jitter = 500ms; }},
      {"deadline", [](JobDefinition& j) { j.flex = 1s, j.deadline = 1s; }},
      {"overlap", [](JobDefinition& j) { j.overlap = static_cast<Overlap>(3); }},
      {"overlap",
       [](JobDefinition& j) {
         j.overlap = Overlap::kReplace;
         j.schedule = Schedule::Parse("delay 5m").value();
       }},
      {"pause_after", [](JobDefinition& j) { j.pause_after = -1; }},
      {"pause_after", [](JobDefinition& j) { j.pause_after = 10'001; }},
      {"limits: a key", [](JobDefinition& j) { j.limits = {{.key = "", .slots = 1}}; }},
      {"limits: a key", [](JobDefinition& j) { j.limits = {{.key = "a\nb", .slots = 1}}; }},
      {"limits: 'k'", [](JobDefinition& j) { j.limits = {{.key = "k", .slots = 0}}; }},
      {"limits: 'k'", [](JobDefinition& j) { j.limits = {{.key = "k", .slots = 10'001}}; }},
      {"limits has the key 'k' twice", [](JobDefinition& j) { j.limits = {{.key = "k"}, {.key = "k", .slots = 2}}; }},
      {"limits has 5 keys",
       [](JobDefinition& j) { j.limits = {{.key = "a"}, {.key = "b"}, {.key = "c"}, {.key = "d"}, {.key = "e"}}; }},
      {"unique has 201 bytes", [](JobDefinition& j) { j.unique = std::string(201, 'x'); }},
      {"unique must be UTF-8", [](JobDefinition& j) { j.unique = "\xC3"; }},
      {"unique must be UTF-8", [](JobDefinition& j) { j.unique = "a\nb"; }},
      {"unique_for is -1s", [](JobDefinition& j) { j.unique = "k", j.unique_for = -1s; }},
      {"unique_for is 521w", [](JobDefinition& j) { j.unique = "k", j.unique_for = std::chrono::weeks(521); }},
      {"set the key", [](JobDefinition& j) { j.unique_for = 1s; }},
      {"rates: a key", [](JobDefinition& j) { j.rates = {{.key = std::string(201, 'x')}}; }},
      {"rates: 'k'", [](JobDefinition& j) { j.rates = {{.key = "k", .starts = 0}}; }},
      {"rates: 'k'", [](JobDefinition& j) { j.rates = {{.key = "k", .starts = 1, .per = 99ms}}; }},
      {"rates: 'k'", [](JobDefinition& j) { j.rates = {{.key = "k", .starts = 1, .per = std::chrono::days(367)}}; }},
      {"rates has the key 'k' twice", [](JobDefinition& j) { j.rates = {{.key = "k"}, {.key = "k"}}; }},
  };
  for (const Row& row : rows) {
    JobDefinition job = Plain();
    row.spoil(job);
    const Status status = Validate(job);
    ASSERT_FALSE(status) << row.field;
    EXPECT_EQ(status.error().code, Code::kInvalidArgument);
    EXPECT_NE(status.error().message.find(row.field), std::string::npos) << status.error().message;
  }
}

TEST(DefinitionJson, LeavesDefaultsOut) {
  EXPECT_EQ(DefinitionToJson(Plain()), R"({"schedule":"every 1s","task":"work"})");
}

TEST(DefinitionJson, RefusesForeignText) {
  for (const char* text : {"",
                           "[]",
                           "{}",
                           R"({"schedule":"every 1s"})",
                           R"({"task":"work"})",
                           R"({"schedule":7,"task":"work"})",
                           R"({"schedule":"every 1s","task":7})",
                           R"({"schedule":"never","task":"work"})",
                           R"({"schedule":"every 1s","task":"work","colour":"red"})",
                           R"({"schedule":"every 1s","task":"work","priority":"high"})",
                           R"({"schedule":"every 1s","task":"work","priority":99999999999})",
                           R"({"schedule":"every 1s","task":"work","priority":99})",
                           R"({"schedule":"every 1s","task":"work","late":"no"})",
                           R"({"schedule":"every 1s","task":"work","limits":["k"]})",
                           R"({"schedule":"every 1s","task":"work","limits":{"k":"1"}})",
                           R"({"schedule":"every 1s","task":"work","limits":{"k":0}})",
                           R"({"schedule":"every 1s","task":"work","rates":{"k":5}})",
                           R"({"schedule":"every 1s","task":"work","rates":{"k":{"starts":5}}})",
                           R"({"schedule":"every 1s","task":"work","rates":{"k":{"starts":5,"per_us":1000000,"x":1}}})",
                           R"({"schedule":"every 1s","task":"work","rates":{"k":{"starts":5,"per_us":1}}})"}) {
    const auto result = DefinitionFromJson("a", text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
  }
}

RC_GTEST_PROP(DefinitionJson, IsReadBackExactly, ()) {
  JobDefinition job = Plain();
  job.payload = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
  job.queue = *rc::gen::element<std::string>("default", "other", "z\xC3\xBC");
  job.priority = *rc::gen::inRange(0, 11);
  job.late = *rc::gen::element(LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll);
  job.late_limit = *rc::gen::inRange(1, 2'000'000);
  if (*rc::gen::arbitrary<bool>()) job.late_threshold = Duration(*rc::gen::inRange(0, 1'000'000));
  job.delivery = *rc::gen::element(Delivery::kAtLeastOnce, Delivery::kAtMostOnce);
  job.retry.max_attempts = *rc::gen::inRange(1, 10);
  job.retry.delay = Duration(*rc::gen::inRange(0, 10'000'000));
  job.retry.factor = 1.0 + *rc::gen::inRange(0, 1000) / 7.0;
  job.retry.delays.resize(*rc::gen::inRange<std::size_t>(0, 4), Duration(*rc::gen::inRange(0, 10'000'000)));
  job.retry.jitter = *rc::gen::inRange(0, 11) / 10.0;
  job.retry.on = *rc::gen::element(RetryOn::kAny, RetryOn::kFailed, RetryOn::kTimedOut);
  job.timeout = Duration(*rc::gen::inRange(0, 10'000'000));
  job.deadline = Duration(*rc::gen::element(0, 1'000'001, 5'000'000));
  job.label = *rc::gen::element<std::string>("", "gpu");
  using Names = std::vector<std::string>;
  for (const std::string& name : *rc::gen::element(Names{}, Names{"tenant"}, Names{"a b", "\"", "z"})) {
    job.metadata[name] = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
  }
  job.jitter = Duration(*rc::gen::inRange(0, 500'000));
  job.flex = Duration(*rc::gen::inRange(0, 500'000));
  job.overlap = *rc::gen::element(Overlap::kWait, Overlap::kReplace);
  job.lost_limit = *rc::gen::inRange(1, 10);
  job.pause_after = *rc::gen::inRange(0, 10);
  job.unique = *rc::gen::element<std::string>("", "key", "\xC3\xBC");
  if (!job.unique.empty()) job.unique_for = Duration(*rc::gen::inRange<std::int64_t>(0, 1'000'000'000));
  for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
    job.limits.push_back({.key = "\"z\xC3\xBC=\" " + std::to_string(i), .slots = *rc::gen::inRange(1, 10'001)});
    job.rates.push_back({.key = std::to_string(i),
                         .starts = *rc::gen::inRange(1, 10'001),
                         .per = Duration(*rc::gen::inRange(100'000, 2'000'000'000))});
  }
  if (*rc::gen::arbitrary<bool>()) job.schedule = Schedule::At(FromMicros(*rc::gen::inRange(0, 1'000'000'000))).value();
  const auto read = DefinitionFromJson(job.id, DefinitionToJson(job));
  RC_ASSERT(read.has_value());
  RC_ASSERT(*read == job);
  RC_ASSERT(DefinitionToJson(*read) == DefinitionToJson(job));
}

TEST(DefinitionJson, MetadataAreFoundInTextThatCannotBeReadOtherwise) {
  const std::string json = R"({"schedule":"lunar","task":"t","metadata":{"a":"1","b":"2"}})";
  EXPECT_TRUE(HasMetadata(json, {}));
  EXPECT_TRUE(HasMetadata(json, {{"a", "1"}}));
  EXPECT_TRUE(HasMetadata(json, {{"a", "1"}, {"b", "2"}}));
  EXPECT_FALSE(HasMetadata(json, {{"a", "2"}}));
  EXPECT_FALSE(HasMetadata(json, {{"c", ""}}));
  for (const char* none : {"", "[]", "{}", R"({"metadata":7})", R"({"metadata":[]})"}) {
    EXPECT_TRUE(HasMetadata(std::string_view(none), {})) << none;
    EXPECT_FALSE(HasMetadata(std::string_view(none), {{"a", "1"}})) << none;
  }
}

TEST(DefinitionJson, LeavesOutTheLatePolicyThatIsUsualForTheSchedule) {
  JobDefinition every = Plain();
  JobDefinition cron = Plain();
  cron.schedule = Schedule::Parse("@daily").value();
  EXPECT_EQ(LateOf(every), LatePolicy::kRunOnce);
  EXPECT_EQ(LateOf(cron), LatePolicy::kSkip);
  for (JobDefinition* job : {&every, &cron}) {
    JobDefinition same = *job;
    same.late = LateOf(*job);
    EXPECT_EQ(DefinitionToJson(same).find("late"), std::string::npos);
    EXPECT_TRUE(same == *job);
    same.late = LatePolicy::kRunAll;
    EXPECT_FALSE(same == *job);
  }
}

TEST(Names, AreThoseOfTheDocs) {
  EXPECT_EQ(VerdictName(Verdict::kTimedOut), "timed out");
  EXPECT_EQ(VerdictName(Verdict::kSkippedMisfired), "skipped: misfired");
  EXPECT_EQ(JobStateName(JobState::kFinished), "finished");
}

}  // namespace
}  // namespace escapement
