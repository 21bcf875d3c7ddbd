// When a job fires: a pure, immutable function from instants to instants.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

// Points of an interval: anchor + phase + k * interval for k >= 0, before `end`. The grid does not drift.
struct EveryOptions {
  Duration interval{0};                // 1 ms to 520 weeks
  std::optional<Instant> anchor = {};  // start of the grid; none: the instant at which the job was created
  Duration phase{0};                   // 0 <= phase < interval
  std::optional<Instant> end = {};     // no point at or after it
};

// A cheap value to copy; safe to read from any thread.
class Schedule {
 public:
  // What a kind of schedule must answer; new kinds implement this and a branch of Parse.
  class Kind;

  [[nodiscard]] static Result<Schedule> Every(const EveryOptions& options);
  [[nodiscard]] static Result<Schedule> At(Instant instant);
  // Reads ToString's text: "every 1s anchor=2026-01-01T00:00:00Z phase=10ms end=...", "at 2026-01-01T00:00:00Z".
  [[nodiscard]] static Result<Schedule> Parse(std::string_view text);

  std::string ToString() const;

  // The first point strictly after `after`.
  std::optional<Instant> Next(Instant after) const;
  // The last point strictly before `before`.
  std::optional<Instant> Last(Instant before) const;
  // The number of points in [from, to).
  std::int64_t Count(Instant from, Instant to) const;
  // The cursor of a job created at `created`: its first point is Next(FirstCursor(created)).
  Instant FirstCursor(Instant created) const;
  // Points a second in the long run (0 for a single instant): the unit of fair shares.
  double Rate() const;
  // The distance between neighbouring points; the basis of the default late threshold. Zero for a single instant.
  Duration Spacing() const;
  // The same schedule with a grid that starts at `anchor` if it has no anchor of its own.
  Schedule AnchoredAt(Instant anchor) const;

  friend bool operator==(const Schedule& a, const Schedule& b) { return a.ToString() == b.ToString(); }

 private:
  explicit Schedule(std::shared_ptr<const Kind> kind) : kind_(std::move(kind)) {}
  std::shared_ptr<const Kind> kind_;  // shared: immutable, copied with the schedule
};

}  // namespace escapement
