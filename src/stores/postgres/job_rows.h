// Rows of PostgreSQL as jobs and history, none of them trusted: a hand, a tool or a newer program may have written
// them.
#pragma once

#include <vector>

#include "escapement/dead_letter.h"
#include "escapement/job.h"
#include "job/settle.h"
#include "ports/job_store.h"
#include "postgres/connection.h"

namespace escapement::postgres {

// Errors are kInternal and name the job: a value is missing, of another type, or none that a store can hold.

// Ten columns from `first` on: created_at, cursor, fire_time, due_at, attempt, version, lost, begun, to_plan,
// planned_from; completed_at, which may be NULL; and failures.
[[nodiscard]] Result<Present> ReadPresent(const Rows& rows, int row, int first, int completed_at, int failures);
// Rows of claim.sql and recover.sql. A job that cannot be read is among them, and says why.
ClaimReply ReadClaimed(const Rows& rows);
// Rows of list_jobs.sql. A job that cannot be read is among them, and says why.
std::vector<JobInfo> ReadJobs(const Rows& rows);
// Rows of list_runs.sql, list_runs_of.sql and export_runs.sql.
[[nodiscard]] Result<std::vector<RunInfo>> ReadRuns(const Rows& rows);

// Rows of dead_letters.sql.
[[nodiscard]] Result<std::vector<DeadLetter>> ReadDeadLetters(const Rows& rows);

// kInternal: what is said of a row that is not Sound().
tl::unexpected<Error> Unsound();
// Of a row of this job, by what was read since the last such question.
[[nodiscard]] Status CheckSound(const Rows& rows, std::string_view job_id);

}  // namespace escapement::postgres
