#include "stress/config.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace escapement::stress {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

auto Read(const std::map<std::string, std::string>& variables, const StressFlags& flags = {}) {
  return ReadConfig(
      [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
      },
      flags);
}

std::vector<std::string> ErrorsOf(const std::map<std::string, std::string>& variables) {
  auto config = Read(variables);
  return config ? std::vector<std::string>() : config.error();
}

TEST(Config, HasTheDefaultsOfTheInterface) {
  auto config = Read({});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->job_count, 100);
  EXPECT_EQ(config->interval, seconds(1));
  EXPECT_EQ(config->duration, milliseconds(50));
  EXPECT_EQ(config->test_duration, seconds(60));
  EXPECT_FALSE(config->is_leader);
  EXPECT_FALSE(config->pods);
  EXPECT_EQ(config->postgres.host, "localhost");
  EXPECT_EQ(config->redis.host, "localhost");
  EXPECT_EQ(config->store, StoreKind::kPostgresql);
  EXPECT_EQ(config->pod_name, "");
}

TEST(Config, ReadsEveryVariable) {
  auto config = Read({{"JOB_COUNT", "20000"},
                      {"JOB_INTERVAL_MS", "60000"},
                      {"JOB_DURATION_MS", "0"},
                      {"TEST_DURATION_SEC", "300"},
                      {"PODS", "8"},
                      {"STORE", "postgresql"},
                      {"POD_NAME", "scheduler-1"},
                      {"IS_LEADER", "true"},
                      {"POSTGRES_HOST", "db"},
                      {"POSTGRES_PORT", "6000"},
                      {"POSTGRES_USER", "u"},
                      {"POSTGRES_PASSWORD", "p"},
                      {"POSTGRES_DATABASE", "d"},
                      {"REDIS_HOST", "r"},
                      {"REDIS_PORT", "6380"},
                      {"REDIS_PASSWORD", "q"},
                      {"REDIS_DB", "3"},
                      {"STRESS_WITNESS_DIR", "/w"},
                      {"STRESS_READY_FILE", "/r"},
                      {"STRESS_PIDS_FILE", "/p"},
                      {"STRESS_CONNECT_TIMEOUT_SEC", "7"},
                      {"STRESS_RESTART_AFTER_SEC", "9"}});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->job_count, 20'000);
  EXPECT_EQ(config->interval, seconds(60));
  EXPECT_EQ(config->connect_timeout, seconds(7));
  EXPECT_EQ(config->restart_after, seconds(9));
  EXPECT_EQ(config->duration, milliseconds(0));
  EXPECT_EQ(config->test_duration, seconds(300));
  EXPECT_EQ(config->pods, 8);
  EXPECT_EQ(config->pod_name, "scheduler-1");
  EXPECT_TRUE(config->is_leader);
  EXPECT_EQ(config->postgres.Url(), "postgresql://u:p@db:6000/d");
  EXPECT_EQ(config->redis.Url(), "redis://:q@r:6380/3");
  EXPECT_EQ(config->witness_dir, "/w");
  EXPECT_EQ(config->ready_file, "/r");
  EXPECT_EQ(config->pids_file, "/p");
}

TEST(Config, NamesEachBadValueInALineOfItsOwn) {
  EXPECT_THAT(ErrorsOf({{"JOB_COUNT", "abc"}}),
              ElementsAre("JOB_COUNT must be a whole number from 1 to 1000000, not \"abc\""));
  EXPECT_THAT(ErrorsOf({{"JOB_COUNT", "0"}, {"PODS", "65"}}),
              ElementsAre("JOB_COUNT must be a whole number from 1 to 1000000, not \"0\"",
                          "PODS must be a whole number from 1 to 64, not \"65\""));
}

TEST(Config, RefusesWhatIsNoWholeNumberInRange) {
  for (const char* name : {"JOB_COUNT", "JOB_INTERVAL_MS", "JOB_DURATION_MS", "TEST_DURATION_SEC", "PODS",
                           "POSTGRES_PORT", "REDIS_PORT", "REDIS_DB"}) {
    for (const char* value : {"-1", "1.5", "1e3", " 1", "1 ", "+1", "0x10", "99999999999999999999", "one"}) {
      EXPECT_EQ(ErrorsOf({{name, value}}).size(), 1U) << name << "=" << value;
    }
    EXPECT_THAT(ErrorsOf({{name, "1"}}), IsEmpty()) << name;
  }
  for (const char* name : {"JOB_COUNT", "JOB_INTERVAL_MS", "TEST_DURATION_SEC", "PODS", "POSTGRES_PORT"}) {
    EXPECT_EQ(ErrorsOf({{name, "0"}}).size(), 1U) << name;
  }
  EXPECT_THAT(ErrorsOf({{"JOB_COUNT", "1000000"}}), IsEmpty());
  EXPECT_EQ(ErrorsOf({{"JOB_COUNT", "1000001"}}).size(), 1U);
}

