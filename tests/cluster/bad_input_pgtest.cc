// Bad input is refused by the whole program: one line that says why, the right exit status, and nothing changed.
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "servers/servers.h"

namespace escapement {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using Variables = std::map<std::string, std::string>;

constexpr char kWrongPassword[] = "not-the-right-one";
constexpr char kNobodyListens[] = "1";  // tcpmux: a port of the system's, unused

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class BadInput : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto postgres = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(postgres) << postgres.error().message;
    postgres_ = std::move(*postgres);
    auto redis = PrivateServer::Redis();
    ASSERT_TRUE(redis) << redis.error().message;
    redis_ = std::move(*redis);
  }
  static void TearDownTestSuite() {
    redis_.reset();
    postgres_.reset();
  }

  void SetUp() override {
    ASSERT_TRUE(postgres_ && redis_);
    std::string path = (std::filesystem::temp_directory_path() / "bad_input_test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    before_ = Database();
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  // All rows of a query, or an empty text.
  static std::string Ask(const std::string& sql) {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(postgres_->url().c_str()), PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), PQclear);
    const auto status = PQresultStatus(result.get());
    EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) << PQerrorMessage(connection.get());
    std::string text;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      for (int column = 0; column < PQnfields(result.get()); ++column) {
        text +=
            std::string(PQgetvalue(result.get(), row, column)) + (column + 1 < PQnfields(result.get()) ? " " : "\n");
      }
    }
    return text;
  }

  // What must not change: schemas, tables, indexes, sequences and their sizes.
  static std::string Database() {
    return Ask("SELECT n.nspname, c.relname, pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n "
               "ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' "
               "ORDER BY 1, 2") +
           Ask("SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%' ORDER BY 1");
  }

  static Variables Good() {
    return {{"STORE", ""},
            {"JOB_COUNT", ""},
            {"JOB_INTERVAL_MS", ""},
            {"JOB_DURATION_MS", ""},
            {"TEST_DURATION_SEC", "5"},
            {"PODS", ""},
            {"POD_NAME", ""},
            {"IS_LEADER", ""},
            {"SQLITE_PATH", ""},
            {"STRESS_WITNESS_DIR", ""},
            {"STRESS_READY_FILE", ""},
            {"STRESS_PIDS_FILE", ""},
            {"STRESS_CONNECT_TIMEOUT_SEC", "2"},
            {"POSTGRES_HOST", postgres_->host()},
            {"POSTGRES_PORT", std::to_string(postgres_->port())},
            {"POSTGRES_USER", postgres_->user()},
            {"POSTGRES_PASSWORD", postgres_->password()},
            {"POSTGRES_DB", postgres_->database()},
            {"POSTGRES_DATABASE", ""},
            {"REDIS_HOST", redis_->host()},
            {"REDIS_PORT", std::to_string(redis_->port())},
            {"REDIS_USER", redis_->user()},
            {"REDIS_PASSWORD", redis_->password()},
            {"REDIS_DB", "0"}};
  }

  // Runs the program, `changed` on top of what would be right, and checks what all refusals have in common.
  // Returns the line.
  std::string Refused(const std::vector<std::string>& arguments, const Variables& changed, int status) {
    std::string what = "escapement";
    for (const auto& argument : arguments) what += " " + argument;
    for (const auto& [name, value] : changed) what += fmt::format(" {}={}", name, value);
    SCOPED_TRACE(what);

    const std::string out = directory_ + "/out", err = directory_ + "/err";
    ProcessOptions options;
    // The shell only parts the two outputs.
    options.argv = {"sh", "-c", "exec \"$0\" \"$@\" >\"$OUT_FILE\" 2>\"$ERR_FILE\"", ESCAPEMENT_PROGRAM};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = Good();
    for (const auto& [name, value] : changed) options.environment[name] = value;
    options.environment["OUT_FILE"] = out;
    options.environment["ERR_FILE"] = err;
    auto process = ChildProcess::Start(options);
    if (!process) {
      ADD_FAILURE() << process.error().message;
      return "";
    }
    const auto ended = (*process)->Wait(seconds(60));
    EXPECT_TRUE(ended) << "it does not end";
    const std::string line = ReadAll(err);
    EXPECT_EQ(ended.value_or(-1), status) << line;
    EXPECT_EQ(ReadAll(out), "");
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
    EXPECT_TRUE(line.starts_with("escapement: ") && line.ends_with("\n")) << line;
    EXPECT_GT(line.size(), 25U) << line;
    for (const auto& secret : {postgres_->password(), redis_->password(), std::string(kWrongPassword)}) {
      EXPECT_THAT(line, Not(HasSubstr(secret)));
    }
    EXPECT_EQ(Database(), before_);
    return line;
  }

  static std::unique_ptr<PrivateServer> postgres_;
  static std::unique_ptr<PrivateServer> redis_;
  std::string directory_;
  std::string before_;
};

std::unique_ptr<PrivateServer> BadInput::postgres_;
std::unique_ptr<PrivateServer> BadInput::redis_;

const std::vector<std::string> kCommands = {"local", "leader", "follower", "analyze", "health"};

