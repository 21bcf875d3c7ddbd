// The composition root: one binary, its subcommands.
#include <functional>

#include <CLI/CLI.hpp>

#include "cli/stress_command.h"

int main(int argc, char** argv) {
  CLI::App app("Escapement: a distributed job scheduler that settles each occurrence of each job exactly once",
               "escapement");
  app.set_version_flag("--version", "escapement " ESCAPEMENT_VERSION);
  app.require_subcommand(1);
  std::function<int()> run;
  escapement::AddStressCommand(app, &run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // --help and --version are no errors
  }
  return run();
}
