// add, list, show, runs.
#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "escapement/process.h"

namespace escapement {
namespace {

constexpr int kPage = 1000;  // jobs asked for at once

// ---------------------------------------------------------------- add

struct AddOptions {
  CommonOptions common;
  std::string name;
  std::string schedule;
  const std::vector<std::string>* command = nullptr;
  std::vector<std::string> env, metadata, on_success, on_failure, on_end, mutexes, limits, rates;
  std::string directory;
  std::optional<Duration> timeout, deadline, kill_grace, retry_delay, retry_max_delay, late_threshold, jitter, flex,
      unique_for;
  std::optional<std::vector<Duration>> retry_delays;
  std::optional<std::string> queue, label, overlap, late, delivery, retry_on, unique;
  std::optional<int> priority, max_attempts, late_limit, lost_limit, pause_after;
  std::optional<double> retry_factor, retry_jitter;
};

template <typename To, typename From>
void Take(const std::optional<From>& from, To* to) {
  if (from) *to = *from;
}

// NAME=VALUE, each; a name that comes again has its last value.
Result<std::map<std::string, std::string>> ReadPairs(const std::vector<std::string>& words, const char* option) {
  std::map<std::string, std::string> pairs;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(Code::kInvalidArgument, fmt::format("{} must be NAME=VALUE", option));
    }
    pairs[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return pairs;
}

// KEY=VALUE, where KEY may hold '=' too.
std::optional<std::pair<std::string, std::string>> SplitAtLastEquals(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos) return std::nullopt;
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Status ReadLimits(const AddOptions& o, JobDefinition* job) {
  const auto bad = [](std::string why) { return Fail(Code::kInvalidArgument, std::move(why)); };
  for (const std::string& key : o.mutexes) job->limits.push_back({.key = key, .slots = 1});
  for (const std::string& text : o.limits) {
    const auto pair = SplitAtLastEquals(text);
    int slots = 0;
    const std::string digits = pair ? pair->second : "";
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), slots);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return bad("--limit must be KEY=N, a key and a number of slots, such as db=3");
    }
    job->limits.push_back({.key = pair->first, .slots = slots});
  }
  for (const std::string& text : o.rates) {
    const auto pair = SplitAtLastEquals(text);
    auto rate = ReadRate(pair ? pair->first : "", pair ? pair->second : "");
    if (!rate) return bad("--rate must be KEY=N/TIME, a key, a number of starts and a time, such as api=10/1m");
    job->rates.push_back(*std::move(rate));
  }
  return {};
}

Result<JobDefinition> ReadAdd(const AddOptions& o) {
  const auto bad = [](std::string why) { return Fail(Code::kInvalidArgument, std::move(why)); };
  if (o.command->empty()) return bad("add: what to run stands after --, as in: add hello 'every 2s' -- date");
  auto schedule = Schedule::Parse(o.schedule);
  if (!schedule) return tl::unexpected(schedule.error());
  ProcessSpec spec{.argv = *o.command, .env = {}, .directory = o.directory};
  auto env = ReadPairs(o.env, "--env");
  if (!env) return tl::unexpected(env.error());
  spec.env = *std::move(env);
  auto metadata = ReadPairs(o.metadata, "--metadata");
  if (!metadata) return tl::unexpected(metadata.error());
  Take(o.kill_grace, &spec.kill_grace);
  if (auto status = Validate(spec); !status) return tl::unexpected(status.error());
  JobDefinition job = ProcessJob(o.name, *schedule, spec);
  job.metadata = *std::move(metadata);
  job.on_success = o.on_success;
  job.on_failure = o.on_failure;
  job.on_end = o.on_end;
  Take(o.label, &job.label);
  Take(o.jitter, &job.jitter);
  Take(o.flex, &job.flex);
  Take(o.unique, &job.unique);
  Take(o.unique_for, &job.unique_for);
  if (o.overlap) job.overlap = *OverlapByName(*o.overlap);
  Take(o.timeout, &job.timeout);
  Take(o.queue, &job.queue);
  Take(o.priority, &job.priority);
  Take(o.deadline, &job.deadline);
  Take(o.retry_delays, &job.retry.delays);
  job.retry.max_attempts = o.max_attempts.value_or(AttemptsFor(job.retry));
  Take(o.retry_jitter, &job.retry.jitter);
  if (o.retry_on) job.retry.on = *RetryOnByName(*o.retry_on);
  Take(o.retry_delay, &job.retry.delay);
  Take(o.retry_factor, &job.retry.factor);
  Take(o.retry_max_delay, &job.retry.max_delay);
  if (o.late) job.late = *LateByName(*o.late);
  Take(o.late_limit, &job.late_limit);
  Take(o.late_threshold, &job.late_threshold);
  if (o.delivery) job.delivery = *DeliveryByName(*o.delivery);
  Take(o.lost_limit, &job.lost_limit);
  Take(o.pause_after, &job.pause_after);
  if (auto status = ReadLimits(o, &job); !status) return tl::unexpected(status.error());
  if (auto status = Validate(job); !status) return tl::unexpected(status.error());
  return job;
}

