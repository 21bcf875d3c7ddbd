// What every JobStore must do: the tests in contract/store, which share this. An adapter's test program links
// store_contract, which holds them, and instantiates:
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, testing::Values(StoreUnderTest{"memory", MakeFreshStore}),
//   StoreName);
// They do not control the store's clock: what must be due soon is claimed with a long horizon, and outcomes are decided
// at instants of the test's own.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "job/archive.h"
#include "job/audit_ledger.h"
#include "job/queue_key.h"
#include "job/settle.h"
#include "job/text.h"
#include "ports/job_store.h"

namespace escapement {

struct StoreUnderTest {
  std::string name;
  std::function<std::unique_ptr<JobStoreFactory>()> fresh;  // of a store that is migrated and empty
};

inline std::string StoreName(const testing::TestParamInfo<StoreUnderTest>& info) { return info.param.name; }
inline void PrintTo(const StoreUnderTest& store, std::ostream* out) { *out << store.name; }

class StoreContract : public testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr Duration kDay = std::chrono::hours(24);
  static constexpr Duration kHour = std::chrono::hours(1);
  static constexpr Duration kMinute = std::chrono::minutes(1);

  void SetUp() override {
    factory_ = GetParam().fresh();
    ASSERT_NE(factory_, nullptr);
    store_ = Connect();
    start_ = Must(store_->Now());
  }

  template <typename T>
  static T Must(Result<T> result) {
    if (!result) throw std::runtime_error(std::string(CodeName(result.error().code)) + ": " + result.error().message);
    return *std::move(result);
  }
  static void Must(const Status& status) {
    if (!status) throw std::runtime_error(std::string(CodeName(status.error().code)) + ": " + status.error().message);
  }

  std::unique_ptr<JobStore> Connect() { return Must(factory_->Open()); }

  SessionId OpenSession(const std::string& pod = "pod") {
    return Must(store_->OpenSession({.pod = pod, .ttl = std::chrono::seconds(5)}));
  }

  // Fires each hour, first in ten minutes.
  JobDefinition Hourly(const std::string& id, Duration first = 10 * kMinute) const {
    return {.id = id, .schedule = Grid(kHour, first), .task = "work"};
  }
  JobDefinition Once(const std::string& id, Duration from_start) const {
    return {.id = id, .schedule = Schedule::At(start_ + from_start).value(), .task = "work"};
  }
  Schedule Grid(Duration interval, Duration first) const {
    return Schedule::Every({.interval = interval, .anchor = start_ + first}).value();
  }

  EnqueueOutcome Enqueue(const JobDefinition& job) { return Must(store_->Enqueue({job})).at(0); }

  std::vector<ClaimedJob> Claim(SessionId session, int limit = 1000, Duration horizon = kDay,
                                const std::vector<std::string>& queues = {"default"}) {
    return Must(store_->Claim({.session = session, .horizon = horizon, .limit = limit, .queues = queues})).jobs;
  }
  ClaimedJob ClaimOne(SessionId session) {
    auto jobs = Claim(session);
    if (jobs.size() != 1) throw std::runtime_error("claimed " + std::to_string(jobs.size()) + " jobs instead of one");
    return jobs[0];
  }
  // Claims everything; gives what was triggered, of which there must be one.
  ClaimedJob ClaimTriggered(SessionId session) {
    std::vector<ClaimedJob> triggered;
    for (const ClaimedJob& job : Claim(session)) {
      if (job.definition->schedule.ToString().starts_with("at ")) triggered.push_back(job);
    }
    if (triggered.size() != 1) throw std::runtime_error("expected one triggered run");
    return triggered[0];
  }
  // Enqueues a job and claims it.
  ClaimedJob Own(SessionId session, const JobDefinition& job) {
    Enqueue(job);
    return ClaimOne(session);
  }

  static Completion Wrap(const ClaimedJob& job, const Settlement& settlement, bool keep = false) {
    return {.key = job.key,
            .fence = job.fence,
            .fire_time = job.present.fire_time,
            .attempt = job.present.attempt,
            .version = job.present.version,
            .run = settlement.run,
            .next = settlement.next,
            .keep = keep,
            .ran = job.definition};
  }
  static Completion Finish(const ClaimedJob& job, Verdict verdict = Verdict::kSucceeded, bool keep = false,
                           std::string error = {}) {
    const Outcome outcome{.verdict = verdict,
                          .started_at = job.present.fire_time,
                          .finished_at = job.present.fire_time + std::chrono::milliseconds(5),
                          .error = std::move(error)};
    return Wrap(job, Settle(*job.definition, job.present, outcome, job.present.fire_time), keep);
  }
  CommitAnswer Commit(SessionId session, const Completion& completion) {
    return Must(store_->Commit(session, {completion})).answers.at(0);
  }
  // Applies the plan that a row to plan needs, so that `job` is as its owner holds it.
  void PlanAnew(SessionId session, ClaimedJob& job) {
    ASSERT_TRUE(job.present.to_plan);
    const auto plan = SettleBeforeStart(*job.definition, job.present, start_);
    ASSERT_TRUE(plan.has_value());
    const CommitAnswer answer = Commit(session, Wrap(job, *plan, /*keep=*/true));
    ASSERT_EQ(answer.outcome, CommitOutcome::kApplied);
    ASSERT_EQ(answer.kept, plan->next.fire_time.has_value());
    job.present = Advance(job.present, plan->next);
  }

