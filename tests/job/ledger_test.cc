#include "job/ledger.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kStart = ParseInstant("2026-11-24T12:00:00Z").value();

Instant Point(int k) { return kStart + k * 1s; }
Schedule Grid(Duration interval = 1s, Duration phase = {}) {
  return Schedule::Every({.interval = interval, .anchor = kStart, .phase = phase}).value();
}
RunInfo Row(Instant first, Instant last, std::int64_t settles, Verdict verdict = Verdict::kSucceeded) {
  return {.job_id = "a", .fire_time = first, .last_fire = last, .verdict = verdict, .settles = settles};
}
RunInfo One(int k, Verdict verdict = Verdict::kSucceeded) { return Row(Point(k), Point(k), 1, verdict); }
RunInfo Stretch(int first, int last) {
  return Row(Point(first), Point(last), last - first + 1, Verdict::kSkippedMisfired);
}
// Settled up to point `cursor`, of one schedule since its beginning.
LedgerJob Job(int cursor) {
  return {.id = "a",
          .created_at = kStart,
          .cursor = Point(cursor),
          .settled_total = cursor + 1,
          .reigns = {{1, Grid(), kStart - 1us, std::nullopt}},
          .dropped = {}};
}

struct Window {
  Instant from = kStart;
  Instant to = kStart + 1h;
  bool total = false;
  std::size_t limit = 100;
};
LedgerAudit Check(LedgerJob job, std::vector<RunInfo> rows, const Window& window = {},
                  std::optional<Instant> cursor_since = {}) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const RunInfo& a, const RunInfo& b) { return PositionOf(a) < PositionOf(b); });
  LedgerCheck check(
      job, {.from = window.from, .to = window.to, .due = kStart + 1h, .total = window.total, .limit = window.limit});
  for (const RunInfo& row : rows) check.Add(row, cursor_since.value_or(job.cursor));
  check.Finish();
  LedgerAudit audit;
  check.Report(&audit);
  EXPECT_EQ(audit.Holds(), check.Holds());
  return audit;
}
// "missing 1..2", one a breach.
std::vector<std::string> Named(const LedgerAudit& audit) {
  std::vector<std::string> out;
  const auto offset = [](Instant t) { return FormatDuration(t - kStart); };
  for (const Breach& b : audit.named) {
    out.push_back(std::string(BreachName(b.kind)) + " " + offset(b.first) +
                  (b.last == b.first ? "" : ".." + offset(b.last)));
  }
  return out;
}
using testing::ElementsAre;
using testing::IsEmpty;

TEST(Ledger, ThatIsWholeBreaksNothing) {
  const LedgerAudit audit = Check(Job(9), {Stretch(0, 4), One(5), One(6), One(7, Verdict::kFailed), One(8), One(9)});
  EXPECT_THAT(Named(audit), IsEmpty());
  EXPECT_TRUE(audit.Holds());
  EXPECT_EQ(audit.counts.jobs, 1);
  EXPECT_EQ(audit.counts.expected, 10);
  EXPECT_EQ(audit.counts.settled,
            (std::map<Verdict, std::int64_t>{
                {Verdict::kSucceeded, 4}, {Verdict::kFailed, 1}, {Verdict::kSkippedMisfired, 5}}));
  EXPECT_EQ(audit.unsettled, 3590) << "due within the hour, beyond the cursor";
}

TEST(Ledger, NamesMissingPointsByTheirFirstAndLast) {
  const LedgerAudit audit = Check(Job(9), {One(0), One(1), One(4), One(6), One(7), One(8)});
  EXPECT_THAT(Named(audit), ElementsAre("missing 2s..3s", "missing 5s", "missing 9s"));
  EXPECT_EQ(audit.named[0].points, 2);
  EXPECT_THAT(audit.named[0].runs, IsEmpty());
  EXPECT_EQ(audit.counts.missing, 4);
  EXPECT_EQ(audit.breaches, 3);
}

