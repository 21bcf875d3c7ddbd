// Whole clusters of real processes, with real faults, judged by what the program itself reports as JSON.
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "servers/servers.h"

namespace escapement {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

// What a build with a sanitizer is allowed for being slow.
#ifdef ESCAPEMENT_SANITIZED
constexpr int kSlow = 3;
#else
constexpr int kSlow = 1;
#endif

constexpr int kJobs = 100;  // each once a second
constexpr int kSeconds = 20;
constexpr std::int64_t kMoveLimitUs = 8'000'000LL * kSlow;  // within which a dead pod's jobs run elsewhere

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// One `stress local` in a directory of its own, which must be empty again when it has ended.
class Cluster : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "cluster_test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    // The private PostgreSQL may run as another user, and must get to its files below.
    ASSERT_EQ(chmod(path.c_str(), 0711), 0);
    ASSERT_TRUE(std::filesystem::create_directory(path + "/tmp"));
    ASSERT_EQ(chmod((path + "/tmp").c_str(), 0711), 0);
  }

  void TearDown() override {
    if (HasFailure()) fmt::print(stderr, "What the program said:\n{}\n", ReadAll(directory_ + "/log"));
    local_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void Start(bool expect_faults, std::map<std::string, std::string> variables = {}) {
    ProcessOptions options;
    options.argv = {ESCAPEMENT_PROGRAM, "stress", "local", "--json", directory_ + "/report.json"};
    if (expect_faults) options.argv.push_back("--expect-faults");
    options.environment = std::move(variables);
    options.environment.insert({{"TMPDIR", directory_ + "/tmp"},
                                {"STRESS_PIDS_FILE", directory_ + "/pids"},
                                {"JOB_COUNT", std::to_string(kJobs)},
                                {"JOB_INTERVAL_MS", "1000"},
                                {"JOB_DURATION_MS", "200"},
                                {"TEST_DURATION_SEC", std::to_string(kSeconds)},
                                {"PODS", "4"},
                                {"STORE", ""}});
    options.output_file = directory_ + "/log";
    auto local = ChildProcess::Start(options);
    ASSERT_TRUE(local) << local.error().message;
    local_ = std::move(*local);
  }

  // What the pods' own files say was started so far; `pod` empty: by all of them.
  std::int64_t Starts(const std::string& pod = "") {
    std::int64_t lines = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(
             directory_ + "/tmp", std::filesystem::directory_options::skip_permission_denied, ignored)) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".starts") || !name.starts_with(pod.empty() ? pod : pod + ".")) continue;
      const std::string text = ReadAll(entry.path());
      lines += std::count(text.begin(), text.end(), '\n');
    }
    return lines;
  }

  // The test's own clock: that many seconds of it have passed when all pods together have started as many rounds.
  void WaitUntilSecond(int second, int points_a_second = kJobs) {
    const auto limit = Steady::now() + seconds(120);
    while (Starts() < std::int64_t{second} * points_a_second) {
      ASSERT_LT(Steady::now(), limit) << "only " << Starts() << " starts";
      ASSERT_FALSE(local_->Poll()) << "it has ended";
      std::this_thread::sleep_for(milliseconds(20));  // for lack of an event to wait for
    }
  }

  // A run of this pod has just begun, and will last for a while.
  void WaitUntilBusy(const std::string& pod) {
    const auto limit = Steady::now() + seconds(30);
    for (const auto before = Starts(pod); Starts(pod) == before;) {
      ASSERT_LT(Steady::now(), limit);
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  // `part`: "postgres", "redis", or a pod's name.
  void Send(const std::string& part, int signal) {
    const json pids = json::parse(ReadAll(directory_ + "/pids"));
    const pid_t pid = (pids.contains(part) ? pids : pids.at("pods")).at(part);
    ASSERT_GT(pid, 1);
    ASSERT_EQ(kill(pid, signal), 0) << part;
  }

  void Finish() {
    const auto status = local_->Wait(seconds(120));
    ASSERT_TRUE(status) << "it does not end";
    status_ = *status;
    const std::string text = ReadAll(directory_ + "/report.json");
    report_ = json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(report_.is_object()) << "no report: " << text;
    EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/tmp")) << "it left files behind";
    log_ = ReadAll(directory_ + "/log");
    EXPECT_THAT(log_, testing::Not(testing::HasSubstr("Sanitizer")));
    std::filesystem::remove(directory_ + "/pids");
    RecordProperty("report", report_.dump());
    fmt::print("  {} of {} executions, {} re-runs, {} later than 1 s, worst {:.3f} s, pods {}\n", Number("total"),
               Number("expected"), Number("reruns"), Number("late_over_1s"),
               static_cast<double>(Number("late_max_us")) / 1e6, report_["pods"].dump());
  }

  std::int64_t Number(const char* key) { return report_.at(key).get<std::int64_t>(); }

  // Every occurrence ran, and was settled, once; a second start was by an owner of a later fence.
  void ExpectExactlyOnce(int points_a_second = kJobs) {
    EXPECT_EQ(Number("expected"), points_a_second * report_["config"]["test_duration_s"].get<int>());
    EXPECT_EQ(Number("missing"), 0);
    EXPECT_EQ(Number("double"), 0);
    EXPECT_EQ(Number("duplicates"), 0);
    EXPECT_EQ(Number("missed_jobs"), 0);
    EXPECT_EQ(Number("total") - Number("reruns"), Number("expected"));
    EXPECT_EQ(report_["settled"], json({{"succeeded", Number("expected")}}));
  }

  // A server was away, and all pods lived through it.
  void ExpectServerFaultOnly() {
    EXPECT_THAT(log_, testing::HasSubstr("a server ended and is started again"));
    // PostgreSQL itself may need a second try: the killed one's last processes may still hold its shared memory.
    EXPECT_THAT(log_, testing::Not(testing::ContainsRegex("pod [^ ]+ ended with status")));
  }

  std::string directory_;
  std::unique_ptr<ChildProcess> local_;
  int status_ = -1;
  std::string log_;
  json report_;
};

TEST_F(Cluster, RunsEachOccurrenceOnceInFairShares) {
  constexpr int kShort = 12;
  Start(/*expect_faults=*/false, {{"TEST_DURATION_SEC", std::to_string(kShort)}, {"JOB_DURATION_MS", "50"}});
  ASSERT_NO_FATAL_FAILURE(Finish());
  EXPECT_EQ(status_, 0);
  EXPECT_EQ(report_["verdict"], "PASS");
  ExpectExactlyOnce();
  EXPECT_EQ(Number("expected"), kShort * kJobs);
  EXPECT_EQ(Number("reruns"), 0);
  EXPECT_EQ(report_["pods"].size(), 4U);
  for (const auto& [pod, count] : report_["pods"].items()) {
    const double share = count.get<double>() / static_cast<double>(Number("total"));
    EXPECT_GE(share, 0.22) << pod;
    EXPECT_LE(share, 0.28) << pod;
  }
}

TEST_F(Cluster, MovesTheJobsOfAKilledFollower) {
  Start(/*expect_faults=*/true);
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(6));
  ASSERT_NO_FATAL_FAILURE(WaitUntilBusy("scheduler-2"));
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-2", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectExactlyOnce();
  EXPECT_GE(Number("reruns"), 1);
  EXPECT_LE(Number("reruns"), kJobs / 4);  // what it had begun, and no more
  EXPECT_GT(Number("late_over_1s"), 0) << "the fault was no fault";
  EXPECT_LT(Number("late_max_us"), kMoveLimitUs);
}

