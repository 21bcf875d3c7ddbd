#include "job/audit_ledger.h"

#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/schedule.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;

const Instant kStart = ParseInstant("2026-11-24T12:00:00Z").value();
const Instant kNow = kStart + 1h;
Instant Point(int k) { return kStart + k * 1s; }

// A ledger in memory that others may change between any two pages.
struct Ledger {
  std::map<std::string, ArchivedJob> jobs;
  std::vector<RunInfo> runs;  // sorted when read
  std::function<void()> between = [] {};
  int reads = 0;

  // A job with points at every second, settled up to point `cursor`, and its rows.
  void Put(const std::string& id, int cursor, std::set<int> without = {}) {
    const Schedule grid = Schedule::Every({.interval = 1s, .anchor = kStart}).value();
    ArchivedJob& job = jobs.insert_or_assign(id, ArchivedJob{.definition = {id, grid, "work"}}).first->second;
    job.present = {.created_at = kStart, .cursor = Point(cursor)};
    job.settled_total = cursor + 1;
    job.reigns = {{1, grid, kStart - 1us, std::nullopt}};
    for (int k = 0; k <= cursor; ++k) {
      if (!without.contains(k)) Settle(id, k);
    }
  }
  void Settle(const std::string& id, int k) {
    runs.push_back({.job_id = id, .fire_time = Point(k), .last_fire = Point(k), .settled_at = Point(k)});
  }
  void MoveOn(const std::string& id) {
    ArchivedJob& job = jobs.at(id);
    job.present.cursor += 1s;
    Settle(id, static_cast<int>((job.present.cursor - kStart) / 1s));
    ++job.settled_total;
  }

  LedgerSource Source() {
    return {.now = []() -> Result<Instant> { return kNow; },
            .jobs = [this](const std::string& after, int limit) -> Result<std::vector<ArchivedJob>> {
              std::vector<ArchivedJob> page;
              for (auto it = jobs.upper_bound(after); it != jobs.end() && std::ssize(page) < limit; ++it) {
                page.push_back(it->second);
              }
              ++reads;
              between();
              return page;
            },
            .runs = [this](const std::vector<std::string>& ids, const std::optional<RunPosition>& after,
                           int limit) -> Result<std::vector<RunInfo>> {
              std::vector<RunInfo> page;
              for (const RunInfo& run : runs) {
                const bool wanted =
                    jobs.contains(run.job_id) && std::find(ids.begin(), ids.end(), run.job_id) != ids.end();
                if (wanted && (!after || PositionOf(run) > *after)) page.push_back(run);
              }
              std::sort(page.begin(), page.end(),
                        [](const RunInfo& a, const RunInfo& b) { return PositionOf(a) < PositionOf(b); });
              if (std::ssize(page) > limit) page.resize(static_cast<std::size_t>(limit));
              between();
              return page;
            }};
  }
  LedgerAudit Audit(const AuditOptions& options = {}) {
    auto audit = AuditLedger(Source(), options, 7);
    EXPECT_TRUE(audit) << audit.error().message;
    return audit.value_or(LedgerAudit());
  }
};

std::vector<std::string> Named(const LedgerAudit& audit) {
  std::vector<std::string> out;
  for (const Breach& b : audit.named) {
    out.push_back(b.job_id + " " + std::string(BreachName(b.kind)) + " " + FormatDuration(b.first - kStart));
  }
  return out;
}
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(AuditLedger, FindsBreachesBehindManyPages) {
  Ledger ledger;
  for (int i = 0; i < 700; ++i)
    ledger.Put("few-" + std::to_string(1000 + i), 1, i == 650 ? std::set{1} : std::set<int>{});
  ledger.Put("many", 3000, {0, 2500});
  ledger.Settle("many", 1999);  // of one position with another: pages are cut there
  const LedgerAudit audit = ledger.Audit();
  EXPECT_THAT(Named(audit),
              ElementsAre("few-1650 missing 1s", "many missing 0s", "many doubled 33m19s", "many missing 41m40s"));
  EXPECT_EQ(audit.counts.jobs, 701);
  EXPECT_EQ(audit.counts.expected, 700 * 2 + 3001);
  EXPECT_EQ(audit.counts.missing, 3);
  EXPECT_EQ(audit.counts.doubled, 1);
}

TEST(AuditLedger, JudgesOnlyTheJobsAskedFor) {
  Ledger ledger;
  for (const char* id : {"a", "b", "b/", "b/1", "b/2", "b0", "c"}) ledger.Put(id, 1, {0});
  const auto ids = [&](const AuditOptions& options) {
    std::vector<std::string> out;
    for (const Breach& b : ledger.Audit(options).named) out.push_back(b.job_id);
    return out;
  };
  EXPECT_THAT(ids({.id_prefix = "b/"}), ElementsAre("b/", "b/1", "b/2"));
  EXPECT_THAT(ids({.id_prefix = "b"}), ElementsAre("b", "b/", "b/1", "b/2", "b0"));
  EXPECT_THAT(ids({.job_id = "b"}), ElementsAre("b"));
  EXPECT_THAT(ids({.id_prefix = "none"}), IsEmpty());
  const auto none = AuditLedger(ledger.Source(), {.job_id = "none"}, 7);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
}

TEST(AuditLedger, JobsThatMoveOnBetweenAnyTwoPagesBreakNothing) {
  Ledger ledger;
  ledger.Put("fast", 2900);
  ledger.Put("other", 100, {50});
  ledger.between = [&] {
    ledger.MoveOn("fast");
    ledger.MoveOn("other");
  };
  EXPECT_THAT(Named(ledger.Audit()), ElementsAre("other missing 50s"));
}

