#include "stores/memory/memory_store.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "job/audit.h"
#include "job/definition_json.h"
#include "job/errors.h"
#include "job/failures.h"
#include "job/followers.h"
#include "job/progress_json.h"
#include "job/queue_key.h"
#include "job/text.h"
#include "job/unique_key.h"

namespace escapement {
namespace {

struct Row {
  JobKey key = 0;
  std::shared_ptr<const JobDefinition> definition;  // shared: with claimed jobs
  JobState state = JobState::kActive;
  Present present;
  std::optional<SessionId> owner;
  Fence fence = 0;
  std::int64_t settled_total = 0;
  std::vector<Reign> reigns;         // by time
  std::optional<JobKey> parent;      // of a triggered child
  std::set<JobKey> children;         // triggered and not over
  std::optional<CancelMark> cancel;  // what a user asked to cancel

  // A row to plan is looked at at once: its fire time belongs to a definition of the past.
  Instant LookAt() const { return present.to_plan ? present.planned_from : present.due_at; }
  bool Claimable() const { return !owner && state == JobState::kActive; }
  // A removed job whose run is settled, or a child that has done what it was made for.
  bool IsOver() const { return !owner && (state == JobState::kRemoved || (parent && state == JobState::kFinished)); }
};

struct RunRow {
  RunInfo info;
  JobKey job = 0;  // of the parent, if it was triggered
  SessionId session = 0;
  Fence fence = 0;
  std::uint64_t sequence = 0;  // order of settling
};

struct Session {
  std::string pod;
  std::int64_t beat = 0;
  Duration ttl{0};
  double rate = 0;
  std::int64_t owned = 0;
  std::string progress = {};  // as ProgressToJson writes it
};

// Who took a unique key last. It holds the key until then, and longer as long as HoldsKey says so.
struct KeyTaken {
  std::string job_id;
  Instant until;
};

}  // namespace

struct MemoryState {
  std::function<Instant()> clock;
  MemoryStoreObserver* observer = nullptr;
  std::mutex mutex;  // guards all that follows

  std::map<SessionId, Session> sessions;  // the live ones
  SessionId last_session = 0;
  std::unordered_map<JobKey, Row> rows;
  std::map<std::string, JobKey, std::less<>> keys;  // by id; removed jobs have no entry
  JobKey last_key = 0;
  Fence greatest_fence = 0;
  // (time to look, key) of claimable rows, by priority, the highest first.
  std::map<int, std::set<std::pair<Instant, JobKey>>, std::greater<>> claimable;
  std::unordered_map<SessionId, std::set<JobKey>> owned_by;  // ended sessions have no entry
  std::unordered_map<JobKey, std::deque<RunRow>> history;    // in the order of settling; outlives the row
  std::uint64_t last_sequence = 0;
  std::map<std::int64_t, DeadLetter> dead;  // by id
  std::int64_t last_dead = 0;
  PausedQueues paused;
  std::map<std::string, KeyTaken> unique_keys;

  // Takes the row out of both indexes while it is changed, and puts it back, or erases it, after.
  class Change {
   public:
    Change(MemoryState& state, Row& row) : state_(state), row_(row) {
      if (row_.Claimable()) state_.claimable[row_.definition->priority].erase({row_.LookAt(), row_.key});
      if (row_.owner) state_.owned_by[*row_.owner].erase(row_.key);
    }
    ~Change() {
      state_.greatest_fence = std::max(state_.greatest_fence, row_.fence);
      if (row_.Claimable()) state_.claimable[row_.definition->priority].insert({row_.LookAt(), row_.key});
      if (row_.owner) state_.owned_by[*row_.owner].insert(row_.key);
      if (state_.observer != nullptr) {
        state_.observer->OnRow(
            {row_.key, row_.parent, *row_.definition, row_.state, row_.present, row_.owner, row_.fence, row_.IsOver()});
      }
      if (!row_.IsOver()) return;
      if (Row* parent = row_.parent ? state_.Find(*row_.parent) : nullptr) parent->children.erase(row_.key);
      state_.rows.erase(row_.key);
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    MemoryState& state_;
    Row& row_;
  };

  Row* Find(JobKey key) {
    const auto it = rows.find(key);
    return it == rows.end() ? nullptr : &it->second;
  }
  Row* FindById(const std::string& id) {
    const auto it = keys.find(id);
    return it == keys.end() ? nullptr : Find(it->second);
  }

