#include "job/settle.h"

#include <algorithm>
#include <array>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "job/text.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kNoon = ParseInstant("2026-11-24T12:00:00Z").value();

// A job on a grid of ten seconds from noon on, and its first occurrence.
JobDefinition EveryTenSeconds() {
  return {.id = "a", .schedule = Schedule::Every({.interval = 10s, .anchor = kNoon}).value(), .task = "work"};
}
Present AtNoon() {
  return {.created_at = kNoon - 1h,
          .cursor = kNoon - 1h - 1us,
          .fire_time = kNoon,
          .due_at = kNoon,
          .planned_from = kNoon - 1h};
}

TEST(Settle, SuccessMovesToTheNextPoint) {
  const auto s = Settle(EveryTenSeconds(), AtNoon(),
                        {.verdict = Verdict::kSucceeded, .started_at = kNoon, .finished_at = kNoon + 1s}, kNoon + 1s);
  ASSERT_TRUE(s.run);
  EXPECT_EQ(s.run->fire_time, kNoon);
  EXPECT_EQ(s.run->last_fire, kNoon);
  EXPECT_EQ(s.run->settles, 1);
  EXPECT_EQ(s.run->started_at, kNoon);
  EXPECT_EQ(s.next.cursor, kNoon);
  EXPECT_EQ(s.next.fire_time, kNoon + 10s);
  EXPECT_EQ(s.next.due_at, kNoon + 10s);
  EXPECT_EQ(s.next.attempt, 1);
  EXPECT_FALSE(s.retried);
}

TEST(Settle, FailureWithAttemptsLeftKeepsTheOccurrence) {
  JobDefinition job = EveryTenSeconds();
  job.retry = {.max_attempts = 3, .delay = 2s, .factor = 2};
  for (const Verdict verdict : {Verdict::kFailed, Verdict::kTimedOut}) {
    Present present = AtNoon();
    present.attempt = 2;
    const auto s = Settle(job, present, {.verdict = verdict, .error = "no"}, kNoon + 1min);
    EXPECT_EQ(s.run->settles, 0);
    EXPECT_EQ(s.run->attempt, 2);
    EXPECT_EQ(s.run->error, "no");
    EXPECT_TRUE(s.retried);
    EXPECT_EQ(s.next.cursor, present.cursor);
    EXPECT_EQ(s.next.fire_time, kNoon);
    EXPECT_EQ(s.next.due_at, kNoon + 1min + 4s);
    EXPECT_EQ(s.next.attempt, 3);
  }
}

TEST(Settle, TheLastAttemptSettles) {
  JobDefinition job = EveryTenSeconds();
  job.retry.max_attempts = 2;
  Present present = AtNoon();
  present.attempt = 2;
  const auto s = Settle(job, present, {.verdict = Verdict::kFailed}, kNoon);
  EXPECT_EQ(s.run->settles, 1);
  EXPECT_EQ(s.next.fire_time, kNoon + 10s);
  EXPECT_EQ(s.next.attempt, 1);
}

TEST(Settle, CancelledAndLostAreNotRetried) {
  JobDefinition job = EveryTenSeconds();
  job.retry.max_attempts = 9;
  for (const Verdict verdict : {Verdict::kCancelled, Verdict::kLost}) {
    const auto s = Settle(job, AtNoon(), {.verdict = verdict}, kNoon);
    EXPECT_EQ(s.run->settles, 1);
    EXPECT_EQ(s.next.fire_time, kNoon + 10s);
  }
}

