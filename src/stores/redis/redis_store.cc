#include "stores/redis/redis_store.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "job/audit.h"
#include "job/definition_json.h"
#include "job/errors.h"
#include "job/followers.h"
#include "job/progress_json.h"
#include "job/queue_key.h"
#include "job/sound.h"
#include "job/text.h"
#include "job/unique_key.h"
#include "redis/redis_nodes.h"
#include "stores/redis/records.h"
#include "stores/redis/scripts.h"
#include "time/quoted.h"
#include "time/storable.h"

namespace escapement {
namespace {

using redis_store::Fields;
using redis_store::HistoryLine;
using redis_store::JobRow;
using redis_store::ReadHistoryLine;
using redis_store::Text;
namespace scripts = redis_store::scripts;

constexpr Duration kCallTimeout = std::chrono::seconds(5);
constexpr int kVersion = 1;           // of the layout of keys
constexpr int kShardsOfACluster = 8;  // over its masters; a single server runs one script at a time anyway
constexpr int kHistory = 1000;        // runs kept of a job
constexpr std::size_t kRows = 200;    // in one script: nobody else is served meanwhile
constexpr std::size_t kBytes = std::size_t{4} << 20;      // of definitions in one script
constexpr int kRetries = 5;                               // when what was read has changed before it was written
constexpr int kHandBackRounds = 50;                       // in one call of Reclaim
constexpr Duration kKeyTaken = std::chrono::seconds(10);  // for which a unique key waits for its job
constexpr char kAtFireTime = '\x1f';                      // behind the name of a job, before a time: no name has it
constexpr double kRateUnit = 1e-9;                        // points a second, as the scripts count them

// A script after what all of them share.
std::string Whole(std::string_view script) { return std::string(scripts::kShard) + std::string(script); }

const std::string kCreate = Whole(scripts::kCreate);
const std::string kClaim = Whole(scripts::kClaim);
const std::string kRecover = Whole(scripts::kRecover);
const std::string kBegin = Whole(scripts::kBegin);
const std::string kCommit = Whole(scripts::kCommit);
const std::string kRelease = Whole(scripts::kRelease);
const std::string kOpenSession = Whole(scripts::kOpenSession);
const std::string kMarkSession = Whole(scripts::kMarkSession);
const std::string kSessionIsLive = Whole(scripts::kSessionIsLive);
const std::string kBeat = Whole(scripts::kBeat);
const std::string kProgress = Whole(scripts::kProgress);
const std::string kTouched = Whole(scripts::kTouched);
const std::string kEndSession = Whole(scripts::kEndSession);
const std::string kHandBack = Whole(scripts::kHandBack);
const std::string kForgetSession = Whole(scripts::kForgetSession);
const std::string kMarkedSessions = Whole(scripts::kMarkedSessions);
const std::string kPause = Whole(scripts::kPause);
const std::string kRemove = Whole(scripts::kRemove);
const std::string kResume = Whole(scripts::kResume);
const std::string kTrigger = Whole(scripts::kTrigger);
const std::string kPauseQueue = Whole(scripts::kPauseQueue);
const std::string kFollowUps = Whole(scripts::kFollowUps);
const std::string kDeadLetters = Whole(scripts::kDeadLetters);
const std::string kDiscardDead = Whole(scripts::kDiscardDead);
const std::string kCancel = Whole(scripts::kCancel);
const std::string kReadRows = Whole(scripts::kRows);
const std::string kCounts = Whole(scripts::kCounts);
const std::string kKnown = Whole(scripts::kKnown);
const std::string kImportJobs = Whole(scripts::kImportJobs);
const std::string kImportRuns = Whole(scripts::kImportRuns);
const std::string kTakeKeys = Whole(scripts::kTakeKeys);
const std::string kKeepKeys = Whole(scripts::kKeepKeys);
const std::string kDropKeys = Whole(scripts::kDropKeys);
const std::string kHoldsKeys = Whole(scripts::kHoldsKeys);
const std::string kPrune = Whole(scripts::kPrune);

// The prefix of a shard's keys. The braces keep a shard in one slot of a cluster.
std::string ShardPrefix(int shard) { return fmt::format("{{esc:{}}}:", shard); }
std::string MetaKey() { return ShardPrefix(0) + "meta"; }
std::string RateText(const Schedule& schedule) {
  return fmt::format("{:.0f}", std::min(schedule.Rate() / kRateUnit, 1e15));
}

// The servers, each call within its time.
class Servers {
 public:
  explicit Servers(const RedisUrl& url) : nodes_(url), where_(url.Name()) {}
  Result<bool> IsCluster() { return nodes_.IsCluster(BootClock::now() + kCallTimeout); }
  Result<std::vector<RedisReply>> Run(const std::vector<RedisCall>& calls) {
    return nodes_.Run(calls, BootClock::now() + kCallTimeout);
  }
  Result<RedisReply> Run(RedisCall call) {
    std::vector<RedisCall> calls;
    calls.push_back(std::move(call));
    auto replies = Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    return std::move(replies->front());
  }
  const std::string& where() const { return where_; }

 private:
  RedisNodes nodes_;
  const std::string where_;
};

// Positions in a list, by shard and in parts that one script may take.
struct Part {
  int shard = 0;
  std::vector<std::size_t> positions;
};

class RedisStore final : public JobStore {
 public:
  explicit RedisStore(const RedisUrl& url) : servers_(url) {}

  Status Connect() {
    auto cluster = servers_.IsCluster();
    return cluster ? Status() : Status(tl::unexpected(cluster.error()));
  }

  // --- schema and time

  Status Migrate() override {
    auto version = StoredVersion();
    if (!version) return tl::unexpected(version.error());
    if (*version > kVersion) return Newer(*version);
    if (*version == kVersion) return {};
    if (auto safe = CheckEviction(); !safe) return safe;
    auto cluster = servers_.IsCluster();
    if (!cluster) return tl::unexpected(cluster.error());
    // Of many that migrate at once the first decides; all of them know the same number.
    const std::vector<std::pair<const char*, int>> fields = {
        {"shards", *cluster ? kShardsOfACluster : 1}, {"history", kHistory}, {"version", kVersion}};
    for (const auto& [field, value] : fields) {
      auto set =
          servers_.Run({.key = ShardPrefix(0), .arguments = {"HSETNX", MetaKey(), field, std::to_string(value)}});
      if (!set) return tl::unexpected(set.error());
    }
    return {};
  }

  Status CheckSchema() override {
    count_ = 0;  // to be read anew
    auto version = StoredVersion();
    if (!version) return tl::unexpected(version.error());
    if (*version > kVersion) return Newer(*version);
    if (*version == 0) return NoSchema();
    if (*version < kVersion) {
      return Fail(Code::kConflict, fmt::format("the store's schema is older than this program (version {}, needed {}): "
                                               "run the migration first",
                                               *version, kVersion));
    }
    return CheckEviction();
  }

  Result<Instant> Now() override { return TimeOf(0); }

  // --- sessions

  Result<SessionId> OpenSession(const OpenSessionRequest& request) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    const std::string pod = MakeValidText(request.pod);
    auto opened = servers_.Run({ShardPrefix(0), kOpenSession, {pod, std::to_string(request.ttl.count())}});
    if (!opened) return tl::unexpected(opened.error());
    SessionId session = 0;
    std::from_chars(opened->text.data(), opened->text.data() + opened->text.size(), session);
    auto marked = OnAll(kMarkSession, {opened->text, pod});
    if (!marked) return tl::unexpected(marked.error());
    // Somebody may have ended it meanwhile and taken away markers that were not set yet.
    auto live = servers_.Run({ShardPrefix(0), kSessionIsLive, {opened->text}, /*writes=*/false});
    if (!live) return tl::unexpected(live.error());
    if (live->elements.size() == 1 && live->elements[0].integer == 1) return session;
    if (auto swept = HandBack(session, /*lost=*/false, kHandBackRounds); !swept) return tl::unexpected(swept.error());
    return Fail(Code::kUnavailable, servers_.where() + ": the session was ended while it was being opened");
  }

  Result<BeatReply> Beat(const BeatRequest& request) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    std::vector<RedisCall> calls = CallsOnAll(kTouched, {Text(request.session)}, /*writes=*/false);
    calls.push_back({ShardPrefix(0),
                     kBeat,
                     {Text(request.session), fmt::format("{:.17g}", request.rate), Text(request.owned),
                      ProgressToJson(request.progress)}});
    calls.push_back(PausedCall());
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    BeatReply reply;
    reply.paused = ReadPaused(replies->back());
    replies->pop_back();
    bool marked = true;
    for (int shard = 0; shard < count_; ++shard) {
      Fields fields((*replies)[static_cast<std::size_t>(shard)]);
      marked = fields.Truth() && marked;
      reply.total_rate += static_cast<double>(fields.Number()) * kRateUnit;
      reply.total_jobs += fields.Number();
      while (fields.More()) {
        const JobKey key = fields.Number();
        if (fields.Truth()) reply.changed.push_back(key);
        const bool cancel = fields.Truth();
        const Instant fire_time = fields.Time();
        const int attempt = fields.Int();
        if (cancel && fields.ok()) reply.cancelled.push_back({key, fire_time, attempt});
        (void)fields.TakeOk();  // no pod runs what it cannot read
      }
    }
    Fields fields(replies->back());
    reply.store_time = fields.Time();
    reply.live = fields.Truth() && marked;
    if (!fields.TakeOk()) return redis_store::Malformed("no time");
    reply.sessions = ReadSessions(fields, /*ended=*/nullptr);
    return reply;
  }

