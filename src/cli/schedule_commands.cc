// next, why.
#include <cctz/time_zone.h>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/output.h"
#include "cli/why.h"

namespace escapement {
namespace {

// ---------------------------------------------------------------- next

struct NextOptions {
  CommonOptions common;
  std::string schedule;
  std::string zone = "UTC";
  std::optional<Instant> after;
  int count = 10;
};

int Next(const NextOptions& o) {
  cctz::time_zone zone;
  if (!cctz::load_time_zone(o.zone, &zone)) {
    return Complain({Code::kInvalidArgument,
                     fmt::format("there is no time zone '{}'; write for example Europe/Berlin or UTC", o.zone)});
  }
  auto schedule = Schedule::Parse(o.schedule);
  if (!schedule) return Complain(schedule.error());
  Instant at = o.after.value_or(SystemNow());
  const Schedule grid = schedule->AnchoredAt(at);
  JsonList json;
  for (int i = 0; i < o.count; ++i) {
    const auto next = grid.Next(at);
    if (!next) break;
    at = *next;
    const std::string text = cctz::format("%Y-%m-%dT%H:%M:%E*S%Ez", at, zone);
    if (o.common.json) {
      json.Add(text);
    } else {
      fmt::print("{}\n", text);
    }
  }
  if (o.common.json) json.Finish();
  return 0;
}

void AddNext(CommandLine& line) {
  auto o = std::make_shared<NextOptions>();
  CLI::App* next = AddCommand(line, "next", "Print the next instants of a schedule; needs no store", R"(Examples:
  escapement next 'every 90m'
  escapement next 'every 1d anchor=2026-01-01T03:00:00Z' --zone Europe/Berlin --count 3
  escapement next 'every 1w' --after 2026-12-24T00:00:00Z
A schedule without an anchor begins where --after says, as if the job were created then.)",
                              o, Next);
  next->add_option("schedule", o->schedule, "'every 1h30m', 'at 2026-11-24T10:00:00Z'")
      ->required()
      ->type_name("SCHEDULE");
  next->add_option("--zone", o->zone, "Print them in this time zone (UTC)")->type_name("ZONE");
  AddInstant(next, "--after", &o->after, "Only later ones (now)");
  next->add_option("--count", o->count, "How many (10)")->check(CLI::Range(1, 100'000))->type_name("N");
  AddJsonOption(next, &o->common);
}

// ---------------------------------------------------------------- why

struct WhyOptions {
  CommonOptions common;
  std::string name;
  std::optional<Instant> instant;
};

// The rows that begin at the instant, and the stretch that covers it: settled after all that lies before it, so among
// the newest of the rows that begin earlier.
Result<std::vector<RunInfo>> HistoryAround(Scheduler& scheduler, const std::string& name, Instant instant) {
  constexpr int kLook = 1000;
  auto rows = scheduler.Runs({.job_id = name, .fire_from = instant, .fire_to = instant + Duration(1), .limit = kLook});
  if (!rows) return rows;
  auto earlier = scheduler.Runs({.job_id = name, .fire_from = {}, .fire_to = instant, .limit = kLook});
  if (!earlier) return earlier;
  for (RunInfo& run : *earlier) {
    if (run.last_fire >= instant) rows->push_back(std::move(run));
  }
  return rows;
}

int Why(const WhyOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto job = (*scheduler)->Get(o.name);
  if (!job) return Complain(job.error());
  auto runs = HistoryAround(**scheduler, o.name, *o.instant);
  if (!runs) return Complain(runs.error());
  auto now = (*scheduler)->StoreTime();
  if (!now) return Complain(now.error());
  const WhyAnswer answer = Explain(*job, *std::move(runs), *o.instant, *now);
  if (o.common.json) {
    OutputJson json = {
        {"name", o.name}, {"time", FormatInstant(*o.instant)}, {"answer", WhyName(answer.kind)}, {"text", answer.text}};
    if (answer.before) json["before"] = FormatInstant(*answer.before);
    if (answer.after) json["after"] = FormatInstant(*answer.after);
    json["runs"] = OutputJson::array();
    for (const RunInfo& run : answer.runs) json["runs"].push_back(RunView(run, /*with_output=*/false));
    PrintJson(json);
    return 0;
  }
  fmt::print("{} {}: {}\n", OneLine(o.name), FormatInstant(*o.instant), OneLine(answer.text));
  for (const RunInfo& run : answer.runs) {
    if (!run.started_at) continue;
    fmt::print("  attempt {}{}: {}, started {}{}{}\n", run.attempt,
               run.pod.empty() ? "" : " on pod " + OneLine(run.pod), VerdictName(run.verdict),
               FormatInstant(*run.started_at),
               run.finished_at ? ", took " + HumanDuration(*run.finished_at - *run.started_at) : "",
               run.error.empty() ? "" : ": " + OneLine(run.error));
  }
  return 0;
}

void AddWhy(CommandLine& line) {
  auto o = std::make_shared<WhyOptions>();
  CLI::App* why = AddCommand(line, "why", "Say what became, or will become, of one occurrence", R"(Examples:
  escapement why backup 2026-11-24T03:00:00Z
  escapement why backup 2026-11-24T04:00:00+01:00 --json)",
                             o, Why);
  why->add_option("name", o->name, "The job's name")->required()->type_name("NAME");
  AddInstant(why, "time", &o->instant, "The occurrence's fire time")->required();
  AddStoreOptions(why, &o->common);
  AddJsonOption(why, &o->common);
}

}  // namespace

void AddScheduleCommands(CommandLine& line) {
  AddNext(line);
  AddWhy(line);
}

}  // namespace escapement