int Add(const AddOptions& o) {
  auto job = ReadAdd(o);
  if (!job) return Complain(job.error());
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto outcomes = (*scheduler)->Enqueue({*job});
  if (!outcomes) return Complain(outcomes.error());
  const EnqueueOutcome outcome = outcomes->front();
  WarnIfOver(*job, SystemNow());
  if (o.common.json) {
    PrintJson({{"name", job->id}, {"outcome", OutcomeName(outcome)}});
  } else {
    fmt::print("{} {}{}\n", OneLine(job->id), OutcomeName(outcome),
               outcome == EnqueueOutcome::kHeld ? WhyHeld(*job) : "");
  }
  return 0;
}

void AddAdd(CommandLine& line) {
  auto o = std::make_shared<AddOptions>();
  CLI::App* add = AddCommand(line, "add", "Create a job that runs a command, or change it",
                             R"(COMMAND and its arguments stand after --. Examples:
  escapement add hello 'every 2s' -- date
  escapement add backup 'every 1d anchor=2026-01-01T03:00:00Z' --timeout 2h --max-attempts 3 -- /usr/local/bin/backup
  escapement add report 'cron 0 7 * * mon-fri zone=Europe/Berlin' -- /usr/local/bin/report
  escapement add once 'at 2026-12-24T18:00:00+01:00' --env GREETING=hello -- sh -c 'echo "$GREETING"'
The words after -- reach the program as they are: no shell is involved. Says created, updated or unchanged; or held: another job has
the unique key, and nothing was created or changed. The exit status is 0 then too.)",
                             o, Add);
  o->command = &line.tail;
  add->add_option("name", o->name, "The job's name")->required()->type_name("NAME");
  add->add_option("schedule", o->schedule, kScheduleHelp)->required()->type_name("SCHEDULE");
  add->add_option("--env", o->env, "A variable for the command; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  add->add_option("--directory", o->directory, "Where the command runs (the pod's own)")->type_name("PATH");
  AddDuration(add, "--timeout", &o->timeout, "For one attempt (none)");
  AddDuration(add, "--deadline", &o->deadline, "For all attempts of an occurrence, from its fire time (none)");
  AddDuration(add, "--kill-grace", &o->kill_grace, "Between SIGTERM and SIGKILL, at most 4s (3s)");
  add->add_option("--queue", o->queue, "Only pods with this queue run it (default)")->type_name("QUEUE");
  add->add_option("--label", o->label, "Only pods with this label run it (any pod)")->type_name("LABEL");
  add->add_option("--metadata", o->metadata, "What people and filters may ask for; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  AddDuration(add, "--jitter", &o->jitter, "Each occurrence starts later by its own part of this (0s)");
  AddDuration(add, "--flex", &o->flex, "All occurrences start later by one part of this: jobs spread evenly (0s)");
  add->add_option("--overlap", o->overlap,
                  "A run that goes on when the next is due: wait for its end, replace it, or allow both (wait)")
      ->check([](const std::string& s) { return OverlapByName(s) ? "" : "must be wait, replace or allow"; })
      ->type_name("POLICY");
  add->add_option("--unique", o->unique, "While another job has this key and is not finished, none is created (none)")
      ->type_name("KEY");
  AddDuration(add, "--unique-for", &o->unique_for, "Nor so long after the job was created, whatever became of it (0s)");
  const auto followers = [&](const char* name, std::vector<std::string>* names, const char* help) {
    add->add_option(name, *names, help)->type_name("JOB")->allow_extra_args(false);
  };
  followers("--on-success", &o->on_success, "A job to trigger when an occurrence has succeeded; may be repeated");
  followers("--on-failure", &o->on_failure, "A job to trigger when one has failed for good; may be repeated");
  followers("--on-end", &o->on_end, "A job to trigger after either, or a cancellation; may be repeated");
  add->add_option("--priority", o->priority, "0 to 10; of jobs that are due, the higher starts first (0)")
      ->type_name("N");
  add->add_option("--max-attempts", o->max_attempts, "1: no retry (1; with --retry-delays one more than those)")
      ->type_name("N");
  AddDuration(add, "--retry-delay", &o->retry_delay, "Before the second attempt (1s)");
  add->add_option("--retry-factor", o->retry_factor, "Each further delay is longer by this (2)")->type_name("X");
  AddDuration(add, "--retry-max-delay", &o->retry_max_delay, "The longest delay (1h)");
  AddDurations(add, "--retry-delays", &o->retry_delays,
               "Instead of these: each delay, the last one for all that follow");
  add->add_option("--retry-jitter", o->retry_jitter, "Each delay is shorter or longer by up to this part of it (0)")
      ->type_name("X");
  add->add_option("--retry-on", o->retry_on, "Which attempts are tried again: any, failed, timed_out (any)")
      ->check([](const std::string& s) { return RetryOnByName(s) ? "" : "must be any, failed or timed_out"; })
      ->type_name("OUTCOME");
  add->add_option(
         "--late", o->late,
         "Points that passed before they could start: skip, run_once, run_all (run_once; skip for cron and calendar)")
      ->check([](const std::string& s) { return LateByName(s) ? "" : "must be skip, run_once or run_all"; })
      ->type_name("POLICY");
  add->add_option("--late-limit", o->late_limit, "run_all: how many of the newest points run (1000000)")
      ->type_name("N");
  AddDuration(add, "--late-threshold", &o->late_threshold, "How late is late (the interval, at most 60s)");
  add->add_option("--delivery", o->delivery, "at_least_once or at_most_once (at_least_once)")
      ->check([](const std::string& s) { return DeliveryByName(s) ? "" : "must be at_least_once or at_most_once"; })
      ->type_name("DELIVERY");
  add->add_option("--lost-limit", o->lost_limit, "After this many dead pods an occurrence counts as lost (5)")
      ->type_name("N");
  add->add_option("--pause-after", o->pause_after,
                  "So many occurrences in a row that failed pause the job (0: none do)")
      ->type_name("N");
  add->add_option("--mutex", o->mutexes, "Of all jobs with this key, one runs at a time; may be repeated")
      ->type_name("KEY")
      ->allow_extra_args(false);
  add->add_option("--limit", o->limits, "Of all jobs with this key, N run at a time; may be repeated")
      ->type_name("KEY=N")
      ->allow_extra_args(false);
  add->add_option("--rate", o->rates, "Of all jobs with this key, N start in any such time; may be repeated")
      ->type_name("KEY=N/TIME")
      ->allow_extra_args(false);
  AddStoreOptions(add, &o->common);
  AddJsonOption(add, &o->common);
}

// ---------------------------------------------------------------- list

struct ListOptions {
  CommonOptions common;
  std::string prefix;
  std::optional<std::string> state;
  std::vector<std::string> where;
};

std::optional<JobState> StateByName(std::string_view name) {
  for (const JobState state : {JobState::kActive, JobState::kPaused, JobState::kFinished}) {
    if (JobStateName(state) == name) return state;
  }
  return std::nullopt;
}

// "metadata.tenant=acme", each.
Result<std::map<std::string, std::string>> ReadWhere(const std::vector<std::string>& where) {
  constexpr std::string_view kBefore = "metadata.";
  std::map<std::string, std::string> metadata;
  for (const std::string& word : where) {
    const std::size_t equals = word.find('=');
    if (!word.starts_with(kBefore) || equals == std::string::npos || equals == kBefore.size()) {
      return Fail(Code::kInvalidArgument, "--where must be metadata.NAME=VALUE");
    }
    const std::string name = word.substr(kBefore.size(), equals - kBefore.size());
    if (!metadata.emplace(name, word.substr(equals + 1)).second) {
      return Fail(Code::kInvalidArgument, fmt::format("--where: metadata.{} is given twice", OneLine(name)));
    }
  }
  return metadata;
}

int List(const ListOptions& o) {
  auto metadata = ReadWhere(o.where);
  if (!metadata) return Complain(metadata.error());
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto now = (*scheduler)->StoreTime();
  if (!now) return Complain(now.error());
  JobFilter filter{
      .id_prefix = o.prefix, .after_id = {}, .state = {}, .metadata = *std::move(metadata), .limit = kPage};
  if (o.state) filter.state = StateByName(*o.state);
  Table table({"NAME", "STATE", "NEXT", "SCHEDULE", "RUNS", "POD"});
  JsonList json;
  std::vector<std::string> unreadable;
  for (bool more = true; more;) {
    auto jobs = (*scheduler)->List(filter);
    if (!jobs) return Complain(jobs.error());
    for (const JobInfo& job : *jobs) {
      if (!job.unreadable.empty()) {
        unreadable.push_back(job.definition.id);
        continue;
      }
      if (o.common.json) {
        json.Add(JobView(job, /*reveal=*/false));
        continue;
      }
      const Cell next = IsManual(job.definition) ? Cell("when triggered")
                        : job.fire_time ? Cell(FormatInstant(*job.fire_time), HumanDistance(*job.fire_time, *now))
                                        : "";
      table.Add({job.definition.id, std::string(JobStateName(job.state)), next, job.definition.schedule.ToString(),
                 WorkOf(job.definition), job.owner_pod.value_or("")});
    }
    more = static_cast<int>(jobs->size()) == kPage;
    if (more) filter.after_id = jobs->back().definition.id;
  }
  if (o.common.json) {
    json.Finish();
  } else {
    table.Finish("there are no such jobs");
  }
  WarnUnreadable(unreadable);
  return 0;
}

void AddList(CommandLine& line) {
  auto o = std::make_shared<ListOptions>();
  CLI::App* list = AddCommand(line, "list", "List jobs by name", R"(Examples:
  escapement list
  escapement list billing/ --state paused
  escapement list --where metadata.tenant=acme
  escapement list --json | jq -r '.[].name'
In a pipe, separated by tabs: name, state, next fire time, schedule, what it runs, pod.
Jobs that a newer version wrote and this one cannot read are left out with a warning; the exit status stays 0.)",
                              o, List);
  list->add_option("prefix", o->prefix, "Only names that begin so")->type_name("PREFIX");
  list->add_option("--state", o->state, "active, paused or finished")
      ->check([](const std::string& s) { return StateByName(s) ? "" : "must be active, paused or finished"; })
      ->type_name("STATE");
  list->add_option("--where", o->where, "Only jobs that have this; may be repeated: all of them")
      ->type_name("metadata.NAME=VALUE")
      ->allow_extra_args(false);
  AddStoreOptions(list, &o->common);
  AddJsonOption(list, &o->common);
}

// ---------------------------------------------------------------- show

struct ShowOptions {
  CommonOptions common;
  std::string name;
  bool reveal = false;
};

void PrintLines(const OutputJson& json) {
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      if (name == "env") {
        for (const auto& [variable, text] : value.items()) {
          fmt::print("{:<16} {}={}\n", name, OneLine(variable), OneLine(text.get<std::string>()));
        }
      } else {
        PrintLines(value);
      }
    } else if (!value.is_null() && value != "") {
      fmt::print("{:<16} {}\n", name, OneLine(value.is_string() ? value.get<std::string>() : JsonText(value)));
    }
  }
}

