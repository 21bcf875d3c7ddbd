// audit.
#include <unistd.h>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/output.h"

namespace escapement {
namespace {

struct LedgerOptions {
  CommonOptions common;
  AuditOptions audit;
  std::optional<int> history_days;
};

std::string Counted(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string WhatIsWrong(const Breach& breach) {
  const std::string points = Counted(breach.points, "point");
  switch (breach.kind) {
    case BreachKind::kMissing:
      return breach.points == 1 ? "missing: it has no verdict" : fmt::format("missing: {} have no verdict", points);
    case BreachKind::kDoubled:
      if (breach.points == 1) return fmt::format("doubled: settled {} times", breach.settled);
      return fmt::format("doubled: {} settled {} times each", points, breach.settled / breach.points);
    case BreachKind::kOffGrid: return "off the grid: the job's schedule has no such point";
    case BreachKind::kMiscounted:
      return fmt::format("miscounted: it settles {} where the schedule has {}", breach.settled, points);
    case BreachKind::kAhead: return "ahead: settled beyond the job's cursor, so it will be settled again";
    case BreachKind::kTotal:
      return fmt::format("total: the job counts {} as settled, its schedule has {}", breach.settled, points);
  }
  return "";
}

std::string SettledBy(const Breach& breach) {
  std::string text;
  for (const RunInfo& run : breach.runs) {
    text += fmt::format("{}attempt {} {}{} at {}", text.empty() ? "" : ", ", run.attempt, VerdictKey(run.verdict),
                        run.pod.empty() ? "" : " on " + run.pod, FormatInstant(run.settled_at));
  }
  return text;
}

OutputJson BreachView(const Breach& breach) {
  OutputJson json = {{"name", breach.job_id},
                     {"breach", BreachName(breach.kind)},
                     {"fire_time", FormatInstant(breach.first)},
                     {"last_fire_time", FormatInstant(breach.last)},
                     {"points", breach.points},
                     {"settled", breach.settled},
                     {"runs", OutputJson::array()}};
  for (const RunInfo& run : breach.runs) json["runs"].push_back(RunView(run, /*with_output=*/false));
  return json;
}

void PrintAsJson(const LedgerAudit& audit) {
  OutputJson json = {{"holds", audit.Holds()},           {"from", FormatInstant(audit.from)},
                     {"to", FormatInstant(audit.to)},    {"retained_from", FormatInstant(audit.retained_from)},
                     {"jobs", audit.counts.jobs},        {"expected", audit.counts.expected},
                     {"settled", OutputJson::object()},  {"missing", audit.counts.missing},
                     {"doubled", audit.counts.doubled},  {"off_grid", audit.off_grid},
                     {"miscounted", audit.miscounted},   {"ahead", audit.ahead},
                     {"totals", audit.totals},           {"unsettled", audit.unsettled},
                     {"passed_over", audit.passed_over}, {"unreadable", audit.unreadable},
                     {"breaches", audit.breaches},       {"named", OutputJson::array()}};
  for (const auto& [verdict, count] : audit.counts.settled) json["settled"][VerdictKey(verdict)] = count;
  for (const Breach& breach : audit.named) json["named"].push_back(BreachView(breach));
  PrintJson(json);
}

void PrintAsText(const LedgerAudit& audit) {
  Table table({"NAME", "FIRE TIME", "TO", "WHAT IS WRONG", "SETTLED BY"});
  for (const Breach& breach : audit.named) {
    table.Add({breach.job_id, FormatInstant(breach.first),
               breach.last == breach.first ? "" : FormatInstant(breach.last), WhatIsWrong(breach), SettledBy(breach)});
  }
  if (!audit.named.empty()) table.Finish();
  const auto unnamed = audit.breaches - static_cast<std::int64_t>(audit.named.size());
  if (unnamed > 0) fmt::print("and {} more (--limit)\n", unnamed);
  std::string settled;
  for (const auto& [verdict, count] : audit.counts.settled)
    settled += fmt::format(", {} {}", count, VerdictName(verdict));
  fmt::print("{} to {}: {}, {} expected{}; {} missing, {} doubled", FormatInstant(audit.from), FormatInstant(audit.to),
             Counted(audit.counts.jobs, "job"), Counted(audit.counts.expected, "point"), settled, audit.counts.missing,
             audit.counts.doubled);
  const auto more = [](std::int64_t count, const char* what) {
    if (count > 0) fmt::print(", {} {}", count, what);
  };
  more(audit.off_grid, "off the grid");
  more(audit.miscounted, "miscounted");
  more(audit.ahead, "ahead");
  more(audit.totals, "wrong totals");
  more(audit.unsettled, "due and not settled yet");
  more(audit.passed_over, "jobs passed over: they were removed, or history of them dropped, meanwhile");
  fmt::print(": the law {}\n", audit.Holds() ? "holds" : "is broken");
}

// What the command could not do is no statement about the law.
int ComplainOf(const Error& error) {
  (void)Complain(error);
  return kBadInput;
}

int RunAudit(const LedgerOptions& o) {
  auto config = ReadConfig(o.common.config);
  if (!config) return ComplainOf(config.error());
  if (o.history_days) config->history_days = *o.history_days;
  auto scheduler = OpenStore(*config, Schema::kNeeded);
  if (!scheduler) return ComplainOf(scheduler.error());
  AuditOptions options = o.audit;
  const bool shows_progress = isatty(STDERR_FILENO) == 1;
  if (shows_progress) {
    options.progress = [](const LedgerAudit& so_far) {
      fmt::print(stderr, "\r{} jobs, {} points", so_far.counts.jobs, so_far.counts.expected);
      std::fflush(stderr);
    };
  }
  auto audit = (*scheduler)->AuditLedger(options);
  if (shows_progress) fmt::print(stderr, "\r\x1b[K");
  if (!audit) return ComplainOf(audit.error());
  if (options.from && *options.from < audit->retained_from) {
    std::fflush(stdout);
    fmt::print(stderr,
               "escapement: points before {} are not judged: of {} days of history, what is older may be dropped\n",
               FormatInstant(audit->retained_from), config->history_days);
  }
  WarnUnreadable(audit->unreadable);
  o.common.json ? PrintAsJson(*audit) : PrintAsText(*audit);
  return audit->Holds() ? 0 : kFailure;
}

}  // namespace

void AddAuditCommand(CommandLine& line) {
  auto o = std::make_shared<LedgerOptions>();
  CLI::App* audit = AddCommand(line, "audit", "Check that each occurrence was settled exactly once", R"(Examples:
  escapement audit
  escapement audit billing/ --from=-1h
  escapement audit --job hello --from 2026-11-24T00:00:00Z --to 2026-11-25T00:00:00Z --json
Of each job, points up to its cursor are judged: what is due but not settled yet is not missing.
In a pipe, separated by tabs: name, fire time, last fire time, what is wrong, settled by; then a line that sums up.
Exit status: 0 the law holds, 1 it is broken, 2 it could not be checked.)",
                               o, RunAudit);
  CLI::Option* prefix =
      audit->add_option("prefix", o->audit.id_prefix, "Only jobs whose names begin so")->type_name("PREFIX");
  audit->add_option("--job", o->audit.job_id, "Only this job")->type_name("NAME")->excludes(prefix);
  AddInstant(audit, "--from", &o->audit.from, "Fire times from this on (what is retained)");
  AddInstant(audit, "--to", &o->audit.to, "Fire times before this (now)");
  audit->add_option("--limit", o->audit.limit, "Name at most so many breaches (1000)")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N");
  audit->add_option("--history-days", o->history_days, "Days of history that the pods keep (7)")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  AddStoreOptions(audit, &o->common);
  AddJsonOption(audit, &o->common);
}

}  // namespace escapement
