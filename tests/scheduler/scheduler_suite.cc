#include "tests/scheduler/scheduler_suite.h"

namespace escapement {

TEST_P(SchedulerSuite, AJobRunsAtItsPointsAndNeverEarly) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  const JobDefinition job = Points("job", 20, milliseconds(20));
  Enqueue({job});
  ASSERT_TRUE(AwaitFinished("job"));
  ExpectAllSucceeded("job", 20);
  const auto lines = notebook_.lines();
  ASSERT_EQ(lines.size(), 20U);
  std::optional<Instant> point;
  for (const auto& line : lines) {
    point = job.schedule.Next(point.value_or(FromMicros(0)));
    EXPECT_EQ(line.fire, *point);
    EXPECT_GE(line.now, line.fire);
  }
  auto runs = client_->Runs({.job_id = "job"});
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 20U);
  for (const RunInfo& run : *runs) EXPECT_GE(*run.started_at, run.fire_time);
}

TEST_P(SchedulerSuite, AnInstantThatPassedRunsOnce) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  const Instant passed = std::chrono::floor<seconds>(Now() - hours(3));
  auto outcome = client_->At("late", passed, "note", "hello");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, EnqueueOutcome::kCreated);
  ASSERT_TRUE(AwaitFinished("late"));
  ExpectAllSucceeded("late", 1);
  const auto lines = notebook_.lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].fire, passed);
  EXPECT_EQ(lines[0].payload, "hello");
}

TEST_P(SchedulerSuite, HandlersMayBlockOrAnswerLater) {
  auto pod = Open("pod");
  std::mutex mutex;
  std::vector<std::jthread> threads;  // guarded by mutex
  pod->Handle("blocking", [](const RunContext&) -> Status { return {}; });
  pod->Handle("throwing", [](const RunContext&) -> Status { throw std::runtime_error("thrown by a task"); });
  pod->HandleAsync("at once", [](const RunContext&, Done done) { done({}); });
  pod->HandleAsync("later", [&](const RunContext&, Done done) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([done] {
      done({});
      done(Fail(Code::kInternal, "nobody listens any more"));
    });
  });
  pod->HandleAsync("forgotten", [](const RunContext&, Done) {});
  pod->OnSuccess([&](const RunReport& report) { notebook_.Write(report); });
  pod->OnFailure([&](const RunReport& report) { notebook_.Write(report); });
  ASSERT_TRUE(pod->Start());
  const std::vector<std::string> tasks = {"blocking", "throwing", "at once", "later", "forgotten", "unknown"};
  for (const auto& task : tasks) Enqueue({Once(task, task)});
  ASSERT_TRUE(notebook_.AwaitReports(tasks.size()));
  std::map<std::string, RunReport> reports;
  for (const auto& report : notebook_.reports()) reports[report.run.job->id] = report;
  for (const char* good : {"blocking", "at once", "later"}) {
    EXPECT_EQ(reports[good].verdict, Verdict::kSucceeded) << good;
    EXPECT_EQ(reports[good].error, "") << good;
  }
  EXPECT_THAT(reports["throwing"].error, testing::HasSubstr("thrown by a task"));
  for (const char* bad : {"throwing", "forgotten", "unknown"}) {
    EXPECT_EQ(reports[bad].verdict, Verdict::kFailed) << bad;
    EXPECT_NE(reports[bad].error, "") << bad;
  }
  for (const auto& task : tasks) EXPECT_TRUE(AwaitFinished(task)) << task;
  EXPECT_EQ(Law("").missing, 0);
  ASSERT_TRUE(pod->Stop(seconds(5)));
}

