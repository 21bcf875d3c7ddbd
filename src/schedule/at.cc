#include <algorithm>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

class AtKind final : public Schedule::Kind {
 public:
  explicit AtKind(Instant instant) : instant_(instant) {}

  std::string ToString() const override { return "at " + FormatInstant(instant_); }
  std::string Describe() const override { return "once, at " + FormatInstant(instant_); }
  std::optional<Instant> Next(Instant after) const override {
    return after < instant_ ? std::optional(instant_) : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override {
    return before > instant_ ? std::optional(instant_) : std::nullopt;
  }
  std::int64_t Count(Instant from, Instant to) const override { return from <= instant_ && instant_ < to ? 1 : 0; }
  // An instant that had passed when the job was created is an occurrence too: the late policy decides.
  Instant FirstCursor(Instant) const override { return instant_ - Duration(1); }
  double Rate() const override { return 0; }
  Duration Spacing() const override { return Duration::zero(); }
  std::shared_ptr<const Kind> AnchoredAt(Instant) const override { return nullptr; }

 private:
  Instant instant_;
};

constexpr Duration kLongestWait = std::chrono::weeks(520);

// Once, so long after the job was created.
class InKind final : public Schedule::Kind {
 public:
  InKind(Duration wait, Instant created) : wait_(wait), instant_(created + wait) {}

  static Schedule Make(Duration wait) { return Wrap(std::make_shared<InKind>(wait, kFirstInstant)); }

  std::string ToString() const override { return "in " + FormatDuration(wait_); }
  std::string Describe() const override { return "once, " + FormatDuration(wait_) + " after the job is made"; }
  std::optional<Instant> Next(Instant after) const override {
    return after < instant_ && instant_ < kEndOfTime ? std::optional(instant_) : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override {
    return before > instant_ && instant_ < kEndOfTime ? std::optional(instant_) : std::nullopt;
  }
  std::int64_t Count(Instant from, Instant to) const override {
    return from <= instant_ && instant_ < to && instant_ < kEndOfTime ? 1 : 0;
  }
  Instant FirstCursor(Instant created) const override { return created - Duration(1); }  // "in 0s" is at once
  double Rate() const override { return 0; }
  Duration Spacing() const override { return Duration::zero(); }
  std::shared_ptr<const Kind> AnchoredAt(Instant anchor) const override {
    return std::make_shared<InKind>(wait_, std::clamp(anchor, kFirstInstant, kEndOfTime));
  }

 private:
  Duration wait_;
  Instant instant_;
};

}  // namespace

Result<Schedule> Schedule::At(Instant instant) {
  if (instant < kFirstInstant || instant >= kEndOfTime) {
    return Fail(Code::kInvalidArgument, "instant must be in the years 1970 to 9999");
  }
  return Schedule(std::make_shared<AtKind>(instant));
}

Result<Schedule> ParseAt(std::string_view text) {
  const auto instant = ParseInstant(TakeWord(text));
  if (!instant) return tl::unexpected<Error>(instant.error());
  if (const std::string_view more = TakeWord(text); !more.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is not expected after the instant", Quoted(more, 60)));
  }
  return Schedule::At(*instant);
}

Result<Schedule> ParseIn(std::string_view text) {
  const auto wait = ParseDuration(TakeWord(text));
  if (!wait) return FailIn("time to wait", wait.error());
  if (const std::string_view more = TakeWord(text); !more.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is not expected after the time to wait", Quoted(more, 60)));
  }
  if (*wait > kLongestWait) return Fail(Code::kInvalidArgument, "the time to wait is longer than 520w");
  return InKind::Make(*wait);
}

}  // namespace escapement