TEST(Ledger, NamesDoubledPointsWithTheRowsThatSettledThem) {
  RunInfo again = One(3, Verdict::kFailed);
  again.attempt = 2;
  again.pod = "other";
  again.output = "long";
  const LedgerAudit audit = Check(Job(4), {Stretch(0, 4), One(3), again});
  ASSERT_THAT(Named(audit), ElementsAre("doubled 3s"));
  EXPECT_EQ(audit.named[0].points, 1);
  EXPECT_EQ(audit.named[0].settled, 3);
  ASSERT_EQ(audit.named[0].runs.size(), 3U);
  EXPECT_EQ(audit.named[0].runs[0].verdict, Verdict::kSkippedMisfired);
  EXPECT_EQ(audit.named[0].runs[2].pod, "other");
  EXPECT_EQ(audit.named[0].runs[2].output, "");
  EXPECT_EQ(audit.counts.doubled, 2);
  EXPECT_EQ(audit.counts.missing, 0);
}

TEST(Ledger, NamesTheOverlapOfTwoStretches) {
  const LedgerAudit audit = Check(Job(9), {Stretch(0, 6), Stretch(4, 9)});
  EXPECT_THAT(Named(audit), ElementsAre("doubled 4s..6s"));
  EXPECT_EQ(audit.named[0].points, 3);
  EXPECT_EQ(audit.named[0].settled, 6);
  EXPECT_EQ(audit.counts.doubled, 3);
}

TEST(Ledger, NamesAtMostSoManyRowsOfOneBreach) {
  std::vector<RunInfo> rows = {One(0)};
  for (int i = 0; i < 50; ++i) rows.push_back(One(1));
  const LedgerAudit audit = Check(Job(1), rows);
  ASSERT_THAT(Named(audit), ElementsAre("doubled 1s"));
  EXPECT_EQ(audit.named[0].settled, 50);
  EXPECT_EQ(audit.named[0].runs.size(), kBreachRuns);
}

TEST(Ledger, NamesRowsOffTheGridWhichSettleNothing) {
  const LedgerAudit audit = Check(Job(3), {One(0), One(1), Row(Point(2) + 5us, Point(2) + 5us, 1), One(3)});
  EXPECT_THAT(Named(audit), ElementsAre("missing 2s", "off_grid 2.000005s"));
  EXPECT_EQ(audit.off_grid, 1);
  EXPECT_EQ(audit.counts.doubled, 0);
}

TEST(Ledger, NamesStretchesThatCountWrongly) {
  const LedgerAudit audit = Check(Job(9), {Row(Point(0), Point(4), 7), Row(Point(5), Point(9), 4)});
  EXPECT_THAT(Named(audit), ElementsAre("miscounted 0s..4s", "miscounted 5s..9s"));
  EXPECT_EQ(audit.named[0].points, 5);
  EXPECT_EQ(audit.named[0].settled, 7);
  EXPECT_EQ(audit.miscounted, 2);
}

TEST(Ledger, RetriesAndTriggeredRunsSettleNothing) {
  RunInfo retried = One(1, Verdict::kFailed);
  retried.settles = 0;
  RunInfo triggered = One(0);
  triggered.triggered = true;
  RunInfo ahead = One(5, Verdict::kFailed);  // of the occurrence under way
  ahead.settles = 0;
  EXPECT_THAT(Named(Check(Job(1), {triggered, retried, ahead})), ElementsAre("missing 0s..1s"));
  EXPECT_THAT(Named(Check(Job(1), {One(0), One(1), triggered, retried, ahead})), IsEmpty());
}

TEST(Ledger, PointsBeyondTheCursorAreNotMissing) {
  EXPECT_THAT(Named(Check(Job(2), {One(0), One(1), One(2)}, {.to = Point(100)})), IsEmpty());
}

TEST(Ledger, NamesRowsBeyondTheCursorUnlessItMovedOnSince) {
  const std::vector<RunInfo> rows = {One(0), One(1), One(2), One(3)};
  const LedgerAudit audit = Check(Job(1), rows);
  EXPECT_THAT(Named(audit), ElementsAre("ahead 2s", "ahead 3s"));
  EXPECT_EQ(audit.ahead, 2);
  EXPECT_EQ(audit.counts.expected, 2);
  EXPECT_THAT(Named(Check(Job(1), rows, {}, Point(3))), IsEmpty());
  EXPECT_THAT(Named(Check(Job(1), rows, {}, Point(2))), ElementsAre("ahead 3s"));
}

