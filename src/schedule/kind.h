// What a kind of schedule answers. A new kind is a file of its own and a line in Schedule::Parse.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "escapement/schedule.h"

namespace escapement {

// The instants that exist for schedules: years 1970 to 9999, in [kFirstInstant, kEndOfTime). Sums of two of them, or
// of one and the longest interval, stay far from overflow.
inline constexpr Instant kFirstInstant{};
inline constexpr Instant kEndOfTime = std::chrono::sys_days(std::chrono::year(10000) / 1 / 1);

// Immutable; every method takes any instant at all without overflow. See Schedule for what each one means.
class Schedule::Kind {
 public:
  virtual ~Kind() = default;
  virtual std::string ToString() const = 0;
  virtual std::string Describe() const = 0;
  virtual std::optional<Instant> Next(Instant after) const = 0;
  virtual std::optional<Instant> Last(Instant before) const = 0;
  virtual std::int64_t Count(Instant from, Instant to) const = 0;
  virtual Instant FirstCursor(Instant created) const = 0;
  virtual double Rate() const = 0;
  virtual Duration Spacing() const = 0;
  // Null: this kind does not depend on an anchor, or has its own.
  virtual std::shared_ptr<const Kind> AnchoredAt(Instant anchor) const = 0;
  // Null: this kind has nothing that depends on the job's id, or has its own seed.
  virtual std::shared_ptr<const Kind> ForJob(std::string_view) const { return nullptr; }
  virtual std::string ZoneName() const { return {}; }
  // Set: a point comes so long after the run before it ended, and the methods above answer as if runs took no time.
  virtual std::optional<Duration> AfterRun() const { return std::nullopt; }
  // Null: this kind has no zone.
  virtual Result<std::shared_ptr<const Kind>> WithTzdata(const std::string&) const { return nullptr; }

  static const std::shared_ptr<const Kind>& Of(const Schedule& schedule) { return schedule.kind_; }

 protected:
  static Schedule Wrap(std::shared_ptr<const Kind> kind) { return Schedule(std::move(kind)); }
};

// The delay of a schedule that goes by the ends of its runs.
inline std::optional<Duration> DelayOf(const Schedule& schedule) { return Schedule::Kind::Of(schedule)->AfterRun(); }

// Which of another schedule's points there are. None of them: the schedule itself.
struct Bounds {
  std::optional<Instant> start = {};       // no point before it
  std::optional<Instant> end = {};         // none at or after it
  std::optional<std::int64_t> count = {};  // the first so many from `start` on, or since the job was created
  friend bool operator==(const Bounds&, const Bounds&) = default;
};
// kInvalidArgument for bounds that leave no point.
Result<Schedule> MakeBounded(const Schedule& schedule, const Bounds& bounds);

// Read what follows the kind's name in the text of a schedule.
Result<Schedule> ParseEvery(std::string_view options);
Result<Schedule> ParseAt(std::string_view options);
Result<Schedule> ParseIn(std::string_view options);
Result<Schedule> ParseDelay(std::string_view options);
Result<Schedule> ParseManual(std::string_view options);

// `options` lies in `whole`: errors say the column there.
Result<Schedule> ParseCron(std::string_view whole, std::string_view options);
Result<Schedule> ParseCalendar(std::string_view whole, std::string_view options);
// With the word rrule before it, or without.
Result<Schedule> ParseRrule(std::string_view text);

// Blanks start=, count= and, if `with_end`, end= out of `text`, so that columns stay, and reads them.
Result<Bounds> TakeBounds(std::string* text, bool with_end);

// Takes the first word off `text`; empty at the end.
std::string_view TakeWord(std::string_view& text);

}  // namespace escapement
