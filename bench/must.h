// Benchmarks and trials stop at the first thing that does not work, at once, whatever threads they have, and say which.
#pragma once

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "escapement/status.h"

namespace escapement {

[[noreturn]] inline void Die(std::string_view message) {
  fmt::print(stderr, "{}: {}\n", program_invocation_short_name, message);
  std::fflush(nullptr);
  std::_Exit(2);
}

template <typename T>
T Must(Result<T> result) {
  if (!result) Die(result.error().message);
  return std::move(*result);
}
inline void Must(const Status& status) {
  if (!status) Die(status.error().message);
}

inline std::int64_t WholeNumber(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value < 1 || value > 1'000'000'000'000) {
    Die(fmt::format("'{}' is not a whole number of at least 1", text));
  }
  return value;
}

}  // namespace escapement
