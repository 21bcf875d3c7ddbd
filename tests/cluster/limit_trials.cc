// Do limits hold while pods are killed? Pods are processes; their tasks themselves write when they begin and end, one
// line each, to a file that all append to, so that the order of the lines is the order of what happened.
//
// Four pods run jobs that are always due: one set behind a mutex, one behind a limit of three, one behind a rate, and
// one free, which tells whether the others hold it up. Now and then a pod is killed (SIGKILL) and another takes its
// place. A dead pod's tasks count as running until it is surely dead. Each of the stores and lock services is tried,
// and, as a control, the same jobs without any limit, of which the witness must see too many at once.
//
//   limit_trials [--seconds N] [--seed N]
//
// Exit status 1: more ran at once than a limit allows, more began than a rate allows, a key of which nothing ran any
// more after the last kill, or a control that shows nothing.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "escapement/escapement.h"
#include "servers/servers.h"
#include "time/clock.h"
#include "trials.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

constexpr Duration kTtl = seconds(1);  // a slot is leased for twice as long
constexpr Duration kHeartbeat = milliseconds(250);
constexpr auto kPatience = seconds(60);
constexpr auto kKillPause = milliseconds(1'500);
constexpr int kPods = 4;
constexpr int kJobs = 8;  // of each set
constexpr int kThree = 3;
constexpr int kStarts = 10;
constexpr Duration kPer = seconds(1);
constexpr const char* kTask = "witness";

// ---------------------------------------------------------------- the witness

class Witness {
 public:
  explicit Witness(const std::string& path)
      : file_(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_ < 0) Die("cannot write " + path);
  }
  ~Witness() { close(file_); }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  void Write(const std::string& line) const {
    if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) Die("cannot write to the witness");
  }
  // The set, the pod and the run; when it is by the clock that all processes share.
  void Begin(const std::string& set, const std::string& run) const {
    Write(fmt::format("begin {} {} {} {}\n", set, getpid(), run, BootClock::now().time_since_epoch().count()));
  }
  void End(const std::string& set, const std::string& run) const {
    Write(fmt::format("end {} {} {} 0\n", set, getpid(), run));
  }
  void Dead(pid_t pid) const {
    Write(fmt::format("dead - {} - {}\n", pid, BootClock::now().time_since_epoch().count()));
  }

 private:
  const int file_;
};

struct Counts {
  std::map<std::string, std::int64_t> runs;
  std::map<std::string, std::size_t> most;  // at once
  std::map<std::string, std::int64_t> after_the_last_kill;
  int most_begun = 0;       // of the rate's set, in any time of its length
  Duration longest_gap{0};  // until the mutex of a pod that died with it was somebody else's
  int kills = 0;
  int kills_of_a_holder = 0;
};

Counts Read(const std::string& path) {
  std::ifstream file(path);
  Counts counts;
  std::map<std::string, std::set<std::pair<pid_t, std::string>>> running;
  std::deque<std::int64_t> begun;
  std::int64_t died_holding = 0;
  std::string what, set, run;
  pid_t pid = 0;
  std::int64_t at = 0;
  while (file >> what >> set >> pid >> run >> at) {
    if (what == "dead") {
      ++counts.kills;
      counts.after_the_last_kill.clear();
      for (auto& [name, runs] : running) {
        const auto ended = std::erase_if(runs, [pid](const auto& r) { return r.first == pid; });
        if (name == "one" && ended > 0) ++counts.kills_of_a_holder, died_holding = at;
      }
    } else if (what == "end") {
      running[set].erase({pid, run});
    } else {
      running[set].insert({pid, run});
      ++counts.runs[set];
      ++counts.after_the_last_kill[set];
      counts.most[set] = std::max(counts.most[set], running[set].size());
      if (set == "one" && died_holding != 0) {
        counts.longest_gap = std::max(counts.longest_gap, Duration(at - std::exchange(died_holding, 0)));
      }
      if (set != "rate") continue;
      // A task tells late when it began if the machine is busy, and so seems nearer to the next: half of the time is
      // short enough to be sure.
      begun.push_back(at);
      while (begun.front() <= at - (kPer / 2).count()) begun.pop_front();
      counts.most_begun = std::max(counts.most_begun, static_cast<int>(begun.size()));
    }
  }
  return counts;
}

