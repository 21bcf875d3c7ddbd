// The audit of a whole ledger, in pages, while others write to it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "escapement/audit.h"
#include "escapement/status.h"
#include "job/archive.h"

namespace escapement {

// A store as the audit reads it: its clock, ExportJobs, ExportRuns.
struct LedgerSource {
  std::function<Result<Instant>()> now;
  std::function<Result<std::vector<ArchivedJob>>(const std::string& after_id, int limit)> jobs;
  std::function<Result<std::vector<RunInfo>>(const std::vector<std::string>& job_ids,
                                             const std::optional<RunPosition>& after, int limit)>
      runs;
};

// Each job is read before its rows and again after them. The first tells what must be among the rows, the second what
// may be, and whether it still is the same job: so nothing that pods do meanwhile looks like a breach.
// kInvalidArgument for a window of which nothing can be judged, kNotFound for a job that is not there,
// kUnsupported for one that cannot be read.
[[nodiscard]] Result<LedgerAudit> AuditLedger(const LedgerSource& source, const AuditOptions& options,
                                              int history_days);

// An id before all that begin with `prefix`, and after nearly all others that stand before these.
std::string IdBefore(const std::string& prefix);

}  // namespace escapement