  ClaimedJob View(const Row& row) const {
    return {.key = row.key, .definition = row.definition, .fence = row.fence, .present = row.present};
  }

  const RunInfo& AddRun(Row& row, const RunRecord& run, SessionId session, Instant now) {
    const auto live = sessions.find(session);
    RunRow& added = history[row.key].emplace_back();
    added.info = {.job_id = row.definition->id,
                  .fire_time = run.fire_time,
                  .last_fire = run.last_fire,
                  .attempt = run.attempt,
                  .verdict = run.verdict,
                  .settles = run.settles,
                  .started_at = run.started_at,
                  .finished_at = run.finished_at,
                  .settled_at = now,
                  .pod = live == sessions.end() ? std::string() : live->second.pod,
                  .error = MakeValidText(run.error),
                  .output = MakeValidTail(run.output, kOutputLimit),
                  .triggered = row.parent.has_value()};
    added.job = row.parent.value_or(row.key);
    added.session = session;
    added.fence = row.fence;
    added.sequence = ++last_sequence;
    row.settled_total += run.settles;
    if (observer != nullptr) observer->OnRun(row.key, session, row.fence, added.info);
    return added.info;
  }

  void AddLetter(const RunInfo& run, std::string payload) {
    const std::int64_t id = ++last_dead;
    dead[id] = {.id = id,
                .job_id = run.job_id,
                .payload = std::move(payload),
                .fire_time = run.fire_time,
                .attempts = run.attempt,
                .verdict = run.verdict,
                .error = run.error,
                .triggered = run.triggered,
                .settled_at = run.settled_at};
  }

  // True: it lived until now.
  bool End(SessionId session) {
    if (sessions.erase(session) == 0) return false;
    if (observer != nullptr) observer->OnSession(session, /*live=*/false);
    return true;
  }

  // The reign of the new version begins: what was planned before it is settled, or given up.
  void BeginReign(Row& row, const Completion& completion) {
    const Present& present = row.present;
    const bool started = WasStarted(present);
    const bool keeps_occurrence = completion.run || (started && completion.next.fire_time == present.fire_time);
    const Instant until = keeps_occurrence ? present.fire_time : present.cursor;
    const Instant after = completion.run || !keeps_occurrence ? std::max(until, present.planned_from) : until;
    row.reigns.back().until = until;
    row.reigns.push_back(
        {present.version, row.definition->schedule.AnchoredAt(present.created_at), after, std::nullopt});
  }

  CommitAnswer Commit(SessionId session, const Completion& completion, Instant now) {
    Row* row = Find(completion.key);
    const bool owns =
        row != nullptr && sessions.contains(session) && row->owner == session && row->fence == completion.fence;
    if (!owns || row->present.fire_time != completion.fire_time || row->present.attempt != completion.attempt) {
      const bool applied = WasApplied(session, completion);
      return {.outcome = applied ? CommitOutcome::kAlreadyApplied : CommitOutcome::kStale,
              .kept = applied && owns,
              .error = {}};
    }
    const bool outdated = completion.version != row->present.version;
    if (!completion.run && !outdated && !row->present.to_plan) {
      // A plan that keeps the occurrence leaves the row as it compares: once more, it would wipe the mark of a start.
      return {.outcome = CommitOutcome::kAlreadyApplied, .kept = true, .error = {}};
    }
    const Change change(*this, *row);
    if (outdated && (!completion.run || WithoutRun(completion.run->verdict))) {
      // The new definition may want these points, and must not inherit a point that it never had: its next owner plans
      // from the change on.
      row->owner.reset();
      row->cancel.reset();
      return {.outcome = CommitOutcome::kStale, .kept = false, .error = {}};
    }
    if (completion.run) {
      const RunInfo& run = AddRun(*row, *completion.run, session, now);
      if (FailedForGood(run.verdict, run.settles)) {
        AddLetter(run, completion.ran ? completion.ran->payload : std::string());
      }
    }
    if (!outdated && row->present.to_plan) BeginReign(*row, completion);
    const int failures = completion.run
                             ? FailuresAfter(row->present.failures, completion.run->verdict, completion.run->settles)
                             : row->present.failures;
    row->present = Advance(row->present, completion.next);
    row->present.failures = failures;
    row->present.to_plan = outdated;
    row->cancel.reset();
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
    if (!kept) row->owner.reset();
    if (completion.run && completion.ran) Follow(row->key, *completion.ran, *completion.run);
    return {.outcome = CommitOutcome::kApplied, .kept = kept, .error = {}};
  }