// ---------------------------------------------------------------- a pod

struct Place {
  std::string store, locks;
};

// Until it is killed.
[[noreturn]] void BePod(const Place& place, const std::string& name, const std::string& file) {
  const Witness witness(file);
  SchedulerOptions options;
  options.store_url = place.store;
  options.locks_url = place.locks;
  options.pod_name = name;
  options.session_ttl = kTtl;
  options.heartbeat = kHeartbeat;
  options.threads = 4 * kJobs;
  auto scheduler = Insist([&] { return Scheduler::Open(options); });
  scheduler->Handle(kTask, [&](const RunContext& run) -> Status {
    const std::string set = run.job->id.substr(0, run.job->id.find('-'));
    witness.Begin(set, run.Token());
    for (int i = 0; i < 8 && !run.cancelled.stop_requested(); ++i) std::this_thread::sleep_for(milliseconds(5));
    witness.End(set, run.Token());
    if (run.cancelled.stop_requested()) return Fail(Code::kUnavailable, "cancelled");
    return {};
  });
  Insist([&] { return scheduler->Start(); });
  for (;;) pause();
}

// ---------------------------------------------------------------- the trials

struct Options {
  int length = 60;  // seconds, of each place
  std::uint32_t seed = std::random_device()();
};

class Trial {
 public:
  Trial(Place place, const std::string& directory, const Options& options)
      : place_(std::move(place)),
        file_(directory + "/witness"),
        log_(directory + "/pods.log"),
        witness_(file_),
        options_(options),
        random_(options.seed) {}

  Counts Run(bool limited) {
    SchedulerOptions client;
    client.store_url = place_.store;
    client.locks_url = place_.locks;
    auto scheduler = Insist([&] { return Scheduler::Open(client); });
    Insist([&] { return scheduler->Migrate(); });
    Insist([&] { return scheduler->Enqueue(Jobs(limited)); });
    while (pods_.size() < kPods) StartPod();
    Await("all sets run", [&] { return Read(file_).runs.size() == 4; });
    const auto end = Steady::now() + seconds(options_.length);
    while (Steady::now() < end) {
      std::this_thread::sleep_for(kKillPause);
      if (limited) Kill();
    }
    // The last dead pod's slots are free again.
    Await("all sets run again", [&] { return Read(file_).after_the_last_kill.size() == 4; });
    pods_.clear();
    return Read(file_);
  }

 private:
  static std::vector<JobDefinition> Jobs(bool limited) {
    std::vector<JobDefinition> jobs;
    for (const std::string set : {"one", "three", "rate", "free"}) {
      for (int i = 0; i < kJobs; ++i) {
        jobs.push_back({.id = fmt::format("{}-{}", set, i),
                        .schedule = Must(Schedule::Every({.interval = milliseconds(100)})),
                        .task = kTask});
        JobDefinition& job = jobs.back();
        job.lost_limit = 10'000;
        if (!limited) continue;
        if (set == "one") job.limits = {{.key = "one", .slots = 1}};
        if (set == "three") job.limits = {{.key = "three", .slots = kThree}};
        if (set == "rate") job.rates = {{.key = "rate", .starts = kStarts, .per = kPer}};
      }
    }
    return jobs;
  }

  void StartPod() {
    const std::string name = fmt::format("pod-{}", ++named_);
    pods_.push_back(Must(ChildProcess::Start(
        {.argv = {"/proc/self/exe", "pod", place_.store, place_.locks, name, file_}, .output_file = log_})));
  }

  void Kill() {
    const std::size_t victim = std::uniform_int_distribution<std::size_t>(0, pods_.size() - 1)(random_);
    const pid_t pid = pods_[victim]->pid();
    pods_.erase(pods_.begin() + static_cast<std::ptrdiff_t>(victim));  // SIGKILL, and reaped
    witness_.Dead(pid);
    StartPod();
  }

