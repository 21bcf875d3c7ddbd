// The conservation law, over races and random histories.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, TheAuditFindsPointsWithoutAVerdict) {
  const SessionId session = OpenSession();
  Enqueue(Hourly("job-1"));
  Enqueue(Hourly("job-2"));
  Enqueue(Hourly("other"));
  for (const ClaimedJob& job : Claim(session)) {
    if (job.definition->id == "job-1") Commit(session, Finish(job));
  }
  Audit audit = Must(store_->AuditWindow("job-", start_, start_ + 2 * kHour));
  EXPECT_EQ(audit.jobs, 2);
  EXPECT_EQ(audit.expected, 4);
  EXPECT_EQ(audit.missing, 3);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_THAT(audit.settled, testing::ElementsAre(testing::Pair(Verdict::kSucceeded, 1)));
  EXPECT_EQ(Must(store_->AuditWindow("", start_ - kDay, start_)).expected, 0) << "no points before the creation";
  EXPECT_EQ(Must(store_->AuditWindow("none", start_, start_ + kDay)).jobs, 0);
}

// Rows that nobody settled so: an import adds history to jobs that know nothing of it.
TEST_P(StoreContract, TheAuditOfTheLedgerNamesWhatBreaksTheLaw) {
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, Hourly("job-1"));
  for (int i = 0; i < 4; ++i) {
    const Completion completion = Finish(job, Verdict::kSucceeded, /*keep=*/true);
    ASSERT_EQ(Commit(session, completion).outcome, CommitOutcome::kApplied);
    job.present = Advance(job.present, completion.next);
  }
  Enqueue(Hourly("job-2"));
  ExpectTheLawHolds(AuditLedgerOf(*store_));
  const Instant first = start_ + 10 * kMinute;
  const auto row = [&](const std::string& id, Instant fire_time) {
    return RunInfo{.job_id = id, .fire_time = fire_time, .last_fire = fire_time, .settled_at = start_, .pod = "rogue"};
  };
  RunInfo triggered = row("job-1", first + 2 * kHour);
  triggered.triggered = true;
  Must(store_->ImportRuns(
      {row("job-1", first + kHour), row("job-1", first + kHour + kMinute), triggered, row("job-2", first)}));
  const LedgerAudit audit = AuditLedgerOf(*store_);
  std::vector<std::string> named;
  for (const Breach& b : audit.named) {
    named.push_back(b.job_id + " " + std::string(BreachName(b.kind)) + " " + FormatDuration(b.first - first));
  }
  EXPECT_THAT(named, testing::ElementsAre("job-1 doubled 1h", "job-1 off_grid 1h1m", "job-2 ahead 0s"));
  EXPECT_EQ(audit.counts.expected, 4);
  ASSERT_EQ(audit.named.at(0).runs.size(), 2U);
  EXPECT_EQ(audit.named.at(0).runs[0].pod + audit.named.at(0).runs[1].pod, "roguepod");
}

TEST_P(StoreContract, RacingPodsSettleEachPointOnce) {
  constexpr int kJobs = 40;
  constexpr int kPoints = 12;
  constexpr int kThreads = 4;
  const Instant end = start_ + kMinute + kPoints * kMinute;
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < kJobs; ++i) {
    jobs.push_back({.id = "job-" + std::to_string(i),
                    .schedule = Schedule::Every({.interval = kMinute, .anchor = start_ + kMinute, .end = end}).value(),
                    .task = "work"});
  }
  Must(store_->Enqueue(jobs));
  std::atomic<int> settled = 0;
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, session = OpenSession(), store = std::shared_ptr<JobStore>(Connect())] {
        for (int i = 0; i < 5'000 && settled < kJobs * kPoints && failures == 0; ++i) {
          const auto claim = store->Claim({session, kDay, 9, {"default"}});
          if (!claim) {
            ++failures;
            continue;
          }
          std::vector<Completion> batch;
          for (const ClaimedJob& job : claim->jobs) batch.push_back(Finish(job));
          const auto reply = store->Commit(session, batch);
          if (!reply) {
            ++failures;
            continue;
          }
          for (const CommitAnswer& answer : reply->answers) {
            ++(answer.outcome == CommitOutcome::kApplied ? settled : failures);
          }
        }
      });
    }
  }
  EXPECT_EQ(failures, 0);
  ExpectTheLawHolds(AuditLedgerOf(*store_));
  const Audit audit = Must(store_->AuditWindow("job-", start_, end + kDay));
  EXPECT_EQ(audit.expected, kJobs * kPoints);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kFinished], kJobs);
}

