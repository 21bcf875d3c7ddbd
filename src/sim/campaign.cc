#include "sim/campaign.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace escapement::sim {

CampaignResult RunCampaign(const Campaign& campaign, const std::function<void(std::uint64_t played)>& progress) {
  CampaignResult result;
  std::mutex mutex;  // guards result
  std::atomic<std::uint64_t> next = 0, played = 0;
  std::atomic<bool> broken = false;
  const auto work = [&] {
    HistoryCounts counts;
    // Seeds are taken in order, and what is under way is played out: no lesser seed is left untried.
    for (std::uint64_t n = next++; n < campaign.seeds && !broken; n = next++) {
      const std::uint64_t seed = campaign.first + n;
      const HistoryResult history = RunHistory(PlanHistory(seed));
      counts.Add(history.counts);
      ++played;
      if (!history.breach) continue;
      broken = true;
      const std::lock_guard lock(mutex);
      if (!result.broken || seed < *result.broken) {
        result.broken = seed;
        result.breach = history.breach;
      }
    }
    const std::lock_guard lock(mutex);
    result.counts.Add(counts);
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::max(campaign.threads, 1); ++i) threads.emplace_back(work);
  while (progress && !broken && played < campaign.seeds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    progress(played);
  }
  threads.clear();
  return result;
}

}  // namespace escapement::sim
