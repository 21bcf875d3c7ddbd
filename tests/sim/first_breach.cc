// usage: first_breach N. Runs the histories of the seeds 1 to N and stops at the first that breaks a rule. The last
// line of its output tells the end: `none`, or `seed K: rule: what happened`, or, if it died or hangs, `seed K`.
#include <cstdio>
#include <cstdlib>

#include "sim/history.h"

int main(int argc, char** argv) {
  const std::uint64_t seeds = argc == 2 ? std::strtoull(argv[1], nullptr, 10) : 0;
  if (seeds == 0) {
    std::fputs("usage: first_breach N, the number of seeds to try\n", stderr);
    return 2;
  }
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    std::printf("\nseed %llu", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    const auto breach = escapement::sim::RunHistory(escapement::sim::PlanHistory(seed)).breach;
    if (!breach) continue;
    std::printf(": %s: %s\n", breach->rule.c_str(), breach->what.c_str());
    return 1;
  }
  std::puts("\nnone");
  return 0;
}