TEST(Config, CountsAnEmptyValueAsNotSet) {
  auto config = Read({{"JOB_COUNT", ""}, {"IS_LEADER", ""}, {"STORE", ""}, {"POSTGRES_HOST", ""}});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->job_count, 100);
  EXPECT_EQ(config->postgres.host, "localhost");
}

TEST(Config, KnowsTheStores) {
  const std::map<std::string, std::string> servers = {
      {"POSTGRES_HOST", "p"}, {"REDIS_HOST", "r"}, {"SQLITE_PATH", "/data/jobs.db"}};
  const auto urls = [&](const std::string& store) {
    auto variables = servers;
    variables["STORE"] = store;
    const auto config = Read(variables);
    EXPECT_TRUE(config) << store;
    return config ? std::pair(config->StoreUrl(), config->LocksUrl()) : std::pair<std::string, std::string>();
  };
  EXPECT_EQ(urls("postgresql"), std::pair("postgresql://postgres@p:5432/postgres"s, "redis://r:6379/0"s));
  EXPECT_EQ(urls(""), urls("postgresql"));
  EXPECT_EQ(urls("redis"), std::pair("redis://r:6379/0"s, ""s));
  EXPECT_EQ(urls("sqlite"), std::pair("sqlite:/data/jobs.db"s, ""s));
  EXPECT_THAT(ErrorsOf({{"STORE", "oracle"}}),
              ElementsAre("STORE must be postgresql, redis or sqlite, not \"oracle\""));
}

TEST(Config, RefusesTwoDifferentDatabases) {
  EXPECT_EQ(ErrorsOf({{"POSTGRES_DB", "a"}, {"POSTGRES_DATABASE", "b"}}).size(), 1U);
  EXPECT_EQ(Read({{"POSTGRES_DB", "a"}, {"POSTGRES_DATABASE", "a"}})->postgres.database, "a");
  EXPECT_EQ(Read({{"POSTGRES_DB", "a"}})->postgres.database, "a");
  EXPECT_EQ(Read({{"POSTGRES_USER", "u"}})->postgres.database, "u");
}

TEST(Config, MakesALeaderOfAFollowerThatIsToldSo) {
  EXPECT_TRUE(Read({}, {.leader = true})->is_leader);
  EXPECT_TRUE(Read({{"IS_LEADER", "true"}})->is_leader);
  EXPECT_FALSE(Read({{"IS_LEADER", "false"}})->is_leader);
  EXPECT_THAT(ErrorsOf({{"IS_LEADER", "yes"}}), ElementsAre("IS_LEADER must be true or false, not \"yes\""));
}

TEST(Config, KeepsAnErrorOnOneLine) {
  EXPECT_THAT(ErrorsOf({{"JOB_COUNT", "1\n2"}}),
              ElementsAre("JOB_COUNT must be a whole number from 1 to 1000000, not \"1?2\""));
  EXPECT_EQ(ErrorsOf({{"POD_NAME", "a/b"}}).size(), 1U);
}

TEST(Config, EncodesWhatAUrlCannotHold) {
  PostgresTarget postgres{"db", 5432, "us er", "p@ss:w/rd%", "da?ta"};
  EXPECT_EQ(postgres.Url(), "postgresql://us%20er:p%40ss%3Aw%2Frd%25@db:5432/da%3Fta");
  EXPECT_EQ((RedisTarget{"::1", 6379, "me", "a b", 0}.Url()), "redis://me:a%20b@[::1]:6379/0");
  EXPECT_EQ((RedisTarget{}.Url()), "redis://localhost:6379/0");
}

TEST(Jobs, HaveIdsOfAtLeastFourDigits) {
  EXPECT_EQ(JobId(0), "job-0000");
  EXPECT_EQ(JobId(12345), "job-12345");
  for (int i : {0, 7, 9'999, 10'000, 999'999}) EXPECT_EQ(JobIndex(JobId(i)), i);
  for (const char* id : {"job-", "job-1", "job-00001", "jobs-0001", "job-00a1", "job--001", "job-0001 "}) {
    EXPECT_EQ(JobIndex(id), -1) << id;
  }
}

TEST(Jobs, HavePhasesSpreadEvenlyOverTheInterval) {
  EXPECT_EQ(JobPhase(0, 100, seconds(1)), milliseconds(0));
  EXPECT_EQ(JobPhase(99, 100, seconds(1)), milliseconds(990));
  EXPECT_EQ(JobPhase(1, 3, seconds(1)), Duration(333'333));
  EXPECT_EQ(JobPhase(2, 3, seconds(1)), Duration(666'666));
  const auto longest = std::chrono::weeks(520);  // index * interval would not fit
  EXPECT_LT(JobPhase(999'999, 1'000'000, longest), longest);
  EXPECT_GT(JobPhase(999'999, 1'000'000, longest), longest - std::chrono::hours(1));
}

}  // namespace
}  // namespace escapement::stress
