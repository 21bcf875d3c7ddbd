// Which verdicts result: each policy in each situation, row by row, with the pod's decisions (job/settle.h) on the
// store's own transitions. docs/policies.md is this table in words.

#include <chrono>

#include <fmt/format.h>

#include "contract/store_contract.h"

namespace escapement {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

enum class Situation { kOnTime, kLateByLess, kLateByMore, kOverlapping, kPodKilled, kPodKilledLate };

struct PolicyRow {
  const char* name;
  Situation situation;
  LatePolicy late = LatePolicy::kRunOnce;
  int late_limit = 1'000'000;
  Overlap overlap = Overlap::kWait;
  Delivery delivery = Delivery::kAtLeastOnce;
  const char* verdicts;  // of the ledger, the oldest first: "skipped: misfired 3, succeeded 1"
};

// Hourly points; late is what is later than ten minutes. "By more": three and a half hours, so that four points have
// passed. "Overlapping": the first run takes two and a half hours, so that two have.
const PolicyRow kPolicyRows[] = {
    {.name = "on time, skip", .situation = Situation::kOnTime, .late = LatePolicy::kSkip, .verdicts = "succeeded 1"},
    {.name = "on time, run_once",
     .situation = Situation::kOnTime,
     .late = LatePolicy::kRunOnce,
     .verdicts = "succeeded 1"},
    {.name = "on time, run_all",
     .situation = Situation::kOnTime,
     .late = LatePolicy::kRunAll,
     .verdicts = "succeeded 1"},
    {.name = "on time, replace",
     .situation = Situation::kOnTime,
     .overlap = Overlap::kReplace,
     .verdicts = "succeeded 1"},
    {.name = "late by less, skip",
     .situation = Situation::kLateByLess,
     .late = LatePolicy::kSkip,
     .verdicts = "succeeded 1"},
    {.name = "late by less, run_once",
     .situation = Situation::kLateByLess,
     .late = LatePolicy::kRunOnce,
     .verdicts = "succeeded 1"},
    {.name = "late by less, run_all",
     .situation = Situation::kLateByLess,
     .late = LatePolicy::kRunAll,
     .verdicts = "succeeded 1"},
    {.name = "late by less, replace",
     .situation = Situation::kLateByLess,
     .overlap = Overlap::kReplace,
     .verdicts = "succeeded 1"},
    {.name = "late by more, skip",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kSkip,
     .verdicts = "skipped: misfired 4"},
    {.name = "late by more, run_once",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kRunOnce,
     .verdicts = "skipped: misfired 3, succeeded 1"},
    {.name = "late by more, run_all",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kRunAll,
     .verdicts = "succeeded 1, succeeded 1, succeeded 1, succeeded 1"},
    {.name = "late by more, run_all of 2",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kRunAll,
     .late_limit = 2,
     .verdicts = "skipped: misfired 2, succeeded 1, succeeded 1"},
    {.name = "late by more, replace and run_all",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kRunAll,
     .overlap = Overlap::kReplace,
     .verdicts = "skipped: overlapped 3, succeeded 1"},
    {.name = "late by more, replace and skip",
     .situation = Situation::kLateByMore,
     .late = LatePolicy::kSkip,
     .overlap = Overlap::kReplace,
     .verdicts = "skipped: misfired 4"},
    {.name = "on time, allow",
     .situation = Situation::kOnTime,
     .overlap = Overlap::kAllow,
     .verdicts = "handed on 1, succeeded 1"},
    {.name = "late by more, allow and run_once",
     .situation = Situation::kLateByMore,
     .overlap = Overlap::kAllow,
     .verdicts = "skipped: misfired 3, handed on 1, succeeded 1"},
    {.name = "overlapping, allow",
     .situation = Situation::kOverlapping,
     .overlap = Overlap::kAllow,
     .verdicts = "handed on 1, succeeded 1, handed on 1, succeeded 1, handed on 1, succeeded 1"},
    {.name = "overlapping, skip",
     .situation = Situation::kOverlapping,
     .late = LatePolicy::kSkip,
     .verdicts = "succeeded 1, skipped: misfired 2"},
    {.name = "overlapping, run_once",
     .situation = Situation::kOverlapping,
     .late = LatePolicy::kRunOnce,
     .verdicts = "succeeded 1, skipped: misfired 1, succeeded 1"},
    {.name = "overlapping, run_all",
     .situation = Situation::kOverlapping,
     .late = LatePolicy::kRunAll,
     .verdicts = "succeeded 1, succeeded 1, succeeded 1"},
    {.name = "overlapping, replace",
     .situation = Situation::kOverlapping,
     .late = LatePolicy::kRunAll,
     .overlap = Overlap::kReplace,
     .verdicts = "cancelled 1, cancelled 1, succeeded 1"},
    {.name = "pod killed, at_least_once", .situation = Situation::kPodKilled, .verdicts = "succeeded 1"},
    {.name = "pod killed, at_most_once",
     .situation = Situation::kPodKilled,
     .delivery = Delivery::kAtMostOnce,
     .verdicts = "lost 1"},
    {.name = "pod killed and found late, at_least_once, skip",
     .situation = Situation::kPodKilledLate,
     .late = LatePolicy::kSkip,
     .verdicts = "succeeded 1, skipped: misfired 3"},
    {.name = "pod killed and found late, at_least_once, run_once",
     .situation = Situation::kPodKilledLate,
     .late = LatePolicy::kRunOnce,
     .verdicts = "succeeded 1, skipped: misfired 2, succeeded 1"},
    {.name = "pod killed and found late, at_least_once, run_all",
     .situation = Situation::kPodKilledLate,
     .late = LatePolicy::kRunAll,
     .verdicts = "succeeded 1, succeeded 1, succeeded 1, succeeded 1"},
    {.name = "pod killed and found late, at_most_once, run_once",
     .situation = Situation::kPodKilledLate,
     .late = LatePolicy::kRunOnce,
     .delivery = Delivery::kAtMostOnce,
     .verdicts = "lost 1, skipped: misfired 2, succeeded 1"},
};

std::string InWords(std::vector<RunInfo> runs) {
  std::reverse(runs.begin(), runs.end());
  std::stable_sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.fire_time < b.fire_time; });
  std::string words;
  for (const RunInfo& run : runs) {
    words += fmt::format("{}{} {}", words.empty() ? "" : ", ", VerdictName(run.verdict), run.settles);
  }
  return words;
}

}  // namespace

