#include "schedule/pattern_kind.h"

#include <algorithm>

#include "schedule/fields.h"
#include "schedule/kind.h"
#include "schedule/words.h"
#include "schedule/zoned.h"

namespace escapement {
namespace {

class PatternKind final : public Schedule::Kind {
 public:
  PatternKind(const Notation& notation, LocalOptions options, Reading reading, std::shared_ptr<const Zone> zone)
      : notation_(notation),
        options_(std::move(options)),
        text_(std::move(reading.text)),
        hashed_(reading.hashed),
        pattern_(std::make_shared<Pattern>(std::move(reading.pattern))),
        points_(pattern_, std::move(zone), options_.local.gap, options_.local.fold),
        last_(points_.Last(kEndOfTime)) {}

  static Result<std::shared_ptr<const PatternKind>> Make(const Notation& notation, std::string_view whole,
                                                         std::string_view part, const LocalOptions& options) {
    auto reading = notation.read(whole, part, options.seed.value_or(SeedOf("")));
    if (!reading) return tl::unexpected(reading.error());
    if (options.seed && !reading->hashed) {
      return Fail(Code::kInvalidArgument, "seed belongs to an H, and there is none");
    }
    auto zone = Zone::Load(options.local.zone);
    if (!zone) return FailIn("zone", zone.error());
    auto kind = std::make_shared<const PatternKind>(notation, options, *std::move(reading), *std::move(zone));
    if (!kind->last_) {
      return Fail(Code::kInvalidArgument, kind->pattern_->Next(0)
                                              ? "never fires: clock changes skip all of its times, and gap=skip"
                                              : "never fires: no day of the years 1970 to 9999 is one of its days");
    }
    return kind;
  }

  static Schedule Wrap(std::shared_ptr<const Kind> kind) { return Kind::Wrap(std::move(kind)); }

  std::string ToString() const override {
    return std::string(notation_.name) + ' ' + text_ + LocalOptionsText(options_);
  }
  std::string Describe() const override { return InWords(*pattern_) + ", " + DescribeLocal(options_.local); }

  std::optional<Instant> Next(Instant after) const override {
    // When no more come, that is known without a search through all years.
    return last_ && after < *last_ ? points_.Next(after) : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override { return points_.Last(before); }
  std::int64_t Count(Instant from, Instant to) const override { return points_.Count(from, to); }
  // The instant of creation is one of the schedule's, as it is of an interval's that has its own anchor.
  Instant FirstCursor(Instant created) const override { return created - Duration(1); }
  double Rate() const override {
    return static_cast<double>(pattern_->PointsADay()) / 86'400 * pattern_->ShareOfDays();
  }
  Duration Spacing() const override {
    return std::min<Duration>(std::chrono::seconds(pattern_->LeastDistance()), std::chrono::days(1));
  }
  std::shared_ptr<const Kind> AnchoredAt(Instant) const override { return nullptr; }

  std::shared_ptr<const Kind> ForJob(std::string_view id) const override {
    if (!hashed_ || options_.seed) return nullptr;
    LocalOptions options = options_;
    options.seed = SeedOf(id);
    auto reading = notation_.read(text_, text_, *options.seed);
    if (!reading) return nullptr;  // as it was read before, but for the seed, it is read again
    return std::make_shared<const PatternKind>(notation_, std::move(options), *std::move(reading), points_.zone());
  }

  std::string ZoneName() const override { return options_.local.zone; }
  Result<std::shared_ptr<const Kind>> WithTzdata(const std::string& directory) const override {
    auto zone = Zone::LoadFrom(directory, options_.local.zone);
    if (!zone) return FailIn("zone", zone.error());
    return std::make_shared<const PatternKind>(notation_, options_, Reading{text_, *pattern_, hashed_},
                                               *std::move(zone));
  }

 private:
  const Notation& notation_;
  LocalOptions options_;
  std::string text_;
  bool hashed_;
  std::shared_ptr<const Pattern> pattern_;  // shared with points_
  ZonedPoints points_;
  std::optional<Instant> last_;  // of all
};

}  // namespace

Result<Schedule> MakePatternSchedule(const Notation& notation, std::string_view whole, std::string_view part,
                                     const LocalOptions& options) {
  auto kind = PatternKind::Make(notation, whole, part, options);
  if (!kind) return tl::unexpected(kind.error());
  return PatternKind::Wrap(*std::move(kind));
}

std::vector<std::string_view> WordsOf(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t i = 0; (i = text.find_first_not_of(" \t", i)) != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(" \t", i), text.size());
    words.push_back(text.substr(i, end - i));
    i = end;
  }
  return words;
}

std::string_view Span(std::string_view first, std::string_view last) {
  return {first.data(), static_cast<std::size_t>(last.data() + last.size() - first.data())};
}

}  // namespace escapement
