// Where options come from: flags beat the environment, the environment beats the file.
#pragma once

#include <optional>
#include <string>

#include "escapement/scheduler.h"
#include "escapement/status.h"

namespace escapement {

struct ConfigFlags {
  std::optional<std::string> store;
  std::optional<std::string> locks;
  std::optional<std::string> config;  // the file
};

// The file that is read, if any: --config, ESCAPEMENT_CONFIG, or the user's own if it is there.
std::optional<std::string> ConfigFile(const ConfigFlags& flags);

// kInvalidArgument, "FILE:LINE: ...", for a key that is unknown or has a value of the wrong type; kNotFound for a file
// that was named and is not there. No message holds a URL.
[[nodiscard]] Result<SchedulerOptions> ReadConfig(const ConfigFlags& flags);

}  // namespace escapement
