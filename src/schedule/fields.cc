#include "schedule/fields.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"january",   "february", "march",    "april",
                                                      "may",       "june",     "july",     "august",
                                                      "september", "october",  "november", "december"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sunday",   "monday", "tuesday", "wednesday",
                                                       "thursday", "friday", "saturday"};
constexpr std::array<std::string_view, 5> kOrdinals = {"1st", "2nd", "3rd", "4th", "5th"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
char Upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

std::string Lowered(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

std::string_view Letters(std::string_view text) {
  const auto* const end = std::find_if_not(text.begin(), text.end(), IsLetter);
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

// The place of a name, or of its first three letters, in any case.
template <std::size_t kSize>
std::optional<int> ByName(const std::array<std::string_view, kSize>& names, std::string_view word) {
  const std::string lower = Lowered(word);
  for (std::size_t i = 0; i < kSize; ++i) {
    if (lower == names[i] || lower == names[i].substr(0, 3)) return static_cast<int>(i);
  }
  return std::nullopt;
}

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

std::uint64_t Mixed(std::uint64_t value) {  // the finalizer of splitmix64
  value += 0x9E3779B97F4A7C15;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return value ^ value >> 31;
}

}  // namespace

// What a field may have.
struct FieldReader::Rule {
  FieldKind kind;
  std::string_view name;
  int low;        // of values
  int high;       //
  int cycle;      // of wrapped ranges; 0: none wraps
  int hash_low;   // of H
  int hash_high;  // below hash_low: the field has no H
  std::string_view allowed;
};

// Values low, low + step, ... up to low + length, round the cycle.
struct FieldReader::Item {
  int low = 0;
  int length = 0;
  int step = 1;
};

const FieldReader::Rule& FieldReader::RuleOf(FieldKind kind) {
  static constexpr std::array<Rule, 10> kRules = {{
      {FieldKind::kSecond, "second", 0, 59, 60, 0, 59, "0 to 59, *, */15, 10-20, 50-10, H, and lists of these"},
      {FieldKind::kMinute, "minute", 0, 59, 60, 0, 59, "0 to 59, *, */15, 10-20, 50-10, H, and lists of these"},
      {FieldKind::kHour, "hour", 0, 23, 24, 0, 23, "0 to 23, *, */2, 9-17, 22-2, H, and lists of these"},
      {FieldKind::kMonthDay, "day-of-month", 1, 31, 31, 1, 28,
       "1 to 31, *, ?, */2, 10-20, L, L-3, LW, 15W, H, and lists of these"},
      {FieldKind::kMonth, "month", 1, 12, 12, 1, 12, "1 to 12, jan to dec, *, */3, nov-feb, H, and lists of these"},
      {FieldKind::kWeekDay, "day-of-week", 0, 7, 7, 0, 6,
       "0 to 7 (0 and 7 are Sunday), sun to sat, *, ?, mon-fri, fri-mon, 5L, mon#2, H, and lists of these"},
      {FieldKind::kYear, "year", 1970, 9999, 0, 1, 0, "1970 to 9999, *, */2, 2026-2030, and lists of these"},
      {FieldKind::kWeek, "week", 1, 53, 53, 1, 52, "1 to 53 (ISO 8601), *, */2, 10-20, H, and lists of these"},
      {FieldKind::kCalendarDay, "day", 1, 31, 31, 1, 28,
       "1 to 31, *, */2, 10-20, last, '1st fri' to '5th fri', 'last fri', L-3, LW, 15W, H, and lists of these"},
      {FieldKind::kCalendarWeekDay, "day_of_week", 0, 6, 7, 0, 6,
       "mon to sun by name (numbers mean other days elsewhere), *, mon-fri, fri-mon, H, and lists of these"},
  }};
  return kRules.at(static_cast<std::size_t>(kind));
}

std::string_view FieldReader::NameOf(FieldKind kind) { return RuleOf(kind).name; }

tl::unexpected<Error> FieldReader::Wrong(std::string_view where, std::string_view why) const {
  return Fail(Code::kInvalidArgument, fmt::format("column {}: {}", where.data() - whole_.data() + 1, why));
}

tl::unexpected<Error> FieldReader::WrongIn(std::string_view where, std::string_view why) const {
  return Fail(Code::kInvalidArgument, fmt::format("{} field, column {}: {}; allowed are {}", rule_->name,
                                                  where.data() - whole_.data() + 1, why, rule_->allowed));
}

Result<int> FieldReader::TakeNumber(std::string_view* rest, int low, int high) const {
  const std::string_view start = *rest;
  int value = 0;
  while (!rest->empty() && IsDigit(rest->front())) {
    if (value < 100'000) value = value * 10 + (rest->front() - '0');
    rest->remove_prefix(1);
  }
  const std::string_view digits = start.substr(0, start.size() - rest->size());
  if (digits.empty()) {
    return WrongIn(start, start.empty() ? "a number is missing" : fmt::format("'{}' is no number", Quoted(start, 40)));
  }
  if (value < low || value > high) {
    return WrongIn(start, fmt::format("{} is not between {} and {}", Quoted(digits, 20), low, high));
  }
  return value;
}

// A number or a name.
Result<int> FieldReader::TakeValue(std::string_view* rest) const {
  const std::string_view word = Letters(*rest);
  const bool is_weekday = rule_->kind == FieldKind::kWeekDay || rule_->kind == FieldKind::kCalendarWeekDay;
  if (word.empty()) {
    if (rule_->kind == FieldKind::kCalendarWeekDay) {
      return WrongIn(*rest,
                     rest->empty() ? "a day is missing" : fmt::format("'{}' is no name of a day", Quoted(*rest, 40)));
    }
    return TakeNumber(rest, rule_->low, rule_->high);
  }
  std::optional<int> value;
  if (is_weekday) value = ByName(kWeekdays, word);
  if (rule_->kind == FieldKind::kMonth) {
    value = ByName(kMonths, word);
    if (value) ++*value;
  }
  if (!value) return WrongIn(*rest, fmt::format("'{}' is not known", Quoted(word, 40)));
  rest->remove_prefix(word.size());
  return *value;
}

// After the H: "", "(10-20)".
Result<FieldReader::Item> FieldReader::TakeHash(std::string_view* rest) {
  int low = rule_->hash_low;
  int high = rule_->hash_high;
  if (rest->starts_with('(')) {
    const std::string_view open = *rest;
    rest->remove_prefix(1);
    const auto from = TakeValue(rest);
    if (!from) return tl::unexpected(from.error());
    if (!rest->starts_with('-')) return WrongIn(*rest, "a range as in H(0-29) is expected");
    rest->remove_prefix(1);
    const auto to = TakeValue(rest);
    if (!to) return tl::unexpected(to.error());
    if (!rest->starts_with(')')) return WrongIn(*rest, "the range of H ends with ')'");
    rest->remove_prefix(1);
    if (*to < *from) return WrongIn(open, "the range of H is backwards");
    low = *from;
    high = *to;
  }
  hashed_ = true;
  return Item{low, high - low, 1};
}

// L, L-3, LW, 15W.
Result<bool> FieldReader::ReadDayMark(std::string_view item, DaySet* days) const {
  const std::string lower = Lowered(item);
  if (lower == "l" || (lower == "last" && rule_->kind == FieldKind::kCalendarDay)) {
    days->from_last |= 1;
    return true;
  }
  if (lower == "lw") {
    days->last_workday = true;
    return true;
  }
  if (lower.starts_with("l-")) {
    std::string_view rest = item.substr(2);
    const auto back = TakeNumber(&rest, 1, 30);
    if (!back) return tl::unexpected(back.error());
    if (!rest.empty()) return WrongIn(rest, fmt::format("'{}' is not expected here", Quoted(rest, 40)));
    days->from_last |= 1U << *back;
    return true;
  }
  if (lower.size() > 1 && lower.back() == 'w' && IsDigit(lower.front())) {
    std::string_view rest = item.substr(0, item.size() - 1);
    const auto day = TakeNumber(&rest, 1, 31);
    if (!day) return tl::unexpected(day.error());
    if (!rest.empty()) return WrongIn(rest, "W follows a single day");
    days->nearest |= 1U << *day;
    return true;
  }
  return false;
}

// friL, 5L, mon#2.
Result<bool> FieldReader::ReadWeekdayMark(std::string_view item, DaySet* days) const {
  if (Lowered(item) == "l") return WrongIn(item, "L needs a day: 5L or friL is the last Friday of the month");
  const std::size_t hash = item.find('#');
  const bool last = hash == std::string_view::npos && Lower(item.back()) == 'l' && !ByName(kWeekdays, item);
  if (!last && hash == std::string_view::npos) return false;
  std::string_view day = last ? item.substr(0, item.size() - 1) : item.substr(0, hash);
  const auto weekday = TakeValue(&day);
  if (!weekday) return tl::unexpected(weekday.error());
  if (!day.empty()) return WrongIn(day, fmt::format("{} follows a single day", last ? 'L' : '#'));
  if (last) {
    days->last_weekdays |= static_cast<std::uint8_t>(1U << *weekday % 7);
    return true;
  }
  std::string_view rest = item.substr(hash + 1);
  const auto number = TakeNumber(&rest, 1, 5);
  if (!number) return tl::unexpected(number.error());
  if (!rest.empty()) return WrongIn(rest, fmt::format("'{}' is not expected here", Quoted(rest, 40)));
  days->nth.at(static_cast<std::size_t>(*weekday % 7)) |= static_cast<std::uint8_t>(1U << *number);
  return true;
}

// "1st fri", "last fri".
Result<bool> FieldReader::ReadDayWords(std::string_view item, DaySet* days) const {
  const std::size_t blank = item.find_first_of(" \t");
  if (blank == std::string_view::npos) return false;
  const std::string first = Lowered(item.substr(0, blank));
  const std::string_view second = Trimmed(item.substr(blank));
  const auto* const ordinal = std::find(kOrdinals.begin(), kOrdinals.end(), first);
  if (first != "last" && ordinal == kOrdinals.end()) {
    return WrongIn(item, fmt::format("'{}' is none of 1st, 2nd, 3rd, 4th, 5th and last", Quoted(first, 40)));
  }
  const auto weekday = ByName(kWeekdays, second);
  if (!weekday) return WrongIn(second, fmt::format("'{}' is no name of a day", Quoted(second, 40)));
  if (first == "last") {
    days->last_weekdays |= static_cast<std::uint8_t>(1U << *weekday);
  } else {
    days->nth.at(static_cast<std::size_t>(*weekday)) |=
        static_cast<std::uint8_t>(2U << static_cast<unsigned>(ordinal - kOrdinals.begin()));
  }
  return true;
}

Status FieldReader::Put(const Item& item, Pattern* pattern) const {
  if (rule_->kind == FieldKind::kYear) {
    pattern->years.push_back({item.low, item.low + item.length, item.step});
    return {};
  }
  std::uint64_t bits = 0;
  for (int i = 0; i <= item.length; i += item.step) {
    const int base = rule_->low;
    bits |= std::uint64_t{1} << (base + (item.low - base + i) % rule_->cycle);
  }
  switch (rule_->kind) {
    case FieldKind::kSecond: pattern->seconds |= bits; break;
    case FieldKind::kMinute: pattern->minutes |= bits; break;
    case FieldKind::kHour: pattern->hours |= static_cast<std::uint32_t>(bits); break;
    case FieldKind::kMonth: pattern->months |= static_cast<std::uint16_t>(bits); break;
    case FieldKind::kWeek: pattern->weeks |= bits; break;
    case FieldKind::kMonthDay:
    case FieldKind::kCalendarDay: pattern->month_days.days |= static_cast<std::uint32_t>(bits); break;
    case FieldKind::kWeekDay:
    case FieldKind::kCalendarWeekDay: pattern->week_days.weekdays |= static_cast<std::uint8_t>(bits); break;
    case FieldKind::kYear: break;
  }
  return {};
}

Status FieldReader::ReadItem(std::string_view item, Pattern* pattern) {
  if (item.empty()) return WrongIn(item, "a value is missing");
  Result<bool> done = false;
  const bool is_day = rule_->kind == FieldKind::kMonthDay || rule_->kind == FieldKind::kCalendarDay;
  if (rule_->kind == FieldKind::kCalendarDay) done = ReadDayWords(item, &pattern->month_days);
  if (done && !*done && is_day) done = ReadDayMark(item, &pattern->month_days);
  if (rule_->kind == FieldKind::kWeekDay) done = ReadWeekdayMark(item, &pattern->week_days);
  if (!done) return tl::unexpected(done.error());
  if (*done) return {};

  const int highest = rule_->kind == FieldKind::kWeekDay ? 6 : rule_->high;  // Sunday is 0 here
  std::string_view rest = item;
  Item range;
  bool is_range = true;
  bool hashed = false;
  if (rest.front() == '*') {
    rest.remove_prefix(1);
    range = {rule_->low, highest - rule_->low, 1};
  } else if (Letters(rest) == "H" || Letters(rest) == "h") {
    if (rule_->hash_high < rule_->hash_low) return WrongIn(rest, "this field has no H");
    rest.remove_prefix(1);
    const auto taken = TakeHash(&rest);
    if (!taken) return tl::unexpected(taken.error());
    range = *taken;
    hashed = true;
  } else {
    const auto low = TakeValue(&rest);
    if (!low) return tl::unexpected(low.error());
    range.low = *low;
    is_range = rest.starts_with('-');
    if (is_range) {
      rest.remove_prefix(1);
      const auto high = TakeValue(&rest);
      if (!high) return tl::unexpected(high.error());
      range.length = *high - *low;
      if (range.length < 0) {
        if (rule_->cycle == 0) return WrongIn(item, "the range is backwards");
        range.length += rule_->cycle;
      }
    }
  }
  const std::uint64_t hash = Mixed(seed_ + static_cast<std::uint64_t>(rule_->kind));
  if (rest.starts_with('/')) {
    rest.remove_prefix(1);
    const std::string_view where = rest;
    const auto step = TakeNumber(&rest, 1, 9999);
    if (!step) return tl::unexpected(step.error());
    if (!is_range) {  // 5/15: from 5 on
      if (rule_->kind == FieldKind::kWeekDay) range.low %= 7;
      range.length = highest - range.low;
    }
    if (*step > std::max(1, rule_->high - rule_->low)) {
      return WrongIn(where, fmt::format("a step of {} is longer than the field", *step));
    }
    range.step = *step;
    if (hashed) {
      const auto shift = static_cast<int>(hash % static_cast<unsigned>(std::min(*step, range.length + 1)));
      range.low += shift;
      range.length -= shift;
    }
  } else if (hashed) {
    range.low += static_cast<int>(hash % static_cast<unsigned>(range.length + 1));
    range.length = 0;
  }
  if (!rest.empty()) return WrongIn(rest, fmt::format("'{}' is not expected here", Quoted(rest, 40)));
  return Put(range, pattern);
}

Status FieldReader::Read(FieldKind kind, std::string_view text, Pattern* pattern) {
  rule_ = &RuleOf(kind);
  const bool is_day = kind == FieldKind::kMonthDay || kind == FieldKind::kCalendarDay;
  const bool is_weekday = kind == FieldKind::kWeekDay || kind == FieldKind::kCalendarWeekDay;
  const bool any = text == "*" || (text == "?" && (kind == FieldKind::kMonthDay || kind == FieldKind::kWeekDay));
  switch (kind) {
    case FieldKind::kSecond: pattern->seconds = 0; break;
    case FieldKind::kMinute: pattern->minutes = 0; break;
    case FieldKind::kHour: pattern->hours = 0; break;
    case FieldKind::kMonth: pattern->months = 0; break;
    case FieldKind::kYear: pattern->years.clear(); break;
    case FieldKind::kWeek: pattern->weeks = 0; break;
    default: (is_day ? pattern->month_days : pattern->week_days) = DaySet{.every = any}; break;
  }
  if (any && (is_day || is_weekday || kind == FieldKind::kYear || kind == FieldKind::kWeek)) return {};
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    if (auto status = ReadItem(Trimmed(rest.substr(0, comma)), pattern); !status) return status;
    if (comma == std::string_view::npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

std::string FieldReader::Canonical(FieldKind kind, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view word = Letters(text.substr(i));
    if (word.empty()) {
      const char c = text[i++];
      const bool blank = c == ' ' || c == '\t';
      const bool needed = !out.empty() && out.back() != ' ' && out.back() != ',';
      if (!blank) {
        if (c == ',' && !out.empty() && out.back() == ' ') out.pop_back();
        out += c;
      } else if (needed) {
        out += ' ';
      }
      continue;
    }
    i += word.size();
    // Marks are capitals: H, L, W, LW, and the L after a day's name. What follows a digit of "1st" is a word.
    const std::string lower = Lowered(word);
    const bool is_mark = lower == "h" || lower == "l" || lower == "w" || lower == "lw";
    const bool last_of = kind == FieldKind::kWeekDay && lower.back() == 'l' && !ByName(kWeekdays, lower) &&
                         ByName(kWeekdays, lower.substr(0, lower.size() - 1));
    if (is_mark) {
      std::transform(lower.begin(), lower.end(), std::back_inserter(out), Upper);
    } else {
      out += lower;
      if (last_of) out.back() = 'L';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::uint64_t SeedOf(std::string_view id) {
  std::uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

}  // namespace escapement
