// completion: scripts for shells, made from the commands as they are.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "cli/commands.h"

namespace escapement {
namespace {

struct CompletionOptions {
  std::string shell;
  const CLI::App* app = nullptr;
};

std::vector<const CLI::App*> CommandsOf(const CLI::App* app) {
  return app->get_subcommands([](const CLI::App*) { return true; });
}

std::vector<const CLI::Option*> FlagsOf(const CLI::App* command) {
  return command->get_options([](const CLI::Option* option) { return !option->get_lnames().empty(); });
}

// Its first word is the name of a job.
bool TakesNames(const std::string& command) {
  static const std::set<std::string> names = {"show",   "runs",    "progress", "why",   "pause",
                                              "resume", "trigger", "cancel",   "remove"};
  return names.contains(command);
}

std::string WordsOf(const CLI::App* command) {
  std::vector<std::string> words;
  for (const CLI::App* sub : CommandsOf(command)) words.push_back(sub->get_name());
  if (command->get_name() == "completion") words = {"bash", "zsh", "fish"};
  for (const CLI::Option* flag : FlagsOf(command)) words.push_back("--" + flag->get_lnames().front());
  return fmt::format("{}", fmt::join(words, " "));
}

std::string CommandNames(const CLI::App* app) {
  std::vector<std::string> names;
  for (const CLI::App* command : CommandsOf(app)) names.push_back(command->get_name());
  return fmt::format("{}", fmt::join(names, " "));
}

// In single quotes, as all three shells read them.
std::string Quoted(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '\''), text.end());
  return "'" + text + "'";
}

constexpr const char* kJobNames = "timeout 2 escapement list 2>/dev/null | cut -f1";

void PrintBash(const CLI::App* app) {
  fmt::print("# escapement completion bash >/etc/bash_completion.d/escapement\n_escapement() {{\n");
  fmt::print("  local current=${{COMP_WORDS[COMP_CWORD]}} words=\n  if ((COMP_CWORD == 1)); then\n");
  fmt::print("    words='{} --help --version'\n  else\n    case ${{COMP_WORDS[1]}} in\n", CommandNames(app));
  for (const CLI::App* command : CommandsOf(app)) {
    fmt::print("      {}) words='{}'", command->get_name(), WordsOf(command));
    if (TakesNames(command->get_name())) fmt::print("; [[ $current == -* ]] || words+=\" $({})\"", kJobNames);
    fmt::print(" ;;\n");
  }
  fmt::print("    esac\n  fi\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n}}\n");
  fmt::print("complete -o default -F _escapement escapement\n");
}

void PrintZsh(const CLI::App* app) {
  fmt::print("#compdef escapement\n# escapement completion zsh >~/.zfunc/_escapement\n_escapement() {{\n");
  fmt::print("  local -a commands words_here\n  commands=(\n");
  for (const CLI::App* command : CommandsOf(app)) {
    fmt::print("    {}\n", Quoted(command->get_name() + ":" + command->get_description()));
  }
  fmt::print("  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n");
  fmt::print("  case $words[2] in\n");
  for (const CLI::App* command : CommandsOf(app)) {
    fmt::print("    {}) words_here=({}", command->get_name(), WordsOf(command));
    if (TakesNames(command->get_name())) fmt::print(" ${{(f)\"$({})\"}}", kJobNames);
    fmt::print(") ;;\n");
  }
  fmt::print("  esac\n  compadd -- $words_here\n  _files\n}}\n");
  fmt::print(
      "if [[ $funcstack[1] == _escapement ]]; then _escapement \"$@\"; else compdef _escapement escapement; fi\n");
}

void PrintFish(const CLI::App* app) {
  fmt::print("# escapement completion fish >~/.config/fish/completions/escapement.fish\n");
  for (const CLI::App* command : CommandsOf(app)) {
    const std::string& name = command->get_name();
    fmt::print("complete -c escapement -n __fish_use_subcommand -f -a {} -d {}\n", name,
               Quoted(command->get_description()));
    const std::string seen = fmt::format("'__fish_seen_subcommand_from {}'", name);
    for (const CLI::App* sub : CommandsOf(command)) {
      fmt::print("complete -c escapement -n {} -f -a {} -d {}\n", seen, sub->get_name(),
                 Quoted(sub->get_description()));
    }
    if (name == "completion") fmt::print("complete -c escapement -n {} -f -a 'bash zsh fish'\n", seen);
    if (TakesNames(name)) fmt::print("complete -c escapement -n {} -f -a '({})'\n", seen, kJobNames);
    for (const CLI::Option* flag : FlagsOf(command)) {
      fmt::print("complete -c escapement -n {} -l {}{} -d {}\n", seen, flag->get_lnames().front(),
                 flag->get_items_expected_max() > 0 ? " -r" : "", Quoted(flag->get_description()));
    }
  }
}

int Completion(const CompletionOptions& o) {
  if (o.shell == "bash") PrintBash(o.app);
  if (o.shell == "zsh") PrintZsh(o.app);
  if (o.shell == "fish") PrintFish(o.app);
  return 0;
}

}  // namespace

void AddCompletionCommand(CommandLine& line) {
  auto o = std::make_shared<CompletionOptions>();
  o->app = &line.app;
  CLI::App* completion =
      AddCommand(line, "completion", "Print a script that completes commands in a shell", R"(Examples:
  source <(escapement completion bash)
  escapement completion zsh >~/.zfunc/_escapement
  escapement completion fish >~/.config/fish/completions/escapement.fish)",
                 o, Completion);
  completion->add_option("shell", o->shell, "bash, zsh or fish")
      ->required()
      ->check([](const std::string& s) {
        return s == "bash" || s == "zsh" || s == "fish" ? "" : "must be bash, zsh or fish";
      })
      ->type_name("SHELL");
}

}  // namespace escapement