TEST_P(SchedulerSuite, AFailureIsTriedAgainAsOftenAsItsPolicySays) {
  auto pod = Open("pod");
  pod->Handle("third time", [&](const RunContext& run) -> Status {
    notebook_.Write("pod", run);
    if (run.attempt < 3) return Fail(Code::kUnavailable, "not yet");
    return {};
  });
  pod->Handle("never", [](const RunContext&) -> Status { return Fail(Code::kUnavailable, "never works"); });
  pod->OnSuccess([&](const RunReport& report) { notebook_.Write(report); });
  pod->OnFailure([&](const RunReport& report) { notebook_.Write(report); });
  ASSERT_TRUE(pod->Start());
  JobDefinition good = Once("good", "third time"), bad = Once("bad", "never");
  good.retry = {.max_attempts = 5, .delay = milliseconds(20), .factor = 1};
  bad.retry = {.max_attempts = 2, .delay = milliseconds(20), .factor = 1};
  Enqueue({good, bad});
  ASSERT_TRUE(AwaitFinished("good"));
  ASSERT_TRUE(AwaitFinished("bad"));
  ASSERT_TRUE(notebook_.AwaitReports(5));

  const auto lines = notebook_.lines();
  ASSERT_EQ(lines.size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lines[i].attempt, i + 1);
    EXPECT_EQ(lines[i].fire, lines[0].fire);
  }
  // The delay is of the store's time: a task that reads its own clock may see it shorter.
  auto attempts = client_->Runs({.job_id = "good"});
  ASSERT_TRUE(attempts);
  ASSERT_EQ(attempts->size(), 3U);
  for (int i = 0; i < 2; ++i) {
    EXPECT_GE(*attempts->at(i).started_at - *attempts->at(i + 1).finished_at, milliseconds(20));
  }
  for (const auto& report : notebook_.reports()) {
    const bool last = report.run.job->id == "good" ? report.run.attempt == 3 : report.run.attempt == 2;
    EXPECT_EQ(report.retried, !last);
    EXPECT_EQ(report.verdict, last && report.run.job->id == "good" ? Verdict::kSucceeded : Verdict::kFailed);
  }
  auto runs = client_->Runs({.job_id = "bad"});
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 2U);
  for (const RunInfo& run : *runs) {
    EXPECT_EQ(run.settles, run.attempt == 2 ? 1 : 0);
    EXPECT_THAT(run.error, testing::HasSubstr("never works"));
  }
  const Audit law = Law("");
  EXPECT_EQ(law.missing, 0);
  EXPECT_EQ(law.doubled, 0);
}

TEST_P(SchedulerSuite, ARunThatTakesTooLongIsCancelledAndTimesOut) {
  auto pod = Open("pod");
  Gate never;
  pod->Handle("hangs", [&](const RunContext& run) -> Status {
    never.Wait(run.cancelled);
    return Fail(Code::kTimeout, "was told to stop");
  });
  pod->OnFailure([&](const RunReport& report) { notebook_.Write(report); });
  ASSERT_TRUE(pod->Start());
  JobDefinition job = Once("slow", "hangs");
  job.timeout = milliseconds(50);
  Enqueue({job});
  ASSERT_TRUE(notebook_.AwaitReports(1));
  EXPECT_EQ(notebook_.reports()[0].verdict, Verdict::kTimedOut);
  ASSERT_TRUE(AwaitFinished("slow"));
  EXPECT_EQ(Law("slow").settled, (std::map<Verdict, std::int64_t>{{Verdict::kTimedOut, 1}}));
}

TEST_P(SchedulerSuite, TheSameDefinitionAgainChangesNothing) {
  const EveryOptions every{.interval = seconds(10)};  // a grid that starts with the job
  auto first = client_->Every("job", every, "note", "text");
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, EnqueueOutcome::kCreated);
  auto again = client_->Every("job", every, "note", "text");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, EnqueueOutcome::kUnchanged);
  EXPECT_EQ(client_->Get("job")->version, 1);
  auto changed = client_->Every("job", every, "note", "another text");
  ASSERT_TRUE(changed);
  EXPECT_EQ(*changed, EnqueueOutcome::kUpdated);
  EXPECT_EQ(client_->Get("job")->version, 2);
}

TEST_P(SchedulerSuite, ABadJobRefusesItsBatchAndChangesNothing) {
  JobDefinition good = Once("good"), bad = Once("");
  auto refused = client_->Enqueue({good, bad});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_FALSE(client_->Get("good"));
  auto never = client_->Every("never", {.interval = Duration(0)}, "note");
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, Code::kInvalidArgument);
}