TEST(Settle, FailuresForGoodAreCountedUntilOneSucceeds) {
  const JobDefinition job = EveryTenSeconds();
  Present present = AtNoon();
  present.failures = 4;
  const auto after = [&](Verdict verdict) { return Settle(job, present, {.verdict = verdict}, kNoon).next.failures; };
  for (const Verdict verdict : {Verdict::kFailed, Verdict::kTimedOut, Verdict::kLost}) EXPECT_EQ(after(verdict), 5);
  EXPECT_EQ(after(Verdict::kCancelled), 4);
  EXPECT_EQ(after(Verdict::kSucceeded), 0);
  JobDefinition patient = job;
  patient.retry.max_attempts = 2;
  const auto tried_again = Settle(patient, present, {.verdict = Verdict::kFailed}, kNoon);
  EXPECT_EQ(tried_again.next.failures, 4) << "it may yet succeed";
  EXPECT_EQ(SkipStretch(job, present, kNoon + 1h, Verdict::kSkippedPaused)->next.failures, 4);
  EXPECT_EQ(Advance(present, tried_again.next).failures, 4);
  present.to_plan = true;
  EXPECT_EQ(SettleBeforeStart(job, present, kNoon)->next.failures, 4) << "a plan is no verdict";
}

TEST(Settle, SoManyFailuresInARowPauseTheJob) {
  JobDefinition job = EveryTenSeconds();
  Present present = AtNoon();
  const auto pauses = [&](Verdict verdict) { return Settle(job, present, {.verdict = verdict}, kNoon).next.pause; };
  present.failures = 9;
  EXPECT_FALSE(pauses(Verdict::kFailed)) << "unless it is asked for";
  job.pause_after = 3;
  EXPECT_TRUE(pauses(Verdict::kFailed)) << "more than enough, since the definition changed";
  EXPECT_FALSE(pauses(Verdict::kCancelled));
  EXPECT_FALSE(pauses(Verdict::kSucceeded));
  present.failures = 1;
  EXPECT_FALSE(pauses(Verdict::kLost));
  present.failures = 2;
  EXPECT_TRUE(pauses(Verdict::kLost));
  job.retry.max_attempts = 2;
  EXPECT_FALSE(pauses(Verdict::kFailed)) << "it is tried again";
  job.retry.max_attempts = 1;
  EXPECT_EQ(TriggeredDefinition(job, kNoon, {})->pause_after, 0);
  job.schedule = Schedule::At(kNoon).value();
  EXPECT_FALSE(pauses(Verdict::kFailed)) << "it is over";
}

TEST(Settle, TheLastPointFinishesTheJob) {
  JobDefinition job = EveryTenSeconds();
  job.schedule = Schedule::At(kNoon).value();
  EXPECT_EQ(Settle(job, AtNoon(), {}, kNoon).next.fire_time, std::nullopt);
}

TEST(Settle, CutsErrorsBetweenCharacters) {
  std::string error = "\xFF";
  for (int i = 0; i < 3000; ++i) error += "\xC3\xBC";
  const auto s = Settle(EveryTenSeconds(), AtNoon(), {.verdict = Verdict::kFailed, .error = error}, kNoon);
  EXPECT_LE(s.run->error.size(), kErrorTextLimit);
  EXPECT_GE(s.run->error.size(), kErrorTextLimit - 3);
  EXPECT_TRUE(IsValidText(s.run->error));
}

TEST(SettleBeforeStart, HasNothingToSettleForAPunctualOccurrence) {
  for (const auto late : {LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll}) {
    JobDefinition job = EveryTenSeconds();
    job.late = late;
    for (const Instant now : {kNoon - 1h, kNoon, kNoon + 10s}) EXPECT_FALSE(SettleBeforeStart(job, AtNoon(), now));
  }
}

// The threshold is 10 s: at noon + 45 s the points at 0, 10, 20 and 30 s are late.
TEST(SettleBeforeStart, SkipSkipsAllLatePoints) {
  JobDefinition job = EveryTenSeconds();
  job.late = LatePolicy::kSkip;
  const auto s = SettleBeforeStart(job, AtNoon(), kNoon + 45s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kSkippedMisfired);
  EXPECT_EQ(s->run->fire_time, kNoon);
  EXPECT_EQ(s->run->last_fire, kNoon + 30s);
  EXPECT_EQ(s->run->settles, 4);
  EXPECT_FALSE(s->run->started_at || s->run->finished_at);
  EXPECT_EQ(s->next.cursor, kNoon + 30s);
  EXPECT_EQ(s->next.fire_time, kNoon + 40s);
}

