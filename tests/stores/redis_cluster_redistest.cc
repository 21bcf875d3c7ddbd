// The store on a real Redis Cluster: three private servers. Needs redis-server.
#include <array>
#include <csignal>
#include <thread>

#include <fmt/format.h>

#include "contract/locks_contract.h"
#include "contract/notifier_contract.h"
#include "contract/store_contract.h"
#include "locks/redis/redis_locks.h"
#include "locks/redis/redis_notifier.h"
#include "redis/redis_connection.h"
#include "redis/redis_nodes.h"
#include "servers/private_server.h"
#include "servers/servers.h"
#include "stores/redis/redis_store.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;

// Two clusters for the whole program: some tests need two stores at once, and a cluster has no databases.
PrivateRedisCluster& Cluster(int i) {
  static std::array<std::unique_ptr<PrivateRedisCluster>, 2> clusters;
  auto& cluster = clusters.at(static_cast<std::size_t>(i));
  if (cluster == nullptr) {
    auto started = PrivateRedisCluster::Start();
    if (!started) throw std::runtime_error(started.error().message);
    cluster = std::move(*started);
  }
  return *cluster;
}

RedisReply Ask(const PrivateServer& server, const RedisArguments& command) {
  RedisConnection connection(*ParseRedisUrl(server.url()));
  auto reply = connection.Command(command);
  if (!reply) throw std::runtime_error(reply.error().message);
  return *reply;
}

std::unique_ptr<JobStoreFactory> FreshStoreOn(int i) {
  PrivateRedisCluster& cluster = Cluster(i);
  for (int n = 0; n < cluster.size(); ++n) Ask(cluster.server(n), {"FLUSHALL"});
  auto factory = RedisStoreFactory::Create(cluster.url());
  if (!factory) throw std::runtime_error(factory.error().message);
  auto store = (*factory)->Open();
  if (!store) throw std::runtime_error(store.error().message);
  if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  return std::move(*factory);
}

std::unique_ptr<JobStoreFactory> FreshStore() {
  static int count = 0;
  return FreshStoreOn(++count % 2);
}

INSTANTIATE_TEST_SUITE_P(RedisCluster, StoreContract, testing::Values(StoreUnderTest{"cluster", FreshStore}),
                         StoreName);

// Each port enters the cluster by another server.
template <typename Adapter>
std::shared_ptr<Adapter> ConnectTo(int server) {
  auto adapter = Adapter::Connect(*ParseRedisUrl(Cluster(0).server(server).url()));
  EXPECT_TRUE(adapter) << adapter.error().message;
  return adapter ? std::shared_ptr<Adapter>(std::move(*adapter)) : nullptr;
}
LocksUnderTest MakeLocks() {
  for (int n = 0; n < Cluster(0).size(); ++n) Ask(Cluster(0).server(n), {"FLUSHALL"});
  return {.one = ConnectTo<RedisLocks>(0), .other = ConnectTo<RedisLocks>(1), .pass = nullptr, .unavailable = ""};
}
NotifierUnderTest MakeNotifiers() {
  return {.one = ConnectTo<RedisNotifier>(0), .other = ConnectTo<RedisNotifier>(2), .unavailable = ""};
}
INSTANTIATE_TEST_SUITE_P(RedisCluster, LocksContract, testing::Values(LocksAdapter{"Cluster", MakeLocks}),
                         LocksAdapterName);
INSTANTIATE_TEST_SUITE_P(RedisCluster, NotifierContract, testing::Values(NotifierAdapter{"Cluster", MakeNotifiers}),
                         NotifierAdapterName);

class RedisClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    factory_ = FreshStoreOn(0);
    store_ = factory_->Open().value();
    start_ = store_->Now().value();
    std::vector<JobDefinition> jobs;
    for (int i = 0; i < 100; ++i) jobs.push_back(Secondly(fmt::format("job-{:02}", i)));
    ASSERT_TRUE(store_->Enqueue(jobs));
  }

  JobDefinition Secondly(const std::string& id) const {
    return {.id = id, .schedule = *Schedule::Every({.interval = 1s, .anchor = start_}), .task = "t"};
  }
  // One occurrence of each job.
  static std::vector<Completion> FinishAll(std::vector<ClaimedJob>& jobs) {
    std::vector<Completion> batch;
    for (ClaimedJob& job : jobs) {
      const Settlement s = Settle(*job.definition, job.present, {}, job.present.fire_time);
      batch.push_back({job.key, job.fence, job.present.fire_time, 1, 1, s.run, s.next, true});
      job.present = Advance(job.present, s.next);
    }
    return batch;
  }
  static int ServerOf(int slot) {
    const RedisReply slots = Ask(Cluster(0).server(0), {"CLUSTER", "SLOTS"});
    for (const RedisReply& range : slots.elements) {
      if (range.elements[0].integer > slot || slot > range.elements[1].integer) continue;
      for (int i = 0; i < Cluster(0).size(); ++i) {
        if (Cluster(0).server(i).port() == range.elements[2].elements[1].integer) return i;
      }
    }
    throw std::runtime_error("nobody serves the slot");
  }
  static std::string IdOf(int server) { return Ask(Cluster(0).server(server), {"CLUSTER", "MYID"}).text; }

  std::unique_ptr<JobStoreFactory> factory_;
  std::unique_ptr<JobStore> store_;
  Instant start_;
};