  std::int64_t BeatOf(SessionId session) {
    for (const SessionView& view : Must(store_->Beat({.session = session})).sessions) {
      if (view.id == session) return view.beat;
    }
    throw std::runtime_error("the session is not live");
  }
  void Bury(SessionId session) {  // as an observer does with a dead pod
    ASSERT_TRUE(Must(store_->Reclaim(session, BeatOf(session))).ended);
  }

  JobInfo Get(const std::string& id) { return Must(store_->Get(id)); }
  bool Exists(const std::string& id) {
    const auto info = store_->Get(id);
    if (!info) {
      EXPECT_EQ(info.error().code, Code::kNotFound);
    }
    return info && info->state != JobState::kRemoved;
  }
  std::vector<RunInfo> Runs(const std::string& id) { return Must(store_->Runs({.job_id = id, .limit = 10'000})); }

  std::vector<DeadLetter> Letters(const DeadLetterFilter& filter = {}) { return Must(store_->DeadLetters(filter)); }

  // Everything that is exported, in pages.
  static std::vector<ArchivedJob> AllJobs(JobStore& store, int page = 2) {
    std::vector<ArchivedJob> all;
    for (;;) {
      const auto jobs = Must(store.ExportJobs(all.empty() ? "" : all.back().definition.id, page));
      EXPECT_LE(jobs.size(), static_cast<std::size_t>(page));
      if (jobs.empty()) return all;
      all.insert(all.end(), jobs.begin(), jobs.end());
    }
  }
  static std::vector<RunInfo> AllRuns(JobStore& store, const std::vector<std::string>& ids, int page = 3) {
    std::vector<RunInfo> all;
    for (;;) {
      std::optional<RunPosition> after;
      if (!all.empty()) after = PositionOf(all.back());
      const auto runs = Must(store.ExportRuns(ids, after, page));
      EXPECT_LE(runs.size(), static_cast<std::size_t>(page));
      if (runs.empty()) return all;
      all.insert(all.end(), runs.begin(), runs.end());
    }
  }
  static std::vector<std::string> IdsOf(const std::vector<ArchivedJob>& jobs) {
    std::vector<std::string> ids;
    for (const ArchivedJob& job : jobs) ids.push_back(job.definition.id);
    return ids;
  }

  // What the audit of the whole ledger finds.
  static LedgerAudit AuditLedgerOf(JobStore& store, const AuditOptions& options = {}) {
    const LedgerSource source = {
        .now = [&] { return store.Now(); },
        .jobs = [&](const std::string& after, int limit) { return store.ExportJobs(after, limit); },
        .runs = [&](const std::vector<std::string>& ids, const std::optional<RunPosition>& after,
                    int limit) { return store.ExportRuns(ids, after, limit); },
    };
    return Must(AuditLedger(source, options, /*history_days=*/7));
  }
  static void ExpectTheLawHolds(const LedgerAudit& audit) {
    EXPECT_EQ(audit.breaches, 0);
    for (const Breach& breach : audit.named) {
      ADD_FAILURE() << breach.job_id << ": " << BreachName(breach.kind) << " from " << FormatInstant(breach.first)
                    << " to " << FormatInstant(breach.last) << ", points " << breach.points << ", settled "
                    << breach.settled;
    }
  }

  // Jobs in all the states that they can be in.
  void Populate() {
    const SessionId session = OpenSession("worker");
    const auto run = [&](const JobDefinition& definition, Verdict verdict, const std::string& error = {}) {
      ClaimedJob job = Own(session, definition);
      if (job.present.to_plan) PlanAnew(session, job);
      Must(store_->Begin(session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}}));
      Completion done = Finish(job, verdict, false, error);
      done.run->output = "printed by " + definition.id;
      ASSERT_EQ(Commit(session, done).outcome, CommitOutcome::kApplied);
      Must(store_->Pause(definition.id));  // out of the way of the next claim
    };
    JobDefinition retried = Hourly("retried");
    retried.retry.max_attempts = 3;
    run(retried, Verdict::kFailed, "it's \"broken\"");
    run(Once("finished", kMinute), Verdict::kTimedOut);
    run(Hourly("changed"), Verdict::kSucceeded);
    Must(store_->Resume("changed"));
    run(Hourly("changed", 15 * kMinute), Verdict::kSucceeded);
    run(Hourly("to plan"), Verdict::kCancelled);
    Enqueue(Hourly("to plan", 25 * kMinute));
    run(Hourly("triggered"), Verdict::kSucceeded);
    Must(store_->Trigger("triggered", std::nullopt));
    ASSERT_EQ(Commit(session, Finish(ClaimOne(session))).outcome, CommitOutcome::kApplied);
    const ClaimedJob late = Own(session, Hourly("skipped"));
    const auto skip = SkipStretch(*late.definition, late.present, start_ + kDay, Verdict::kSkippedMisfired);
    ASSERT_EQ(Commit(session, Wrap(late, *skip)).outcome, CommitOutcome::kApplied);
    Must(store_->Pause("skipped"));
    Own(session, Hourly("lost"));
    Bury(session);
    Enqueue(Hourly("z\xC3\xBCrich"));
  }

  // Waits for the store's clock.
  void WaitUntil(Instant instant) {
    for (int i = 0; i < 100'000 && Must(store_->Now()) <= instant; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    ASSERT_GT(Must(store_->Now()), instant);
  }

  std::unique_ptr<JobStoreFactory> factory_;
  std::unique_ptr<JobStore> store_;
  Instant start_;
};

}  // namespace escapement
