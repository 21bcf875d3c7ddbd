#include "job/audit.h"

#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kStart = ParseInstant("2026-11-24T12:00:00Z").value();
const Schedule kGrid = Schedule::Every({.interval = 1s, .anchor = kStart}).value();

Instant Point(int k) { return kStart + k * 1s; }
SettledSpan One(int k, Verdict verdict = Verdict::kSucceeded) { return {Point(k), Point(k), 1, verdict}; }

TEST(Audit, CountsEachPointOnce) {
  Audit audit;
  AuditJob(kGrid, kStart, Point(10), {One(3), One(0), {Point(4), Point(8), 5, Verdict::kSkippedMisfired}, One(3)},
           &audit);
  EXPECT_EQ(audit.jobs, 1);
  EXPECT_EQ(audit.expected, 10);
  EXPECT_EQ(audit.missing, 3);
  EXPECT_EQ(audit.doubled, 1);
  EXPECT_EQ(audit.settled, (std::map<Verdict, std::int64_t>{{Verdict::kSucceeded, 3}, {Verdict::kSkippedMisfired, 5}}));
}

TEST(Audit, LooksOnlyAtItsWindow) {
  Audit audit;
  AuditJob(kGrid, Point(2), Point(5), {One(1), One(5), {Point(0), Point(3), 4, Verdict::kSkippedPaused}, One(4)},
           &audit);
  EXPECT_EQ(audit.expected, 3);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  EXPECT_EQ(audit.settled[Verdict::kSkippedPaused], 2);
}

TEST(Audit, CountsWhatIsOffTheGridAsDoubled) {
  Audit audit;
  AuditJob(kGrid, kStart, Point(1), {{kStart + 5us, kStart + 5us, 1, Verdict::kSucceeded}}, &audit);
  EXPECT_EQ(audit.doubled, 1);
  EXPECT_EQ(audit.missing, 1);
}

TEST(Audit, FindsWhatIsSettledTwiceOfADelay) {
  const Schedule delay = Schedule::Parse("delay 1s").value().AnchoredAt(kStart);
  Audit audit;
  const SettledSpan stretch{kStart + 300ms, kStart + 2300ms, 3, Verdict::kSkippedMisfired};
  AuditJob(delay, kStart, Point(100), {stretch, {kStart + 4567ms, kStart + 4567ms, 1, Verdict::kSucceeded}}, &audit);
  EXPECT_EQ(audit.expected, 4) << "what its runs tell";
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
  AuditJob(delay, kStart, Point(100), {stretch, stretch, {kStart + 1300ms, kStart + 1300ms, 1, Verdict::kSucceeded}},
           &audit);
  EXPECT_EQ(audit.expected, 7);
  EXPECT_EQ(audit.doubled, 4);
}

TEST(Audit, OfAnEmptyWindowIsEmpty) {
  Audit audit;
  AuditJob(kGrid, Point(5), Point(5), {One(5)}, &audit);
  AuditJob(kGrid, Point(5), Point(2), {One(3)}, &audit);
  EXPECT_EQ(audit.expected + audit.missing + audit.doubled, 0);
}

TEST(Audit, HandlesAsManySpansAsALongTestMakes) {
  std::vector<SettledSpan> spans;
  for (int k = 600'000; k-- > 0;) spans.push_back(One(k));
  Audit audit;
  AuditJob(kGrid, kStart, Point(600'000), std::move(spans), &audit);
  EXPECT_EQ(audit.expected, 600'000);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

RC_GTEST_PROP(Audit, AgreesWithCountingPointByPoint, ()) {
  const int from = *rc::gen::inRange(0, 20);
  const int to = *rc::gen::inRange(from, 21);
  std::map<int, int> verdicts;
  std::vector<SettledSpan> spans;
  const int count = *rc::gen::inRange(0, 12);
  for (int i = 0; i < count; ++i) {
    const int first = *rc::gen::inRange(0, 20);
    const int last = first + *rc::gen::inRange(0, 4);
    spans.push_back({Point(first), Point(last), last - first + 1, Verdict::kSucceeded});
    for (int k = first; k <= last; ++k) ++verdicts[k];
  }
  std::int64_t missing = 0;
  std::int64_t doubled = 0;
  for (int k = from; k < to; ++k) {
    missing += verdicts[k] == 0 ? 1 : 0;
    doubled += std::max(0, verdicts[k] - 1);
  }
  Audit audit;
  AuditJob(kGrid, Point(from), Point(to), spans, &audit);
  RC_ASSERT(audit.expected == to - from);
  RC_ASSERT(audit.missing == missing);
  RC_ASSERT(audit.doubled == doubled);
  RC_ASSERT(audit.settled[Verdict::kSucceeded] == audit.expected - missing + doubled);
}

}  // namespace
}  // namespace escapement
