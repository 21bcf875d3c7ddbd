#include "sim/oracle.h"

#include <algorithm>

#include <fmt/format.h>

namespace escapement::sim {
namespace {

bool IsSkip(Verdict v) {
  return v == Verdict::kSkippedMisfired || v == Verdict::kSkippedOverlapped || v == Verdict::kSkippedPaused;
}

}  // namespace

bool Grid::Has(Instant t) const {
  return t == first || (step.count() > 0 && t > first && (t - first) % step == Duration(0));
}

std::optional<Instant> Grid::After(Instant t) const {
  if (t < first) return first;
  if (step.count() == 0) return std::nullopt;
  return first + ((t - first) / step + 1) * step;
}

std::int64_t Grid::Count(Instant from, Instant last) const {
  std::int64_t n = 0;
  for (auto point = After(from - Duration(1)); point && *point <= last; point = After(*point)) ++n;
  return n;
}

void Oracle::Disturbed(const std::string& id) {
  disturbed_.insert(id);
  for (const JobKey key : keys_[id]) rows_[key].disturbed = true;
}

void Oracle::OnSession(SessionId session, bool live) {
  live ? (void)live_.insert(session) : (void)live_.erase(session);
  if (trace) trace(fmt::format("session {} {}", session, live ? "begins" : "is ended"));
}

void Oracle::OnRow(const RowView& view) {
  auto [it, fresh] = rows_.try_emplace(view.key);
  Row& row = it->second;
  const Present& p = view.present;
  if (fresh) {
    row.id = view.definition.id;
    row.child = view.parent.has_value();
    row.settled = p.cursor;
    row.grids.push_back(row.child ? Grid{p.fire_time, {}} : grids_.at(row.id));
    row.last = {p.cursor, 0};
    row.fence = view.fence;
    keys_[row.id].insert(view.key);
    for (const JobKey other : keys_[row.id]) {
      Check(other == view.key || rows_[other].child || row.child || rows_[other].fence < view.fence,
            "fences of an id only grow", [&] { return fmt::format("{} begins again at {}", row.id, view.fence); });
    }
  }
  if (p.version != row.version) {
    row.version = p.version;
    row.grids.push_back(grids_.at(row.id));
  }
  Check(view.fence >= row.fence, "fences only grow",
        [&] { return fmt::format("{}: from {} to {}", row.id, row.fence, view.fence); });
  Check(!view.owner || live_.contains(*view.owner), "an ended session owns nothing",
        [&] { return fmt::format("{} is given to session {}", row.id, *view.owner); });
  Check(!view.owner || view.owner == row.owner || view.fence > row.fence, "a new owner has a new fence",
        [&] { return fmt::format("{}: session {} under fence {}", row.id, *view.owner, view.fence); });
  Check(!view.owner || !row.owner || view.owner == row.owner, "what is owned is not given away",
        [&] { return fmt::format("{}: from session {} to {}", row.id, *row.owner, *view.owner); });
  Check(!row.owner || view.owner || live_.contains(*row.owner) || view.fence > row.fence,
        "what a dead pod owned gets a new fence",
        [&] { return fmt::format("{} leaves session {} under fence {}", row.id, *row.owner, view.fence); });
  Check(row.grids.size() > 1 || row.child || p.cursor == row.settled, "the cursor is the last settled point",
        [&] { return fmt::format("{}: {}, settled {}", row.id, FormatInstant(p.cursor), FormatInstant(row.settled)); });
  if (trace && row.owner != view.owner) {
    trace(fmt::format("{} {} {} (fence {})", row.id, view.owner ? "is owned by session" : "leaves session",
                      view.owner.value_or(row.owner.value_or(0)), view.fence));
  }
  row.fence = view.fence;
  row.owner = view.owner;
  row.state = view.state;
  row.begun = p.begun;
  row.gone = view.gone;
  if (view.gone) keys_[row.id].erase(view.key);
}

void Oracle::OnRun(JobKey key, SessionId session, Fence fence, const RunInfo& run) {
  Row& row = rows_.at(key);
  const auto text = [&] {
    return fmt::format("{} {}{} attempt {}: {} (settles {}) by session {} under fence {}", row.id,
                       FormatInstant(run.fire_time),
                       run.last_fire > run.fire_time ? " to " + FormatInstant(run.last_fire) : "", run.attempt,
                       VerdictName(run.verdict), run.settles, session, fence);
  };
  if (trace) trace("the ledger: " + text());
  Check(session == 0 || (row.owner == session && live_.contains(session)), "only the owner settles", text);
  const std::pair<Instant, int> attempt{run.fire_time, run.attempt};
  Check(run.fire_time > row.settled, "settled once", text);
  Check(attempt > row.last, "one row for each attempt", text);
  row.last = std::max(row.last, {run.last_fire, run.attempt});
  if (row.grids.size() == 1) {
    Check(run.fire_time == row.grids.back().After(row.settled), "no point is passed over", text);
  } else {
    const auto on_a_grid = [&](Instant t) {
      return std::any_of(row.grids.begin(), row.grids.end(), [&](const Grid& g) { return g.Has(t); });
    };
    Check(on_a_grid(run.fire_time) && on_a_grid(run.last_fire), "no point off the grid", text);
  }
  if (run.settles > 0) {
    Check(row.grids.size() > 1 || row.grids.back().Count(run.fire_time, run.last_fire) == run.settles,
          "a stretch settles its points", text);
    row.settled = run.last_fire;
    row.settled_total += run.settles;
    settled_ += run.settles;
  }
  if (IsSkip(run.verdict)) skipped_ += run.settles;
  if (run.verdict == Verdict::kLost) ++lost_;
  const auto begun = begun_.find({row.id, run.fire_time, run.attempt});
  const auto ran = [&](const auto& how) {
    return begun != begun_.end() && std::any_of(begun->second.begin(), begun->second.end(), [&](const Begun& b) {
             return b.fence == fence && b.session == session && how(b);
           });
  };
  if (run.verdict == Verdict::kSucceeded || run.verdict == Verdict::kFailed) {
    Check(ran([](const Begun& b) { return b.ended; }), "what succeeded or failed was run to its end", text);
  } else if (run.started_at) {
    Check(ran([](const Begun&) { return true; }), "what ran was started", text);
  }
}

void Oracle::OnStart(const SimPod& pod, const StartRun& run) {
  const SessionId session = pod.session().value_or(0);
  const std::string& id = run.job->id;
  const auto text = [&] {
    return fmt::format("{} (session {}) starts {} {} attempt {} under fence {}", pod.name(), session, id,
                       FormatInstant(run.fire_time), run.attempt, run.fence);
  };
  Check(live_.contains(session), "no start without a live session", text);
  JobKey own = 0;
  for (const JobKey key : keys_[id]) {
    const Row& row = rows_[key];
    const bool same = row.owner == session && row.fence == run.fence;
    if (same && (own == 0 || row.child == (row.grids.front().first == run.fire_time && row.child))) own = key;
  }
  Check(own != 0 || disturbed_.contains(id), "only what is owned is started", text);

  const Occurrence occurrence{id, run.fire_time, run.attempt};
  std::vector<Begun>& before = begun_[occurrence];
  if (run.job->delivery == Delivery::kAtMostOnce) {
    Check(before.empty(), "at most once", text);
    Check(own == 0 || rows_[own].begun || disturbed_.contains(id), "at most once: marked before it starts", text);
  }
  for (const Begun& b : before) {
    Check(b.cancelled || !live_.contains(b.session) || disturbed_.contains(id), "a living run is not run again", text);
  }
  for (const auto& [who, other] : running_) {
    Check(own == 0 || other.key != own || !live_.contains(other.session) || disturbed_.contains(id),
          "runs of a job do not overlap", text);
  }
  before.push_back({session, run.fence});
  running_[{&pod, run.id}] = {own, session, occurrence, run.fence};
}

void Oracle::OnEnd(const SimPod& pod, RunId id) {
  const auto it = running_.find({&pod, id});
  if (it == running_.end()) return;
  for (Begun& b : begun_[it->second.occurrence]) {
    if (b.session == it->second.session && b.fence == it->second.fence) b.ended = true;
  }
  running_.erase(it);
}

void Oracle::OnCancel(const SimPod& pod, RunId id) {
  const auto it = running_.find({&pod, id});
  if (it == running_.end()) return;
  for (Begun& b : begun_[it->second.occurrence]) {
    if (b.session == it->second.session && b.fence == it->second.fence) b.cancelled = true;
  }
  it->second.key = 0;  // it may go on for as long as it likes
}

void Oracle::AtEnd(JobStore& store, Instant until, std::size_t pods) {
  for (const auto& [key, row] : rows_) {
    if (row.gone) continue;
    Check(row.state != JobState::kRemoved, "what was removed goes", [&] { return row.id + " is there still"; });
    Check(!row.child, "what was triggered is run", [&] { return "a triggered run of " + row.id + " is left"; });
    if (row.child || row.state == JobState::kRemoved) continue;
    if (row.state == JobState::kActive) {
      const auto next = row.grids.back().After(row.settled);
      Check(row.grids.size() > 1 || !next || *next >= until, "what is due is settled",
            [&] { return fmt::format("{} {} is not", row.id, next ? FormatInstant(*next) : ""); });
    }
    if (const auto info = store.Get(row.id)) {
      Check(info->settled_total == row.settled_total, "the total is the sum of the ledger",
            [&] { return fmt::format("{}: {}, not {}", row.id, info->settled_total, row.settled_total); });
    }
  }
  Check(live_.size() == pods, "each pod has one session",
        [&] { return fmt::format("{} sessions of {} pods", live_.size(), pods); });
  const auto audit = store.AuditWindow("", kEpoch, until);
  Check(audit && audit->missing == 0 && audit->doubled == 0, "the conservation law", [&] {
    return audit
               ? fmt::format("of {} points {} are missing, {} doubled", audit->expected, audit->missing, audit->doubled)
               : audit.error().message;
  });
}

}  // namespace escapement::sim
