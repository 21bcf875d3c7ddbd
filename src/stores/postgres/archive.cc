#include "stores/postgres/archive.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "job/definition_json.h"
#include "job/errors.h"
#include "job/queue_key.h"
#include "job/sound.h"
#include "job/text.h"
#include "job/unique_key.h"
#include "stores/postgres/job_rows.h"
#include "stores/postgres/sql/queries.h"

namespace escapement::postgres {
namespace {

constexpr Query kExportJobs = {"export_jobs", sql::kExportJobs};
constexpr Query kExportReigns = {"export_reigns", sql::kExportReigns};
constexpr Query kExportRuns = {"export_runs", sql::kExportRuns};
constexpr Query kKnownJobs = {"known_jobs", sql::kKnownJobs};
constexpr Query kImportJobs = {"import_jobs", sql::kImportJobs};
constexpr Query kImportRuns = {"import_runs", sql::kImportRuns};
constexpr Query kStoreTime = {"store_time", sql::kStoreTime};
constexpr Query kTakeKeys = {"take_keys", sql::kTakeKeys};
constexpr Query kMakeHistoryOf = {"make_history_of", sql::kMakeHistoryOf};

// A question whose reply was lost can simply be asked again.
tl::unexpected<Error> Unavailable(Error error) {
  if (error.code == Code::kInDoubt) error.code = Code::kUnavailable;
  return tl::unexpected(std::move(error));
}

Result<std::unordered_set<std::string>> KnownOf(Connection& db, const std::vector<std::string>& ids) {
  Params params;
  params.AddArray<std::string_view>(ids.size(), [&](std::size_t i) { return std::string_view(ids[i]); });
  auto rows = db.Execute(kKnownJobs, params);
  if (!rows) return Unavailable(rows.error());
  std::unordered_set<std::string> known;
  for (int i = 0; i < rows->size(); ++i) known.emplace(rows->Text(i, 0));
  return known;
}

// kConflict when another job holds the unique key of one of them.
Status TakeKeys(Connection& db, const std::vector<ArchivedJob>& jobs) {
  auto time = db.Execute(kStoreTime, Params());
  if (!time) return tl::unexpected(time.error());
  const Instant now = time->Time(0, 0);
  std::vector<const ArchivedJob*> holders;
  for (const ArchivedJob& job : jobs) {
    if (HoldsItsKey(job, now)) holders.push_back(&job);
  }
  if (holders.empty()) return {};
  const std::size_t n = holders.size();
  Params p;
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(holders[i]->definition.unique); });
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(holders[i]->definition.id); });
  p.AddArray<Instant>(n, [&](std::size_t i) { return holders[i]->present.created_at; });
  p.AddArray<std::int64_t>(n, [&](std::size_t i) { return holders[i]->definition.unique_for.count(); });
  auto held = db.Execute(kTakeKeys, p);
  if (!held) return tl::unexpected(held.error());
  if (held->size() == 0) return {};
  const std::string id(held->Text(0, 0));
  const auto job = std::find_if(holders.begin(), holders.end(), [&](const auto* j) { return j->definition.id == id; });
  return KeyHeld(id, job == holders.end() ? std::string() : (*job)->definition.unique);
}

// Runs `work` in a transaction.
template <typename Work>
Status InTransaction(Connection& db, const Work& work) {
  if (auto s = db.Run("BEGIN"); !s) return s;
  Status status = work();
  if (status) return db.Run("COMMIT");
  if (db.connected()) (void)db.Run("ROLLBACK");
  return status;
}

}  // namespace

