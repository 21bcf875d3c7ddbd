// The audit of a ledger: which occurrences break the conservation law, by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/job.h"
#include "escapement/time.h"

namespace escapement {

enum class BreachKind {
  kMissing,     // points up to the job's cursor without a verdict
  kDoubled,     // points with more than one verdict
  kOffGrid,     // a row of history that settles from or to an instant that never was a point of the job
  kMiscounted,  // a row that claims to settle another number of points than lie in its stretch
  kAhead,       // a row that settles points beyond the job's cursor: they would be settled again
  kTotal,       // the job's counter of settled points differs from its points up to the cursor
};
std::string_view BreachName(BreachKind kind);  // "missing", "doubled", "off_grid", "miscounted", "ahead", "total"

// Neighbouring points of one job that break the law in one way.
struct Breach {
  BreachKind kind = BreachKind::kMissing;
  std::string job_id;
  Instant first;                   // fire time of the first point (or row)
  Instant last;                    // of the last
  std::int64_t points = 0;         // of the job's schedules, from first to last
  std::int64_t settled = 0;        // verdicts that the ledger has for them
  std::vector<RunInfo> runs = {};  // the rows of history that settled them, without output; at most kBreachRuns
};
inline constexpr std::size_t kBreachRuns = 10;

struct LedgerAudit;

struct AuditOptions {
  std::string id_prefix = {};              // only jobs whose id starts so
  std::optional<std::string> job_id = {};  // only this job
  std::optional<Instant> from = {};        // points from this one on; none: from the beginning of what is retained
  std::optional<Instant> to = {};          // points before this one; none: up to now
  std::size_t limit = 1000;                // breaches that are named; all are counted
  std::function<void(const LedgerAudit& so_far)> progress = {};  // called between pages
};

// What an audit found. Of each job the points are judged that lie in the window, not before the history that the store
// retains, and not after the job's cursor: what is due but not settled yet, retries included, breaks no law.
struct LedgerAudit {
  Instant from;                  // of the window, as judged
  Instant to;                    // exclusive
  Instant retained_from;         // history of older points may have been dropped: they are not judged
  Audit counts;                  // of points; settled = expected - missing + doubled, by verdict
  std::int64_t unsettled = 0;    // points of the window that are due, beyond their jobs' cursors: not judged
  std::int64_t off_grid = 0;     // rows of history
  std::int64_t miscounted = 0;   // rows of history
  std::int64_t ahead = 0;        // rows of history
  std::int64_t totals = 0;       // jobs; judged only without `from` and `to`, for a counter knows no window
  std::int64_t passed_over = 0;  // jobs that were removed, or whose history was dropped, while they were read
  std::vector<std::string> unreadable = {};  // jobs that a newer program wrote and this one cannot read: not judged
  std::int64_t breaches = 0;                 // all, named or not
  std::vector<Breach> named = {};            // the first of them, by job and by time

  bool Holds() const { return breaches == 0; }
};

}  // namespace escapement
