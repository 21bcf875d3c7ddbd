#include "stress/local.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "escapement/scheduler.h"
#include "servers/servers.h"
#include "stress/analyzer.h"
#include "stress/stop_signal.h"
#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kDefaultPods = 4;
constexpr auto kPodsStop = seconds(15);  // 5 s of grace, and the witness's flush
constexpr std::size_t kLogTailLines = 20;

// Only a directory of this process, removed with all that is in it.
class PrivateDirectory {
 public:
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty() && !keep_) std::filesystem::remove_all(path_, ignored);
  }
  bool Make(bool keep) {
    keep_ = keep;
    std::error_code ignored;
    std::string path = (std::filesystem::temp_directory_path(ignored) / "escapement-stress-XXXXXX").string();
    if (!mkdtemp(path.data())) return false;
    path_ = path;
    return std::filesystem::create_directory(path_ + "/witness", ignored);
  }
  void Drop() { keep_ = false; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool keep_ = false;
};

struct PodProcess {
  std::string name;
  std::string log;
  std::unique_ptr<ChildProcess> process;
  std::optional<int> status;
};

std::string LogTail(const std::string& path) {
  std::ifstream file(path);
  std::deque<std::string> lines;
  std::string line;
  while (std::getline(file, line)) {
    lines.push_back("\n    " + line);
    if (lines.size() > kLogTailLines) lines.pop_front();
  }
  std::string tail;
  for (const auto& each : lines) tail += each;
  return tail.empty() ? "\n    (nothing)" : tail;
}

// A process that a fault killed, even if nobody has reaped it.
bool HasEnded(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (pid <= 0 || !std::getline(file, text)) return true;
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= text.size() || text[name_end + 2] == 'Z';
}

class LocalTest {
 public:
  explicit LocalTest(StressConfig config)
      : config_(std::move(config)), pod_count_(config_.pods.value_or(kDefaultPods)), stop_(/*block=*/false) {}

  int Run() {
    const int status = RunToTheEnd();
    const bool ended = Ended(status);
    StopPods();
    if (config_.flags.keep && ended) {
      SayWhatIsKept();
    } else if (config_.flags.keep) {  // stopped or failed: nothing of use is left running
      if (postgres_ && !postgres_->Stop()) Complain("PostgreSQL did not stop");
      if (redis_ && !redis_->Stop()) Complain("Redis did not stop");
      directory_.Drop();
    }
    return status;
  }

 private:
  static bool Ended(int status) { return status == 0 || status == 1; }

  int RunToTheEnd() {
    if (!StartServers()) return stop_.received() ? 128 + stop_.received() : 2;
    if (stop_.received()) return 128 + stop_.received();
    if (!StartPods()) return 2;
    const int watched = WatchPods();
    ClearProgress();
    if (watched != 0) return watched;
    return RunAnalyze(config_);
  }

  void Complain(const std::string& message) {
    ClearProgress();
    fmt::print(stderr, "escapement: {}\n", message);
  }

  bool StartServers() {
    if (!directory_.Make(config_.flags.keep)) {
      Complain("no private directory can be made in the system's temporary directory");
      return false;
    }
    if (!config_.flags.no_witness) config_.witness_dir = directory_.path() + "/witness";
    config_.sqlite_path = directory_.path() + "/stress.db";
    if (config_.store == StoreKind::kPostgresql && !StartPostgres()) return false;
    if (config_.store != StoreKind::kSqlite && !StartRedis()) return false;

    SchedulerOptions client;
    client.store_url = config_.StoreUrl();
    client.pod_name = "stress-local";
    auto scheduler = Scheduler::Open(client);
    if (!scheduler) return Complain(scheduler.error().message), false;
    if (auto migrated = (*scheduler)->Migrate(); !migrated) return Complain(migrated.error().message), false;
    return true;
  }

  bool StartPostgres() {
    Progress("starting PostgreSQL");
    PrivateServerOptions options;
    options.keep = config_.flags.keep;
    // A connection for claims, commits, heartbeats and questions of each pod, and the witness's.
    options.settings = {fmt::format("max_connections={}", 20 + 10 * pod_count_)};
    auto postgres = PrivateServer::Postgres(options);
    if (!postgres) return Complain(postgres.error().message), false;
    postgres_ = std::move(*postgres);
    config_.postgres = {postgres_->host(), postgres_->port(), postgres_->user(), postgres_->password(),
                        postgres_->database()};
    return true;
  }

