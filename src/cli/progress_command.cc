// progress: how far runs under way have come.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/output.h"

namespace escapement {
namespace {

struct ProgressOptions {
  CommonOptions common;
  std::string name;
};

int Progress(const ProgressOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto progress = (*scheduler)->Progress(o.name);
  if (!progress) return Complain(progress.error());
  if (progress->empty() && !o.name.empty()) {
    if (auto job = (*scheduler)->Get(o.name); !job) return Complain(job.error());
  }
  auto now = (*scheduler)->StoreTime();
  if (!now) return Complain(now.error());
  Table table({"NAME", "FIRE TIME", "ATTEMPT", "PART", "NOTE", "POD", "TOLD"});
  JsonList json;
  for (const RunProgress& p : *progress) {
    if (o.common.json) {
      json.Add(ProgressView(p));
    } else {
      table.Add({p.job_id, FormatInstant(p.fire_time), std::to_string(p.attempt), PartText(p.part), p.note, p.pod,
                 Cell(FormatInstant(p.told_at), HumanDistance(p.told_at, *now))});
    }
  }
  if (o.common.json) {
    json.Finish();
  } else {
    table.Finish("no run under way told how far it has come");
  }
  return 0;
}

}  // namespace

void AddProgressCommand(CommandLine& line) {
  auto o = std::make_shared<ProgressOptions>();
  CLI::App* progress = AddCommand(line, "progress", "Show how far runs under way have come", R"(Examples:
  escapement progress
  escapement progress backup --json
Commands tell it by lines of their output: "##progress 0.4" or "##progress 40% copying". Shown is what their pods sent
with their last heartbeat; runs that told nothing are not shown.
In a pipe, separated by tabs: name, fire time, attempt, part, note, pod, when it was told.)",
                                  o, Progress);
  progress->add_option("name", o->name, "Only of this job")->type_name("NAME");
  AddStoreOptions(progress, &o->common);
  AddJsonOption(progress, &o->common);
}

}  // namespace escapement
