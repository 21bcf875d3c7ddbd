// Hashes with fields that are missing or nonsense, written by hand into a real server.
#include <fmt/format.h>

#include "redis/redis_connection.h"
#include "servers/servers.h"
#include "stores/redis/redis_store.h"
#include "tests/stores/spoilt_rows.h"

namespace escapement {
namespace {

TEST(RedisSpoilt, ARowThatCannotBeReadIsLeftAloneAndTheOthersGoOn) {
  auto server = PrivateServer::Redis();
  ASSERT_TRUE(server) << server.error().message;
  auto factory = RedisStoreFactory::Create((*server)->url());
  ASSERT_TRUE(factory);
  RedisConnection hand(*ParseRedisUrl((*server)->url()));
  std::vector<SpoiltRow> rows;
  for (const char* field : {"att", "ver", "cr", "cur", "fire", "due", "lost", "pf"}) {
    for (const char* value : {"", "x", "9223372036854775807", "-9223372036854775808", "1.5"}) {
      rows.push_back({fmt::format("{} = '{}'", field, value), fmt::format("{}={}", field, value)});
    }
  }
  for (const char* definition : {"", "{}", "5", "{\"schedule\":\"every 1s\",\"task\":\"t\",\"\\u0007\":1}"}) {
    rows.push_back({definition, fmt::format("d={}", definition)});
  }
  for (const SpoiltRow& row : rows) {
    auto store = (*factory)->Open();
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE((*store)->Migrate());
    const auto spoil = [&](const std::string& assignment) {
      const auto keys = hand.Command({"KEYS", "{esc:0}:j:*"});
      ASSERT_TRUE(keys) << keys.error().message;
      const std::string field = assignment.substr(0, assignment.find('='));
      const std::string value = assignment.substr(assignment.find('=') + 1);
      bool found = false;
      for (const RedisReply& key : keys->elements) {
        if (hand.Command({"HGET", key.text, "id"})->text != "spoilt") continue;
        std::string where = key.text;
        if (field == "d") where.replace(where.rfind("j:"), 2, "d:");
        found = hand.Command({"HSET", where, field, value}).has_value();
      }
      EXPECT_TRUE(found);
    };
    ExpectOthersGoOn(**store, row, spoil, [&] { ASSERT_TRUE(hand.Command({"FLUSHALL"})); });
  }
}

}  // namespace
}  // namespace escapement