  void Follow(JobKey key, const JobDefinition& job, const RunRecord& run) {
    for (const std::string& id : FollowersOf(job, run.verdict, run.settles)) {
      const Row* follower = FindById(id);
      const bool handed_on = run.verdict == Verdict::kHandedOn;
      if (follower == nullptr || (handed_on && follower->key != key)) continue;  // another by now
      (void)AddChild(*follower, handed_on ? run.fire_time : clock(), std::nullopt);
    }
  }

  bool WasApplied(SessionId session, const Completion& completion) const {
    const auto runs = history.find(completion.key);
    if (!completion.run || runs == history.end()) return false;
    // The newest first: a resend comes soon.
    return std::any_of(runs->second.rbegin(), runs->second.rend(), [&](const RunRow& run) {
      return run.session == session && run.fence == completion.fence &&
             run.info.fire_time == completion.run->fire_time && run.info.attempt == completion.run->attempt &&
             run.info.verdict == completion.run->verdict;
    });
  }

  // Makes all rows of a session unowned; `lost`: its pod is dead.
  std::int64_t HandBack(SessionId session, bool lost) {
    const auto it = owned_by.find(session);
    if (it == owned_by.end()) return 0;
    const std::set<JobKey> jobs = it->second;
    for (const JobKey key : jobs) {
      Row& row = *Find(key);
      const Change change(*this, row);
      row.owner.reset();
      row.cancel.reset();
      ++row.fence;
      row.present.lost += lost ? 1 : 0;
    }
    owned_by.erase(session);
    return static_cast<std::int64_t>(jobs.size());
  }

  // While the job is there, is not finished and still defines the key.
  bool HoldsKey(const std::string& id, const std::string& key) {
    const Row* row = FindById(id);
    return row != nullptr && row->state != JobState::kFinished && row->definition->unique == key;
  }

  // Whether another job holds the unique key of this one.
  bool IsHeld(const JobDefinition& job, Instant now) {
    const auto taken = unique_keys.find(job.unique);
    return !job.unique.empty() && taken != unique_keys.end() && taken->second.job_id != job.id &&
           (taken->second.until > now || HoldsKey(taken->second.job_id, job.unique));
  }
  void TakeKey(const JobDefinition& job, Instant created) {
    if (!job.unique.empty()) unique_keys[job.unique] = {job.id, created + job.unique_for};
  }

  EnqueueOutcome Put(const JobDefinition& definition, Instant now) {
    Row* row = FindById(definition.id);
    if (row != nullptr && *row->definition == definition) return EnqueueOutcome::kUnchanged;
    if (IsHeld(definition, now)) return EnqueueOutcome::kHeld;
    TakeKey(definition, row == nullptr ? now : row->present.created_at);
    if (row == nullptr) {
      Insert(definition, now);
      return EnqueueOutcome::kCreated;
    }
    const Change change(*this, *row);
    row->definition = std::make_shared<JobDefinition>(definition);
    ++row->present.version;
    row->present.to_plan = true;
    row->present.planned_from = now;
    if (row->state == JobState::kFinished) row->state = JobState::kActive;
    return EnqueueOutcome::kUpdated;
  }

  // Above every fence that this id, removed and created again, had before; by the time as in the other stores.
  Fence FirstFence(Instant now) const { return std::max(ToMicros(now) / 1000, greatest_fence + 1); }

  void Insert(const JobDefinition& definition, Instant now, std::optional<JobKey> parent = {}) {
    const Schedule grid = definition.schedule.AnchoredAt(now);
    const Instant cursor = grid.FirstCursor(now);
    const std::optional<Instant> first = grid.Next(cursor);
    const JobKey key = ++last_key;
    Row& row = rows[key];
    if (!parent) keys[definition.id] = key;
    row.key = key;
    row.definition = std::make_shared<JobDefinition>(definition);
    const Change change(*this, row);
    row.parent = parent;
    if (parent) Find(*parent)->children.insert(key);
    row.state = first ? JobState::kActive : JobState::kFinished;
    row.present = {.created_at = now,
                   .cursor = cursor,
                   .fire_time = first.value_or(cursor),
                   .due_at = first.value_or(cursor),
                   .planned_from = now};
    row.fence = FirstFence(now);
    row.reigns.push_back({1, grid, cursor, std::nullopt});
  }

