// prove: the protocol against random histories, by seed.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "sim/campaign.h"

namespace escapement {
namespace {

using sim::CampaignResult;
using sim::HistoryPlan;
using sim::HistoryResult;

struct ProveOptions {
  std::uint64_t seeds = 1'000;
  std::optional<std::uint64_t> first, seed;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  bool timeline = false;
  bool json = false;
  std::string log;
};

// Each second has a million seeds of its own, more than are played in it: runs at different times never try the same.
std::uint64_t FreshSeed() {
  constexpr std::int64_t kYear2026 = 1'767'225'600;  // in seconds; so that seeds stay readable, and whole in JSON
  return static_cast<std::uint64_t>(ToMicros(SystemNow()) / 1'000'000 - kYear2026) * 1'000'000;
}

std::string WithCommas(std::int64_t n) {
  std::string text = std::to_string(n);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

// The least history that breaks the same rule, told from its beginning.
void Tell(std::uint64_t seed, const std::string& rule) {
  const HistoryPlan least = sim::Shrink(sim::PlanHistory(seed), rule);
  fmt::print("\nthe least that breaks it:\n");
  for (const std::string& line : sim::Describe(least)) fmt::print("  {}\n", line);
  fmt::print("\n");
  for (const std::string& line : sim::RunHistory(least, /*timeline=*/true).timeline) fmt::print("{}\n", line);
}

int Replay(const ProveOptions& o) {
  const HistoryPlan plan = sim::PlanHistory(*o.seed);
  const HistoryResult history = sim::RunHistory(plan, o.timeline);
  fmt::print("seed {}: {}\n", *o.seed,
             history.breach
                 ? fmt::format("broken at {:.3f} s: {}: {}", static_cast<double>(history.breach->at.count()) / 1e6,
                               history.breach->rule, history.breach->what)
                 : "all rules hold");
  if (o.timeline) {
    for (const std::string& line : sim::Describe(plan)) fmt::print("  {}\n", line);
    for (const std::string& line : history.timeline) fmt::print("{}\n", line);
  }
  if (!history.breach) return 0;
  Tell(*o.seed, history.breach->rule);
  return kFailure;
}

OutputJson Json(const sim::Campaign& campaign, const CampaignResult& result, double seconds) {
  const sim::HistoryCounts& c = result.counts;
  OutputJson faults;
  for (const auto& [kind, n] : c.events) faults[std::string(sim::EventName(kind))] = n;
  faults["disturbed calls"] = c.disturbed;
  return {{"check", "simulation"},
          {"at", FormatInstant(SystemNow())},
          {"program", ESCAPEMENT_VERSION},
          {"first_seed", campaign.first},
          {"histories", c.histories},
          {"seconds", std::round(seconds * 10) / 10},
          {"threads", campaign.threads},
          {"runs", c.runs},
          {"settled", c.settled},
          {"skipped", c.skipped},
          {"lost", c.lost},
          {"calls", c.calls},
          {"stale_refused", c.stale},
          {"sessions_ended_by_others", c.ended},
          {"faults", faults},
          {"broken_seed", result.broken ? OutputJson(*result.broken) : OutputJson(nullptr)},
          {"broken_rule", result.breach ? OutputJson(result.breach->rule) : OutputJson(nullptr)}};
}

void Print(const sim::Campaign& campaign, const CampaignResult& result, double seconds) {
  const sim::HistoryCounts& c = result.counts;
  fmt::print("{} histories from seed {} on {} threads in {:.1f} s\n", WithCommas(c.histories), campaign.first,
             campaign.threads, seconds);
  fmt::print("  {} runs, {} calls, {} points settled: {} of them skipped, {} lost\n", WithCommas(c.runs),
             WithCommas(c.calls), WithCommas(c.settled), WithCommas(c.skipped), WithCommas(c.lost));
  fmt::print("  {} calls disturbed, {} sessions ended by others, {} stale completions refused\n",
             WithCommas(c.disturbed), WithCommas(c.ended), WithCommas(c.stale));
  std::string faults;
  for (const auto& [kind, n] : c.events) faults += fmt::format(", {} {}", sim::EventName(kind), WithCommas(n));
  fmt::print("  what went wrong: {}\n", faults.empty() ? "nothing" : faults.substr(2));
  if (result.broken) {
    fmt::print("seed {} breaks a rule: {}: {}\n", *result.broken, result.breach->rule, result.breach->what);
  } else {
    fmt::print("no rule was broken\n");
  }
}

int Prove(const ProveOptions& o) {
  if (o.seed) return Replay(o);
  std::ofstream log;
  if (!o.log.empty()) {
    log.open(o.log, std::ios::app);
    if (!log) return Complain({Code::kInvalidArgument, fmt::format("--log: cannot write to '{}'", o.log)});
  }
  const sim::Campaign campaign{.first = o.first.value_or(FreshSeed()), .seeds = o.seeds, .threads = o.threads};
  const bool live = isatty(STDERR_FILENO) == 1;
  const auto began = std::chrono::steady_clock::now();
  const CampaignResult result = sim::RunCampaign(campaign, [&](std::uint64_t played) {
    if (live) fmt::print(stderr, "\r{} of {} histories", played, campaign.seeds);
  });
  if (live) fmt::print(stderr, "\r\033[K");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const OutputJson json = Json(campaign, result, seconds);
  if (log.is_open() && !(log << JsonText(json) << '\n' << std::flush)) {
    return Complain({Code::kUnavailable, fmt::format("--log: cannot write to '{}'", o.log)});
  }
  if (o.json) {
    PrintJson(json);
  } else {
    Print(campaign, result, seconds);
    if (result.broken) Tell(*result.broken, result.breach->rule);
  }
  return result.broken ? kFailure : 0;
}

}  // namespace

void AddProveCommand(CommandLine& line) {
  auto options = std::make_shared<ProveOptions>();
  CLI::App* command = AddCommand<ProveOptions>(
      line, "prove", "Check the protocol against random histories in virtual time",
      "Pods crash, freeze, are cut off; calls are lost, delayed or done late; clocks drift and step; jobs are changed, "
      "paused\n"
      "and removed under way. After each step the rules are checked; a history that breaks one is shrunk and told.\n\n"
      "Examples:\n"
      "  escapement prove --seeds 10000\n"
      "  escapement prove --seed 42 --timeline     one history, as it happens",
      options, Prove);
  command->add_option("--seeds", options->seeds, "Number of histories")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}))
      ->capture_default_str();
  auto* first = command->add_option("--first", options->first, "The first seed (by default one that was never tried)");
  command->add_option("--seed", options->seed, "Play this one history again")->excludes(first);
  command->add_option("--threads", options->threads, "Histories at the same time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_flag("--timeline", options->timeline, "With --seed: tell all that happens")->needs("--seed");
  command->add_option("--log", options->log, "Append a line of JSON about this run to a file");
  command->add_flag("--json", options->json, "Print JSON");
}

}  // namespace escapement
