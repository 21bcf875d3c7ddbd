// The task "process": jobs whose work is a command of the pod's machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

// The task that Scheduler::HandleProcesses registers; a ProcessSpec as JSON is its payload.
inline constexpr const char* kProcessTask = "process";

// What to run. No shell is involved: the words reach the program as they are here.
//
// The command sees the pod's environment without its ESCAPEMENT_* variables (they may hold passwords), then `env`, then
// ESCAPEMENT_JOB, ESCAPEMENT_FIRE_TIME (RFC 3339), ESCAPEMENT_ATTEMPT, ESCAPEMENT_FENCE and ESCAPEMENT_RUN (the token
// of RunContext). Its standard input is empty; what it prints on both outputs is the run's output. Exit status 0 is
// success, anything else the run's error.
//
// A line of its output that begins with "##progress ", then a number from 0 to 1 or a percentage ("0.4", "40%"), then
// nothing or a space and a note, tells how far the run has come, as RunContext::Progress does, and is not kept as
// output. A line that begins so but goes on otherwise, or is longer than 4 KiB, is output like any other.
//
// It leads a process group of its own. A cancelled run (timeout, user, shutdown, lost ownership) gets SIGTERM, and
// SIGKILL after `kill_grace`, both for the whole group; when the command itself ends, what is left of its group is
// killed. The command, not what it started, dies with the pod, however that dies.
struct ProcessSpec {
  std::vector<std::string> argv;                  // at least one word; the first is looked up in the command's PATH
  std::map<std::string, std::string> env;         // added to the pod's environment, or in place of what is there
  std::string directory;                          // to run in; empty: the pod's own
  Duration kill_grace = std::chrono::seconds(3);  // 0 to 4 s: after 5 s the pod gives a cancelled run up
  std::size_t output_limit = kOutputLimit;        // bytes of output kept, the last; at most kOutputLimit
  friend bool operator==(const ProcessSpec&, const ProcessSpec&) = default;
};

// kInvalidArgument naming the member, what is wrong with it and what would be right.
[[nodiscard]] Status Validate(const ProcessSpec& spec);

// {"argv": ["sh", "-c", "date"], "env": {"TZ": "UTC"}, "directory": "/tmp", "kill_grace": "3s", "output_limit": 16384};
// members at their default are left out. Text that is not UTF-8, which Validate refuses, is not kept as it is.
std::string ProcessSpecToJson(const ProcessSpec& spec);
// kInvalidArgument for anything but what Validate lets pass, an unknown member included.
[[nodiscard]] Result<ProcessSpec> ProcessSpecFromJson(std::string_view json);

// A job that runs the command: its task and payload are set, the rest is at its default.
JobDefinition ProcessJob(std::string id, Schedule schedule, const ProcessSpec& spec);

}  // namespace escapement
