// When occurrences start by their policies: jitter, flex windows, overlap, priorities.
#include <set>

#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

Duration LaterOf(const Started& s) { return kEpoch + s.at - s.fire_time; }

void ExpectConserved(World& world) {
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(30));
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_GT(audit.expected, 0);
}

TEST(PodPolicy, JitterPutsEachOccurrenceOffByItsOwnPart) {
  World world;
  world.Add("a");
  JobDefinition job = EveryJob("j", seconds(10));
  job.jitter = seconds(4);
  world.Enqueue({job});
  world.RunUntil(seconds(300));
  std::set<Duration> parts;
  for (const Started& s : world.starts) {
    EXPECT_GE(LaterOf(s), Duration(0));
    EXPECT_LE(LaterOf(s), seconds(4) + milliseconds(1));
    parts.insert(LaterOf(s));
  }
  EXPECT_THAT(world.starts, SizeIs(testing::Ge(29u)));
  EXPECT_GT(parts.size(), world.starts.size() * 9 / 10);
  EXPECT_LT(*parts.begin(), seconds(1));
  EXPECT_GT(*parts.rbegin(), seconds(3));
  ExpectConserved(world);
}

TEST(PodPolicy, JitterIsTheSameWhereverTheOccurrenceRuns) {
  const auto parts = [](std::size_t pods) {
    World world;
    for (std::size_t i = 0; i < pods; ++i) world.Add(std::string(1, static_cast<char>('a' + i)));
    JobDefinition job = EveryJob("j", seconds(10));
    job.jitter = seconds(4);
    world.Enqueue({job});
    world.RunUntil(seconds(100));
    std::map<Instant, Duration> out;
    for (const Started& s : world.starts) {
      out[s.fire_time] = std::chrono::round<milliseconds>(LaterOf(s) - milliseconds(1));
    }
    return out;
  };
  const auto alone = parts(1), three = parts(3);
  ASSERT_EQ(alone.size(), three.size());
  for (const auto& [fire_time, part] : alone) {
    EXPECT_LE(std::chrono::abs(three.at(fire_time) - part), milliseconds(2)) << FormatInstant(fire_time);
  }
}

TEST(PodPolicy, FlexGivesEachJobOnePlaceThatOthersDoNotMove) {
  World world;
  world.Add("a");
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 50; ++i) {
    jobs.push_back(EveryJob("j" + std::to_string(i), seconds(20)));
    jobs.back().flex = seconds(20);
  }
  world.Enqueue(jobs);
  world.RunUntil(seconds(100));
  std::map<std::string, Duration> place;
  std::map<std::int64_t, int> load;  // by tenths of the window
  for (const Started& s : world.starts) {
    const Duration part = LaterOf(s);
    EXPECT_LE(part, seconds(20) + milliseconds(1));
    const auto [it, fresh] = place.emplace(s.job, part);
    if (fresh) ++load[part / seconds(2)];
    EXPECT_LE(std::chrono::abs(it->second - part), milliseconds(2)) << s.job;
  }
  EXPECT_THAT(place, SizeIs(50));
  for (std::int64_t tenth = 0; tenth < 10; ++tenth) {
    EXPECT_GE(load[tenth], 4) << tenth;
    EXPECT_LE(load[tenth], 6) << tenth;
  }
  const std::size_t before = world.starts.size();
  ASSERT_TRUE(world.admin().Remove("j7"));
  JobDefinition one_more = EveryJob("new", seconds(20));
  one_more.flex = seconds(20);
  world.Enqueue({one_more});
  world.RunUntil(seconds(200));
  for (std::size_t i = before; i < world.starts.size(); ++i) {
    const Started& s = world.starts[i];
    if (s.job == "new" || s.job == "j7") continue;
    EXPECT_LE(std::chrono::abs(place.at(s.job) - LaterOf(s)), milliseconds(2)) << s.job;
  }
  EXPECT_THAT(world.StartsOf("new"), SizeIs(testing::Ge(3u)));
  ExpectConserved(world);
}

TEST(PodPolicy, LatenessCountsFromTheTimeToStartAndNotFromTheFireTime) {
  World world;
  world.Add("a");
  JobDefinition job = EveryJob("j", seconds(20));
  job.flex = seconds(20);
  job.late_threshold = milliseconds(100);
  job.late = LatePolicy::kSkip;
  world.Enqueue({job});
  world.RunUntil(seconds(200));
  EXPECT_THAT(world.starts, SizeIs(testing::Ge(8u)));
  for (const RunInfo& run : world.Runs("j")) EXPECT_EQ(run.verdict, Verdict::kSucceeded);
}

TEST(PodPolicy, ARunIsReplacedWhenTheNextOccurrenceIsDue) {
  World world;
  world.Add("a");
  world.task = [](const Started& s) {
    return Task{.duration = s.fire_time < kEpoch + seconds(10) ? hours(1) : milliseconds(1)};
  };
  JobDefinition job = EveryJob("j", seconds(2));
  job.overlap = Overlap::kReplace;
  job.retry.max_attempts = 5;
  world.Enqueue({job});
  world.RunUntil(seconds(40));
  const auto runs = world.Runs("j");
  ASSERT_GE(runs.size(), 10u);
  for (const RunInfo& run : runs) {
    const bool slow = run.fire_time < kEpoch + seconds(10);
    EXPECT_EQ(run.verdict, slow ? Verdict::kCancelled : Verdict::kSucceeded) << FormatInstant(run.fire_time);
    EXPECT_EQ(run.attempt, 1);
    EXPECT_THAT(run.error, slow ? HasSubstr("replaced") : HasSubstr(""));
  }
  for (const Started& s : world.starts) EXPECT_LE(LaterOf(s), milliseconds(5));
  ExpectConserved(world);
}

