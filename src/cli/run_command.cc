// run: a pod.
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace escapement {
namespace {

struct RunOptions {
  CommonOptions common;
  std::optional<std::string> name;
  std::optional<std::string> queues, labels;  // names with commas between
  std::optional<int> max_running, threads, history_days;
  std::optional<Duration> session_ttl, heartbeat, horizon, grace;
  bool migrate = false;
};

Result<SchedulerOptions> ReadOptions(const RunOptions& o) {
  auto options = ReadConfig(o.common.config);
  if (!options) return options;
  const auto take = [](const auto& from, auto* to) {
    if (from) *to = *from;
  };
  take(o.name, &options->pod_name);
  if (o.queues) options->queues = SplitAtCommas(*o.queues);
  if (o.labels) options->labels = SplitAtCommas(*o.labels);
  take(o.max_running, &options->max_running);
  take(o.threads, &options->threads);
  take(o.session_ttl, &options->session_ttl);
  take(o.heartbeat, &options->heartbeat);
  take(o.horizon, &options->horizon);
  take(o.history_days, &options->history_days);
  return options;
}

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// The first signal ends the wait; from then on a second one ends the process, and its session ends with its TTL.
int WaitForStop() {
  const sigset_t set = StopSignals();
  int signal = 0;
  sigwait(&set, &signal);
  struct sigaction end = {};
  end.sa_handler = [](int number) { _exit(128 + number); };
  sigaction(SIGTERM, &end, nullptr);
  sigaction(SIGINT, &end, nullptr);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return signal;
}

int Run(const RunOptions& o) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("escapement"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  // Blocked before any thread begins, so that only WaitForStop sees them.
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);

  const auto options = ReadOptions(o);
  if (!options) return Complain(options.error());
  auto scheduler = OpenStore(*options, o.migrate ? Schema::kAny : Schema::kNeeded);
  if (!scheduler) return Complain(scheduler.error());
  Scheduler& pod = **scheduler;
  if (o.migrate) {
    if (auto status = pod.Migrate(); !status) return Complain(status.error());
  }
  if (auto status = pod.HandleProcesses(); !status) return Complain(status.error());
  if (auto status = pod.Start(); !status) return Complain(status.error());
  spdlog::info("pod {} started: store={} queues={}", pod.pod_name(), pod.store_name(), fmt::join(options->queues, ","));
  const int signal = WaitForStop();
  const Duration grace = o.grace.value_or(std::chrono::seconds(10));
  const auto stopped = pod.Stop(grace);
  const PodCounters counters = pod.Counters();
  if (!stopped) {
    spdlog::error("pod {} stopped by signal {}: {}", pod.pod_name(), signal, stopped.error().message);
    return kFailure;
  }
  spdlog::info("pod {} stopped by signal {}: started={} committed={}", pod.pod_name(), signal, counters.started,
               counters.committed);
  return 0;
}

}  // namespace

void AddRunCommand(CommandLine& line) {
  auto o = std::make_shared<RunOptions>();
  CLI::App* run = AddCommand(line, "run", "Be a pod: run jobs until SIGTERM or SIGINT", R"(Examples:
  escapement run
  escapement run --queues default,reports --max-running 50
  ESCAPEMENT_STORE=postgresql://app@db/app escapement run --migrate
SIGTERM or SIGINT: nothing new is started, running commands get the grace, jobs are handed to other pods, exit status 0.
A second signal ends the pod at once.)",
                             o, Run);
  run->add_option("--name", o->name, "The pod's name (the host's)")->type_name("NAME");
  run->add_option("--queues", o->queues, "Run jobs of these queues (default)")->type_name("A,B,...");
  run->add_option("--labels", o->labels, "Run jobs with one of these labels, too (none)")->type_name("A,B,...");
  run->add_option("--max-running", o->max_running, "Runs at once (10000)")->type_name("N");
  run->add_option("--threads", o->threads, "Threads for tasks that block (8)")->type_name("N");
  AddDuration(run, "--session-ttl", &o->session_ttl, "A silent pod counts as dead after this (5s)");
  AddDuration(run, "--heartbeat", &o->heartbeat, "How often a pod shows that it lives (1.5s)");
  AddDuration(run, "--horizon", &o->horizon, "How far ahead jobs are claimed (2s)");
  run->add_option("--history-days", o->history_days, "Days of history to keep (7)")->type_name("N");
  AddDuration(run, "--grace", &o->grace, "For running commands when the pod stops (10s)");
  run->add_flag("--migrate", o->migrate, "Create or upgrade the store's schema first");
  AddStoreOptions(run, &o->common);
}

}  // namespace escapement