TEST_F(BadInput, AValueThatCannotBeRightIsRefusedByEachCommand) {
  const std::vector<std::pair<std::string, std::string>> bad = {{"JOB_COUNT", "0"},
                                                                {"JOB_COUNT", "-1"},
                                                                {"JOB_COUNT", "abc"},
                                                                {"JOB_COUNT", "1000000000"},
                                                                {"JOB_COUNT", "1.5"},
                                                                {"JOB_COUNT", "99999999999999999999"},
                                                                {"JOB_INTERVAL_MS", "0"},
                                                                {"PODS", "0"},
                                                                {"STORE", "mongodb"},
                                                                {"POSTGRES_PORT", "abc"},
                                                                {"REDIS_PORT", "70000"},
                                                                {"IS_LEADER", "maybe"},
                                                                {"STRESS_CONNECT_TIMEOUT_SEC", "0"},
                                                                {"STRESS_RESTART_AFTER_SEC", "-1"}};
  for (const auto& command : kCommands) {
    for (const auto& [name, value] : bad) {
      const std::string line = Refused({"stress", command}, {{name, value}}, 2);
      EXPECT_THAT(line, HasSubstr(name));
      EXPECT_THAT(line, HasSubstr(value));
    }
  }
}

TEST_F(BadInput, AFlagOrCommandThatIsNotKnownIsRefused) {
  EXPECT_THAT(Refused({"stress", "local", "--no-such-flag"}, {}, 2), HasSubstr("--no-such-flag"));
  EXPECT_THAT(Refused({"stress", "leader", "--keep"}, {}, 2), HasSubstr("--keep"));
  EXPECT_THAT(Refused({"stress", "dance"}, {}, 2), HasSubstr("dance"));
  EXPECT_THAT(Refused({"dance"}, {}, 2), HasSubstr("dance"));
  Refused({}, {}, 2);
  Refused({"stress"}, {}, 2);
}

TEST_F(BadInput, AWrongPasswordIsRefusedAtOnce) {
  for (const std::string command : {"leader", "follower", "analyze"}) {
    EXPECT_THAT(Refused({"stress", command}, {{"POSTGRES_PASSWORD", kWrongPassword}}, 2), HasSubstr("password"));
  }
  Refused({"stress", "health"}, {{"POSTGRES_PASSWORD", kWrongPassword}}, 1);
  for (const std::string command : {"leader", "follower"}) {
    EXPECT_THAT(Refused({"stress", command}, {{"REDIS_PASSWORD", kWrongPassword}}, 2), HasSubstr("password"));
  }
  Refused({"stress", "health"}, {{"REDIS_PASSWORD", kWrongPassword}}, 1);
}

TEST_F(BadInput, ADatabaseThatDoesNotExistIsRefusedAtOnce) {
  for (const std::string command : {"leader", "follower", "analyze"}) {
    EXPECT_THAT(Refused({"stress", command}, {{"POSTGRES_DB", "nowhere"}}, 2), HasSubstr("nowhere"));
  }
}

TEST_F(BadInput, AServerThatDoesNotAnswerIsTriedForALimitedTime) {
  for (const std::string command : {"leader", "follower"}) {
    for (const char* port : {"POSTGRES_PORT", "REDIS_PORT"}) {
      const std::string line = Refused({"stress", command}, {{port, kNobodyListens}}, 1);
      EXPECT_THAT(line, HasSubstr("within 2 s"));
      EXPECT_THAT(line, HasSubstr(std::string(port) == "POSTGRES_PORT" ? "postgres" : "redis"));
    }
  }
  Refused({"stress", "analyze"}, {{"POSTGRES_PORT", kNobodyListens}}, 2);
  Refused({"stress", "health"}, {{"POSTGRES_PORT", kNobodyListens}}, 1);
}

TEST_F(BadInput, ThereIsNothingToJudgeInAnEmptyDatabase) {
  const std::string file = directory_ + "/nowhere.db";
  for (const Variables& where :
       {Variables{}, Variables{{"STORE", "redis"}}, Variables{{"STORE", "sqlite"}, {"SQLITE_PATH", file}}}) {
    EXPECT_THAT(Refused({"stress", "analyze"}, where, 2), HasSubstr("holds no stress test"));
  }
  EXPECT_FALSE(std::filesystem::exists(file)) << "it made what it was to judge";
  EXPECT_THAT(Refused({"stress", "health"}, {}, 1), HasSubstr("no schema"));
}

TEST_F(BadInput, AFileThatCannotBeADatabaseIsRefusedAtOnce) {
  const std::string text = directory_ + "/text";
  std::ofstream(text) << std::string(5'000, 'x');
  for (const std::string& file : {directory_ + "/no/such/place.db", text}) {
    for (const std::string command : {"leader", "follower", "analyze"}) {
      EXPECT_THAT(Refused({"stress", command}, {{"STORE", "sqlite"}, {"SQLITE_PATH", file}}, 2), HasSubstr(directory_));
    }
    Refused({"stress", "health"}, {{"STORE", "sqlite"}, {"SQLITE_PATH", file}}, 1);
  }
  EXPECT_EQ(ReadAll(text), std::string(5'000, 'x'));
}

TEST_F(BadInput, ASchemaThatIsNewerIsRefusedAtOnce) {
  Ask("CREATE SCHEMA escapement; CREATE TABLE escapement.migrations (version integer PRIMARY KEY, applied_at "
      "timestamptz "
      "NOT NULL DEFAULT clock_timestamp()); INSERT INTO escapement.migrations (version) VALUES (1), (999)");
  before_ = Database();
  for (const std::string command : {"leader", "follower"}) {
    EXPECT_THAT(Refused({"stress", command}, {}, 2), HasSubstr("newer"));
  }
  EXPECT_THAT(Refused({"stress", "health"}, {}, 1), HasSubstr("newer"));
  Ask("SET client_min_messages = warning; DROP SCHEMA escapement CASCADE");
}

}  // namespace
}  // namespace escapement
