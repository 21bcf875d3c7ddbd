// The composition root: one binary, its subcommands.
#include <algorithm>
#include <functional>
#include <string>

#include <fmt/format.h>
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
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version are no errors
    std::string why = error.what();
    // "A subcommand is required" does not help somebody who misspelled one.
    if (const auto unknown = app.remaining(/*recurse=*/true); !unknown.empty()) why = "not known: " + unknown.front();
    std::replace(why.begin(), why.end(), '\n', ' ');
    fmt::print(stderr, "escapement: {} (see --help)\n", why);
    return 2;
  }
  return run();
}
