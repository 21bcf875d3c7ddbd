// Cron expressions: 5 to 7 fields, or a macro.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "schedule/fields.h"
#include "schedule/kind.h"
#include "schedule/pattern_kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

tl::unexpected<Error> Bad(std::string message) { return Fail(Code::kInvalidArgument, std::move(message)); }

struct Macro {
  std::string_view name;
  std::string_view expression;
};
constexpr std::array<Macro, 7> kMacros = {{{"@yearly", "0 0 1 1 *"},
                                           {"@annually", "0 0 1 1 *"},
                                           {"@monthly", "0 0 1 * *"},
                                           {"@weekly", "0 0 * * 0"},
                                           {"@daily", "0 0 * * *"},
                                           {"@midnight", "0 0 * * *"},
                                           {"@hourly", "0 * * * *"}}};
constexpr std::string_view kMacroNames =
    "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every 90s";
constexpr std::string_view kEveryMacro = "@every";

std::string Lowered(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

Result<Reading> ReadExpression(std::string_view whole, std::string_view part, std::uint64_t seed);
constexpr Notation kCron = {"cron", ReadExpression};

Result<Reading> ReadMacro(const FieldReader& reader, const std::vector<std::string_view>& words) {
  const std::string name = Lowered(words.front());
  const auto* const macro =
      std::find_if(kMacros.begin(), kMacros.end(), [&](const Macro& m) { return m.name == name; });
  if (macro == kMacros.end()) {
    return reader.Wrong(words.front(),
                        name == "@reboot"
                            ? fmt::format("a cluster has no reboot; allowed are {}", kMacroNames)
                            : fmt::format("'{}' is not known; allowed are {}", Quoted(name, 40), kMacroNames));
  }
  if (words.size() > 1) {
    return reader.Wrong(words[1], fmt::format("'{}' is not expected after a macro", Quoted(words[1], 40)));
  }
  auto reading = ReadExpression(macro->expression, macro->expression, 0);
  if (reading) reading->text = name;
  return reading;
}

Result<Reading> ReadExpression(std::string_view whole, std::string_view part, std::uint64_t seed) {
  const std::vector<std::string_view> words = WordsOf(part);
  FieldReader reader(whole, seed);
  if (!words.empty() && words.front().starts_with('@')) return ReadMacro(reader, words);
  constexpr std::string_view kFields =
      "minute hour day-of-month month day-of-week, the second before them if there are 6, and the year after them if "
      "there are 7";
  if (words.size() < 5) return Bad(fmt::format("{} fields are given, and 5 to 7 needed: {}", words.size(), kFields));
  if (words.size() > 7) {
    return reader.Wrong(words[7],
                        fmt::format("'{}' is one field too many: 5 to 7 are {}", Quoted(words[7], 40), kFields));
  }
  constexpr std::array<FieldKind, 7> kKinds = {FieldKind::kSecond,   FieldKind::kMinute, FieldKind::kHour,
                                               FieldKind::kMonthDay, FieldKind::kMonth,  FieldKind::kWeekDay,
                                               FieldKind::kYear};
  const std::size_t first = words.size() == 5 ? 1 : 0;
  Reading reading;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const FieldKind kind = kKinds.at(first + i);
    if (auto status = reader.Read(kind, words[i], &reading.pattern); !status) return tl::unexpected(status.error());
    if (i > 0) reading.text += ' ';
    reading.text += FieldReader::Canonical(kind, words[i]);
  }
  // As in crontab(5): of two fields for days of which neither begins with a star, one is enough.
  const auto restricted = [&](std::size_t kind) {
    return words[kind - first].front() != '*' && words[kind - first].front() != '?';
  };
  reading.pattern.either = restricted(3) && restricted(5);
  reading.hashed = reader.hashed();
  return reading;
}

// Takes "CRON_TZ=Europe/Berlin" or "TZ=..." off the front, if it is there.
std::optional<std::string_view> TakeZone(std::vector<std::string_view>* words) {
  if (words->empty()) return std::nullopt;
  for (const std::string_view prefix : {"CRON_TZ=", "TZ="}) {
    if (!words->front().starts_with(prefix)) continue;
    const std::string_view zone = words->front().substr(prefix.size());
    words->erase(words->begin());
    return zone;
  }
  return std::nullopt;
}

}  // namespace

Result<Schedule> Schedule::Cron(const CronOptions& options) {
  std::vector<std::string_view> words = WordsOf(options.expression);
  LocalOptions local{options.local, options.seed};
  if (const auto zone = TakeZone(&words)) {
    if (local.local.zone != "UTC" && local.local.zone != *zone) {
      return Bad(
          fmt::format("the zone is given twice: '{}' and '{}'", Quoted(*zone, 60), Quoted(local.local.zone, 60)));
    }
    local.local.zone = *zone;
  }
  const std::string_view part = words.empty() ? std::string_view() : Span(words.front(), words.back());
  if (!words.empty() && Lowered(words.front()) == kEveryMacro) {
    return Bad("@every is an interval: use Schedule::Every");
  }
  return MakePatternSchedule(kCron, options.expression, part, local);
}

Result<Schedule> ParseCron(std::string_view whole, std::string_view rest) {
  std::vector<std::string_view> words = WordsOf(rest);
  LocalOptionReader options;
  if (const auto zone = TakeZone(&words)) {
    if (auto status = options.Read("zone", *zone); !status) return tl::unexpected(status.error());
  }
  if (!words.empty() && Lowered(words.front()) == kEveryMacro) {
    if (!options.options().local.zone.empty() && options.options().local.zone != "UTC") {
      return Bad("@every is an interval, which has no zone");
    }
    return ParseEvery(words.size() > 1 ? Span(words[1], words.back()) : std::string_view());
  }
  std::size_t fields = 0;
  while (fields < words.size() && words[fields].find('=') == std::string_view::npos) ++fields;
  for (std::size_t i = fields; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    if (equals == std::string_view::npos || !LocalOptionReader::IsName(words[i].substr(0, equals))) {
      return FieldReader(whole, 0).Wrong(
          words[i], fmt::format("'{}' is not an option of 'cron'; write zone=, gap= or fold=", Quoted(words[i], 60)));
    }
    if (auto status = options.Read(words[i].substr(0, equals), words[i].substr(equals + 1)); !status) {
      return tl::unexpected(status.error());
    }
  }
  const std::string_view part = fields == 0 ? std::string_view() : Span(words.front(), words[fields - 1]);
  return MakePatternSchedule(kCron, whole, part, options.options());
}

}  // namespace escapement