  Status AddChild(const Row& parent, Instant fire_time, const std::optional<std::string>& payload) {
    auto child = TriggeredDefinition(*parent.definition, fire_time, payload);
    if (!child) return tl::unexpected<Error>(child.error());
    Insert(*child, clock(), parent.key);
    return {};
  }

  // Settles what was missed while the row was paused.
  void SkipPaused(Row& row, Instant now) {
    // With a change of definition pending, the new version begins with the resumption.
    if (row.present.to_plan) {
      row.present.planned_from = now;
      return;
    }
    if (row.present.completed_at) return;  // to be settled as it is
    const auto skip = SkipStretch(*row.definition, row.present, now, Verdict::kSkippedPaused);
    if (!skip) return;
    AddRun(row, *skip->run, /*session=*/0, now);
    row.present = Advance(row.present, skip->next);
    if (!skip->next.fire_time) row.state = JobState::kFinished;
  }

  JobInfo Describe(const Row& row) const {
    JobInfo info{.definition = *row.definition,
                 .version = row.present.version,
                 .state = row.state,
                 .created_at = row.present.created_at,
                 .cursor = row.present.cursor,
                 .fire_time = std::nullopt,
                 .attempt = row.present.attempt,
                 .owner_pod = std::nullopt,
                 .fence = row.fence,
                 .settled_total = row.settled_total,
                 .failures = row.present.failures};
    if (row.state != JobState::kFinished) info.fire_time = row.present.fire_time;
    if (row.owner) info.owner_pod = sessions.at(*row.owner).pod;
    return info;
  }

  void AuditRow(const Row& row, Instant from, Instant to, Audit& audit) const {
    std::vector<SettledSpan> spans;
    if (const auto runs = history.find(row.key); runs != history.end()) {
      for (const RunRow& run : runs->second) {
        if (run.info.settles == 0 || run.info.last_fire < from || run.info.fire_time >= to) continue;
        spans.push_back({run.info.fire_time, run.info.last_fire, run.info.settles, run.info.verdict});
      }
    }
    for (std::size_t i = 0; i < row.reigns.size(); ++i) {
      const Reign& reign = row.reigns[i];
      const Instant first = std::max(from, reign.after + Duration(1));
      const Instant end = reign.until ? std::min(to, *reign.until + Duration(1)) : to;
      const bool last = i + 1 == row.reigns.size();
      AuditJob(reign.grid, first, end, last ? std::move(spans) : spans, &audit);
    }
    audit.jobs -= static_cast<std::int64_t>(row.reigns.size()) - 1;  // they are one job
  }
};

namespace {

class MemoryStore final : public JobStore {
 public:
  explicit MemoryStore(std::shared_ptr<MemoryState> state) : state_(std::move(state)) {}

  Status Migrate() override { return {}; }
  Status CheckSchema() override { return {}; }
  Result<Instant> Now() override { return state_->clock(); }

  Result<SessionId> OpenSession(const OpenSessionRequest& request) override {
    const std::lock_guard lock(state_->mutex);
    const SessionId id = ++state_->last_session;
    state_->sessions[id] = {.pod = request.pod, .ttl = request.ttl};
    if (state_->observer != nullptr) state_->observer->OnSession(id, /*live=*/true);
    return id;
  }

  Result<BeatReply> Beat(const BeatRequest& request) override {
    const std::lock_guard lock(state_->mutex);
    BeatReply reply;
    if (const auto session = state_->sessions.find(request.session); session != state_->sessions.end()) {
      reply.live = true;
      ++session->second.beat;
      session->second.rate = request.rate;
      session->second.owned = request.owned;
      session->second.progress = ProgressToJson(request.progress);
    }
    for (const auto& [id, session] : state_->sessions) {
      reply.sessions.push_back({.id = id,
                                .pod = session.pod,
                                .beat = session.beat,
                                .ttl = session.ttl,
                                .rate = session.rate,
                                .owned = session.owned});
    }
    for (const auto& [key, row] : state_->rows) {
      const bool mine = row.owner && *row.owner == request.session;
      if (mine && (row.present.to_plan || row.state != JobState::kActive)) reply.changed.push_back(key);
      if (mine && row.cancel) reply.cancelled.push_back(*row.cancel);
      if (row.state != JobState::kActive) continue;
      reply.total_rate += row.definition->schedule.Rate();
      ++reply.total_jobs;
    }
    reply.paused = state_->paused;
    reply.store_time = state_->clock();
    return reply;
  }

