#include <algorithm>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr Duration kShortest = std::chrono::milliseconds(1);
constexpr Duration kLongest = std::chrono::weeks(520);

class EveryKind final : public Schedule::Kind {
 public:
  EveryKind(const EveryOptions& options, Instant anchor)
      : options_(options),
        first_(std::clamp(anchor, kFirstInstant, kEndOfTime) + options.phase),
        end_(std::min(options.end.value_or(kEndOfTime), kEndOfTime)) {}

  std::string ToString() const override {
    std::string text = "every " + FormatDuration(options_.interval);
    // An anchor given by AnchoredAt is the job's, not the schedule's: it is left out.
    if (options_.anchor) text += " anchor=" + FormatInstant(*options_.anchor);
    if (options_.phase != Duration::zero()) text += " phase=" + FormatDuration(options_.phase);
    if (options_.end) text += " end=" + FormatInstant(*options_.end);
    return text;
  }

  std::string Describe() const override {
    std::string text = "every " + FormatDuration(options_.interval);
    if (options_.anchor) {
      text += " from " + FormatInstant(*options_.anchor + options_.phase);
    } else if (options_.phase != Duration::zero()) {
      text += ", first " + FormatDuration(options_.phase) + " after the job is made";
    }
    if (options_.end) text += ", before " + FormatInstant(*options_.end);
    return text;
  }

  std::optional<Instant> Next(Instant after) const override {
    if (after >= end_) return std::nullopt;
    Instant next = first_;
    if (after >= first_) next += ((after - first_) / options_.interval + 1) * options_.interval;
    return next < end_ ? std::optional(next) : std::nullopt;
  }

  std::optional<Instant> Last(Instant before) const override {
    before = std::min(before, end_);
    if (before <= first_) return std::nullopt;
    return first_ + (before - Duration(1) - first_) / options_.interval * options_.interval;
  }

  std::int64_t Count(Instant from, Instant to) const override {
    return std::max<std::int64_t>(0, Before(to) - Before(from));
  }

  Instant FirstCursor(Instant created) const override {
    // A grid of the user's own includes the instant of creation; one that begins with the job does not fire at once.
    return options_.anchor ? created - Duration(1) : created;
  }

  double Rate() const override { return 1e6 / static_cast<double>(options_.interval.count()); }
  Duration Spacing() const override { return options_.interval; }

  std::shared_ptr<const Kind> AnchoredAt(Instant anchor) const override {
    return options_.anchor ? nullptr : std::make_shared<EveryKind>(options_, anchor);
  }

 private:
  // The number of points before `instant`.
  std::int64_t Before(Instant instant) const {
    instant = std::min(instant, end_);
    return instant <= first_ ? 0 : (instant - Duration(1) - first_) / options_.interval + 1;
  }

  EveryOptions options_;
  Instant first_;
  Instant end_;
};

tl::unexpected<Error> Bad(std::string message) { return Fail(Code::kInvalidArgument, std::move(message)); }

bool Exists(Instant instant) { return instant >= kFirstInstant && instant < kEndOfTime; }

}  // namespace

Result<Schedule> Schedule::Every(const EveryOptions& options) {
  if (options.interval < kShortest || options.interval > kLongest) {
    return Bad(fmt::format("interval {} must be between {} and 520w", FormatDuration(options.interval),
                           FormatDuration(kShortest)));
  }
  if (options.phase < Duration::zero() || options.phase >= options.interval) {
    return Bad(fmt::format("phase {} must be at least 0s and less than the interval {}", FormatDuration(options.phase),
                           FormatDuration(options.interval)));
  }
  if (options.anchor && !Exists(*options.anchor)) return Bad("anchor must be in the years 1970 to 9999");
  if (options.end && !Exists(*options.end)) return Bad("end must be in the years 1970 to 9999");
  if (options.anchor && options.end && *options.end <= *options.anchor) {
    return Bad(
        fmt::format("end {} must be after anchor {}", FormatInstant(*options.end), FormatInstant(*options.anchor)));
  }
  return Schedule(std::make_shared<EveryKind>(options, options.anchor.value_or(kFirstInstant)));
}

Result<Schedule> ParseEvery(std::string_view text) {
  EveryOptions options;
  const auto interval = ParseDuration(TakeWord(text));
  if (!interval) return FailIn("interval", interval.error());
  options.interval = *interval;
  bool phase_seen = false;
  for (std::string_view word = TakeWord(text); !word.empty(); word = TakeWord(text)) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    const std::string_view value = word.substr(std::min(equals + 1, word.size()));
    const bool repeated =
        (name == "anchor" && options.anchor) || (name == "end" && options.end) || (name == "phase" && phase_seen);
    if (repeated) return Bad(fmt::format("'{}' is given twice", name));
    if (name == "phase") {
      const auto phase = ParseDuration(value);
      if (!phase) return FailIn(name, phase.error());
      options.phase = *phase;
      phase_seen = true;
    } else if (name == "anchor" || name == "end") {
      const auto instant = ParseInstant(value);
      if (!instant) return FailIn(name, instant.error());
      (name == "anchor" ? options.anchor : options.end) = *instant;
    } else {
      return Bad(fmt::format("'{}' is not an option of 'every'; write anchor=, phase= or end=", Quoted(word, 60)));
    }
  }
  return Schedule::Every(options);
}

}  // namespace escapement
