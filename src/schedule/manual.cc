#include "schedule/kind.h"

namespace escapement {
namespace {

constexpr Instant kNever = kEndOfTime - Duration(1);

class ManualKind final : public Schedule::Kind {
 public:
  std::string ToString() const override { return "manual"; }
  std::string Describe() const override { return "only when it is triggered"; }
  std::optional<Instant> Next(Instant after) const override {
    return after < kNever ? std::optional(kNever) : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override {
    return before > kNever ? std::optional(kNever) : std::nullopt;
  }
  std::int64_t Count(Instant from, Instant to) const override { return from <= kNever && kNever < to ? 1 : 0; }
  Instant FirstCursor(Instant created) const override { return created; }
  double Rate() const override { return 0; }
  Duration Spacing() const override { return Duration::zero(); }
  std::shared_ptr<const Kind> AnchoredAt(Instant) const override { return nullptr; }
};

}  // namespace

Schedule Schedule::Manual() { return Schedule(std::make_shared<ManualKind>()); }

Result<Schedule> ParseManual(std::string_view text) {
  if (!TakeWord(text).empty()) return Fail(Code::kInvalidArgument, "nothing may follow 'manual'");
  return Schedule::Manual();
}

}  // namespace escapement
