// Histories of a fixed set of seeds: the rules hold. `escapement prove` runs as many others as one likes.
#include "sim/history.h"

#include <cstdlib>

#include <gmock/gmock.h>

namespace escapement::sim {
namespace {

std::string Told(const HistoryPlan& plan) {
  std::string out;
  for (const std::string& line : Describe(plan)) out += line + "\n";
  for (const std::string& line : RunHistory(plan, /*timeline=*/true).timeline) out += line + "\n";
  return out;
}

TEST(History, RulesHoldWhateverHappens) {
  HistoryCounts counts;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const HistoryPlan plan = PlanHistory(seed);
    const HistoryResult result = RunHistory(plan);
    counts.Add(result.counts);
    if (!result.breach) continue;
    ADD_FAILURE() << "seed " << seed << ": " << result.breach->rule << ": " << result.breach->what << "\n"
                  << Told(Shrink(plan, result.breach->rule));
    return;
  }
  EXPECT_GT(counts.runs, 50'000);
  EXPECT_GT(counts.skipped, 100);
  EXPECT_GT(counts.lost, 10);
  EXPECT_GT(counts.stale, 100);
  EXPECT_GT(counts.ended, 100);
  for (int kind = 0; kind < kEventKinds; ++kind) EXPECT_GT(counts.events[static_cast<EventKind>(kind)], 10) << kind;
}

}  // namespace
}  // namespace escapement::sim
