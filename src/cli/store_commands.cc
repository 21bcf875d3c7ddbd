// pods, migrate, doctor.
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/output.h"

namespace escapement {
namespace {

int Pods(const CommonOptions& o) {
  auto scheduler = OpenStore(o);
  if (!scheduler) return Complain(scheduler.error());
  auto pods = (*scheduler)->Pods();
  if (!pods) return Complain(pods.error());
  Table table({"NAME", "SESSION", "JOBS", "RATE"});
  JsonList json;
  for (const PodInfo& pod : *pods) {
    if (o.json) {
      json.Add({{"name", pod.name}, {"session", pod.session}, {"jobs", pod.owned}, {"rate", pod.rate}});
    } else {
      const std::string rate = fmt::format("{:.3g}", pod.rate);
      table.Add({pod.name, std::to_string(pod.session), std::to_string(pod.owned), Cell(rate, rate + "/s")});
    }
  }
  if (o.json) {
    json.Finish();
  } else {
    table.Finish("no pod runs");
  }
  return 0;
}

int Migrate(const CommonOptions& o) {
  auto config = ReadConfig(o.config);
  if (!config) return Complain(config.error());
  auto scheduler = OpenStore(*config, Schema::kAny);
  if (!scheduler) return Complain(scheduler.error());
  if (auto status = (*scheduler)->Migrate(); !status) return Complain(status.error());
  fmt::print("the schema of {} is up to date\n", (*scheduler)->store_name());
  return 0;
}

int Doctor(const CommonOptions& o) {
  std::vector<Finding> findings;
  if (const auto config = ReadConfig(o.config); !config) {
    findings.push_back({Finding::Level::kFail, "config", config.error().message});
  } else {
    findings.push_back({Finding::Level::kOk, "config", ConfigFile(o.config).value_or("no file")});
    for (Finding& finding : Examine(config->store_url, config->locks_url)) findings.push_back(std::move(finding));
  }
  constexpr const char* kLevels[] = {"OK", "WARN", "FAIL"};
  JsonList json;
  for (const Finding& finding : findings) {
    const char* level = kLevels[static_cast<std::size_t>(finding.level)];
    if (o.json) {
      json.Add({{"level", level}, {"part", finding.part}, {"text", finding.text}});
    } else {
      fmt::print("{:<4}  {:<6}  {}\n", level, finding.part, OneLine(finding.text));
    }
  }
  if (o.json) json.Finish();
  const bool failed =
      std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return f.level == Finding::Level::kFail; });
  return failed ? kFailure : 0;
}

}  // namespace

void AddStoreCommands(CommandLine& line) {
  auto pods = std::make_shared<CommonOptions>();
  CLI::App* command = AddCommand(line, "pods", "List the pods that are alive", R"(Examples:
  escapement pods
In a pipe, separated by tabs: name, session, jobs owned, points a second of these.)",
                                 pods, Pods);
  AddStoreOptions(command, pods.get());
  AddJsonOption(command, pods.get());

  auto migrate = std::make_shared<CommonOptions>();
  command = AddCommand(line, "migrate", "Create or upgrade the store's schema; harmless when it is up to date",
                       R"(Examples:
  ESCAPEMENT_STORE=postgresql://app@db/app escapement migrate)",
                       migrate, Migrate);
  AddStoreOptions(command, migrate.get());

  auto doctor = std::make_shared<CommonOptions>();
  command = AddCommand(line, "doctor", "Examine store, schema, clock, pods, jobs and locks", R"(Examples:
  escapement doctor
  escapement doctor --json
Each line is OK, WARN or FAIL. Exit status 1 when one is FAIL.)",
                       doctor, Doctor);
  AddStoreOptions(command, doctor.get());
  AddJsonOption(command, doctor.get());
}

}  // namespace escapement
