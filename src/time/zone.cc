#include "time/zone.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>

#include <cctz/civil_time.h>
#include <cctz/time_zone.h>
#include <fmt/format.h>

#include "time/quoted.h"

namespace escapement {
namespace {

using std::chrono::sys_days;
using std::chrono::year;

constexpr Seconds kDay = 86'400;
constexpr Seconds kEver = Seconds{1} << 60;  // offsets can be added

constexpr Seconds StartOf(int number) {
  return Seconds(sys_days(year(number) / 1 / 1).time_since_epoch().count()) * kDay;
}

constexpr Seconds kTableBegin = StartOf(1960);
// No zone's tzdata says anything of its own about years after 2087: from 2101 on a rule by month, week and weekday
// holds, so that years of one shape have the same changes. Of 28 years in a row without a century, each shape is one.
constexpr int kRuleYears = 2101;
constexpr Seconds kTableEnd = StartOf(kRuleYears + 28);

struct YearShape {
  unsigned weekday;  // of January 1st
  bool leap;
  friend constexpr bool operator==(const YearShape&, const YearShape&) = default;
};

constexpr YearShape ShapeOf(int number) {
  const year y(number);
  return {std::chrono::weekday(sys_days(y / 1 / 1)).c_encoding(), y.is_leap()};
}

constexpr int kCycle = 400;  // years, after which the calendar begins again
using Likes = std::array<std::uint8_t, kCycle>;

// By a year's place in the cycle: the year of its shape, counted from kRuleYears.
constexpr Likes MakeLikes() {
  Likes likes{};
  for (int i = 0; i < kCycle; ++i) {
    while (ShapeOf(kRuleYears + likes[static_cast<std::size_t>(i)]) != ShapeOf(2000 + i)) {
      ++likes[static_cast<std::size_t>(i)];
    }
  }
  return likes;
}
constexpr Likes kLikes = MakeLikes();

Status CheckName(std::string_view name) {
  const bool is_name = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' ||
           c == '-' || c == '+';
  });
  if (is_name && name.front() != '/') return {};
  return Fail(Code::kInvalidArgument, fmt::format("'{}' is not the name of a time zone; write for example "
                                                  "Europe/Berlin or UTC",
                                                  Quoted(name, 60)));
}

}  // namespace

Result<std::shared_ptr<const Zone>> Zone::Load(std::string_view name) {
  if (const auto is_name = CheckName(name); !is_name) return tl::unexpected(is_name.error());
  static std::mutex mutex;  // guards `loaded`
  static std::map<std::string, std::shared_ptr<const Zone>, std::less<>> loaded;
  const std::lock_guard lock(mutex);
  if (const auto found = loaded.find(name); found != loaded.end()) return found->second;
  auto zone = Read(std::string(name), name);
  if (zone) loaded.emplace(name, *zone);
  return zone;
}

Result<std::shared_ptr<const Zone>> Zone::LoadFrom(const std::string& directory, std::string_view name) {
  if (const auto is_name = CheckName(name); !is_name) return tl::unexpected(is_name.error());
  if (!directory.starts_with('/')) {
    return Fail(Code::kInvalidArgument, fmt::format("'{}' is not an absolute path", Quoted(directory)));
  }
  // cctz knows UTC without a file.
  return Read(name == "UTC" ? std::string(name) : directory + '/' + std::string(name), name);
}

Result<std::shared_ptr<const Zone>> Zone::Read(const std::string& source, std::string_view name) {
  cctz::time_zone zone;
  if (!cctz::load_time_zone(source, &zone)) {
    return Fail(Code::kInvalidArgument,
                fmt::format("there is no time zone '{}'; write for example Europe/Berlin or UTC", Quoted(name, 60)));
  }
  const auto point = [](Seconds at) { return cctz::time_point<cctz::seconds>(cctz::seconds(at)); };
  std::vector<Change> changes = {{-kEver, static_cast<std::int32_t>(zone.lookup(point(kTableBegin)).offset)}};
  Seconds at = kTableBegin;
  cctz::time_zone::civil_transition transition;
  while (zone.next_transition(point(at), &transition)) {
    at = zone.lookup(transition.to).trans.time_since_epoch().count();
    if (at >= kTableEnd) break;
    const auto offset = static_cast<std::int32_t>(zone.lookup(point(at)).offset);
    if (offset != changes.back().offset) changes.push_back({at, offset});
  }
  return std::shared_ptr<const Zone>(new Zone(std::move(changes)));
}

Zone::Stretch Zone::InTable(Seconds at) const {
  const auto next = std::upper_bound(changes_.begin() + 1, changes_.end(), at,
                                     [](Seconds t, const Change& change) { return t < change.at; });
  const auto now = next - 1;
  const bool first = now == changes_.begin();
  const bool last = next == changes_.end();
  return {.begin = now->at,
          .end = last ? kEver : next->at,
          .offset = now->offset,
          .before = first ? now->offset : (now - 1)->offset,
          .after = last ? now->offset : next->offset};
}

Zone::Stretch Zone::At(Seconds at) const {
  if (changes_.size() == 1) return InTable(at);
  // Cut where a year begins: there no rule changes anything.
  const auto cut = [](Stretch stretch, Seconds low, Seconds high) {
    if (stretch.begin < low) stretch.before = stretch.offset;
    if (stretch.end > high) stretch.after = stretch.offset;
    stretch.begin = std::max(stretch.begin, low);
    stretch.end = std::min(stretch.end, high);
    return stretch;
  };
  if (at < kTableEnd) return cut(InTable(at), -kEver, kTableEnd);
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(at)));
  const int number = static_cast<int>(std::chrono::year_month_day(days).year());
  const int like = kRuleYears + kLikes.at(static_cast<std::size_t>(number % kCycle));
  const Seconds shift = StartOf(number) - StartOf(like);
  Stretch stretch = cut(InTable(at - shift), StartOf(like), StartOf(like + 1));
  stretch.begin += shift;
  stretch.end += shift;
  return stretch;
}

}  // namespace escapement
