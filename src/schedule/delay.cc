// So long after the run before ended. When that is, only the run tells: without one, all here is as if runs took no
// time. job/settle.h says how fire times come about.
#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

class DelayKind final : public Schedule::Kind {
 public:
  DelayKind(Duration delay, std::shared_ptr<const Kind> grid) : delay_(delay), grid_(std::move(grid)) {}

  static Result<Schedule> Make(Duration delay) {
    const auto grid = Schedule::Every({.interval = delay});
    if (!grid) return tl::unexpected(grid.error());
    return Wrap(std::make_shared<DelayKind>(delay, Of(*grid)));
  }

  std::string ToString() const override { return "delay " + FormatDuration(delay_); }
  std::string Describe() const override { return FormatDuration(delay_) + " after the run before it ended"; }
  std::optional<Instant> Next(Instant after) const override { return grid_->Next(after); }
  std::optional<Instant> Last(Instant before) const override { return grid_->Last(before); }
  std::int64_t Count(Instant from, Instant to) const override { return grid_->Count(from, to); }
  Instant FirstCursor(Instant created) const override { return created; }
  double Rate() const override { return grid_->Rate(); }
  Duration Spacing() const override { return delay_; }
  std::shared_ptr<const Kind> AnchoredAt(Instant anchor) const override {
    return std::make_shared<DelayKind>(delay_, grid_->AnchoredAt(anchor));
  }
  std::optional<Duration> AfterRun() const override { return delay_; }

 private:
  Duration delay_;
  std::shared_ptr<const Kind> grid_;
};

}  // namespace

Result<Schedule> ParseDelay(std::string_view text) {
  const auto delay = ParseDuration(TakeWord(text));
  if (!delay) return FailIn("delay", delay.error());
  if (const std::string_view more = TakeWord(text); !more.empty()) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is not expected after the delay", Quoted(more, 60)));
  }
  return DelayKind::Make(*delay);
}

}  // namespace escapement