// Pods that die, freeze, retry, skip, resend and release, and users who change, pause and resume: whatever happens,
// when all that was due is settled, every point has one verdict.
TEST_P(StoreContract, TheLawHoldsOverRandomHistories) {
  struct Pod {
    SessionId session = 0;
    std::vector<ClaimedJob> held;
    std::vector<Completion> sent;
  };
  constexpr Verdict kOutcomes[] = {Verdict::kSucceeded, Verdict::kSucceeded, Verdict::kFailed, Verdict::kTimedOut,
                                   Verdict::kCancelled};
  for (const unsigned seed : {1U, 2U, 3U}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::minstd_rand random(seed);
    const auto pick = [&](int n) { return static_cast<int>(random() / 7 % static_cast<unsigned>(n)); };
    const std::string prefix = "law-" + std::to_string(seed) + "-";
    const Instant begin = Must(store_->Now());
    Instant now = begin;  // as the pods believe
    const auto define = [&](int i) {
      JobDefinition job{.id = prefix + std::to_string(i),
                        .schedule = Grid((1 + pick(3)) * kMinute, Duration(pick(60'000'000))),
                        .task = "work"};
      job.late = static_cast<LatePolicy>(pick(3));
      job.late_limit = 1 + pick(3);
      job.delivery = static_cast<Delivery>(pick(2));
      job.retry = {.max_attempts = 1 + pick(3), .delay = Duration(pick(90'000'000))};
      job.lost_limit = 1 + pick(3);
      return job;
    };
    constexpr int kJobs = 6;
    for (int i = 0; i < kJobs; ++i) Enqueue(define(i));
    std::vector<Pod> pods(3);
    for (Pod& pod : pods) pod.session = OpenSession();

    const auto forget = [&](Pod& pod, std::size_t i) {
      pod.held.erase(pod.held.begin() + static_cast<std::ptrdiff_t>(i));
    };
    // Takes one step with a held job, as a pod would.
    const auto advance = [&](Pod& pod, std::size_t i, bool keep) {
      ClaimedJob& job = pod.held[i];
      auto settlement = SettleBeforeStart(*job.definition, job.present, now);
      if (!settlement) {
        if (job.present.due_at > now) return;
        if (job.definition->delivery == Delivery::kAtMostOnce) {
          if (!Must(
                  store_->Begin(pod.session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}}))[0]) {
            return forget(pod, i);
          }
          job.present.begun = true;
          if (pick(8) == 0) return;  // hangs; a begun occurrence of a living pod is settled as lost next time
        }
        settlement = Settle(*job.definition, job.present, {.verdict = kOutcomes[pick(5)]}, now);
      }
      const Completion completion = Wrap(job, *settlement, keep);
      const CommitAnswer answer = Commit(pod.session, completion);
      pod.sent.push_back(completion);
      if (answer.outcome != CommitOutcome::kApplied || !answer.kept) return forget(pod, i);
      job.present = Advance(job.present, settlement->next);
    };
    for (int step = 0; step < 250; ++step) {
      now += Duration(pick(40'000'000));
      Pod& pod = pods[static_cast<std::size_t>(pick(3))];
      switch (pick(14)) {
        case 0:
        case 1:
        case 2: {
          const Duration horizon = std::max(Duration::zero(), now - Must(store_->Now()));
          for (const ClaimedJob& job : Claim(pod.session, 1 + pick(4), horizon)) pod.held.push_back(job);
          break;
        }
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
          if (!pod.held.empty())
            advance(pod, static_cast<std::size_t>(pick(static_cast<int>(pod.held.size()))), pick(2) == 0);
          break;
        case 8:  // dies, or is frozen and tries to commit afterwards
          Bury(pod.session);
          if (!pod.held.empty()) {
            EXPECT_EQ(Commit(pod.session, Finish(pod.held[0])).outcome, CommitOutcome::kStale);
          }
          pod = {.session = OpenSession(), .held = {}, .sent = {}};
          break;
        case 9:
          if (!pod.sent.empty()) {
            EXPECT_NE(Commit(pod.session, pod.sent[static_cast<std::size_t>(pick(static_cast<int>(pod.sent.size())))])
                          .outcome,
                      CommitOutcome::kRefused);
          }
          break;
        case 10:
          if (!pod.held.empty()) {
            Must(store_->Release(pod.session, {{pod.held[0].key, pod.held[0].fence}}));
            forget(pod, 0);
          }
          break;
        case 11:
          if (pick(3) == 0) Enqueue(define(pick(kJobs)));
          break;
        case 12: Must(store_->Pause(prefix + std::to_string(pick(kJobs)))); break;
        case 13: Must(store_->Resume(prefix + std::to_string(pick(kJobs)))); break;
        default: break;
      }
    }
    // Settle all that is due.
    for (int i = 0; i < kJobs; ++i) Must(store_->Resume(prefix + std::to_string(i)));
    for (const Pod& pod : pods) Must(store_->EndSession(pod.session));
    const Instant end = now;
    Pod last{.session = OpenSession(), .held = {}, .sent = {}};
    for (int round = 0; round < 3000; ++round) {
      bool open = false;
      for (int i = 0; i < kJobs; ++i) {
        const JobInfo info = Get(prefix + std::to_string(i));
        open = open || (info.fire_time && *info.fire_time < end);
      }
      if (!open) break;
      now += kMinute;  // so that the last retries become due
      for (const ClaimedJob& job : Claim(last.session, 100, std::max(Duration::zero(), now - Must(store_->Now())))) {
        last.held.push_back(job);
      }
      while (!last.held.empty()) {
        if (last.held[0].present.due_at > now) {
          Must(store_->Release(last.session, {{last.held[0].key, last.held[0].fence}}));
          forget(last, 0);
        } else {
          advance(last, 0, false);
        }
      }
    }
    const Audit audit = Must(store_->AuditWindow(prefix, begin - kDay, end));
    EXPECT_EQ(audit.jobs, kJobs);
    EXPECT_GT(audit.expected, 50);
    EXPECT_EQ(audit.missing, 0);
    EXPECT_EQ(audit.doubled, 0);
    std::int64_t settled = 0;
    for (const auto& [verdict, count] : audit.settled) settled += count;
    EXPECT_EQ(settled, audit.expected);
    const LedgerAudit whole = AuditLedgerOf(*store_, {.id_prefix = prefix});
    ExpectTheLawHolds(whole);
    EXPECT_EQ(whole.counts.jobs, kJobs);
    EXPECT_GE(whole.counts.expected, audit.expected) << "some are settled already that end after the window";
    Must(store_->EndSession(last.session));
    for (int i = 0; i < kJobs; ++i) Must(store_->Remove(prefix + std::to_string(i)));
  }
}

}  // namespace escapement
