#include "executors/function/function_executor.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <latch>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "tests/executors/reports.h"

namespace escapement {
namespace {

using std::chrono::seconds;

StartRun RunOf(RunId id, const std::string& task) {
  StartRun run;
  run.id = id;
  run.job = std::make_shared<const JobDefinition>(
      JobDefinition{.id = "job", .schedule = *Schedule::At(FromMicros(0)), .task = task});
  run.start_before = BootClock::now() + seconds(60);
  return run;
}

class FunctionExecutorTest : public ::testing::Test {
 protected:
  FunctionExecutorTest() { executor.SetSink(reports.Sink()); }
  Reports reports;
  FunctionExecutor executor{2};
};

TEST_F(FunctionExecutorTest, ABlockingTaskGivesItsVerdict) {
  executor.Handle("good", [](const RunContext&) { return Status(); });
  executor.Handle("bad", [](const RunContext&) { return Status(Fail(Code::kInternal, "no luck")); });
  executor.Start({RunOf(1, "good"), RunOf(2, "bad")});
  EXPECT_EQ(reports.Of(1).verdict, Verdict::kSucceeded);
  EXPECT_TRUE(reports.Of(1).started);
  EXPECT_EQ(reports.Of(2).verdict, Verdict::kFailed);
  EXPECT_EQ(reports.Of(2).error, "no luck");
}

TEST_F(FunctionExecutorTest, ATaskThatThrowsFailsAndThePoolLives) {
  executor.Handle("throws", [](const RunContext&) -> Status { throw std::runtime_error("ouch"); });
  executor.Handle("throws int", [](const RunContext&) -> Status { throw 7; });
  executor.HandleAsync("throws async", [](const RunContext&, const Done&) { throw std::runtime_error("async ouch"); });
  executor.Handle("good", [](const RunContext&) { return Status(); });
  executor.Start({RunOf(1, "throws"), RunOf(2, "throws int"), RunOf(3, "throws async")});
  EXPECT_EQ(reports.Of(1).error, "the task threw: ouch");
  EXPECT_EQ(reports.Of(2).verdict, Verdict::kFailed);
  EXPECT_EQ(reports.Of(3).error, "the task threw: async ouch");
  executor.Start({RunOf(4, "good")});
  EXPECT_EQ(reports.Of(4).verdict, Verdict::kSucceeded);
}

TEST_F(FunctionExecutorTest, TheContextNamesTheOccurrence) {
  RunContext seen;
  executor.Handle("look", [&](const RunContext& c) {
    seen = c;
    return Status();
  });
  StartRun run = RunOf(1, "look");
  run.fire_time = FromMicros(42);
  run.attempt = 3;
  run.fence = 99;
  run.key = 7;
  executor.Start({run});
  (void)reports.Of(1);
  executor.Shutdown(seconds(5));
  EXPECT_EQ(seen.fire_time, FromMicros(42));
  EXPECT_EQ(seen.attempt, 3);
  EXPECT_EQ(seen.fence, 99);
  EXPECT_EQ(seen.Token(), "7.99.42.3");
  EXPECT_EQ(seen.job->id, "job");
}

TEST_F(FunctionExecutorTest, WhatARunToldLastIsKnownUntilItEnds) {
  std::latch told(2), seen(1);
  RunContext kept;
  executor.Handle("tells", [&](const RunContext& c) {
    EXPECT_TRUE(executor.Progress().empty() || executor.Progress().front().id == 2) << "it told nothing yet";
    c.Progress(0.25, "begun");
    c.Progress(0.5, "half");
    kept = c;
    told.count_down();
    seen.wait();
    return Status();
  });
  Done done;
  executor.HandleAsync("tells async", [&](const RunContext& c, Done d) {
    c.Progress(0.75);
    done = std::move(d);
    told.count_down();
  });
  executor.Handle("silent", [](const RunContext&) { return Status(); });
  const BootTime before = BootClock::now();
  executor.Start({RunOf(1, "tells"), RunOf(2, "tells async"), RunOf(3, "silent")});
  told.wait();
  (void)reports.Of(3);
  auto progress = executor.Progress();
  std::sort(progress.begin(), progress.end(), [](const RunTold& a, const RunTold& b) { return a.id < b.id; });
  ASSERT_EQ(progress.size(), 2U);
  EXPECT_EQ(progress[0].id, 1U);
  EXPECT_EQ(progress[0].part, 0.5);
  EXPECT_EQ(progress[0].note, "half");
  EXPECT_GE(progress[0].at, before);
  EXPECT_EQ(progress[1].id, 2U);
  EXPECT_EQ(progress[1].part, 0.75);
  EXPECT_EQ(progress[1].note, "");
  seen.count_down();
  (void)reports.Of(1);
  done(Status());
  (void)reports.Of(2);
  EXPECT_EQ(executor.Progress().size(), 0U);
  kept.Progress(1, "too late");
  EXPECT_EQ(executor.Progress().size(), 0U);
}

TEST_F(FunctionExecutorTest, WhatIsToldIsBounded) {
  RunContext context;
  Done done;
  std::latch begun(1);
  executor.HandleAsync("tells", [&](const RunContext& c, Done d) {
    context = c;
    done = std::move(d);
    begun.count_down();
  });
  executor.Start({RunOf(1, "tells")});
  begun.wait();
  const auto part_of = [&](double part) {
    context.Progress(part);
    return executor.Progress().at(0).part;
  };
  EXPECT_EQ(part_of(-1), 0);
  EXPECT_EQ(part_of(std::nan("")), 0);
  EXPECT_EQ(part_of(7), 1);
  EXPECT_EQ(part_of(std::numeric_limits<double>::infinity()), 1);
  EXPECT_EQ(part_of(0.3), 0.3);
  context.Progress(0, std::string(kNoteLimit - 1, 'x') + "\xC3\xA9");
  EXPECT_EQ(executor.Progress().at(0).note, std::string(kNoteLimit - 1, 'x')) << "cut between characters";
  context.Progress(0, std::string("a\0b\xFF", 4));
  EXPECT_EQ(executor.Progress().at(0).note,
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  done(Status());
  (void)reports.Of(1);
}

TEST_F(FunctionExecutorTest, AContextThatOutlivesTheExecutorTellsNobody) {
  RunContext context;
  {
    Reports own;
    FunctionExecutor gone(1);
    gone.SetSink(own.Sink());
    gone.Handle("look", [&](const RunContext& c) {
      context = c;
      return Status();
    });
    gone.Start({RunOf(1, "look")});
    (void)own.Of(1);
  }
  context.Progress(0.5, "nobody hears it");
}

TEST_F(FunctionExecutorTest, NoMoreBlockingTasksRunAtOnceThanThePoolHasThreads) {
  std::atomic<int> now = 0, most = 0;
  executor.Handle("count", [&](const RunContext&) {
    const int n = ++now;
    int m = most;
    while (n > m && !most.compare_exchange_weak(m, n)) {
    }
    std::this_thread::yield();
    --now;
    return Status();
  });
  std::vector<StartRun> runs;
  for (RunId i = 1; i <= 200; ++i) runs.push_back(RunOf(i, "count"));
  executor.Start(std::move(runs));
  for (RunId i = 1; i <= 200; ++i) (void)reports.Of(i);
  EXPECT_LE(most, 2);
  EXPECT_GE(most, 1);
}

TEST_F(FunctionExecutorTest, TenThousandWaitingTasksNeedNoThreads) {
  std::mutex mutex;
  std::vector<Done> waiting;
  std::set<std::thread::id> threads;
  executor.HandleAsync("wait", [&](const RunContext&, Done done) {
    const std::lock_guard lock(mutex);
    waiting.push_back(std::move(done));
    threads.insert(std::this_thread::get_id());
  });
  executor.Handle("after", [](const RunContext&) { return Status(); });
  std::vector<StartRun> runs;
  for (RunId i = 1; i <= 10'000; ++i) runs.push_back(RunOf(i, "wait"));
  executor.Start(std::move(runs));
  for (;;) {  // bounded by the test's time limit
    {
      const std::lock_guard lock(mutex);
      if (waiting.size() == 10'000) break;
    }
    std::this_thread::yield();
  }
  EXPECT_EQ(reports.count(), 0U);
  EXPECT_EQ(threads.size(), 1U);
  executor.Start({RunOf(20'000, "after")});
  EXPECT_EQ(reports.Of(20'000).verdict, Verdict::kSucceeded);  // the pool is free
  for (const Done& done : waiting) done({});
  for (RunId i = 1; i <= 10'000; ++i) EXPECT_EQ(reports.Of(i).verdict, Verdict::kSucceeded);
}

TEST_F(FunctionExecutorTest, ACompletionCountsOnce) {
  Done kept;
  std::latch called(1);
  executor.HandleAsync("twice", [&](const RunContext&, Done done) {
    done({});
    done(Fail(Code::kInternal, "too late"));
    kept = std::move(done);
    called.count_down();
  });
  executor.Start({RunOf(1, "twice")});
  called.wait();
  kept(Fail(Code::kInternal, "far too late"));
  EXPECT_EQ(reports.Of(1).verdict, Verdict::kSucceeded);
}

TEST_F(FunctionExecutorTest, ADroppedCompletionFailsTheRun) {
  executor.HandleAsync("drops", [](const RunContext&, const Done&) {});
  executor.Start({RunOf(1, "drops")});
  EXPECT_EQ(reports.Of(1).verdict, Verdict::kFailed);
  EXPECT_NE(reports.Of(1).error.find("dropped"), std::string::npos);
}

TEST_F(FunctionExecutorTest, CancellationIsSeenByTheTask) {
  executor.Handle("until cancelled", [](const RunContext& c) {
    std::mutex m;
    std::condition_variable_any v;
    std::unique_lock lock(m);
    v.wait(lock, c.cancelled, [] { return false; });
    return Status(Fail(Code::kInternal, "stopped as asked"));
  });
  executor.Start({RunOf(1, "until cancelled")});
  executor.Cancel(1);
  const RunFinished f = reports.Of(1);
  EXPECT_EQ(f.verdict, Verdict::kCancelled);
}

TEST_F(FunctionExecutorTest, NothingStartsAfterItsDeadline) {
  bool ran = false;
  executor.Handle("late", [&](const RunContext&) {
    ran = true;
    return Status();
  });
  StartRun run = RunOf(1, "late");
  run.start_before = BootClock::now() - Duration(1);
  executor.Start({run});
  EXPECT_FALSE(reports.Of(1).started);
  executor.Shutdown(seconds(5));
  EXPECT_FALSE(ran);
}

TEST_F(FunctionExecutorTest, AnUnknownTaskFailsAndIsNamed) {
  executor.Start({RunOf(1, "nobody's")});
  EXPECT_EQ(reports.Of(1).verdict, Verdict::kFailed);
  EXPECT_NE(reports.Of(1).error.find("nobody's"), std::string::npos);
}

TEST(FunctionExecutorLifeTest, AbandonedTasksDoNotHoldThePool) {
  Reports reports;
  std::atomic<bool> release = false;
  std::atomic<int> hanging = 0;
  {
    FunctionExecutor executor(2);
    executor.SetSink(reports.Sink());
    executor.Handle("hangs", [&](const RunContext&) {
      ++hanging;
      while (!release) std::this_thread::yield();
      --hanging;
      return Status();
    });
    executor.Handle("good", [](const RunContext&) { return Status(); });
    executor.Start({RunOf(1, "hangs"), RunOf(2, "hangs")});
    while (hanging < 2) std::this_thread::yield();
    executor.Start({RunOf(3, "good")});
    executor.Abandon(1);
    executor.Abandon(2);
    EXPECT_EQ(reports.Of(3).verdict, Verdict::kSucceeded);
    // The destructor does not wait for a task that hangs.
  }
  EXPECT_EQ(hanging, 2);
  release = true;
  while (hanging > 0) std::this_thread::yield();
}

TEST(FunctionExecutorLifeTest, ShutdownGivesRunningTasksTheirGraceAndReturnsTheQueued) {
  Reports reports;
  FunctionExecutor executor(1);
  executor.SetSink(reports.Sink());
  std::latch running(1);
  std::atomic<bool> release = false;
  executor.Handle("slow", [&](const RunContext&) {
    running.count_down();
    while (!release) std::this_thread::yield();
    return Status();
  });
  executor.Start({RunOf(1, "slow")});
  running.wait();
  executor.Start({RunOf(2, "slow")});
  std::jthread later([&] {
    (void)reports.Of(2);  // the queued one came back, unstarted
    release = true;
  });
  executor.Shutdown(seconds(20));
  EXPECT_TRUE(reports.Of(1).started);
  EXPECT_FALSE(reports.Of(2).started);
}

}  // namespace
}  // namespace escapement
