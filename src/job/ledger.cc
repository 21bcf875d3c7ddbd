#include "job/ledger.h"

#include <algorithm>

#include "schedule/kind.h"

namespace escapement {
namespace {

constexpr Duration kTick = Duration(1);

// Of a breach only who settled it and when is of interest: output and errors may be long.
RunInfo Brief(RunInfo run) {
  run.output.clear();
  run.error.clear();
  return run;
}

}  // namespace

std::string_view BreachName(BreachKind kind) {
  switch (kind) {
    case BreachKind::kMissing: return "missing";
    case BreachKind::kDoubled: return "doubled";
    case BreachKind::kOffGrid: return "off_grid";
    case BreachKind::kMiscounted: return "miscounted";
    case BreachKind::kAhead: return "ahead";
    case BreachKind::kTotal: return "total";
  }
  return "unknown";
}

LedgerJob LedgerOf(const ArchivedJob& job) {
  return {job.definition.id, job.present.created_at, job.present.cursor, job.settled_total, job.reigns, job.dropped};
}

LedgerCheck::LedgerCheck(LedgerJob job, const Options& options)
    : job_(std::move(job)),
      options_(options),
      from_(job_.dropped ? std::max(options.from, *job_.dropped + kTick) : options.from),
      end_(std::min(options.to, job_.cursor + kTick)),
      swept_(from_) {}

LedgerCheck::Points LedgerCheck::PointsIn(Instant from, Instant end, std::optional<Instant> of_row) const {
  Points points;
  auto reign = std::partition_point(job_.reigns.begin(), job_.reigns.end(),
                                    [&](const Reign& r) { return r.until && *r.until < from; });
  for (; reign != job_.reigns.end() && reign->after < end; ++reign) {
    const Instant begin = std::max(from, reign->after + kTick);
    const Instant until = reign->until ? std::min(end, *reign->until + kTick) : end;
    const bool told_by_rows = DelayOf(reign->grid).has_value();
    if (told_by_rows && !of_row) continue;
    const Schedule grid = told_by_rows ? reign->grid.AnchoredAt(*of_row) : reign->grid;
    const std::int64_t count = begin < until ? grid.Count(begin, until) : 0;
    if (count == 0) continue;
    if (points.count == 0) points.first = *grid.Next(begin - kTick);
    points.last = *grid.Last(until);
    points.count += count;
  }
  return points;
}

void LedgerCheck::Add(const RunInfo& run, Instant cursor) {
  if (run.triggered || run.settles == 0) return;
  if (run.last_fire < from_ || run.fire_time >= options_.to) return;
  JudgeRow(run, cursor);
  SweepTo(std::min(run.fire_time, end_));
  if (run.fire_time >= end_) return;
  Active& active = active_.emplace_back(Active{run.fire_time, run.last_fire, run.verdict, nullptr});
  if (active_.size() <= kBreachRuns) active.run = std::make_shared<const RunInfo>(Brief(run));
}

void LedgerCheck::JudgeRow(const RunInfo& run, Instant cursor) {
  Breach breach{BreachKind::kAhead, job_.id, run.fire_time, run.last_fire, 0, run.settles};
  if (run.last_fire > std::max(cursor, job_.cursor)) {
    ++found_.ahead;
  } else if (run.last_fire > job_.cursor) {
    return;  // settled since the job was read, maybe under a version that is not known here
  } else {
    const Points points = PointsIn(run.fire_time, run.last_fire + kTick, run.fire_time);
    breach.points = points.count;
    if (points.count == 0 || points.first != run.fire_time || points.last != run.last_fire) {
      breach.kind = BreachKind::kOffGrid;
      ++found_.off_grid;
    } else if (breach.points != run.settles) {
      breach.kind = BreachKind::kMiscounted;
      ++found_.miscounted;
    } else {
      return;
    }
  }
  breach.runs.push_back(Brief(run));
  Name(std::move(breach));
}

// Cuts [swept_, end) where rows end: in each segment all points have the same verdicts.
void LedgerCheck::SweepTo(Instant end) {
  while (swept_ < end) {
    std::erase_if(active_, [&](const Active& a) { return a.last < swept_; });
    Instant next = end;
    for (const Active& a : active_) next = std::min(next, a.last + kTick);
    JudgeSegment(swept_, next);
    swept_ = next;
  }
}

void LedgerCheck::JudgeSegment(Instant first, Instant end) {
  Points points = PointsIn(first, end, std::nullopt);
  std::int64_t verdicts = 0;
  for (const Active& a : active_) {
    const Points of_row = PointsIn(first, end, a.first);
    if (of_row.count == 0) continue;
    found_.counts.settled[a.verdict] += of_row.count;
    verdicts += of_row.count;
    if (of_row.count > points.count) points = of_row;
  }
  found_.counts.expected += points.count;
  if (verdicts == points.count) return;
  Breach breach{BreachKind::kMissing, job_.id, points.first, points.last, points.count, verdicts};
  if (active_.empty()) {
    found_.counts.missing += points.count;
  } else {
    breach.kind = BreachKind::kDoubled;
    found_.counts.doubled += verdicts - points.count;
    for (const Active& a : active_) {
      if (a.run && breach.runs.size() < kBreachRuns) breach.runs.push_back(*a.run);
    }
  }
  Name(std::move(breach));
}

void LedgerCheck::Name(Breach breach) {
  ++found_.breaches;
  if (found_.named.size() < options_.limit) found_.named.push_back(std::move(breach));
}

void LedgerCheck::Finish() {
  SweepTo(end_);
  const bool told_by_rows = std::any_of(job_.reigns.begin(), job_.reigns.end(),
                                        [](const Reign& reign) { return DelayOf(reign.grid).has_value(); });
  if (options_.total && !job_.reigns.empty() && !told_by_rows) {
    const Instant begin = job_.reigns.front().after + kTick;
    const std::int64_t points = PointsIn(begin, job_.cursor + kTick, std::nullopt).count;
    if (points != job_.settled_total) {
      ++found_.totals;
      Name({BreachKind::kTotal, job_.id, begin, job_.cursor, points, job_.settled_total});
    }
  }
  std::stable_sort(found_.named.begin(), found_.named.end(),
                   [](const Breach& a, const Breach& b) { return a.first < b.first; });
}

void LedgerCheck::Report(LedgerAudit* audit) const {
  ++audit->counts.jobs;
  audit->counts.expected += found_.counts.expected;
  audit->counts.missing += found_.counts.missing;
  audit->counts.doubled += found_.counts.doubled;
  for (const auto& [verdict, count] : found_.counts.settled) audit->counts.settled[verdict] += count;
  audit->unsettled += PointsIn(std::max(from_, end_), std::min(options_.to, options_.due), std::nullopt).count;
  audit->off_grid += found_.off_grid;
  audit->miscounted += found_.miscounted;
  audit->ahead += found_.ahead;
  audit->totals += found_.totals;
  audit->breaches += found_.breaches;
  for (const Breach& breach : found_.named) {
    if (audit->named.size() < options_.limit) audit->named.push_back(breach);
  }
}

}  // namespace escapement