TEST_P(SchedulerSuite, AnUpdateChangesAJobThatIsOwned) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  JobDefinition job = Points("job", 100'000, milliseconds(30));
  Enqueue({job});
  ASSERT_TRUE(notebook_.AwaitLines(3));
  EXPECT_EQ(client_->Get("job")->owner_pod, "pod");

  const Instant anchor = std::chrono::floor<seconds>(Now()) + milliseconds(7);
  const Instant end = anchor + seconds(6);
  job.schedule = *Schedule::Every({.interval = milliseconds(50), .anchor = anchor, .end = end});
  job.task = "other";
  Enqueue({job}, EnqueueOutcome::kUpdated);
  ASSERT_TRUE(AwaitFinished("job"));
  bool changed = false;
  for (const auto& line : notebook_.lines()) {
    EXPECT_FALSE(changed && line.task == "note") << "the old definition ran after the new one";
    changed = changed || line.task == "other";
    // The occurrence that was under way keeps its time.
    if (line.task == "other") {
      EXPECT_LT(line.fire, end + milliseconds(30));
    }
  }
  EXPECT_TRUE(changed);
  const Audit law = Law("job");
  EXPECT_EQ(law.missing, 0);
  EXPECT_EQ(law.doubled, 0);
  EXPECT_EQ(law.expected, client_->Get("job")->settled_total);
}

