// The public library with Redis as store, locks and wake-ups alike. Needs redis-server.
#include <fmt/format.h>

#include "redis/redis_connection.h"
#include "servers/servers.h"
#include "tests/scheduler/scheduler_suite.h"

namespace escapement {
namespace {

// One server for all tests of this program; a database of its own for each test.
std::string UrlOf(int database) {
  static const auto server = PrivateServer::Redis({.directory = {}, .settings = {"databases 1000"}, .keep = false});
  if (!server) throw std::runtime_error(server.error().message);
  const std::string url = (*server)->url();
  return fmt::format("{}/{}", url.substr(0, url.rfind('/')), database);
}

int NextDatabase() {
  static int number = 0;
  return ++number;
}

Urls RedisAlone() { return {UrlOf(NextDatabase()), ""}; }
// Locks in memory: wake-ups then go through the store's server.
Urls RedisAndMemory() {
  const int number = NextDatabase();
  return {UrlOf(number), fmt::format("memory:{}", number)};
}

// Three masters: store, locks and wake-ups on all of them.
Urls RedisCluster() {
  static const auto cluster = PrivateRedisCluster::Start();
  if (!cluster) throw std::runtime_error(cluster.error().message);
  for (int i = 0; i < (*cluster)->size(); ++i) {
    const auto flushed = RedisConnection(*ParseRedisUrl((*cluster)->server(i).url())).Command({"FLUSHALL"});
    if (!flushed) throw std::runtime_error(flushed.error().message);
  }
  return {(*cluster)->url(), ""};
}

INSTANTIATE_TEST_SUITE_P(RedisCluster, SchedulerSuite, testing::Values(&RedisCluster));
INSTANTIATE_TEST_SUITE_P(RedisAlone, SchedulerSuite, testing::Values(&RedisAlone));
INSTANTIATE_TEST_SUITE_P(RedisAndMemory, SchedulerSuite, testing::Values(&RedisAndMemory));

TEST(SchedulerOnRedis, StartsOnlyOnASchemaOfItsVersion) {
  const Urls urls = RedisAlone();
  auto scheduler = Scheduler::Open({.store_url = urls.store, .locks_url = urls.locks, .pod_name = "pod"});
  ASSERT_TRUE(scheduler) << scheduler.error().message;
  for (const Status& status : {(*scheduler)->CheckSchema(), (*scheduler)->Start()}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kConflict) << status.error().message;
    EXPECT_THAT(status.error().message, testing::HasSubstr("migration"));
  }
  auto enqueued = (*scheduler)->At("job", FromMicros(1), "note");
  ASSERT_FALSE(enqueued);
  EXPECT_EQ(enqueued.error().code, Code::kConflict) << enqueued.error().message;
  ASSERT_TRUE((*scheduler)->Migrate());
  EXPECT_TRUE((*scheduler)->CheckSchema());
  EXPECT_TRUE((*scheduler)->Start());
}

TEST(SchedulerOnRedis, OpeningTellsARefusalFromASilence) {
  const std::string url = UrlOf(0);
  const std::string password = url.substr(9, url.rfind('@') - 9);
  for (const auto& [store, code] :
       {std::pair(std::string("redis://:wr0ng-pass@") + url.substr(url.rfind('@') + 1), Code::kInvalidArgument),
        std::pair("redis://:" + password + "@127.0.0.1:1/0", Code::kUnavailable)}) {
    auto scheduler = Scheduler::Open({.store_url = store, .locks_url = "memory:", .pod_name = "pod"});
    ASSERT_FALSE(scheduler);
    EXPECT_EQ(scheduler.error().code, code) << scheduler.error().message;
    EXPECT_THAT(scheduler.error().message, testing::Not(testing::HasSubstr("wr0ng-pass")));
    EXPECT_THAT(scheduler.error().message, testing::Not(testing::HasSubstr(password)));
  }
}

}  // namespace
}  // namespace escapement