TEST_F(Cluster, MovesTheJobsOfTheKilledLeader) {
  Start(/*expect_faults=*/true);
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(6));
  ASSERT_NO_FATAL_FAILURE(WaitUntilBusy("scheduler-leader"));
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-leader", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectExactlyOnce();
  EXPECT_GE(Number("reruns"), 1);
  EXPECT_LE(Number("reruns"), kJobs / 4);
  EXPECT_GT(Number("late_over_1s"), 0) << "the fault was no fault";
  EXPECT_LT(Number("late_max_us"), kMoveLimitUs);
}

TEST_F(Cluster, SeesNothingOfAFollowerThatIsToldToStop) {
  constexpr int kTest = 13;
  Start(/*expect_faults=*/false, {{"TEST_DURATION_SEC", std::to_string(kTest)}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(6));
  ASSERT_NO_FATAL_FAILURE(WaitUntilBusy("scheduler-3"));
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-3", SIGTERM));
  ASSERT_NO_FATAL_FAILURE(Finish());
  EXPECT_EQ(status_, 0);  // which it is only if the pod's own was
  ExpectExactlyOnce();
  EXPECT_EQ(Number("reruns"), 0);
  EXPECT_EQ(Number("late_over_1s"), 0);
  EXPECT_LT(report_["pods"]["scheduler-3"].get<int>(), kJobs * kTest / 5) << "it did not stop";
}

TEST_F(Cluster, RunsOnWithoutRedis) {
  Start(/*expect_faults=*/true, {{"STRESS_RESTART_AFTER_SEC", "10"}, {"TEST_DURATION_SEC", "18"}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(4));
  ASSERT_NO_FATAL_FAILURE(Send("redis", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectServerFaultOnly();
  ExpectExactlyOnce();
  EXPECT_EQ(Number("reruns"), 0);
  EXPECT_EQ(Number("late_over_1s"), 0);
}

TEST_F(Cluster, RunsOnWhileRedisIsFrozen) {
  constexpr int kFrozen = 8;
  Start(/*expect_faults=*/true, {{"TEST_DURATION_SEC", "14"}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(3));
  ASSERT_NO_FATAL_FAILURE(Send("redis", SIGSTOP));
  std::this_thread::sleep_for(seconds(kFrozen));
  ASSERT_NO_FATAL_FAILURE(Send("redis", SIGCONT));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectExactlyOnce();
  EXPECT_EQ(Number("reruns"), 0);
  EXPECT_EQ(Number("late_over_1s"), 0);
}

TEST_F(Cluster, LosesNothingWhenPostgresCrashes) {
  Start(/*expect_faults=*/true, {{"TEST_DURATION_SEC", "13"}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(4));
  ASSERT_NO_FATAL_FAILURE(Send("postgres", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectServerFaultOnly();
  ExpectExactlyOnce();
  EXPECT_LT(Number("late_max_us"), kMoveLimitUs);
}

// Longer than sessions live: nobody may start anything until the store has been heard again.
TEST_F(Cluster, CatchesUpAfterALongOutageOfPostgres) {
  constexpr int kAway = 8;
  Start(/*expect_faults=*/true, {{"STRESS_RESTART_AFTER_SEC", std::to_string(kAway)}, {"TEST_DURATION_SEC", "16"}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(3));
  ASSERT_NO_FATAL_FAILURE(Send("postgres", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectServerFaultOnly();
  ExpectExactlyOnce();
  EXPECT_GT(Number("late_over_1s"), 0) << "the fault was no fault";
  EXPECT_LT(Number("late_max_us"), kAway * 1'000'000LL + kMoveLimitUs);
}

TEST_F(Cluster, RefusesTheWorkOfAFrozenPodAndTakesItBack) {
  constexpr int kFrozen = 8;
  Start(/*expect_faults=*/true);
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(4));
  ASSERT_NO_FATAL_FAILURE(WaitUntilBusy("scheduler-1"));
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-1", SIGSTOP));
  const auto before = Starts("scheduler-1");
  EXPECT_GT(before, 0);
  std::this_thread::sleep_for(seconds(kFrozen));
  EXPECT_EQ(Starts("scheduler-1"), before);
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-1", SIGCONT));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectExactlyOnce();
  EXPECT_GT(Number("late_over_1s"), 0) << "the fault was no fault";
  // Its share of a second, at least: it has joined again.
  EXPECT_GT(report_["pods"]["scheduler-1"].get<std::int64_t>(), before + kJobs / 4);
}

// The stores that are no server of their own, or the lock service's, at a rate at which a pod dies with a thousand
// completions in its hands. (At a tenth of it where a sanitizer slows the pods down.)
class FastCluster : public Cluster, public testing::WithParamInterface<const char*> {};

TEST_P(FastCluster, LosesAndDoublesNothingOfAKilledFollower) {
#ifdef ESCAPEMENT_SANITIZED
  constexpr int kFastJobs = 500;
#else
  constexpr int kFastJobs = 5'000;
#endif
  constexpr int kPointsASecond = 2 * kFastJobs;
  Start(/*expect_faults=*/true, {{"STORE", GetParam()},
                                 {"JOB_COUNT", std::to_string(kFastJobs)},
                                 {"JOB_INTERVAL_MS", "500"},
                                 {"JOB_DURATION_MS", "50"},
                                 {"TEST_DURATION_SEC", "8"}});
  ASSERT_NO_FATAL_FAILURE(WaitUntilSecond(2, kPointsASecond));
  ASSERT_NO_FATAL_FAILURE(WaitUntilBusy("scheduler-2"));
  ASSERT_NO_FATAL_FAILURE(Send("scheduler-2", SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Finish());
  ExpectExactlyOnce(kPointsASecond);
  EXPECT_GE(Number("reruns"), 1);
  EXPECT_GT(Number("late_over_1s"), 0) << "the fault was no fault";
  EXPECT_EQ(report_["config"]["store"], GetParam());
}

INSTANTIATE_TEST_SUITE_P(Stores, FastCluster, testing::Values("redis", "sqlite"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace escapement
