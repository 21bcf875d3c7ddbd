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

// What becomes of a local time that a clock change skips: it is the first instant after the change, or is left out.
enum class GapPolicy { kShift, kSkip };
// What becomes of a local time that comes twice when clocks are set back.
enum class FoldPolicy { kFirst, kLast, kBoth };

// How local times become instants.
struct ZoneOptions {
  std::string zone = "UTC";  // of the system's tzdata
  GapPolicy gap = GapPolicy::kShift;
  FoldPolicy fold = FoldPolicy::kFirst;
};

// Local times by a cron expression of 5 to 7 fields, or a macro: docs/schedules.md has the grammar.
struct CronOptions {
  std::string expression;  // "0 3 * * mon-fri", "CRON_TZ=Europe/Berlin @daily"
  ZoneOptions local = {};
  std::optional<std::uint64_t> seed = {};  // of H; none: taken from the job's id
};

// Local times by the parts that they must have; empty: any, or, of parts smaller than the smallest one given, the
// first. `day` and `day_of_week` must both hold.
struct CalendarOptions {
  std::string year = {};
  std::string month = {};        // "jan,jul", "2-6/2"
  std::string day = {};          // "1,15", "last", "1st fri"
  std::string week = {};         // of ISO 8601
  std::string day_of_week = {};  // "mon-fri"
  std::string hour = {};
  std::string minute = {};
  std::string second = {};
  ZoneOptions local = {};
  std::optional<std::uint64_t> seed = {};
};

// A cheap value to copy; safe to read from any thread.
class Schedule {
 public:
  // What a kind of schedule must answer; new kinds implement this and a branch of Parse.
  class Kind;

  [[nodiscard]] static Result<Schedule> Every(const EveryOptions& options);
  [[nodiscard]] static Result<Schedule> At(Instant instant);
  // Never by itself (its only point is the last instant of the year 9999): for jobs that are triggered, by users or by
  // other jobs.
  [[nodiscard]] static Schedule Manual();
  // kInvalidArgument names the field and the column of what is wrong; and for what never fires in the years 1970 to
  // 9999.
  [[nodiscard]] static Result<Schedule> Cron(const CronOptions& options);
  [[nodiscard]] static Result<Schedule> Calendar(const CalendarOptions& options);
  // Reads ToString's text: "every 1s anchor=2026-01-01T00:00:00Z phase=10ms end=...", "at 2026-01-01T00:00:00Z",
  // "cron 0 3 * * mon-fri zone=Europe/Berlin gap=skip fold=both", "calendar day=1st fri hour=3 zone=Europe/Berlin"; and
  // a line as a crontab has it: "0 3 * * *", "@daily".
  [[nodiscard]] static Result<Schedule> Parse(std::string_view text);

  std::string ToString() const;
  // In words: "at 03:00 on Monday to Friday, Europe/Berlin time".
  std::string Describe() const;

  // The first point strictly after `after`.
  std::optional<Instant> Next(Instant after) const;
  // The last point strictly before `before`.
  std::optional<Instant> Last(Instant before) const;
  // The number of points in [from, to).
  std::int64_t Count(Instant from, Instant to) const;
  // The cursor of a job created at `created`: its first point is Next(FirstCursor(created)).
  Instant FirstCursor(Instant created) const;
  // Points a second in the long run (0 for a single instant): the unit of fair shares. Of a cron or a calendar
  // schedule: as if it fired in every year, and clocks never changed.
  double Rate() const;
  // The distance between neighbouring points; the basis of the default late threshold. Zero for a single instant. Of a
  // cron or a calendar schedule: the least, as far as hours, minutes and seconds tell; at most a day.
  Duration Spacing() const;
  // The same schedule with a grid that starts at `anchor` if it has no anchor of its own.
  Schedule AnchoredAt(Instant anchor) const;
  // The same schedule with the seed of its H taken from the job's id, if it has an H and no seed. Scheduler does that
  // to what is enqueued; without a seed, H is what it is for the empty id.
  Schedule ForJob(std::string_view id) const;
  // The zone of its local times; empty for one that goes by instants.
  std::string ZoneName() const;
  // The same schedule by another copy of tzdata (an absolute directory, as /usr/share/zoneinfo is one); itself if it
  // goes by instants. kInvalidArgument if the zone is not there.
  [[nodiscard]] Result<Schedule> WithTzdata(const std::string& directory) const;

  friend bool operator==(const Schedule& a, const Schedule& b) { return a.ToString() == b.ToString(); }

 private:
  explicit Schedule(std::shared_ptr<const Kind> kind) : kind_(std::move(kind)) {}
  std::shared_ptr<const Kind> kind_;  // shared: immutable, copied with the schedule
};

}  // namespace escapement