TEST(SettleBeforeStart, RunOnceKeepsTheNewestLatePoint) {
  const JobDefinition job = EveryTenSeconds();
  const auto s = SettleBeforeStart(job, AtNoon(), kNoon + 45s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->settles, 3);
  EXPECT_EQ(s->next.fire_time, kNoon + 30s);
  EXPECT_FALSE(SettleBeforeStart(job, Advance(AtNoon(), s->next), kNoon + 45s));
}

TEST(SettleBeforeStart, RunAllKeepsTheNewestOfThem) {
  JobDefinition job = EveryTenSeconds();
  job.late = LatePolicy::kRunAll;
  EXPECT_FALSE(SettleBeforeStart(job, AtNoon(), kNoon + 45s));
  job.late_limit = 3;
  const auto s = SettleBeforeStart(job, AtNoon(), kNoon + 45s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->settles, 1);
  EXPECT_EQ(s->next.fire_time, kNoon + 10s);
  EXPECT_FALSE(SettleBeforeStart(job, Advance(AtNoon(), s->next), kNoon + 45s));
}

TEST(SettleBeforeStart, LeavesLateOccurrencesThatWereStarted) {
  Present retried = AtNoon();
  retried.attempt = 2;
  Present lost = AtNoon();
  lost.lost = 1;
  for (const Present& present : {retried, lost})
    EXPECT_FALSE(SettleBeforeStart(EveryTenSeconds(), present, kNoon + 1h));
}

TEST(SettleBeforeStart, SettlesABegunRunOfADeadPodAsLost) {
  JobDefinition job = EveryTenSeconds();
  job.delivery = Delivery::kAtMostOnce;
  Present present = AtNoon();
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon));
  present.lost = 1;
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon)) << "it never began, so it may run";
  present.begun = true;
  for (const bool to_plan : {false, true}) {
    present.to_plan = to_plan;
    const auto s = SettleBeforeStart(job, present, kNoon);
    ASSERT_TRUE(s && s->run);
    EXPECT_EQ(s->run->verdict, Verdict::kLost);
    EXPECT_EQ(s->run->settles, 1);
    EXPECT_EQ(s->next.fire_time, kNoon + 10s);
  }
}

TEST(SettleBeforeStart, SettlesWhatItsTaskCompletedAsSucceeded) {
  JobDefinition job = EveryTenSeconds();
  Present present = AtNoon();
  present.completed_at = kNoon + 2s;
  job.late = LatePolicy::kSkip;
  for (const Delivery delivery : {Delivery::kAtLeastOnce, Delivery::kAtMostOnce}) {
    for (const bool to_plan : {false, true}) {
      job.delivery = delivery;
      present.to_plan = to_plan;
      present.begun = delivery == Delivery::kAtMostOnce;
      present.lost = 1'000;
      EXPECT_TRUE(WasStarted(present));
      const auto s = SettleBeforeStart(job, present, kNoon + 1h);
      ASSERT_TRUE(s && s->run);
      EXPECT_EQ(s->run->verdict, Verdict::kSucceeded);
      EXPECT_EQ(s->run->settles, 1);
      EXPECT_EQ(s->run->finished_at, kNoon + 2s);
      EXPECT_EQ(s->next.fire_time, kNoon + 10s);
      EXPECT_FALSE(Advance(present, s->next).completed_at);
    }
  }
}

TEST(SettleBeforeStart, GivesUpAfterTooManyLostPods) {
  JobDefinition job = EveryTenSeconds();
  job.lost_limit = 2;
  Present present = AtNoon();
  present.lost = 1;
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon));
  present.lost = 2;
  const auto s = SettleBeforeStart(job, present, kNoon);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kLost);
}

