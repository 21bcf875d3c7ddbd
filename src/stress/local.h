// The whole stress test as processes of this machine, against private, throw-away servers.
#pragma once

#include "stress/config.h"

namespace escapement::stress {

// Starts the servers that the store needs on loopback (SQLite: none), then this same program as leader and PODS - 1
// followers (default 4 pods in all), waits for them, prints the report to standard output. Returns the exit status: 0
// PASS, 1 issues, or a pod that ended badly while no faults are expected, 2 the servers could not be started, 128 + the
// signal that stopped it.
int RunLocal(const StressConfig& config);

}  // namespace escapement::stress
