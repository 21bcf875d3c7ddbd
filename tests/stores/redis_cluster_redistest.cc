// The store on a real Redis Cluster: three private servers. Needs redis-server.
#include <array>

#include <fmt/format.h>

#include "contract/store_contract.h"
#include "redis/redis_connection.h"
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

}  // namespace
}  // namespace escapement
