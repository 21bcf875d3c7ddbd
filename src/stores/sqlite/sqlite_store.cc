#include "stores/sqlite/sqlite_store.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <unordered_set>

#include <fmt/format.h>

#include "job/audit.h"
#include "job/definition_json.h"
#include "job/errors.h"
#include "job/progress_json.h"
#include "job/queue_key.h"
#include "job/sound.h"
#include "job/unique_key.h"
#include "sqlite/database.h"
#include "stores/sqlite/job_rows.h"
#include "stores/sqlite/schema.h"
#include "stores/sqlite/statements.h"
#include "time/quoted.h"

namespace escapement {
namespace {

using sqlite::Database;
using sqlite::JobRow;
using sqlite::JobRows;
using sqlite::Rows;
using sqlite::Transaction;
namespace sql = sqlite::sql;

constexpr Transaction::Kind kRead = Transaction::Kind::kRead;
constexpr Transaction::Kind kWrite = Transaction::Kind::kWrite;

constexpr int kMostPriorities = 10;
// Rows that one transaction of upkeep changes: others wait for it.
constexpr int kHandBackBatch = 2'000;
constexpr int kDeleteBatch = 2'000;
constexpr int kMostBatches = 2'000;  // of one call
constexpr int kPage = 500;           // jobs

const std::string kNobody;  // no job's id

constexpr Instant kBeginning = Instant(Duration(std::numeric_limits<std::int64_t>::min()));
constexpr Instant kEnd = Instant(Duration(std::numeric_limits<std::int64_t>::max()));

Instant Clock() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

// What sorts after every text with this prefix.
std::string After(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xFF') prefix.pop_back();
  if (prefix.empty()) return "\xFF";  // in no UTF-8
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

JobInfo ReadJob(const Rows& r) {
  std::string unreadable;
  JobInfo info{.definition = DefinitionOrId(r.Text(0), r.Text(1), &unreadable),
               .version = r.Int(2),
               .state = static_cast<JobState>(r.Int(3)),
               .created_at = r.Time(4),
               .cursor = r.Time(5),
               .fire_time = std::nullopt,
               .attempt = r.Int(7),
               .owner_pod = std::nullopt,
               .fence = r.Int64(9),
               .settled_total = r.Int64(10),
               .failures = r.Int(11)};
  if (info.state != JobState::kFinished) info.fire_time = r.Time(6);
  if (!r.IsNull(8)) info.owner_pod = r.Text(8);
  info.unreadable = std::move(unreadable);
  if (!r.Sound() && info.unreadable.empty()) info.unreadable = sqlite::kUnsoundRow;
  return info;
}

RunInfo ReadRun(const Rows& r) {
  return {.job_id = r.Text(1),
          .fire_time = r.Time(2),
          .last_fire = r.Time(3),
          .attempt = r.Int(4),
          .verdict = static_cast<Verdict>(r.Int(5)),
          .settles = r.Int64(6),
          .started_at = r.TimeOrNone(7),
          .finished_at = r.TimeOrNone(8),
          .settled_at = r.Time(9),
          .pod = r.Text(10),
          .error = r.Text(11),
          .output = r.Text(12),
          .triggered = r.Bool(13)};
}

DeadLetter ReadLetter(const Rows& r) {
  return {.id = r.Int64(0),
          .job_id = r.Text(1),
          .payload = r.Text(2),
          .fire_time = r.Time(3),
          .attempts = r.Int(4),
          .verdict = static_cast<Verdict>(r.Int(5)),
          .error = r.Text(6),
          .triggered = r.Bool(7),
          .settled_at = r.Time(8)};
}

class SqliteStore final : public JobStore {
 public:
  explicit SqliteStore(sqlite::FileName file) : file_(std::move(file)) {}

  Status Connect() {
    if (db_ != nullptr && !db_->broken()) return {};
    db_.reset();
    auto db = Database::Open({.path = file_.path});
    if (!db) return tl::unexpected(db.error());
    db_ = std::move(*db);
    return {};
  }

  Status Migrate() override {
    if (auto s = sqlite::MakeFile(file_); !s) return s;
    if (auto s = Connect(); !s) return s;
    return sqlite::Migrate(*db_);
  }
  Status CheckSchema() override {
    if (auto s = Connect(); !s) return s;
    return sqlite::CheckSchema(*db_);
  }

  Result<Instant> Now() override { return Clock(); }

  // --- sessions

  Result<SessionId> OpenSession(const OpenSessionRequest& request) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    tx.Run(sql::kOpenSession, request.pod, request.ttl.count());
    const SessionId id = tx.last_key();
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return id;
  }

  Result<BeatReply> Beat(const BeatRequest& request) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    BeatReply reply;
    std::optional<std::string> progress;
    if (!request.progress.empty()) progress = ProgressToJson(request.progress);
    reply.live = tx.Run(sql::kBeat, request.session, request.rate, request.owned, progress) == 1;
    Rows live = tx.Query(sql::kLiveSessions);
    for (live.Tolerate(); live.Next();) {
      SessionView session = {.id = live.Int64(0),
                             .pod = live.Text(1),
                             .beat = live.Int64(2),
                             .ttl = Duration(live.Int64(3)),
                             .rate = live.Float(4),
                             .owned = live.Int64(5)};
      // Nobody judges a session whose beat and time to live cannot be read.
      if (live.Sound()) reply.sessions.push_back(std::move(session));
    }
    if (Rows r = tx.Query(sql::kLoad); r.Tolerate().Next()) {
      const double rate = r.Float(0);
      const std::int64_t jobs = r.Int64(1);
      if (r.Sound()) std::tie(reply.total_rate, reply.total_jobs) = std::pair(rate, jobs);
    }
    reply.paused = ReadPaused(tx);
    Rows told = tx.Query(sql::kTold, request.session);
    for (told.Tolerate(); told.Next();) {
      const JobKey key = told.Int64(0);
      const bool changed = told.Bool(1);
      const bool cancelled = told.Bool(2);
      const CancelMark mark = {.key = key, .fire_time = told.Time(3), .attempt = told.Int(4)};
      if (!told.Sound()) continue;  // no pod runs what it cannot read
      if (changed) reply.changed.push_back(key);
      if (cancelled) reply.cancelled.push_back(mark);
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    reply.store_time = Clock();
    return reply;
  }

  Result<ReclaimReply> Reclaim(SessionId session, std::int64_t beat) override { return End(session, beat); }

  Status EndSession(SessionId session) override {
    for (;;) {  // each round hands back a full batch, or is the last
      auto reply = End(session, std::nullopt);
      if (!reply) return tl::unexpected(reply.error());
      if (reply->still_owned == 0 || reply->jobs == 0) return {};
    }
  }

  // --- the hot path

  Result<ClaimReply> Claim(const ClaimRequest& request) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    ClaimReply reply;
    {
      // Most looks find nothing: they do not wait for the writers.
      Transaction tx(*db_, kRead);
      reply.live = PodOf(tx, request.session).has_value();
      const bool any = reply.live && !Choose(tx, request).empty();
      if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
      if (!any) {
        reply.store_time = Clock();
        return reply;
      }
    }
    std::vector<Claimed> claimed;
    {
      Transaction tx(*db_, kWrite);
      reply.live = PodOf(tx, request.session).has_value();
      if (reply.live) {
        const std::vector<JobKey> keys = Choose(tx, request);
        for (const JobKey key : keys) tx.Run(sql::kTake, key, request.session);
        for (const JobKey key : keys) ReadClaimed(tx, key, claimed);
      }
      if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    }
    Tell(std::move(claimed), reply);
    return reply;
  }

