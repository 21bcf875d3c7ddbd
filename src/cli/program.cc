#include "cli/program.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/stress_command.h"
#include "time/quoted.h"

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

}  // namespace

Program::Program()
    : app_("Escapement: a distributed job scheduler that settles each occurrence of each job exactly once",
           "escapement"),
      line_{app_, {}, {}} {
  app_.set_version_flag("--version", "escapement " ESCAPEMENT_VERSION);
  app_.require_subcommand(1);
  CommandLine& line = line_;
  AddRunCommand(line);
  AddJobCommands(line);
  AddControlCommands(line);
  AddProgressCommand(line);
  AddDeadCommand(line);
  AddScheduleCommands(line);
  AddApplyCommand(line);
  AddArchiveCommands(line);
  AddAuditCommand(line);
  AddStoreCommands(line);
  AddStressCommand(app_, &line.run);
  AddProveCommand(line);
  AddSimulateCommand(line);
  AddCompletionCommand(line);
}

Status Program::Read(std::vector<std::string> words) {
  // The command's own words are none of ours, whatever they look like.
  if (!words.empty() && words.front() == "add") {
    const auto dashes = std::find(words.begin(), words.end(), "--");
    if (dashes != words.end()) line_.tail.assign(dashes + 1, words.end());
    words.erase(dashes, words.end());
  }
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app_.parse(words);
  } catch (const CLI::CallForHelp&) {
    line_.run = [this] { return app_.exit(CLI::CallForHelp()); };
  } catch (const CLI::CallForVersion& version) {
    line_.run = [this, version] { return app_.exit(version); };
  } catch (const CLI::ParseError& error) {
    std::string why = Why(app_, error);
    std::replace(why.begin(), why.end(), '\n', ' ');
    return Fail(Code::kInvalidArgument, Quoted(why, 1000));
  }
  return {};
}

int Program::Run() { return line_.run(); }

}  // namespace escapement
