// Needs PostgreSQL's server programs.
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "servers/process.h"
#include "servers/servers.h"

namespace escapement {
namespace {

class PostgresServer : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/lib/postgresql") && !FindProgram("initdb"))
      GTEST_SKIP() << "PostgreSQL's server programs are not installed (package postgresql)";
    auto server = PrivateServer::Postgres({.directory = "", .settings = {"work_mem = 7MB"}, .keep = false});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  // The first value that a statement answers, or "error: ...".
  std::string Ask(const std::string& sql) const {
    PGconn* const connection = PQconnectdb(server_->url().c_str());
    PGresult* const result = PQexec(connection, sql.c_str());
    std::string answer;
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
      answer = PQgetvalue(result, 0, 0);
    } else if (PQresultStatus(result) != PGRES_COMMAND_OK) {
      answer = std::string("error: ") + PQerrorMessage(connection);
    }
    PQclear(result);
    PQfinish(connection);
    return answer;
  }

  std::unique_ptr<PrivateServer> server_;
};

TEST_F(PostgresServer, IsDurablePrivateAndAsConfigured) {
  EXPECT_EQ(Ask("SHOW fsync"), "on");
  EXPECT_EQ(Ask("SHOW synchronous_commit"), "on");
  EXPECT_EQ(Ask("SHOW shared_buffers"), "256MB");
  EXPECT_EQ(Ask("SHOW max_connections"), "200");
  EXPECT_EQ(Ask("SHOW listen_addresses"), "127.0.0.1");
  EXPECT_EQ(Ask("SHOW unix_socket_directories"), "");
  EXPECT_EQ(Ask("SHOW server_encoding"), "UTF8");
  EXPECT_EQ(Ask("SHOW work_mem"), "7MB");
  EXPECT_EQ(Ask("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = current_user"), "t");
  EXPECT_FALSE(std::filesystem::exists(server_->directory() + "/password"));
  std::ifstream arguments("/proc/" + std::to_string(server_->pid()) + "/cmdline");
  std::ostringstream text;
  text << arguments.rdbuf();
  EXPECT_EQ(text.str().find(server_->password()), std::string::npos);
}

TEST_F(PostgresServer, KeepsItsDataAndPortOverAStopAndACrash) {
  const std::string url = server_->url();
  EXPECT_EQ(Ask("CREATE TABLE t AS SELECT 42 AS a"), "");
  ASSERT_TRUE(server_->Stop());
  EXPECT_TRUE(Ask("SELECT 1").starts_with("error"));
  EXPECT_TRUE(server_->Stop()) << "a stopped server may be stopped";
  ASSERT_TRUE(server_->Start());
  EXPECT_TRUE(server_->Start()) << "a running server may be started";
  EXPECT_EQ(server_->url(), url);
  EXPECT_EQ(Ask("SELECT a FROM t"), "42");
  EXPECT_EQ(Ask("UPDATE t SET a = 43"), "");
  ASSERT_TRUE(server_->Stop(true));
  const Status started = server_->Start();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(Ask("SELECT a FROM t"), "43");
}

TEST_F(PostgresServer, IsGoneWithItsObject) {
  const std::string directory = server_->directory();
  const pid_t pid = server_->pid();
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(PostgresServer, ThatCannotStartSaysWhatItsLogSays) {
  const auto server = PrivateServer::Postgres({.directory = "", .settings = {"shared_buffers = nonsense"}});
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("shared_buffers"), std::string::npos) << server.error().message;
}

}  // namespace
}  // namespace escapement