TEST(SettleBeforeStart, PlansAnewAfterAChangeOfDefinition) {
  JobDefinition job = EveryTenSeconds();
  job.schedule = Schedule::Every({.interval = 7s, .anchor = kNoon}).value();
  Present present = AtNoon();
  present.to_plan = true;
  present.planned_from = kNoon + 1s;
  auto s = SettleBeforeStart(job, present, kNoon + 1s);
  ASSERT_TRUE(s);
  EXPECT_FALSE(s->run);
  EXPECT_EQ(s->next.cursor, present.cursor);
  EXPECT_EQ(s->next.fire_time, kNoon + 7s);
  EXPECT_FALSE(Advance(present, s->next).to_plan);

  job.schedule = Schedule::At(kNoon).value();
  s = SettleBeforeStart(job, present, kNoon + 1s);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->next.fire_time, std::nullopt) << "the new schedule has no point left";
}

TEST(SettleBeforeStart, AStartedOccurrenceSurvivesAChangeOfDefinition) {
  JobDefinition job = EveryTenSeconds();
  job.schedule = Schedule::Every({.interval = 7s, .anchor = kNoon + 3s}).value();
  Present present = AtNoon();
  present.to_plan = true;
  present.planned_from = kNoon + 1s;
  present.attempt = 2;
  present.due_at = kNoon + 5s;
  const auto s = SettleBeforeStart(job, present, kNoon + 1h);
  ASSERT_TRUE(s);
  EXPECT_FALSE(s->run);
  EXPECT_EQ(s->next.fire_time, kNoon);
  EXPECT_EQ(s->next.attempt, 2);
  EXPECT_EQ(s->next.due_at, kNoon + 5s);
  EXPECT_EQ(s->next.cursor, present.cursor);
}

TEST(SkipStretch, SettlesPointsUpToAnInstant) {
  EXPECT_FALSE(SkipStretch(EveryTenSeconds(), AtNoon(), kNoon, Verdict::kSkippedPaused));
  const auto s = SkipStretch(EveryTenSeconds(), AtNoon(), kNoon + 20s, Verdict::kSkippedPaused);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->settles, 2);
  EXPECT_EQ(s->run->last_fire, kNoon + 10s);
  EXPECT_EQ(s->run->verdict, Verdict::kSkippedPaused);
  EXPECT_EQ(s->next.fire_time, kNoon + 20s);
}

TEST(SkipStretch, CountsGridsOfTheJobsOwnCreation) {
  JobDefinition job = EveryTenSeconds();
  job.schedule = Schedule::Every({.interval = 10s}).value();
  Present present = AtNoon();
  present.created_at = kNoon - 13s;
  present.fire_time = kNoon - 3s;
  const auto s = SkipStretch(job, present, kNoon + 10s, Verdict::kSkippedPaused);
  EXPECT_EQ(s->run->settles, 2);
  EXPECT_EQ(s->next.fire_time, kNoon + 17s);
}

TEST(LateThreshold, IsTheIntervalAtMostAMinute) {
  JobDefinition job = EveryTenSeconds();
  EXPECT_EQ(LateThreshold(job), 10s);
  job.schedule = Schedule::Every({.interval = 1h}).value();
  EXPECT_EQ(LateThreshold(job), 60s);
  job.schedule = Schedule::At(kNoon).value();
  EXPECT_EQ(LateThreshold(job), 60s);
  job.late_threshold = 0s;
  EXPECT_EQ(LateThreshold(job), 0s);
}

