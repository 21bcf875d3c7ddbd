// The n-th of points that can only be counted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace escapement {

// The n-th (n >= 1) at or after `from` and before `end`, times being whole numbers. `count(a, b)` is how many lie in
// [a, b). Asks for windows that double from `width` on, then halves the last: the sum of all is three times what lies
// up to the answer.
template <typename CountOf>
std::optional<std::int64_t> NthPoint(std::int64_t from, std::int64_t end, std::int64_t n, std::int64_t width,
                                     const CountOf& count) {
  std::int64_t to = from;
  for (; from < end; from = to, width *= 2) {
    to = from + std::min(width, end - from);
    const std::int64_t found = count(from, to);
    if (found >= n) break;
    n -= found;
  }
  if (from >= end) return std::nullopt;
  while (to - from > 1) {
    const std::int64_t middle = from + (to - from) / 2;
    if (const std::int64_t found = count(from, middle); found >= n) {
      to = middle;
    } else {
      n -= found;
      from = middle;
    }
  }
  return from;
}

}  // namespace escapement
