#include "stores/postgres/postgres_store.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "job/audit.h"
#include "job/definition_json.h"
#include "job/errors.h"
#include "job/followers.h"
#include "job/progress_json.h"
#include "job/queue_key.h"
#include "job/text.h"
#include "postgres/connection.h"
#include "stores/postgres/archive.h"
#include "stores/postgres/job_rows.h"
#include "stores/postgres/schema.h"
#include "stores/postgres/sql/queries.h"
#include "time/quoted.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;
using postgres::Rows;
namespace sql = postgres::sql;

constexpr int kDaysAhead = 7;
constexpr std::int64_t kBulk = 500;  // jobs created that may spoil a plan
constexpr int kKeysAtOnce = 1000;    // looked at, and locked, by one step of upkeep
constexpr int kRetries = 5;          // of deadlocks and serialisation failures

constexpr Query kBelievedJobs = {"believed_jobs", sql::kBelievedJobs};
constexpr Query kClaim = {"claim", sql::kClaim};
constexpr Query kTrigger = {"trigger_job", sql::kTrigger};
constexpr Query kDeadLetter = {"dead_letter", sql::kDeadLetter};
constexpr Query kDeadLetters = {"dead_letters", sql::kDeadLetters};
constexpr Query kDiscardDead = {"discard_dead", sql::kDiscardDead};
constexpr Query kCancel = {"cancel_job", sql::kCancel};
constexpr Query kCancelledJobs = {"cancelled_jobs", sql::kCancelledJobs};
constexpr Query kRecover = {"recover", sql::kRecover};
constexpr Query kCommit = {"commit", sql::kCommit};
constexpr Query kSettledBefore = {"settled_before", sql::kSettledBefore};
constexpr Query kBegin = {"begin_runs", sql::kBegin};
constexpr Query kRelease = {"release", sql::kRelease};
constexpr Query kOpenSession = {"open_session", sql::kOpenSession};
constexpr Query kBeat = {"beat", sql::kBeat};
constexpr Query kProgress = {"progress", sql::kProgress};
constexpr Query kLiveSessions = {"live_sessions", sql::kLiveSessions};
constexpr Query kChangedJobs = {"changed_jobs", sql::kChangedJobs};
constexpr Query kStoreTime = {"store_time", sql::kStoreTime};
constexpr Query kLockSession = {"lock_session", sql::kLockSession};
constexpr Query kEndSession = {"end_session", sql::kEndSession};
constexpr Query kHandBack = {"hand_back", sql::kHandBack};
constexpr Query kEnqueue = {"enqueue", sql::kEnqueue};
constexpr Query kRemove = {"remove", sql::kRemove};
constexpr Query kPause = {"pause", sql::kPause};
constexpr Query kPauseQueue = {"pause_queue", sql::kPauseQueue};
constexpr Query kResumeQueue = {"resume_queue", sql::kResumeQueue};
constexpr Query kPausedQueues = {"paused_queues", sql::kPausedQueues};
constexpr Query kLockJob = {"lock_job", sql::kLockJob};
constexpr Query kResume = {"resume", sql::kResume};
constexpr Query kListJobs = {"list_jobs", sql::kListJobs};
constexpr Query kListRunsOf = {"list_runs_of", sql::kListRunsOf};
constexpr Query kListRuns = {"list_runs", sql::kListRuns};
constexpr Query kCountJobs = {"count_jobs", sql::kCountJobs};
constexpr Query kAuditJobs = {"audit_jobs", sql::kAuditJobs};
constexpr Query kAuditRuns = {"audit_runs", sql::kAuditRuns};
constexpr Query kCountLoad = {"count_load", sql::kCountLoad};
constexpr Query kEndedOwners = {"ended_owners", sql::kEndedOwners};
constexpr Query kMakeHistoryDays = {"make_history_days", sql::kMakeHistoryDays};
constexpr Query kOldHistoryDays = {"old_history_days", sql::kOldHistoryDays};
constexpr Query kDropKeys = {"drop_keys", sql::kDropKeys};
constexpr Query kDropTombstones = {"drop_tombstones", sql::kDropTombstones};

