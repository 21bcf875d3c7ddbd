// What ChildProcess can do beyond servers.h, for the private servers.
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "escapement/status.h"
#include "servers/servers.h"

namespace escapement {

struct SpawnOptions {
  ProcessOptions process;
  int death_signal = SIGKILL;  // the kernel sends it to the child when this process dies, however it dies
  bool detached = false;       // no death signal, a session of its own, and the destructor leaves it running
};

// Every child leads a process group of its own, so a Ctrl-C at the terminal reaches this process only, which ends its
// children in its own order. Inherits no descriptor but the standard ones. kNotFound: no such program or user;
// kUnavailable: the system refused. Thread-safe.
[[nodiscard]] Result<std::unique_ptr<ChildProcess>> Spawn(const SpawnOptions& options);

// The program's file: `program` itself if it has a slash, else as found in PATH. kNotFound.
[[nodiscard]] Result<std::string> FindProgram(const std::string& program);

}  // namespace escapement