  bool StartRedis() {
    Progress("starting Redis");
    PrivateServerOptions options;
    options.keep = config_.flags.keep;
    if (config_.store == StoreKind::kRedis) options.settings = {"appendonly yes", "appendfsync everysec"};
    auto redis = PrivateServer::Redis(options);
    if (!redis) return Complain(redis.error().message), false;
    redis_ = std::move(*redis);
    config_.redis = {redis_->host(), redis_->port(), redis_->user(), redis_->password(), 0};
    return true;
  }

  bool StartPods() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return Complain("/proc/self/exe: " + error.message()), false;
    std::map<std::string, std::string> environment = {
        {"STORE", std::string(StoreWord(config_.store))},
        {"JOB_COUNT", std::to_string(config_.job_count)},
        {"JOB_INTERVAL_MS", std::to_string(config_.interval / milliseconds(1))},
        {"JOB_DURATION_MS", std::to_string(config_.duration / milliseconds(1))},
        {"TEST_DURATION_SEC", std::to_string(config_.test_duration.count())},
        {"PODS", std::to_string(pod_count_)},
        {"POSTGRES_HOST", config_.postgres.host},
        {"POSTGRES_PORT", std::to_string(config_.postgres.port)},
        {"POSTGRES_USER", config_.postgres.user},
        {"POSTGRES_PASSWORD", config_.postgres.password},
        {"POSTGRES_DB", config_.postgres.database},
        {"POSTGRES_DATABASE", ""},
        {"REDIS_HOST", config_.redis.host},
        {"REDIS_PORT", std::to_string(config_.redis.port)},
        {"REDIS_USER", config_.redis.user},
        {"REDIS_PASSWORD", config_.redis.password},
        {"REDIS_DB", "0"},
        {"SQLITE_PATH", config_.sqlite_path},
        {"IS_LEADER", "false"},
        {"STRESS_WITNESS_DIR", config_.witness_dir},
        {"STRESS_READY_FILE", ""},
        {"STRESS_PIDS_FILE", ""},
    };
    for (int i = 0; i < pod_count_; ++i) {
      PodProcess pod;
      pod.name = i == 0 ? "scheduler-leader" : fmt::format("scheduler-{}", i);
      pod.log = fmt::format("{}/{}.log", directory_.path(), pod.name);
      environment["POD_NAME"] = pod.name;
      ProcessOptions options;
      options.argv = {self.string(), "stress", i == 0 ? "leader" : "follower"};
      if (i == 0 && config_.flags.burst) options.argv.push_back("--burst");
      if (config_.flags.no_witness) options.argv.push_back("--no-witness");
      options.environment = environment;
      options.output_file = pod.log;
      auto process = ChildProcess::Start(options);
      if (!process) return Complain(process.error().message), false;
      pod.process = std::move(*process);
      pods_.push_back(std::move(pod));
    }
    return WritePids();
  }

  bool WritePids() {
    if (config_.pids_file.empty()) return true;
    nlohmann::ordered_json pids;
    if (postgres_) pids["postgres"] = postgres_->pid();
    if (redis_) pids["redis"] = redis_->pid();
    for (const auto& pod : pods_) pids["pods"][pod.name] = pod.process->pid();
    // Whoever waits for the file must never read half of it.
    const std::string half = config_.pids_file + ".new";
    std::ofstream file(half, std::ios::trunc);
    file << pids.dump(2) << '\n';
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(half, config_.pids_file, error);
    if (!file || error) return Complain(config_.pids_file + " cannot be written"), false;
    return true;
  }

  // 0 when all pods have ended and there is a test to judge; otherwise the exit status.
  int WatchPods() {
    // Servers, membership, creation of jobs, draining and flushing each have their own limits in the pods.
    const auto limit = Steady::now() + config_.test_duration + seconds(300 + config_.job_count / 2000);
    auto next_look = Steady::now();
    for (;;) {
      if (const int signal = stop_.Wait(milliseconds(100))) return 128 + signal;
      std::size_t running = 0;
      for (auto& pod : pods_) {
        if (pod.status) continue;
        pod.status = pod.process->Poll();
        if (!pod.status) {
          ++running;
        } else if (*pod.status != 0) {
          Complain(fmt::format("pod {} ended with status {}; the end of its log:{}", pod.name, *pod.status,
                               LogTail(pod.log)));
          if (!config_.flags.expect_faults) return 1;
          if (&pod == &pods_.front() && !TestBegan()) return 1;  // nobody is left to create the jobs
        }
      }
      if (running == 0) return RelayLogs();
      if (Steady::now() >= limit) {
        Complain(fmt::format("{} pods have not ended in time", running));
        return 1;
      }
      if (Steady::now() < next_look) continue;
      next_look = Steady::now() + seconds(1);
      if (config_.flags.expect_faults) ReviveServers();
      if (terminal_) ShowProgress();
    }
  }

  // What pods had to say although they ended well: the reader of the report should know.
  int RelayLogs() {
    for (const auto& pod : pods_) {
      std::error_code error;
      const auto size = std::filesystem::file_size(pod.log, error);
      if (*pod.status == 0 && !error && size > 0) {
        Complain(fmt::format("pod {} said:{}", pod.name, LogTail(pod.log)));
      }
    }
    return 0;
  }

  // A server that a test killed is started again, with the same port and files, after as long as was asked for.
  void ReviveServers() {
    bool revived = false;
    for (PrivateServer* server : {postgres_.get(), redis_.get()}) {
      if (server == nullptr || !HasEnded(server->pid())) continue;
      const auto seen_dead = dead_since_.try_emplace(server, Steady::now()).first->second;
      if (Steady::now() - seen_dead < config_.restart_after) continue;
      Complain("a server ended and is started again");
      if (auto stopped = server->Stop(/*immediately=*/true); !stopped) Complain(stopped.error().message);
      if (auto started = server->Start(); !started) {
        Complain(started.error().message);  // tried again a second later
      } else {
        revived = true;
        dead_since_.erase(server);
      }
    }
    if (revived) WritePids();
  }

  bool TestBegan() {
    auto record = WitnessStore::Open(config_);
    if (!record) return false;
    const auto values = (*record)->ReadConfig();
    return values && values->contains("test_end");
  }

  void ShowProgress() {
    if (!record_) {
      auto record = WitnessStore::Open(config_);
      if (!record) return;
      record_ = std::move(*record);
    }
    const auto values = record_->ReadConfig();
    const auto start = values ? values->find("test_start") : TestConfig::const_iterator();
    if (!values || start == values->end()) {
      if (!values && values.error().code != Code::kNotFound) record_.reset();
      return Progress("starting the pods");
    }
    const auto now = record_->Now();
    const auto executions = record_->Count();
    if (!now || !executions) return record_.reset();
    const double elapsed = static_cast<double>(ToMicros(*now)) / 1e6 - std::strtod(start->second.c_str(), nullptr);
    if (elapsed < 0) return Progress("the test begins");
    Progress(fmt::format("{:.0f} s of {} s: {} executions, {:.1f} a second", elapsed, config_.test_duration.count(),
                         *executions, elapsed > 0 ? static_cast<double>(*executions) / elapsed : 0));
  }

  void Progress(const std::string& text) {
    if (terminal_) fmt::print(stderr, "\r\033[K{}", text);
  }
  void ClearProgress() { Progress(""); }

  void StopPods() {
    for (auto& pod : pods_) {
      pod.process->Signal(SIGTERM);
      pod.process->Signal(SIGCONT);  // one that a test froze could not stop
    }
    const auto limit = Steady::now() + kPodsStop;
    for (auto& pod : pods_) {
      const auto left = std::chrono::duration_cast<Duration>(limit - Steady::now());
      pod.process->Wait(std::max(left, Duration(0)));  // its destructor kills the rest
    }
    pods_.clear();
  }

  void SayWhatIsKept() {
    std::string text = "Kept, with passwords:\n";
    std::string pids, directories;
    for (const PrivateServer* server : {postgres_.get(), redis_.get()}) {
      if (server == nullptr) continue;
      text += fmt::format("  {}: {}\n", server == redis_.get() ? "Redis" : "PostgreSQL", server->url());
      pids += fmt::format(" {}", server->pid());
      directories += " " + server->directory();
    }
    text += fmt::format("  Files: {}\n", directory_.path());
    if (!pids.empty()) text += fmt::format("Stop the servers by: kill{}\n", pids);
    fmt::print(stderr, "{}Remove: {}{}\n", text, directory_.path(), directories);
  }

  StressConfig config_;
  const int pod_count_;
  StopSignal stop_;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  // In this order: pods are gone before their servers.
  PrivateDirectory directory_;
  std::unique_ptr<PrivateServer> postgres_;
  std::unique_ptr<PrivateServer> redis_;
  std::map<PrivateServer*, Steady::time_point> dead_since_;
  std::unique_ptr<WitnessStore> record_;  // for the progress
  std::vector<PodProcess> pods_;
};

}  // namespace

int RunLocal(const StressConfig& config) {
  signal(SIGPIPE, SIG_IGN);  // a server that goes away is an error to report, not the end of the test
  return LocalTest(config).Run();
}

}  // namespace escapement::stress
