// TLS, users with few rights, sentinels: with real servers, and certificates made for the test. Needs redis-server and
// openssl.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis/redis_connection.h"
#include "servers/process.h"
#include "servers/servers.h"

namespace escapement {
namespace {

using testing::HasSubstr;
using testing::Not;

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

std::string Reply(const Result<RedisReply>& reply) { return reply ? reply->text : "error: " + reply.error().message; }

class RedisSecurity : public testing::Test {
 protected:
  void SetUp() override {
    if (!FindProgram("redis-server")) GTEST_SKIP() << "redis-server is not installed (package redis-server)";
    if (!FindProgram("openssl")) GTEST_SKIP() << "openssl is not installed (package openssl)";
    char directory[] = "/tmp/redis_security_XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void Openssl(const std::vector<std::string>& arguments) {
    ProcessOptions options;
    options.argv = {"openssl"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.output_file = directory_ + "/openssl.log";
    auto process = ChildProcess::Start(options);
    ASSERT_TRUE(process);
    ASSERT_EQ((*process)->Wait(std::chrono::seconds(60)), 0);
  }
  // A self-signed certificate NAME.crt with its key NAME.key.
  void Certificate(const std::string& name, const std::string& alternative) {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=" + name, "-addext", "subjectAltName=" + alternative, "-keyout", File(name + ".key"), "-out",
             File(name + ".crt")});
  }
  std::string File(const std::string& name) const { return directory_ + "/" + name; }

  // Listens on a TLS port besides its plain one.
  std::unique_ptr<PrivateServer> StartTls(int* port, const std::string& certificate, bool clients_too) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      *port = FreePort();
      auto server = PrivateServer::Redis(
          {.directory = "",
           .settings = {fmt::format("tls-port {}", *port), fmt::format("tls-cert-file {}", File(certificate + ".crt")),
                        fmt::format("tls-key-file {}", File(certificate + ".key")),
                        fmt::format("tls-ca-cert-file {}", File(certificate + ".crt")),
                        fmt::format("tls-auth-clients {}", clients_too ? "yes" : "no")}});
      if (server) return std::move(*server);
    }
    return nullptr;
  }
  static Result<RedisReply> Ask(const std::string& url, const RedisArguments& command) {
    auto parsed = ParseRedisUrl(url);
    if (!parsed) return tl::unexpected(parsed.error());
    return RedisConnection(*parsed).Command(command);
  }

  std::string directory_;
};

TEST_F(RedisSecurity, TalksTlsToAServerWhoseCertificateItKnows) {
  Certificate("server", "IP:127.0.0.1,DNS:localhost");
  Certificate("stranger", "IP:127.0.0.1");
  Certificate("elsewhere", "DNS:elsewhere.example");
  int port = 0;
  const auto server = StartTls(&port, "server", /*clients_too=*/false);
  ASSERT_NE(server, nullptr);
  const auto url = [&](const std::string& host, const std::string& parameters) {
    return fmt::format("rediss://:{}@{}:{}/0{}", server->password(), host, port, parameters);
  };
  RedisConnection connection(*ParseRedisUrl(url("127.0.0.1", "?cacert=" + File("server.crt"))));
  const std::string large(1'000'000, 'x');
  EXPECT_EQ(Reply(connection.Command({"SET", "a", large})), "OK");
  EXPECT_EQ(Reply(connection.Command({"GET", "a"})), large);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Reply(connection.Command({"ECHO", "x"})), "x");
  EXPECT_EQ(Reply(Ask(url("localhost", "?cacert=" + File("server.crt")), {"PING"})), "PONG");

  const auto unknown = Ask(url("127.0.0.1", "?cacert=" + File("stranger.crt")), {"PING"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kInvalidArgument);
  EXPECT_THAT(unknown.error().message, HasSubstr("certificate is refused"));
  EXPECT_THAT(unknown.error().message, Not(HasSubstr(server->password())));
  EXPECT_FALSE(Ask(url("127.0.0.1", ""), {"PING"})) << "the system does not know the test's certificate";
  const auto no_file = Ask(url("127.0.0.1", "?cacert=" + File("none.crt")), {"PING"});
  ASSERT_FALSE(no_file);
  EXPECT_THAT(no_file.error().message, HasSubstr("none.crt"));

  const auto plain_port =
      Ask(fmt::format("rediss://:{}@127.0.0.1:{}/0?cacert={}", server->password(), server->port(), File("server.crt")),
          {"PING"});
  EXPECT_FALSE(plain_port);
  const auto plain_client = Ask(fmt::format("redis://:{}@127.0.0.1:{}/0", server->password(), port), {"PING"});
  EXPECT_FALSE(plain_client);

  int elsewhere_port = 0;
  const auto elsewhere = StartTls(&elsewhere_port, "elsewhere", false);
  ASSERT_NE(elsewhere, nullptr);
  const auto other_name = Ask(fmt::format("rediss://:{}@127.0.0.1:{}/0?cacert={}", elsewhere->password(),
                                          elsewhere_port, File("elsewhere.crt")),
                              {"PING"});
  ASSERT_FALSE(other_name) << "a certificate of another name";
  EXPECT_THAT(other_name.error().message, HasSubstr("mismatch"));
}