TEST(AuditLedger, JobsThatAreReplacedWhileTheyAreReadArePassedOver) {
  for (int at = 1; at <= 3; ++at) {
    Ledger ledger;
    ledger.Put("removed", 10);
    ledger.Put("replaced", 10);
    ledger.between = [&, calls = 0]() mutable {
      if (++calls != at) return;
      ledger.jobs.erase("removed");
      std::erase_if(ledger.runs, [](const RunInfo&) { return true; });
      ledger.jobs.at("replaced").present.created_at = kStart + 1h;
    };
    const LedgerAudit audit = ledger.Audit();
    EXPECT_THAT(Named(audit), IsEmpty()) << at;
    EXPECT_EQ(audit.passed_over + audit.counts.jobs, 2) << at;
    EXPECT_EQ(audit.passed_over, at < 3 ? 2 : 0) << at;
  }
}

TEST(AuditLedger, HistoryThatIsDroppedWhileItIsReadIsNotMissing) {
  Ledger ledger;
  ledger.Put("capped", 100, {});
  ledger.between = [&, calls = 0]() mutable {
    if (++calls != 1) return;  // after the job was read, before its rows are
    std::erase_if(ledger.runs, [](const RunInfo& run) { return run.fire_time <= Point(60); });
    ledger.jobs.at("capped").dropped = Point(60);
  };
  const LedgerAudit audit = ledger.Audit();
  EXPECT_THAT(Named(audit), IsEmpty());
  EXPECT_EQ(audit.counts.expected, 40);
}

TEST(AuditLedger, ExplainsWindowsOfWhichNothingCanBeJudged) {
  Ledger ledger;
  ledger.Put("a", 10, {0, 5});
  const auto refusal = [&](std::optional<Instant> from, std::optional<Instant> to) {
    auto audit = AuditLedger(ledger.Source(), {.from = from, .to = to}, 7);
    if (audit) return std::string();
    EXPECT_EQ(audit.error().code, Code::kInvalidArgument);
    return audit.error().message;
  };
  EXPECT_THAT(refusal(Point(5), Point(5)), HasSubstr("must begin before"));
  EXPECT_THAT(refusal(kNow + 1s, {}), HasSubstr("future"));
  EXPECT_THAT(refusal({}, kNow - std::chrono::days(8)), HasSubstr("2026-11-17T14:00:00Z"));
  EXPECT_THAT(refusal(kNow - std::chrono::days(9), kNow - std::chrono::days(8)), HasSubstr("7 days"));
  EXPECT_EQ(refusal(kNow - std::chrono::days(9), kNow + 1h), "");
}

TEST(AuditLedger, PointsOlderThanTheHistoryAreNotJudgedButCounted) {
  Ledger ledger;
  ledger.Put("a", 10, {0, 5});
  ArchivedJob& job = ledger.jobs.at("a");
  job.reigns[0].after = kNow - std::chrono::days(30);
  job.reigns[0].grid = Schedule::Every({.interval = 1s, .anchor = job.reigns[0].after + 1s}).value();
  job.settled_total = 30 * 86'400 - 3600 + 10;  // the points up to the cursor: 10 s after the start
  LedgerAudit audit = ledger.Audit();
  EXPECT_EQ(audit.from, kNow - std::chrono::days(7) + 1h);
  EXPECT_EQ(audit.totals, 0);
  EXPECT_EQ(audit.counts.expected, 7 * 86'400 - 2 * 3600 + 11);
  ++job.settled_total;
  EXPECT_EQ(ledger.Audit().totals, 1);
  EXPECT_EQ(ledger.Audit({.from = kStart}).totals, 0) << "a counter knows no window";
  EXPECT_THAT(Named(ledger.Audit({.from = kStart})), ElementsAre("a missing 0s", "a missing 5s"));
  EXPECT_THAT(Named(ledger.Audit({.to = Point(-1)})), ElementsAre(testing::StartsWith("a missing -")));
}

TEST(AuditLedger, NamesNoMoreThanItMay) {
  Ledger ledger;
  for (const char* id : {"a", "b", "c"}) ledger.Put(id, 9, {1, 3, 5});
  const LedgerAudit audit = ledger.Audit({.limit = 4});
  EXPECT_THAT(Named(audit), ElementsAre("a missing 1s", "a missing 3s", "a missing 5s", "b missing 1s"));
  EXPECT_EQ(audit.breaches, 9);
  EXPECT_FALSE(ledger.Audit({.limit = 0}).Holds());
}

TEST(AuditLedger, ErrorsOfTheStoreEndIt) {
  Ledger ledger;
  ledger.Put("a", 1);
  LedgerSource source = ledger.Source();
  source.runs = [](const auto&, const auto&, int) -> Result<std::vector<RunInfo>> {
    return Fail(Code::kUnavailable, "gone");
  };
  EXPECT_EQ(AuditLedger(source, {}, 7).error().message, "gone");
}

TEST(AuditLedger, BeginsJustBeforeThePrefix) {
  for (const std::string prefix : {"a", "job-", "b/", "!", " ", "ab\x7F", "z\xC3\xA9", "\xF0\x9F\x98\x80"}) {
    const std::string before = IdBefore(prefix);
    EXPECT_LT(before, prefix);
    EXPECT_TRUE(Validate({before.empty() ? "x" : before, Schedule::At(kStart).value(), "work"})) << "it is valid text";
  }
  EXPECT_EQ(IdBefore(""), "");
  EXPECT_GT(IdBefore("job-"), "job,zzz") << "little lies between";
}

}  // namespace
}  // namespace escapement
