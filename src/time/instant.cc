#include <fmt/format.h>

#include "escapement/time.h"
#include "time/quoted.h"

namespace escapement {
namespace {

tl::unexpected<Error> Bad(std::string_view text, std::string_view why) {
  return Fail(Code::kInvalidArgument,
              fmt::format("instant '{}': {}; write for example 2026-11-24T10:00:00Z or 2026-11-24T10:00:00.25+01:00",
                          Quoted(text, 60), why));
}

// Reads fixed-width fields; a mismatch anywhere makes all that follows fail.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  int Number(std::size_t width) {
    int value = 0;
    if (rest_.size() < width) return Miss();
    for (std::size_t i = 0; i < width; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return Miss();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(width);
    return value;
  }
  // One character of `any`; NUL when it is another.
  char Take(std::string_view any) {
    if (rest_.empty() || any.find(rest_.front()) == std::string_view::npos) return '\0';
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  void Expect(std::string_view any) {
    if (Take(any) == '\0') ok_ = false;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

 private:
  int Miss() {
    ok_ = false;
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

Result<Instant> ParseInstant(std::string_view text) {
  Fields in(text);
  const int year = in.Number(4);
  in.Expect("-");
  const int month = in.Number(2);
  in.Expect("-");
  const int day = in.Number(2);
  in.Expect("Tt");
  const int hour = in.Number(2);
  in.Expect(":");
  const int minute = in.Number(2);
  in.Expect(":");
  const int second = in.Number(2);
  std::int64_t micros = 0;
  if (in.ok() && in.Take(".") != '\0') {
    std::int64_t unit = 100'000;
    int digits = 0;
    for (char c = in.Take("0123456789"); c != '\0'; c = in.Take("0123456789"), ++digits, unit /= 10) {
      if (unit == 0 && c != '0') return Bad(text, "is finer than a microsecond");
      micros += (c - '0') * unit;
    }
    if (digits == 0) return Bad(text, "decimals are expected after the point");
  }
  std::chrono::minutes offset{0};
  if (in.ok() && in.Take("Zz") == '\0') {
    const char sign = in.Take("+-");
    if (sign == '\0') return Bad(text, "must be a date, a time and a zone");
    const int hours = in.Number(2);
    in.Expect(":");
    const int minutes = in.Number(2);
    if (hours > 23 || minutes > 59) return Bad(text, "has no such zone");
    offset = std::chrono::minutes((sign == '-' ? -1 : 1) * (hours * 60 + minutes));
  }
  if (!in.done()) return Bad(text, "must be a date, a time and a zone");
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return Bad(text, "has no such day");
  if (hour > 23 || minute > 59 || second > 59) return Bad(text, "has no such time of day");
  const Instant instant = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                          std::chrono::seconds(second) + Duration(micros) - offset;
  const std::chrono::year_month_day utc{std::chrono::floor<std::chrono::days>(instant)};
  if (utc.year() < std::chrono::year(1970) || utc.year() > std::chrono::year(9999)) {
    return Bad(text, "must be in the years 1970 to 9999");
  }
  return instant;
}

std::string FormatInstant(Instant instant) {
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{instant - day};
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 time.hours().count(), time.minutes().count(), time.seconds().count());
  if (const auto micros = time.subseconds().count(); micros != 0) {
    std::string fraction = fmt::format(".{:06}", micros);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += fraction;
  }
  return text + "Z";
}

}  // namespace escapement