Result<std::vector<ArchivedJob>> ExportJobs(Connection& db, const std::string& after_id, int limit) {
  auto rows = db.Execute(kExportJobs, Params().Add(after_id).Add(static_cast<std::int64_t>(limit)));
  if (!rows) return Unavailable(rows.error());
  std::vector<ArchivedJob> jobs;
  std::vector<JobKey> keys;
  std::unordered_map<JobKey, std::size_t> index;
  for (int i = 0; i < rows->size(); ++i) {
    std::string unreadable;
    auto definition = DefinitionOrId(std::string(rows->Text(i, 1)), rows->Text(i, 2), &unreadable);
    keys.push_back(rows->Int64(i, 0));
    index[keys.back()] = jobs.size();
    const Instant cursor = rows->Time(i, 6);
    jobs.push_back(AtRest({.definition = std::move(definition),
                           .state = static_cast<JobState>(rows->Int16(i, 4)),
                           .present = {.created_at = rows->Time(i, 5),
                                       .cursor = cursor,
                                       .fire_time = rows->TimeOrNone(i, 7).value_or(cursor),
                                       .due_at = rows->Time(i, 8),
                                       .attempt = rows->Int32(i, 9),
                                       .version = rows->Int32(i, 3),
                                       .lost = rows->Int32(i, 10),
                                       .failures = rows->Int32(i, 16),
                                       .begun = rows->Bool(i, 11),
                                       .to_plan = rows->Bool(i, 12),
                                       .planned_from = rows->Time(i, 13),
                                       .completed_at = rows->TimeOrNone(i, 15)},
                           .settled_total = rows->Int64(i, 14),
                           .reigns = {},
                           .dropped = {},
                           .unreadable = std::move(unreadable)}));
    ArchivedJob& job = jobs.back();
    const Status sound = rows->Sound() ? CheckPresent(job.present) : Unsound();
    if (job.unreadable.empty() && !sound) job.unreadable = sound.error().message;
  }
  Params params;
  params.AddArray<std::int64_t>(keys.size(), [&](std::size_t i) { return keys[i]; });
  auto reigns = db.Execute(kExportReigns, params);
  if (!reigns) return Unavailable(reigns.error());
  for (int i = 0; i < reigns->size(); ++i) {
    ArchivedJob& job = jobs[index.at(reigns->Int64(i, 0))];
    auto definition = DefinitionFromJson(job.definition.id, reigns->Text(i, 2));
    if (!definition) {
      job.unreadable = definition.error().message;
      continue;
    }
    // A version's points end where the next one closes it.
    if (!job.reigns.empty()) job.reigns.back().until = reigns->Time(i, 4);
    job.reigns.push_back({.version = reigns->Int32(i, 1),
                          .grid = definition->schedule.AnchoredAt(job.present.created_at),
                          .after = reigns->Time(i, 3),
                          .until = std::nullopt});
    if (!reigns->Sound()) job.unreadable = Unsound().value().message;
  }
  return jobs;
}

Result<std::vector<RunInfo>> ExportRuns(Connection& db, const std::vector<std::string>& job_ids,
                                        const std::optional<RunPosition>& after, int limit) {
  const RunPosition from = after.value_or(RunPosition{});
  Params params;
  params.AddArray<std::string_view>(job_ids.size(), [&](std::size_t i) { return std::string_view(job_ids[i]); });
  params.Add(from.job_id).Add(from.fire_time).Add(static_cast<std::int32_t>(from.attempt)).Add(from.settled_at);
  params.Add(static_cast<std::int64_t>(limit));
  auto rows = db.Execute(kExportRuns, params);
  if (!rows) return Unavailable(rows.error());
  return ReadRuns(*rows);
}

