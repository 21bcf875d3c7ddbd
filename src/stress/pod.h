// The life of one pod of the stress test: the leader, which creates the jobs, or a follower.
#pragma once

#include "stress/config.h"

namespace escapement::stress {

// Runs until the test is over or SIGTERM or SIGINT comes (then it hands its jobs back within 5 s). Errors are one line
// on standard error. Returns the exit status: 0 done, 1 a server or the leader did not come in time, 2 wrong settings
// or a schema newer than this program.
int RunPod(const StressConfig& config);

}  // namespace escapement::stress