TEST(PodPolicy, ARetryThatWaitsIsReplacedToo) {
  World world;
  world.Add("a");
  world.task = [](const Started&) { return Task{.verdict = Verdict::kFailed, .error = "no"}; };
  JobDefinition job = EveryJob("j", seconds(2));
  job.overlap = Overlap::kReplace;
  job.retry = {.max_attempts = 5, .delay = milliseconds(1500), .factor = 1};
  world.Enqueue({job});
  world.RunUntil(seconds(40));
  for (const Started& s : world.starts) EXPECT_LE(s.attempt, 2);
  ExpectConserved(world);
}

TEST(PodPolicy, OfWhatPassedOnlyTheNewestReplaces) {
  World world;
  SimPod& a = world.Add("a");
  JobDefinition job = EveryJob("j", seconds(1));
  job.overlap = Overlap::kReplace;
  job.late = LatePolicy::kRunAll;
  job.late_threshold = hours(1);  // nothing is late by the other policy
  world.Enqueue({job});
  world.RunUntil(seconds(5));
  a.Kill();
  world.RunUntil(milliseconds(20'300));
  world.Add("b");
  world.RunUntil(seconds(60));
  std::int64_t overlapped = 0;
  for (const RunInfo& run : world.Runs("j")) {
    if (run.verdict == Verdict::kSkippedOverlapped) overlapped += run.settles;
  }
  EXPECT_GE(overlapped, 12);
  EXPECT_LE(world.StartsBetween(seconds(5), seconds(30)), 12u);
  ExpectConserved(world);
}

TEST(PodPolicy, WhereRunsMayOverlapEachStartsWhenItIsDue) {
  World world;
  world.Add("a");
  world.Add("b");
  world.task = [](const Started&) { return Task{.duration = seconds(7)}; };
  JobDefinition job = EveryJob("j", seconds(2));
  job.overlap = Overlap::kAllow;
  world.Enqueue({job});
  world.RunUntil(seconds(60));
  EXPECT_THAT(world.starts, SizeIs(testing::Ge(28u)));
  std::set<Instant> fire_times;
  for (const Started& s : world.starts) {
    EXPECT_LE(LaterOf(s), milliseconds(50)) << "it is claimed as soon as it was handed on";
    EXPECT_TRUE(fire_times.insert(s.fire_time).second);
  }
  std::map<Verdict, int> verdicts;
  for (const RunInfo& run : world.Runs("j")) {
    ++verdicts[run.verdict];
    EXPECT_EQ(run.triggered, run.verdict == Verdict::kSucceeded);
  }
  EXPECT_GE(verdicts[Verdict::kHandedOn], 28);
  EXPECT_GE(verdicts[Verdict::kSucceeded], 25);
  EXPECT_THAT(verdicts, SizeIs(2));
  ExpectConserved(world);
}

TEST(PodPolicy, WhatFollowsStartsAtOnce) {
  World world;
  world.Add("a");
  world.Enqueue({{.id = "after", .schedule = Schedule::Manual(), .task = "task"}});
  JobDefinition job = EveryJob("first", seconds(2));
  job.on_success = {"after"};
  world.Enqueue({job});
  world.RunUntil(seconds(60));
  int followed = 0;
  for (const Started& s : world.starts) {
    if (s.job != "after") continue;
    ++followed;
    EXPECT_LE(LaterOf(s), milliseconds(50));
  }
  EXPECT_GE(followed, 28);
  ExpectConserved(world);
}

TEST(PodPolicy, AHighPriorityIsServedFirstAndALowOneIsNotStarved) {
  World world;
  sim::PodSetup setup;
  setup.options.max_running = 1;
  world.Add("a", setup);
  world.task = [](const Started&) { return Task{.duration = milliseconds(100)}; };
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 40; ++i) {  // four times what one slot can run
    jobs.push_back(EveryJob("high" + std::to_string(i), seconds(1)));
    jobs.back().priority = 9;
    jobs.back().late_threshold = hours(1);
  }
  JobDefinition low = OnceJob("low", seconds(20));
  JobDefinition top = OnceJob("top", seconds(20));
  top.priority = 10;
  jobs.push_back(low);
  jobs.push_back(top);
  world.Enqueue(jobs);
  world.RunUntil(seconds(400));
  ASSERT_THAT(world.StartsOf("top"), SizeIs(1));
  EXPECT_LE(LaterOf(world.StartsOf("top")[0]), seconds(1));
  ASSERT_THAT(world.StartsOf("low"), SizeIs(1)) << "one start of eight goes to what waits longest";
  EXPECT_GT(LaterOf(world.StartsOf("low")[0]), seconds(1));
}

}  // namespace
}  // namespace escapement
