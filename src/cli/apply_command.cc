// apply: a file says which jobs there are.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/job_view.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "job/errors.h"

namespace escapement {
namespace {

constexpr int kPage = 1000;

struct ApplyOptions {
  CommonOptions common;
  std::string file;
  bool prune = false;
  bool dry_run = false;
};

// What becomes of one job.
struct Change {
  std::string name;
  std::string outcome;               // created, updated, unchanged, held, removed
  std::vector<std::string> members;  // of an update
};

Result<std::map<std::string, JobDefinition>> JobsBelow(Scheduler& scheduler, const std::string& prefix) {
  std::map<std::string, JobDefinition> found;
  JobFilter filter{.id_prefix = prefix, .after_id = {}, .state = {}, .limit = kPage};
  while (true) {
    auto page = scheduler.List(filter);
    if (!page) return tl::unexpected(page.error());
    for (const JobInfo& job : *page) {
      if (!job.unreadable.empty()) return Unreadable(job.definition.id, job.unreadable);
      found.emplace(job.definition.id, job.definition);
    }
    if (static_cast<int>(page->size()) < kPage) return found;
    filter.after_id = page->back().definition.id;
  }
}

std::vector<std::string> Differences(const JobDefinition& before, const JobDefinition& after) {
  const OutputJson a = DefinitionView(before, /*reveal=*/true);
  const OutputJson b = DefinitionView(after, /*reveal=*/true);
  std::set<std::string> names;
  for (const auto* json : {&a, &b}) {
    for (const auto& [name, value] : json->items()) names.insert(name);
  }
  std::vector<std::string> different;
  for (const std::string& name : names) {
    if (a.value(name, OutputJson()) != b.value(name, OutputJson())) different.push_back(name);
  }
  return different;
}

std::vector<Change> Plan(const JobFile& file, const std::map<std::string, JobDefinition>& there, bool prune) {
  std::vector<Change> changes;
  std::set<std::string> wanted;
  for (const JobDefinition& job : file.jobs) {
    wanted.insert(job.id);
    const auto old = there.find(job.id);
    Change change{job.id, "created", {}};
    if (old != there.end()) {
      change.outcome = old->second == job ? "unchanged" : "updated";
      change.members = Differences(old->second, job);
    }
    changes.push_back(std::move(change));
  }
  for (const auto& [name, job] : there) {
    if (prune && !wanted.contains(name)) changes.push_back({name, "removed", {}});
  }
  return changes;
}

// Carries the plan out; what others changed meanwhile shows in the outcomes.
Status CarryOut(Scheduler& scheduler, const JobFile& file, std::vector<Change>* changes) {
  auto outcomes = scheduler.Enqueue(file.jobs);
  if (!outcomes) return tl::unexpected(outcomes.error());
  std::vector<std::size_t> held;
  std::vector<JobDefinition> held_jobs;
  for (std::size_t i = 0; i < outcomes->size(); ++i) {
    (*changes)[i].outcome = OutcomeName((*outcomes)[i]);
    if ((*outcomes)[i] != EnqueueOutcome::kHeld) continue;
    held.push_back(i);
    held_jobs.push_back(file.jobs[i]);
  }
  for (std::size_t i = outcomes->size(); i < changes->size(); ++i) {
    const Status status = scheduler.Remove((*changes)[i].name);
    if (!status && status.error().code != Code::kNotFound) return status;
  }
  if (held.empty() || changes->size() == file.jobs.size()) return {};
  // What was removed may have had the keys.
  auto again = scheduler.Enqueue(held_jobs);
  if (!again) return tl::unexpected(again.error());
  for (std::size_t i = 0; i < held.size(); ++i) (*changes)[held[i]].outcome = OutcomeName((*again)[i]);
  return {};
}

void Print(const ApplyOptions& o, const JobFile& file, const std::vector<Change>& changes) {
  std::map<std::string, int> counts;
  JsonList json;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Change& change = changes[i];
    ++counts[change.outcome];
    if (o.common.json) {
      OutputJson line = {{"name", change.name}, {"outcome", change.outcome}};
      if (change.outcome == "updated") line["changed"] = change.members;
      json.Add(line);
    } else if (change.outcome == "held") {
      fmt::print("{} held{}\n", OneLine(change.name), WhyHeld(file.jobs[i]));
    } else if (change.outcome != "unchanged") {
      fmt::print("{} {}{}{}\n", OneLine(change.name), o.dry_run ? "would be " : "", change.outcome,
                 change.outcome == "updated" && !change.members.empty()
                     ? fmt::format(": {}", fmt::join(change.members, ", "))
                     : "");
    }
  }
  if (o.common.json) {
    json.Finish();
  } else {
    fmt::print(stderr, "{}{} created, {} updated, {} unchanged, {} removed{}\n", o.dry_run ? "dry run: " : "",
               counts["created"], counts["updated"], counts["unchanged"], counts["removed"],
               counts["held"] > 0 ? fmt::format(", {} held", counts["held"]) : "");
  }
}

int Apply(const ApplyOptions& o) {
  const auto file = ReadJobFile(o.file);
  if (!file) return Complain(file.error());
  if (o.prune && file->prefix.empty()) {
    return Complain(
        {Code::kInvalidArgument,
         o.file + ": --prune removes what lies below the file's prefix, and it names none: prefix = \"mine/\""});
  }
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  const auto there = JobsBelow(**scheduler, file->prefix);
  if (!there) return Complain(there.error());
  std::vector<Change> changes = Plan(*file, *there, o.prune);
  if (!o.dry_run) {
    if (auto status = CarryOut(**scheduler, *file, &changes); !status) return Complain(status.error());
  }
  Print(o, *file, changes);
  for (const JobDefinition& job : file->jobs) WarnIfOver(job, SystemNow());
  return 0;
}

}  // namespace

void AddApplyCommand(CommandLine& line) {
  auto o = std::make_shared<ApplyOptions>();
  CLI::App* apply = AddCommand(line, "apply", "Make the jobs of a file, in TOML or JSON, what the file says",
                               R"(Examples:
  escapement apply -f jobs.toml --dry-run
  escapement apply -f jobs.toml --prune
A job whose unique key another job has is held: it is neither created nor changed, and the exit status is 0. A dry run
does not look at unique keys.
A file owns the names below its prefix; --prune removes what is there and not in the file:
  prefix = "billing/"
  [jobs.nightly]
  schedule = "every 1d anchor=2026-01-01T03:00:00Z"
  command = ["/usr/local/bin/bill", "--all"]
  timeout = "2h"
  max_attempts = 3)",
                               o, Apply);
  apply->add_option("-f,--file", o->file, "The file; - is standard input")->required()->type_name("FILE");
  apply->add_flag("--prune", o->prune, "Remove jobs below the prefix that the file does not have");
  apply->add_flag("--dry-run", o->dry_run, "Say what would change, and change nothing");
  AddStoreOptions(apply, &o->common);
  AddJsonOption(apply, &o->common);
}

}  // namespace escapement
