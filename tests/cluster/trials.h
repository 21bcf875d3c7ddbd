// What the programs of trials share.
#pragma once

#include <utility>

#include "bench/must.h"

namespace escapement {

// What can be done twice, on a machine that may be too busy to answer in time.
template <typename Call>
auto Insist(const Call& call) {
  auto result = call();
  for (int i = 0; i < 10 && !result; ++i) result = call();
  return Must(std::move(result));
}

}  // namespace escapement
