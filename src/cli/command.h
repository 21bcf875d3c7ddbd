// What the subcommands share: how one is added, how a store is opened, how errors and exit statuses look.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/config.h"
#include "escapement/scheduler.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

inline constexpr int kFailure = 1;   // exit status: it did not work out
inline constexpr int kBadInput = 2;  // exit status: it was asked wrongly

struct CommonOptions {
  ConfigFlags config;
  bool json = false;
};

// The command line being built. Parsing sets `run` to what the chosen command does.
struct CommandLine {
  CLI::App& app;
  std::function<int()> run;
  std::vector<std::string> tail;  // the words after the first "--" of `add`
};

// Adds a command below `parent` that runs `body` with the options, which live as long as the command line. `footer`:
// examples.
template <typename Options>
CLI::App* AddCommand(CommandLine& line, CLI::App* parent, const char* name, const char* description, const char* footer,
                     std::shared_ptr<Options> options, int (*body)(const Options&)) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->footer(footer);
  command->callback(
      [&line, options = std::move(options), body] { line.run = [options, body] { return body(*options); }; });
  return command;
}

template <typename Options>
CLI::App* AddCommand(CommandLine& line, const char* name, const char* description, const char* footer,
                     std::shared_ptr<Options> options, int (*body)(const Options&)) {
  return AddCommand(line, &line.app, name, description, footer, std::move(options), body);
}

void AddStoreOptions(CLI::App* command, CommonOptions* options);  // --store, --locks, --config
void AddJsonOption(CLI::App* command, CommonOptions* options);    // --json

CLI::Option* AddDuration(CLI::App* command, const std::string& name, std::optional<Duration>* out,
                         const std::string& description);
// "1s,10s,1m".
CLI::Option* AddDurations(CLI::App* command, const std::string& name, std::optional<std::vector<Duration>>* out,
                          const std::string& description);
std::vector<std::string> SplitAtCommas(const std::string& text);
// RFC 3339, "now", or a distance from now: "-1h", "+10m".
CLI::Option* AddInstant(CLI::App* command, const std::string& name, std::optional<Instant>* out,
                        const std::string& description);

enum class Schema {
  kNeeded,  // it must be there; what is embedded makes it on first use
  kAny,     // the command looks after it
};
[[nodiscard]] Result<std::unique_ptr<Scheduler>> OpenStore(const SchedulerOptions& options, Schema schema);
[[nodiscard]] Result<std::unique_ptr<Scheduler>> OpenStore(const CommonOptions& options);

// One line on standard error; the exit status: 2 for what was asked wrongly, else 1.
int Complain(const Error& error);

// Warns on standard error of jobs that a newer program wrote and this one cannot read. They are left out.
void WarnUnreadable(const std::vector<std::string>& names);

// Warns on standard error when the schedule of a job that is made now has no point.
void WarnIfOver(const JobDefinition& job, Instant now);

inline constexpr const char* kScheduleHelp =
    "'every 1h30m', 'delay 10m', 'at 2026-11-24T10:00:00Z', 'in 10m', 'cron 0 3 * * mon-fri zone=Europe/Berlin', "
    "'calendar day=last "
    "fri "
    "hour=17', 'rrule DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR'";

Instant SystemNow();

}  // namespace escapement
