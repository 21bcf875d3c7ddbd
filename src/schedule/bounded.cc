// Bounds on another schedule: from an instant on, before one, so many points.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "schedule/nth_point.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr std::int64_t kMostPoints = 1'000'000'000;

tl::unexpected<Error> Bad(std::string message) { return Fail(Code::kInvalidArgument, std::move(message)); }

class BoundedKind final : public Schedule::Kind {
 public:
  // `first`: the first instant whose point counts.
  BoundedKind(std::shared_ptr<const Kind> inner, const Bounds& bounds, Instant first)
      : inner_(std::move(inner)),
        bounds_(bounds),
        begin_(std::clamp(first, kFirstInstant, kEndOfTime)),
        end_(bounds.end.value_or(kEndOfTime)) {
    if (!bounds_.count) return;
    constexpr std::int64_t kWidth = 1'000'000;
    const auto last =
        NthPoint(ToMicros(begin_), ToMicros(end_), *bounds_.count, kWidth,
                 [&](std::int64_t from, std::int64_t to) { return inner_->Count(FromMicros(from), FromMicros(to)); });
    if (last) end_ = FromMicros(*last + 1);
  }

  static Result<Schedule> Make(const Schedule& schedule, const Bounds& bounds) {
    const auto& inner = Of(schedule);
    const auto kind = std::make_shared<const BoundedKind>(inner, bounds, bounds.start.value_or(kFirstInstant));
    const bool known = inner->AnchoredAt(kFirstInstant) == nullptr;
    if (known && !kind->Next(kFirstInstant - Duration(1))) return Bad("never fires: none of its points is in bounds");
    return Wrap(kind);
  }

  std::string ToString() const override {
    std::string text = inner_->ToString();
    if (bounds_.start) text += " start=" + FormatInstant(*bounds_.start);
    if (bounds_.end) text += " end=" + FormatInstant(*bounds_.end);
    if (bounds_.count) text += fmt::format(" count={}", *bounds_.count);
    return text;
  }
  std::string Describe() const override {
    std::string text = inner_->Describe();
    if (bounds_.start) text += ", not before " + FormatInstant(*bounds_.start);
    if (bounds_.end) text += ", before " + FormatInstant(*bounds_.end);
    if (bounds_.count == 1) text += ", once";
    if (bounds_.count > 1) text += fmt::format(", {} times", *bounds_.count);
    return text;
  }

  std::optional<Instant> Next(Instant after) const override {
    const auto next = inner_->Next(std::max(after, begin_ - Duration(1)));
    return next && *next < end_ ? next : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override {
    const auto last = inner_->Last(std::min(before, end_));
    return last && *last >= begin_ ? last : std::nullopt;
  }
  std::int64_t Count(Instant from, Instant to) const override {
    from = std::max(from, begin_);
    to = std::min(to, end_);
    return from < to ? inner_->Count(from, to) : 0;
  }
  Instant FirstCursor(Instant created) const override {
    return std::max(inner_->FirstCursor(created), bounds_.start.value_or(kFirstInstant) - Duration(1));
  }
  double Rate() const override { return inner_->Rate(); }
  Duration Spacing() const override { return inner_->Spacing(); }
  std::string ZoneName() const override { return inner_->ZoneName(); }

  std::shared_ptr<const Kind> AnchoredAt(Instant anchor) const override {
    auto inner = inner_->AnchoredAt(anchor);
    // Points count since the job was created, unless they count from an instant of their own.
    const bool counts_from_creation = bounds_.count && !bounds_.start;
    if (!inner && !counts_from_creation) return nullptr;
    if (!inner) inner = inner_;
    const Instant first = counts_from_creation ? inner->FirstCursor(anchor) + Duration(1) : begin_;
    return std::make_shared<const BoundedKind>(std::move(inner), bounds_, first);
  }
  std::shared_ptr<const Kind> ForJob(std::string_view id) const override {
    auto inner = inner_->ForJob(id);
    return inner ? std::make_shared<const BoundedKind>(std::move(inner), bounds_, begin_) : nullptr;
  }
  Result<std::shared_ptr<const Kind>> WithTzdata(const std::string& directory) const override {
    auto inner = inner_->WithTzdata(directory);
    if (!inner || !*inner) return inner;
    return std::make_shared<const BoundedKind>(*std::move(inner), bounds_, begin_);
  }

 private:
  std::shared_ptr<const Kind> inner_;
  Bounds bounds_;
  Instant begin_;
  Instant end_;
};

Status ReadBound(std::string_view name, std::string_view value, Bounds* bounds) {
  const bool repeated = name == "start" ? bounds->start.has_value()
                        : name == "end" ? bounds->end.has_value()
                                        : bounds->count.has_value();
  if (repeated) return Bad(fmt::format("'{}' is given twice", name));
  if (name != "count") {
    const auto instant = ParseInstant(value);
    if (!instant) return FailIn(name, instant.error());
    (name == "start" ? bounds->start : bounds->end) = *instant;
    return {};
  }
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size() || count < 1 || count > kMostPoints) {
    return Bad(fmt::format("count is '{}': it must be a number from 1 to {}", Quoted(value, 40), kMostPoints));
  }
  bounds->count = count;
  return {};
}

}  // namespace

Result<Schedule> MakeBounded(const Schedule& schedule, const Bounds& bounds) {
  if (bounds == Bounds()) return schedule;
  if (bounds.start && bounds.end && *bounds.end <= *bounds.start) {
    return Bad(fmt::format("end {} must be after start {}", FormatInstant(*bounds.end), FormatInstant(*bounds.start)));
  }
  return BoundedKind::Make(schedule, bounds);
}

Result<Bounds> TakeBounds(std::string* text, bool with_end) {
  Bounds bounds;
  for (std::size_t at = 0; (at = text->find_first_not_of(" \t", at)) != std::string::npos;) {
    const std::size_t end = std::min(text->find_first_of(" \t", at), text->size());
    const std::string_view word = std::string_view(*text).substr(at, end - at);
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    if (equals < word.size() && (name == "start" || name == "count" || (with_end && name == "end"))) {
      if (auto status = ReadBound(name, word.substr(equals + 1), &bounds); !status) {
        return tl::unexpected(status.error());
      }
      std::fill(text->begin() + static_cast<std::ptrdiff_t>(at), text->begin() + static_cast<std::ptrdiff_t>(end), ' ');
    }
    at = end;
  }
  return bounds;
}

}  // namespace escapement