// '%' and '_' of a prefix stand for themselves.
std::string LikePrefix(const std::string& prefix) {
  std::string out;
  for (const char c : prefix) {
    if (c == '%' || c == '_' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + '%';
}

bool IsTransient(const std::string& sqlstate) { return sqlstate == "40001" || sqlstate == "40P01"; }

class PostgresStore : public JobStore {
 public:
  explicit PostgresStore(const std::string& url) : db_(url, "escapement") {}

  Status Connect() { return db_.Connect(); }

  Status Migrate() override { return postgres::Migrate(db_); }
  Status CheckSchema() override { return postgres::CheckSchema(db_); }

  Result<Instant> Now() override {
    auto rows = db_.Execute(kStoreTime, Params());
    if (!rows) return Unavailable(rows.error());
    return rows->Time(0, 0);
  }

  Result<SessionId> OpenSession(const OpenSessionRequest& request) override {
    auto rows = db_.Execute(kOpenSession, Params().Add(request.pod).Add(request.ttl.count()));
    if (!rows) return tl::unexpected(rows.error());
    return rows->Int64(0, 0);
  }

  Result<BeatReply> Beat(const BeatRequest& request) override {
    Params beat;
    beat.Add(request.session).Add(request.rate).Add(request.owned);
    request.progress.empty() ? beat.AddNull(postgres::kText) : beat.Add(ProgressToJson(request.progress));
    const Params session = Params().Add(request.session);
    const Params none;
    auto steps = db_.Pipeline({{&kBeat, &beat},
                               {&kChangedJobs, &session},
                               {&kLiveSessions, &none},
                               {&kCancelledJobs, &session},
                               {&kPausedQueues, &none},
                               {&kStoreTime, &none}});
    if (!steps) return tl::unexpected(steps.error());
    BeatReply reply;
    reply.live = (*steps)[0].size() == 1;
    const Rows& changed = (*steps)[1];
    for (int i = 0; i < changed.size(); ++i) reply.changed.push_back(changed.Int64(i, 0));
    const Rows& live = (*steps)[2];
    for (int i = 0; i < live.size(); ++i) {
      reply.total_rate = live.Float(i, 6);
      reply.total_jobs = live.Int64(i, 7);
      if (live.IsNull(i, 0)) continue;
      (void)live.Sound();  // what was read so far is no session's
      SessionView view = {live.Int64(i, 0), std::string(live.Text(i, 1)),
                          live.Int64(i, 2), Duration(live.Int64(i, 3)),
                          live.Float(i, 4), live.Int64(i, 5)};
      // Nobody judges a session whose beat and time to live cannot be read.
      if (live.Sound()) reply.sessions.push_back(std::move(view));
    }
    const Rows& marks = (*steps)[3];
    for (int i = 0; i < marks.size(); ++i) {
      reply.cancelled.push_back({marks.Int64(i, 0), marks.Time(i, 1), marks.Int32(i, 2)});
    }
    reply.paused = ReadPaused((*steps)[4]);
    reply.store_time = (*steps)[5].Time(0, 0);
    return reply;
  }

  Result<ReclaimReply> Reclaim(SessionId session, std::int64_t beat) override { return End(session, beat); }

  Status EndSession(SessionId session) override {
    for (int round = 0; round < 100; ++round) {
      auto reply = End(session, std::nullopt);
      if (!reply) return tl::unexpected(reply.error());
      if (reply->still_owned == 0) return {};
    }
    return Fail(Code::kTimeout, "rows of the session stay locked by others");
  }

  Result<ClaimReply> Claim(const ClaimRequest& request) override {
    Params params;
    params.Add(request.session).Add(request.horizon.count()).Add(static_cast<std::int64_t>(request.limit));
    std::vector<std::string> queues = request.queues;
    for (const std::string& queue : request.queues) queues.push_back('\x01' + queue);  // of triggered runs
    params.AddArray<std::string_view>(queues.size(), [&](std::size_t i) { return std::string_view(queues[i]); });
    params.Add(request.oldest_first).Add(request.above);
    auto rows = Retried(kClaim, params);
    if (!rows) return tl::unexpected(rows.error());
    return postgres::ReadClaimed(*rows);
  }

  Result<ClaimReply> Recover(SessionId session, const std::vector<std::pair<JobKey, Fence>>& known) override {
    Params params;
    params.Add(session).AddArray<std::int64_t>(known.size(), [&](std::size_t i) { return known[i].first; });
    params.AddArray<std::int64_t>(known.size(), [&](std::size_t i) { return known[i].second; });
    auto rows = db_.Execute(kRecover, params);
    if (!rows) return tl::unexpected(rows.error());
    return postgres::ReadClaimed(*rows);
  }

  Result<std::vector<bool>> Begin(SessionId session, const std::vector<BeginRequest>& requests) override {
    const std::size_t n = requests.size();
    Params params;
    params.Add(session);
    params.AddArray<std::int64_t>(n, [&](std::size_t i) { return requests[i].key; });
    params.AddArray<std::int64_t>(n, [&](std::size_t i) { return requests[i].fence; });
    params.AddArray<Instant>(n, [&](std::size_t i) { return requests[i].fire_time; });
    params.AddArray<std::int32_t>(n, [&](std::size_t i) { return requests[i].attempt; });
    auto rows = Retried(kBegin, params);
    if (!rows) return tl::unexpected(rows.error());
    std::vector<bool> may(n, false);
    for (int i = 0; i < rows->size(); ++i) may[static_cast<std::size_t>(rows->Int64(i, 0) - 1)] = true;
    return may;
  }

  Result<CommitReply> Commit(SessionId session, const std::vector<Completion>& completions) override {
    std::vector<const Completion*> sorted(completions.size());
    for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i] = &completions[i];
    std::sort(sorted.begin(), sorted.end(), [](const Completion* a, const Completion* b) { return a->key < b->key; });
    CommitReply reply;
    reply.answers.resize(completions.size());
    const auto answer = [&](const Completion* c) -> CommitAnswer& {
      return reply.answers[static_cast<std::size_t>(c - completions.data())];
    };
    if (auto s = CommitSpan(session, sorted.data(), sorted.size(), answer, &reply.store_time); !s)
      return tl::unexpected(s.error());
    return reply;
  }

  Status Release(SessionId session, const std::vector<std::pair<JobKey, Fence>>& jobs) override {
    auto sorted = jobs;
    std::sort(sorted.begin(), sorted.end());
    Params params;
    params.Add(session);
    params.AddArray<std::int64_t>(sorted.size(), [&](std::size_t i) { return sorted[i].first; });
    params.AddArray<std::int64_t>(sorted.size(), [&](std::size_t i) { return sorted[i].second; });
    auto rows = Retried(kRelease, params);
    if (!rows) return tl::unexpected(rows.error());
    return {};
  }

  Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) override {
    auto now = Now();
    if (!now) return tl::unexpected(now.error());
    struct Row {
      std::string definition;
      std::string queue;
      Instant cursor;
      std::optional<Instant> fire;
    };
    std::unordered_map<std::string_view, std::size_t> index;
    std::vector<Row> rows;
    rows.reserve(jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (auto s = Validate(jobs[i]); !s) return tl::unexpected(s.error());
      if (!index.emplace(jobs[i].id, i).second) {
        return GivenTwice(jobs[i].id);
      }
      const Schedule schedule = jobs[i].schedule.AnchoredAt(*now);
      const Instant cursor = schedule.FirstCursor(*now);
      rows.push_back({DefinitionToJson(jobs[i]), QueueKey(jobs[i]), cursor, schedule.Next(cursor)});
    }
    std::vector<std::size_t> ask(jobs.size());
    std::iota(ask.begin(), ask.end(), std::size_t{0});
    std::sort(ask.begin(), ask.end(), [&](std::size_t a, std::size_t b) { return jobs[a].id < jobs[b].id; });
    std::vector<EnqueueOutcome> out(jobs.size());
    for (int round = 0; !ask.empty() && round < kRetries; ++round) {
      const std::size_t n = ask.size();
      Params params;
      params.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(jobs[ask[i]].id); });
      params.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(rows[ask[i]].definition); });
      params.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(rows[ask[i]].queue); });
      params.AddArray<std::int16_t>(n, [&](std::size_t i) { return static_cast<std::int16_t>(jobs[ask[i]].priority); });
      params.AddArray<double>(n, [&](std::size_t i) { return jobs[ask[i]].schedule.Rate(); });
      params.AddArray<Instant>(n, [&](std::size_t i) { return rows[ask[i]].cursor; });
      params.AddArray<Instant>(n, [&](std::size_t i) { return rows[ask[i]].fire; });
      params.Add(*now);
      params.AddArray<std::string_view>(n, [&](std::size_t i) -> std::optional<std::string_view> {
        const std::string& key = jobs[ask[i]].unique;
        return key.empty() ? std::nullopt : std::optional<std::string_view>(key);
      });
      params.AddArray<std::int64_t>(n, [&](std::size_t i) { return jobs[ask[i]].unique_for.count(); });
      auto told = Retried(kEnqueue, params);
      if (!told) return tl::unexpected(told.error());
      std::vector<bool> answered(jobs.size(), false);
      for (int i = 0; i < told->size(); ++i) {
        const std::size_t at = index.at(told->Text(i, 0));
        out[at] = static_cast<EnqueueOutcome>(told->Int32(i, 1));
        created_ += out[at] == EnqueueOutcome::kCreated ? 1 : 0;
        answered[at] = true;
      }
      std::erase_if(ask, [&](std::size_t i) { return answered[i]; });
    }
    if (!ask.empty())
      return Fail(Code::kConflict, fmt::format("job '{}' keeps changing under other hands", jobs[ask[0]].id));
    (void)KeepStatistics();  // what was asked for is done
    return out;
  }

  Status Remove(const std::string& id) override { return One(kRemove, id); }
  Status Pause(const std::string& id) override { return One(kPause, id); }

  Status Resume(const std::string& id) override {
    if (auto s = db_.Run("BEGIN"); !s) return s;
    Status status = ResumeLocked(id);
    if (status) return db_.Run("COMMIT");
    if (db_.connected()) (void)db_.Run("ROLLBACK");
    return status;
  }

  Status PauseQueue(const std::optional<std::string>& queue) override { return Rest(kPauseQueue, queue); }
  Status ResumeQueue(const std::optional<std::string>& queue) override { return Rest(kResumeQueue, queue); }
  Result<PausedQueues> Paused() override {
    auto rows = db_.Execute(kPausedQueues, Params());
    if (!rows) return Unavailable(rows.error());
    return ReadPaused(*rows);
  }

  Status Trigger(const std::string& id, const std::optional<std::string>& payload) override {
    return MakeChild(id, payload, std::nullopt);
  }

  Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) override {
    Params params;
    filter.job_id.empty() ? params.AddNull(postgres::kText) : params.Add(filter.job_id);
    params.Add(filter.after_id).Add(static_cast<std::int64_t>(std::max(filter.limit, 0))).Add(filter.payloads);
    auto rows = db_.Execute(kDeadLetters, params);
    if (!rows) return Unavailable(rows.error());
    return postgres::ReadDeadLetters(*rows);
  }

  Status RetryDead(std::int64_t id) override {
    auto letter = db_.Execute(kDeadLetter, Params().Add(id));
    if (!letter) return Unavailable(letter.error());
    if (letter->size() == 0) return NoSuchLetter(id);
    const std::string job(letter->Text(0, 0));
    Status status = MakeChild(job, std::string(letter->Text(0, 1)), id);
    if (status || status.error().code != Code::kNotFound) return status;
    letter = db_.Execute(kDeadLetter, Params().Add(id));
    if (!letter) return Unavailable(letter.error());
    return letter->size() == 0 ? NoSuchLetter(id) : JobOfLetterGone(id, job);
  }

  Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) override {
    Params params;
    params.AddArray<std::int64_t>(ids.size(), [&](std::size_t i) { return ids[i]; });
    auto rows = Retried(kDiscardDead, params);
    if (!rows) return tl::unexpected(rows.error());
    std::vector<std::int64_t> gone;
    for (int i = 0; i < rows->size(); ++i) gone.push_back(rows->Int64(i, 0));
    return gone;
  }

  Status Cancel(const std::string& id) override {
    auto counts = Retried(kCancel, Params().Add(id));
    if (!counts) return tl::unexpected(counts.error());
    if (counts->Int64(0, 0) == 0) return NoSuchJob(id);
    return counts->Int64(0, 1) == 0 ? NothingUnderWay(id) : Status();
  }

  Result<std::vector<ArchivedJob>> ExportJobs(const std::string& after_id, int limit) override {
    return postgres::ExportJobs(db_, after_id, limit);
  }
  Result<std::vector<RunInfo>> ExportRuns(const std::vector<std::string>& job_ids,
                                          const std::optional<RunPosition>& after, int limit) override {
    return postgres::ExportRuns(db_, job_ids, after, limit);
  }
  Status ImportJobs(const std::vector<ArchivedJob>& jobs) override {
    if (auto s = postgres::ImportJobs(db_, jobs); !s) return s;
    created_ += static_cast<std::int64_t>(jobs.size());
    (void)KeepStatistics();  // what was asked for is done
    return {};
  }
  Status ImportRuns(const std::vector<RunInfo>& runs) override { return postgres::ImportRuns(db_, runs); }

  Result<JobInfo> Get(const std::string& id) override {
    auto found = ListJobs(&id, {.limit = 1});
    if (!found) return tl::unexpected(found.error());
    if (found->empty()) return NoSuchJob(id);
    if (const std::string& why = found->front().unreadable; !why.empty()) return Unreadable(id, why);
    return std::move(found->front());
  }

  Result<std::vector<JobInfo>> List(const JobFilter& filter) override { return ListJobs(nullptr, filter); }

  Result<std::vector<RunInfo>> Runs(const RunFilter& filter) override {
    Params params;
    if (!filter.job_id.empty()) params.Add(filter.job_id);
    params.Add(filter.fire_from.value_or(FromMicros(0)))
        .Add(filter.fire_to.value_or(Instant(std::chrono::sys_days(std::chrono::year(9999) / 12 / 31))));
    params.Add(static_cast<std::int64_t>(filter.limit));
    auto rows = db_.Execute(filter.job_id.empty() ? kListRuns : kListRunsOf, params);
    if (!rows) return Unavailable(rows.error());
    return postgres::ReadRuns(*rows);
  }

  Result<std::vector<RunProgress>> Progress(const std::string& job_id) override {
    auto rows = db_.Execute(kProgress, Params());
    if (!rows) return Unavailable(rows.error());
    std::vector<SentProgress> sent;
    for (int i = 0; i < rows->size(); ++i) {
      sent.push_back({std::string(rows->Text(i, 0)), std::string(rows->Text(i, 1))});
    }
    return ReadProgress(sent, job_id);
  }

  Result<StoreStats> Stats() override {
    auto rows = db_.Execute(kCountJobs, Params());
    if (!rows) return Unavailable(rows.error());
    StoreStats stats;
    for (int i = 0; i < rows->size(); ++i) {
      stats.jobs[static_cast<JobState>(rows->Int16(i, 0))] = rows->Int64(i, 1);
      stats.overdue += rows->Int64(i, 2);
    }
    return stats;
  }

  Result<std::vector<PodInfo>> Pods() override {
    auto rows = db_.Execute(kLiveSessions, Params());
    if (!rows) return Unavailable(rows.error());
    std::vector<PodInfo> out;
    for (int i = 0; i < rows->size(); ++i) {
      if (rows->IsNull(i, 0)) continue;
      out.push_back({std::string(rows->Text(i, 1)), rows->Int64(i, 0), rows->Float(i, 4), rows->Int64(i, 5)});
    }
    return out;
  }

  Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) override {
    constexpr std::int64_t kPage = 1000;
    Audit audit;
    std::string after;
    for (;;) {
      auto jobs = db_.Execute(kAuditJobs, Params().Add(LikePrefix(id_prefix)).Add(after).Add(kPage));
      if (!jobs) return Unavailable(jobs.error());
      if (jobs->size() == 0) return audit;
      std::vector<JobKey> keys;
      for (int i = 0; i < jobs->size(); ++i) {
        if (keys.empty() || keys.back() != jobs->Int64(i, 0)) keys.push_back(jobs->Int64(i, 0));
      }
      Params params;
      params.AddArray<std::int64_t>(keys.size(), [&](std::size_t i) { return keys[i]; });
      params.Add(from).Add(to);
      auto runs = db_.Execute(kAuditRuns, params);
      if (!runs) return Unavailable(runs.error());
      std::unordered_map<JobKey, std::vector<SettledSpan>> spans;
      for (int i = 0; i < runs->size(); ++i) {
        spans[runs->Int64(i, 0)].push_back(
            {runs->Time(i, 1), runs->Time(i, 2), runs->Int64(i, 3), static_cast<Verdict>(runs->Int16(i, 4))});
      }
      if (!runs->Sound()) return Fail(Code::kInternal, "the history holds a row with a value missing");
      for (int i = 0; i < jobs->size(); ++i) {
        const JobKey key = jobs->Int64(i, 0);
        after = std::string(jobs->Text(i, 1));
        auto definition = DefinitionFromJson(after, jobs->Text(i, 3));
        if (!definition) return tl::unexpected(definition.error());
        // A version's points end where the next one closes it.
        const bool last = i + 1 == jobs->size() || jobs->Int64(i + 1, 0) != key;
        const Instant first = std::max(from, jobs->Time(i, 4) + Duration(1));
        const Instant end = last ? to : std::min(to, jobs->Time(i + 1, 5) + Duration(1));
        const Schedule grid = definition->schedule.AnchoredAt(jobs->Time(i, 2));
        if (auto s = postgres::CheckSound(*jobs, after); !s) return tl::unexpected(s.error());
        AuditJob(grid, first, end, spans[key], &audit);
        if (!last) --audit.jobs;
      }
    }
  }

  Status Maintain(const MaintainOptions& options) override {
    if (auto rows = db_.Execute(kMakeHistoryDays, Params().Add(kDaysAhead)); !rows) return tl::unexpected(rows.error());
    if (auto rows = db_.Execute(kCountLoad, Params()); !rows) return tl::unexpected(rows.error());
    auto ended = db_.Execute(kEndedOwners, Params());
    if (!ended) return tl::unexpected(ended.error());
    for (int i = 0; i < ended->size(); ++i) {
      if (auto reply = End(ended->Int64(i, 0), -1); !reply) return tl::unexpected(reply.error());
    }
    auto old = db_.Execute(kOldHistoryDays, Params().Add(options.history_days));
    if (!old) return tl::unexpected(old.error());
    for (int i = 0; i < old->size(); ++i) {
      // The name was made by make_history_days; DETACH takes no parameters.
      const std::string name(old->Text(i, 0));
      const char* how = old->Bool(i, 1) ? "FINALIZE" : "CONCURRENTLY";
      if (auto s = db_.Run(fmt::format("ALTER TABLE escapement.runs DETACH PARTITION escapement.{} {}", name, how)); !s)
        return s;
      if (auto s = db_.Run(fmt::format("DROP TABLE escapement.{}", name)); !s) return s;
    }
    if (auto rows = db_.Execute(kDropTombstones, Params().Add(options.history_days)); !rows)
      return tl::unexpected(rows.error());
    return DropKeys();
  }

 private:
  // A question whose reply was lost can simply be asked again.
  static tl::unexpected<Error> Unavailable(Error error) {
    if (error.code == Code::kInDoubt) error.code = Code::kUnavailable;
    return tl::unexpected(std::move(error));
  }

  // Deadlocks and serialisation failures changed nothing: the statement is sent again.
  Result<Rows> Retried(const Query& query, const Params& params) {
    for (int round = 0;; ++round) {
      auto rows = db_.Execute(query, params);
      if (rows || round >= kRetries || !IsTransient(db_.last_sqlstate())) return rows;
    }
  }

  // Everybody's plans were made for the table as it was. Autovacuum would notice a bulk load within minutes; until then
  // a plan made for ten rows may walk over a million. Statistics anew at each doubling make all sessions plan again.
  Status KeepStatistics() {
    if (created_ < kBulk) return {};
    auto believed = db_.Execute(kBelievedJobs, Params());
    if (!believed) return tl::unexpected(believed.error());
    if (static_cast<double>(created_) < believed->Float(0, 0)) return {};
    created_ = 0;
    return db_.Run("ANALYZE escapement.jobs, escapement.definitions, escapement.unique_keys");
  }

  // Of unique keys, what nobody holds any more.
  Status DropKeys() {
    for (std::string after;;) {
      auto rows = Retried(kDropKeys, Params().Add(kKeysAtOnce).Add(after));
      if (!rows) return tl::unexpected(rows.error());
      if (rows->IsNull(0, 0)) return {};
      after = std::string(rows->Text(0, 0));
    }
  }

  Status One(const Query& query, const std::string& id) {
    auto rows = Retried(query, Params().Add(id));
    if (!rows) return tl::unexpected(rows.error());
    return rows->size() == 0 ? NoSuchJob(id) : Status();
  }

  Status Rest(const Query& query, const std::optional<std::string>& queue) {
    if (const Status valid = CheckQueue(queue); !valid) return valid;
    auto rows = Retried(query, Params().Add(queue.value_or("")));
    return rows ? Status() : Status(tl::unexpected(rows.error()));
  }

  static PausedQueues ReadPaused(const Rows& rows) {
    PausedQueues paused;
    for (int i = 0; i < rows.size(); ++i) {
      const std::string_view queue = rows.Text(i, 0);
      queue.empty() ? (void)(paused.all = true) : (void)paused.queues.emplace(queue);
    }
    return paused;
  }

  // Ends a session (if its beat still is `beat`, when given) and hands its rows back.
  Result<ReclaimReply> End(SessionId session, std::optional<std::int64_t> beat) {
    if (auto s = db_.Run("BEGIN"); !s) return tl::unexpected(s.error());
    auto reply = EndLocked(session, beat);
    if (!reply) {
      if (db_.connected()) (void)db_.Run("ROLLBACK");
      return reply;
    }
    if (auto s = db_.Run("COMMIT"); !s) return tl::unexpected(s.error());
    return reply;
  }

  Result<ReclaimReply> EndLocked(SessionId session, std::optional<std::int64_t> beat) {
    const Params id = Params().Add(session);
    auto locked = db_.Execute(kLockSession, id);
    if (!locked) return tl::unexpected(locked.error());
    ReclaimReply reply;
    if (locked->size() == 0) return reply;
    const bool was_ended = locked->Bool(0, 1);
    if (!was_ended) {
      if (beat && locked->Int64(0, 0) != *beat) return reply;
      if (auto rows = db_.Execute(kEndSession, id); !rows) return tl::unexpected(rows.error());
      reply.ended = true;
    }
    auto handed = db_.Execute(kHandBack, Params().Add(session).Add(beat.has_value()));
    if (!handed) return tl::unexpected(handed.error());
    reply.jobs = handed->Int64(0, 0);
    reply.still_owned = handed->Int64(0, 1) - reply.jobs;  // the count reads the snapshot from before the update
    return reply;
  }

  // kNotFound when the job is not there, or the dead letter that it is to come of.
  Status MakeChild(const std::string& id, const std::optional<std::string>& payload,
                   std::optional<std::int64_t> letter) {
    auto job = Get(id);
    if (!job) return tl::unexpected(job.error());
    auto now = Now();
    if (!now) return tl::unexpected(now.error());
    auto child = TriggeredDefinition(job->definition, *now, payload);
    if (!child) return tl::unexpected(child.error());
    Params params;
    params.Add(id).Add(DefinitionToJson(*child)).Add(QueueKey(*child)).Add(child->priority).Add(*now);
    letter ? params.Add(*letter) : params.AddNull(postgres::kInt8);
    auto made = Retried(kTrigger, params);
    if (!made) return tl::unexpected(made.error());
    return made->size() == 0 ? NoSuchJob(id) : Status();
  }

  // An error of data does not fail its company: the batch is halved until the row that cannot be stored stands alone.
  template <typename Answer>
  Status CommitSpan(SessionId session, const Completion* const* span, std::size_t n, const Answer& answer,
                    Instant* store_time) {
    if (n == 0) return {};
    Params p;
    p.Add(session);
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return span[i]->key; });
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return span[i]->fence; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->fire_time; });
    p.AddArray<std::int32_t>(n, [&](std::size_t i) { return span[i]->attempt; });
    p.AddArray<std::int32_t>(n, [&](std::size_t i) { return span[i]->version; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->next.cursor; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->next.fire_time; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->next.due_at; });
    p.AddArray<std::int32_t>(n, [&](std::size_t i) { return span[i]->next.attempt; });
    p.AddArray<bool>(n, [&](std::size_t i) { return span[i]->keep; });
    p.AddArray<std::int16_t>(n, [&](std::size_t i) { return VerdictOf(*span[i]); });
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return span[i]->run ? span[i]->run->settles : 0; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->run ? span[i]->run->last_fire : span[i]->fire_time; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->run ? span[i]->run->started_at : std::nullopt; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return span[i]->run ? span[i]->run->finished_at : std::nullopt; });
    std::deque<std::string> mended;  // texts that PostgreSQL would refuse, made valid
    p.AddArray<std::string_view>(n, [&](std::size_t i) -> std::string_view {
      if (!span[i]->run || span[i]->run->error.empty()) return "";
      if (IsValidText(span[i]->run->error)) return span[i]->run->error;
      return mended.emplace_back(MakeValidText(span[i]->run->error));
    });
    p.AddArray<std::string_view>(n, [&](std::size_t i) -> std::string_view {
      if (!span[i]->run || span[i]->run->output.empty()) return "";
      if (span[i]->run->output.size() <= kOutputLimit && IsValidText(span[i]->run->output)) return span[i]->run->output;
      return mended.emplace_back(MakeValidTail(span[i]->run->output, kOutputLimit));
    });
    p.AddArray<std::int32_t>(
        n, [&](std::size_t i) { return span[i]->next.pause ? std::optional(span[i]->next.failures) : std::nullopt; });
    p.AddArray<std::string_view>(n, [&](std::size_t i) {
      const auto& [run, ran] = std::tie(span[i]->run, span[i]->ran);
      return run && ran && FailedForGood(run->verdict, run->settles) ? std::optional(std::string_view(ran->payload))
                                                                     : std::nullopt;
    });
    p.AddArray<std::string_view>(n, [&](std::size_t i) -> std::optional<std::string_view> {
      if (!span[i]->run || !span[i]->ran) return std::nullopt;
      const auto names = FollowersOf(*span[i]->ran, span[i]->run->verdict, span[i]->run->settles);
      if (names.empty()) return std::nullopt;
      return mended.emplace_back(nlohmann::json(names).dump());
    });
    auto rows = Retried(kCommit, p);
    if (!rows && db_.last_sqlstate() == "23514") {  // no partition for today: nobody kept the days ahead
      if (auto made = db_.Execute(kMakeHistoryDays, Params().Add(kDaysAhead)); !made)
        return tl::unexpected(made.error());
      rows = Retried(kCommit, p);
    }
    if (!rows && postgres::IsDataError(db_.last_sqlstate())) {
      if (n == 1) {
        answer(span[0]) = {CommitOutcome::kRefused, false, rows.error().message};
        return {};
      }
      if (auto s = CommitSpan(session, span, n / 2, answer, store_time); !s) return s;
      return CommitSpan(session, span + n / 2, n - n / 2, answer, store_time);
    }
    if (!rows) return tl::unexpected(rows.error());
    std::vector<bool> answered(n, false);
    for (int i = 0; i < rows->size(); ++i) {
      *store_time = rows->Time(i, 0);
      if (rows->IsNull(i, 1)) continue;
      const auto at = static_cast<std::size_t>(rows->Int64(i, 1) - 1);
      answered[at] = true;
      answer(span[at]) = {CommitOutcome::kApplied, rows->Bool(i, 2), {}};
    }
    std::vector<const Completion*> missed;
    for (std::size_t i = 0; i < n; ++i) {
      if (!answered[i]) missed.push_back(span[i]);
    }
    return missed.empty() ? Status() : LookUp(session, missed, answer);
  }

  template <typename Answer>
  Status LookUp(SessionId session, const std::vector<const Completion*>& missed, const Answer& answer) {
    const std::size_t n = missed.size();
    Params p;
    p.Add(session);
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return missed[i]->key; });
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return missed[i]->fence; });
    p.AddArray<Instant>(n, [&](std::size_t i) { return missed[i]->fire_time; });
    p.AddArray<std::int32_t>(n, [&](std::size_t i) { return missed[i]->attempt; });
    p.AddArray<std::int16_t>(n, [&](std::size_t i) { return VerdictOf(*missed[i]); });
    p.AddArray<Instant>(n, [&](std::size_t i) { return missed[i]->next.fire_time; });
    auto rows = db_.Execute(kSettledBefore, p);
    if (!rows) return tl::unexpected(rows.error());
    for (int i = 0; i < rows->size(); ++i) {
      const bool applied = !rows->IsNull(i, 1) && rows->Bool(i, 1);
      const bool owned = !rows->IsNull(i, 2) && rows->Bool(i, 2);
      answer(missed[static_cast<std::size_t>(rows->Int64(i, 0) - 1)]) = {
          applied ? CommitOutcome::kAlreadyApplied : CommitOutcome::kStale, applied && owned, {}};
    }
    return {};
  }

  static std::optional<std::int16_t> VerdictOf(const Completion& c) {
    if (!c.run) return std::nullopt;
    return static_cast<std::int16_t>(c.run->verdict);
  }

  Status ResumeLocked(const std::string& id) {
    auto rows = db_.Execute(kLockJob, Params().Add(id));
    if (!rows) return tl::unexpected(rows.error());
    if (rows->size() == 0) return NoSuchJob(id);
    if (static_cast<JobState>(rows->Int16(0, 2)) != JobState::kPaused) return {};
    auto definition = DefinitionFromJson(id, rows->Text(0, 1));
    if (!definition) return tl::unexpected(definition.error());
    const auto read = postgres::ReadPresent(*rows, 0, 3, 16, 17);
    if (!read) return Unreadable(id, read.error().message);
    const Present& present = *read;
    std::optional<Settlement> skipped;
    // A run in flight keeps its occurrence; a retry that waits, and what its task completed, is not skipped either.
    const bool owned = rows->Bool(0, 13);
    if (!owned && present.attempt == 1 && present.lost == 0 && !present.to_plan && !present.completed_at) {
      skipped = SkipStretch(*definition, present, rows->Time(0, 15), Verdict::kSkippedPaused);
    }
    Params p;
    p.Add(rows->Int64(0, 0));
    p.Add(skipped ? skipped->next.cursor : present.cursor);
    if (!skipped) {
      p.Add(present.fire_time).Add(present.due_at);
    } else {
      skipped->next.fire_time ? p.Add(*skipped->next.fire_time) : p.AddNull(postgres::kTimestamptz);
      p.Add(skipped->next.due_at);
    }
    p.Add(skipped ? skipped->run->settles : std::int64_t{0});
    p.Add(skipped ? skipped->run->fire_time : present.fire_time)
        .Add(skipped ? skipped->run->last_fire : present.fire_time);
    auto done = db_.Execute(kResume, p);
    if (!done) return tl::unexpected(done.error());
    return {};
  }

  Result<std::vector<JobInfo>> ListJobs(const std::string* id, const JobFilter& filter) {
    Params p;
    id != nullptr ? p.Add(*id) : p.AddNull(postgres::kText);
    p.Add(LikePrefix(filter.id_prefix));
    if (filter.state) {
      p.Add(static_cast<std::int32_t>(*filter.state));
    } else {
      p.AddNull(postgres::kInt4);
    }
    p.Add(static_cast<std::int64_t>(filter.limit)).Add(filter.after_id);
    filter.metadata.empty() ? p.AddNull(postgres::kText) : p.Add(MetadataToJson(filter.metadata));
    auto rows = db_.Execute(kListJobs, p);
    if (!rows) return Unavailable(rows.error());
    return postgres::ReadJobs(*rows);
  }

  Connection db_;
  std::int64_t created_ = 0;  // jobs, by this object, since it last made statistics
};

}  // namespace

Result<std::unique_ptr<PostgresStoreFactory>> PostgresStoreFactory::Create(std::string url) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(url.c_str(), &error);
  if (options == nullptr) {
    PQfreemem(error);
    return Fail(Code::kInvalidArgument, "not a PostgreSQL URL: expected postgresql://user:password@host:port/database");
  }
  PQconninfoFree(options);
  return std::unique_ptr<PostgresStoreFactory>(new PostgresStoreFactory(std::move(url)));
}

Result<std::unique_ptr<JobStore>> PostgresStoreFactory::Open() {
  auto store = std::make_unique<PostgresStore>(url_);
  if (auto s = store->Connect(); !s) return tl::unexpected(s.error());
  return store;
}

std::string PostgresStoreFactory::Name() const { return postgres::RedactUrl(url_); }

}  // namespace escapement