  template <typename ComeTrue>
  void Await(const char* what, const ComeTrue& come_true) {
    const auto limit = Steady::now() + kPatience;
    while (!come_true()) {
      if (Steady::now() > limit) {
        std::ostringstream said;
        said << std::ifstream(log_).rdbuf();
        Die(fmt::format("waited in vain until {}; the pods said:\n{}", what, said.str()));
      }
      std::this_thread::sleep_for(milliseconds(50));
    }
  }

  const Place place_;
  const std::string file_, log_;
  const Witness witness_;
  const Options options_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<ChildProcess>> pods_;
  int named_ = 0;
};

bool Try(const char* name, const Place& place, const std::string& directory, const Options& options, bool limited) {
  Counts c = Trial(place, directory, options).Run(limited);
  fmt::print("{:<20} {:>3} kills; at once: one {}, three {}, free {}; begun in {} ms: {} of {}; runs: {}, {}, {}, {}\n",
             name, c.kills, c.most["one"], c.most["three"], c.most["free"], kPer / 2 / milliseconds(1), c.most_begun,
             kStarts, c.runs["one"], c.runs["three"], c.runs["rate"], c.runs["free"]);
  if (c.kills_of_a_holder > 0) {
    fmt::print("{:<20} {:>3} died with the mutex; it was another's at most {} ms later\n", "", c.kills_of_a_holder,
               c.longest_gap / milliseconds(1));
  }
  std::fflush(stdout);
  const bool holds = c.most["one"] <= 1 && c.most["three"] <= kThree && c.most_begun <= kStarts;
  // A limit that never was reached shows nothing.
  const bool reached = c.most["three"] == kThree && c.most["free"] > 1;
  const bool exceeded = c.most["one"] > 1 && c.most["three"] > kThree && c.most_begun > kStarts;
  return limited ? holds && reached : exceeded;
}

int RunTrials(const Options& options) {
  auto redis = Must(PrivateServer::Redis());
  auto postgres = Must(PrivateServer::Postgres({.durable = false}));
  fmt::print("seed {}, TTL {} ms, {} pods, {} s each\n", options.seed, kTtl / milliseconds(1), kPods, options.length);
  const auto in = [&](const char* name) {
    const std::string directory = redis->directory() + "/" + name;
    if (mkdir(directory.c_str(), 0700) != 0) Die("cannot make " + directory);
    return directory;
  };
  const std::string first = in("1"), second = in("2"), third = in("3"), last = in("4");
  bool good = Try("postgresql + redis", {postgres->url(), redis->url()}, first, options, true);
  good = Try("sqlite", {"sqlite:" + second + "/jobs.db", ""}, second, options, true) && good;
  good = Try("redis", {redis->url(), ""}, third, options, true) && good;
  Options control = options;
  control.length = 3;
  good = Try("control: no limits", {"sqlite:" + last + "/jobs.db", ""}, last, control, false) && good;
  fmt::print("{}\n", good ? "as it must be" : "NOT as it must be");
  return good ? 0 : 1;
}

bool Read(const char* text, int least, int most, int* out) {
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || number < least || number > most) return false;
  *out = static_cast<int>(number);
  return true;
}

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 5 && words[0] == "pod") BePod({words[1], words[2]}, words[3], words[4]);
  Options options;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const char* value = i + 1 < words.size() ? words[i + 1].c_str() : "";
    int number = 0;
    if (words[i] == "--seconds" && Read(value, 1, 100'000, &number)) {
      options.length = number;
    } else if (words[i] == "--seed" && Read(value, 0, INT_MAX, &number)) {
      options.seed = static_cast<std::uint32_t>(number);
    } else {
      fmt::print(stderr, "usage: limit_trials [--seconds 1..100000] [--seed N]\n");
      return 2;
    }
  }
  return RunTrials(options);
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) { return escapement::Main(argc, argv); }