  Result<ReclaimReply> Reclaim(SessionId session, std::int64_t beat) override {
    const std::lock_guard lock(state_->mutex);
    const auto live = state_->sessions.find(session);
    if (live != state_->sessions.end() && live->second.beat != beat) return ReclaimReply{};
    const bool ended = state_->End(session);
    return ReclaimReply{.ended = ended, .jobs = state_->HandBack(session, /*lost=*/true)};
  }

  Status EndSession(SessionId session) override {
    const std::lock_guard lock(state_->mutex);
    state_->End(session);
    state_->HandBack(session, /*lost=*/false);
    return {};
  }

  Result<ClaimReply> Claim(const ClaimRequest& request) override {
    const std::lock_guard lock(state_->mutex);
    const Instant now = state_->clock();
    ClaimReply reply{.live = state_->sessions.contains(request.session), .jobs = {}, .store_time = now};
    if (!reply.live) return reply;
    std::vector<Row*> chosen;
    const auto limit = static_cast<std::size_t>(std::max(request.limit, 0));
    std::set<std::string_view> queues;
    for (const std::string& queue : request.queues) {
      if (!state_->paused.Hold(QueueOf(queue))) queues.insert(queue);
    }
    const auto wanted = [&](JobKey key) { return queues.contains(QueueKey(*state_->Find(key)->definition)); };
    // What is due, by priority; then what will be due soon, by time. Or all by time.
    std::set<std::pair<Instant, JobKey>> soon;
    for (const auto& [priority, rows] : state_->claimable) {
      if (priority <= request.above) continue;
      auto it = rows.begin();
      for (std::size_t n = 0; request.oldest_first && it != rows.end() && it->first <= now && n < limit; ++it) {
        if (wanted(it->second)) soon.insert(*it), ++n;
      }
      for (; it != rows.end() && it->first <= now && chosen.size() < limit; ++it) {
        if (wanted(it->second)) chosen.push_back(state_->Find(it->second));
      }
      for (std::size_t n = 0; it != rows.end() && it->first < now + request.horizon && n < limit; ++it) {
        if (wanted(it->second)) soon.insert(*it), ++n;
      }
    }
    for (auto it = soon.begin(); it != soon.end() && chosen.size() < limit; ++it) {
      chosen.push_back(state_->Find(it->second));
    }
    for (Row* row : chosen) {
      const MemoryState::Change change(*state_, *row);
      row->owner = request.session;
      ++row->fence;
      reply.jobs.push_back(state_->View(*row));
    }
    return reply;
  }

  Result<ClaimReply> Recover(SessionId session, const std::vector<std::pair<JobKey, Fence>>& known) override {
    const std::lock_guard lock(state_->mutex);
    ClaimReply reply{.live = state_->sessions.contains(session), .jobs = {}, .store_time = state_->clock()};
    const auto owned = state_->owned_by.find(session);
    if (owned == state_->owned_by.end()) return reply;
    const std::set<std::pair<JobKey, Fence>> without(known.begin(), known.end());
    for (const JobKey key : owned->second) {
      const Row& row = *state_->Find(key);
      if (!without.contains({key, row.fence})) reply.jobs.push_back(state_->View(row));
    }
    return reply;
  }

  Result<std::vector<bool>> Begin(SessionId session, const std::vector<BeginRequest>& requests) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<bool> answers;
    for (const BeginRequest& request : requests) {
      Row* row = state_->Find(request.key);
      const bool may = row != nullptr && row->owner == session && row->fence == request.fence &&
                       row->present.fire_time == request.fire_time && row->present.attempt == request.attempt;
      if (may) {
        const MemoryState::Change change(*state_, *row);
        row->present.begun = true;
      }
      answers.push_back(may);
    }
    return answers;
  }

  Result<CommitReply> Commit(SessionId session, const std::vector<Completion>& completions) override {
    const std::lock_guard lock(state_->mutex);
    CommitReply reply;
    reply.store_time = state_->clock();
    for (const Completion& completion : completions) {
      reply.answers.push_back(state_->Commit(session, completion, reply.store_time));
    }
    return reply;
  }

