// Calendar schedules: the parts of local times by their names.
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

// From the largest part to the smallest.
constexpr std::array<FieldKind, 8> kParts = {FieldKind::kYear,   FieldKind::kMonth,           FieldKind::kCalendarDay,
                                             FieldKind::kWeek,   FieldKind::kCalendarWeekDay, FieldKind::kHour,
                                             FieldKind::kMinute, FieldKind::kSecond};
constexpr std::string_view kPartNames = "year, month, day, week, day_of_week, hour, minute, second";

// The part that a name means.
std::optional<std::size_t> PartOf(std::string_view name) {
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    if (FieldReader::NameOf(kParts.at(i)) == name) return i;
  }
  return std::nullopt;
}

// "day=1st fri hour=3": a value goes on up to the next name.
Result<Reading> ReadParts(std::string_view whole, std::string_view text, std::uint64_t seed) {
  FieldReader reader(whole, seed);
  std::array<std::optional<std::string_view>, kParts.size()> values;
  const std::vector<std::string_view> words = WordsOf(text);
  for (std::size_t i = 0; i < words.size();) {
    const std::size_t equals = words[i].find('=');
    const auto part = equals == std::string_view::npos ? std::nullopt : PartOf(words[i].substr(0, equals));
    if (!part) {
      return reader.Wrong(words[i], fmt::format("'{}' is no part of a calendar; write {}, and zone=, gap= or fold=",
                                                Quoted(words[i].substr(0, equals), 40), kPartNames));
    }
    if (values.at(*part)) return reader.Wrong(words[i], fmt::format("'{}' is given twice", words[i].substr(0, equals)));
    std::string_view value = words[i].substr(equals + 1);
    for (++i; i < words.size() && words[i].find('=') == std::string_view::npos; ++i) value = Span(value, words[i]);
    values.at(*part) = value;
  }
  Reading reading;
  std::optional<std::size_t> smallest;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    const FieldKind kind = kParts.at(i);
    // What is not given is any; or, of what is smaller than all that is given, the first.
    const bool is_time = kind == FieldKind::kHour || kind == FieldKind::kMinute || kind == FieldKind::kSecond;
    const bool has_first = is_time || kind == FieldKind::kMonth || kind == FieldKind::kCalendarDay;
    if (values.at(i)) smallest = i;
    const bool is_smaller = std::none_of(values.begin() + static_cast<std::ptrdiff_t>(i), values.end(),
                                         [](const auto& value) { return value.has_value(); });
    const std::string_view usual = is_smaller && has_first ? (is_time ? "0" : "1") : "*";
    const std::string_view value = values.at(i).value_or(usual);
    if (auto status = reader.Read(kind, value, &reading.pattern); !status) return tl::unexpected(status.error());
    if (!values.at(i)) continue;
    if (!reading.text.empty()) reading.text += ' ';
    reading.text += fmt::format("{}={}", FieldReader::NameOf(kind), FieldReader::Canonical(kind, value));
  }
  if (!smallest) return Bad(fmt::format("no part is given: write one or more of {}", kPartNames));
  reading.hashed = reader.hashed();
  return reading;
}

constexpr Notation kCalendar = {"calendar", ReadParts};

}  // namespace

Result<Schedule> Schedule::Calendar(const CalendarOptions& o) {
  const std::array<const std::string*, kParts.size()> values = {&o.year,        &o.month, &o.day,    &o.week,
                                                                &o.day_of_week, &o.hour,  &o.minute, &o.second};
  std::string text;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    const std::string& value = *values.at(i);
    if (value.empty()) continue;
    if (value.find('=') != std::string::npos) {
      return Bad(fmt::format("{} is '{}': it has no '='", FieldReader::NameOf(kParts.at(i)), Quoted(value, 60)));
    }
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", FieldReader::NameOf(kParts.at(i)), value);
  }
  return MakePatternSchedule(kCalendar, text, text, {o.local, o.seed});
}

Result<Schedule> ParseCalendar(std::string_view whole, std::string_view rest) {
  // The parts are what lies before the first option.
  LocalOptionReader options;
  std::string_view parts;
  bool in_options = false;
  for (const std::string_view word : WordsOf(rest)) {
    const std::size_t equals = std::min(word.find('='), word.size());
    if (LocalOptionReader::IsName(word.substr(0, equals)) && equals < word.size()) {
      in_options = true;
      if (auto status = options.Read(word.substr(0, equals), word.substr(equals + 1)); !status) {
        return tl::unexpected(status.error());
      }
    } else if (in_options) {
      return FieldReader(whole, 0).Wrong(
          word, fmt::format("'{}' is not expected after an option: parts come first", Quoted(word, 60)));
    } else {
      parts = parts.empty() ? word : Span(parts, word);
    }
  }
  return MakePatternSchedule(kCalendar, whole, parts, options.options());
}

}  // namespace escapement