TEST_F(RedisClusterTest, TheSlotOfAKeyIsTheServers) {
  for (const std::string key :
       {"foo", "{esc:0}:", "{esc:7}:j:1", "escapement:lock:{leader}", "{}x", "a{b}{c}", "a{b"}) {
    EXPECT_EQ(RedisSlot(key), Ask(Cluster(0).server(0), {"CLUSTER", "KEYSLOT", key}).integer) << key;
  }
}

TEST_F(RedisClusterTest, ShardsAreOnAllServers) {
  std::set<int> servers;
  for (int shard = 0; shard < 8; ++shard) servers.insert(ServerOf(RedisSlot(fmt::format("{{esc:{}}}:", shard))));
  EXPECT_EQ(servers.size(), 3U);
}

TEST_F(RedisClusterTest, AMovedSlotIsFoundAndNothingIsDoneByHalvesWhileItMoves) {
  const SessionId session = store_->OpenSession({.pod = "pod", .ttl = 5s}).value();
  std::vector<ClaimedJob> jobs = store_->Claim({session, 1h, 1000, {"default"}}).value().jobs;
  ASSERT_EQ(jobs.size(), 100U);
  const int number = RedisSlot("{esc:3}:");
  const std::string slot = std::to_string(number);
  const int from = ServerOf(number);
  const int to = (from + 1) % 3;
  const PrivateServer& source = Cluster(0).server(from);
  const PrivateServer& target = Cluster(0).server(to);
  const std::string source_id = IdOf(from);
  const std::string target_id = IdOf(to);
  const std::string host = target.host();
  const std::string port = std::to_string(target.port());
  const std::string password = target.password();
  Ask(target, {"CLUSTER", "SETSLOT", slot, "IMPORTING", source_id});
  Ask(source, {"CLUSTER", "SETSLOT", slot, "MIGRATING", target_id});
  const std::vector<Completion> batch = FinishAll(jobs);
  for (int part = 0;; ++part) {
    const auto refused = store_->Commit(session, batch);
    ASSERT_FALSE(refused);
    // The jobs of other shards were settled.
    EXPECT_EQ(refused.error().code, Code::kInDoubt) << refused.error().message;
    EXPECT_THAT(refused.error().message, testing::HasSubstr("moving slot"));
    EXPECT_FALSE(store_->Stats());
    const RedisReply keys = Ask(source, {"CLUSTER", "GETKEYSINSLOT", slot, "5"});
    if (keys.elements.empty()) break;
    RedisArguments migrate = {"MIGRATE", host, port, "", "0", "5000", "AUTH", password, "KEYS"};
    for (const RedisReply& key : keys.elements) migrate.push_back(key.text);
    Ask(source, migrate);
    ASSERT_LT(part, 100);
  }
  for (const int i : {to, from, 3 - from - to}) {
    Ask(Cluster(0).server(i), {"CLUSTER", "SETSLOT", slot, "NODE", target_id});
  }
  const auto reply = store_->Commit(session, batch);
  ASSERT_TRUE(reply) << reply.error().message;
  int fresh = 0;
  for (const CommitAnswer& answer : reply->answers) {
    EXPECT_TRUE(answer.kept);
    fresh += answer.outcome == CommitOutcome::kApplied ? 1 : 0;
  }
  EXPECT_GT(fresh, 0) << "the shard that was moving";
  EXPECT_LT(fresh, 100);
  for (const ClaimedJob& job : jobs) EXPECT_EQ(store_->Get(job.definition->id).value().settled_total, 1);
  const Audit audit = store_->AuditWindow("job-", start_ - 1h, jobs[0].present.cursor + Duration(1)).value();
  EXPECT_EQ(audit.expected, 100);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(RedisClusterTest, AServerThatHangsLeavesInDoubtWhatItWasAskedAndComesBack) {
  const SessionId session = store_->OpenSession({.pod = "pod", .ttl = 5s}).value();
  std::vector<ClaimedJob> jobs = store_->Claim({session, 1h, 1000, {"default"}}).value().jobs;
  ASSERT_TRUE(store_->Commit(session, FinishAll(jobs)));
  const int away = ServerOf(RedisSlot("{esc:1}:"));
  kill(Cluster(0).server(away).pid(), SIGSTOP);
  const std::vector<Completion> batch = FinishAll(jobs);
  const auto lost = store_->Commit(session, batch);
  kill(Cluster(0).server(away).pid(), SIGCONT);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kInDoubt) << lost.error().message;
  ASSERT_TRUE(Cluster(0).AwaitWhole());
  Result<CommitReply> reply = store_->Commit(session, batch);
  for (int i = 0; i < 1000 && !reply; ++i) {  // the others may call it failed for a moment
    std::this_thread::sleep_for(20ms);
    reply = store_->Commit(session, batch);
  }
  ASSERT_TRUE(reply) << reply.error().message;
  for (const CommitAnswer& answer : reply->answers) EXPECT_TRUE(answer.kept);
  for (const ClaimedJob& job : jobs) EXPECT_EQ(store_->Get(job.definition->id).value().settled_total, 2);
}

