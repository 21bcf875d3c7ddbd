// pause, resume, trigger, cancel, remove: one call for each name. paused.
#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace escapement {
namespace {

using Call = Status (*)(Scheduler&, const std::string&);
using QueueCall = Status (*)(Scheduler&, const std::optional<std::string>&);

struct ControlOptions {
  CommonOptions common;
  std::vector<std::string> names, queues;
  bool all = false;
  Call call = nullptr;
  QueueCall queue_call = nullptr;  // of pause and resume
  const char* done = "";
};

int Control(const ControlOptions& o) {
  if (o.names.empty() && o.queues.empty() && !o.all) {
    return Complain({Code::kInvalidArgument, "name jobs, or say --queue NAME, or --all"});
  }
  if (o.all && !(o.names.empty() && o.queues.empty())) {
    return Complain({Code::kInvalidArgument, "--all is everything: name nothing beside it"});
  }
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  int exit_status = 0;
  JsonList json;
  const auto tell = [&](const char* member, const std::string& name, const std::string& text, const Status& status) {
    if (!status) exit_status = std::max(exit_status, Complain(status.error()));
    if (o.common.json) {
      OutputJson line = {{member, name}, {"outcome", status ? o.done : "failed"}};
      if (!status) line["error"] = status.error().message;
      json.Add(line);
    } else if (status) {
      fmt::print("{} {}\n", OneLine(text), o.done);
    }
  };
  for (const std::string& name : o.names) tell("name", name, name, o.call(**scheduler, name));
  for (const std::string& queue : o.queues) {
    tell("queue", queue, "queue " + queue, o.queue_call(**scheduler, queue));
  }
  if (o.all) tell("queue", "*", "everything", o.queue_call(**scheduler, std::nullopt));
  if (o.common.json) json.Finish();
  return exit_status;
}

void AddControl(CommandLine& line, const char* name, const char* done, const char* description, const char* examples,
                Call call, QueueCall queue_call = nullptr) {
  auto o = std::make_shared<ControlOptions>();
  o->call = call;
  o->queue_call = queue_call;
  o->done = done;
  CLI::App* command = AddCommand(line, name, description, examples, o, Control);
  CLI::Option* names = command->add_option("names", o->names, "Names of jobs")->type_name("NAME...");
  if (queue_call == nullptr) {
    names->required();
  } else {
    command->add_option("--queue", o->queues, "A queue with all that it has; may be repeated")
        ->type_name("QUEUE")
        ->allow_extra_args(false);
    command->add_flag("--all", o->all, "Everything");
  }
  AddStoreOptions(command, &o->common);
  AddJsonOption(command, &o->common);
}

// ---------------------------------------------------------------- paused

int Paused(const CommonOptions& o) {
  auto scheduler = OpenStore(o);
  if (!scheduler) return Complain(scheduler.error());
  auto paused = (*scheduler)->Paused();
  if (!paused) return Complain(paused.error());
  if (o.json) {
    PrintJson({{"all", paused->all}, {"queues", paused->queues}});
    return 0;
  }
  Table table({"PAUSED", "QUEUE"});
  if (paused->all) table.Add({"everything", ""});
  for (const std::string& queue : paused->queues) table.Add({"queue", queue});
  table.Finish("no queue rests");
  return 0;
}

}  // namespace

void AddControlCommands(CommandLine& line) {
  AddControl(
      line, "pause", "paused", "Let jobs rest: what falls due meanwhile is skipped; or queues, or everything",
      R"(Examples:
  escapement pause backup reports
  escapement pause --queue mail
  escapement pause --all
A run that is under way goes on. Of a queue that rests, or of everything, what falls due is not skipped: it is late when
the queue is resumed. Exit status 1 when one of them failed; the others are done.)",
      [](Scheduler& s, const std::string& name) { return s.Pause(name); },
      [](Scheduler& s, const std::optional<std::string>& queue) { return s.PauseQueue(queue); });
  AddControl(
      line, "resume", "resumed", "Let paused jobs go on, with the paused stretch settled as skipped; or queues, or all",
      R"(Examples:
  escapement resume backup reports
  escapement resume --queue mail
  escapement resume --all
What passed while a queue, or everything, rested is late by the late policies of its jobs. --all ends what "pause --all"
began: jobs and queues that rest by themselves go on resting.)",
      [](Scheduler& s, const std::string& name) { return s.Resume(name); },
      [](Scheduler& s, const std::optional<std::string>& queue) { return s.ResumeQueue(queue); });
  auto paused = std::make_shared<CommonOptions>();
  CLI::App* command = AddCommand(line, "paused", "List the queues that rest", R"(Examples:
  escapement paused
  escapement list --state paused
In a pipe, separated by tabs: "everything", or "queue" and its name. Jobs that rest by themselves are in "list".)",
                                 paused, Paused);
  AddStoreOptions(command, paused.get());
  AddJsonOption(command, paused.get());
  AddControl(line, "trigger", "triggered", "Run jobs once more, now, beside their schedule and whatever their state",
             R"(Examples:
  escapement trigger backup && escapement runs backup --limit 1)",
             [](Scheduler& s, const std::string& name) { return s.Trigger(name); });
  AddControl(line, "cancel", "cancelling", "Cancel what is under way of jobs", R"(Examples:
  escapement cancel backup
The command gets SIGTERM, and SIGKILL after its grace; the verdict is "cancelled". What is due on a pod and only waits
there, for a place or for its limits, is cancelled without being started. The schedule goes on.)",
             [](Scheduler& s, const std::string& name) { return s.Cancel(name); });
  AddControl(line, "remove", "removed", "Remove jobs; a run that is under way is settled first", R"(Examples:
  escapement remove backup reports)",
             [](Scheduler& s, const std::string& name) { return s.Remove(name); });
}

}  // namespace escapement