int Show(const ShowOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto job = (*scheduler)->Get(o.name);
  if (!job) return Complain(job.error());
  OutputJson json = JobView(*job, o.reveal);
  if (o.common.json) {
    PrintJson(json);
    return 0;
  }
  if (job->fire_time && IsTerminal() && !IsManual(job->definition)) {
    if (auto now = (*scheduler)->StoreTime()) {
      json["next"] = fmt::format("{} ({})", FormatInstant(*job->fire_time), HumanDistance(*job->fire_time, *now));
    }
  }
  PrintLines(json);
  return 0;
}

void AddShow(CommandLine& line) {
  auto o = std::make_shared<ShowOptions>();
  CLI::App* show = AddCommand(line, "show", "Show all there is to know of a job", R"(Examples:
  escapement show hello
  escapement show hello --json
Values of variables and payloads may be secrets: they show as *** unless --reveal is given.)",
                              o, Show);
  show->add_option("name", o->name, "The job's name")->required()->type_name("NAME");
  show->add_flag("--reveal", o->reveal, "Show values of variables, and payloads");
  AddStoreOptions(show, &o->common);
  AddJsonOption(show, &o->common);
}

// ---------------------------------------------------------------- runs

struct RunsOptions {
  CommonOptions common;
  std::string name;
  int limit = 20;
  std::optional<Instant> from, to;
  bool output = false;
};

