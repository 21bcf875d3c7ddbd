#include "stores/sqlite/job_rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "job/definition_json.h"
#include "job/failures.h"
#include "job/followers.h"
#include "job/queue_key.h"
#include "job/sound.h"
#include "job/text.h"
#include "stores/sqlite/statements.h"
#include "time/quoted.h"

namespace escapement::sqlite {

Error UnsoundJob(const std::string& id) {
  return {Code::kInternal, fmt::format("job '{}': {}", Quoted(id, 200), kUnsoundRow)};
}

std::optional<JobRow> JobRows::Find(JobKey key) {
  Rows r = tx_.Query(sql::kRow, key);
  r.Tolerate();
  if (!r.Next()) return std::nullopt;
  JobRow row{.key = r.Int64(0),
             .parent = {},
             .state = static_cast<JobState>(r.Int(2)),
             .present = {.created_at = r.Time(9),
                         .cursor = r.Time(11),
                         .fire_time = r.Time(12),
                         .due_at = r.Time(13),
                         .attempt = r.Int(4),
                         .version = r.Int(3),
                         .lost = r.Int(5),
                         .failures = r.Int(17),
                         .begun = r.Bool(6),
                         .to_plan = r.Bool(7),
                         .planned_from = r.Time(10)},
             .owner = {},
             .fence = r.Int64(15),
             .settled_total = r.Int64(16),
             .cancel = r.Bool(8)};
  if (!r.IsNull(1)) row.parent = r.Int64(1);
  if (!r.IsNull(14)) row.owner = r.Int64(14);
  row.sound = r.Sound() && CheckPresent(row.present);
  return row;
}

std::optional<JobRow> JobRows::FindById(const std::string& id) {
  std::optional<JobKey> key;
  if (Rows r = tx_.Query(sql::kKeyOf, id); r.Next()) key = r.Int64(0);
  if (!key) return std::nullopt;
  auto row = Find(*key);
  if (row && !row->sound) tx_.Refuse(UnsoundJob(id));
  return row;
}

Result<JobDefinition> JobRows::DefinitionOf(JobKey key) {
  Rows r = tx_.Query(sql::kDefinition, key);
  if (!r.Next()) {
    if (tx_.failed()) return tx_.error();
    return Fail(Code::kInternal, "the store has a job without its definition");
  }
  return DefinitionFromJson(r.Text(0), r.Text(1));
}

void JobRows::Save(JobRow row) {
  if (!row.owner) row.cancel = false;
  if (row.parent && !row.owner && row.state != JobState::kActive) return Erase(row.key);
  const Present& p = row.present;
  tx_.Run(sql::kSave, row.key, static_cast<int>(row.state), p.version, p.attempt, p.lost, p.begun, p.to_plan,
          row.cancel, p.planned_from, p.cursor, p.fire_time, p.due_at, row.ClaimAt(), row.owner, row.fence,
          row.settled_total, p.failures);
}

void JobRows::SaveKept(const JobRow& row) {
  const Present& p = row.present;
  tx_.Run(sql::kSaveKept, row.key, p.attempt, p.lost, p.begun, p.cursor, p.fire_time, p.due_at, row.settled_total,
          p.failures);
}

void JobRows::Erase(JobKey key) {
  tx_.Run(sql::kDelete, key);
  tx_.Run(sql::kDeleteDefinition, key);
  tx_.Run(sql::kDeleteReigns, key);
}

struct JobRows::NewRow {
  const JobDefinition& definition;
  const std::string& json;
  JobState state;
  const Present& present;
  std::optional<JobKey> parent = {};
  std::int64_t settled_total = 0;
};

JobKey JobRows::Insert(const NewRow& row) {
  const JobDefinition& d = row.definition;
  const Present& p = row.present;
  const JobRow unowned{.state = row.state, .present = p};
  tx_.Run(sql::kInsert, d.id, row.parent, QueueKey(d), d.priority, static_cast<int>(row.state), p.version, p.attempt,
          p.lost, p.begun, p.to_plan, p.created_at, p.planned_from, p.cursor, p.fire_time, p.due_at, unowned.ClaimAt(),
          FirstFence(d.id), row.settled_total, d.schedule.Rate(), p.failures);
  const JobKey key = tx_.last_key();
  tx_.Run(sql::kInsertDefinition, key, row.json);
  return key;
}

// Above every fence that this id, removed and created again, had before; by the time as in the other stores.
Fence JobRows::FirstFence(const std::string& id) {
  Fence fence = ToMicros(now_) / 1000;
  Rows removed = tx_.Query(sql::kRemovedKeysOf, id);
  while (removed.Next()) fence = std::max(fence, removed.Int64(1) + 1);
  return fence;
}

void JobRows::Create(const JobDefinition& definition, const std::string& json, std::optional<JobKey> parent) {
  const Schedule grid = definition.schedule.AnchoredAt(now_);
  const Instant cursor = grid.FirstCursor(now_);
  const std::optional<Instant> first = grid.Next(cursor);
  const Present present{.created_at = now_,
                        .cursor = cursor,
                        .fire_time = first.value_or(cursor),
                        .due_at = first.value_or(cursor),
                        .planned_from = now_};
  const JobKey key = Insert({.definition = definition,
                             .json = json,
                             .state = first ? JobState::kActive : JobState::kFinished,
                             .present = present,
                             .parent = parent});
  // A child's points are no part of any audit, and it cannot be changed.
  if (!parent) tx_.Run(sql::kInsertReign, key, 1, grid.ToString(), cursor, std::optional<Instant>());
}

void JobRows::Import(const ArchivedJob& job) {
  const std::string json = DefinitionToJson(job.definition);
  const JobKey key = Insert({.definition = job.definition,
                             .json = json,
                             .state = job.state,
                             .present = job.present,
                             .parent = {},
                             .settled_total = job.settled_total});
  for (const Reign& reign : job.reigns) {
    tx_.Run(sql::kInsertReign, key, reign.version, reign.grid.ToString(), reign.after, reign.until);
  }
}

CommitAnswer JobRows::Commit(SessionId session, const std::optional<std::string>& pod, const Completion& completion) {
  std::optional<JobRow> row = Find(completion.key);
  const bool owns = row && row->sound && pod && row->owner == session && row->fence == completion.fence;
  if (!owns || row->present.fire_time != completion.fire_time || row->present.attempt != completion.attempt) {
    const bool applied = WasApplied(session, completion);
    return {.outcome = applied ? CommitOutcome::kAlreadyApplied : CommitOutcome::kStale,
            .kept = applied && owns,
            .error = {}};
  }
  const bool outdated = completion.version != row->present.version;
  if (outdated && (!completion.run || WithoutRun(completion.run->verdict))) {
    // The new definition may want these points, and must not inherit a point that it never had: its next owner plans
    // from the change on.
    row->owner.reset();
    Save(*row);
    return {.outcome = CommitOutcome::kStale, .kept = false, .error = {}};
  }
  if (!completion.run && !outdated && !row->present.to_plan) {
    // A plan that keeps the occurrence leaves the row as it compares: once more, it would wipe the mark of a start.
    return {.outcome = CommitOutcome::kAlreadyApplied, .kept = true, .error = {}};
  }
  const bool plain = !outdated && !row->present.to_plan && !row->cancel && row->state == JobState::kActive;
  if (completion.run) AddRun(*row, *completion.run, session, *pod);
  if (completion.run && FailedForGood(completion.run->verdict, completion.run->settles)) AddLetter(*row, completion);
  if (!outdated && row->present.to_plan) BeginReign(*row, completion);
  const int failures = completion.run
                           ? FailuresAfter(row->present.failures, completion.run->verdict, completion.run->settles)
                           : row->present.failures;
  row->present = Advance(row->present, completion.next);
  row->present.failures = failures;
  row->present.to_plan = outdated;
  row->cancel = false;
  if (outdated && completion.run->settles > 0) {
    // The occurrence after it is the new version's to choose; until then the row shows the settled one, which nobody
    // runs again (WasStarted), whoever dies before the plan is made.
    row->present.fire_time = completion.fire_time;
    row->present.lost = 0;
  }
  const bool more = completion.next.fire_time.has_value();
  if (!more && !outdated && row->state != JobState::kRemoved) row->state = JobState::kFinished;
  // The pod's count may be of before a resumption, and its pause that of an older definition.
  const bool pause = completion.next.pause && more && !outdated && failures >= completion.next.failures;
  if (pause && row->state == JobState::kActive) row->state = JobState::kPaused;
  const bool kept = completion.keep && more && !outdated && row->state == JobState::kActive;
  if (plain && kept) {
    SaveKept(*row);
  } else {
    if (!kept) row->owner.reset();
    Save(*row);
  }
  if (completion.run && completion.ran) Follow(row->key, *completion.ran, *completion.run);
  return {.outcome = CommitOutcome::kApplied, .kept = kept, .error = {}};
}

// Jobs that are not there any more, or that only a newer program can read, do not follow.
void JobRows::Follow(JobKey key, const JobDefinition& job, const RunRecord& run) {
  for (const std::string& id : FollowersOf(job, run.verdict, run.settles)) {
    const std::optional<JobRow> follower = FindById(id);
    const bool handed_on = run.verdict == Verdict::kHandedOn;
    if (!follower || (handed_on && follower->key != key)) continue;  // another by now
    const auto definition = DefinitionOf(follower->key);
    if (!definition) continue;
    const Instant fire_time = handed_on ? run.fire_time : now_;
    if (const auto child = TriggeredDefinition(*definition, fire_time, std::nullopt)) {
      Create(*child, DefinitionToJson(*child), follower->key);
    }
  }
}

void JobRows::AddRun(JobRow& row, const RunRecord& run, SessionId session, const std::string& pod) {
  tx_.Run(sql::kAddRun, now_, row.parent.value_or(row.key), row.parent ? std::optional(row.key) : std::nullopt,
          run.fire_time, run.last_fire, run.started_at, run.finished_at, row.fence, session, run.settles, run.attempt,
          static_cast<int>(run.verdict), pod, MakeValidText(run.error), MakeValidTail(run.output, kOutputLimit));
  row.settled_total += run.settles;
}

void JobRows::AddLetter(const JobRow& row, const Completion& completion) {
  const RunRecord& run = *completion.run;
  tx_.Run(sql::kAddLetter, row.key, completion.ran ? completion.ran->payload : std::string(), run.fire_time,
          run.attempt, static_cast<int>(run.verdict), MakeValidText(run.error), now_);
}

// The reign of the new version begins: what was planned before it is settled, or given up.
void JobRows::BeginReign(const JobRow& row, const Completion& completion) {
  const Present& present = row.present;
  const auto definition = DefinitionOf(row.key);
  if (!definition) return tx_.Refuse(definition.error());
  const bool started = WasStarted(present);
  const bool keeps_occurrence = completion.run || (started && completion.next.fire_time == present.fire_time);
  const Instant until = keeps_occurrence ? present.fire_time : present.cursor;
  const Instant after = completion.run || !keeps_occurrence ? std::max(until, present.planned_from) : until;
  tx_.Run(sql::kEndReign, row.key, until);
  tx_.Run(sql::kInsertReign, row.key, present.version, definition->schedule.AnchoredAt(present.created_at).ToString(),
          after, std::optional<Instant>());
}

bool JobRows::WasApplied(SessionId session, const Completion& completion) {
  if (!completion.run) return false;
  const RunRecord& run = *completion.run;
  Rows r = tx_.Query(sql::kWasApplied, completion.key, run.fire_time, session, completion.fence, run.attempt,
                     static_cast<int>(run.verdict));
  return r.Next() && r.Bool(0);
}

}  // namespace escapement::sqlite
