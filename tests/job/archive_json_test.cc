#include "job/archive_json.h"

#include <gtest/gtest.h>

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kT0 = FromMicros(1'700'000'000'000'000);

ArchivedJob SomeJob() {
  const Schedule old = Schedule::Every({.interval = 1s, .anchor = kT0}).value();
  const Schedule now = Schedule::Every({.interval = 2s, .anchor = kT0}).value();
  return {.definition = {.id = "a/\"ü",
                         .schedule = Schedule::Every({.interval = 2s}).value(),
                         .task = "work",
                         .payload = "{\"x\": 1}",
                         .late_threshold = 3s},
          .state = JobState::kPaused,
          .present = {.created_at = kT0,
                      .cursor = kT0 + 4s,
                      .fire_time = kT0 + 6s,
                      .due_at = kT0 + 7s,
                      .attempt = 2,
                      .version = 2,
                      .lost = 1,
                      .failures = 3,
                      .begun = true,
                      .to_plan = true,
                      .planned_from = kT0 + 5s,
                      .completed_at = kT0 + 8s},
          .settled_total = 17,
          .reigns = {{1, old, kT0, kT0 + 3s}, {2, now, kT0 + 3s, std::nullopt}}};
}

RunInfo SomeRun() {
  return {.job_id = "a/\"ü",
          .fire_time = kT0 + 1s,
          .last_fire = kT0 + 3s,
          .attempt = 3,
          .verdict = Verdict::kSkippedPaused,
          .settles = 3,
          .started_at = kT0,
          .finished_at = kT0 + 1us,
          .settled_at = kT0 + 9s,
          .pod = "p\t1",
          .error = "bad\nluck",
          .output = "out",
          .triggered = true};
}

ArchiveItem RoundTrip(const ArchiveItem& item) {
  ArchiveReader reader;
  EXPECT_TRUE(reader.Read(ArchiveLine(ArchiveHeader{})));
  auto read = reader.Read(ArchiveLine(item));
  EXPECT_TRUE(read) << read.error().message;
  return read.value_or(ArchiveHeader{});
}

TEST(ArchiveJson, IsReadBackExactly) {
  ArchivedJob plain{.definition = {.id = "b", .schedule = Schedule::At(FromMicros(0)).value(), .task = "t"},
                    .present = {.cursor = FromMicros(-1)},
                    .reigns = {{1, Schedule::At(FromMicros(0)).value(), FromMicros(-1), std::nullopt}}};
  for (const ArchiveItem& item : {ArchiveItem(SomeJob()), ArchiveItem(plain), ArchiveItem(SomeRun()),
                                  ArchiveItem(RunInfo{.job_id = "b"}), ArchiveItem(ArchiveEnd{})}) {
    const ArchiveItem read = RoundTrip(item);
    EXPECT_TRUE(read == item) << ArchiveLine(item) << "\n" << ArchiveLine(read);
    EXPECT_EQ(ArchiveLine(read), ArchiveLine(item));
  }
}

TEST(ArchiveJson, AStoreWithoutAPlaceForTheMarkOfCompletionNamesTheJob) {
  ArchivedJob job = SomeJob();
  const Status refused = CheckNoneCompleted({job});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("'a/"), std::string::npos);
  job.present.completed_at.reset();
  EXPECT_TRUE(CheckNoneCompleted({job}));
}

TEST(ArchiveJson, KeepsTheAnchorThatAGridHasFromItsJob) {
  ArchivedJob job = SomeJob();
  job.present.created_at = kT0 + 123ms;
  job.reigns = {{1, Schedule::Every({.interval = 1s}).value().AnchoredAt(kT0 + 123ms), kT0, std::nullopt}};
  const ArchiveItem read = RoundTrip(job);
  ASSERT_TRUE(std::holds_alternative<ArchivedJob>(read));
  EXPECT_EQ(std::get<ArchivedJob>(read).reigns.front().grid.Next(kT0 + 5s), kT0 + 5s + 123ms);
}

TEST(ArchiveJson, KeepsEveryVerdictAndState) {
  for (int v = 1; v <= 8; ++v) {
    RunInfo run{.job_id = "b", .verdict = static_cast<Verdict>(v)};
    EXPECT_TRUE(RoundTrip(run) == ArchiveItem(run)) << v;
  }
  for (const JobState state : {JobState::kActive, JobState::kPaused, JobState::kFinished}) {
    ArchivedJob job = SomeJob();
    job.state = state;
    EXPECT_TRUE(RoundTrip(job) == ArchiveItem(job)) << JobStateName(state);
  }
}

TEST(ArchiveJson, NamesTheLineThatIsWrong) {
  const std::string run = ArchiveLine(SomeRun());
  for (const std::string& line :
       {std::string(), std::string("{}"), std::string("[1]"), std::string(R"({"colour":1})"),
        ArchiveLine(ArchiveHeader{}), ArchiveLine(ArchiveEnd{1, 0}), std::string(R"({"run":{"job":"a"}})"),
        std::string(R"({"run":{"job":"a","fire_time":1,"verdict":"great","settled_at":1}})"),
        std::string(R"({"run":{"job":"a","fire_time":1,"verdict":"lost","settled_at":18446744073709551615}})"),
        std::string(R"({"run":{"job":"a\u0000","fire_time":1,"verdict":"lost","settled_at":1}})"),
        std::string(R"({"run":{"job":"a","fire_time":1,"verdict":"lost","settled_at":1,"attempt":0}})"),
        std::string(R"({"run":{"job":"a","fire_time":1,"last_fire":0,"verdict":"lost","settled_at":1}})"),
        std::string(R"({"job":{"id":"a"}})"), run.substr(0, run.size() - 1)}) {
    ArchiveReader reader;
    ASSERT_TRUE(reader.Read(ArchiveLine(ArchiveHeader{})));
    const auto item = reader.Read(line);
    ASSERT_FALSE(item) << line;
    EXPECT_EQ(item.error().code, Code::kInvalidArgument);
    EXPECT_TRUE(item.error().message.starts_with("line 2: ")) << item.error().message;
  }
}

TEST(ArchiveJson, WantsAHeaderFirstAndAnEndThatCounts) {
  ArchiveReader headless;
  EXPECT_FALSE(headless.Read(ArchiveLine(SomeJob())));
  ArchiveReader newer;
  EXPECT_FALSE(newer.Read(R"({"escapement_archive":2})"));

  ArchiveReader reader;
  ASSERT_TRUE(reader.Read(ArchiveLine(ArchiveHeader{})));
  ASSERT_TRUE(reader.Read(ArchiveLine(SomeJob())));
  ASSERT_TRUE(reader.Read(ArchiveLine(SomeRun())));
  EXPECT_FALSE(reader.Finish());  // cut off
  ASSERT_TRUE(reader.Read(ArchiveLine(ArchiveEnd{1, 1})));
  EXPECT_TRUE(reader.Finish());
  EXPECT_FALSE(reader.Read(ArchiveLine(SomeRun())));
}

}  // namespace
}  // namespace escapement