TEST(RetryDelay, GrowsToItsLimit) {
  JobDefinition job = EveryTenSeconds();
  job.retry = {.max_attempts = 100, .delay = 1s, .factor = 2, .max_delay = 10s};
  EXPECT_EQ(RetryDelay(job, kNoon, 1), 1s);
  EXPECT_EQ(RetryDelay(job, kNoon, 2), 2s);
  EXPECT_EQ(RetryDelay(job, kNoon, 4), 8s);
  EXPECT_EQ(RetryDelay(job, kNoon, 5), 10s);
  EXPECT_EQ(RetryDelay(job, kNoon, 10'000), 10s);
  job.retry = {.delay = 0s};
  EXPECT_EQ(RetryDelay(job, kNoon, 5000), 0s) << "0 * infinity";
}

TEST(RetryDelay, OfAListIsTheLastWhenItEnds) {
  JobDefinition job = EveryTenSeconds();
  job.retry = {.max_attempts = 100, .delays = {5s, 1s, 1min}};
  EXPECT_EQ(RetryDelay(job, kNoon, 1), 5s);
  EXPECT_EQ(RetryDelay(job, kNoon, 2), 1s);
  EXPECT_EQ(RetryDelay(job, kNoon, 3), 1min);
  EXPECT_EQ(RetryDelay(job, kNoon, 99), 1min);
}

TEST(RetryDelay, ItsJitterIsBoundedSpreadAndAlwaysTheSame) {
  JobDefinition job = EveryTenSeconds();
  job.retry = {.max_attempts = 100, .delay = 100s, .factor = 1, .jitter = 0.2};
  Duration least = 1h, most = 0s, sum = 0s;
  for (int i = 0; i < 1000; ++i) {
    const Duration delay = RetryDelay(job, kNoon + i * 10s, 1 + i % 3);
    EXPECT_EQ(delay, RetryDelay(job, kNoon + i * 10s, 1 + i % 3));
    least = std::min(least, delay);
    most = std::max(most, delay);
    sum += delay;
  }
  EXPECT_GE(least, 80s);
  EXPECT_LE(least, 81s);
  EXPECT_GE(most, 119s);
  EXPECT_LE(most, 120s);
  EXPECT_GE(sum / 1000, 98s);
  EXPECT_LE(sum / 1000, 102s);
}

TEST(Settle, OnlyTheOutcomesOfThePolicyAreTriedAgain) {
  JobDefinition job = EveryTenSeconds();
  job.retry.max_attempts = 2;
  const auto retried = [&](RetryOn on, Verdict verdict) {
    job.retry.on = on;
    return Settle(job, AtNoon(), {.verdict = verdict}, kNoon).retried;
  };
  EXPECT_TRUE(retried(RetryOn::kAny, Verdict::kFailed));
  EXPECT_TRUE(retried(RetryOn::kAny, Verdict::kTimedOut));
  EXPECT_TRUE(retried(RetryOn::kFailed, Verdict::kFailed));
  EXPECT_FALSE(retried(RetryOn::kFailed, Verdict::kTimedOut));
  EXPECT_FALSE(retried(RetryOn::kTimedOut, Verdict::kFailed));
  EXPECT_TRUE(retried(RetryOn::kTimedOut, Verdict::kTimedOut));
}

TEST(Settle, ARetryThatWouldComeAtTheDeadlineOrLaterIsNotMade) {
  JobDefinition job = EveryTenSeconds();
  job.retry = {.max_attempts = 9, .delay = 4s};
  job.deadline = 10s;
  const Outcome failed{.verdict = Verdict::kFailed};
  EXPECT_EQ(Settle(job, AtNoon(), failed, kNoon + 5s).next.due_at, kNoon + 9s);
  EXPECT_EQ(Settle(job, AtNoon(), failed, kNoon + 6s).run->settles, 1);
  job.deadline = 0s;
  EXPECT_EQ(Settle(job, AtNoon(), failed, kNoon + 6s).next.due_at, kNoon + 10s);
}

TEST(SettleBeforeStart, PastItsDeadlineAStartedOccurrenceTimesOutAndAnotherIsSkipped) {
  JobDefinition job = EveryTenSeconds();
  job.schedule = Schedule::Every({.interval = 1h}).value().AnchoredAt(kNoon);
  job.late_threshold = 2h;
  job.deadline = 10s;
  Present present = AtNoon();
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon + 9s));
  auto settlement = SettleBeforeStart(job, present, kNoon + 10s);
  ASSERT_TRUE(settlement);
  EXPECT_EQ(settlement->run->verdict, Verdict::kSkippedMisfired);
  EXPECT_EQ(settlement->run->last_fire, kNoon);
  present.attempt = 2;
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon + 9s));
  settlement = SettleBeforeStart(job, present, kNoon + 10s);
  ASSERT_TRUE(settlement);
  EXPECT_EQ(settlement->run->verdict, Verdict::kTimedOut);
  EXPECT_EQ(settlement->run->settles, 1);
}

