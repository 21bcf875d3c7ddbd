#include "redis/redis_url.h"

#include <gtest/gtest.h>

namespace escapement {
namespace {

TEST(RedisUrl, ReadsAllItsParts) {
  const auto url = ParseRedisUrl("redis://bob:p%40ss%2Fw%3Ard@redis.example:6380/3");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->user, "bob");
  EXPECT_EQ(url->password, "p@ss/w:rd");
  EXPECT_EQ(url->host, "redis.example");
  EXPECT_EQ(url->port, 6380);
  EXPECT_EQ(url->database, 3);
  EXPECT_EQ(url->Name(), "redis://redis.example:6380/3");
}

TEST(RedisUrl, HasDefaults) {
  const auto url = ParseRedisUrl("redis://localhost");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "localhost");
  EXPECT_EQ(url->port, 6379);
  EXPECT_EQ(url->user, "");
  EXPECT_EQ(url->password, "");
  EXPECT_EQ(url->database, 0);
  EXPECT_TRUE(ParseRedisUrl("redis://localhost/"));
}

TEST(RedisUrl, TakesAPasswordWithoutAUserAndAnIpv6Address) {
  const auto url = ParseRedisUrl("redis://:secret:with:colons@[::1]:7000");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->user, "");
  EXPECT_EQ(url->password, "secret:with:colons");
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->Name(), "redis://[::1]:7000/0");
}

TEST(RedisUrl, RefusesWhatCannotBeRightInOneLineAndNeverShowsThePassword) {
  for (const char* const text : {"",
                                 "localhost:6379",
                                 "http://:hunter2@h",
                                 "redis://",
                                 "redis:///0",
                                 "redis://:hunter2@",
                                 "redis://:hunter2@:1",
                                 "redis://:hunter2@h:0",
                                 "redis://:hunter2@h:65536",
                                 "redis://:hunter2@h:port",
                                 "redis://:hunter2@h:",
                                 "redis://:hunter2@h:1/x",
                                 "redis://:hunter2@h/-1",
                                 "redis://:hunter2@h/1/2",
                                 "redis://:hunter2@h/0?x=hunter2",
                                 "redis://:hunter2%@h",
                                 "redis://:hunter2%4@h",
                                 "redis://:hunter2%zz@h",
                                 "redis://:hunter2%-1@h",
                                 "redis://:hun/ter2@h",
                                 "redis://:a:hunter2/@h",
                                 "redis://:hunter2@[::1",
                                 "redis://:hunter2@[::1]x",
                                 "redis://:hunter2@h h",
                                 "redis://:hunter2@::1"}) {
    const auto url = ParseRedisUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Code::kInvalidArgument) << text;
    EXPECT_EQ(url.error().message.find("ter2"), std::string::npos) << url.error().message;
    EXPECT_EQ(url.error().message.find('\n'), std::string::npos);
    EXPECT_TRUE(url.error().message.starts_with("Redis URL: ")) << url.error().message;
  }
}

TEST(RedisUrl, SaysThatTlsIsUnsupported) {
  const auto url = ParseRedisUrl("rediss://:hunter2@h");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().code, Code::kUnsupported);
  EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace escapement
