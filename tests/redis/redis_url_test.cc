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

TEST(RedisUrl, ReadsTls) {
  const auto url = ParseRedisUrl("rediss://u:p@h/2?cacert=/etc/ca.pem&cert=/c%26.pem&key=k.pem");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->database, 2);
  EXPECT_EQ(url->tls_settings.ca_file, "/etc/ca.pem");
  EXPECT_EQ(url->tls_settings.cert_file, "/c&.pem");
  EXPECT_EQ(url->tls_settings.key_file, "k.pem");
  EXPECT_EQ(url->Name(), "rediss://h:6379/2");
  EXPECT_TRUE(ParseRedisUrl("rediss://h")->tls);
}

TEST(RedisUrl, ReadsSentinels) {
  const auto url = ParseRedisUrl("redis+sentinel://:p@h1,[::1]:7000,h3:1/main/3?sentinel_password=q");
  ASSERT_TRUE(url) << url.error().message;
  ASSERT_EQ(url->sentinels.size(), 3U);
  EXPECT_EQ(url->sentinels[0].port, 26379);
  EXPECT_EQ(url->sentinels[1].host, "::1");
  EXPECT_EQ(url->sentinels[2].port, 1);
  EXPECT_EQ(url->master, "main");
  EXPECT_EQ(url->database, 3);
  EXPECT_EQ(url->password, "p");
  EXPECT_EQ(url->sentinel_password, "q");
  EXPECT_EQ(url->Name(), "redis+sentinel://h1:26379,[::1]:7000,h3:1/main/3");
}

TEST(RedisUrl, RefusesParametersThatMeanNothing) {
  for (const char* const text :
       {"redis://h?cacert=/x", "rediss://h?cacert=", "rediss://h?cacert", "rediss://h?verify=no", "rediss://h?key=k",
        "redis+sentinel://h", "redis+sentinel://h/", "redis+sentinel:///m", "redis+sentinel://h/m/x",
        "rediss://h?sentinel_user=u", "redis+sentinel://h/m?cacert=/x"}) {
    const auto url = ParseRedisUrl(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, Code::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace escapement
