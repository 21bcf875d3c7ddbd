#include "stress/health.h"

#include <signal.h>

#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "escapement/scheduler.h"

namespace escapement::stress {

int RunHealth(const StressConfig& config) {
  const auto sick = [](const std::string& message) {
    fmt::print(stderr, "escapement: {}\n", message);
    return 1;
  };
  if (!config.ready_file.empty()) {
    std::ifstream file(config.ready_file);
    pid_t pid = 0;
    if (!(file >> pid) || pid <= 0) return sick("the pod is not ready yet");
    if (kill(pid, 0) != 0 && errno == ESRCH) return sick("the pod has ended");
    return 0;
  }
  SchedulerOptions options;
  options.store_url = config.StoreUrl();
  options.locks_url = config.LocksUrl();
  options.pod_name = "stress-health";
  auto scheduler = Scheduler::Open(options);
  if (!scheduler) return sick(scheduler.error().message);
  if (auto schema = (*scheduler)->CheckSchema(); !schema) return sick(schema.error().message);
  return 0;
}

}  // namespace escapement::stress
