// Local times as instants of a zone, by a declared rule for clock changes.
#pragma once

#include <memory>

#include "escapement/schedule.h"
#include "schedule/local_points.h"
#include "time/zone.h"

namespace escapement {

// A local time that a change skips is the first instant after it, or none; one that comes twice is the first of the
// two, the last, or both. Relies on changes that lie further apart than they are long: in tzdata a week, and a day.
class ZonedPoints {
 public:
  ZonedPoints(std::shared_ptr<const LocalPoints> points, std::shared_ptr<const Zone> zone, GapPolicy gap,
              FoldPolicy fold)
      : points_(std::move(points)), zone_(std::move(zone)), gap_(gap), fold_(fold) {}

  // As of Schedule, among the instants of the years 1970 to 9999. The time they take is bounded by the number of
  // clock changes up to the answer, and Count's by the months in between, too.
  std::optional<Instant> Next(Instant after) const;
  std::optional<Instant> Last(Instant before) const;
  std::int64_t Count(Instant from, Instant to) const;

  const std::shared_ptr<const Zone>& zone() const { return zone_; }

 private:
  struct Part;
  Part PartAt(Seconds at) const;
  // The stretch's beginning stands for a local time that was skipped.
  bool BeginsOnSkipped(const Zone::Stretch& stretch) const;

  std::shared_ptr<const LocalPoints> points_;  // shared: immutable, as the zone
  std::shared_ptr<const Zone> zone_;
  GapPolicy gap_;
  FoldPolicy fold_;
};

}  // namespace escapement
