#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "escapement/time.h"
#include "time/quoted.h"

namespace escapement {
namespace {

__extension__ typedef __int128 Int128;  // wide enough for any digits x unit below

struct Unit {
  std::string_view name;
  std::int64_t micros;
};

constexpr std::array<Unit, 7> kUnits = {{
    {"w", 604'800'000'000},
    {"d", 86'400'000'000},
    {"h", 3'600'000'000},
    {"m", 60'000'000},
    {"s", 1'000'000},
    {"ms", 1'000},
    {"us", 1},
}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

tl::unexpected<Error> Bad(std::string_view text, std::string_view why) {
  return Fail(
      Code::kInvalidArgument,
      fmt::format("duration '{}': {}; write for example 250us, 100ms, 1.5s, 5m or 1h30m", Quoted(text, 60), why));
}

// micros / scale with as many decimals as are needed.
std::string Decimal(std::int64_t micros, std::int64_t scale, int decimals) {
  std::string text = std::to_string(micros / scale);
  if (const std::int64_t rest = micros % scale; rest != 0) {
    std::string fraction = fmt::format("{:0{}}", rest, decimals);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text += '.' + fraction;
  }
  return text;
}

}  // namespace

Result<Duration> ParseDuration(std::string_view text) {
  constexpr std::size_t kMostDigits = 18;
  if (text.empty()) return Bad(text, "is empty");
  Int128 total = 0;
  for (std::size_t i = 0; i < text.size();) {
    Int128 digits = 0;
    Int128 scale = 1;
    std::size_t whole = 0;
    std::size_t fraction = 0;
    for (; i < text.size() && IsDigit(text[i]); ++i, ++whole) {
      if (whole == kMostDigits) return Bad(text, "has too many digits");
      digits = digits * 10 + (text[i] - '0');
    }
    if (whole == 0) return Bad(text, "a number is expected");
    if (i < text.size() && text[i] == '.') {
      for (++i; i < text.size() && IsDigit(text[i]); ++i, ++fraction) {
        if (fraction == kMostDigits - 6) return Bad(text, "has too many decimals");
        digits = digits * 10 + (text[i] - '0');
        scale *= 10;
      }
      if (fraction == 0) return Bad(text, "decimals are expected after the point");
    }
    std::size_t end = i;
    while (end < text.size() && text[end] >= 'a' && text[end] <= 'z') ++end;
    const std::string_view name = text.substr(i, end - i);
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == name; });
    if (unit == kUnits.end()) return Bad(text, "each number needs a unit of w, d, h, m, s, ms or us");
    // At most 18 + 12 digits: below 10^30, times a unit below 10^12 would not fit.
    if (digits > std::numeric_limits<Int128>::max() / unit->micros) return Bad(text, "is too long");
    const Int128 micros = digits * unit->micros;
    if (micros % scale != 0) return Bad(text, "is finer than a microsecond");
    total += micros / scale;
    if (total > std::numeric_limits<std::int64_t>::max()) return Bad(text, "is too long");
    i = end;
  }
  return Duration(static_cast<std::int64_t>(total));
}

std::string FormatDuration(Duration duration) {
  std::int64_t micros = duration.count();
  if (micros == 0) return "0s";
  // Only messages show negative durations: no option takes one.
  if (micros < 0) {
    return micros == std::numeric_limits<std::int64_t>::min() ? fmt::format("{}us", micros)
                                                              : "-" + FormatDuration(Duration(-micros));
  }
  std::string text;
  for (const Unit& unit : kUnits) {
    if (micros == 0 || micros < unit.micros) continue;
    if (unit.name == "s") return text + Decimal(micros, unit.micros, 6) + "s";
    if (unit.name == "ms") return text + Decimal(micros, unit.micros, 3) + "ms";
    text += fmt::format("{}{}", micros / unit.micros, unit.name);
    micros %= unit.micros;
  }
  return text;
}

}  // namespace escapement
