// Needs redis-server.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "redis/redis_connection.h"
#include "servers/process.h"
#include "servers/servers.h"

namespace escapement {
namespace {

class RedisServer : public testing::Test {
 protected:
  void SetUp() override {
    if (!FindProgram("redis-server")) GTEST_SKIP() << "redis-server is not installed (package redis-server)";
  }
};

std::string Ask(const PrivateServer& server, const RedisArguments& command) {
  RedisConnection connection(*ParseRedisUrl(server.url()));
  const auto reply = connection.Command(command);
  return reply ? reply->text : "error: " + reply.error().message;
}

TEST_F(RedisServer, AnswersByItsUrlAndStartsAgainOnTheSamePort) {
  auto started = PrivateServer::Redis({.directory = "", .settings = {"appendonly yes", "appendfsync always"}});
  ASSERT_TRUE(started) << started.error().message;
  PrivateServer& server = **started;
  const std::string url = server.url();
  EXPECT_EQ(Ask(server, {"SET", "a", "42"}), "OK");
  std::ifstream arguments("/proc/" + std::to_string(server.pid()) + "/cmdline");
  std::ostringstream text;
  text << arguments.rdbuf();
  EXPECT_EQ(text.str().find(server.password()), std::string::npos);
  ASSERT_TRUE(server.Stop());
  EXPECT_TRUE(Ask(server, {"PING"}).starts_with("error"));
  ASSERT_TRUE(server.Start());
  EXPECT_EQ(Ask(server, {"GET", "a"}), "42");
  ASSERT_TRUE(server.Stop(true));
  ASSERT_TRUE(server.Start());
  EXPECT_EQ(Ask(server, {"GET", "a"}), "42");
  EXPECT_EQ(server.url(), url);

  const std::string directory = server.directory();
  const pid_t pid = server.pid();
  started->reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(RedisServer, StaysWithItsFilesWhenKept) {
  auto started = PrivateServer::Redis({.directory = "", .settings = {}, .keep = true});
  ASSERT_TRUE(started) << started.error().message;
  const std::string directory = (*started)->directory();
  const pid_t pid = (*started)->pid();
  RedisConnection connection(*ParseRedisUrl((*started)->url()));
  started->reset();
  EXPECT_TRUE(connection.Command({"PING"}));
  EXPECT_TRUE(std::filesystem::exists(directory));
  EXPECT_EQ(kill(pid, SIGKILL), 0);
  std::filesystem::remove_all(directory);
}

TEST_F(RedisServer, ThatIsNotInstalledIsNamedWithItsPackage) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  const auto server = PrivateServer::Redis();
  setenv("PATH", path.c_str(), 1);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Code::kNotFound);
  EXPECT_NE(server.error().message.find("package redis-server"), std::string::npos) << server.error().message;
}

TEST_F(RedisServer, ThatCannotStartSaysWhatItsLogSays) {
  const auto server = PrivateServer::Redis({.directory = "", .settings = {"no-such-setting 1"}});
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("no-such-setting"), std::string::npos) << server.error().message;
}

}  // namespace
}  // namespace escapement
