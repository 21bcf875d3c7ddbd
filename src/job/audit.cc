#include "job/audit.h"

#include <algorithm>

#include "schedule/kind.h"

namespace escapement {

void AuditJob(const Schedule& anchored, Instant from, Instant to, std::vector<SettledSpan> spans, Audit* audit) {
  std::sort(spans.begin(), spans.end(), [](const SettledSpan& a, const SettledSpan& b) { return a.first < b.first; });
  const bool told_by_runs = DelayOf(anchored).has_value();
  const std::int64_t expected = from < to && !told_by_runs ? anchored.Count(from, to) : 0;
  std::int64_t covered = 0;  // points with a verdict
  Instant seen = from;       // points before it are covered, or were passed over
  for (const SettledSpan& span : spans) {
    const Instant first = std::max(span.first, from);
    const Instant end = std::min(span.last + Duration(1), to);
    if (first >= end) continue;
    const Schedule grid = told_by_runs ? anchored.AnchoredAt(span.first) : anchored;
    const bool whole = span.first >= from && span.last < to;
    const std::int64_t settled = whole ? span.count : std::min(span.count, grid.Count(first, end));
    const std::int64_t fresh = std::min(settled, grid.Count(std::max(first, seen), end));
    covered += fresh;
    audit->doubled += settled - fresh;
    audit->settled[span.verdict] += settled;
    seen = std::max(seen, end);
  }
  audit->jobs += 1;
  audit->expected += told_by_runs ? covered : expected;
  audit->missing += told_by_runs ? 0 : expected - covered;
}

}  // namespace escapement
