// What the programs of trials share: they stop at the first thing that does not work, at once, whatever threads they
// have.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "escapement/status.h"

namespace escapement {

[[noreturn]] inline void Die(std::string_view message) {
  fmt::print(stderr, "{}: {}\n", program_invocation_short_name, message);
  std::_Exit(2);
}

template <typename T>
T Must(Result<T> result) {
  if (!result) Die(result.error().message);
  return *std::move(result);
}
inline void Must(const Status& status) {
  if (!status) Die(status.error().message);
}

// What can be done twice, on a machine that may be too busy to answer in time.
template <typename Call>
auto Insist(const Call& call) {
  auto result = call();
  for (int i = 0; i < 10 && !result; ++i) result = call();
  return Must(std::move(result));
}

}  // namespace escapement