  Result<ClaimReply> Recover(SessionId session, const std::vector<std::pair<JobKey, Fence>>& known) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    ClaimReply reply;
    std::vector<Claimed> owned;
    const std::set<std::pair<JobKey, Fence>> without(known.begin(), known.end());
    Transaction tx(*db_, kRead);
    reply.live = PodOf(tx, session).has_value();
    if (reply.live) {
      for (Rows r = tx.Query(sql::kOwned, session); r.Next();) {
        if (!without.contains({r.Int64(0), r.Int64(1)})) ReadClaimed(tx, r.Int64(0), owned);
      }
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    Tell(std::move(owned), reply);
    return reply;
  }

  Result<std::vector<bool>> Begin(SessionId session, const std::vector<BeginRequest>& requests) override {
    if (requests.empty()) return std::vector<bool>();
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    const bool live = PodOf(tx, session).has_value();
    std::vector<bool> may;
    for (const BeginRequest& r : requests) {
      may.push_back(live && tx.Run(sql::kBegin, r.key, session, r.fence, r.fire_time, r.attempt) == 1);
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return may;
  }

  Result<CommitReply> Commit(SessionId session, const std::vector<Completion>& completions) override {
    CommitReply reply;
    reply.answers.resize(completions.size());
    if (!completions.empty()) {
      // In the order of keys: rows that share a page come one after the other.
      std::vector<std::size_t> order(completions.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::sort(order.begin(), order.end(),
                [&](std::size_t a, std::size_t b) { return completions[a].key < completions[b].key; });
      if (auto s = Connect(); !s) return tl::unexpected(s.error());
      Transaction tx(*db_, kWrite);
      JobRows rows(tx, Clock());
      const std::optional<std::string> pod = PodOf(tx, session);
      for (const std::size_t i : order) reply.answers[i] = rows.Commit(session, pod, completions[i]);
      if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    }
    reply.store_time = Clock();
    return reply;
  }

  Status Release(SessionId session, const std::vector<std::pair<JobKey, Fence>>& jobs) override {
    if (jobs.empty()) return {};
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    for (const auto& [key, fence] : jobs) tx.Run(sql::kRelease, key, session, fence);
    return tx.Commit();
  }

  // --- what users do

  Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) override {
    std::unordered_set<std::string_view> ids;
    std::vector<std::string> texts;
    texts.reserve(jobs.size());
    for (const JobDefinition& job : jobs) {
      if (const Status valid = Validate(job); !valid) return tl::unexpected(valid.error());
      if (!ids.insert(job.id).second) return GivenTwice(job.id);
      texts.push_back(DefinitionToJson(job));
    }
    std::vector<EnqueueOutcome> outcomes;
    if (jobs.empty()) return outcomes;
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    JobRows rows(tx, Clock());
    double rate = 0;
    int created = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      outcomes.push_back(Put(tx, rows, jobs[i], texts[i]));
      if (outcomes.back() != EnqueueOutcome::kCreated) continue;
      rate += jobs[i].schedule.Rate();
      ++created;
    }
    if (created > 0) tx.Run(sql::kAddLoad, rate, created);
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return outcomes;
  }

