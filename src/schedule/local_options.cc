#include "schedule/local_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "time/quoted.h"

namespace escapement {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"zone", "gap", "fold", "seed"};
constexpr std::array<std::string_view, 2> kGaps = {"shift", "skip"};
constexpr std::array<std::string_view, 3> kFolds = {"first", "last", "both"};

template <typename Enum, std::size_t kSize>
Status ReadName(std::string_view option, std::string_view value, const std::array<std::string_view, kSize>& names,
                Enum* out) {
  const auto* const found = std::find(names.begin(), names.end(), value);
  if (found == names.end()) {
    return Fail(Code::kInvalidArgument,
                fmt::format("{} is '{}': allowed are {}", option, Quoted(value, 40), fmt::join(names, ", ")));
  }
  *out = static_cast<Enum>(found - names.begin());
  return {};
}

Status ReadSeed(std::string_view value, std::optional<std::uint64_t>* seed) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (value.size() != 16 || value.find_first_not_of(kDigits) != std::string_view::npos) {
    return Fail(Code::kInvalidArgument, fmt::format("seed is '{}': it must be 16 of 0-9 and a-f", Quoted(value, 40)));
  }
  std::uint64_t number = 0;
  for (const char c : value) number = number << 4 | kDigits.find(c);
  *seed = number;
  return {};
}

}  // namespace

std::string LocalOptionsText(const LocalOptions& o) {
  std::string text;
  if (o.local.zone != "UTC") text += " zone=" + o.local.zone;
  if (o.local.gap != GapPolicy::kShift) text += fmt::format(" gap={}", kGaps.at(static_cast<std::size_t>(o.local.gap)));
  if (o.local.fold != FoldPolicy::kFirst) {
    text += fmt::format(" fold={}", kFolds.at(static_cast<std::size_t>(o.local.fold)));
  }
  if (o.seed) text += fmt::format(" seed={:016x}", *o.seed);
  return text;
}

std::string DescribeLocal(const ZoneOptions& local) {
  if (local.zone == "UTC") return "UTC";
  std::string text = local.zone + " time";
  if (local.gap == GapPolicy::kSkip) text += "; left out when clocks skip it";
  if (local.fold == FoldPolicy::kLast) text += "; the second time when it comes twice";
  if (local.fold == FoldPolicy::kBoth) text += "; both times when it comes twice";
  return text;
}

bool LocalOptionReader::IsName(std::string_view name) {
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Status LocalOptionReader::Read(std::string_view name, std::string_view value) {
  const auto index = static_cast<std::size_t>(std::find(kNames.begin(), kNames.end(), name) - kNames.begin());
  if (seen_.at(index)) return Fail(Code::kInvalidArgument, fmt::format("'{}' is given twice", name));
  seen_.at(index) = true;
  switch (index) {
    case 0: options_.local.zone = value; return {};
    case 1: return ReadName(name, value, kGaps, &options_.local.gap);
    case 2: return ReadName(name, value, kFolds, &options_.local.fold);
    default: return ReadSeed(value, &options_.seed);
  }
}

}  // namespace escapement
