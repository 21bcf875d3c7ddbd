// Needs redis-server: one private server for the program, a database of its own for each store.
#include "stores/redis/redis_store.h"

#include <csignal>

#include <fmt/format.h>

#include "contract/store/unreadable.h"
#include "contract/store_contract.h"
#include "redis/redis_connection.h"
#include "servers/servers.h"

namespace escapement {
namespace {

PrivateServer* Server() {
  static const auto server = PrivateServer::Redis({.directory = {}, .settings = {"databases 2000"}, .keep = false});
  return server ? server->get() : nullptr;
}

std::unique_ptr<JobStoreFactory> FreshStore() {
  static int database = 0;
  if (Server() == nullptr) throw std::runtime_error("no private Redis could be started");
  const std::string url = Server()->url();
  auto factory = RedisStoreFactory::Create(fmt::format("{}/{}", url.substr(0, url.rfind('/')), ++database));
  if (!factory) throw std::runtime_error(factory.error().message);
  auto store = (*factory)->Open();
  if (!store) throw std::runtime_error(store.error().message);
  if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  return std::move(*factory);
}

INSTANTIATE_TEST_SUITE_P(Redis, StoreContract, testing::Values(StoreUnderTest{"redis", FreshStore}), StoreName);

using namespace std::chrono_literals;

// On a server of its own, which the test may spoil.
class RedisStoreTest : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& settings = {}) {
    auto server = PrivateServer::Redis({.directory = {}, .settings = settings, .keep = false});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    factory_ = RedisStoreFactory::Create(server_->url()).value();
    store_ = factory_->Open().value();
  }
  void StartMigrated(const std::vector<std::string>& settings = {}) {
    ASSERT_NO_FATAL_FAILURE(Start(settings));
    ASSERT_TRUE(store_->Migrate());
    start_ = store_->Now().value();
  }

  RedisReply Ask(const RedisArguments& command) {
    RedisConnection connection(*ParseRedisUrl(server_->url()));
    auto reply = connection.Command(command);
    EXPECT_TRUE(reply) << reply.error().message;
    return reply ? *reply : RedisReply();
  }

  JobDefinition Secondly(const std::string& id) const {
    return {.id = id, .schedule = *Schedule::Every({.interval = 1s, .anchor = start_}), .task = "t"};
  }
  SessionId Session() { return store_->OpenSession({.pod = "pod", .ttl = 5s}).value(); }
  std::vector<ClaimedJob> Claim(SessionId session) {
    return store_->Claim({.session = session, .horizon = 24h, .limit = 1000, .queues = {"default"}}).value().jobs;
  }
  // Settles the job's occurrence as it is held, and moves on to the next one.
  static Completion Finish(ClaimedJob& job) {
    const Settlement s = Settle(*job.definition, job.present, {}, job.present.fire_time);
    Completion completion{.key = job.key,
                          .fence = job.fence,
                          .fire_time = job.present.fire_time,
                          .attempt = job.present.attempt,
                          .version = job.present.version,
                          .run = s.run,
                          .next = s.next,
                          .keep = true};
    job.present = Advance(job.present, s.next);
    return completion;
  }

  std::unique_ptr<PrivateServer> server_;
  std::unique_ptr<RedisStoreFactory> factory_;
  std::unique_ptr<JobStore> store_;
  Instant start_;
};

TEST_F(RedisStoreTest, RefusesAnAbsentAndANewerSchema) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (const Status& s : {store_->CheckSchema(), store_->Pause("a")}) {
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, Code::kConflict);
    EXPECT_THAT(s.error().message, testing::HasSubstr("no schema yet"));
  }
  ASSERT_TRUE(store_->Migrate());
  EXPECT_TRUE(store_->CheckSchema());
  Ask({"HSET", "{esc:0}:meta", "version", "999"});
  for (const Status& s : {store_->CheckSchema(), store_->Migrate()}) {
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, Code::kConflict);
    EXPECT_THAT(s.error().message, testing::HasSubstr("newer"));
  }
}

TEST_F(RedisStoreTest, RefusesAServerThatEvictsKeys) {
  ASSERT_NO_FATAL_FAILURE(Start({"maxmemory-policy allkeys-lru"}));
  const Status s = store_->Migrate();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, Code::kConflict);
  EXPECT_THAT(s.error().message, testing::HasSubstr("noeviction"));
  Ask({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  EXPECT_TRUE(store_->Migrate());
}

TEST_F(RedisStoreTest, ErrorsAndNamesNeverHoldThePassword) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(factory_->Name(), fmt::format("redis://127.0.0.1:{}/0", server_->port()));
  const auto wrong =
      RedisStoreFactory::Create(fmt::format("redis://:wr0ng-pass@127.0.0.1:{}", server_->port())).value();
  const auto refused = wrong->Open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_THAT(refused.error().message, testing::Not(testing::HasSubstr("wr0ng-pass")));
  EXPECT_EQ(RedisStoreFactory::Create("redis://:hunter2@h:x").error().code, Code::kInvalidArgument);
}