  Status Remove(const std::string& id) override {
    return Changed(id, [](Transaction& tx, JobRows& rows, JobRow& row, Instant now) -> Status {
      row.state = JobState::kRemoved;
      row.present.planned_from = now;
      rows.Save(row);
      std::vector<JobKey> children;
      for (Rows r = tx.Query(sql::kUnownedChildren, row.key); r.Next();) children.push_back(r.Int64(0));
      for (const JobKey key : children) rows.Erase(key);
      return {};
    });
  }

  Status Pause(const std::string& id) override {
    return Changed(id, [](Transaction&, JobRows& rows, JobRow& row, Instant) -> Status {
      if (row.state != JobState::kActive) return {};
      row.state = JobState::kPaused;
      rows.Save(row);
      return {};
    });
  }

  Status Resume(const std::string& id) override {
    return Changed(id, [](Transaction&, JobRows& rows, JobRow& row, Instant now) -> Status {
      if (row.state != JobState::kPaused) return {};
      row.state = JobState::kActive;
      row.present.failures = 0;
      // While its run is still going, the owner settles the rest by the late policy.
      if (!row.owner) {
        if (auto s = SkipPaused(rows, row, now); !s) return s;
      }
      rows.Save(row);
      return {};
    });
  }

  Status PauseQueue(const std::optional<std::string>& queue) override { return Rest(sql::kPauseQueue, queue); }
  Status ResumeQueue(const std::optional<std::string>& queue) override { return Rest(sql::kResumeQueue, queue); }
  Result<PausedQueues> Paused() override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    PausedQueues paused = ReadPaused(tx);
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return paused;
  }

  Status Trigger(const std::string& id, const std::optional<std::string>& payload) override {
    return Changed(
        id, [&](Transaction&, JobRows& rows, JobRow& row, Instant) -> Status { return AddChild(rows, row, payload); });
  }

  Status Cancel(const std::string& id) override {
    return Changed(id, [&](Transaction& tx, JobRows&, JobRow& row, Instant now) -> Status {
      if (tx.Run(sql::kCancel, row.key, now) == 0 && !tx.failed()) return NothingUnderWay(id);
      return {};
    });
  }

  Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    std::vector<DeadLetter> letters;
    const int limit = std::max(filter.limit, 0);
    const auto read = [&](Rows r) {
      while (r.Next()) letters.push_back(ReadLetter(r));
    };
    if (filter.job_id.empty()) {
      read(tx.Query(sql::kLetters, filter.after_id, limit, filter.payloads));
    } else {
      read(tx.Query(sql::kLettersOf, filter.after_id, limit, filter.payloads, filter.job_id));
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return letters;
  }

  Status RetryDead(std::int64_t id) override {
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    JobRows rows(tx, Clock());
    std::optional<std::pair<std::string, std::string>> letter;  // its job and its payload
    if (Rows r = tx.Query(sql::kLetter, id); r.Next()) letter = {r.Text(0), r.Text(1)};
    if (tx.failed()) return tx.error();
    if (!letter) return NoSuchLetter(id);
    const std::optional<JobRow> row = rows.FindById(letter->first);
    if (tx.failed()) return tx.error();
    if (!row) return JobOfLetterGone(id, letter->first);
    if (auto s = AddChild(rows, *row, letter->second); !s) return s;
    tx.Run(sql::kDeleteLetter, id);
    return tx.Commit();
  }

  Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    std::vector<std::int64_t> gone;
    for (const std::int64_t id : ids) {
      if (tx.Run(sql::kDeleteLetter, id) == 1) gone.push_back(id);
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return gone;
  }

