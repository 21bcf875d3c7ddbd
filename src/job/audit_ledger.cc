#include "job/audit_ledger.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "job/errors.h"
#include "job/ledger.h"

namespace escapement {
namespace {

constexpr int kJobsPage = 250;   // definitions may be large
constexpr int kRunsPage = 2000;  // so may be outputs
// What is about to be dropped may be dropped between two pages.
constexpr Duration kDropMargin = std::chrono::hours(1);

class Auditor {
 public:
  Auditor(const LedgerSource& source, const AuditOptions& options) : source_(source), options_(options) {}

  Result<LedgerAudit> Run(int history_days) {
    if (auto s = SetWindow(history_days); !s) return tl::unexpected(s.error());
    const std::string& wanted = options_.job_id ? *options_.job_id : options_.id_prefix;
    std::string after = IdBefore(wanted);
    for (bool more = true; more;) {
      auto page = source_.jobs(after, kJobsPage);
      if (!page) return tl::unexpected(page.error());
      more = static_cast<int>(page->size()) == kJobsPage;
      const std::string start = after;
      std::vector<LedgerJob> jobs;
      for (const ArchivedJob& job : *page) {
        const std::string& id = job.definition.id;
        const bool is_wanted = options_.job_id ? id == wanted : id.starts_with(wanted);
        if (!is_wanted && id > wanted) more = false;  // none comes after it
        if (is_wanted && options_.job_id && !job.unreadable.empty()) return Unreadable(id, job.unreadable);
        if (is_wanted) Take(job, jobs);
        after = id;
      }
      page->clear();
      if (auto s = AuditPage(start, std::move(jobs)); !s) return tl::unexpected(s.error());
      if (options_.progress) options_.progress(audit_);
    }
    if (options_.job_id && audit_.counts.jobs + audit_.passed_over == 0) return NoSuchJob(*options_.job_id);
    return std::move(audit_);
  }

 private:
  Status SetWindow(int history_days) {
    auto now = source_.now();
    if (!now) return tl::unexpected(now.error());
    const auto bad = [](std::string why) { return Fail(Code::kInvalidArgument, "the window: " + std::move(why)); };
    audit_.retained_from = *now - std::chrono::days(history_days) + kDropMargin;
    audit_.from = std::max(options_.from.value_or(audit_.retained_from), audit_.retained_from);
    audit_.to = std::min(options_.to.value_or(*now), *now);
    if (options_.from && options_.to && *options_.from >= *options_.to) return bad("it must begin before it ends");
    if (options_.from && *options_.from >= *now) return bad("it begins in the future: nothing is settled there");
    if (audit_.from < audit_.to) return {};
    return bad(fmt::format("it ends before {}: of {} days of history, what is older may be dropped",
                           FormatInstant(audit_.retained_from), history_days));
  }

  void Take(const ArchivedJob& job, std::vector<LedgerJob>& jobs) {
    if (job.unreadable.empty()) {
      jobs.push_back(LedgerOf(job));
    } else {
      audit_.unreadable.push_back(job.definition.id);
    }
  }

  // In groups whose rows fill about one page, so that jobs with few rows cost no page each.
  Status AuditPage(std::string after, std::vector<LedgerJob> jobs) {
    for (std::size_t begin = 0; begin < jobs.size();) {
      std::size_t end = begin;
      for (std::int64_t rows = 0; end < jobs.size() && (end == begin || rows < kRunsPage); ++end) {
        rows += jobs[end].settled_total;
      }
      const auto at = [&](std::size_t i) { return jobs.begin() + static_cast<std::ptrdiff_t>(i); };
      const std::vector<LedgerJob> group(std::make_move_iterator(at(begin)), std::make_move_iterator(at(end)));
      if (auto s = AuditGroup(after, group); !s) return s;
      after = group.back().id;
      begin = end;
    }
    return {};
  }

  Status AuditGroup(const std::string& after, const std::vector<LedgerJob>& jobs) {
    std::vector<std::string> ids;
    for (const LedgerJob& job : jobs) ids.push_back(job.id);
    std::vector<std::optional<LedgerCheck>> checks(jobs.size());
    std::map<std::string, LedgerJob> later;  // the jobs, read after the rows
    const auto check_of = [&](std::size_t i) -> LedgerCheck& {
      if (checks[i]) return *checks[i];
      LedgerJob job = jobs[i];
      if (const auto again = later.find(job.id); again != later.end()) {
        job.dropped = std::max(job.dropped, again->second.dropped);
      }
      return checks[i].emplace(std::move(job), LedgerCheck::Options{.from = audit_.from,
                                                                    .to = options_.to.value_or(Instant::max()),
                                                                    .due = audit_.to,
                                                                    .total = !options_.from && !options_.to,
                                                                    .limit = options_.limit});
    };
    std::optional<RunPosition> position;
    std::size_t i = 0;
    for (bool more = true; more;) {
      auto runs = source_.runs(ids, position, kRunsPage);
      if (!runs) return tl::unexpected(runs.error());
      more = static_cast<int>(runs->size()) == kRunsPage;
      if (more) position = PositionOf(runs->back());
      auto again = ReadAgain(after, jobs);
      if (!again) return tl::unexpected(again.error());
      later = *std::move(again);
      for (const RunInfo& run : *runs) {
        while (i + 1 < jobs.size() && jobs[i].id < run.job_id) ++i;
        const auto job = later.find(run.job_id);
        if (job != later.end()) check_of(i).Add(run, job->second.cursor);
      }
    }
    for (std::size_t k = 0; k < jobs.size(); ++k) {
      const auto job = later.find(jobs[k].id);
      LedgerCheck& check = check_of(k);
      const bool same = job != later.end() && job->second.created_at == jobs[k].created_at;
      check.Finish();
      // Rows that were dropped while others were read would be missed.
      const bool dropped = same && job->second.dropped && *job->second.dropped >= check.from() && !check.Holds();
      if (same && !dropped) {
        check.Report(&audit_);
      } else {
        ++audit_.passed_over;
      }
    }
    return {};
  }

  Result<std::map<std::string, LedgerJob>> ReadAgain(std::string after, const std::vector<LedgerJob>& jobs) {
    const std::string& last = jobs.back().id;
    const int limit = static_cast<int>(jobs.size()) + 1;
    std::map<std::string, LedgerJob> found;
    while (after < last) {
      auto page = source_.jobs(after, limit);
      if (!page) return tl::unexpected(page.error());
      for (const ArchivedJob& job : *page) found.emplace(job.definition.id, LedgerOf(job));
      if (static_cast<int>(page->size()) < limit) break;
      after = page->back().definition.id;
    }
    return found;
  }

  const LedgerSource& source_;
  const AuditOptions& options_;
  LedgerAudit audit_;
};

}  // namespace

Result<LedgerAudit> AuditLedger(const LedgerSource& source, const AuditOptions& options, int history_days) {
  return Auditor(source, options).Run(history_days);
}

std::string IdBefore(const std::string& prefix) {
  if (prefix.empty()) return "";
  std::string before = prefix;
  const char last = before.back();
  before.pop_back();
  if (last > ' ' + 1 && last < 0x7F) return before + static_cast<char>(last - 1) + "\xF4\x8F\xBF\xBF";
  // Cut to whole characters: it stays valid text.
  while (!before.empty() && (static_cast<unsigned char>(prefix[before.size()]) & 0xC0) == 0x80) before.pop_back();
  return before;
}

}  // namespace escapement
