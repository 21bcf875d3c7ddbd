// Jobs and history on their way into and out of PostgreSQL.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "job/archive.h"
#include "postgres/connection.h"

namespace escapement::postgres {

// The port's methods of these names.
Result<std::vector<ArchivedJob>> ExportJobs(Connection& db, const std::string& after_id, int limit);
Result<std::vector<RunInfo>> ExportRuns(Connection& db, const std::vector<std::string>& job_ids,
                                        const std::optional<RunPosition>& after, int limit);
Status ImportJobs(Connection& db, const std::vector<ArchivedJob>& jobs);
Status ImportRuns(Connection& db, const std::vector<RunInfo>& runs);

}  // namespace escapement::postgres