TEST_F(RedisStoreTest, ScriptsThatTheServerForgotAreSentAgain) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
  const SessionId session = Session();
  ClaimedJob job = Claim(session).at(0);
  for (int i = 0; i < 3; ++i) {
    Ask({"SCRIPT", "FLUSH"});
    ASSERT_EQ(store_->Commit(session, {Finish(job)}).value().answers[0].outcome, CommitOutcome::kApplied);
    Ask({"SCRIPT", "FLUSH"});
    EXPECT_TRUE(store_->Beat({.session = session}).value().live);
  }
}

TEST_F(RedisStoreTest, AFullServerRefusesClearlyAndHalfAppliesNothing) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 300; ++i) jobs.push_back(Secondly(fmt::format("job-{}", i)));
  ASSERT_TRUE(store_->Enqueue(jobs));
  const SessionId session = Session();
  std::vector<ClaimedJob> claimed = Claim(session);
  ASSERT_EQ(claimed.size(), 300U);
  std::vector<Completion> batch;
  for (ClaimedJob& job : claimed) batch.push_back(Finish(job));
  ASSERT_TRUE(store_->Commit(session, batch));
  batch.clear();
  for (ClaimedJob& job : claimed) batch.push_back(Finish(job));

  Ask({"CONFIG", "SET", "maxmemory", "1"});
  const auto refused = store_->Commit(session, batch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable) << refused.error().message;
  EXPECT_THAT(refused.error().message, testing::HasSubstr("maxmemory"));
  for (const auto code : {store_->Enqueue({Secondly("b")}).error().code, store_->Pause("job-1").error().code,
                          store_->Trigger("job-1", std::nullopt).error().code,
                          store_->OpenSession({.pod = "p", .ttl = 5s}).error().code}) {
    EXPECT_EQ(code, Code::kUnavailable);
  }
  EXPECT_EQ(store_->Get("job-1").value().settled_total, 1) << "questions are answered still";
  EXPECT_EQ(store_->Stats().value().jobs[JobState::kActive], 300);
  EXPECT_EQ(store_->Runs({.job_id = {}, .limit = 1000}).value().size(), 300U);

  EXPECT_TRUE(store_->Maintain({.history_days = 0})) << "what frees memory is done still";
  EXPECT_TRUE(store_->Runs({.job_id = {}}).value().empty());

  Ask({"CONFIG", "SET", "maxmemory", "0"});
  const auto answers = store_->Commit(session, batch).value().answers;
  EXPECT_TRUE(std::all_of(answers.begin(), answers.end(),
                          [](const CommitAnswer& a) { return a.outcome == CommitOutcome::kApplied && a.kept; }));
}

TEST_F(RedisStoreTest, NothingThatWasAcknowledgedIsLostWithTheServerWhenEachWriteIsSynced) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated({"appendonly yes", "appendfsync always"}));
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(Secondly(fmt::format("job-{}", i)));
  ASSERT_TRUE(store_->Enqueue(jobs));
  const SessionId session = Session();
  std::vector<ClaimedJob> claimed = Claim(session);
  std::int64_t acknowledged = 0;
  std::vector<Completion> batch;
  for (int crash = 0; crash < 3; ++crash) {
    std::atomic<int> rounds = 0;
    std::jthread killer([&, pid = server_->pid()] {
      while (rounds < 20) std::this_thread::yield();
      kill(pid, SIGKILL);  // while commits come
    });
    for (;;) {
      if (batch.empty()) {
        for (ClaimedJob& job : claimed) batch.push_back(Finish(job));
      }
      const auto reply = store_->Commit(session, batch);
      if (!reply) {
        EXPECT_TRUE(reply.error().code == Code::kInDoubt || reply.error().code == Code::kUnavailable);
        break;
      }
      for (const CommitAnswer& answer : reply->answers) {
        EXPECT_TRUE(answer.kept);
        EXPECT_NE(answer.outcome, CommitOutcome::kStale);
      }
      acknowledged += static_cast<std::int64_t>(batch.size());
      batch.clear();
      ++rounds;
    }
    rounds = 20;
    killer.join();
    ASSERT_TRUE(server_->Stop(true));
    ASSERT_TRUE(server_->Start());
    std::int64_t settled = 0;
    for (const JobDefinition& job : jobs) settled += store_->Get(job.id).value().settled_total;
    EXPECT_TRUE(settled == acknowledged || settled == acknowledged + static_cast<std::int64_t>(batch.size()))
        << settled << " settled, " << acknowledged << " acknowledged: a batch in doubt is applied whole or not at all";
  }
  const Audit audit =
      store_->AuditWindow("job-", start_ - 1h, store_->Get("job-0").value().cursor + Duration(1)).value();
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(RedisStoreTest, ALostReplyIsInDoubt) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
  const SessionId session = Session();
  ClaimedJob job = Claim(session).at(0);
  ASSERT_TRUE(store_->Commit(session, {Finish(job)}));
  kill(server_->pid(), SIGSTOP);
  const auto reply = store_->Commit(session, {Finish(job)});  // until its time is over
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Code::kInDoubt) << reply.error().message;
  kill(server_->pid(), SIGKILL);
  ASSERT_TRUE(server_->Stop(true));
  const auto away = store_->Commit(session, {Finish(job)});
  ASSERT_FALSE(away);
  EXPECT_EQ(away.error().code, Code::kUnavailable) << away.error().message;
}

