// What became of a job that was given to a store, in words.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "escapement/job.h"
#include "time/quoted.h"

namespace escapement {

inline std::string_view OutcomeName(EnqueueOutcome outcome) {
  constexpr std::array<std::string_view, 4> kNames = {"created", "updated", "unchanged", "held"};
  return kNames.at(static_cast<std::size_t>(outcome));
}

// After "NAME held".
inline std::string WhyHeld(const JobDefinition& job) {
  return fmt::format(": another job has the unique key '{}', so nothing was created or changed",
                     Quoted(job.unique, 200));
}

}  // namespace escapement
