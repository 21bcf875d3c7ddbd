#include "job/audit.h"

#include <algorithm>

namespace escapement {

void AuditJob(const Schedule& anchored, Instant from, Instant to, std::vector<SettledSpan> spans, Audit* audit) {
  std::sort(spans.begin(), spans.end(), [](const SettledSpan& a, const SettledSpan& b) { return a.first < b.first; });
  const std::int64_t expected = from < to ? anchored.Count(from, to) : 0;
  std::int64_t covered = 0;  // points with a verdict
  Instant seen = from;       // points before it are covered, or were passed over
  for (const SettledSpan& span : spans) {
    const Instant first = std::max(span.first, from);
    const Instant end = std::min(span.last + Duration(1), to);
    if (first >= end) continue;
    const bool whole = span.first >= from && span.last < to;
    const std::int64_t settled = whole ? span.count : std::min(span.count, anchored.Count(first, end));
    const std::int64_t fresh = std::min(settled, anchored.Count(std::max(first, seen), end));
    covered += fresh;
    audit->doubled += settled - fresh;
    audit->settled[span.verdict] += settled;
    seen = std::max(seen, end);
  }
  audit->jobs += 1;
  audit->expected += expected;
  audit->missing += expected - covered;
}

}  // namespace escapement