  Status Release(SessionId session, const std::vector<std::pair<JobKey, Fence>>& jobs) override {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [key, fence] : jobs) {
      Row* row = state_->Find(key);
      if (row == nullptr || row->owner != session || row->fence != fence) continue;
      const MemoryState::Change change(*state_, *row);
      row->owner.reset();
      row->cancel.reset();
    }
    return {};
  }

  Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) override {
    std::unordered_set<std::string_view> ids;
    for (const JobDefinition& job : jobs) {
      if (const Status valid = Validate(job); !valid) return tl::unexpected<Error>(valid.error());
      if (!ids.insert(job.id).second) {
        return GivenTwice(job.id);
      }
    }
    const std::lock_guard lock(state_->mutex);
    const Instant now = state_->clock();
    std::vector<EnqueueOutcome> outcomes;
    for (const JobDefinition& job : jobs) outcomes.push_back(state_->Put(job, now));
    return outcomes;
  }

  Status Remove(const std::string& id) override {
    const std::lock_guard lock(state_->mutex);
    Row* row = state_->FindById(id);
    if (row == nullptr) return NoSuchJob(id);
    const MemoryState::Change change(*state_, *row);
    state_->keys.erase(id);
    row->state = JobState::kRemoved;
    const std::set<JobKey> children = row->children;
    for (const JobKey key : children) {
      Row& child = *state_->Find(key);
      const MemoryState::Change removal(*state_, child);
      if (!child.owner) child.state = JobState::kRemoved;
    }
    return {};
  }

  Status Pause(const std::string& id) override {
    const std::lock_guard lock(state_->mutex);
    Row* row = state_->FindById(id);
    if (row == nullptr) return NoSuchJob(id);
    const MemoryState::Change change(*state_, *row);
    if (row->state == JobState::kActive) row->state = JobState::kPaused;
    return {};
  }

  Status Resume(const std::string& id) override {
    const std::lock_guard lock(state_->mutex);
    Row* row = state_->FindById(id);
    if (row == nullptr) return NoSuchJob(id);
    if (row->state != JobState::kPaused) return {};
    const MemoryState::Change change(*state_, *row);
    row->state = JobState::kActive;
    row->present.failures = 0;
    // While its run is still going, the owner settles the rest by the late policy.
    if (!row->owner) state_->SkipPaused(*row, state_->clock());
    return {};
  }

  Status PauseQueue(const std::optional<std::string>& queue) override {
    if (const Status valid = CheckQueue(queue); !valid) return valid;
    const std::lock_guard lock(state_->mutex);
    queue ? (void)state_->paused.queues.insert(*queue) : (void)(state_->paused.all = true);
    return {};
  }

  Status ResumeQueue(const std::optional<std::string>& queue) override {
    if (const Status valid = CheckQueue(queue); !valid) return valid;
    const std::lock_guard lock(state_->mutex);
    queue ? (void)state_->paused.queues.erase(*queue) : (void)(state_->paused.all = false);
    return {};
  }

  Result<PausedQueues> Paused() override {
    const std::lock_guard lock(state_->mutex);
    return state_->paused;
  }

  Status Trigger(const std::string& id, const std::optional<std::string>& payload) override {
    const std::lock_guard lock(state_->mutex);
    const Row* row = state_->FindById(id);
    if (row == nullptr) return NoSuchJob(id);
    return state_->AddChild(*row, state_->clock(), payload);
  }

