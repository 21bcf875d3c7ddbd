#include "escapement/handler.h"

#include <fmt/format.h>

namespace escapement {

std::string RunContext::Token() const {
  return fmt::format("{}.{}.{}.{}", job_key, fence, ToMicros(fire_time), attempt);
}

}  // namespace escapement
