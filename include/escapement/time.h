// Instants and durations: UTC, whole microseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "escapement/status.h"

namespace escapement {

using Duration = std::chrono::microseconds;
using Instant = std::chrono::sys_time<Duration>;

inline std::int64_t ToMicros(Instant t) { return t.time_since_epoch().count(); }
inline Instant FromMicros(std::int64_t micros) { return Instant(Duration(micros)); }

// Reads "250us", "100ms", "1.5s", "5m", "2h", "1d", "2w" and sums such as "1h30m".
// kInvalidArgument for anything else, for a fraction of a microsecond and for overflow.
[[nodiscard]] Result<Duration> ParseDuration(std::string_view text);

// The shortest exact text that ParseDuration reads back: "1h30m", "100ms", "0s".
std::string FormatDuration(Duration duration);

// Reads RFC 3339 with a zone: "2026-11-24T10:00:00Z", "2026-11-24T10:00:00.25+01:00". Years 1970 to 9999.
[[nodiscard]] Result<Instant> ParseInstant(std::string_view text);

// RFC 3339 in UTC with as many decimals as are needed: "2026-11-24T10:00:00Z".
std::string FormatInstant(Instant instant);

}  // namespace escapement