TEST_P(StoreContract, EachPolicyGivesTheVerdictsOfTheTable) {
  for (const PolicyRow& row : kPolicyRows) {
    SCOPED_TRACE(row.name);
    JobDefinition definition = Hourly(row.name);
    definition.late = row.late;
    definition.late_limit = row.late_limit;
    definition.late_threshold = minutes(10);
    definition.overlap = row.overlap;
    definition.delivery = row.delivery;
    SessionId session = OpenSession();
    ClaimedJob job = Own(session, definition);
    const Instant first = job.present.fire_time;
    Instant now = first + seconds(1);
    const auto settle = [&](const Settlement& settlement) {
      const CommitAnswer answer = Commit(session, Wrap(job, settlement, /*keep=*/true));
      ASSERT_EQ(answer.outcome, CommitOutcome::kApplied);
      ASSERT_TRUE(answer.kept);
      job.present = Advance(job.present, settlement.next);
    };
    // Runs the present occurrence to its end at `until`, as a pod does: not before what must be settled first.
    const auto run = [&](Instant until, Verdict verdict) {
      if (definition.delivery == Delivery::kAtMostOnce) {
        ASSERT_TRUE(
            Must(store_->Begin(session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}}))[0]);
      }
      const Instant started = now;
      now = until;
      settle(Settle(definition, job.present, {.verdict = verdict, .started_at = started, .finished_at = now}, now));
    };
    switch (row.situation) {
      case Situation::kOnTime: break;
      case Situation::kLateByLess: now = first + minutes(5); break;
      case Situation::kLateByMore: now = first + hours(3) + minutes(30); break;
      case Situation::kOverlapping:
        if (row.overlap == Overlap::kWait) {
          run(first + hours(2) + minutes(30), Verdict::kSucceeded);
        } else if (row.overlap == Overlap::kAllow) {
          for (int i = 0; i < 3; ++i) {
            now = first + i * hours(1) + seconds(1);
            settle(*SettleBeforeStart(definition, job.present, now));
          }
          now += minutes(30);
        } else {  // a pod tells the run to stop when the next point has come
          run(first + hours(1), Verdict::kCancelled);
          ASSERT_FALSE(SettleBeforeStart(definition, job.present, now));
          run(first + hours(2), Verdict::kCancelled);
          now += minutes(30);
        }
        break;
      case Situation::kPodKilled:
      case Situation::kPodKilledLate:
        if (row.delivery == Delivery::kAtMostOnce) {
          Must(store_->Begin(session, {{job.key, job.fence, first, 1}}));
        }
        Bury(session);
        session = OpenSession("another");
        job = ClaimOne(session);
        ASSERT_EQ(job.present.lost, 1);
        now = first + (row.situation == Situation::kPodKilled ? minutes(1) : hours(3) + minutes(30));
        break;
    }
    for (int i = 0; i < 20 && job.present.fire_time <= now; ++i) {
      if (const auto settlement = SettleBeforeStart(definition, job.present, now)) {
        settle(*settlement);
      } else {
        run(now + seconds(1), Verdict::kSucceeded);
      }
    }
    EXPECT_GT(job.present.fire_time, now);
    if (row.overlap == Overlap::kAllow) {  // the runs that it was handed on to
      for (const ClaimedJob& child : Claim(session)) Commit(session, Finish(child));
    }
    EXPECT_EQ(InWords(Runs(row.name)), row.verdicts);
    ExpectTheLawHolds(AuditLedgerOf(*store_));
    Must(store_->EndSession(session));
    Must(store_->Remove(row.name));
  }
}