// The server in the URL dies for good, and a replica takes its slots.
TEST(RedisClusterFailover, AReplicaThatTakesOverIsFoundThoughTheUrlNamesTheDeadServer) {
  const auto eventually = [](const auto& call) {
    for (int i = 0; i < 1000; ++i) {
      if (call()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  };
  const auto cluster = PrivateRedisCluster::Start();
  ASSERT_TRUE(cluster) << cluster.error().message;
  PrivateServer& master = (*cluster)->server(0);
  const std::string bus = std::to_string(FreePort().value());
  const auto replica = PrivateServer::Redis(
      {.settings = {"cluster-enabled yes", "cluster-port " + bus, "masterauth " + master.password()},
       .password = master.password()});
  ASSERT_TRUE(replica) << replica.error().message;
  const std::string id = Ask(master, {"CLUSTER", "MYID"}).text;
  const std::string port = std::to_string((*replica)->port());
  Ask((*cluster)->server(1), {"CLUSTER", "MEET", "127.0.0.1", port, bus});
  ASSERT_TRUE(eventually([&] {
    return RedisConnection(*ParseRedisUrl((*replica)->url())).Command({"CLUSTER", "REPLICATE", id}).has_value();
  }));
  ASSERT_TRUE(eventually(
      [&] { return Ask(**replica, {"INFO", "replication"}).text.find("master_link_status:up") != std::string::npos; }));

  const auto store = RedisStoreFactory::Create((*cluster)->url()).value()->Open().value();
  ASSERT_TRUE(store->Migrate());
  const Instant start = store->Now().value();
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back({.id = fmt::format("job-{:02}", i),
                    .schedule = *Schedule::Every({.interval = 1s, .anchor = start}),
                    .task = "t"});
  }
  ASSERT_TRUE(store->Enqueue(jobs));
  const auto locks = RedisLocks::Connect(*ParseRedisUrl((*cluster)->url())).value();
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) ASSERT_TRUE(locks->Acquire(name, 1s));  // on all servers
  const SessionId session = store->OpenSession({.pod = "pod", .ttl = 5s}).value();
  const auto claimed = store->Claim({session, 1h, 1000, {"default"}}).value().jobs;
  std::vector<Completion> batch;
  for (const ClaimedJob& job : claimed) {
    const Settlement s = Settle(*job.definition, job.present, {}, start);
    batch.push_back({job.key, job.fence, job.present.fire_time, 1, 1, s.run, s.next, true});
  }
  ASSERT_EQ(batch.size(), 100U);
  // What a replica has not got yet is lost with its master: here it has all.
  ASSERT_TRUE(eventually([&] {
    const auto offset = [](const PrivateServer& server, const std::string& field) {
      const std::string text = Ask(server, {"INFO", "replication"}).text;
      const std::size_t at = text.find(field);
      return at == std::string::npos ? -1 : std::atoll(text.c_str() + at + field.size());
    };
    return offset(master, "master_repl_offset:") == offset(**replica, "slave_repl_offset:");
  }));
  ASSERT_TRUE(master.Stop(true));
  const auto lost = store->Commit(session, batch);
  ASSERT_FALSE(lost);
  EXPECT_TRUE(lost.error().code == Code::kUnavailable || lost.error().code == Code::kInDoubt) << lost.error().message;
  Ask(**replica, {"CLUSTER", "FAILOVER", "TAKEOVER"});
  Result<CommitReply> reply = lost;
  ASSERT_TRUE(eventually([&] {
    reply = store->Commit(session, batch);
    return reply.has_value();
  })) << reply.error().message;
  for (const CommitAnswer& answer : reply->answers) EXPECT_TRUE(answer.kept);
  for (const JobDefinition& job : jobs) EXPECT_EQ(store->Get(job.id).value().settled_total, 1);
  for (const std::string name : {"u", "v", "w", "x", "y", "z"}) {
    EXPECT_TRUE(eventually([&] { return locks->Acquire(name, 1s).has_value(); })) << name;
  }
}

}  // namespace
}  // namespace escapement