Status ImportJobs(Connection& db, const std::vector<ArchivedJob>& jobs) {
  if (auto s = ValidateArchive(jobs); !s) return s;
  struct Version {
    const ArchivedJob* job = nullptr;
    int version = 1;
    Instant made_at;
    std::optional<Instant> valid_after, closes_at;
    std::string definition;
  };
  std::vector<Version> versions;
  std::vector<std::string> ids;
  for (const ArchivedJob& job : jobs) {
    ids.push_back(job.definition.id);
    const Present& p = job.present;
    std::optional<Instant> closes;
    for (const Reign& reign : job.reigns) {
      // Of a version of the past only its points matter.
      JobDefinition past = job.definition;
      if (reign.version != p.version) past.schedule = reign.grid;
      versions.push_back({&job, reign.version, p.created_at, reign.after, closes, DefinitionToJson(past)});
      closes = reign.until;
    }
    if (job.reigns.back().version == p.version) continue;
    versions.push_back({&job, p.version, p.planned_from, std::nullopt, std::nullopt, DefinitionToJson(job.definition)});
  }
  const std::size_t n = jobs.size();
  std::vector<std::string> queues;
  for (const ArchivedJob& job : jobs) queues.push_back(QueueKey(job.definition));
  const auto job_text = [&](auto get) {
    return [&jobs, get](std::size_t i) { return std::string_view(get(jobs[i])); };
  };
  Params p;
  p.AddArray<std::string_view>(n, job_text([](const ArchivedJob& j) -> const auto& { return j.definition.id; }));
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(queues[i]); });
  p.AddArray<std::int16_t>(n, [&](std::size_t i) { return static_cast<std::int16_t>(jobs[i].definition.priority); });
  p.AddArray<std::int16_t>(n, [&](std::size_t i) { return static_cast<std::int16_t>(jobs[i].state); });
  p.AddArray<std::int32_t>(n, [&](std::size_t i) { return jobs[i].present.version; });
  p.AddArray<std::int32_t>(n, [&](std::size_t i) { return jobs[i].present.attempt; });
  p.AddArray<std::int32_t>(n, [&](std::size_t i) { return jobs[i].present.lost; });
  p.AddArray<bool>(n, [&](std::size_t i) { return jobs[i].present.begun; });
  p.AddArray<bool>(n, [&](std::size_t i) { return jobs[i].present.to_plan; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return jobs[i].present.created_at; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return jobs[i].present.planned_from; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return jobs[i].present.cursor; });
  p.AddArray<Instant>(n, [&](std::size_t i) -> std::optional<Instant> {
    if (jobs[i].state == JobState::kFinished) return std::nullopt;
    return jobs[i].present.fire_time;
  });
  p.AddArray<Instant>(n, [&](std::size_t i) { return jobs[i].present.due_at; });
  p.AddArray<std::int64_t>(n, [&](std::size_t i) { return jobs[i].settled_total; });
  p.AddArray<double>(n, [&](std::size_t i) { return jobs[i].definition.schedule.Rate(); });
  p.AddArray<Instant>(n, [&](std::size_t i) { return jobs[i].present.completed_at; });
  p.AddArray<std::int32_t>(n, [&](std::size_t i) { return jobs[i].present.failures; });
  const std::size_t m = versions.size();
  p.AddArray<std::string_view>(m, [&](std::size_t i) { return std::string_view(versions[i].job->definition.id); });
  p.AddArray<std::int32_t>(m, [&](std::size_t i) { return versions[i].version; });
  p.AddArray<Instant>(m, [&](std::size_t i) { return versions[i].made_at; });
  p.AddArray<Instant>(m, [&](std::size_t i) { return versions[i].valid_after; });
  p.AddArray<Instant>(m, [&](std::size_t i) { return versions[i].closes_at; });
  p.AddArray<std::string_view>(m, [&](std::size_t i) { return std::string_view(versions[i].definition); });
  return InTransaction(db, [&]() -> Status {
    auto known = KnownOf(db, ids);
    if (!known) return tl::unexpected(known.error());
    for (const std::string& id : ids) {
      if (known->contains(id)) return AlreadyThere(id);
    }
    if (auto s = TakeKeys(db, jobs); !s) return s;
    auto made = db.Execute(kImportJobs, p);
    if (!made) return tl::unexpected(made.error());
    return {};
  });
}

Status ImportRuns(Connection& db, const std::vector<RunInfo>& runs) {
  std::vector<std::string> ids;
  std::vector<std::string> errors;   // made valid
  std::vector<std::string> outputs;  // made valid
  for (const RunInfo& run : runs) {
    if (ids.empty() || ids.back() != run.job_id) ids.push_back(run.job_id);
    errors.push_back(MakeValidText(run.error));
    outputs.push_back(MakeValidTail(run.output, kOutputLimit));
  }
  const std::size_t n = runs.size();
  Params settled;
  settled.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].settled_at; });
  Params p;
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(runs[i].job_id); });
  p.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].fire_time; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].last_fire; });
  p.AddArray<std::int32_t>(n, [&](std::size_t i) { return runs[i].attempt; });
  p.AddArray<std::int16_t>(n, [&](std::size_t i) { return static_cast<std::int16_t>(runs[i].verdict); });
  p.AddArray<std::int64_t>(n, [&](std::size_t i) { return runs[i].settles; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].started_at; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].finished_at; });
  p.AddArray<Instant>(n, [&](std::size_t i) { return runs[i].settled_at; });
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(runs[i].pod); });
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(errors[i]); });
  p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(outputs[i]); });
  p.AddArray<bool>(n, [&](std::size_t i) { return runs[i].triggered; });
  return InTransaction(db, [&]() -> Status {
    auto known = KnownOf(db, ids);
    if (!known) return tl::unexpected(known.error());
    for (const std::string& id : ids) {
      if (!known->contains(id)) return NoSuchJob(id);
    }
    if (auto days = db.Execute(kMakeHistoryOf, settled); !days) return tl::unexpected(days.error());
    auto made = db.Execute(kImportRuns, p);
    if (!made) return tl::unexpected(made.error());
    return {};
  });
}

}  // namespace escapement::postgres
