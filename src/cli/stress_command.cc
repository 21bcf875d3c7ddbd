#include "cli/stress_command.h"

#include <functional>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "stress/analyzer.h"
#include "stress/config.h"
#include "stress/health.h"
#include "stress/local.h"
#include "stress/pod.h"

namespace escapement {
namespace {

using stress::StressConfig;
using stress::StressFlags;

constexpr const char* kVariables = R"(Variables (default):
  JOB_COUNT (100), JOB_INTERVAL_MS (1000), JOB_DURATION_MS (50), TEST_DURATION_SEC (60)
  PODS (local: 4): pods in all, the leader included; a leader waits for as many
  STORE (postgresql): postgresql, redis or sqlite
  POSTGRES_HOST (localhost), POSTGRES_PORT (5432), POSTGRES_USER (postgres), POSTGRES_PASSWORD, POSTGRES_DB
  REDIS_HOST (localhost), REDIS_PORT (6379), REDIS_USER, REDIS_PASSWORD, REDIS_DB (0)
  SQLITE_PATH (stress.db): the database's file; `local` makes one of its own
  POD_NAME: this pod's name in the report
  IS_LEADER (false): true makes a follower the leader
  STRESS_WITNESS_DIR: where each pod keeps its own file of starts
  STRESS_READY_FILE: written when the pod is ready, asked by `health`
  STRESS_PIDS_FILE: `local` writes the process ids of all parts there
  STRESS_CONNECT_TIMEOUT_SEC (60): how long a pod tries to reach its servers
  STRESS_RESTART_AFTER_SEC (0): `local --expect-faults` starts a killed server again after as long)";

int Run(const StressFlags& flags, int (*command)(const StressConfig&)) {
  auto config = stress::ReadConfig(stress::ProcessEnvironment(), flags);
  if (!config) {
    for (const std::string& line : config.error()) fmt::print(stderr, "escapement: {}\n", line);
    return 2;
  }
  return command(*config);
}

}  // namespace

void AddStressCommand(CLI::App& app, std::function<int()>* run) {
  // Shared: the callbacks outlive this call.
  auto flags = std::make_shared<StressFlags>();
  auto* stress = app.add_subcommand("stress", "The stress test: pods, analyzer, or the whole of it on this machine");
  stress->footer(kVariables);
  stress->require_subcommand(1);

  const auto add = [&](const char* name, const char* description, int (*command)(const StressConfig&)) {
    auto* sub = stress->add_subcommand(name, description);
    sub->footer(kVariables);
    sub->callback([flags, run, command, is_leader = std::string(name) == "leader"] {
      flags->leader = is_leader;
      *run = [flags, command] { return Run(*flags, command); };
    });
    return sub;
  };
  const auto add_json = [flags](CLI::App* sub) {
    sub->add_option_function<std::string>(
           "--json",
           [flags](const std::string& file) {
             flags->json = file.empty() || file == "-";
             flags->json_file = flags->json ? "" : file;
           },
           "The figures as JSON, exact and in microseconds: to FILE, or in place of the report")
        ->expected(0, 1)
        ->default_str("")
        ->type_name("[FILE]");
  };
  const auto add_faults = [flags](CLI::App* sub) {
    sub->add_flag("--expect-faults", flags->expect_faults,
                  "Faults are injected: starts again after a dead pod are re-runs, not duplicates");
  };
  const auto add_witness = [flags](CLI::App* sub) {
    sub->add_flag("--no-witness", flags->no_witness, "Record no executions: the ledger alone is judged");
  };
  const auto add_burst = [flags](CLI::App* sub) {
    sub->add_flag("--burst", flags->burst, "All jobs are due at the same instants instead of evenly spread");
  };

  auto* leader = add("leader", "A pod that migrates, creates the jobs and runs them", stress::RunPod);
  add_burst(leader);
  add_witness(leader);

  auto* follower = add("follower", "A pod that waits for the leader's test and runs jobs", stress::RunPod);
  add_burst(follower);  // for one that IS_LEADER makes the leader
  add_witness(follower);

  auto* analyze = add("analyze", "Judge the test that the database holds: 0 PASS, 1 issues, 2 nothing to judge",
                      stress::RunAnalyze);
  add_json(analyze);
  add_faults(analyze);
  analyze->add_flag("--clean", flags->clean, "Empty the tables of the test afterwards");

  auto* local = add("local", "The whole test as processes of this machine with private servers", stress::RunLocal);
  add_burst(local);
  add_json(local);
  add_faults(local);
  add_witness(local);
  local->add_flag("--keep", flags->keep, "Leave the servers and files, and say how to reach and to stop them");

  add("health", "Is the pod beside this command ready (STRESS_READY_FILE), or do the servers answer?",
      stress::RunHealth);
}

}  // namespace escapement
