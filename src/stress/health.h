// Health checks of containers: ask a pod that runs beside, or the servers.
#pragma once

#include "stress/config.h"

namespace escapement::stress {

// With STRESS_READY_FILE: is the pod that wrote it alive? Without: does the store answer, with the right schema?
// Exit status 0 or 1, and one line on standard error when it is 1.
int RunHealth(const StressConfig& config);

}  // namespace escapement::stress