// The law of G1 over random histories: what was settled = the points that were passed.
RC_GTEST_PROP(Settle, ConservesPoints, ()) {
  JobDefinition job = EveryTenSeconds();
  job.late = *rc::gen::element(LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll);
  job.late_limit = *rc::gen::inRange(1, 5);
  job.delivery = *rc::gen::element(Delivery::kAtLeastOnce, Delivery::kAtMostOnce);
  job.retry.max_attempts = *rc::gen::inRange(1, 4);
  job.deadline = *rc::gen::element(0s, 1s, 30s);
  job.lost_limit = *rc::gen::inRange(1, 4);
  Present present = AtNoon();
  Instant now = kNoon;
  std::int64_t settled = 0;
  const auto apply = [&](const Settlement& s) {
    if (s.run) settled += s.run->settles;
    RC_ASSERT(s.next.fire_time.has_value());
    RC_ASSERT(s.next.cursor >= present.cursor);
    RC_ASSERT(*s.next.fire_time > s.next.cursor);
    present = Advance(present, s.next);
  };
  const int steps = *rc::gen::inRange(0, 60);
  for (int i = 0; i < steps; ++i) {
    now += Duration(*rc::gen::inRange<std::int64_t>(0, 40'000'000));
    int rounds = 0;
    while (const auto s = SettleBeforeStart(job, present, now)) {
      RC_ASSERT(++rounds < 5);
      apply(*s);
    }
    if (present.due_at > now) continue;
    present.begun = job.delivery == Delivery::kAtMostOnce;
    if (*rc::gen::inRange(0, 4) == 0) {
      ++present.lost;                                                // its pod dies
      if (*rc::gen::inRange(0, 2) == 0) present.completed_at = now;  // after its task had completed the occurrence
      continue;
    }
    apply(Settle(
        job, present,
        {.verdict = *rc::gen::element(Verdict::kSucceeded, Verdict::kFailed, Verdict::kTimedOut, Verdict::kCancelled)},
        now));
  }
  RC_ASSERT(settled == job.schedule.Count(kNoon, present.cursor + 1us));
}

// --- where in its window a job starts

TEST(StartAt, LiesWithinJitterAndFlex) {
  rc::check([] {
    JobDefinition job = EveryTenSeconds();
    job.id = *rc::gen::arbitrary<std::string>();
    job.jitter = Duration(*rc::gen::inRange<std::int64_t>(0, 5'000'000));
    job.flex = Duration(*rc::gen::inRange<std::int64_t>(0, 5'000'000));
    const JobKey key = *rc::gen::positive<JobKey>();
    const Instant start = StartAt(job, key, kNoon);
    RC_ASSERT(start >= kNoon);
    RC_ASSERT(start <= kNoon + job.jitter + job.flex);
    RC_ASSERT(StartAt(job, key, kNoon) == start);
    job.jitter = 0s;
    RC_ASSERT(StartAt(job, key, kNoon) - kNoon == StartAt(job, key, kNoon + 24h) - (kNoon + 24h));
  });
}

