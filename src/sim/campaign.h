// Many histories, on several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "sim/history.h"

namespace escapement::sim {

struct Campaign {
  std::uint64_t first = 1;  // seeds first, first + 1, ...
  std::uint64_t seeds = 1'000;
  int threads = 1;
};

struct CampaignResult {
  HistoryCounts counts;                 // of all histories that were played
  std::optional<std::uint64_t> broken;  // the least seed whose history broke a rule
  std::optional<Breach> breach;         // of it
};

// Plays the histories, and stops soon after one breaks a rule. `progress`, if any, is told on the calling thread how
// many were played, some times a second.
CampaignResult RunCampaign(const Campaign& campaign, const std::function<void(std::uint64_t played)>& progress);

}  // namespace escapement::sim