TEST(Ledger, JudgesOnlyItsWindow) {
  const std::vector<RunInfo> rows = {One(0), One(2), One(2), Stretch(4, 9), One(9), Row(Point(10) + 1us, Point(11), 1)};
  EXPECT_THAT(Named(Check(Job(12), rows)), ElementsAre("missing 1s", "doubled 2s", "missing 3s", "doubled 9s",
                                                       "missing 10s", "off_grid 10.000001s..11s", "missing 12s"));
  EXPECT_THAT(Named(Check(Job(12), rows, {.from = Point(4), .to = Point(9)})), IsEmpty());
  EXPECT_EQ(Check(Job(12), rows, {.from = Point(4), .to = Point(9)}).counts.expected, 5);
  EXPECT_THAT(Named(Check(Job(12), rows, {.from = Point(3), .to = Point(9) + 1us})),
              ElementsAre("missing 3s", "doubled 9s"));
  EXPECT_THAT(Named(Check(Job(12), rows, {.from = Point(3) + 1us, .to = Point(9)})), IsEmpty());
  EXPECT_THAT(Named(Check(Job(12), rows, {.from = Point(7), .to = Point(8)})), IsEmpty()) << "within a stretch";
  EXPECT_THAT(Named(Check(Job(12), rows, {.from = Point(20), .to = Point(30)})), IsEmpty()) << "beyond the cursor";
}

TEST(Ledger, HistoryThatTheStoreDroppedIsNotMissing) {
  LedgerJob job = Job(9);
  job.dropped = Point(6);
  EXPECT_THAT(Named(Check(job, {One(8), One(9)})), ElementsAre("missing 7s"));
  EXPECT_EQ(Check(job, {One(8), One(9)}).counts.expected, 3);
}

TEST(Ledger, EachReignHasItsOwnPoints) {
  LedgerJob job = Job(12);
  // Every second up to 3 s, nothing while the change was not planned, then every 3 s.
  job.reigns = {{1, Grid(), kStart - 1us, Point(3)}, {2, Grid(3s), Point(5), std::nullopt}};
  EXPECT_THAT(Named(Check(job, {Stretch(0, 3), One(6), One(9), One(12)})), IsEmpty());
  EXPECT_THAT(Named(Check(job, {One(0), One(3), One(4), One(9), One(12)})),
              ElementsAre("missing 1s..2s", "off_grid 4s", "missing 6s"));
  // A stretch that begins with a point of the version before.
  const LedgerAudit audit = Check(job, {Stretch(0, 2), Row(Point(3), Point(9), 3), One(12)}, {.total = true});
  EXPECT_THAT(Named(audit), ElementsAre("total 0s..12s"));
  EXPECT_EQ(audit.named[0].points, 7);
  EXPECT_EQ(audit.named[0].settled, 13);
  EXPECT_EQ(audit.counts.expected, 7);
}

TEST(Ledger, MissingPointsOfTwoReignsAreOneBreach) {
  LedgerJob job = Job(12);
  job.reigns = {{1, Grid(), kStart - 1us, Point(3)}, {2, Grid(3s), Point(5), std::nullopt}};
  const LedgerAudit audit = Check(job, {One(0), One(12)});
  EXPECT_THAT(Named(audit), ElementsAre("missing 1s..9s"));
  EXPECT_EQ(audit.named[0].points, 5);
}

TEST(Ledger, TheTotalIsJudgedOnRequest) {
  LedgerJob job = Job(2);
  EXPECT_THAT(Named(Check(job, {Stretch(0, 2)}, {.total = true})), IsEmpty());
  job.settled_total = 4;
  EXPECT_THAT(Named(Check(job, {Stretch(0, 2)}, {.total = true})), ElementsAre("total 0s..2s"));
  EXPECT_THAT(Named(Check(job, {Stretch(0, 2)})), IsEmpty());
  job.settled_total = 3;
  EXPECT_THAT(Named(Check(job, {One(2)}, {.from = Point(2), .total = true})), IsEmpty()) << "it outlives history";
}