// Jobs that are made one after the other, or as every third or 150th of others, fill a window of an hour evenly.
TEST(StartAt, FlexFillsTheWindowEvenly) {
  JobDefinition job = EveryTenSeconds();
  job.flex = 1h;
  for (const JobKey stride : {1, 3, 150}) {
    for (const JobKey first : {1, 77'777, 3'000'000}) {
      std::array<int, 60> load{};
      for (int i = 0; i < 10'000; ++i) {
        const Duration later = StartAt(job, first + i * stride, kNoon) - kNoon;
        ++load.at(static_cast<std::size_t>(later / 1min));
      }
      EXPECT_LE(*std::max_element(load.begin(), load.end()), 10'000 / 60 * 1.2) << first << " by " << stride;
    }
  }
}

TEST(StartAt, LatenessCountsFromIt) {
  JobDefinition job = EveryTenSeconds();
  job.late = LatePolicy::kSkip;
  job.late_threshold = 2s;
  Present present = AtNoon();
  present.due_at = kNoon + 8s;
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon + 9s));
  EXPECT_TRUE(SettleBeforeStart(job, present, kNoon + 11s));
}

// --- overlap

TEST(Replace, OnlyTheNewestOfWhatIsDueRuns) {
  JobDefinition job = EveryTenSeconds();
  job.overlap = Overlap::kReplace;
  job.late_threshold = 1h;
  EXPECT_FALSE(SettleBeforeStart(job, AtNoon(), kNoon + 9s));
  const auto s = SettleBeforeStart(job, AtNoon(), kNoon + 25s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kSkippedOverlapped);
  EXPECT_EQ(s->run->settles, 2);
  EXPECT_EQ(s->next.fire_time, kNoon + 20s);
  EXPECT_TRUE(SettleBeforeStart(job, AtNoon(), kNoon + 10s)) << "the next is due in this very instant";
}

TEST(Replace, WhatWasBegunIsCancelledWhenTheNextIsDue) {
  JobDefinition job = EveryTenSeconds();
  job.overlap = Overlap::kReplace;
  Present present = AtNoon();
  present.attempt = 2;
  EXPECT_FALSE(SettleBeforeStart(job, present, kNoon + 9s));
  const auto s = SettleBeforeStart(job, present, kNoon + 10s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kCancelled);
  EXPECT_EQ(s->run->settles, 1);
  EXPECT_EQ(s->next.fire_time, kNoon + 10s);
}

TEST(Allow, EachOccurrenceIsHandedOnWhenItIsDue) {
  JobDefinition job = EveryTenSeconds();
  job.overlap = Overlap::kAllow;
  auto s = SettleBeforeStart(job, AtNoon(), kNoon + 1ms);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kHandedOn);
  EXPECT_EQ(s->run->fire_time, kNoon);
  EXPECT_EQ(s->run->settles, 1);
  EXPECT_FALSE(s->run->started_at);
  EXPECT_EQ(s->next.fire_time, kNoon + 10s);
  EXPECT_EQ(s->next.attempt, 1);
  job.late = LatePolicy::kRunOnce;
  s = SettleBeforeStart(job, AtNoon(), kNoon + 45s);
  ASSERT_TRUE(s && s->run);
  EXPECT_EQ(s->run->verdict, Verdict::kSkippedMisfired) << "what is too late comes first";
}

TEST(Allow, APodThatDiedRanNothingOfIt) {
  JobDefinition job = EveryTenSeconds();
  job.overlap = Overlap::kAllow;
  job.lost_limit = 1;
  job.deadline = 5s;
  Present present = AtNoon();
  present.lost = 3;
  EXPECT_EQ(SettleBeforeStart(job, present, kNoon + 1s)->run->verdict, Verdict::kHandedOn);
  EXPECT_EQ(SettleBeforeStart(job, present, kNoon + 6s)->run->verdict, Verdict::kSkippedMisfired);
  present.attempt = 2;  // from a time when its runs did not overlap
  EXPECT_EQ(SettleBeforeStart(job, present, kNoon + 1s)->run->verdict, Verdict::kLost);
}

