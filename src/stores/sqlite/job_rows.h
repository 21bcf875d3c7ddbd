// A job's row and its ledger, within one transaction.
#pragma once

#include <optional>
#include <string>

#include "escapement/job.h"
#include "job/archive.h"
#include "job/settle.h"
#include "ports/job_store.h"
#include "sqlite/database.h"

namespace escapement::sqlite {

struct JobRow {
  JobKey key = 0;
  std::optional<JobKey> parent;  // of a triggered child
  JobState state = JobState::kActive;
  Present present;
  std::optional<SessionId> owner;
  Fence fence = 0;
  std::int64_t settled_total = 0;
  bool cancel = false;  // a user asked to cancel the present attempt
  bool sound = true;    // false: no program of this kind wrote it

  // A row to plan is looked at at once: its fire time belongs to a definition of the past.
  std::optional<Instant> ClaimAt() const {
    if (owner || state != JobState::kActive) return std::nullopt;
    return present.to_plan ? present.planned_from : present.due_at;
  }
};

inline constexpr const char* kUnsoundRow =
    "the store holds a row with a value missing, of another type or beyond reason";
// kInternal.
Error UnsoundJob(const std::string& id);

// What failed is the transaction's to tell; what is returned then means nothing.
class JobRows {
 public:
  JobRows(Transaction& tx, Instant now) : tx_(tx), now_(now) {}
  Instant now() const { return now_; }

  std::optional<JobRow> Find(JobKey key);  // sound or not
  std::optional<JobRow> FindById(const std::string& id);
  Result<JobDefinition> DefinitionOf(JobKey key);

  // Writes all of the row. Unowned, it is cancelled no more; a child that is over is erased.
  void Save(JobRow row);
  // A row as it was found but for what a commit changes, and as it is: still owned, active and planned.
  void SaveKept(const JobRow& row);
  void Erase(JobKey key);

  void Create(const JobDefinition& definition, const std::string& json, std::optional<JobKey> parent = {});
  void Import(const ArchivedJob& job);

  // The answer to one completion of a session that is live as `pod`, or ended.
  CommitAnswer Commit(SessionId session, const std::optional<std::string>& pod, const Completion& completion);
  // Adds to the job's history, and to the row's total.
  void AddRun(JobRow& row, const RunRecord& run, SessionId session, const std::string& pod);

 private:
  struct NewRow;
  JobKey Insert(const NewRow& row);
  Fence FirstFence(const std::string& id);
  void BeginReign(const JobRow& row, const Completion& completion);
  void Follow(JobKey key, const JobDefinition& job, const RunRecord& run);
  void AddLetter(const JobRow& row, const Completion& completion);
  bool WasApplied(SessionId session, const Completion& completion);

  Transaction& tx_;
  const Instant now_;
};

}  // namespace escapement::sqlite
