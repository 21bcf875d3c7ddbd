// dead: what failed for good, and what becomes of it.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/job_view.h"
#include "cli/output.h"

namespace escapement {
namespace {

constexpr int kPage = 1000;  // letters asked for at once

// ---------------------------------------------------------------- list

struct ListOptions {
  CommonOptions common;
  std::string job;
  int limit = 20;
  bool reveal = false;
};

OutputJson LetterView(const DeadLetter& letter, bool reveal) {
  OutputJson json = {{"id", letter.id},
                     {"name", letter.job_id},
                     {"fire_time", FormatInstant(letter.fire_time)},
                     {"attempts", letter.attempts},
                     {"verdict", VerdictKey(letter.verdict)},
                     {"triggered", letter.triggered},
                     {"settled_at", FormatInstant(letter.settled_at)},
                     {"error", letter.error}};
  if (reveal) json["payload"] = letter.payload;
  return json;
}

int List(const ListOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  DeadLetterFilter filter{.job_id = o.job, .payloads = o.reveal};
  Table table({"ID", "NAME", "FIRE TIME", "ATTEMPTS", "VERDICT", "SETTLED AT", "ERROR"});
  JsonList json;
  // In pages: payloads may be large.
  for (int left = o.limit; left > 0;) {
    filter.limit = std::min(left, o.reveal ? 50 : kPage);
    auto letters = (*scheduler)->DeadLetters(filter);
    if (!letters) return Complain(letters.error());
    for (const DeadLetter& letter : *letters) {
      if (o.common.json) {
        json.Add(LetterView(letter, o.reveal));
      } else {
        table.Add({std::to_string(letter.id), letter.job_id, FormatInstant(letter.fire_time),
                   std::to_string(letter.attempts),
                   Cell(VerdictKey(letter.verdict),
                        std::string(VerdictName(letter.verdict)) + (letter.triggered ? " (triggered)" : "")),
                   FormatInstant(letter.settled_at), letter.error});
      }
    }
    left -= static_cast<int>(letters->size());
    if (static_cast<int>(letters->size()) < filter.limit) break;
    filter.after_id = letters->back().id;
  }
  if (o.common.json) {
    json.Finish();
  } else {
    table.Finish("there are no such dead letters");
  }
  return 0;
}

// ---------------------------------------------------------------- retry, discard

struct DealOptions {
  CommonOptions common;
  std::vector<std::int64_t> ids;
  bool all = false;
  std::string job;
  bool retry = false;
};

// Those that are there now: what is retried may leave new ones meanwhile.
Result<std::vector<std::int64_t>> AllIds(Scheduler& scheduler, const std::string& job) {
  std::vector<std::int64_t> ids;
  DeadLetterFilter filter{.job_id = job, .limit = kPage};
  for (;;) {
    auto letters = scheduler.DeadLetters(filter);
    if (!letters) return tl::unexpected(letters.error());
    for (const DeadLetter& letter : *letters) ids.push_back(letter.id);
    if (static_cast<int>(letters->size()) < kPage) return ids;
    filter.after_id = ids.back();
  }
}

// What became of each; an error of all of them ends it.
class Outcomes {
 public:
  explicit Outcomes(const DealOptions& options) : o_(options) {}
  void Add(std::int64_t id, const Status& status) {
    const char* done = o_.retry ? "retried" : "discarded";
    if (!status) exit_status_ = std::max(exit_status_, Complain(status.error()));
    if (o_.common.json) {
      OutputJson line = {{"id", id}, {"outcome", status ? done : "failed"}};
      if (!status) line["error"] = status.error().message;
      json_.Add(line);
    } else if (status) {
      fmt::print("{} {}\n", id, done);
    }
  }
  int Finish() {
    if (o_.common.json) json_.Finish();
    return exit_status_;
  }

