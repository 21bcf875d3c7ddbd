#include "schedule/rrule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "schedule/dates.h"
#include "schedule/fields.h"
#include "schedule/kind.h"
#include "schedule/pattern_kind.h"
#include "schedule/words.h"
#include "schedule/zoned.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr int kMostInterval = 1'000'000;
constexpr std::int64_t kMostPoints = 1'000'000'000;
constexpr std::array<std::string_view, 7> kFrequencies = {"YEARLY", "MONTHLY",  "WEEKLY",  "DAILY",
                                                          "HOURLY", "MINUTELY", "SECONDLY"};
constexpr std::array<std::string_view, 7> kWeekdays = {"SU", "MO", "TU", "WE", "TH", "FR", "SA"};
constexpr std::string_view kProperties = "DTSTART, RRULE, RDATE, EXDATE and the options zone=, gap=, fold=";

std::string Capitals(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

template <std::size_t kSize>
std::optional<int> IndexOf(const std::array<std::string_view, kSize>& names, std::string_view name) {
  const auto* const found = std::find(names.begin(), names.end(), Capitals(name));
  return found != names.end() ? std::optional(static_cast<int>(found - names.begin())) : std::nullopt;
}

// A whole number, maybe with a sign.
std::optional<std::int64_t> NumberOf(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// A time as it is written: a day alone is its beginning.
struct Written {
  WrittenTime time;
  bool is_day = false;
};
std::optional<Written> TimeOf(std::string_view text) {
  const auto digits = [&](std::size_t at, std::size_t n) -> int {
    int value = 0;
    for (const char c : text.substr(at, n)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  if (text.size() != 8 && text.size() != 15 && text.size() != 16) return std::nullopt;
  const int year = digits(0, 4);
  const int month = digits(4, 2);
  const int day = digits(6, 2);
  if (year < 1970 || month < 1 || month > 12 || day < 1) return std::nullopt;
  if (day > static_cast<int>(LengthOf(year, static_cast<unsigned>(month)))) return std::nullopt;
  Written written;
  written.time.at = DayNumber(year, static_cast<unsigned>(month), static_cast<unsigned>(day)) * kDay;
  written.is_day = text.size() == 8;
  if (written.is_day) return written;
  const int hour = digits(9, 2);
  const int minute = digits(11, 2);
  const int second = digits(13, 2);
  const bool is_time = (text[8] == 'T' || text[8] == 't') && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 &&
                       second >= 0 && second < 60;
  if (!is_time) return std::nullopt;
  written.time.at += hour * 3600 + minute * 60 + second;
  written.time.utc = text.size() == 16;
  if (written.time.utc && text[15] != 'Z' && text[15] != 'z') return std::nullopt;
  return written;
}

// Reads properties of one text. Errors say which, and the column.
class Reader {
 public:
  explicit Reader(std::string_view whole) : whole_(whole) {}

  Result<RruleText> Read(const std::vector<std::string_view>& words) {
    std::vector<Property> properties;
    for (const std::string_view word : words) {
      auto property = Split(word);
      if (!property) return tl::unexpected(property.error());
      if (!read_.text.empty()) read_.text += ' ';
      read_.text += property->text;
      properties.push_back(*std::move(property));
    }
    // The start first: the others are read by what it is.
    std::stable_partition(properties.begin(), properties.end(), [](const Property& p) { return p.name == "DTSTART"; });
    if (properties.empty() || properties.front().name != "DTSTART") {
      return Fail(Code::kInvalidArgument,
                  "DTSTART is missing: write when it starts, as in DTSTART;TZID=Europe/Berlin:20260101T090000");
    }
    for (const Property& property : properties) {
      if (auto status = Take(property); !status) return tl::unexpected(status.error());
    }
    return std::move(read_);
  }

 private:
  struct Property {
    std::string name;
    std::string_view word, value;
    std::string zone;
    bool is_day = false;  // VALUE=DATE
    std::string text;     // as it is written best
  };

  tl::unexpected<Error> Wrong(std::string_view part, std::string_view where, std::string_view why) const {
    return Fail(Code::kInvalidArgument, fmt::format("{}, column {}: {}", part, where.data() - whole_.data() + 1, why));
  }

  Result<Property> Split(std::string_view word) const {
    const std::size_t colon = word.find(':');
    const std::vector<std::string_view> parts = escapement::Split(word.substr(0, colon), ';');
    Property property{.name = Capitals(parts.front()), .word = word, .value = {}, .zone = {}, .text = {}};
    constexpr std::array<std::string_view, 4> kNames = {"DTSTART", "RRULE", "RDATE", "EXDATE"};
    if (std::find(kNames.begin(), kNames.end(), property.name) == kNames.end()) {
      return FieldReader(whole_, 0).Wrong(
          word, fmt::format("'{}' is not expected; allowed are {}", Quoted(parts.front(), 40), kProperties));
    }
    if (colon == std::string_view::npos) return Wrong(property.name, word, "a ':' and what follows it are missing");
    property.value = word.substr(colon + 1);
    property.text = property.name;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const std::size_t equals = std::min(parts[i].find('='), parts[i].size());
      const std::string name = Capitals(parts[i].substr(0, equals));
      std::string_view value = parts[i].substr(std::min(equals + 1, parts[i].size()));
      if (value.size() > 1 && value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);
      const std::string type = Capitals(value);
      if (property.name != "RRULE" && name == "TZID" && !value.empty()) {
        property.zone = value;
        property.text += fmt::format(";TZID={}", value);
      } else if (property.name != "RRULE" && name == "VALUE" && (type == "DATE" || type == "DATE-TIME")) {
        property.is_day = type == "DATE";
        if (property.is_day) property.text += ";VALUE=DATE";
      } else {
        return Wrong(property.name, parts[i],
                     fmt::format("'{}' is not known; allowed are {}", Quoted(parts[i], 40),
                                 property.name == "RRULE" ? "none" : "TZID=, VALUE=DATE and VALUE=DATE-TIME"));
      }
    }
    property.text += ':' + Capitals(property.value);
    return property;
  }

  Status Take(const Property& property) {
    if (property.name == "DTSTART") return TakeStart(property);
    if (property.name == "RRULE") return TakeRule(property);
    return TakeTimes(property, property.name == "RDATE" ? &read_.more : &read_.without);
  }

  Status TakeStart(const Property& property) {
    if (started_) return Wrong("DTSTART", property.word, "it is given twice");
    started_ = true;
    const auto written = ReadTime(property, property.value, property.is_day);
    if (!written) return tl::unexpected(written.error());
    is_day_ = written->is_day;
    read_.start = written->time.at;
    read_.zone = property.zone;
    if (!written->time.utc) return {};
    if (!property.zone.empty()) return Wrong("DTSTART", property.value, "a time that ends in Z has no TZID");
    read_.zone = "UTC";
    return {};
  }

  Status TakeTimes(const Property& property, std::vector<WrittenTime>* times) {
    if (!property.zone.empty() && property.zone != read_.zone) {
      return Wrong(property.name, property.word, "its TZID must be DTSTART's");
    }
    for (const std::string_view value : escapement::Split(property.value, ',')) {
      const auto written = ReadTime(property, value, property.is_day || is_day_);
      if (!written) return tl::unexpected(written.error());
      if (written->is_day != is_day_) {
        return Wrong(property.name, value,
                     is_day_ ? "DTSTART is a day, so this must be one" : "DTSTART has a time, so this needs one");
      }
      times->push_back(written->time);
    }
    return {};
  }

  Result<Written> ReadTime(const Property& property, std::string_view value, bool is_day) const {
    const auto written = TimeOf(value);
    if (written && (written->is_day || !is_day)) return *written;
    return Wrong(property.name, value,
                 fmt::format("'{}' is no {} of the years 1970 to 9999", Quoted(value, 40),
                             is_day ? "day, as in 20260131," : "time, as in 20260131T090000 or 20260131T080000Z,"));
  }

  // ---------------------------------------------------------------- RRULE

  Status TakeRule(const Property& property) {
    if (read_.rule) return Wrong("RRULE", property.word, "it is given twice");
    Rule rule;
    std::vector<std::string> names;
    for (const std::string_view part : escapement::Split(property.value, ';')) {
      const std::size_t equals = std::min(part.find('='), part.size());
      const std::string name = Capitals(part.substr(0, equals));
      if (equals == part.size()) {
        return Wrong("RRULE", part, fmt::format("'{}' is no part as FREQ=DAILY is one", Quoted(part, 40)));
      }
      if (std::find(names.begin(), names.end(), name) != names.end()) {
        return Wrong("RRULE", part, fmt::format("{} is given twice", name));
      }
      names.push_back(name);
      if (auto status = TakePart(name, part, part.substr(equals + 1), &rule); !status) return status;
    }
    if (auto status = CheckParts(names, property.value, rule); !status) return status;
    read_.rule = std::move(rule);
    return {};
  }

  Status WrongPart(std::string_view name, std::string_view value, std::string_view allowed) const {
    return Wrong(fmt::format("RRULE part {}", name), value,
                 fmt::format("{}; allowed are {}",
                             value.empty() ? "a value is missing" : fmt::format("'{}' is not right", Quoted(value, 40)),
                             allowed));
  }

  Status TakePart(const std::string& name, std::string_view part, std::string_view value, Rule* rule) {
    if (name == "FREQ") {
      const auto frequency = IndexOf(kFrequencies, value);
      if (!frequency) return WrongPart(name, value, fmt::format("{}", fmt::join(kFrequencies, ", ")));
      rule->frequency = static_cast<Frequency>(*frequency);
      return {};
    }
    if (name == "INTERVAL" || name == "COUNT") {
      const std::int64_t most = name == "COUNT" ? kMostPoints : kMostInterval;
      const auto number = NumberOf(value);
      if (!number || *number < 1 || *number > most) return WrongPart(name, value, fmt::format("1 to {}", most));
      if (name == "COUNT") {
        rule->count = *number;
      } else {
        rule->interval = static_cast<int>(*number);
      }
      return {};
    }
    if (name == "UNTIL") {
      const auto written = TimeOf(value);
      if (!written) return WrongPart(name, value, "a day or a time, as in 20261231 or 20261231T230000Z");
      read_.until = written->time;
      if (written->is_day && !is_day_) read_.until->at += kDay - 1;  // all of it
      return {};
    }
    if (name == "WKST") {
      const auto day = IndexOf(kWeekdays, value);
      if (!day) return WrongPart(name, value, fmt::format("{}", fmt::join(kWeekdays, ", ")));
      rule->week_start = *day;
      return {};
    }
    if (name == "BYDAY") return TakeWeekdays(value, rule);
    return TakeNumbers(name, part, value, rule);
  }

  Status TakeWeekdays(std::string_view value, Rule* rule) {
    for (const std::string_view item : escapement::Split(value, ',')) {
      const std::string_view number = item.substr(0, item.size() - std::min<std::size_t>(2, item.size()));
      const auto day = IndexOf(kWeekdays, item.substr(number.size()));
      const auto nth = number.empty() ? 0 : NumberOf(number);
      if (!day || !nth || *nth < -53 || *nth > 53 || (*nth == 0 && !number.empty())) {
        return WrongPart("BYDAY", item,
                         "SU, MO, TU, WE, TH, FR, SA, with a number as in 1FR and -1SU, and lists of these");
      }
      rule->weekdays.push_back({*day, static_cast<int>(*nth)});
    }
    return {};
  }

  Status TakeNumbers(const std::string& name, std::string_view part, std::string_view value, Rule* rule) {
    struct Numbers {
      std::string_view name;
      int low, high;
    };
    // Where 0 is none, numbers may be negative.
    constexpr std::array<Numbers, 8> kNumbers = {{{"BYMONTH", 1, 12},
                                                  {"BYWEEKNO", -53, 53},
                                                  {"BYYEARDAY", -366, 366},
                                                  {"BYMONTHDAY", -31, 31},
                                                  {"BYHOUR", 0, 23},
                                                  {"BYMINUTE", 0, 59},
                                                  {"BYSECOND", 0, 59},
                                                  {"BYSETPOS", -366, 366}}};
    const auto* const numbers =
        std::find_if(kNumbers.begin(), kNumbers.end(), [&](const Numbers& n) { return n.name == name; });
    if (numbers == kNumbers.end()) {
      return Wrong("RRULE", part,
                   fmt::format("'{}' is not known; allowed are FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, "
                               "BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND, BYSETPOS",
                               Quoted(name, 40)));
    }
    for (const std::string_view item : escapement::Split(value, ',')) {
      const auto number = NumberOf(item);
      const bool is_signed = numbers->low < 0;
      if (!number || *number < numbers->low || *number > numbers->high || (is_signed && *number == 0)) {
        return WrongPart(name, item,
                         is_signed ? fmt::format("1 to {0}, -1 to -{0}, and lists of these", numbers->high)
                                   : fmt::format("{} to {}, and lists of these", numbers->low, numbers->high));
      }
      const int n = static_cast<int>(*number);
      switch (numbers - kNumbers.begin()) {
        case 0: rule->months |= static_cast<std::uint16_t>(1U << n); break;
        case 1: rule->weeks.push_back(n); break;
        case 2: rule->year_days.push_back(n); break;
        case 3: rule->month_days.push_back(n); break;
        case 4: rule->hours |= 1U << n; break;
        case 5: rule->minutes |= std::uint64_t{1} << n; break;
        case 6: rule->seconds |= std::uint64_t{1} << n; break;
        default: rule->positions.push_back(n);
      }
    }
    return {};
  }

  // What RFC 5545 does not allow together.
  Status CheckParts(const std::vector<std::string>& names, std::string_view value, const Rule& rule) const {
    const auto wrong = [&](std::string_view why) { return Status(Wrong("RRULE", value, why)); };
    const auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    if (!has("FREQ")) return wrong("FREQ is missing, as in FREQ=DAILY");
    if (has("COUNT") && has("UNTIL")) return wrong("COUNT and UNTIL do not go together");
    const Frequency f = rule.frequency;
    if (has("BYWEEKNO") && f != Frequency::kYearly) return wrong("BYWEEKNO goes with FREQ=YEARLY only");
    if (has("BYYEARDAY") && f >= Frequency::kMonthly && f <= Frequency::kDaily) {
      return wrong("BYYEARDAY does not go with FREQ=MONTHLY, WEEKLY or DAILY");
    }
    if (has("BYMONTHDAY") && f == Frequency::kWeekly) return wrong("BYMONTHDAY does not go with FREQ=WEEKLY");
    const bool numbered = std::any_of(rule.weekdays.begin(), rule.weekdays.end(),
                                      [](const RuleWeekday& weekday) { return weekday.nth != 0; });
    if (numbered && f != Frequency::kYearly && f != Frequency::kMonthly) {
      return wrong("a BYDAY with a number goes with FREQ=YEARLY and MONTHLY only");
    }
    if (numbered && has("BYWEEKNO")) return wrong("a BYDAY with a number does not go with BYWEEKNO");
    const bool other = std::any_of(names.begin(), names.end(),
                                   [](const std::string& n) { return n.starts_with("BY") && n != "BYSETPOS"; });
    if (has("BYSETPOS") && !other) return wrong("BYSETPOS needs another BY part to choose from");
    return {};
  }

  std::string_view whole_;
  bool started_ = false;
  bool is_day_ = false;  // the start is a day
  RruleText read_;
};

class RruleKind final : public Schedule::Kind {
 public:
  // `options`: of which the zone is the one that counts, and is written unless the text has it.
  RruleKind(RruleText read, LocalOptions options, const std::shared_ptr<const Zone>& zone)
      : read_(std::move(read)),
        options_(std::move(options)),
        set_(std::make_shared<RecurrenceSet>(RecurrenceOf(read_, *zone))),
        points_(set_, zone, options_.local.gap, options_.local.fold),
        last_(points_.Last(kEndOfTime)) {}

  static Result<Schedule> Make(RruleText read, LocalOptions options) {
    auto zone = Zone::Load(options.local.zone);
    if (!zone) return FailIn("zone", zone.error());
    const auto kind = std::make_shared<const RruleKind>(std::move(read), std::move(options), *zone);
    if (!kind->last_) {
      return Fail(Code::kInvalidArgument, kind->set_->Next(0)
                                              ? "never fires: clock changes skip all of its times, and gap=skip"
                                              : "never fires: no time of the years 1970 to 9999 is one of its times");
    }
    return Wrap(kind);
  }

  std::string ToString() const override {
    LocalOptions options = options_;
    if (!read_.zone.empty()) options.local.zone = "UTC";
    return "rrule " + read_.text + LocalOptionsText(options);
  }
  std::string Describe() const override { return InWords(read_) + ", " + DescribeLocal(options_.local); }
  std::optional<Instant> Next(Instant after) const override {
    return last_ && after < *last_ ? points_.Next(after) : std::nullopt;
  }
  std::optional<Instant> Last(Instant before) const override { return points_.Last(before); }
  std::int64_t Count(Instant from, Instant to) const override { return points_.Count(from, to); }
  Instant FirstCursor(Instant created) const override { return created - Duration(1); }
  double Rate() const override { return set_->Rate(); }
  Duration Spacing() const override { return std::chrono::seconds(set_->LeastDistance()); }
  std::shared_ptr<const Kind> AnchoredAt(Instant) const override { return nullptr; }
  std::string ZoneName() const override { return options_.local.zone; }
  Result<std::shared_ptr<const Kind>> WithTzdata(const std::string& directory) const override {
    auto zone = Zone::LoadFrom(directory, options_.local.zone);
    if (!zone) return FailIn("zone", zone.error());
    return std::make_shared<const RruleKind>(read_, options_, *zone);
  }

 private:
  RruleText read_;
  LocalOptions options_;
  std::shared_ptr<const RecurrenceSet> set_;  // shared with points_
  ZonedPoints points_;
  std::optional<Instant> last_;  // of all
};

// What a calendar exports has a line for each property, and long lines are broken: a blank follows the break.
std::string OnOneLine(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    if (text[i] != '\n') {
      line += text[i];
    } else if (i + 1 < text.size() && (text[i + 1] == ' ' || text[i + 1] == '\t')) {
      ++i;
    } else {
      line += ' ';
    }
  }
  return line;
}

}  // namespace

Result<RruleText> ReadRrule(std::string_view whole, const std::vector<std::string_view>& properties) {
  return Reader(whole).Read(properties);
}

RecurrenceSet RecurrenceOf(const RruleText& read, const Zone& zone) {
  const auto local = [&](const WrittenTime& time) { return time.utc ? time.at + zone.At(time.at).offset : time.at; };
  const auto all = [&](const std::vector<WrittenTime>& times) {
    std::vector<Seconds> out;
    for (const WrittenTime& time : times) out.push_back(local(time));
    return out;
  };
  std::vector<Seconds> more = all(read.more);
  if (!read.rule) {
    more.push_back(read.start);  // the first of the list
    return {std::nullopt, std::move(more), all(read.without)};
  }
  Rule rule = *read.rule;
  if (read.until) rule.until = local(*read.until);
  return {Recurrence(rule, read.start), std::move(more), all(read.without)};
}

Result<Schedule> ParseRrule(std::string_view text) {
  const std::string whole = OnOneLine(text);
  std::vector<std::string_view> properties;
  LocalOptionReader options;
  bool zone_given = false;
  for (const std::string_view word : WordsOf(whole)) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    if (properties.empty() && word == "rrule") continue;
    if (equals == word.size() || !LocalOptionReader::IsName(name)) {
      properties.push_back(word);
      continue;
    }
    if (name == "seed") return Fail(Code::kInvalidArgument, "seed belongs to an H, and there is none");
    if (auto status = options.Read(name, word.substr(equals + 1)); !status) return tl::unexpected(status.error());
    zone_given |= name == "zone";
  }
  auto read = ReadRrule(whole, properties);
  if (!read) return tl::unexpected(read.error());
  LocalOptions local = options.options();
  if (!read->zone.empty()) {
    if (zone_given && local.local.zone != read->zone) {
      return Fail(Code::kInvalidArgument, fmt::format("the zone is given twice: '{}' and '{}'", Quoted(read->zone, 60),
                                                      Quoted(local.local.zone, 60)));
    }
    local.local.zone = read->zone;
  }
  return RruleKind::Make(*std::move(read), std::move(local));
}

}  // namespace escapement
