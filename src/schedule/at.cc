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

}  // namespace escapement
