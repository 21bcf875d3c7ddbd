// The conservation law for one job, row by row: which points have no verdict, which have too many.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "escapement/audit.h"
#include "job/archive.h"

namespace escapement {

// A job as far as its ledger is judged by it.
struct LedgerJob {
  std::string id;
  Instant created_at;
  Instant cursor;
  std::int64_t settled_total = 0;
  std::vector<Reign> reigns;       // by time
  std::optional<Instant> dropped;  // as in ArchivedJob
};
LedgerJob LedgerOf(const ArchivedJob& job);

// Takes the rows of one job's history in the order of their fire times and finds what breaks the law. Memory does not
// grow with the rows, but with those that overlap. The job must have been read before its rows: whatever is settled up
// to its cursor is among them then.
class LedgerCheck {
 public:
  struct Options {
    Instant from;              // points from this one on
    Instant to;                // exclusive
    Instant due;               // points before it are due
    bool total = false;        // judge settled_total too
    std::size_t limit = 1000;  // breaches that are named
  };
  LedgerCheck(LedgerJob job, const Options& options);

  // `cursor`: the job's, read after the row. Rows that settle nothing of the schedule are passed over.
  void Add(const RunInfo& run, Instant cursor);
  // Once, after the last row: judges what it leaves.
  void Finish();
  // Adds the job, finished, to `audit`, which names no more than the limit either.
  void Report(LedgerAudit* audit) const;

  const LedgerJob& job() const { return job_; }
  Instant from() const { return from_; }
  bool Holds() const { return found_.Holds(); }

 private:
  struct Active {
    Instant first, last;
    Verdict verdict = Verdict::kSucceeded;
    std::shared_ptr<const RunInfo> run;  // shared: with breaches; none of too many
  };

  struct Points {
    std::int64_t count = 0;
    Instant first, last;  // if there are any
  };

  // In [from, end), of all reigns. What a delay's are, only a row tells: those from `of_row` on, or none.
  Points PointsIn(Instant from, Instant end, std::optional<Instant> of_row) const;
  void JudgeRow(const RunInfo& run, Instant cursor);
  void SweepTo(Instant end);
  void JudgeSegment(Instant first, Instant end);
  void Name(Breach breach);

  const LedgerJob job_;
  const Options options_;
  const Instant from_;
  const Instant end_;           // of the points that are judged
  Instant swept_;               // points before it are judged
  std::vector<Active> active_;  // rows that reach to swept_ or beyond
  LedgerAudit found_;
};

}  // namespace escapement