TEST_P(SchedulerSuite, ARunUnderWayIsSettledBeforeItsJobIsGone) {
  auto pod = Open("pod");
  Gate gate;
  pod->Handle("held", [&](const RunContext& run) -> Status {
    notebook_.Write("pod", run);
    gate.Wait();
    return {};
  });
  ASSERT_TRUE(pod->Start());
  JobDefinition job = Points("job", 100'000, milliseconds(20));
  job.task = "held";
  Enqueue({job});
  ASSERT_TRUE(notebook_.AwaitLines(1));
  ASSERT_TRUE(client_->Remove("job"));
  auto again = client_->Remove("job");
  EXPECT_TRUE(!again && again.error().code == Code::kNotFound);
  gate.Open();
  ASSERT_TRUE(Eventually([&] {
    auto runs = client_->Runs({.job_id = "job"});
    return runs && runs->size() == 1;
  }));
  ASSERT_TRUE(Eventually([&] { return pod->Counters().owned == 0; }));
  auto gone = client_->Get("job");
  EXPECT_TRUE(!gone && gone.error().code == Code::kNotFound);
  // The next run may have begun before the answer to the first one's commit told the pod; no other has.
  EXPECT_LE(notebook_.lines().size(), 2U);

  // A new job of that name is a new job.
  Enqueue({Points("job", 3, milliseconds(20))});
}

TEST_P(SchedulerSuite, APausedJobSkipsAndAResumedOneGoesOn) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  Enqueue({Points("job", 100'000, milliseconds(20))});
  ASSERT_TRUE(notebook_.AwaitLines(3));
  ASSERT_TRUE(client_->Pause("job"));
  ASSERT_TRUE(Eventually([&] { return pod->Counters().owned == 0 && pod->Counters().running == 0; }));
  auto paused = client_->Get("job");
  ASSERT_TRUE(paused);
  EXPECT_EQ(paused->state, JobState::kPaused);
  EXPECT_FALSE(paused->owner_pod);
  // Three points pass.
  const Instant enough = paused->cursor + milliseconds(60);
  ASSERT_TRUE(Eventually([&] { return Now() > enough; }));
  const auto before = notebook_.lines().size();
  EXPECT_GE(notebook_.lines().back().fire, paused->cursor);

  ASSERT_TRUE(client_->Resume("job"));
  ASSERT_TRUE(notebook_.AwaitLines(before + 3));
  ASSERT_TRUE(client_->Remove("job"));
  ASSERT_TRUE(Eventually([&] { return pod->Counters().owned == 0; }));
  EXPECT_GT(notebook_.lines()[before].fire, enough - milliseconds(20));
  auto runs = client_->Runs({.job_id = "job", .limit = 1000});
  ASSERT_TRUE(runs);
  std::int64_t skipped = 0;
  for (const RunInfo& run : *runs) {
    if (run.verdict != Verdict::kSkippedPaused) continue;
    skipped += run.settles;
    EXPECT_EQ(run.fire_time, paused->cursor + milliseconds(20));
  }
  EXPECT_GE(skipped, 2);
  EXPECT_EQ(client_->Pause("nobody").error().code, Code::kNotFound);
  EXPECT_EQ(client_->Resume("nobody").error().code, Code::kNotFound);
}

TEST_P(SchedulerSuite, TwoSchedulersShareTheJobsAndOneThatStopsHandsItsOwnOver) {
  constexpr int kJobs = 20;
  constexpr int kPoints = 120;
  auto one = OpenWithNotes("one");
  auto two = OpenWithNotes("two");
  ASSERT_TRUE(one->Start());
  ASSERT_TRUE(two->Start());
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < kJobs; ++i) {
    jobs.push_back(Points("job-" + std::to_string(100 + i), kPoints, milliseconds(50), milliseconds(300)));
  }
  Enqueue(jobs);
  ASSERT_TRUE(notebook_.Await([](const auto& lines) {
    std::map<std::string, int> by_pod;
    for (const auto& line : lines) ++by_pod[line.pod];
    return by_pod["one"] >= 100 && by_pod["two"] >= 100;
  })) << "they do not share";
  auto pods = client_->Pods();
  ASSERT_TRUE(pods);
  EXPECT_EQ(pods->size(), 2U);

  ASSERT_TRUE(two->Stop(seconds(5)));
  EXPECT_EQ(two->Counters().owned, 0U);
  EXPECT_EQ(client_->Pods()->size(), 1U);
  const auto stopped_at = notebook_.lines().size();
  for (const auto& job : jobs) ASSERT_TRUE(AwaitFinished(job.id));
  ExpectAllSucceeded("job-", kJobs * kPoints);
  std::set<std::pair<std::string, Instant>> met;
  const auto lines = notebook_.lines();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_TRUE(met.emplace(lines[i].job, lines[i].fire).second) << lines[i].job << " ran twice";
    if (i >= stopped_at) {
      EXPECT_EQ(lines[i].pod, "one");
    }
  }
  EXPECT_EQ(met.size(), std::size_t{kJobs * kPoints});
  EXPECT_GT(lines.size(), stopped_at) << "it stopped too late to show anything";
}

TEST_P(SchedulerSuite, StoppingLetsARunEndWithinItsGrace) {
  auto pod = Open("pod");
  Gate gate;
  pod->Handle("held", [&](const RunContext& run) -> Status {
    notebook_.Write("pod", run);
    if (!gate.Wait(run.cancelled)) return Fail(Code::kUnavailable, "cancelled");
    return {};
  });
  ASSERT_TRUE(pod->Start());
  Enqueue({Once("job", "held")});
  ASSERT_TRUE(notebook_.AwaitLines(1));
  std::jthread stopper([&] { EXPECT_TRUE(pod->Stop(kPatience)); });
  gate.Open();
  stopper.join();
  EXPECT_EQ(client_->Get("job")->state, JobState::kFinished);
  ExpectAllSucceeded("job", 1);
}

TEST_P(SchedulerSuite, StoppingWithoutGraceHandsARunToAnotherPod) {
  auto one = Open("one");
  Gate never;
  one->Handle("note", [&](const RunContext& run) -> Status {
    notebook_.Write("one", run);
    never.Wait(run.cancelled);
    return Fail(Code::kUnavailable, "cancelled");
  });
  ASSERT_TRUE(one->Start());
  Enqueue({Once("job")});
  ASSERT_TRUE(notebook_.AwaitLines(1));
  auto two = OpenWithNotes("two");
  ASSERT_TRUE(two->Start());
  EXPECT_TRUE(one->Stop(Duration(0)));
  ASSERT_TRUE(AwaitFinished("job"));
  ASSERT_EQ(notebook_.lines().size(), 2U);
  EXPECT_EQ(notebook_.lines()[1].pod, "two");
  EXPECT_EQ(notebook_.lines()[1].fire, notebook_.lines()[0].fire);
  ExpectAllSucceeded("job", 1);
}

TEST_P(SchedulerSuite, AnswersQuestions) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  EXPECT_EQ(pod->pod_name(), "pod");
  Enqueue(
      {Points("a-1", 5, milliseconds(20)), Points("a-2", 5, milliseconds(20)), Points("b-1", 5, hours(1), hours(1))});
  ASSERT_TRUE(AwaitFinished("a-1"));
  ASSERT_TRUE(AwaitFinished("a-2"));

  auto job = client_->Get("b-1");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->state, JobState::kActive);
  EXPECT_EQ(job->definition.task, "note");
  EXPECT_EQ(job->settled_total, 0);
  auto nobody = client_->Get("c");
  EXPECT_TRUE(!nobody && nobody.error().code == Code::kNotFound);

  const auto ids = [&](const JobFilter& filter) {
    auto list = client_->List(filter);
    EXPECT_TRUE(list);
    std::vector<std::string> out;
    for (const auto& each : list.value_or(std::vector<JobInfo>())) out.push_back(each.definition.id);
    return out;
  };
  EXPECT_THAT(ids({}), testing::UnorderedElementsAre("a-1", "a-2", "b-1"));
  EXPECT_THAT(ids({.id_prefix = "a-"}), testing::UnorderedElementsAre("a-1", "a-2"));
  EXPECT_THAT(ids({.state = JobState::kActive}), testing::ElementsAre("b-1"));
  EXPECT_EQ(ids({.limit = 2}).size(), 2U);

  auto runs = client_->Runs({.job_id = "a-1", .limit = 3});
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 3U);
  EXPECT_GT((*runs)[0].fire_time, (*runs)[1].fire_time);  // the newest first
  EXPECT_EQ((*runs)[0].pod, "pod");
  const Instant last = (*runs)[0].fire_time;
  EXPECT_EQ(client_->Runs({.fire_to = last})->size(), 8U);
  EXPECT_EQ(client_->Runs({.job_id = "a-1", .fire_from = last})->size(), 1U);

  auto stats = client_->Stats();
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->jobs[JobState::kActive], 1);
  EXPECT_EQ(stats->jobs[JobState::kFinished], 2);
  EXPECT_EQ(stats->overdue, 0);
  auto pods = client_->Pods();
  ASSERT_TRUE(pods);
  ASSERT_EQ(pods->size(), 1U);
  EXPECT_EQ((*pods)[0].name, "pod");
  // The store may have the last commit while its answer is still on the way to the pod.
  ASSERT_TRUE(Eventually([&] { return pod->Counters().committed == 10; }));
  const PodCounters counters = pod->Counters();
  EXPECT_EQ(counters.started, 10U);
  EXPECT_EQ(counters.stale, 0U);
  EXPECT_EQ(counters.running, 0U);
  EXPECT_EQ(counters.sessions, 1U);
}