TEST_F(RedisSecurity, ShowsItsOwnCertificateWhereOneIsWanted) {
  Certificate("server", "IP:127.0.0.1");
  int port = 0;
  const auto server = StartTls(&port, "server", /*clients_too=*/true);
  ASSERT_NE(server, nullptr);
  const std::string url =
      fmt::format("rediss://:{}@127.0.0.1:{}/0?cacert={}", server->password(), port, File("server.crt"));
  EXPECT_FALSE(Ask(url, {"PING"}));
  EXPECT_EQ(Reply(Ask(url + "&cert=" + File("server.crt") + "&key=" + File("server.key"), {"PING"})), "PONG");
}

TEST_F(RedisSecurity, EntersAsAUserWithFewRights) {
  auto server = PrivateServer::Redis();
  ASSERT_TRUE(server) << server.error().message;
  ASSERT_EQ(Reply(Ask((*server)->url(), {"ACL", "SETUSER", "pod", "on", ">s3cret", "~lock*", "+@all", "-@dangerous"})),
            "OK");
  const auto as = [&](const std::string& password) {
    return fmt::format("redis://pod:{}@127.0.0.1:{}/0", password, (*server)->port());
  };
  EXPECT_EQ(Reply(Ask(as("s3cret"), {"SET", "lock", "1"})), "OK");
  const auto key = Ask(as("s3cret"), {"SET", "other", "1"});
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, Code::kInvalidArgument);
  EXPECT_THAT(key.error().message, HasSubstr("NOPERM"));
  const auto wrong = Ask(as("wr0ng"), {"PING"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kInvalidArgument);
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("wr0ng")));
}

TEST_F(RedisSecurity, FollowsTheMasterThatSentinelsName) {
  auto master = PrivateServer::Redis();
  ASSERT_TRUE(master) << master.error().message;
  auto replica =
      PrivateServer::Redis({.directory = "",
                            .settings = {fmt::format("replicaof 127.0.0.1 {}", (*master)->port()),
                                         "masterauth " + (*master)->password(), "repl-diskless-sync-delay 0"}});
  ASSERT_TRUE(replica) << replica.error().message;
  // One password for both, as a failover needs.
  ASSERT_EQ(Reply(Ask((*replica)->url(), {"CONFIG", "SET", "requirepass", (*master)->password()})), "OK");
  const std::string replica_url = fmt::format("redis://:{}@127.0.0.1:{}/0", (*master)->password(), (*replica)->port());

  const int port = FreePort();
  std::ofstream(File("sentinel.conf")) << fmt::format(
      "port {}\nbind 127.0.0.1\ndir \"{}\"\nsentinel monitor m 127.0.0.1 {} 1\nsentinel auth-pass m {}\n"
      "sentinel down-after-milliseconds m 500\nsentinel failover-timeout m 5000\n",
      port, directory_, (*master)->port(), (*master)->password());
  ProcessOptions options;
  options.argv = {"redis-server", File("sentinel.conf"), "--sentinel"};
  options.output_file = File("sentinel.log");
  auto sentinel = ChildProcess::Start(options);
  ASSERT_TRUE(sentinel) << sentinel.error().message;

  const std::string authority =
      fmt::format(":{}@127.0.0.1:1,127.0.0.1:{}", (*master)->password(), port);  // one is down
  auto url = ParseRedisUrl(fmt::format("redis+sentinel://{}/m/0", authority));
  ASSERT_TRUE(url) << url.error().message;
  RedisConnection connection(*url);
  const auto eventually = [&](const RedisArguments& command, const std::string& wanted) {
    std::string last;
    for (int i = 0; i < 600; ++i) {
      last = Reply(connection.Command(command));
      if (last == wanted) return last;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return last;
  };
  ASSERT_EQ(eventually({"SET", "a", "1"}, "OK"), "OK");
  const auto info = [&] { return Reply(Ask(replica_url, {"GET", "a"})); };
  for (int i = 0; i < 300 && info() != "1"; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_EQ(info(), "1") << "replicated";
  const auto known = [&] {  // the sentinel knows the replica: it can promote it
    std::ifstream file(File("sentinel.conf"));
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return text.find("known-replica m") != std::string::npos;
  };
  for (int i = 0; i < 300 && !known(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(known());

  ASSERT_TRUE((*master)->Stop(/*immediately=*/true));
  EXPECT_EQ(eventually({"SET", "a", "2"}, "OK"), "OK") << "the replica was promoted";
  EXPECT_EQ(Reply(Ask(replica_url, {"GET", "a"})), "2");

  url->master = "nobody";
  const auto unknown = RedisConnection(*url).Command({"PING"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kInvalidArgument);
  EXPECT_THAT(unknown.error().message, HasSubstr("'nobody'"));
  EXPECT_THAT(unknown.error().message, Not(HasSubstr((*master)->password())));
}

}  // namespace
}  // namespace escapement
