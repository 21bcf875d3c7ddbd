#include "schedule/zoned.h"

#include <algorithm>

#include "schedule/kind.h"

namespace escapement {
namespace {

constexpr Seconds kEnd = std::chrono::duration_cast<std::chrono::seconds>(kEndOfTime.time_since_epoch()).count();
// No local time is further from UTC, with a day to spare for what a change skips.
constexpr Seconds kFurthest = 2 * 86'400;

Instant InstantOf(Seconds at) { return Instant(std::chrono::seconds(at)); }
// The first whole second at or after an instant.
Seconds CeilSeconds(Instant instant) {
  return std::chrono::ceil<std::chrono::seconds>(std::clamp(instant, kFirstInstant, kEndOfTime))
      .time_since_epoch()
      .count();
}

}  // namespace

// A stretch of one offset; in [low, high) each local time of the points is an instant of theirs.
struct ZonedPoints::Part {
  Zone::Stretch stretch;
  Seconds low;
  Seconds high;
};

ZonedPoints::Part ZonedPoints::PartAt(Seconds at) const {
  const Zone::Stretch s = zone_->At(at);
  const bool not_again = fold_ == FoldPolicy::kFirst && s.offset < s.before;
  const bool not_yet = fold_ == FoldPolicy::kLast && s.after < s.offset;
  return {s, not_again ? s.begin + s.before - s.offset : s.begin, not_yet ? s.end + s.after - s.offset : s.end};
}

bool ZonedPoints::BeginsOnSkipped(const Zone::Stretch& s) const {
  if (gap_ == GapPolicy::kSkip || s.offset <= s.before) return false;
  const auto skipped = points_->Next(s.begin + s.before);
  return skipped && *skipped < s.begin + s.offset;
}

std::optional<Instant> ZonedPoints::Next(Instant after) const {
  if (after >= kEndOfTime) return std::nullopt;
  Seconds at = after < kFirstInstant ? 0 : CeilSeconds(after + Duration(1));
  while (at < kEnd) {
    const Part part = PartAt(at);
    const Zone::Stretch& s = part.stretch;
    if (at == s.begin && BeginsOnSkipped(s)) return InstantOf(at);
    const Seconds local = std::max(at, part.low) + s.offset;
    const auto next = points_->Next(local);
    if (next && *next - s.offset < std::min(part.high, kEnd)) return InstantOf(*next - s.offset);
    // There are no points in [local, *next). If the clock is not set back behind `local`, all up to there can be
    // passed.
    at = s.end;
    if (s.end + s.after < local) continue;
    if (!next) return std::nullopt;
    at = std::max(at, *next - kFurthest);
  }
  return std::nullopt;
}

std::optional<Instant> ZonedPoints::Last(Instant before) const {
  Seconds at = CeilSeconds(before) - 1;
  while (at >= 0) {
    const Part part = PartAt(at);
    const Zone::Stretch& s = part.stretch;
    const Seconds local = std::min(at + 1, part.high) + s.offset;
    const auto last = points_->Last(local);
    if (last && *last - s.offset >= std::max<Seconds>(part.low, 0)) return InstantOf(*last - s.offset);
    if (s.begin >= 0 && BeginsOnSkipped(s)) return InstantOf(s.begin);
    at = s.begin - 1;
    if (s.begin + s.before > local) continue;
    if (!last) return std::nullopt;
    at = std::min(at, *last + kFurthest);
  }
  return std::nullopt;
}

std::int64_t ZonedPoints::Count(Instant from, Instant to) const {
  const Seconds end = CeilSeconds(to);
  std::int64_t count = 0;
  for (Seconds at = CeilSeconds(from); at < end;) {
    const Part part = PartAt(at);
    const Zone::Stretch& s = part.stretch;
    count += points_->Count(std::max(at, part.low) + s.offset, std::min(end, part.high) + s.offset);
    if (at == s.begin && BeginsOnSkipped(s)) {
      const Seconds local = s.begin + s.offset;
      if (points_->Next(local) != local) ++count;  // else it is a point by itself, and counted
    }
    at = s.end;
  }
  return count;
}

}  // namespace escapement