TEST_P(SchedulerSuite, HandlersAndCallbacksMayUseTheSchedulerWhileItStops) {
  auto pod = Open("pod");
  Gate gate;
  std::atomic<bool> running = false;
  pod->Handle("slow", [&](const RunContext& run) -> Status {
    running = true;
    gate.Wait(run.cancelled);
    auto enqueued = pod->Enqueue({Once("by the handler", "nobody's")});
    return enqueued ? Status() : Status(tl::unexpected(enqueued.error()));
  });
  pod->OnSuccess([&](const RunReport&) {
    EXPECT_TRUE(pod->Enqueue({Once("by the callback", "nobody's")}));
    (void)pod->Counters();
  });
  ASSERT_TRUE(pod->Start());
  Enqueue({Once("job", "slow")});
  ASSERT_TRUE(Eventually([&] { return running.load(); }));
  std::jthread opener([&] {
    std::this_thread::sleep_for(milliseconds(100));  // Stop is under way by then, or comes at once
    gate.Open();
  });
  ASSERT_TRUE(pod->Stop(seconds(60)));
  EXPECT_TRUE(client_->Get("by the handler"));
  EXPECT_TRUE(client_->Get("by the callback"));
  EXPECT_EQ(client_->Get("job")->state, JobState::kFinished);
}

TEST_P(SchedulerSuite, ATriggeredJobRunsOnceMoreBesideItsSchedule) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  Enqueue({Points("job", 1, hours(1), hours(1))});
  ASSERT_TRUE(client_->Trigger("job"));
  ASSERT_TRUE(client_->Trigger("job", "of its own"));
  ASSERT_TRUE(notebook_.AwaitLines(2));
  std::set<std::string> payloads;
  for (const auto& line : notebook_.lines()) payloads.insert(line.payload);
  EXPECT_EQ(payloads, (std::set<std::string>{"", "of its own"}));
  ASSERT_TRUE(Eventually([&] {
    auto runs = client_->Runs({.job_id = "job"});
    return runs && runs->size() == 2 && (*runs)[0].triggered && (*runs)[1].triggered;
  }));
  EXPECT_EQ(client_->Get("job")->settled_total, 0);
  auto none = client_->Trigger("none");
  EXPECT_TRUE(!none && none.error().code == Code::kNotFound);
}