  Status Cancel(const std::string& id) override {
    const std::lock_guard lock(state_->mutex);
    Row* job = state_->FindById(id);
    if (job == nullptr) return NoSuchJob(id);
    const Instant now = state_->clock();
    bool any = false;
    const auto mark = [&](Row& row) {
      if (!row.owner || row.present.due_at > now) return;
      row.cancel = CancelMark{row.key, row.present.fire_time, row.present.attempt};
      any = true;
    };
    mark(*job);
    for (const JobKey key : job->children) mark(*state_->Find(key));
    return any ? Status() : NothingUnderWay(id);
  }

  Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<DeadLetter> letters;
    for (auto it = state_->dead.upper_bound(filter.after_id); it != state_->dead.end(); ++it) {
      if (static_cast<int>(letters.size()) >= filter.limit) break;
      if (!filter.job_id.empty() && it->second.job_id != filter.job_id) continue;
      letters.push_back(it->second);
      if (!filter.payloads) letters.back().payload.clear();
    }
    return letters;
  }

  Status RetryDead(std::int64_t id) override {
    const std::lock_guard lock(state_->mutex);
    const auto letter = state_->dead.find(id);
    if (letter == state_->dead.end()) return NoSuchLetter(id);
    const Row* row = state_->FindById(letter->second.job_id);
    if (row == nullptr) return JobOfLetterGone(id, letter->second.job_id);
    if (const Status added = state_->AddChild(*row, state_->clock(), letter->second.payload); !added) return added;
    state_->dead.erase(letter);
    return {};
  }

  Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<std::int64_t> gone;
    for (const std::int64_t id : ids) {
      if (state_->dead.erase(id) > 0) gone.push_back(id);
    }
    return gone;
  }

  Result<JobInfo> Get(const std::string& id) override {
    const std::lock_guard lock(state_->mutex);
    const Row* row = state_->FindById(id);
    if (row == nullptr) return NoSuchJob(id);
    return state_->Describe(*row);
  }

  Result<std::vector<JobInfo>> List(const JobFilter& filter) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<JobInfo> jobs;
    const auto full = [&] { return static_cast<int>(jobs.size()) >= filter.limit; };
    const std::string& from = std::max(filter.id_prefix, filter.after_id);
    for (auto it = state_->keys.lower_bound(from); it != state_->keys.end() && !full(); ++it) {
      if (!it->first.starts_with(filter.id_prefix)) break;
      const Row& row = *state_->Find(it->second);
      if (it->first == filter.after_id) continue;
      if (filter.state && row.state != *filter.state) continue;
      if (HasMetadata(row.definition->metadata, filter.metadata)) jobs.push_back(state_->Describe(row));
    }
    return jobs;
  }

  Result<std::vector<RunInfo>> Runs(const RunFilter& filter) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<const RunRow*> found;
    for (const auto& [key, runs] : state_->history) {
      if (runs.empty() || (!filter.job_id.empty() && runs.front().info.job_id != filter.job_id)) continue;
      for (const RunRow& run : runs) {
        if (filter.fire_from && run.info.fire_time < *filter.fire_from) continue;
        if (filter.fire_to && run.info.fire_time >= *filter.fire_to) continue;
        found.push_back(&run);
      }
    }
    const auto count = std::min(found.size(), static_cast<std::size_t>(std::max(filter.limit, 0)));
    std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(),
                      [](const RunRow* a, const RunRow* b) { return a->sequence > b->sequence; });
    std::vector<RunInfo> runs;
    for (std::size_t i = 0; i < count; ++i) runs.push_back(found[i]->info);
    return runs;
  }

  Result<std::vector<RunProgress>> Progress(const std::string& job_id) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<SentProgress> sent;
    for (const auto& [id, session] : state_->sessions) sent.push_back({session.pod, session.progress});
    return ReadProgress(sent, job_id);
  }

  Result<StoreStats> Stats() override {
    const std::lock_guard lock(state_->mutex);
    StoreStats stats;
    for (const auto& [key, row] : state_->rows) ++stats.jobs[row.state];
    const Instant now = state_->clock();
    for (const auto& [priority, rows] : state_->claimable) {
      stats.overdue += std::distance(rows.begin(), rows.upper_bound({now, kMaxKey}));
    }
    return stats;
  }

  Result<std::vector<PodInfo>> Pods() override {
    const std::lock_guard lock(state_->mutex);
    std::vector<PodInfo> pods;
    for (const auto& [id, session] : state_->sessions) {
      pods.push_back({.name = session.pod, .session = id, .rate = session.rate, .owned = session.owned});
    }
    return pods;
  }

  Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) override {
    const std::lock_guard lock(state_->mutex);
    Audit audit;
    for (auto it = state_->keys.lower_bound(id_prefix); it != state_->keys.end(); ++it) {
      if (!it->first.starts_with(id_prefix)) break;
      state_->AuditRow(*state_->Find(it->second), from, to, audit);
    }
    return audit;
  }

  Result<std::vector<ArchivedJob>> ExportJobs(const std::string& after_id, int limit) override {
    const std::lock_guard lock(state_->mutex);
    std::vector<ArchivedJob> jobs;
    for (auto it = state_->keys.upper_bound(after_id); it != state_->keys.end(); ++it) {
      if (static_cast<int>(jobs.size()) >= limit) break;
      const Row& row = *state_->Find(it->second);
      jobs.push_back(AtRest({*row.definition, row.state, row.present, row.settled_total, row.reigns}));
    }
    return jobs;
  }

  Result<std::vector<RunInfo>> ExportRuns(const std::vector<std::string>& job_ids,
                                          const std::optional<RunPosition>& after, int limit) override {
    const std::lock_guard lock(state_->mutex);
    std::unordered_set<JobKey> jobs;
    for (const std::string& id : job_ids) {
      if (const Row* row = state_->FindById(id)) jobs.insert(row->key);
    }
    std::vector<RunInfo> runs;
    for (const auto& [key, job_runs] : state_->history) {
      for (const RunRow& run : job_runs) {
        if (jobs.contains(run.job) && (!after || PositionOf(run.info) > *after)) runs.push_back(run.info);
      }
    }
    std::sort(runs.begin(), runs.end(),
              [](const RunInfo& a, const RunInfo& b) { return PositionOf(a) < PositionOf(b); });
    if (static_cast<int>(runs.size()) > limit) runs.resize(static_cast<std::size_t>(std::max(limit, 0)));
    return runs;
  }

  Status ImportJobs(const std::vector<ArchivedJob>& jobs) override {
    if (const Status valid = ValidateArchive(jobs); !valid) return valid;
    const std::lock_guard lock(state_->mutex);
    for (const ArchivedJob& job : jobs) {
      if (state_->keys.contains(job.definition.id)) return AlreadyThere(job.definition.id);
    }
    const Instant now = state_->clock();
    std::unordered_set<std::string_view> unique_keys;
    for (const ArchivedJob& job : jobs) {
      if (!HoldsItsKey(job, now)) continue;
      if (!unique_keys.insert(job.definition.unique).second || state_->IsHeld(job.definition, now)) {
        return KeyHeld(job.definition.id, job.definition.unique);
      }
    }
    for (const ArchivedJob& job : jobs) {
      const JobKey key = ++state_->last_key;
      Row& row = state_->rows[key];
      state_->keys[job.definition.id] = key;
      row.key = key;
      row.definition = std::make_shared<JobDefinition>(job.definition);
      const MemoryState::Change change(*state_, row);
      row.state = job.state;
      row.present = job.present;
      row.fence = state_->FirstFence(state_->clock());
      row.settled_total = job.settled_total;
      row.reigns = job.reigns;
      if (HoldsItsKey(job, now)) state_->TakeKey(job.definition, job.present.created_at);
    }
    return {};
  }

  Status ImportRuns(const std::vector<RunInfo>& runs) override {
    const std::lock_guard lock(state_->mutex);
    for (const RunInfo& run : runs) {
      if (!state_->keys.contains(run.job_id)) return NoSuchJob(run.job_id);
    }
    for (const RunInfo& run : runs) {
      const JobKey job = state_->keys[run.job_id];
      // The ledger of the job itself must not count what was triggered beside it.
      const JobKey key = run.triggered ? ++state_->last_key : job;
      state_->history[key].push_back({.info = run, .job = job, .sequence = ++state_->last_sequence});
    }
    return {};
  }

  Status Maintain(const MaintainOptions& options) override {
    const std::lock_guard lock(state_->mutex);
    const Instant oldest = state_->clock() - std::chrono::days(options.history_days);
    for (auto& [key, runs] : state_->history) {
      while (!runs.empty() && runs.front().info.settled_at < oldest) runs.pop_front();
    }
    std::erase_if(state_->history, [](const auto& entry) { return entry.second.empty(); });
    std::erase_if(state_->unique_keys, [&, now = state_->clock()](const auto& entry) {
      return entry.second.until <= now && !state_->HoldsKey(entry.second.job_id, entry.first);
    });
    return {};
  }

 private:
  static constexpr JobKey kMaxKey = std::numeric_limits<JobKey>::max();
  std::shared_ptr<MemoryState> state_;  // shared: by all the stores of a factory
};

}  // namespace

MemoryStoreFactory::MemoryStoreFactory()
    : MemoryStoreFactory([] { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }) {}

MemoryStoreFactory::MemoryStoreFactory(std::function<Instant()> clock, MemoryStoreObserver* observer)
    : state_(std::make_shared<MemoryState>()) {
  state_->clock = std::move(clock);
  state_->observer = observer;
}

Result<std::unique_ptr<JobStore>> MemoryStoreFactory::Open() { return std::make_unique<MemoryStore>(state_); }

}  // namespace escapement