// What a task printed: on a terminal its lines, but none of its orders to the terminal.
std::string Printable(const std::string& text) {
  if (!IsTerminal()) return text.empty() || text.ends_with('\n') ? text : text + '\n';
  std::string out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += OneLine(std::string_view(text).substr(begin, end - begin)) + '\n';
    begin = end + 1;
  }
  return out;
}

void PrintOutput(const RunInfo& run) {
  fmt::print("--- {} {} attempt {}: {}\n", OneLine(run.job_id), FormatInstant(run.fire_time), run.attempt,
             VerdictName(run.verdict));
  fmt::print("{}", Printable(run.output));
}

std::string Took(const RunInfo& run, std::string (*format)(Duration)) {
  return run.started_at && run.finished_at ? format(*run.finished_at - *run.started_at) : "";
}

int Runs(const RunsOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  auto runs = (*scheduler)->Runs({.job_id = o.name, .fire_from = o.from, .fire_to = o.to, .limit = o.limit});
  if (!runs) return Complain(runs.error());
  if (runs->empty() && !o.name.empty()) {
    if (auto job = (*scheduler)->Get(o.name); !job) return Complain(job.error());
  }
  Table table({"NAME", "FIRE TIME", "ATTEMPT", "VERDICT", "SETTLES", "TOOK", "POD", "ERROR"});
  JsonList json;
  for (const RunInfo& run : *runs) {
    if (o.common.json) {
      json.Add(RunView(run, o.output));
    } else if (o.output) {
      PrintOutput(run);
    } else {
      table.Add(
          {run.job_id, FormatInstant(run.fire_time), std::to_string(run.attempt),
           Cell(VerdictKey(run.verdict), std::string(VerdictName(run.verdict)) + (run.triggered ? " (triggered)" : "")),
           std::to_string(run.settles), Cell(Took(run, FormatDuration), Took(run, HumanDuration)), run.pod, run.error});
    }
  }
  if (o.common.json) {
    json.Finish();
  } else if (!o.output || runs->empty()) {
    table.Finish("there are no such runs");
  }
  return 0;
}

void AddRuns(CommandLine& line) {
  auto o = std::make_shared<RunsOptions>();
  CLI::App* runs = AddCommand(line, "runs", "List what became of occurrences, the newest first", R"(Examples:
  escapement runs
  escapement runs hello --limit 5 --output
  escapement runs hello --from=-1h
  escapement runs --from 2026-11-24T00:00:00Z --to 2026-11-25T00:00:00Z --json
In a pipe, separated by tabs: name, fire time, attempt, verdict, settles, how long it took, pod, error.)",
                              o, Runs);
  runs->add_option("name", o->name, "Only of this job")->type_name("NAME");
  runs->add_option("--limit", o->limit, "At most so many (20)")->check(CLI::Range(1, 1'000'000))->type_name("N");
  AddInstant(runs, "--from", &o->from, "Fire times from this on");
  AddInstant(runs, "--to", &o->to, "Fire times before this");
  runs->add_flag("--output", o->output, "Show what the runs printed");
  AddStoreOptions(runs, &o->common);
  AddJsonOption(runs, &o->common);
}

}  // namespace

void AddJobCommands(CommandLine& line) {
  AddAdd(line);
  AddList(line);
  AddShow(line);
  AddRuns(line);
}

}  // namespace escapement
