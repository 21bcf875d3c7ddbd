// `escapement stress ...`: arguments in, exit status out.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace escapement {

// Adds the subcommand `stress` with its own. Parsing sets `run` to what the chosen one does.
void AddStressCommand(CLI::App& app, std::function<int()>* run);

}  // namespace escapement