TEST(Allow, ARunThatWasHandedOnIsAnOrdinaryOne) {
  JobDefinition job = EveryTenSeconds();
  job.overlap = Overlap::kAllow;
  job.unique = "key";
  job.unique_for = 1h;
  const JobDefinition run = TriggeredDefinition(job, kNoon, std::nullopt).value();
  EXPECT_EQ(run.schedule, Schedule::At(kNoon).value());
  EXPECT_EQ(run.overlap, Overlap::kWait);
  EXPECT_EQ(run.unique, "") << "its job has the key";
  EXPECT_EQ(run.unique_for, Duration(0));
  EXPECT_FALSE(SettleBeforeStart(run, AtNoon(), kNoon + 1s));
}

// ---------------------------------------------------------------- so long after the run before ended

JobDefinition Delayed() { return {.id = "a", .schedule = Schedule::Parse("delay 10m").value(), .task = "work"}; }
Present DelayedAt(Instant fire_time) {
  return {.created_at = kNoon - 24h, .cursor = kNoon - 11min, .fire_time = fire_time, .due_at = fire_time};
}

TEST(Delay, BeginsWithTheEndOfTheRun) {
  const Settlement s = Settle(Delayed(), DelayedAt(kNoon), {.verdict = Verdict::kFailed}, kNoon + 3min);
  EXPECT_EQ(s.run->settles, 1);
  EXPECT_EQ(s.next.cursor, kNoon);
  EXPECT_EQ(s.next.fire_time, kNoon + 13min);
}

TEST(Delay, BeginsWithTheEndOfTheLastAttempt) {
  JobDefinition job = Delayed();
  job.retry = {.max_attempts = 2, .delay = 1min};
  const Settlement first = Settle(job, DelayedAt(kNoon), {.verdict = Verdict::kFailed}, kNoon + 3min);
  EXPECT_TRUE(first.retried);
  EXPECT_EQ(first.next.fire_time, kNoon) << "it is the same occurrence";
  const Settlement second =
      Settle(job, Advance(DelayedAt(kNoon), first.next), {.verdict = Verdict::kFailed}, kNoon + 5min);
  EXPECT_EQ(second.next.fire_time, kNoon + 15min);
}

TEST(Delay, PassesEvenIfTheClockWasSetBack) {
  const Settlement s = Settle(Delayed(), DelayedAt(kNoon), {.verdict = Verdict::kSucceeded}, kNoon - 1h);
  EXPECT_EQ(s.next.fire_time, kNoon + 10min);
}

TEST(Delay, IsSkippedAsIfRunsTookNoTime) {
  JobDefinition job = Delayed();
  job.late = LatePolicy::kSkip;
  const auto s = SettleBeforeStart(job, DelayedAt(kNoon), kNoon + 35min);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->run->fire_time, kNoon);
  EXPECT_EQ(s->run->last_fire, kNoon + 30min);
  EXPECT_EQ(s->run->settles, 4);
  EXPECT_EQ(s->next.fire_time, kNoon + 40min);
}

TEST(Delay, OfAChangedDefinitionBeginsWithTheChangeAtTheLatest) {
  Present present = DelayedAt(kNoon);
  present.to_plan = true;
  present.planned_from = kNoon - 3min;
  EXPECT_EQ(SettleBeforeStart(Delayed(), present, kNoon - 3min)->next.fire_time, kNoon)
      << "a job that is changed often runs still";
  present.planned_from = kNoon + 3min;
  EXPECT_EQ(SettleBeforeStart(Delayed(), present, kNoon + 3min)->next.fire_time, kNoon + 13min);
}

}  // namespace
}  // namespace escapement
