// The composition root: one binary, its subcommands.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/stress_command.h"

namespace escapement {
namespace {

// Levenshtein's distance.
std::size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// The command that is nearest to a word, if any is near.
std::string Suggestion(const CLI::App& app, const std::string& word) {
  std::string best;
  std::size_t nearest = 1 + std::max<std::size_t>(2, word.size() / 3);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::size_t distance = Distance(word, command->get_name());
    if (distance < nearest) {
      nearest = distance;
      best = command->get_name();
    }
  }
  return best;
}

std::string Why(const CLI::App& app, const CLI::ParseError& error) {
  const auto unknown = app.remaining(/*recurse=*/true);
  const auto chosen = app.get_subcommands();
  if (unknown.empty()) return error.what();
  if (!chosen.empty()) return fmt::format("{}: not known: {}", chosen.front()->get_name(), unknown.front());
  const std::string near = Suggestion(app, unknown.front());
  return fmt::format("not known: {}{}", unknown.front(), near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

int Main(int argc, char** argv) {
  CLI::App app("Escapement: a distributed job scheduler that settles each occurrence of each job exactly once",
               "escapement");
  app.set_version_flag("--version", "escapement " ESCAPEMENT_VERSION);
  app.require_subcommand(1);
  CommandLine line{app, {}, {}};
  AddRunCommand(line);
  AddJobCommands(line);
  AddControlCommands(line);
  AddScheduleCommands(line);
  AddApplyCommand(line);
  AddArchiveCommands(line);
  AddAuditCommand(line);
  AddStoreCommands(line);
  AddStressCommand(app, &line.run);  AddProveCommand(line);
  AddCompletionCommand(line);

  std::vector<std::string> words(argv + 1, argv + argc);
  // The command's own words are none of ours, whatever they look like.
  if (!words.empty() && words.front() == "add") {
    const auto dashes = std::find(words.begin(), words.end(), "--");
    if (dashes != words.end()) line.tail.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
  }
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and --version are no errors
    std::string why = Why(app, error);
    std::replace(why.begin(), why.end(), '\n', ' ');
    fmt::print(stderr, "escapement: {} (see --help)\n", why);
    return kBadInput;
  }
  const int status = line.run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "escapement: cannot write to standard output\n");
    return kFailure;
  }
  return status;
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) {
  try {
    return escapement::Main(argc, argv);
  } catch (const std::exception& error) {  // out of memory, a full disk below printf
    std::fprintf(stderr, "escapement: %s\n", error.what());
    return escapement::kFailure;
  }
}