// The rows of the table that need the store's own clock.
TEST_P(StoreContract, WhatPassesInAPauseIsSkippedWhateverThePolicy) {
  for (const LatePolicy late : {LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll}) {
    const std::string id = fmt::format("paused-{}", static_cast<int>(late));
    JobDefinition definition{
        .id = id, .schedule = Schedule::Every({.interval = milliseconds(20)}).value(), .task = "work"};
    definition.late = late;
    Enqueue(definition);
    Must(store_->Pause(id));
    const Instant first = *Get(id).fire_time;
    WaitUntil(first + milliseconds(100));
    Must(store_->Resume(id));
    const auto runs = Runs(id);
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].verdict, Verdict::kSkippedPaused);
    EXPECT_EQ(runs[0].fire_time, first);
    EXPECT_GE(runs[0].settles, 6);
    EXPECT_EQ(runs[0].last_fire, first + (runs[0].settles - 1) * milliseconds(20));
    Must(store_->Remove(id));
  }
}

// Two weeks in which nobody ran a job of five seconds: no flood, and the ledger has every point.
TEST_P(StoreContract, TwoWeeksThatWereMissedCostMoments) {
  struct Row {
    LatePolicy late;
    std::int64_t runs, skips;  // rows of the ledger
  };
  constexpr std::int64_t kPoints = 14LL * 24 * 3600 / 5 + 1;
  for (const Row& row :
       {Row{LatePolicy::kSkip, 0, 1}, Row{LatePolicy::kRunOnce, 1, 1}, Row{LatePolicy::kRunAll, 100, 1}}) {
    const std::string id = fmt::format("missed-{}", static_cast<int>(row.late));
    JobDefinition definition{.id = id, .schedule = Grid(seconds(5), kMinute), .task = "work"};
    definition.late = row.late;
    definition.late_limit = 100;
    definition.late_threshold = Duration(0);
    const SessionId session = OpenSession();
    ClaimedJob job = Own(session, definition);
    const Instant now = job.present.fire_time + 14 * kDay + seconds(1);
    const auto began = std::chrono::steady_clock::now();
    while (job.present.fire_time <= now) {
      auto settlement = SettleBeforeStart(definition, job.present, now);
      if (!settlement) settlement = Settle(definition, job.present, {.verdict = Verdict::kSucceeded}, now);
      ASSERT_EQ(Commit(session, Wrap(job, *settlement, /*keep=*/true)).outcome, CommitOutcome::kApplied);
      job.present = Advance(job.present, settlement->next);
    }
    const auto took = std::chrono::steady_clock::now() - began;
    RecordProperty(id + "_ms", static_cast<int>(std::chrono::ceil<milliseconds>(took).count()));
    std::int64_t runs = 0, skips = 0, settles = 0;
    for (const RunInfo& run : Runs(id)) {
      ++(run.verdict == Verdict::kSucceeded ? runs : skips);
      settles += run.settles;
    }
    EXPECT_EQ(runs, row.runs);
    EXPECT_EQ(skips, row.skips);
    EXPECT_EQ(settles, kPoints);
    EXPECT_EQ(Get(id).settled_total, kPoints);
    Must(store_->EndSession(session));
    Must(store_->Remove(id));
  }
}

}  // namespace escapement