TEST_F(RedisStoreTest, AMasterThatBecomesAReplicaRefusesAndChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
  const SessionId session = Session();
  ClaimedJob job = Claim(session).at(0);
  const Completion completion = Finish(job);
  Ask({"REPLICAOF", "127.0.0.1", "1"});
  for (int i = 0; i < 2; ++i) {
    const auto refused = store_->Commit(session, {completion});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kUnavailable) << refused.error().message;
  }
  Ask({"REPLICAOF", "NO", "ONE"});
  EXPECT_EQ(store_->Commit(session, {completion}).value().answers[0].outcome, CommitOutcome::kApplied);
}

TEST_F(RedisStoreTest, AnUnreadableJobSpoilsNoList) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ExpectThatAnUnreadableJobSpoilsNoList(*store_, [&](const std::string& id) {
    const std::string key = Ask({"HGET", "{esc:0}:keys", id}).text;
    ASSERT_NE(key, "") << "a single server has one shard";
    Ask({"HSET", "{esc:0}:d:" + key, "d", kFutureDefinition});
  });
}

TEST_F(RedisStoreTest, HistoryIsCappedAndTheLawHoldsForWhatIsKept) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  Ask({"HSET", "{esc:0}:meta", "history", "50"});
  store_ = factory_->Open().value();
  ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
  const SessionId session = Session();
  ClaimedJob job = Claim(session).at(0);
  constexpr int kRuns = 400;
  for (int i = 0; i < kRuns; ++i) {
    ASSERT_EQ(store_->Commit(session, {Finish(job)}).value().answers[0].outcome, CommitOutcome::kApplied);
  }
  const auto runs = store_->Runs({.job_id = "a", .limit = 1000}).value();
  EXPECT_GE(runs.size(), 50U);
  EXPECT_LE(runs.size(), 150U);
  EXPECT_EQ(runs[0].fire_time, job.present.cursor) << "the newest are kept";
  EXPECT_EQ(store_->Get("a").value().settled_total, kRuns);
  const Audit audit = store_->AuditWindow("a", start_ - 1h, job.present.cursor + Duration(1)).value();
  EXPECT_EQ(audit.expected, static_cast<std::int64_t>(runs.size()));
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(RedisStoreTest, UpkeepDropsHistoryBeyondRetention) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ASSERT_TRUE(store_->Enqueue({Secondly("a"), Secondly("gone")}));
  const SessionId session = Session();
  std::vector<ClaimedJob> jobs = Claim(session);
  for (int i = 0; i < 60; ++i) {
    for (ClaimedJob& job : jobs) ASSERT_TRUE(store_->Commit(session, {Finish(job)}));
  }
  ASSERT_TRUE(store_->Remove("gone"));
  ASSERT_TRUE(store_->Maintain({.history_days = 1}));
  EXPECT_EQ(store_->Runs({.job_id = {}, .limit = 1000}).value().size(), 120U);
  ASSERT_TRUE(store_->Maintain({.history_days = 0}));
  EXPECT_TRUE(store_->Runs({.job_id = {}}).value().empty());
  EXPECT_TRUE(store_->Runs({.job_id = "a"}).value().empty());
  EXPECT_EQ(store_->Get("a").value().settled_total, 60);
  const Instant later = store_->Get("a").value().cursor + 1h;
  EXPECT_EQ(store_->AuditWindow("a", start_, later).value().doubled, 0);
  for (ClaimedJob& job : jobs) ASSERT_TRUE(store_->Commit(session, {Finish(job)}));
  EXPECT_EQ(store_->AuditWindow("a", start_, store_->Get("a").value().cursor + Duration(1)).value().missing, 0);
}