 private:
  const DealOptions& o_;
  JsonList json_;
  int exit_status_ = 0;
};

Status Discard(Scheduler& scheduler, const std::vector<std::int64_t>& ids, Outcomes* outcomes) {
  for (std::size_t begin = 0; begin < ids.size(); begin += kPage) {
    const auto end = std::min(ids.size(), begin + kPage);
    const std::vector<std::int64_t> page(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                         ids.begin() + static_cast<std::ptrdiff_t>(end));
    auto gone = scheduler.DiscardDead(page);
    if (!gone) return tl::unexpected(gone.error());
    for (const std::int64_t id : page) {
      const bool done = std::find(gone->begin(), gone->end(), id) != gone->end();
      outcomes->Add(id, done ? Status() : Fail(Code::kNotFound, fmt::format("there is no dead letter {}", id)));
    }
  }
  return {};
}

int Deal(const DealOptions& o) {
  const char* name = o.retry ? "retry" : "discard";
  const auto bad = [name](const char* why) {
    return Complain({Code::kInvalidArgument, fmt::format("dead {}: {}", name, why)});
  };
  if (o.all != o.ids.empty()) return bad("name dead letters by their ids, or say --all");
  if (!o.job.empty() && !o.all) return bad("--job goes with --all");
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  std::vector<std::int64_t> ids;
  for (const std::int64_t id : o.ids) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);  // once, if it is named twice
  }
  if (o.all) {
    auto all = AllIds(**scheduler, o.job);
    if (!all) return Complain(all.error());
    ids = std::move(*all);
  }
  Outcomes outcomes(o);
  if (o.retry) {
    for (const std::int64_t id : ids) outcomes.Add(id, (*scheduler)->RetryDead(id));
  } else if (auto status = Discard(**scheduler, ids, &outcomes); !status) {
    return Complain(status.error());
  }
  return outcomes.Finish();
}

void AddDeal(CommandLine& line, CLI::App* dead, bool retry, const char* description, const char* examples) {
  auto o = std::make_shared<DealOptions>();
  o->retry = retry;
  CLI::App* command = AddCommand(line, dead, retry ? "retry" : "discard", description, examples, o, Deal);
  command->add_option("ids", o->ids, "Ids of dead letters")
      ->check(CLI::Range(std::int64_t{1}, std::numeric_limits<std::int64_t>::max()))
      ->type_name("ID...");
  command->add_flag("--all", o->all, "All that are there now");
  command->add_option("--job", o->job, "With --all: only those of this job")->type_name("NAME");
  AddStoreOptions(command, &o->common);
  AddJsonOption(command, &o->common);
}

}  // namespace

void AddDeadCommand(CommandLine& line) {
  CLI::App* dead = line.app.add_subcommand("dead", "What failed in its last attempt: list it, retry it, discard it");
  dead->require_subcommand(1);
  dead->footer(R"(Examples:
  escapement dead list
  escapement dead retry 17
  escapement dead discard --all --job backup)");

  auto o = std::make_shared<ListOptions>();
  CLI::App* list = AddCommand(line, dead, "list", "List dead letters, the oldest first", R"(Examples:
  escapement dead list
  escapement dead list --job backup --json
In a pipe, separated by tabs: id, name, fire time, attempts, verdict, settled at, error.)",
                              o, List);
  list->add_option("--job", o->job, "Only of this job")->type_name("NAME");
  list->add_option("--limit", o->limit, "At most so many (20)")->check(CLI::Range(1, 1'000'000))->type_name("N");
  list->add_flag("--reveal", o->reveal, "With --json: payloads too, which may be secrets");
  AddStoreOptions(list, &o->common);
  AddJsonOption(list, &o->common);

  AddDeal(line, dead, /*retry=*/true, "Run dead letters once more, now, with the payload that failed", R"(Examples:
  escapement dead retry 17 18
  escapement dead retry --all --job backup
Each becomes a triggered run of its job, as the job is now. What fails again leaves a new dead letter. Exit status 1
when one of them failed; the others are done.)");
  AddDeal(line, dead, /*retry=*/false, "Throw dead letters away", R"(Examples:
  escapement dead discard 17
  escapement dead discard --all)");
}

}  // namespace escapement