  Result<ReclaimReply> Reclaim(SessionId session, std::int64_t beat) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto told = servers_.Run({ShardPrefix(0), kEndSession, {Text(session), Text(beat)}});
    if (!told) return tl::unexpected(told.error());
    if (told->integer < 0) return ReclaimReply{};
    auto reply = HandBack(session, /*lost=*/true, kHandBackRounds);
    if (reply) reply->ended = told->integer == 1;
    return reply;
  }

  Status EndSession(SessionId session) override {
    if (auto ready = Ready(); !ready) return ready;
    auto told = servers_.Run({ShardPrefix(0), kEndSession, {Text(session), ""}});
    if (!told) return tl::unexpected(told.error());
    for (int i = 0; i < 1000; ++i) {
      auto reply = HandBack(session, /*lost=*/false, kHandBackRounds);
      if (!reply) return tl::unexpected(reply.error());
      if (reply->still_owned == 0) return {};
    }
    return Fail(Code::kTimeout, "the session owns too many jobs to hand them back at once");
  }

  // --- the hot path

  Result<ClaimReply> Claim(const ClaimRequest& request) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    ClaimReply reply;
    auto left = static_cast<std::size_t>(std::max(request.limit, 0));
    for (bool first = true; first || left > 0; first = false) {
      std::vector<std::size_t> share(static_cast<std::size_t>(count_), std::min(left, kRows));
      if (count_ > 1) {
        auto chosen = Choose(request, left);
        if (!chosen) return PartlyClaimed(reply, chosen.error());
        share = std::move(*chosen);
      }
      std::vector<RedisCall> calls;
      std::size_t wanted = 0;
      for (int shard = 0; shard < count_; ++shard) {
        const std::size_t limit = share[static_cast<std::size_t>(shard)];
        wanted += limit;
        calls.push_back({ShardPrefix(shard), kClaim, ClaimArguments(request, limit, /*look=*/false)});
      }
      auto replies = servers_.Run(calls);
      if (!replies) return PartlyClaimed(reply, replies.error());
      const std::size_t before = reply.jobs.size();
      if (auto read = ReadClaimed(*replies, reply); !read) return tl::unexpected(read.error());
      if (!reply.live) {
        reply.jobs.clear();  // whoever ended it hands them back
        return reply;
      }
      const std::size_t got = reply.jobs.size() - before;
      left -= std::min(left, got);
      if (got < wanted || got == 0) break;
    }
    return reply;
  }

  Result<ClaimReply> Recover(SessionId session, const std::vector<std::pair<JobKey, Fence>>& known) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto owned = servers_.Run(CallsOnAll(kRecover, {Text(session), ""}, /*writes=*/false));
    if (!owned) return tl::unexpected(owned.error());
    const std::set<std::pair<JobKey, Fence>> without(known.begin(), known.end());
    std::vector<RedisCall> calls;
    ClaimReply reply{.live = true};
    for (int shard = 0; shard < count_; ++shard) {
      Fields fields((*owned)[static_cast<std::size_t>(shard)]);
      KeepEarliest(reply.store_time, fields.Time());
      reply.live = fields.Truth() && reply.live;
      RedisCall call{ShardPrefix(shard), kRecover, {Text(session)}, /*writes=*/false};
      while (fields.More()) {
        const JobKey key = fields.Number();
        if (!without.contains({key, fields.Number()})) call.arguments.push_back(Text(key));
        if (call.arguments.size() <= kRows && fields.More()) continue;
        if (call.arguments.size() > 1) calls.push_back(call);
        call.arguments.resize(1);
      }
    }
    for (const RedisCall& call : calls) {  // one after the other: definitions may be large
      auto rows = servers_.Run({call});
      if (!rows) return tl::unexpected(rows.error());
      std::vector<RedisReply> replies;
      replies.push_back(std::move(*rows));
      const bool live = reply.live;
      if (auto read = ReadClaimed(replies, reply); !read) return tl::unexpected(read.error());
      reply.live = live;
    }
    return reply;
  }

  Result<std::vector<bool>> Begin(SessionId session, const std::vector<BeginRequest>& requests) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    const auto parts = Divide(requests.size(), [&](std::size_t i) { return ShardOf(requests[i].key); });
    std::vector<RedisCall> calls;
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kBegin, {Text(session)}});
      for (const std::size_t i : part.positions) {
        const BeginRequest& r = requests[i];
        Add(call, {Text(r.key), Text(r.fence), Text(r.fire_time), std::to_string(r.attempt)});
      }
    }
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    std::vector<bool> may(requests.size(), false);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      for (const std::size_t i : parts[p].positions) may[i] = fields.Number() == 1;
    }
    return may;
  }

  Result<CommitReply> Commit(SessionId session, const std::vector<Completion>& completions) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    CommitReply reply;
    if (completions.empty()) {
      auto now = Now();
      if (!now) return tl::unexpected(now.error());
      reply.store_time = *now;
      return reply;
    }
    const auto parts = Divide(completions.size(), [&](std::size_t i) { return ShardOf(completions[i].key); });
    std::vector<RedisCall> calls;
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(
          RedisCall{ShardPrefix(part.shard),
                    kCommit,
                    {Text(session), std::to_string(history_), std::to_string(part.shard), std::to_string(count_)}});
      call.arguments.reserve(4 + 17 * part.positions.size());
      for (const std::size_t i : part.positions) AddCompletion(call, session, completions[i]);
    }
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    reply.answers.resize(completions.size());
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      KeepEarliest(reply.store_time, fields.Time());
      const std::string& letters = fields.Text();
      if (letters.size() != parts[p].positions.size()) return Fail(Code::kInternal, "commit: not all were answered");
      for (std::size_t n = 0; n < letters.size(); ++n) reply.answers[parts[p].positions[n]] = AnswerOf(letters[n]);
      // What cannot be done now is done by the next upkeep.
      const bool follow = std::any_of(parts[p].positions.begin(), parts[p].positions.end(),
                                      [&](std::size_t i) { return !FollowersText(completions[i]).empty(); });
      if (follow) (void)FollowUp(parts[p].shard);
    }
    return reply;
  }

  Status Release(SessionId session, const std::vector<std::pair<JobKey, Fence>>& jobs) override {
    if (auto ready = Ready(); !ready) return ready;
    std::vector<RedisCall> calls;
    for (const Part& part : Divide(jobs.size(), [&](std::size_t i) { return ShardOf(jobs[i].first); })) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kRelease, {Text(session)}});
      for (const std::size_t i : part.positions) Add(call, {Text(jobs[i].first), Text(jobs[i].second)});
    }
    auto replies = servers_.Run(calls);
    return replies ? Status() : Status(tl::unexpected(replies.error()));
  }

  // --- what users do

  Result<std::vector<EnqueueOutcome>> Enqueue(const std::vector<JobDefinition>& jobs) override {
    std::unordered_set<std::string_view> ids;
    for (const JobDefinition& job : jobs) {
      if (const Status valid = Validate(job); !valid) return tl::unexpected(valid.error());
      if (!ids.insert(job.id).second) return GivenTwice(job.id);
    }
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    std::vector<std::string> texts;
    for (const JobDefinition& job : jobs) texts.push_back(DefinitionToJson(job));
    std::vector<EnqueueOutcome> outcomes(jobs.size(), EnqueueOutcome::kCreated);
    auto keys = KeysFor(jobs, texts, outcomes);
    if (!keys) return tl::unexpected(keys.error());
    std::vector<std::size_t> wanted;  // all but those that KeysFor settled
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (outcomes[i] == EnqueueOutcome::kCreated) wanted.push_back(i);
    }
    auto parts = Divide(
        wanted.size(), [&](std::size_t i) { return ShardOfId(jobs[wanted[i]].id); },
        [&](std::size_t i) { return texts[wanted[i]].size(); });
    for (Part& part : parts) {
      for (std::size_t& position : part.positions) position = wanted[position];
    }
    std::map<int, Instant> clocks;
    for (const Part& part : parts) {
      if (clocks.contains(part.shard)) continue;
      auto now = TimeOf(part.shard);
      if (!now) return tl::unexpected(now.error());
      clocks[part.shard] = *now;
    }
    std::vector<RedisCall> calls;
    for (const Part& part : parts) {
      const Instant now = clocks[part.shard];
      RedisCall& call = calls.emplace_back(
          RedisCall{ShardPrefix(part.shard), kCreate, {std::to_string(part.shard), std::to_string(count_)}});
      for (const std::size_t i : part.positions) {
        const JobDefinition& job = jobs[i];
        const Schedule grid = job.schedule.AnchoredAt(now);
        const Instant cursor = grid.FirstCursor(now);
        const auto first = grid.Next(cursor);
        Add(call, {job.id, std::move(texts[i]), job.schedule.ToString(), QueueKey(job), std::to_string(job.priority),
                   RateText(job.schedule), Text(cursor), first ? Text(*first) : "", Text(now),
                   job.unique.empty() ? "" : Text(TakenUntil(keys->at(i).record))});
      }
    }
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    constexpr std::int64_t kTooLate = 3;
    const JobDefinition* late = nullptr;
    std::vector<KeyOf> kept;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      for (const std::size_t i : parts[p].positions) {
        const std::int64_t answer = fields.Number();
        if (answer == kTooLate) late = &jobs[i];
        outcomes[i] = static_cast<EnqueueOutcome>(answer);
        if (jobs[i].unique.empty() || answer == kTooLate) continue;
        KeyOf& key = kept.emplace_back(keys->at(i));
        key.until = key.created.value_or(clocks[parts[p].shard]) + jobs[i].unique_for;
      }
    }
    KeepKeys(kept);
    if (late != nullptr) return TooLateForKey(late->id);
    return outcomes;
  }

  Status Remove(const std::string& id) override {
    if (auto ready = Ready(); !ready) return ready;
    for (int i = 0; i < 1'000'000; ++i) {
      auto reply = servers_.Run({ShardPrefix(ShardOfId(id)), kRemove, {id}});
      if (!reply) return tl::unexpected(reply.error());
      if (reply->integer == 1) return {};
      if (reply->integer == 0) return NoSuchJob(id);
    }
    return Fail(Code::kTimeout, fmt::format("job '{}' is triggered faster than it can be removed", id));
  }

  Status Pause(const std::string& id) override {
    if (auto ready = Ready(); !ready) return ready;
    auto reply = servers_.Run({ShardPrefix(ShardOfId(id)), kPause, {id}});
    if (!reply) return tl::unexpected(reply.error());
    return reply->integer == 1 ? Status() : NoSuchJob(id);
  }

  Status Resume(const std::string& id) override {
    if (auto ready = Ready(); !ready) return ready;
    RedisCall call{ShardPrefix(ShardOfId(id)), kResume, {id, std::to_string(history_)}};
    for (int i = 0; i < kRetries; ++i) {
      auto reply = servers_.Run(call);
      if (!reply) return tl::unexpected(reply.error());
      if (reply->kind == RedisReply::Kind::kInteger) return reply->integer == 1 ? Status() : NoSuchJob(id);
      if (auto told = AddSkip(*reply, id, call); !told) return told;
    }
    return KeepsChanging(id);
  }

  Status PauseQueue(const std::optional<std::string>& queue) override { return Rest(queue, /*pause=*/true); }
  Status ResumeQueue(const std::optional<std::string>& queue) override { return Rest(queue, /*pause=*/false); }
  Result<PausedQueues> Paused() override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto reply = servers_.Run(PausedCall());
    if (!reply) return tl::unexpected(reply.error());
    return ReadPaused(*reply);
  }

  Status Trigger(const std::string& id, const std::optional<std::string>& payload) override {
    return MakeChild(id, payload, "");
  }

  Result<std::vector<DeadLetter>> DeadLetters(const DeadLetterFilter& filter) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    const auto most = static_cast<std::size_t>(std::max(filter.limit, 0));
    std::vector<DeadLetter> letters;
    for (int shard = 0; shard < count_; ++shard) {
      if (!filter.job_id.empty() && shard != ShardOfId(filter.job_id)) continue;
      if (auto read = ReadLetters(shard, filter, most, letters); !read) return tl::unexpected(read.error());
    }
    std::sort(letters.begin(), letters.end(), [](const DeadLetter& a, const DeadLetter& b) { return a.id < b.id; });
    if (letters.size() > most) letters.resize(most);
    return letters;
  }

  Status RetryDead(std::int64_t id) override {
    if (auto ready = Ready(); !ready) return ready;
    if (id < 1) return NoSuchLetter(id);
    std::vector<DeadLetter> letters;
    const DeadLetterFilter filter = {.after_id = id - 1, .limit = 1, .payloads = true};
    if (auto read = ReadLetters(ShardOf(id), filter, 1, letters); !read) return read;
    if (letters.empty() || letters.front().id != id) return NoSuchLetter(id);
    const DeadLetter& letter = letters.front();
    Status status = MakeChild(letter.job_id, letter.payload, Text(id));
    if (status || status.error().code != Code::kNotFound) return status;
    std::vector<DeadLetter> left;
    if (auto read = ReadLetters(ShardOf(id), filter, 1, left); !read) return read;
    return left.empty() || left.front().id != id ? NoSuchLetter(id) : JobOfLetterGone(id, letter.job_id);
  }

  Result<std::vector<std::int64_t>> DiscardDead(const std::vector<std::int64_t>& ids) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    const auto parts = Divide(ids.size(), [&](std::size_t i) { return ShardOf(ids[i]); });
    std::vector<RedisCall> calls;
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kDiscardDead, {}});
      for (const std::size_t i : part.positions) call.arguments.push_back(Text(ids[i]));
    }
    std::vector<std::int64_t> gone;
    if (calls.empty()) return gone;
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      for (const std::size_t i : parts[p].positions) {
        if (fields.Number() == 1) gone.push_back(ids[i]);
      }
    }
    return gone;
  }

  Status Cancel(const std::string& id) override {
    if (auto ready = Ready(); !ready) return ready;
    bool any = false;
    std::string after;
    do {
      auto reply = servers_.Run({ShardPrefix(ShardOfId(id)), kCancel, {id, after}});
      if (!reply) return tl::unexpected(reply.error());
      Fields fields(*reply);
      const std::int64_t marked = fields.Number();
      if (marked < 0) return NoSuchJob(id);
      any = any || marked > 0;
      after = fields.Text();
    } while (!after.empty());
    return any ? Status() : NothingUnderWay(id);
  }

  Result<JobInfo> Get(const std::string& id) override {
    auto row = Find(id);
    if (!row) return tl::unexpected(row.error());
    return InfoOf(*row);
  }

  Result<std::vector<JobInfo>> List(const JobFilter& filter) override {
    auto rows = Page(filter.id_prefix, filter.after_id, filter.state, filter.limit, filter.metadata);
    if (!rows) return tl::unexpected(rows.error());
    std::vector<JobInfo> jobs;
    for (const JobRow& row : *rows) jobs.push_back(InfoOf(row));
    return jobs;
  }

  Result<std::vector<RunInfo>> Runs(const RunFilter& filter) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    std::vector<RunInfo> runs;
    if (filter.limit <= 0) return runs;
    if (!filter.job_id.empty()) {
      auto lines = servers_.Run(NewestCall(filter.job_id, filter));
      if (!lines) return tl::unexpected(lines.error());
      if (auto read = ReadNewest(filter.job_id, *lines, filter, runs); !read) return tl::unexpected(read.error());
      return runs;
    }
    return RunsOfAll(filter);
  }

  Result<std::vector<RunProgress>> Progress(const std::string& job_id) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto reply = servers_.Run({ShardPrefix(0), kProgress, {}, /*writes=*/false});
    if (!reply) return tl::unexpected(reply.error());
    std::vector<SentProgress> sent;
    for (Fields fields(*reply); fields.More();) {
      std::string pod = fields.Text();
      sent.push_back({std::move(pod), fields.Text()});
    }
    return ReadProgress(sent, job_id);
  }

  Result<StoreStats> Stats() override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto replies = servers_.Run(CallsOnAll(kCounts, {}, /*writes=*/false));
    if (!replies) return tl::unexpected(replies.error());
    StoreStats stats;
    for (const RedisReply& reply : *replies) {
      Fields fields(reply);
      for (const JobState state : {JobState::kActive, JobState::kPaused, JobState::kFinished, JobState::kRemoved}) {
        const std::int64_t count = fields.Number();
        if (count > 0) stats.jobs[state] += count;
      }
      stats.overdue += fields.Number();
    }
    return stats;
  }

  Result<std::vector<PodInfo>> Pods() override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto reply = servers_.Run({ShardPrefix(0), kBeat, {""}, /*writes=*/false});
    if (!reply) return tl::unexpected(reply.error());
    Fields fields(*reply, 2);
    std::vector<SessionId> ended;
    std::vector<PodInfo> pods;
    for (const SessionView& session : ReadSessions(fields, &ended)) {
      pods.push_back({.name = session.pod, .session = session.id, .rate = session.rate, .owned = session.owned});
    }
    return pods;
  }

  Result<Audit> AuditWindow(const std::string& id_prefix, Instant from, Instant to) override {
    constexpr std::size_t kPage = 50;  // a thousand lines of history each
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    Audit audit;
    for (int shard = 0; shard < count_; ++shard) {
      std::string after;
      for (;;) {
        std::vector<JobRow> rows;
        if (auto read = ReadPage(shard, id_prefix, after, std::nullopt, kPage, rows); !read)
          return tl::unexpected(read.error());
        if (rows.empty()) break;
        after = rows.back().definition.id;
        std::vector<RedisCall> calls;
        for (const JobRow& row : rows) calls.push_back(HistoryCall(row.definition.id, 0, -1));
        auto histories = servers_.Run(calls);
        if (!histories) return tl::unexpected(histories.error());
        for (std::size_t i = 0; i < rows.size(); ++i) {
          if (auto s = AuditRow(rows[i], (*histories)[i], from, to, audit); !s) return tl::unexpected(s.error());
        }
      }
    }
    return audit;
  }

  // --- carrying jobs from store to store

  Result<std::vector<ArchivedJob>> ExportJobs(const std::string& after_id, int limit) override {
    auto rows = Page("", after_id, std::nullopt, limit);
    if (!rows) return tl::unexpected(rows.error());
    std::vector<ArchivedJob> jobs;
    for (const JobRow& row : *rows) jobs.push_back(ArchiveOf(row));
    return jobs;
  }

  Result<std::vector<RunInfo>> ExportRuns(const std::vector<std::string>& job_ids,
                                          const std::optional<RunPosition>& after, int limit) override {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    const std::set<std::string> ids(job_ids.begin(), job_ids.end());
    const auto most = static_cast<std::size_t>(std::max(limit, 0));
    std::vector<RunInfo> runs;
    for (auto id = after ? ids.lower_bound(after->job_id) : ids.begin(); id != ids.end() && runs.size() < most; ++id) {
      const int shard = ShardOfId(*id);
      auto replies =
          servers_.Run({{ShardPrefix(shard), {}, {"HGET", ShardPrefix(shard) + "keys", *id}, /*writes=*/false},
                        HistoryCall(*id, 0, -1)});
      if (!replies) return tl::unexpected(replies.error());
      const auto begin = static_cast<std::ptrdiff_t>(runs.size());
      for (const RedisReply& line : (*replies)[1].elements) {
        auto read = ReadHistoryLine(*id, line.text);
        if (!read) return tl::unexpected(read.error());
        // A job of the same id that was removed has a history of its own.
        if (Text(read->parent.value_or(read->key)) != (*replies)[0].text) continue;
        if (!after || PositionOf(read->run) > *after) runs.push_back(std::move(read->run));
      }
      std::sort(runs.begin() + begin, runs.end(),
                [](const RunInfo& a, const RunInfo& b) { return PositionOf(a) < PositionOf(b); });
    }
    if (runs.size() > most) runs.resize(most);
    return runs;
  }

  Status ImportJobs(const std::vector<ArchivedJob>& jobs) override {
    if (const Status valid = ValidateArchive(jobs); !valid) return valid;
    if (const Status none = CheckNoneCompleted(jobs); !none) return none;
    if (auto ready = Ready(); !ready) return ready;
    std::vector<std::string> ids;
    std::vector<std::string> texts;
    for (const ArchivedJob& job : jobs) {
      ids.push_back(job.definition.id);
      texts.push_back(DefinitionToJson(job.definition));
    }
    auto known = Known(ids);
    if (!known) return tl::unexpected(known.error());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if ((*known)[i]) return AlreadyThere(ids[i]);
    }
    const auto parts = Divide(
        jobs.size(), [&](std::size_t i) { return ShardOfId(ids[i]); }, [&](std::size_t i) { return texts[i].size(); });
    auto keys = KeysFor(jobs);
    if (!keys) return tl::unexpected(keys.error());
    Instant until;
    for (const KeyOf& key : *keys) KeepEarliest(until, TakenUntil(key.record));
    std::vector<std::string> added;
    for (const Part& part : parts) {
      RedisCall call{ShardPrefix(part.shard),
                     kImportJobs,
                     {std::to_string(part.shard), std::to_string(count_), keys->empty() ? "" : Text(until)}};
      for (const std::size_t i : part.positions) AddArchived(call, jobs[i], std::move(texts[i]));
      auto reply = servers_.Run(call);
      if (reply && reply->text.empty()) {
        for (const std::size_t i : part.positions) added.push_back(ids[i]);
        continue;
      }
      // Somebody added one meanwhile, or a server is away: what this call added goes again, and the keys by time.
      for (const std::string& id : added) {
        if (auto undone = Remove(id); !undone && undone.error().code != Code::kNotFound) {
          return Fail(Code::kInDoubt, fmt::format("{}; a part of the jobs was added", undone.error().message));
        }
      }
      if (!reply) return tl::unexpected(reply.error());
      if (reply->text == std::string(1, '\0')) return TooLateForKey(keys->front().job_id);
      return AlreadyThere(reply->text);
    }
    KeepKeys(*keys);
    return {};
  }

  Status ImportRuns(const std::vector<RunInfo>& runs) override {
    if (auto ready = Ready(); !ready) return ready;
    std::set<std::string> distinct;
    for (const RunInfo& run : runs) distinct.insert(run.job_id);
    const std::vector<std::string> ids(distinct.begin(), distinct.end());
    auto known = Known(ids);
    if (!known) return tl::unexpected(known.error());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (!(*known)[i]) return NoSuchJob(ids[i]);
    }
    std::vector<RedisCall> calls;
    const auto parts = Divide(
        runs.size(), [&](std::size_t i) { return ShardOfId(runs[i].job_id); },
        [&](std::size_t i) { return runs[i].output.size(); });
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kImportRuns, {std::to_string(history_)}});
      for (const std::size_t i : part.positions) {
        const RunInfo& run = runs[i];
        Add(call,
            {run.job_id, Text(run.triggered), Text(run.settled_at), MakeValidText(run.pod),
             redis_store::MarkAfterKey(0, 0, run.fire_time, run.attempt, run.verdict), redis_store::RestOfRun(run)});
      }
    }
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    for (const RedisReply& reply : *replies) {
      if (!reply.text.empty()) return NoSuchJob(reply.text);
    }
    return {};
  }

  // --- upkeep

  Status Maintain(const MaintainOptions& options) override {
    if (auto ready = Ready(); !ready) return ready;
    if (auto swept = SweepSessions(); !swept) return swept;
    for (int shard = 0; shard < count_; ++shard) {
      if (auto followed = FollowUp(shard); !followed) return followed;
      auto now = TimeOf(shard);
      if (!now) return tl::unexpected(now.error());
      const std::string oldest = Text(*now - std::chrono::days(options.history_days));
      std::int64_t next = 0;
      while (next >= 0) {
        auto reply = servers_.Run({ShardPrefix(shard), kPrune, {oldest, Text(next), std::to_string(kRows)}});
        if (!reply) return tl::unexpected(reply.error());
        next = reply->integer;
      }
      if (auto dropped = DropOldKeys(shard, *now); !dropped) return dropped;
    }
    return {};
  }

 private:
  static tl::unexpected<Error> Newer(std::int64_t version) {
    return Fail(Code::kConflict, fmt::format("the store's schema is newer than this program (version {}, this program "
                                             "knows {}): use a newer program",
                                             version, kVersion));
  }
  static tl::unexpected<Error> NoSchema() {
    return Fail(Code::kConflict, "the store has no schema yet: run the migration first");
  }
  static tl::unexpected<Error> KeepsChanging(const std::string& id) {
    return Fail(Code::kConflict, fmt::format("job '{}' keeps changing under other hands", Quoted(id, 200)));
  }
  static void Add(RedisCall& call, std::initializer_list<std::string> arguments) {
    call.arguments.insert(call.arguments.end(), arguments.begin(), arguments.end());
  }
  // Of several clocks the earliest: pods count from a lower bound.
  static void KeepEarliest(Instant& earliest, Instant other) {
    if (earliest == Instant() || other < earliest) earliest = other;
  }

  // 0: absent. Reads the number of shards, too.
  Result<std::int64_t> StoredVersion() {
    auto reply =
        servers_.Run({ShardPrefix(0), {}, {"HMGET", MetaKey(), "version", "shards", "history"}, /*writes=*/false});
    if (!reply) return tl::unexpected(reply.error());
    if (reply->elements.size() != 3 || reply->elements[0].text.empty()) return 0;
    Fields fields(*reply);
    const std::int64_t version = fields.Number();
    const std::int64_t count = fields.Number();
    const std::int64_t history = fields.Number();
    if (version == kVersion && (!fields.ok() || count < 1 || count > 10'000 || history < 1)) {
      return Fail(Code::kConflict, fmt::format("{}: the hash {} is damaged", servers_.where(), MetaKey()));
    }
    if (version == kVersion) {
      count_ = static_cast<int>(count);
      history_ = history;
    }
    return version;
  }

  // Before anything that touches jobs. The number of shards is fixed when the store is migrated.
  Status Ready() {
    if (count_ > 0) return {};
    auto version = StoredVersion();
    if (!version) return tl::unexpected(version.error());
    if (*version == kVersion) return {};
    return *version > kVersion ? Newer(*version) : NoSchema();
  }

  // A server that throws keys away when its memory is full would throw jobs away.
  Status CheckEviction() {
    if (count_ == 0) {
      auto cluster = servers_.IsCluster();
      if (!cluster) return tl::unexpected(cluster.error());
    }
    for (int shard = 0; shard < std::max(count_, 1); ++shard) {
      auto info = servers_.Run({ShardPrefix(shard), {}, {"INFO", "memory"}, /*writes=*/false});
      if (!info) return tl::unexpected(info.error());
      if (info->text.find("maxmemory_policy:allkeys") != std::string::npos) {
        return Fail(Code::kConflict,
                    fmt::format("{}: the server may evict any key when its memory is full, jobs too: set "
                                "maxmemory-policy to noeviction",
                                servers_.where()));
      }
    }
    return {};
  }

  Result<Instant> TimeOf(int shard) {
    auto reply = servers_.Run({ShardPrefix(shard), {}, {"TIME"}, /*writes=*/false});
    if (!reply) return tl::unexpected(reply.error());
    Fields fields(*reply);
    const std::int64_t seconds = fields.Number();
    const std::int64_t micros = fields.Number();
    const bool good = fields.ok() && micros >= 0 && micros < 1'000'000 && seconds >= 0 && seconds < 250'000'000'000;
    if (!good) return Fail(Code::kInternal, servers_.where() + ": the server does not tell the time");
    return FromMicros(seconds * 1'000'000 + micros);
  }

  int ShardOf(JobKey key) const {
    return static_cast<int>(static_cast<std::uint64_t>(key) % static_cast<unsigned>(count_));
  }
  // FNV-1a: the same in every program, for ever.
  int ShardOfId(const std::string& id) const {
    std::uint64_t hash = 14'695'981'039'346'656'037U;
    for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211U;
    return static_cast<int>(hash % static_cast<unsigned>(count_));
  }

  std::vector<RedisCall> CallsOnAll(const std::string& script, const std::vector<std::string>& arguments,
                                    bool writes) const {
    std::vector<RedisCall> calls;
    for (int shard = 0; shard < count_; ++shard) calls.push_back({ShardPrefix(shard), script, arguments, writes});
    return calls;
  }
  Result<std::vector<RedisReply>> OnAll(const std::string& script, const std::vector<std::string>& arguments) {
    return servers_.Run(CallsOnAll(script, arguments, /*writes=*/true));
  }

  template <typename ShardAt>
  std::vector<Part> Divide(std::size_t n, const ShardAt& shard_at) const {
    return Divide(n, shard_at, [](std::size_t) { return std::size_t{0}; });
  }
  template <typename ShardAt, typename SizeAt>
  std::vector<Part> Divide(std::size_t n, const ShardAt& shard_at, const SizeAt& size_at) const {
    std::vector<Part> parts;
    std::vector<std::size_t> open(static_cast<std::size_t>(count_), SIZE_MAX);  // the part that still has room
    std::vector<std::size_t> bytes(static_cast<std::size_t>(count_), 0);
    for (std::size_t i = 0; i < n; ++i) {
      const int shard = shard_at(i);
      const auto s = static_cast<std::size_t>(shard);
      bytes[s] += size_at(i);
      if (open[s] == SIZE_MAX || parts[open[s]].positions.size() >= kRows || bytes[s] > kBytes) {
        open[s] = parts.size();
        bytes[s] = size_at(i);
        parts.push_back({shard, {}});
      }
      parts[open[s]].positions.push_back(i);
    }
    return parts;
  }

  // --- sessions

  // Live ones; with `ended`, those that were ended stand there instead of among the others.
  static std::vector<SessionView> ReadSessions(Fields& fields, std::vector<SessionId>* ended) {
    std::vector<SessionView> sessions;
    for (; fields.More(); (void)fields.TakeOk()) {
      SessionView view;
      view.id = fields.Number();
      view.pod = fields.Text();
      view.beat = fields.Number();
      view.ttl = Duration(fields.Number());
      view.rate = std::strtod(fields.Text().c_str(), nullptr);
      view.owned = fields.Number();
      const bool is_ended = fields.Truth();
      if (!fields.ok()) continue;  // nobody judges what cannot be read
      if (is_ended && ended != nullptr) {
        ended->push_back(view.id);
      } else {
        sessions.push_back(std::move(view));
      }
    }
    return sessions;
  }

  // Of a session that is ended at home. Until nothing is left, it is shown to all: whoever sees it goes on.
  Result<ReclaimReply> HandBack(SessionId session, bool lost, int rounds) {
    ReclaimReply reply;
    std::vector<RedisCall> calls = CallsOnAll(kHandBack, {Text(session), Text(lost)}, /*writes=*/true);
    for (int round = 0; round < rounds && !calls.empty(); ++round) {
      auto replies = servers_.Run(calls);
      if (!replies) return tl::unexpected(replies.error());
      reply.still_owned = 0;
      std::vector<RedisCall> again;
      for (std::size_t i = 0; i < calls.size(); ++i) {
        Fields fields((*replies)[i]);
        reply.jobs += fields.Number();
        const std::int64_t left = fields.Number();
        reply.still_owned += left;
        if (left > 0) again.push_back(std::move(calls[i]));
      }
      calls = std::move(again);
    }
    if (reply.still_owned > 0) return reply;
    auto forgotten = servers_.Run({ShardPrefix(0), kForgetSession, {Text(session)}});
    if (!forgotten) return tl::unexpected(forgotten.error());
    return reply;
  }

  // Whoever ended a session may have died half-way; a server that failed over may have lost the end, or the session.
  Status SweepSessions() {
    // Markers first: a session that is opened meanwhile is live at home before it has one.
    auto replies = servers_.Run(CallsOnAll(kMarkedSessions, {}, /*writes=*/false));
    if (!replies) return tl::unexpected(replies.error());
    std::set<std::string> marked;
    for (const RedisReply& reply : *replies) {
      for (const RedisReply& session : reply.elements) marked.insert(session.text);
    }
    auto seen = servers_.Run({ShardPrefix(0), kBeat, {""}, /*writes=*/false});
    if (!seen) return tl::unexpected(seen.error());
    Fields fields(*seen, 2);
    std::vector<SessionId> ended;
    for (const SessionView& live : ReadSessions(fields, &ended)) marked.erase(Text(live.id));
    for (const SessionId session : ended) marked.insert(Text(session));
    for (const std::string& session : marked) {
      auto reply = HandBack(std::strtoll(session.c_str(), nullptr, 10), /*lost=*/true, kHandBackRounds);
      if (!reply) return tl::unexpected(reply.error());
    }
    return {};
  }

  // --- claims

  static std::vector<std::string> ClaimArguments(const ClaimRequest& request, std::size_t limit, bool look) {
    std::vector<std::string> arguments = {Text(request.session),      Text(std::int64_t{request.horizon.count()}),
                                          std::to_string(limit),      Text(look),
                                          Text(request.oldest_first), std::to_string(request.above)};
    arguments.insert(arguments.end(), request.queues.begin(), request.queues.end());
    return arguments;
  }

  // How many each shard should give, so that the best `left` of all shards are claimed.
  Result<std::vector<std::size_t>> Choose(const ClaimRequest& request, std::size_t left) {
    auto replies = servers_.Run(
        CallsOnAll(kClaim, ClaimArguments(request, std::min(left, kRows), /*look=*/true), /*writes=*/false));
    if (!replies) return tl::unexpected(replies.error());
    struct Candidate {
      std::int64_t rank;
      Instant time;
      std::size_t shard;
      auto operator<=>(const Candidate&) const = default;
    };
    std::vector<Candidate> candidates;
    for (std::size_t shard = 0; shard < replies->size(); ++shard) {
      Fields fields((*replies)[shard], 2);
      while (fields.More()) {
        const std::int64_t rank = fields.Number();
        candidates.push_back({rank, fields.Time(), shard});
      }
    }
    std::sort(candidates.begin(), candidates.end());
    std::vector<std::size_t> share(replies->size(), 0);
    for (std::size_t i = 0; i < std::min(left, candidates.size()); ++i) ++share[candidates[i].shard];
    return share;
  }

  static tl::unexpected<Error> PartlyClaimed(const ClaimReply& reply, Error error) {
    if (!reply.jobs.empty()) error.code = Code::kInDoubt;
    return tl::unexpected(std::move(error));
  }

  static Status ReadClaimed(const std::vector<RedisReply>& replies, ClaimReply& reply) {
    reply.live = true;
    for (const RedisReply& part : replies) {
      Fields fields(part);
      KeepEarliest(reply.store_time, fields.Time());
      reply.live = fields.Truth() && reply.live;
      if (!fields.TakeOk()) return redis_store::Malformed("no time");
      while (fields.More()) {
        ClaimedJob job;
        job.key = fields.Number();
        job.fence = fields.Number();
        const std::string& text = fields.Text();
        const std::string& id = fields.Text();
        auto definition = DefinitionFromJson(id, text);
        job.present = redis_store::ReadPresent(fields);
        // One row that a hand spoiled must not keep the others from being claimed.
        const Status sound = fields.TakeOk() ? CheckPresent(job.present) : redis_store::Malformed("a value");
        if (!definition || !sound) {
          const Error& error = definition ? sound.error() : definition.error();
          job.unreadable = fmt::format("job '{}': {}", Quoted(id, 200), error.message);
        } else {
          job.definition = std::make_shared<const JobDefinition>(std::move(*definition));
        }
        reply.jobs.push_back(std::move(job));
      }
    }
    return {};
  }

  // --- commits

  // Names, a line each; of what is handed on, with the fire time that it keeps and the job's key.
  static std::string FollowersText(const Completion& c) {
    if (!c.run || !c.ran) return {};
    const std::string names = fmt::format("{}", fmt::join(FollowersOf(*c.ran, c.run->verdict, c.run->settles), "\n"));
    return c.run->verdict == Verdict::kHandedOn ? names + kAtFireTime + Text(c.fire_time) + ' ' + Text(c.key) : names;
  }

  static void AddCompletion(RedisCall& call, SessionId session, const Completion& c) {
    const auto& run = c.run;
    Add(call, {Text(c.key), Text(c.fence), Text(c.fire_time), std::to_string(c.attempt), std::to_string(c.version),
               Text(c.next.cursor), c.next.fire_time ? Text(*c.next.fire_time) : "", Text(c.next.due_at),
               std::to_string(c.next.attempt), Text(c.keep), run ? std::to_string(static_cast<int>(run->verdict)) : "",
               run ? Text(run->settles) : "0", c.next.pause ? std::to_string(c.next.failures) : "",
               run ? redis_store::Mark(c.key, session, c.fence, *run) : "", run ? redis_store::RestOfRun(*run) : "",
               c.ran && run && FailedForGood(run->verdict, run->settles) ? c.ran->payload : "", FollowersText(c)});
  }

  static CommitAnswer AnswerOf(char letter) {
    switch (letter) {
      case 'k': return {CommitOutcome::kApplied, true, {}};
      case 'a': return {CommitOutcome::kApplied, false, {}};
      case 'q': return {CommitOutcome::kAlreadyApplied, true, {}};
      case 'r': return {CommitOutcome::kAlreadyApplied, false, {}};
      default: return {CommitOutcome::kStale, false, {}};
    }
  }

  // The second call of resume.lua, from the answer to the first.
  static Status AddSkip(const RedisReply& reply, const std::string& id, RedisCall& call) {
    Fields fields(reply);
    const JobKey key = fields.Number();
    const Fence fence = fields.Number();
    const Instant now = fields.Time();
    auto definition = DefinitionFromJson(id, fields.Text());
    if (!definition) return tl::unexpected(definition.error());
    const Present p = redis_store::ReadPresent(fields);
    const Status sound = fields.ok() ? CheckPresent(p) : redis_store::Malformed("a value");
    if (!sound) return FailIn(fmt::format("job '{}'", Quoted(id, 200)), sound.error());
    const auto skip = SkipStretch(*definition, p, now, Verdict::kSkippedPaused);
    call.arguments.resize(2);
    Add(call,
        {Text(fence), Text(p.fire_time), std::to_string(p.attempt), std::to_string(p.version), Text(skip.has_value())});
    if (!skip) return {};
    Add(call,
        {Text(skip->next.cursor), skip->next.fire_time ? Text(*skip->next.fire_time) : "", Text(skip->next.due_at),
         Text(skip->run->settles), redis_store::Mark(key, 0, fence, *skip->run), redis_store::RestOfRun(*skip->run)});
    return {};
  }

  // --- unique keys
  // A job and its key may lie on two servers: the key is taken first, for a short time, then the job comes, then the
  // key is kept. Whoever dies in between leaves a key that is free after that time, or a job that holds it by being
  // there.

  struct KeyOf {
    std::string key;
    std::string job_id;
    std::string record = {};              // as take_keys.lua made it
    std::optional<Instant> created = {};  // of the job, if it is there
    Instant until = {};                   // the window's end
    std::string void_record = {};         // of one that took it before and does not hold it
  };

  static tl::unexpected<Error> TooLateForKey(const std::string& id) {
    return Fail(Code::kUnavailable, fmt::format("job '{}': the servers took longer to add it than its unique key waits "
                                                "for it ({}): nothing of it was added",
                                                Quoted(id, 200), FormatDuration(kKeyTaken)));
  }
  static Instant TakenUntil(const std::string& record) {
    const auto read = redis_store::ReadKeyRecord(record);
    return read ? read->at + kKeyTaken : Instant();
  }
  static std::string HolderIn(const std::string& record) {
    const auto read = redis_store::ReadKeyRecord(record);
    return read ? read->job_id : std::string();
  }

  // Takes the keys of the jobs that would be created or changed. Settles the outcomes of those that would not be, and
  // of those whose key is held. At each position of a job with a key, what became of that.
  Result<std::vector<KeyOf>> KeysFor(const std::vector<JobDefinition>& jobs, const std::vector<std::string>& texts,
                                     std::vector<EnqueueOutcome>& outcomes) {
    std::vector<KeyOf> keys(jobs.size());
    std::vector<std::size_t> keyed;
    std::vector<RedisCall> calls;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].unique.empty()) continue;
      keyed.push_back(i);
      calls.push_back(RowCall(jobs[i].id));
    }
    if (keyed.empty()) return keys;
    auto rows = servers_.Run(calls);
    if (!rows) return tl::unexpected(rows.error());
    std::vector<KeyOf*> wanted;
    for (std::size_t n = 0; n < keyed.size(); ++n) {
      const std::size_t i = keyed[n];
      keys[i] = {.key = jobs[i].unique, .job_id = jobs[i].id};
      Fields fields((*rows)[n], 1);
      if (fields.More()) {
        auto row = redis_store::ReadJobRow(fields);
        if (!row) return tl::unexpected(row.error());
        keys[i].created = row->present.created_at;
        if (row->unreadable.empty() && DefinitionToJson(row->definition) == texts[i]) {
          outcomes[i] = EnqueueOutcome::kUnchanged;
          continue;
        }
      }
      wanted.push_back(&keys[i]);
    }
    if (auto took = TakeKeys(wanted); !took) return tl::unexpected(took.error());
    for (const std::size_t i : keyed) {
      const bool asked = outcomes[i] == EnqueueOutcome::kCreated;
      if (asked && keys[i].record.empty()) outcomes[i] = EnqueueOutcome::kHeld;
    }
    return keys;
  }

  // Takes the keys of jobs that are to be imported. kConflict when one is held.
  Result<std::vector<KeyOf>> KeysFor(const std::vector<ArchivedJob>& jobs) {
    std::vector<KeyOf> keys;
    auto now = Now();
    if (!now) return tl::unexpected(now.error());
    for (const ArchivedJob& job : jobs) {
      if (!HoldsItsKey(job, *now)) continue;
      keys.push_back({.key = job.definition.unique,
                      .job_id = job.definition.id,
                      .until = job.present.created_at + job.definition.unique_for});
    }
    std::vector<KeyOf*> wanted;
    for (KeyOf& key : keys) wanted.push_back(&key);
    if (auto took = TakeKeys(wanted); !took) return tl::unexpected(took.error());
    const auto held = std::find_if(keys.begin(), keys.end(), [](const KeyOf& key) { return key.record.empty(); });
    if (held == keys.end()) return keys;
    const KeyOf refused = *held;
    std::erase_if(keys, [](const KeyOf& key) { return key.record.empty(); });
    DropKeys(keys);
    return KeyHeld(refused.job_id, refused.key);
  }

  // Gives each that can be had its record.
  Status TakeKeys(std::vector<KeyOf*> wanted) {
    for (int round = 0; !wanted.empty(); ++round) {
      if (round == kRetries) return KeepsChanging(wanted.front()->job_id);
      std::vector<RedisCall> calls;
      const auto parts = Divide(wanted.size(), [&](std::size_t i) { return ShardOfId(wanted[i]->key); });
      for (const Part& part : parts) {
        RedisCall& call =
            calls.emplace_back(RedisCall{ShardPrefix(part.shard), kTakeKeys, {Text(std::int64_t{kKeyTaken.count()})}});
        for (const std::size_t i : part.positions)
          Add(call, {wanted[i]->key, wanted[i]->job_id, wanted[i]->void_record});
      }
      auto replies = servers_.Run(calls);
      if (!replies) return tl::unexpected(replies.error());
      std::vector<KeyOf*> depends;
      for (std::size_t p = 0; p < parts.size(); ++p) {
        Fields fields((*replies)[p]);
        for (const std::size_t i : parts[p].positions) {
          const std::int64_t answer = fields.Number();
          const std::string& record = fields.Text();
          if (answer == 1) wanted[i]->record = record;
          if (answer != 2) continue;
          wanted[i]->void_record = record;
          depends.push_back(wanted[i]);
        }
      }
      auto holds = HoldKeys(depends);
      if (!holds) return tl::unexpected(holds.error());
      wanted.clear();
      for (std::size_t i = 0; i < depends.size(); ++i) {
        if (!(*holds)[i]) wanted.push_back(depends[i]);
      }
    }
    return {};
  }

  // Whether the job that took each key, by its `void_record`, holds it still.
  Result<std::vector<bool>> HoldKeys(const std::vector<KeyOf*>& keys) {
    std::vector<RedisCall> calls;
    const auto parts = Divide(keys.size(), [&](std::size_t i) { return ShardOfId(HolderIn(keys[i]->void_record)); });
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kHoldsKeys, {}, /*writes=*/false});
      for (const std::size_t i : part.positions) Add(call, {HolderIn(keys[i]->void_record), keys[i]->key});
    }
    std::vector<bool> holds(keys.size(), true);
    if (calls.empty()) return holds;
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      for (const std::size_t i : parts[p].positions) holds[i] = fields.Number() != 0;
    }
    return holds;
  }

  // What cannot be done now is not missed for long: the jobs hold their keys by being there. Only the window of one
  // that is removed before anybody keeps its key is lost.
  void KeepKeys(const std::vector<KeyOf>& keys) {
    std::vector<RedisCall> calls;
    for (const Part& part : Divide(keys.size(), [&](std::size_t i) { return ShardOfId(keys[i].key); })) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kKeepKeys, {}});
      for (const std::size_t i : part.positions) Add(call, {keys[i].key, keys[i].job_id, Text(keys[i].until)});
    }
    if (!calls.empty()) (void)servers_.Run(calls);
  }

  // Keys that were taken, and are not needed. What cannot be done now is done by time.
  void DropKeys(const std::vector<KeyOf>& keys) {
    std::vector<RedisCall> calls;
    for (const Part& part : Divide(keys.size(), [&](std::size_t i) { return ShardOfId(keys[i].key); })) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kDropKeys, {}});
      for (const std::size_t i : part.positions) Add(call, {keys[i].key, keys[i].record});
    }
    if (!calls.empty()) (void)servers_.Run(calls);
  }

  // Of unique keys of one shard, what nobody holds any more.
  Status DropOldKeys(int shard, Instant now) {
    std::string cursor = "0";
    do {
      auto page = servers_.Run({ShardPrefix(shard),
                                {},
                                {"HSCAN", ShardPrefix(shard) + "uk", cursor, "COUNT", std::to_string(kRows)},
                                /*writes=*/false});
      if (!page) return tl::unexpected(page.error());
      if (page->elements.size() != 2) return redis_store::Malformed("a page of unique keys");
      cursor = page->elements[0].text;
      const std::vector<RedisReply>& entries = page->elements[1].elements;
      std::vector<KeyOf> old;
      for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
        const std::string& record = entries[i + 1].text;
        const auto read = redis_store::ReadKeyRecord(record);
        if (read && (read->until > now || (!read->kept && read->at + kKeyTaken > now))) continue;
        old.push_back({.key = entries[i].text, .job_id = {}, .record = record, .void_record = record});
      }
      std::vector<KeyOf*> asked;
      for (KeyOf& key : old) asked.push_back(&key);
      auto holds = HoldKeys(asked);
      if (!holds) return tl::unexpected(holds.error());
      std::vector<KeyOf> free;
      for (std::size_t i = 0; i < old.size(); ++i) {
        if (!(*holds)[i]) free.push_back(std::move(old[i]));
      }
      DropKeys(free);
    } while (cursor != "0" && !cursor.empty());
    return {};
  }

  // --- queues that rest

  // Each shard has the whole set, so that its claims see it. What a call did only in part, another one completes.
  Status Rest(const std::optional<std::string>& queue, bool pause) {
    if (const Status valid = CheckQueue(queue); !valid) return valid;
    if (auto ready = Ready(); !ready) return ready;
    auto replies = OnAll(kPauseQueue, {queue.value_or(""), Text(pause)});
    return replies ? Status() : Status(tl::unexpected(replies.error()));
  }

  static RedisCall PausedCall() { return {ShardPrefix(0), {}, {"SMEMBERS", ShardPrefix(0) + "pq"}, /*writes=*/false}; }

  static PausedQueues ReadPaused(const RedisReply& reply) {
    PausedQueues paused;
    for (const RedisReply& queue : reply.elements) {
      queue.text.empty() ? (void)(paused.all = true) : (void)paused.queues.insert(queue.text);
    }
    return paused;
  }

  // --- triggered runs and dead letters

  struct HandedOn {
    Instant fire_time;
    JobKey key = 0;  // of the job: another one of its name has nothing to do with it
  };

  // `letter`: the dead letter that it comes of, or ''.
  // `number`: of the follow-up that it is, or ''.
  Status MakeChild(const std::string& id, const std::optional<std::string>& payload, const std::string& letter,
                   const std::string& number = {}, const HandedOn* handed_on = nullptr) {
    for (int i = 0; i < kRetries; ++i) {
      auto job = Find(id);
      if (!job) return tl::unexpected(job.error());
      const int shard = ShardOfId(id);
      auto now = TimeOf(shard);
      if (!now) return tl::unexpected(now.error());
      if (handed_on != nullptr && handed_on->key != job->key) return {};
      const Instant at = handed_on != nullptr ? handed_on->fire_time : *now;
      auto child = TriggeredDefinition(job->definition, at, payload);
      if (!child) return tl::unexpected(child.error());
      auto reply = servers_.Run(
          {ShardPrefix(shard),
           kTrigger,
           {std::to_string(shard), std::to_string(count_), Text(job->key), std::to_string(job->present.version),
            Text(at), DefinitionToJson(*child), child->schedule.ToString(), QueueKey(*child),
            std::to_string(child->priority), Text(child->schedule.FirstCursor(at)), letter, number}});
      if (!reply) return tl::unexpected(reply.error());
      if (reply->integer == 1) return {};
      if (reply->integer == -1 && !number.empty()) return {};
      if (reply->integer == -1) return NoSuchLetter(std::strtoll(letter.c_str(), nullptr, 10));
    }
    return KeepsChanging(id);
  }

  // Triggers the jobs that run after jobs of this shard. Jobs that are gone, or that only a newer program can read, do
  // not follow.
  Status FollowUp(int shard) {
    std::vector<std::string> done;
    for (;;) {
      auto reply = servers_.Run({ShardPrefix(shard), kFollowUps, done});
      if (!reply) return tl::unexpected(reply.error());
      done.clear();
      for (std::size_t i = 0; i + 1 < reply->elements.size(); i += 2) {
        const std::string& number = reply->elements[i].text;
        const std::string& text = reply->elements[i + 1].text;
        const std::size_t end = text.find(kAtFireTime);
        HandedOn handed_on;
        if (end != std::string::npos) {
          char* rest = nullptr;
          handed_on.fire_time = FromMicros(std::strtoll(text.c_str() + end + 1, &rest, 10));
          handed_on.key = std::strtoll(rest, nullptr, 10);
        }
        const bool is_one = handed_on.key != 0 && IsStorable(handed_on.fire_time);
        const Status made = MakeChild(text.substr(0, end), std::nullopt, "", number, is_one ? &handed_on : nullptr);
        if (!made && made.error().code != Code::kNotFound && made.error().code != Code::kUnsupported) return made;
        done.push_back(number);
      }
      if (done.empty()) return {};
    }
  }

  // Appends letters of one shard in the order of their ids, at most `most`.
  Status ReadLetters(int shard, const DeadLetterFilter& filter, std::size_t most, std::vector<DeadLetter>& letters) {
    std::string after = Text(filter.after_id);
    for (const std::size_t end = letters.size() + most; letters.size() < end && !after.empty();) {
      // Of one job, others' letters are looked at as well.
      const std::size_t look = filter.job_id.empty() ? std::min(end - letters.size(), kRows) : kRows;
      auto reply = servers_.Run({ShardPrefix(shard),
                                 kDeadLetters,
                                 {after, filter.job_id, Text(filter.payloads), std::to_string(look)},
                                 /*writes=*/false});
      if (!reply) return tl::unexpected(reply.error());
      Fields fields(*reply);
      after = fields.Text();
      while (fields.More() && letters.size() < end) {
        letters.push_back(redis_store::ReadDeadLetter(fields));
        if (!fields.TakeOk()) return redis_store::Malformed("a dead letter");
      }
    }
    return {};
  }

  // --- questions

  RedisCall RowCall(const std::string& id) const {
    return {ShardPrefix(ShardOfId(id)), kReadRows, {"", id, "1", ""}, /*writes=*/false};
  }

  Result<JobRow> Find(const std::string& id) {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    auto reply = servers_.Run(RowCall(id));
    if (!reply) return tl::unexpected(reply.error());
    Fields fields(*reply, 1);
    if (!fields.More()) return NoSuchJob(id);
    auto row = redis_store::ReadJobRow(fields);
    if (row && !row->unreadable.empty()) return Unreadable(id, row->unreadable);
    return row;
  }

  // Jobs of all shards in the order of their ids.
  Result<std::vector<JobRow>> Page(const std::string& prefix, const std::string& after, std::optional<JobState> state,
                                   int limit, const std::map<std::string, std::string>& metadata = {}) {
    if (auto ready = Ready(); !ready) return tl::unexpected(ready.error());
    std::vector<JobRow> rows;
    const auto most = static_cast<std::size_t>(std::max(limit, 0));
    for (int shard = 0; shard < count_; ++shard) {
      if (auto read = ReadPage(shard, prefix, after, state, most, rows, metadata); !read)
        return tl::unexpected(read.error());
    }
    std::sort(rows.begin(), rows.end(),
              [](const JobRow& a, const JobRow& b) { return a.definition.id < b.definition.id; });
    if (rows.size() > most) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(most), rows.end());
    return rows;
  }

  // Appends at most `most` jobs of one shard, or a few more, in the order of their ids.
  Status ReadPage(int shard, const std::string& prefix, const std::string& after, std::optional<JobState> state,
                  std::size_t most, std::vector<JobRow>& rows,
                  const std::map<std::string, std::string>& metadata = {}) {
    const std::string upper = prefix.empty() ? "+" : "(" + prefix + "\xFF";  // no id has such a byte
    const std::string wanted = state ? std::to_string(static_cast<int>(*state)) : "";
    std::string lower = prefix.empty() ? "-" : "[" + prefix;
    if (!after.empty() && after >= prefix) lower = "(" + after;
    for (const std::size_t end = rows.size() + most; rows.size() < end && !lower.empty();) {
      auto reply =
          servers_.Run({ShardPrefix(shard),
                        kReadRows,
                        {lower, upper, std::to_string(metadata.empty() ? std::min(most, kRows) : kRows), wanted},
                        /*writes=*/false});
      if (!reply) return tl::unexpected(reply.error());
      Fields fields(*reply);
      const std::string last = fields.Text();
      lower = last.empty() ? "" : "(" + last;
      while (fields.More()) {
        auto row = redis_store::ReadJobRow(fields);
        if (!row) return tl::unexpected(row.error());
        if (redis_store::HasMetadata(*row, metadata)) rows.push_back(std::move(*row));
      }
    }
    return {};
  }

  Result<std::vector<bool>> Known(const std::vector<std::string>& ids) {
    const auto parts = Divide(ids.size(), [&](std::size_t i) { return ShardOfId(ids[i]); });
    std::vector<RedisCall> calls;
    for (const Part& part : parts) {
      RedisCall& call = calls.emplace_back(RedisCall{ShardPrefix(part.shard), kKnown, {}, /*writes=*/false});
      for (const std::size_t i : part.positions) call.arguments.push_back(ids[i]);
    }
    auto replies = servers_.Run(calls);
    if (!replies) return tl::unexpected(replies.error());
    std::vector<bool> known(ids.size());
    for (std::size_t p = 0; p < parts.size(); ++p) {
      Fields fields((*replies)[p]);
      for (const std::size_t i : parts[p].positions) known[i] = fields.Number() == 1;
    }
    return known;
  }

  // Lines of a job's history, as LRANGE counts them.
  RedisCall HistoryCall(const std::string& id, std::int64_t from, std::int64_t to) const {
    const int shard = ShardOfId(id);
    return {ShardPrefix(shard), {}, {"LRANGE", ShardPrefix(shard) + "h:" + id, Text(from), Text(to)}, /*writes=*/false};
  }

  // The newest lines of a job's history: as many as are wanted, or all when only some of them are.
  RedisCall NewestCall(const std::string& id, const RunFilter& filter) const {
    const bool some = filter.fire_from || filter.fire_to;
    return HistoryCall(id, some ? 0 : -std::int64_t{filter.limit}, -1);
  }

  // Appends a job's runs, the newest first, at most filter.limit.
  static Status ReadNewest(const std::string& id, const RedisReply& lines, const RunFilter& filter,
                           std::vector<RunInfo>& runs) {
    const std::size_t most = runs.size() + static_cast<std::size_t>(filter.limit);
    for (auto line = lines.elements.rbegin(); line != lines.elements.rend() && runs.size() < most; ++line) {
      auto read = ReadHistoryLine(id, line->text);
      if (!read) return tl::unexpected(read.error());
      if (filter.fire_from && read->run.fire_time < *filter.fire_from) continue;
      if (filter.fire_to && read->run.fire_time >= *filter.fire_to) continue;
      runs.push_back(std::move(read->run));
    }
    return {};
  }

  // Jobs come by their last settlement, so that a job whose last one is older than all that is wanted ends the search.
  Result<std::vector<RunInfo>> RunsOfAll(const RunFilter& filter) {
    constexpr std::int64_t kJobs = 50;
    const auto most = static_cast<std::size_t>(filter.limit);
    const auto newest_first = [](const RunInfo& a, const RunInfo& b) { return a.settled_at > b.settled_at; };
    std::vector<RunInfo> runs;
    for (int shard = 0; shard < count_; ++shard) {
      for (std::int64_t from = 0;; from += kJobs) {
        auto page =
            servers_.Run({ShardPrefix(shard),
                          {},
                          {"ZREVRANGE", ShardPrefix(shard) + "hi", Text(from), Text(from + kJobs - 1), "WITHSCORES"},
                          /*writes=*/false});
        if (!page) return tl::unexpected(page.error());
        Fields fields(*page);
        std::vector<std::string> ids;
        std::vector<RedisCall> calls;
        while (fields.More()) {
          ids.push_back(fields.Text());
          const Instant last = FromMicros(static_cast<std::int64_t>(std::strtod(fields.Text().c_str(), nullptr)));
          if (runs.size() >= most && runs[most - 1].settled_at > last) break;
          calls.push_back(NewestCall(ids.back(), filter));
        }
        auto histories = servers_.Run(calls);
        if (!histories) return tl::unexpected(histories.error());
        for (std::size_t i = 0; i < calls.size(); ++i) {
          if (auto read = ReadNewest(ids[i], (*histories)[i], filter, runs); !read) return tl::unexpected(read.error());
        }
        std::stable_sort(runs.begin(), runs.end(), newest_first);
        if (runs.size() > most) runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(most), runs.end());
        if (static_cast<std::int64_t>(calls.size()) < kJobs) break;
      }
    }
    return runs;
  }

  static Status AuditRow(const JobRow& row, const RedisReply& history, Instant from, Instant to, Audit& audit) {
    if (!row.unreadable_reigns.empty()) return Unreadable(row.definition.id, row.unreadable_reigns);
    if (row.dropped)
      from = std::max(from, *row.dropped + Duration(1));  // what was dropped can be neither found nor missed
    std::vector<SettledSpan> spans;
    for (const RedisReply& line : history.elements) {
      auto read = ReadHistoryLine(row.definition.id, line.text);
      if (!read) return tl::unexpected(read.error());
      const RunInfo& run = read->run;
      if (read->key != row.key || run.settles == 0 || run.last_fire < from || run.fire_time >= to) continue;
      spans.push_back({run.fire_time, run.last_fire, run.settles, run.verdict});
    }
    for (std::size_t i = 0; i < row.reigns.size(); ++i) {
      const Reign& reign = row.reigns[i];
      const Instant first = std::max(from, reign.after + Duration(1));
      const Instant end = reign.until ? std::min(to, *reign.until + Duration(1)) : to;
      const bool last = i + 1 == row.reigns.size();
      AuditJob(reign.grid, first, end, last ? std::move(spans) : spans, &audit);
    }
    audit.jobs -= static_cast<std::int64_t>(row.reigns.size()) - 1;  // they are one job
    return {};
  }

  static void AddArchived(RedisCall& call, const ArchivedJob& job, std::string text) {
    const JobDefinition& d = job.definition;
    const Present& p = job.present;
    redis_store::ReignTexts reigns = redis_store::WriteReigns(job.reigns);
    Add(call, {d.id,
               std::move(text),
               d.schedule.ToString(),
               QueueKey(d),
               std::to_string(d.priority),
               RateText(d.schedule),
               std::to_string(static_cast<int>(job.state)),
               std::to_string(p.version),
               Text(p.created_at),
               Text(p.cursor),
               Text(p.fire_time),
               Text(p.due_at),
               std::to_string(p.attempt),
               std::to_string(p.lost),
               Text(p.begun),
               Text(p.to_plan),
               Text(p.planned_from),
               Text(job.settled_total),
               std::move(reigns.ended),
               std::move(reigns.open),
               std::to_string(p.failures)});
  }

  Servers servers_;
  int count_ = 0;  // of shards; 0: not read yet
  std::int64_t history_ = kHistory;
};

}  // namespace

Result<std::unique_ptr<RedisStoreFactory>> RedisStoreFactory::Create(const std::string& url) {
  auto parsed = ParseRedisUrl(url);
  if (!parsed) return tl::unexpected(parsed.error());
  return std::unique_ptr<RedisStoreFactory>(new RedisStoreFactory(std::move(*parsed)));
}

Result<std::unique_ptr<JobStore>> RedisStoreFactory::Open() {
  auto store = std::make_unique<RedisStore>(url_);
  if (auto s = store->Connect(); !s) return tl::unexpected(s.error());
  return store;
}

}  // namespace escapement
