// Histories of a fixed set of seeds: the rules hold. `escapement prove` plays as many others as one likes.
#include "sim/history.h"

#include <gmock/gmock.h>

#include "sim/campaign.h"

namespace escapement::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::SizeIs;

std::string Told(const HistoryPlan& plan) {
  std::string out;
  for (const std::string& line : Describe(plan)) out += line + "\n";
  for (const std::string& line : RunHistory(plan, /*timeline=*/true).timeline) out += line + "\n";
  return out;
}

TEST(History, RulesHoldWhateverHappens) {
  const CampaignResult result = RunCampaign({.first = 1, .seeds = 300, .threads = 2}, {});
  ASSERT_FALSE(result.broken) << "seed " << *result.broken << ": " << result.breach->rule << ": " << result.breach->what
                              << "\n"
                              << Told(Shrink(PlanHistory(*result.broken), result.breach->rule));
  const HistoryCounts& counts = result.counts;
  EXPECT_EQ(counts.histories, 300);
  EXPECT_GT(counts.runs, 50'000);
  EXPECT_GT(counts.skipped, 100);
  EXPECT_GT(counts.lost, 10);
  EXPECT_GT(counts.stale, 100);
  EXPECT_GT(counts.ended, 100);
  EXPECT_GT(counts.gave_up, 100);
  for (int kind = 0; kind < kEventKinds; ++kind) {
    const auto event = static_cast<EventKind>(kind);
    EXPECT_GT(counts.events.contains(event) ? counts.events.at(event) : 0, 10) << EventName(event);
  }
}

TEST(History, ASeedIsAlwaysTheSame) {
  for (const std::uint64_t seed : {3, 17, 101}) EXPECT_EQ(Told(PlanHistory(seed)), Told(PlanHistory(seed)));
  EXPECT_NE(Told(PlanHistory(3)), Told(PlanHistory(4)));
}

// A history that is cut off in the middle of its faults leaves something undone: the least of it is a single fault.
TEST(History, ShrinksToWhatBreaksTheRule) {
  int shrunk = 0;
  int small = 0;  // but for one, which may need what it has
  for (std::uint64_t seed = 1; shrunk < 4; ++seed) {
    HistoryPlan plan = PlanHistory(seed);
    plan.calm += seconds(10);
    plan.end = plan.events.back().at + seconds(3);
    const HistoryResult result = RunHistory(plan);
    if (!result.breach || result.breach->rule != "what is due is settled" || plan.events.size() < 5) continue;
    ++shrunk;
    const HistoryPlan least = Shrink(plan, result.breach->rule);
    EXPECT_EQ(RunHistory(least).breach->rule, result.breach->rule);
    const auto jobs =
        std::count_if(least.jobs.begin(), least.jobs.end(), [](const auto& job) { return job.has_value(); });
    if (least.events.size() <= 2 && jobs <= 2) ++small;
    ASSERT_TRUE(least.disturbed);
    EXPECT_LE(least.disturbed->size(), result.disturbed.size());
    for (const CallNumber& call : *least.disturbed) {  // none can be left out
      HistoryPlan smaller = least;
      smaller.disturbed->erase(call);
      EXPECT_FALSE(RunHistory(smaller).breach);
    }
  }
  EXPECT_GE(small, 3);
}

// What a plan has of its seed, and not in its jobs and events, must not be missed by what is left of it.
TEST(History, WhatIsLeftOfAPlanIsPlayedToo) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    HistoryPlan plan = PlanHistory(seed);
    plan.jobs.front().reset();
    plan.events.resize(plan.events.size() / 2);
    plan.pods = 1;
    const HistoryResult result = RunHistory(plan);
    EXPECT_FALSE(result.breach) << "seed " << seed << ": " << result.breach->rule << ": " << result.breach->what;
  }
}

TEST(Campaign, PlaysTheSameSeedsOnAnyNumberOfThreads) {
  const CampaignResult one = RunCampaign({.first = 500, .seeds = 20, .threads = 1}, {});
  const CampaignResult three = RunCampaign({.first = 500, .seeds = 20, .threads = 3}, {});
  EXPECT_EQ(one.counts.runs, three.counts.runs);
  EXPECT_EQ(one.counts.events, three.counts.events);
}

}  // namespace
}  // namespace escapement::sim
