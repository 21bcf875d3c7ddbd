// The arithmetic of the conservation law (guarantee G1): grid points against what the ledger settled.
#pragma once

#include <cstdint>
#include <vector>

#include "escapement/job.h"
#include "escapement/schedule.h"

namespace escapement {

// A run row that settles something.
struct SettledSpan {
  Instant first;
  Instant last;  // inclusive
  std::int64_t count = 1;
  Verdict verdict = Verdict::kSucceeded;
};

// Adds one job to `audit`: grid points in [from, to) against the spans that settled them, parts of spans outside the
// window left out. What spans settle beyond one verdict for each point, off the grid included, counts as doubled; so
// settled = expected - missing + doubled always. The schedule must be anchored, and `from` be later than the job's
// first cursor. Of a delay, whose points only its runs tell, none is missing. O(n log n) in spans.
void AuditJob(const Schedule& anchored, Instant from, Instant to, std::vector<SettledSpan> spans, Audit* audit);

}  // namespace escapement
