// next, describe, moves, why.
#include <algorithm>
#include <filesystem>

#include <cctz/time_zone.h>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/output.h"
#include "cli/why.h"

namespace escapement {
namespace {

// ---------------------------------------------------------------- next, describe

struct NextOptions {
  CommonOptions common;
  std::string schedule;
  std::optional<std::string> zone, job;
  std::optional<Instant> after;
  int count = 10;
};

Result<Schedule> ReadSchedule(const std::string& text, const std::optional<std::string>& job) {
  auto schedule = Schedule::Parse(text);
  return schedule && job ? schedule->ForJob(*job) : schedule;
}

int Next(const NextOptions& o) {
  auto schedule = ReadSchedule(o.schedule, o.job);
  if (!schedule) return Complain(schedule.error());
  const std::string own = schedule->ZoneName();
  const std::string name = o.zone.value_or(own.empty() ? "UTC" : own);
  cctz::time_zone zone;
  if (!cctz::load_time_zone(name, &zone)) {
    return Complain({Code::kInvalidArgument,
                     fmt::format("there is no time zone '{}'; write for example Europe/Berlin or UTC", name)});
  }
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
  escapement next '30 2 * * *' --after 2026-12-24T00:00:00Z
  escapement next 'cron H H(0-5) * * * zone=Europe/Berlin fold=both' --job backup --count 3
A schedule without an anchor begins where --after says, as if the job were created then.)",
                              o, Next);
  next->add_option("schedule", o->schedule, kScheduleHelp)->required()->type_name("SCHEDULE");
  next->add_option("--zone", o->zone, "Print them in this time zone (the schedule's, else UTC)")->type_name("ZONE");
  next->add_option("--job", o->job, "The job whose name H is made of")->type_name("NAME");
  AddInstant(next, "--after", &o->after, "Only later ones (now)");
  next->add_option("--count", o->count, "How many (10)")->check(CLI::Range(1, 100'000))->type_name("N");
  AddJsonOption(next, &o->common);
}

struct DescribeOptions {
  CommonOptions common;
  std::string schedule;
  std::optional<std::string> job;
};

int Describe(const DescribeOptions& o) {
  auto schedule = ReadSchedule(o.schedule, o.job);
  if (!schedule) return Complain(schedule.error());
  if (o.common.json) {
    PrintJson({{"schedule", schedule->ToString()}, {"in_words", schedule->Describe()}});
  } else {
    fmt::print("{}\n", schedule->Describe());
  }
  return 0;
}

void AddDescribe(CommandLine& line) {
  auto o = std::make_shared<DescribeOptions>();
  CLI::App* describe = AddCommand(line, "describe", "Say in words when a schedule fires; needs no store", R"(Examples:
  escapement describe '*/10 9-17 * * mon-fri'
  escapement describe 'calendar day=1st fri hour=3 zone=Asia/Tokyo' --json)",
                                  o, Describe);
  describe->add_option("schedule", o->schedule, kScheduleHelp)->required()->type_name("SCHEDULE");
  describe->add_option("--job", o->job, "The job whose name H is made of")->type_name("NAME");
  AddJsonOption(describe, &o->common);
}

// ---------------------------------------------------------------- moves

struct MovesOptions {
  CommonOptions common;
  std::string prefix;
  std::optional<std::string> tzdata;
  int days = 366;
};

constexpr int kJobsPage = 1000;
constexpr int kMostPoints = 1'000'000;   // of a job, that are compared
constexpr std::size_t kMovesOfAJob = 5;  // that are printed

struct Moves {
  std::vector<std::pair<std::optional<Instant>, std::optional<Instant>>> runs;  // from, to
  bool cut = false;  // there are more points than are compared
};

// The points of two schedules in [from, to) that are not the same: the n-th that one has alone becomes the n-th of the
// other.
Moves Compare(const Schedule& now, const Schedule& then, Instant from, Instant to) {
  std::vector<Instant> gone;
  std::vector<Instant> come;
  Moves moves;
  auto a = now.Next(from - Duration(1));
  auto b = then.Next(from - Duration(1));
  for (int points = 0; (a && *a < to) || (b && *b < to); ++points) {
    if (points == kMostPoints) {
      moves.cut = true;
      break;
    }
    const bool of_now = a && (!b || *a <= *b);
    const bool of_then = b && (!a || *b <= *a);
    if (!of_then) gone.push_back(*a);
    if (!of_now) come.push_back(*b);
    if (of_now) a = now.Next(*a);
    if (of_then) b = then.Next(*b);
  }
  for (std::size_t i = 0; i < std::max(gone.size(), come.size()); ++i) {
    moves.runs.emplace_back(i < gone.size() ? std::optional(gone[i]) : std::nullopt,
                            i < come.size() ? std::optional(come[i]) : std::nullopt);
  }
  return moves;
}

// The run that a job has planned, if it is not one of its schedule.
Moves Planned(const JobInfo& job) {
  Moves moves;
  const Schedule grid = job.definition.schedule.AnchoredAt(job.created_at);
  if (job.fire_time && grid.Count(*job.fire_time, *job.fire_time + Duration(1)) == 0) {
    moves.runs.emplace_back(job.fire_time, grid.Next(job.cursor));
  }
  return moves;
}

// None for a job that has no runs to come, or no local times.
Result<Moves> MovesOf(const JobInfo& job, const MovesOptions& o, Instant now) {
  const Schedule schedule = job.definition.schedule.AnchoredAt(job.created_at);
  if (!job.fire_time || schedule.ZoneName().empty()) return Moves();
  if (!o.tzdata) return Planned(job);
  auto other = schedule.WithTzdata(std::filesystem::absolute(*o.tzdata).string());
  if (!other) return FailIn(job.definition.id, other.error());
  return Compare(schedule, *other, now, now + std::chrono::days(o.days));
}

void PrintMoves(const JobInfo& job, const Moves& moves) {
  const auto text = [](const std::optional<Instant>& instant) { return instant ? FormatInstant(*instant) : "none"; };
  const std::string name = OneLine(job.definition.id);
  for (std::size_t i = 0; i < moves.runs.size() && i < kMovesOfAJob; ++i) {
    fmt::print("{}\t{}\t{}\n", name, text(moves.runs[i].first), text(moves.runs[i].second));
  }
  if (moves.runs.size() > kMovesOfAJob) fmt::print("{}\tand {} more\n", name, moves.runs.size() - kMovesOfAJob);
}

OutputJson MovesView(const JobInfo& job, const Moves& moves) {
  const auto value = [](const std::optional<Instant>& instant) {
    return instant ? OutputJson(FormatInstant(*instant)) : OutputJson(nullptr);
  };
  OutputJson view = {
      {"name", job.definition.id}, {"zone", job.definition.schedule.ZoneName()}, {"moved", moves.runs.size()}};
  view["runs"] = OutputJson::array();
  for (std::size_t i = 0; i < moves.runs.size() && i < kMovesOfAJob; ++i) {
    view["runs"].push_back({{"from", value(moves.runs[i].first)}, {"to", value(moves.runs[i].second)}});
  }
  return view;
}

int Moved(const MovesOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto now = (*scheduler)->StoreTime();
  if (!now) return Complain(now.error());
  JobFilter filter{.id_prefix = o.prefix, .after_id = {}, .state = {}, .limit = kJobsPage};
  JsonList json;
  std::vector<std::string> unreadable;
  int moved = 0;
  for (bool more = true; more;) {
    auto jobs = (*scheduler)->List(filter);
    if (!jobs) return Complain(jobs.error());
    for (const JobInfo& job : *jobs) {
      if (!job.unreadable.empty()) {
        unreadable.push_back(job.definition.id);
        continue;
      }
      const auto moves = MovesOf(job, o, *now);
      if (!moves) return Complain(moves.error());
      if (moves->cut) {
        fmt::print(stderr, "warning: {}: only its next {} runs were compared\n", OneLine(job.definition.id),
                   kMostPoints);
      }
      if (moves->runs.empty()) continue;
      ++moved;
      if (o.common.json) {
        json.Add(MovesView(job, *moves));
      } else {
        PrintMoves(job, *moves);
      }
    }
    more = static_cast<int>(jobs->size()) == kJobsPage;
    if (more) filter.after_id = jobs->back().definition.id;
  }
  if (o.common.json) {
    json.Finish();
  } else {
    fmt::print(stderr, "{} {}\n", moved, moved == 1 ? "job moves" : "jobs move");
  }
  WarnUnreadable(unreadable);
  return 0;
}

void AddMoves(CommandLine& line) {
  auto o = std::make_shared<MovesOptions>();
  CLI::App* moves = AddCommand(line, "moves", "Which runs move when the machine's tzdata changes", R"(Examples:
  escapement moves                                       after an update: planned runs that the new rules have elsewhere
  escapement moves billing/ --tzdata ./new/zoneinfo      before one: which runs of the coming year will be elsewhere
For each such run: the job's name, the instant by this machine's tzdata (or as it is planned), and the other one.
A copy of tzdata is a directory as /usr/share/zoneinfo is one; only jobs by local time are looked at.)",
                               o, Moved);
  moves->add_option("prefix", o->prefix, "Only jobs whose names begin so")->type_name("PREFIX");
  moves->add_option("--tzdata", o->tzdata, "Compare with this copy of tzdata")->type_name("DIR");
  moves->add_option("--days", o->days, "With --tzdata: how far to look (366)")
      ->check(CLI::Range(1, 36'600))
      ->type_name("N");
  AddStoreOptions(moves, &o->common);
  AddJsonOption(moves, &o->common);
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

// Of runs of this occurrence that are under way. With the last heartbeat some may be told of that have ended since.
Result<std::vector<RunProgress>> ProgressNow(Scheduler& scheduler, const std::string& name, Instant instant,
                                             const std::vector<RunInfo>& ended) {
  auto progress = scheduler.Progress(name);
  if (!progress) return progress;
  std::erase_if(*progress, [&](const RunProgress& p) {
    return p.fire_time != instant || std::any_of(ended.begin(), ended.end(), [&](const RunInfo& run) {
             return run.started_at && run.fire_time == instant && run.attempt == p.attempt;
           });
  });
  return progress;
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
  auto progress = ProgressNow(**scheduler, o.name, *o.instant, *runs);
  if (!progress) return Complain(progress.error());
  WhyAnswer answer = Explain(*job, *std::move(runs), *o.instant, *now);
  if (answer.kind == WhyAnswer::Kind::kOverdue) {
    auto paused = (*scheduler)->Paused();
    if (!paused) return Complain(paused.error());
    if (paused->Hold(job->definition.queue)) {
      answer.kind = WhyAnswer::Kind::kPaused;
      answer.text =
          fmt::format("{} is paused: this occurrence is late, and the job's late policy says what becomes of it",
                      paused->all ? "everything" : "queue '" + job->definition.queue + "'");
    }
  }
  if (o.common.json) {
    OutputJson json = {
        {"name", o.name}, {"time", FormatInstant(*o.instant)}, {"answer", WhyName(answer.kind)}, {"text", answer.text}};
    if (answer.before) json["before"] = FormatInstant(*answer.before);
    if (answer.after) json["after"] = FormatInstant(*answer.after);
    json["runs"] = OutputJson::array();
    for (const RunInfo& run : answer.runs) json["runs"].push_back(RunView(run, /*with_output=*/false));
    json["progress"] = OutputJson::array();
    for (const RunProgress& p : *progress) json["progress"].push_back(ProgressView(p));
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
  for (const RunProgress& p : *progress) {
    fmt::print("  attempt {} on pod {}: {}{}, told {}\n", p.attempt, OneLine(p.pod), PartText(p.part),
               p.note.empty() ? "" : " " + OneLine(p.note), HumanDistance(p.told_at, *now));
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
  AddDescribe(line);
  AddMoves(line);
  AddWhy(line);
}

}  // namespace escapement