// Records as a program leaves them that dies between taking a key and telling that its job came.
TEST_F(RedisStoreTest, AKeyThatWasTakenWaitsForItsJobForTenSeconds) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  const auto with = [this](const std::string& id, const std::string& key) {
    JobDefinition job = Secondly(id);
    job.unique = key;
    return job;
  };
  const auto left_behind = [&](const std::string& key, Duration ago, const std::string& id) {
    Ask({"HSET", "{esc:0}:uk", key, fmt::format("{} 0 0 {}", ToMicros(*store_->Now() - ago), id)});
  };
  ASSERT_TRUE(store_->Enqueue({with("came", "came")}));
  left_behind("came", 11s, "came");
  left_behind("waits", 1s, "never came");
  left_behind("over", 11s, "never came");
  Ask({"HSET", "{esc:0}:uk", "spoilt", "what is this"});
  ASSERT_TRUE(store_->Maintain({}));
  EXPECT_EQ(Ask({"HLEN", "{esc:0}:uk"}).integer, 2) << "who holds nothing is forgotten";
  left_behind("over", 11s, "never came");
  Ask({"HSET", "{esc:0}:uk", "spoilt", "what is this"});
  EXPECT_EQ(store_->Enqueue({with("a", "came")})->at(0), EnqueueOutcome::kHeld);
  EXPECT_EQ(store_->Enqueue({with("a", "waits")})->at(0), EnqueueOutcome::kHeld);
  EXPECT_EQ(store_->Enqueue({with("a", "over")})->at(0), EnqueueOutcome::kCreated);
  EXPECT_EQ(store_->Enqueue({with("b", "spoilt")})->at(0), EnqueueOutcome::kCreated);
  EXPECT_EQ(store_->Enqueue({with("never came", "waits")})->at(0), EnqueueOutcome::kCreated) << "it comes after all";
  ASSERT_TRUE(store_->Remove("came"));
  EXPECT_EQ(store_->Enqueue({with("c", "came")})->at(0), EnqueueOutcome::kCreated);
}

TEST_F(RedisStoreTest, WhatADeadReclaimerLeftIsShownToAllAndSweptByUpkeep) {
  for (const bool by_upkeep : {false, true}) {
    ASSERT_NO_FATAL_FAILURE(StartMigrated());
    ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
    const SessionId dead = Session();
    ASSERT_EQ(Claim(dead).size(), 1U);
    const SessionId other = Session();
    Ask({"HSET", "{esc:0}:ss:" + std::to_string(dead), "ended", "1"});  // and then the reclaimer died
    EXPECT_FALSE(store_->Beat({.session = dead}).value().live);
    EXPECT_EQ(store_->Pods().value().size(), 1U);
    const auto sessions = store_->Beat({.session = other}).value().sessions;
    const auto seen = std::find_if(sessions.begin(), sessions.end(), [&](const auto& s) { return s.id == dead; });
    ASSERT_NE(seen, sessions.end()) << "so that others go on with it";
    if (by_upkeep) {
      ASSERT_TRUE(store_->Maintain({}));
    } else {
      const ReclaimReply reply = store_->Reclaim(dead, seen->beat).value();
      EXPECT_FALSE(reply.ended);
      EXPECT_EQ(reply.jobs, 1);
    }
    EXPECT_EQ(store_->Beat({.session = other}).value().sessions.size(), 1U);
    EXPECT_EQ(Claim(other).size(), 1U);
  }
}

TEST_F(RedisStoreTest, UpkeepFindsMarkersOfSessionsThatAFailoverForgot) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  ASSERT_TRUE(store_->Enqueue({Secondly("a")}));
  const SessionId lost = Session();
  ASSERT_EQ(Claim(lost).size(), 1U);
  const SessionId other = Session();
  Ask({"DEL", "{esc:0}:ss:" + std::to_string(lost)});
  Ask({"SREM", "{esc:0}:live", std::to_string(lost)});
  EXPECT_FALSE(store_->Beat({.session = lost}).value().live);
  ASSERT_TRUE(store_->Maintain({}));
  EXPECT_TRUE(store_->Beat({.session = other}).value().live);
  EXPECT_EQ(Claim(other).size(), 1U);
  EXPECT_FALSE(store_->Claim({lost, 1h, 1, {"default"}}).value().live);
}

TEST_F(RedisStoreTest, ManyOwnedRowsAreHandedBackInParts) {
  ASSERT_NO_FATAL_FAILURE(StartMigrated());
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 1000; ++i) jobs.push_back(Secondly(fmt::format("job-{}", i)));
  ASSERT_TRUE(store_->Enqueue(jobs));
  const SessionId session = Session();
  ASSERT_EQ(Claim(session).size(), 1000U);
  ASSERT_EQ(store_->Recover(session, {}).value().jobs.size(), 1000U);
  const auto sessions = store_->Beat({.session = session}).value().sessions;
  const ReclaimReply reply = store_->Reclaim(session, sessions.at(0).beat).value();
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(reply.jobs, 1000);
  EXPECT_EQ(reply.still_owned, 0);
  EXPECT_EQ(Claim(Session()).size(), 1000U);
}

}  // namespace
}  // namespace escapement
