// pause, resume, trigger, cancel, remove: one call for each name.
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace escapement {
namespace {

using Call = Status (*)(Scheduler&, const std::string&);

struct ControlOptions {
  CommonOptions common;
  std::vector<std::string> names;
  Call call = nullptr;
  const char* done = "";
};

int Control(const ControlOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  int exit_status = 0;
  JsonList json;
  for (const std::string& name : o.names) {
    const Status status = o.call(**scheduler, name);
    if (!status) exit_status = std::max(exit_status, Complain(status.error()));
    if (o.common.json) {
      OutputJson line = {{"name", name}, {"outcome", status ? o.done : "failed"}};
      if (!status) line["error"] = status.error().message;
      json.Add(line);
    } else if (status) {
      fmt::print("{} {}\n", OneLine(name), o.done);
    }
  }
  if (o.common.json) json.Finish();
  return exit_status;
}

void AddControl(CommandLine& line, const char* name, const char* done, const char* description, const char* examples,
                Call call) {
  auto o = std::make_shared<ControlOptions>();
  o->call = call;
  o->done = done;
  CLI::App* command = AddCommand(line, name, description, examples, o, Control);
  command->add_option("names", o->names, "Names of jobs")->required()->type_name("NAME...");
  AddStoreOptions(command, &o->common);
  AddJsonOption(command, &o->common);
}

}  // namespace

void AddControlCommands(CommandLine& line) {
  AddControl(line, "pause", "paused", "Let jobs rest: what falls due meanwhile is skipped", R"(Examples:
  escapement pause backup reports
A run that is under way goes on. Exit status 1 when one of them failed; the others are done.)",
             [](Scheduler& s, const std::string& name) { return s.Pause(name); });
  AddControl(line, "resume", "resumed", "Let paused jobs go on; the paused stretch is settled as skipped", R"(Examples:
  escapement resume backup reports)",
             [](Scheduler& s, const std::string& name) { return s.Resume(name); });
  AddControl(line, "trigger", "triggered", "Run jobs once more, now, beside their schedule and whatever their state",
             R"(Examples:
  escapement trigger backup && escapement runs backup --limit 1)",
             [](Scheduler& s, const std::string& name) { return s.Trigger(name); });
  AddControl(line, "cancel", "cancelling", "Cancel what runs of jobs now", R"(Examples:
  escapement cancel backup
The command gets SIGTERM, and SIGKILL after its grace; the verdict is "cancelled". The schedule goes on.)",
             [](Scheduler& s, const std::string& name) { return s.Cancel(name); });
  AddControl(line, "remove", "removed", "Remove jobs; a run that is under way is settled first", R"(Examples:
  escapement remove backup reports)",
             [](Scheduler& s, const std::string& name) { return s.Remove(name); });
}

}  // namespace escapement