TEST_P(SchedulerSuite, ACancelledRunEndsAndTheScheduleGoesOn) {
  auto pod = Open("pod");
  Gate gate;
  pod->Handle("held", [&](const RunContext& run) -> Status {
    notebook_.Write("pod", run);
    if (gate.Wait(run.cancelled)) return {};
    return Fail(Code::kInternal, "told to stop");
  });
  ASSERT_TRUE(pod->Start());
  JobDefinition job = Points("job", 2, milliseconds(20));
  job.task = "held";
  Enqueue({job});
  ASSERT_TRUE(notebook_.AwaitLines(1));
  ASSERT_TRUE(client_->Cancel("job"));
  ASSERT_TRUE(notebook_.AwaitLines(2));  // the next point
  gate.Open();
  ASSERT_TRUE(AwaitFinished("job"));
  const Audit audit = Law("job");
  EXPECT_EQ(audit.settled, (std::map<Verdict, std::int64_t>{{Verdict::kCancelled, 1}, {Verdict::kSucceeded, 1}}));
  auto nothing = client_->Cancel("job");
  EXPECT_TRUE(!nothing && nothing.error().code == Code::kConflict);
}

TEST_P(SchedulerSuite, AnArchiveComesBackAsItWas) {
  {
    auto pod = OpenWithNotes("pod");
    ASSERT_TRUE(pod->Start());
    Enqueue({Points("a", 3, milliseconds(20)), Points("b", 1, hours(1), hours(1))});
    ASSERT_TRUE(AwaitFinished("a"));
    ASSERT_TRUE(client_->Pause("b"));
    ASSERT_TRUE(pod->Stop(kPatience));
  }
  const auto exported = [&] {
    std::vector<std::string> lines;
    auto counts = client_->Export([&](std::string_view line) {
      lines.emplace_back(line);
      return Status();
    });
    EXPECT_TRUE(counts && counts->jobs == 2 && counts->runs == 3);
    return lines;
  };
  const auto import = [&](const std::vector<std::string>& lines) {
    std::size_t next = 0;
    return client_->Import([&]() -> Result<std::optional<std::string>> {
      if (next == lines.size()) return std::nullopt;
      return lines[next++];
    });
  };
  std::vector<std::string> lines = exported();

  auto there = import(lines);
  EXPECT_TRUE(!there && there.error().code == Code::kConflict);
  ASSERT_TRUE(client_->Remove("a"));
  ASSERT_TRUE(client_->Remove("b"));
  auto cut = import({lines.begin(), lines.end() - 1});
  EXPECT_TRUE(!cut && cut.error().code == Code::kInvalidArgument);
  for (const char* id : {"a", "b"}) (void)client_->Remove(id);
  auto spoiled = lines;
  spoiled[1] += "}";
  auto bad = import(spoiled);
  EXPECT_TRUE(!bad && bad.error().message.starts_with("line 2: "));
  EXPECT_TRUE(client_->List({})->empty());

  auto counts = import(lines);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->jobs, 2);
  EXPECT_EQ(counts->runs, 3);
  EXPECT_EQ(exported(), lines);

  int seen = 0;
  auto stopped = client_->Export(
      [&](std::string_view) { return ++seen < 2 ? Status() : Status(Fail(Code::kUnavailable, "full")); });
  EXPECT_TRUE(!stopped && stopped.error().message == "full");
  EXPECT_EQ(seen, 2);
}

TEST_P(SchedulerSuite, APodIsStartedOnce) {
  auto pod = OpenWithNotes("pod");
  ASSERT_TRUE(pod->Start());
  auto again = pod->Start();
  EXPECT_TRUE(!again && again.error().code == Code::kConflict);
  EXPECT_TRUE(pod->Stop(seconds(5)));
  EXPECT_TRUE(pod->Stop(seconds(5)));
}

TEST_P(SchedulerSuite, PodsWithoutANameTakeTheNextOrdinal) {
  SchedulerOptions options;
  options.pod_name_prefix = "worker-";
  auto one = Open("", options);
  auto two = Open("", options);
  ASSERT_TRUE(one->Start());
  ASSERT_TRUE(two->Start());
  EXPECT_EQ(one->pod_name(), "worker-1");
  EXPECT_EQ(two->pod_name(), "worker-2");
  // A name is free again when its pod has stopped.
  ASSERT_TRUE(one->Stop(seconds(5)));
  auto three = Open("", options);
  ASSERT_TRUE(three->Start());
  EXPECT_EQ(three->pod_name(), "worker-1");
}

}  // namespace escapement