  // --- questions

  Result<JobInfo> Get(const std::string& id) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    Rows r = tx.Query(sql::kGet, id);
    if (!r.Tolerate().Next()) {
      if (tx.failed()) return tx.error();
      return NoSuchJob(id);
    }
    JobInfo job = ReadJob(r);
    if (!job.unreadable.empty()) return Unreadable(id, job.unreadable);
    return job;
  }

  Result<std::vector<JobInfo>> List(const JobFilter& filter) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    std::vector<JobInfo> jobs;
    std::optional<int> state;
    if (filter.state) state = static_cast<int>(*filter.state);
    const auto most = static_cast<std::size_t>(std::max(filter.limit, 0));
    constexpr int kNoLimit = -1;
    Rows r = tx.Query(sql::kList, filter.id_prefix, filter.after_id, After(filter.id_prefix), state,
                      filter.metadata.empty() ? static_cast<int>(most) : kNoLimit);
    for (r.Tolerate(); jobs.size() < most && r.Next();) {
      if (filter.metadata.empty() || HasMetadata(r.Text(1), filter.metadata)) jobs.push_back(ReadJob(r));
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return jobs;
  }

  Result<std::vector<RunInfo>> Runs(const RunFilter& filter) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    const Instant from = filter.fire_from.value_or(kBeginning);
    const Instant to = filter.fire_to.value_or(kEnd);
    const int limit = std::max(filter.limit, 0);
    std::vector<RunInfo> runs;
    if (filter.job_id.empty()) {
      for (Rows r = tx.Query(sql::kRunsOfAll, from, to, limit); r.Next();) runs.push_back(ReadRun(r));
    } else {
      // History outlives its job: the same id may have had several.
      std::vector<std::pair<std::pair<Instant, std::int64_t>, RunInfo>> found;
      for (const JobKey key : KeysOf(tx, filter.job_id)) {
        for (Rows r = tx.Query(sql::kRunsOfJob, from, to, limit, key); r.Next();) {
          found.push_back({{r.Time(2), r.Int64(0)}, ReadRun(r)});
        }
      }
      std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
      found.resize(std::min(found.size(), static_cast<std::size_t>(limit)));
      for (auto& [place, run] : found) runs.push_back(std::move(run));
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return runs;
  }

  Result<std::vector<RunProgress>> Progress(const std::string& job_id) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    std::vector<SentProgress> sent;
    Rows rows = tx.Query(sql::kProgress);
    for (rows.Tolerate(); rows.Next();) sent.push_back({rows.Text(0), rows.Text(1)});
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return ReadProgress(sent, job_id);
  }

  Result<StoreStats> Stats() override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    StoreStats stats;
    for (Rows r = tx.Query(sql::kCountJobs); r.Next();) stats.jobs[static_cast<JobState>(r.Int(0))] = r.Int64(1);
    if (Rows r = tx.Query(sql::kCountOverdue, Clock()); r.Next()) stats.overdue = r.Int64(0);
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return stats;
  }

  Result<std::vector<PodInfo>> Pods() override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    std::vector<PodInfo> pods;
    for (Rows r = tx.Query(sql::kLiveSessions); r.Next();) {
      pods.push_back({.name = r.Text(1), .session = r.Int64(0), .rate = r.Float(4), .owned = r.Int64(5)});
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return pods;
  }

  Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);  // one snapshot for all of it
    Audit audit;
    std::string after;
    for (;;) {
      std::vector<std::pair<std::string, JobKey>> page = IdsFrom(tx, id_prefix, after, kPage);
      if (page.empty()) break;
      for (const auto& [id, key] : page) {
        if (auto s = AuditOne(tx, id, key, from, to, audit); !s) return tl::unexpected(s.error());
      }
      after = page.back().first;
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return audit;
  }

  // --- carrying jobs from store to store

  Result<std::vector<ArchivedJob>> ExportJobs(const std::string& after_id, int limit) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kRead);
    JobRows rows(tx, Clock());
    std::vector<ArchivedJob> jobs;
    for (const auto& [id, key] : IdsFrom(tx, "", after_id, limit)) {
      const auto row = rows.Find(key);
      std::string json;
      if (Rows r = tx.Query(sql::kDefinition, key); r.Tolerate().Next()) json = r.Text(1);
      std::string unreadable;
      JobDefinition definition = DefinitionOrId(id, json, &unreadable);
      if (row && !row->sound) unreadable = sqlite::kUnsoundRow;
      auto reigns = ReignsOf(tx, key, row ? row->present.created_at : Instant());
      if (tx.failed() || !row) break;
      if (!reigns) unreadable = reigns.error().message;
      jobs.push_back(AtRest({std::move(definition), row->state, row->present, row->settled_total,
                             std::move(reigns).value_or(std::vector<Reign>()), std::nullopt, std::move(unreadable)}));
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return jobs;
  }

  Result<std::vector<RunInfo>> ExportRuns(const std::vector<std::string>& job_ids,
                                          const std::optional<RunPosition>& after, int limit) override {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    std::vector<std::string> ids = job_ids;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    Transaction tx(*db_, kRead);
    std::vector<RunInfo> runs;
    for (const std::string& id : ids) {
      const int left = limit - static_cast<int>(runs.size());
      if (left <= 0) break;
      if (after && id < after->job_id) continue;
      std::optional<JobKey> key;
      if (Rows r = tx.Query(sql::kKeyOf, id); r.Next()) key = r.Int64(0);
      if (!key) continue;
      const RunPosition from =
          after && id == after->job_id ? *after : RunPosition{.fire_time = kBeginning, .settled_at = kBeginning};
      for (Rows r = tx.Query(sql::kExportRuns, *key, from.fire_time, from.attempt, from.settled_at, left); r.Next();) {
        runs.push_back(ReadRun(r));
      }
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return runs;
  }

  Status ImportJobs(const std::vector<ArchivedJob>& jobs) override {
    if (const Status valid = ValidateArchive(jobs); !valid) return valid;
    if (const Status none = CheckNoneCompleted(jobs); !none) return none;
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    JobRows rows(tx, Clock());
    for (const ArchivedJob& job : jobs) {
      if (tx.Query(sql::kKeyOf, job.definition.id).Next()) return AlreadyThere(job.definition.id);
      if (HoldsItsKey(job, rows.now()) && !TakeKey(tx, job.definition, job.present.created_at, rows.now())) {
        return KeyHeld(job.definition.id, job.definition.unique);
      }
      rows.Import(job);
    }
    return tx.Commit();
  }

  Status ImportRuns(const std::vector<RunInfo>& runs) override {
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    for (const RunInfo& run : runs) {
      std::optional<JobKey> key;
      if (Rows r = tx.Query(sql::kKeyOf, run.job_id); r.Next()) key = r.Int64(0);
      if (!key && !tx.failed()) return NoSuchJob(run.job_id);
      constexpr std::int64_t kNone = 0;  // no row of here ran it, under no fence and no session
      tx.Run(sql::kAddRun, run.settled_at, key, run.triggered ? std::optional(kNone) : std::nullopt, run.fire_time,
             run.last_fire, run.started_at, run.finished_at, kNone, kNone, run.settles, run.attempt,
             static_cast<int>(run.verdict), run.pod, run.error, run.output);
    }
    return tx.Commit();
  }

  // --- upkeep

  Status Maintain(const MaintainOptions& options) override {
    if (auto s = Connect(); !s) return s;
    if (auto s = CountLoad(); !s) return s;
    if (auto s = HandBackLeftovers(); !s) return s;
    const Instant oldest = Clock() - std::chrono::days(options.history_days);
    if (auto s = DropHistory(oldest); !s) return s;
    if (auto s = DropTombstones(oldest); !s) return s;
    if (auto s = DropKeys(); !s) return s;
    return db_->Checkpoint();
  }

 private:
  struct Claimed {
    ClaimedJob job;
    std::string id, definition;
  };

  // Nothing: the session is ended.
  static std::optional<std::string> PodOf(Transaction& tx, SessionId session) {
    Rows r = tx.Query(sql::kPodOf, session);
    return r.Next() ? std::optional(r.Text(0)) : std::nullopt;
  }

  // `sql`: of static storage.
  Status Rest(std::string_view sql, const std::optional<std::string>& queue) {
    if (const Status valid = CheckQueue(queue); !valid) return valid;
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    tx.Run(sql, queue.value_or(""));
    return tx.Commit();
  }

  static PausedQueues ReadPaused(Transaction& tx) {
    PausedQueues paused;
    for (Rows r = tx.Query(sql::kPausedQueues); r.Next();) {
      const std::string queue = r.Text(0);
      queue.empty() ? (void)(paused.all = true) : (void)paused.queues.insert(queue);
    }
    return paused;
  }

  // What is due, by priority and then by time; then what will be due soon, by time.
  static std::vector<JobKey> Choose(Transaction& tx, const ClaimRequest& request) {
    const Instant now = Clock();
    const auto limit = static_cast<std::size_t>(std::max(request.limit, 0));
    const PausedQueues paused = ReadPaused(tx);
    std::vector<JobKey> chosen;
    std::vector<std::pair<Instant, JobKey>> found;
    const auto look = [&](int priority, Instant from, Instant until) {
      const auto left = static_cast<std::int64_t>(limit - chosen.size());
      for (const std::string& queue : request.queues) {
        if (paused.Hold(QueueOf(queue))) continue;
        Rows r = tx.Query(sql::kClaimable, queue, priority, from, until, left);
        for (r.Tolerate(); r.Next();) {
          const std::pair<Instant, JobKey> candidate(r.Time(0), r.Int64(1));
          if (r.Sound()) found.push_back(candidate);
        }
      }
    };
    const auto take = [&] {
      std::sort(found.begin(), found.end());
      found.erase(std::unique(found.begin(), found.end()), found.end());  // a queue may be named twice
      for (const auto& [at, key] : found) {
        if (chosen.size() < limit) chosen.push_back(key);
      }
      found.clear();
    };
    const Instant due = now + Duration(1);
    for (int priority = kMostPriorities; priority > request.above && chosen.size() < limit; --priority) {
      look(priority, kBeginning, due);
      if (!request.oldest_first) take();
    }
    take();
    for (int priority = kMostPriorities; priority > request.above && chosen.size() < limit; --priority) {
      look(priority, due, now + request.horizon);
    }
    take();
    return chosen;
  }

  static void ReadClaimed(Transaction& tx, JobKey key, std::vector<Claimed>& out) {
    Rows r = tx.Query(sql::kClaimed, key);
    if (!r.Tolerate().Next()) return;
    Claimed& claimed = out.emplace_back();
    claimed.id = r.Text(1);
    claimed.definition = r.Text(2);
    claimed.job.key = r.Int64(0);
    claimed.job.fence = r.Int64(3);
    claimed.job.present = {.created_at = r.Time(4),
                           .cursor = r.Time(5),
                           .fire_time = r.Time(6),
                           .due_at = r.Time(7),
                           .attempt = r.Int(8),
                           .version = r.Int(9),
                           .lost = r.Int(10),
                           .failures = r.Int(14),
                           .begun = r.Bool(11),
                           .to_plan = r.Bool(12),
                           .planned_from = r.Time(13)};
    if (!r.Sound() || !CheckPresent(claimed.job.present)) {
      claimed.job.unreadable = sqlite::UnsoundJob(claimed.id).message;
    }
  }

  // Outside of the transaction: reading definitions takes longer than claiming them.
  static void Tell(std::vector<Claimed> claimed, ClaimReply& reply) {
    for (Claimed& c : claimed) {
      if (c.job.unreadable.empty()) {
        auto definition = DefinitionFromJson(c.id, c.definition);
        if (definition) {
          c.job.definition = std::make_shared<const JobDefinition>(std::move(*definition));
        } else {
          c.job.unreadable = fmt::format("job '{}': {}", Quoted(c.id, 200), definition.error().message);
        }
      }
      reply.jobs.push_back(std::move(c.job));
    }
    reply.store_time = Clock();
  }

  // Ends a session (if its beat still is `beat`, when given: its pod is dead then) and hands a batch of its rows back.
  Result<ReclaimReply> End(SessionId session, std::optional<std::int64_t> beat) {
    if (auto s = Connect(); !s) return tl::unexpected(s.error());
    Transaction tx(*db_, kWrite);
    ReclaimReply reply;
    if (beat) {
      Rows r = tx.Query(sql::kPodOf, session);
      if (r.Next() && r.Int64(1) != *beat) return reply;
    }
    reply.ended = tx.Run(sql::kEndSession, session) == 1;
    reply.jobs = tx.Run(sql::kHandBack, session, kHandBackBatch, beat ? 1 : 0);
    if (reply.jobs == kHandBackBatch) {
      if (Rows r = tx.Query(sql::kCountOwned, session); r.Next()) reply.still_owned = r.Int64(0);
    }
    if (auto s = tx.Commit(); !s) return tl::unexpected(s.error());
    return reply;
  }

  // Whether another job than `id` holds the key.
  static bool IsHeld(Transaction& tx, const std::string& key, const std::string& id, Instant now) {
    return tx.Query(sql::kKeyIsHeld, key, id, now).Next();
  }
  // False: another job holds the job's unique key.
  static bool TakeKey(Transaction& tx, const JobDefinition& job, Instant created, Instant now) {
    if (job.unique.empty()) return true;
    if (IsHeld(tx, job.unique, job.id, now)) return false;
    tx.Run(sql::kTakeKey, job.unique, job.id, created + job.unique_for);
    return true;
  }

  static EnqueueOutcome Put(Transaction& tx, JobRows& rows, const JobDefinition& job, const std::string& json) {
    std::optional<JobRow> row = rows.FindById(job.id);
    if (row) {
      // The text is canonical: equal definitions have equal texts.
      Rows r = tx.Query(sql::kDefinition, row->key);
      if (r.Next() && r.Text(1) == json) return EnqueueOutcome::kUnchanged;
    }
    const Instant now = rows.now();
    if (!TakeKey(tx, job, row ? row->present.created_at : now, now)) return EnqueueOutcome::kHeld;
    if (!row) {
      rows.Create(job, json);
      return EnqueueOutcome::kCreated;
    }
    ++row->present.version;
    row->present.to_plan = true;
    row->present.planned_from = rows.now();
    if (row->state == JobState::kFinished) row->state = JobState::kActive;
    tx.Run(sql::kChangeDefinition, row->key, json);
    tx.Run(sql::kChangeLists, row->key, QueueKey(job), job.priority, job.schedule.Rate());
    rows.Save(*row);
    return EnqueueOutcome::kUpdated;
  }

  // Runs the job once more, now.
  static Status AddChild(JobRows& rows, const JobRow& row, const std::optional<std::string>& payload) {
    const auto definition = rows.DefinitionOf(row.key);
    if (!definition) return tl::unexpected(definition.error());
    const auto child = TriggeredDefinition(*definition, rows.now(), payload);
    if (!child) return tl::unexpected(child.error());
    rows.Create(*child, DefinitionToJson(*child), row.key);
    return {};
  }

  // Settles what was missed while the row was paused.
  static Status SkipPaused(JobRows& rows, JobRow& row, Instant now) {
    // With a change of definition pending, the new version begins with the resumption.
    if (row.present.to_plan) {
      row.present.planned_from = now;
      return {};
    }
    const auto definition = rows.DefinitionOf(row.key);
    if (!definition) return tl::unexpected(definition.error());
    const auto skip = SkipStretch(*definition, row.present, now, Verdict::kSkippedPaused);
    if (!skip) return {};
    rows.AddRun(row, *skip->run, /*session=*/0, "");
    row.present = Advance(row.present, skip->next);
    if (!skip->next.fire_time) row.state = JobState::kFinished;
    return {};
  }

  // One change of the job with this id, in a transaction of its own.
  template <typename Change>
  Status Changed(const std::string& id, const Change& change) {
    if (auto s = Connect(); !s) return s;
    Transaction tx(*db_, kWrite);
    const Instant now = Clock();
    JobRows rows(tx, now);
    std::optional<JobRow> row = rows.FindById(id);
    if (tx.failed()) return tx.error();
    if (!row) return NoSuchJob(id);
    if (auto s = change(tx, rows, *row, now); !s) return s;
    return tx.Commit();
  }

  static std::vector<JobKey> KeysOf(Transaction& tx, const std::string& id) {
    std::vector<JobKey> keys;
    for (Rows r = tx.Query(sql::kKeyOf, id); r.Next();) keys.push_back(r.Int64(0));
    for (Rows r = tx.Query(sql::kRemovedKeysOf, id); r.Next();) keys.push_back(r.Int64(0));
    return keys;
  }

  static std::vector<std::pair<std::string, JobKey>> IdsFrom(Transaction& tx, const std::string& prefix,
                                                             const std::string& after, int limit) {
    std::vector<std::pair<std::string, JobKey>> ids;
    for (Rows r = tx.Query(sql::kIdsFrom, prefix, after, After(prefix), std::max(limit, 0)); r.Next();) {
      ids.emplace_back(r.Text(0), r.Int64(1));
    }
    return ids;
  }

  static Result<std::vector<Reign>> ReignsOf(Transaction& tx, JobKey key, Instant created_at) {
    std::vector<Reign> reigns;
    Rows r = tx.Query(sql::kReigns, key);
    for (r.Tolerate(); r.Next();) {
      auto grid = Schedule::Parse(r.Text(1));
      if (!grid) return FailIn("stored schedule", grid.error());
      reigns.push_back({r.Int(0), grid->AnchoredAt(created_at), r.Time(2), r.TimeOrNone(3)});
      if (!r.Sound()) return Fail(Code::kInternal, sqlite::kUnsoundRow);
    }
    return reigns;
  }

  static Status AuditOne(Transaction& tx, const std::string& id, JobKey key, Instant from, Instant to, Audit& audit) {
    const auto row = JobRows(tx, to).Find(key);
    if (!row) return tx.failed() ? tx.error() : Status();
    if (!row->sound) return tl::unexpected(sqlite::UnsoundJob(id));
    const auto reigns = ReignsOf(tx, key, row->present.created_at);
    if (!reigns) return tl::unexpected(reigns.error());
    std::vector<SettledSpan> spans;
    for (Rows r = tx.Query(sql::kSettled, key, from, to); r.Next();) {
      spans.push_back({r.Time(0), r.Time(1), r.Int64(2), static_cast<Verdict>(r.Int(3))});
    }
    for (std::size_t i = 0; i < reigns->size(); ++i) {
      const Reign& reign = (*reigns)[i];
      const Instant first = std::max(from, reign.after + Duration(1));
      const Instant end = reign.until ? std::min(to, *reign.until + Duration(1)) : to;
      const bool last = i + 1 == reigns->size();
      AuditJob(reign.grid, first, end, last ? std::move(spans) : spans, &audit);
    }
    audit.jobs -= static_cast<std::int64_t>(reigns->size()) - 1;  // they are one job
    return {};
  }

  // Counted without the write lock: it looks at every job. What changes meanwhile is counted the next time.
  Status CountLoad() {
    double rate = 0;
    std::int64_t jobs = 0;
    {
      Transaction tx(*db_, kRead);
      if (Rows r = tx.Query(sql::kCountLoad); r.Next()) {
        rate = r.Float(0);
        jobs = r.Int64(1);
      }
      if (auto s = tx.Commit(); !s) return s;
    }
    Transaction tx(*db_, kWrite);
    tx.Run(sql::kSetLoad, rate, jobs);
    return tx.Commit();
  }

  // Whoever ended a session may have died before all of its rows were handed back.
  Status HandBackLeftovers() {
    for (int batch = 0; batch < kMostBatches; ++batch) {
      std::optional<SessionId> ended;
      {
        Transaction tx(*db_, kRead);
        if (Rows r = tx.Query(sql::kEndedOwner); r.Next()) ended = r.Int64(0);
        if (auto s = tx.Commit(); !s) return s;
      }
      if (!ended) return {};
      if (auto reply = End(*ended, 0); !reply) return tl::unexpected(reply.error());
    }
    return {};
  }

  // From the oldest on, in the order in which it was written; up to the first row that is to be kept.
  Status DropHistory(Instant oldest) {
    for (int batch = 0; batch < kMostBatches; ++batch) {
      std::optional<std::int64_t> last;
      int old = 0;
      {
        Transaction tx(*db_, kRead);
        for (Rows r = tx.Query(sql::kOldestRuns, kDeleteBatch); r.Next() && r.Time(1) < oldest; ++old) {
          last = r.Int64(0);
        }
        if (auto s = tx.Commit(); !s) return s;
      }
      if (!last) return {};
      Transaction tx(*db_, kWrite);
      tx.Run(sql::kDeleteRuns, *last);
      if (auto s = tx.Commit(); !s) return s;
      if (old < kDeleteBatch) return {};
    }
    return {};
  }

  Status DropTombstones(Instant oldest) {
    for (int batch = 0; batch < kMostBatches; ++batch) {
      std::vector<JobKey> keys;
      {
        Transaction tx(*db_, kRead);
        for (Rows r = tx.Query(sql::kTombstones, oldest, kDeleteBatch); r.Next();) keys.push_back(r.Int64(0));
        if (auto s = tx.Commit(); !s) return s;
      }
      if (keys.empty()) return {};
      Transaction tx(*db_, kWrite);
      JobRows rows(tx, Clock());
      for (const JobKey key : keys) rows.Erase(key);
      if (auto s = tx.Commit(); !s) return s;
    }
    return {};
  }

  // Of unique keys, what nobody holds any more.
  Status DropKeys() {
    std::string after;
    for (int batch = 0; batch < kMostBatches; ++batch) {
      const Instant now = Clock();
      std::vector<std::string> old;
      std::vector<std::string> free;
      {
        Transaction tx(*db_, kRead);
        for (Rows r = tx.Query(sql::kOldKeys, after, now, kDeleteBatch); r.Next();) old.push_back(r.Text(0));
        for (const std::string& key : old) {
          if (!IsHeld(tx, key, kNobody, now)) free.push_back(key);
        }
        if (auto s = tx.Commit(); !s) return s;
      }
      if (!free.empty()) {
        Transaction tx(*db_, kWrite);
        for (const std::string& key : free) {
          if (!IsHeld(tx, key, kNobody, now)) tx.Run(sql::kDeleteKey, key);
        }
        if (auto s = tx.Commit(); !s) return s;
      }
      if (static_cast<int>(old.size()) < kDeleteBatch) return {};
      after = old.back();
    }
    return {};
  }

  const sqlite::FileName file_;
  std::unique_ptr<Database> db_;  // null until it is needed, or when the file was not there
};

}  // namespace

Result<std::unique_ptr<SqliteStoreFactory>> SqliteStoreFactory::Create(const std::string& url) {
  auto file = sqlite::ParseUrl(url);
  if (!file) return tl::unexpected(file.error());
  if (auto s = sqlite::CheckPlace(*file); !s) return tl::unexpected(s.error());
  return std::unique_ptr<SqliteStoreFactory>(new SqliteStoreFactory(std::move(*file)));
}

Result<std::unique_ptr<JobStore>> SqliteStoreFactory::Open() {
  auto store = std::make_unique<SqliteStore>(file_);
  // Not there yet: Migrate makes it.
  if (auto s = store->Connect(); !s && s.error().code != Code::kConflict) return tl::unexpected(s.error());
  return store;
}

}  // namespace escapement