TEST(Ledger, CountsWhatItDoesNotName) {
  std::vector<RunInfo> rows;
  for (int k = 0; k < 100; k += 2) rows.push_back(One(k));
  const LedgerAudit audit = Check(Job(99), rows, {.limit = 3});
  EXPECT_THAT(Named(audit), ElementsAre("missing 1s", "missing 3s", "missing 5s"));
  EXPECT_EQ(audit.breaches, 50);
  EXPECT_EQ(audit.counts.missing, 50);
}

TEST(Ledger, OfALongHistoryTakesNoLongTime) {
  LedgerJob job = Job(200'000);
  LedgerCheck check(job, {.from = kStart, .to = Instant::max(), .due = Instant::max()});
  for (int k = 0; k <= 200'000; ++k) check.Add(One(k), job.cursor);
  check.Finish();
  LedgerAudit audit;
  check.Report(&audit);
  EXPECT_TRUE(audit.Holds());
  EXPECT_EQ(audit.counts.expected, 200'001);
}

// Whatever the rows, reigns, cursor and window are: each breach and each count is what looking at every instant gives.
RC_GTEST_PROP(Ledger, AgreesWithLookingAtEveryInstant, ()) {
  constexpr int kEnd = 40;  // instants, a second apart
  LedgerJob job = Job(*rc::gen::inRange(-1, kEnd));
  std::vector<bool> is_point(kEnd + 1);
  job.reigns.clear();
  int after = -1;
  const int reigns = *rc::gen::inRange(1, 4);
  for (int r = 0; r < reigns; ++r) {
    const bool last = r + 1 == reigns;
    const int until = last ? kEnd : after + *rc::gen::inRange(0, 12);
    const int interval = *rc::gen::inRange(1, 4);
    job.reigns.push_back({r + 1, Grid(interval * 1s), Point(after), last ? std::nullopt : std::optional(Point(until))});
    for (int k = after + 1; k <= std::min(until, kEnd); ++k) is_point[static_cast<std::size_t>(k)] = k % interval == 0;
    after = until + *rc::gen::inRange(0, 3);
    if (after >= kEnd) {
      job.reigns.back().until.reset();
      break;
    }
  }
  const int from = *rc::gen::inRange(0, kEnd);
  const int to = *rc::gen::inRange(from, kEnd + 1);
  const auto cursor = static_cast<int>((job.cursor - kStart) / 1s);
  const int since = cursor + *rc::gen::inRange(0, 5);
  std::vector<RunInfo> rows;
  std::vector<int> verdicts(kEnd + 1);
  int off_grid = 0, miscounted = 0, ahead = 0;
  const int count = *rc::gen::inRange(0, 20);
  for (int i = 0; i < count; ++i) {
    const int first = *rc::gen::inRange(0, kEnd - 4);
    const int last = first + *rc::gen::inRange(0, 5);
    int points = 0;
    for (int k = first; k <= last; ++k) {
      ++verdicts[static_cast<std::size_t>(k)];
      points += is_point[static_cast<std::size_t>(k)] ? 1 : 0;
    }
    const std::int64_t settles = std::max(1, points + *rc::gen::inRange(-1, 2));
    rows.push_back(Row(Point(first), Point(last), settles));
    if (last < from || first >= to) continue;
    const bool on_grid = is_point[static_cast<std::size_t>(first)] && is_point[static_cast<std::size_t>(last)];
    if (last > since) {
      ++ahead;
    } else if (last <= cursor) {
      off_grid += on_grid ? 0 : 1;
      miscounted += on_grid && points != settles ? 1 : 0;
    }
  }
  std::int64_t expected = 0, missing = 0, doubled = 0;
  for (int k = from; k < std::min(to, cursor + 1); ++k) {
    if (!is_point[static_cast<std::size_t>(k)]) continue;
    const int n = verdicts[static_cast<std::size_t>(k)];
    ++expected;
    missing += n == 0 ? 1 : 0;
    doubled += std::max(0, n - 1);
  }
  const LedgerAudit audit = Check(job, rows, {.from = Point(from), .to = Point(to), .limit = 1000}, Point(since));
  RC_ASSERT(audit.counts.expected == expected);
  RC_ASSERT(audit.counts.missing == missing);
  RC_ASSERT(audit.counts.doubled == doubled);
  RC_ASSERT(audit.off_grid == off_grid);
  RC_ASSERT(audit.miscounted == miscounted);
  RC_ASSERT(audit.ahead == ahead);
  std::int64_t settled = 0;
  for (const auto& [verdict, n] : audit.counts.settled) settled += n;
  RC_ASSERT(settled == expected - missing + doubled);
  RC_ASSERT(audit.breaches == static_cast<std::int64_t>(audit.named.size()));
  // The names add up to the counts, and what is named is so.
  std::int64_t named_missing = 0, named_doubled = 0;
  for (const Breach& b : audit.named) {
    const auto first = static_cast<std::size_t>((b.first - kStart) / 1s);
    const auto last = static_cast<std::size_t>((b.last - kStart) / 1s);
    if (b.kind == BreachKind::kMissing) named_missing += b.points;
    if (b.kind == BreachKind::kDoubled) named_doubled += b.settled - b.points;
    if (b.kind != BreachKind::kMissing && b.kind != BreachKind::kDoubled) continue;
    RC_ASSERT(is_point[first] && is_point[last]);
    for (std::size_t k = first; k <= last; ++k) {
      const bool is_so = b.kind == BreachKind::kMissing ? verdicts[k] == 0 : verdicts[k] > 1;
      RC_ASSERT(!is_point[k] || is_so);
    }
  }
  RC_ASSERT(named_missing == missing);
  RC_ASSERT(named_doubled == doubled);
}

// ---------------------------------------------------------------- points that only rows tell

LedgerJob DelayedJob(Instant cursor) {
  LedgerJob job = Job(0);
  job.cursor = cursor;
  job.reigns = {{1, Schedule::Parse("delay 1s").value().AnchoredAt(kStart), kStart - 1us, std::nullopt}};
  return job;
}

TEST(LedgerOfADelay, HoldsWhereverItsRunsWere) {
  const LedgerAudit audit =
      Check(DelayedJob(Point(9)),
            {Row(kStart + 123ms, kStart + 123ms, 1), Row(kStart + 1500ms, kStart + 4500ms, 4, Verdict::kSkippedPaused),
             Row(Point(9), Point(9), 1)});
  EXPECT_THAT(Named(audit), testing::IsEmpty());
  EXPECT_EQ(audit.counts.expected, 6);
  EXPECT_EQ(audit.counts.settled.at(Verdict::kSkippedPaused), 4);
}

TEST(LedgerOfADelay, FindsWhatIsSettledTwice) {
  const RunInfo one = Row(kStart + 123ms, kStart + 123ms, 1);
  const LedgerAudit audit =
      Check(DelayedJob(Point(9)), {one, one, Row(kStart + 1500ms, kStart + 4500ms, 4, Verdict::kSkippedPaused),
                                   Row(kStart + 2500ms, kStart + 2500ms, 1)});
  EXPECT_EQ(audit.counts.doubled, 2);
  EXPECT_EQ(audit.counts.missing, 0);
  EXPECT_EQ(audit.breaches, 2);
}

TEST(LedgerOfADelay, FindsAStretchThatCountsWrong) {
  const LedgerAudit audit =
      Check(DelayedJob(Point(9)), {Row(kStart + 1500ms, kStart + 4500ms, 5, Verdict::kSkippedPaused),
                                   Row(Point(6), Point(6) + 300ms, 1, Verdict::kSkippedPaused)});
  EXPECT_EQ(audit.miscounted, 1);
  EXPECT_EQ(audit.off_grid, 1) << "its end is no point";
}

}  // namespace
}  // namespace escapement
