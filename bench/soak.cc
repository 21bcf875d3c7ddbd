// Does a pod that runs for long grow?
//
// Four pods (processes) run no-op jobs of one second's interval on a private, durable store until so many executions
// are settled. Every few seconds each pod's resident memory, file descriptors and threads are read from /proc, and the
// connections to the servers from the kernel's table. The rule, by quarters of the run by time, of which the first is
// the warm-up: from the second quarter to the last
//   - the median of each pod's resident memory grows by no more than 2 % and 1 MiB,
//   - the medians of each pod's descriptors and threads, and of all connections, do not grow,
// and every occurrence was settled once.
//
//   escapement_soak [--executions N] [--store postgresql|redis|sqlite] [--rate N] [--pods N] [--directory DIR]
// Exit status: 0 flat, 1 not, 2 wrong input.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "bench/must.h"
#include "escapement/escapement.h"
#include "servers/servers.h"

namespace escapement {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

struct Options {
  std::int64_t executions = 10'000'000;
  std::string store = "postgresql";
  std::int64_t rate = 10'000;  // jobs, and executions a second
  std::int64_t pods = 4;
  std::string directory;  // of the store's files; empty: the system's temporary directory
};

// --- a pod: a process of its own, until it is told to stop. Tells how much it has committed.

int RunPod() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  SchedulerOptions options;
  options.store_url = std::getenv("SOAK_STORE");
  options.locks_url = std::getenv("SOAK_LOCKS");
  options.pod_name = std::getenv("SOAK_POD");
  options.max_running = 100'000;
  const int counts = open(std::getenv("SOAK_COUNTS"), O_WRONLY | O_CLOEXEC);
  auto scheduler = Must(Scheduler::Open(options));
  scheduler->HandleAsync("noop", [](const RunContext&, const Done& done) { done({}); });
  Must(scheduler->Start());
  const timespec pause{1, 0};
  while (sigtimedwait(&stop, nullptr, &pause) < 0) {
    const std::uint64_t committed = scheduler->Counters().committed;
    const off_t place = static_cast<off_t>(sizeof committed) * WholeNumber(std::getenv("SOAK_INDEX"));
    if (pwrite(counts, &committed, sizeof committed, place) != sizeof committed) Die("cannot tell the count");
  }
  (void)scheduler->Stop(seconds(5));
  return 0;
}

// --- samples

struct Use {
  std::int64_t rss_kib = 0, descriptors = 0, threads = 0;
};

struct Sample {
  double at = 0;  // seconds
  std::int64_t committed = 0;
  std::vector<Use> pods;
  std::int64_t connections = 0;  // of all pods and the client to the servers
};

Use UseOf(pid_t pid) {
  Use use;
  const std::string process = fmt::format("/proc/{}", pid);
  std::ifstream status(process + "/status");
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") status >> use.rss_kib;
    if (word == "Threads:") status >> use.threads;
  }
  std::error_code error;
  use.descriptors = std::distance(fs::directory_iterator(process + "/fd", error), fs::directory_iterator());
  if (error || use.rss_kib == 0) Die(fmt::format("the pod {} is gone", pid));
  return use;
}

// Established connections to these ports, as the servers have them.
std::int64_t ConnectionsTo(const std::vector<int>& ports) {
  std::int64_t count = 0;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);  // titles
  while (std::getline(table, line)) {
    unsigned slot = 0, address = 0, port = 0, other = 0, other_port = 0, state = 0;
    if (std::sscanf(line.c_str(), "%u: %x:%x %x:%x %x", &slot, &address, &port, &other, &other_port, &state) != 6)
      continue;
    constexpr unsigned kEstablished = 1;
    if (state == kEstablished && std::find(ports.begin(), ports.end(), static_cast<int>(port)) != ports.end()) ++count;
  }
  return count;
}

std::int64_t Median(std::vector<std::int64_t> values) {
  if (values.empty()) Die("too few samples to judge: more executions are needed");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Judge {
 public:
  explicit Judge(const std::vector<Sample>& samples) : samples_(samples) {}

  // True when the figure is as flat as it must be.
  template <typename Figure>
  bool Flat(const std::string& what, std::int64_t slack_percent, std::int64_t slack, const Figure& figure) const {
    const std::int64_t before = MedianOf(2, figure);
    const std::int64_t after = MedianOf(4, figure);
    const bool flat = after <= before + before * slack_percent / 100 + slack;
    fmt::print("{:<28} second quarter {:>8}   last quarter {:>8}   {}\n", what, before, after, flat ? "flat" : "GROWS");
    return flat;
  }

 private:
  template <typename Figure>
  std::int64_t MedianOf(int quarter, const Figure& figure) const {
    const double whole = samples_.back().at;
    std::vector<std::int64_t> values;
    for (const Sample& sample : samples_) {
      if (sample.at >= whole * (quarter - 1) / 4 && sample.at <= whole * quarter / 4) values.push_back(figure(sample));
    }
    return Median(std::move(values));
  }
  const std::vector<Sample>& samples_;
};

Options Read(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--help") {
      fmt::print(
          "escapement_soak [--executions N] [--store postgresql|redis|sqlite] [--rate N] [--pods N] "
          "[--directory DIR]\n");
      std::exit(0);
    }
    if (i + 1 == argc) Die(fmt::format("unknown option or missing value: {}", flag));
    const std::string value = argv[++i];
    if (flag == "--executions") {
      o.executions = WholeNumber(value);
    } else if (flag == "--rate") {
      o.rate = WholeNumber(value);
    } else if (flag == "--pods") {
      o.pods = WholeNumber(value);
    } else if (flag == "--store") {
      o.store = value;
    } else if (flag == "--directory") {
      o.directory = value;
    } else {
      Die(fmt::format("unknown option {}: expected --executions, --store, --rate, --pods or --directory", flag));
    }
  }
  if (o.store != "postgresql" && o.store != "redis" && o.store != "sqlite") {
    Die(fmt::format("--store must be postgresql, redis or sqlite, not '{}'", o.store));
  }
  if (o.rate > 1'000'000 || o.pods > 64) Die("--rate must be at most 1000000, --pods at most 64");
  if (o.executions < 20 * o.rate) Die("--executions must be at least 20 times the rate: there must be quarters");
  return o;
}

// A directory of its own for the counts and for SQLite's file.
class Directory {
 public:
  explicit Directory(const std::string& parent) {
    path_ = (parent.empty() ? fs::temp_directory_path() : fs::path(parent)) / "escapement-soak-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) Die(fmt::format("cannot make a directory: {}", std::strerror(errno)));
  }
  ~Directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string path(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::int64_t Committed(const std::string& counts) {
  std::int64_t total = 0;
  std::ifstream file(counts, std::ios::binary);
  for (std::int64_t count = 0; file.read(reinterpret_cast<char*>(&count), sizeof count);) total += count;
  return total;
}

// What the store says of all jobs.
std::int64_t Settled(Scheduler& client) {
  std::int64_t settled = 0;
  JobFilter filter{.limit = 1000};
  for (;;) {
    const auto page = Must(client.List(filter));
    if (page.empty()) return settled;
    for (const JobInfo& job : page) settled += job.settled_total;
    filter.after_id = page.back().definition.id;
  }
}

int Main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--pod") == 0) return RunPod();
  const Options o = Read(argc, argv);
  const Directory directory(o.directory);
  const PrivateServerOptions server{.directory = o.directory, .settings = {}};
  std::vector<std::unique_ptr<PrivateServer>> servers;
  std::string store_url = "sqlite:" + directory.path("soak.db"), locks_url;
  if (o.store == "postgresql") {
    servers.push_back(Must(PrivateServer::Postgres(server)));
    store_url = servers.back()->url();
  }
  if (o.store != "sqlite") {
    servers.push_back(Must(PrivateServer::Redis(server)));
    (o.store == "redis" ? store_url : locks_url) = servers.back()->url();
  }
  std::vector<int> ports;
  for (const auto& s : servers) ports.push_back(s->port());
  auto client = Must(Scheduler::Open({.store_url = store_url, .locks_url = locks_url, .pod_name = "client"}));
  Must(client->Migrate());

  const std::string counts = directory.path("counts");
  std::ofstream(counts).close();
  std::vector<std::unique_ptr<ChildProcess>> pods;
  for (std::int64_t i = 0; i < o.pods; ++i) {
    pods.push_back(Must(ChildProcess::Start({.argv = {"/proc/self/exe", "--pod"},
                                             .environment = {{"SOAK_STORE", store_url},
                                                             {"SOAK_LOCKS", locks_url},
                                                             {"SOAK_POD", fmt::format("pod-{}", i + 1)},
                                                             {"SOAK_INDEX", fmt::format("{}", i + 1)},
                                                             {"SOAK_COUNTS", counts}}})));
  }
  while (Must(client->Pods()).size() < pods.size()) std::this_thread::sleep_for(std::chrono::milliseconds(100));

  // Every point is run, however late: the store must settle all of them.
  const std::int64_t points = (o.executions + o.rate - 1) / o.rate;
  const std::int64_t expected = points * o.rate;
  const Instant start = std::chrono::ceil<seconds>(Must(client->StoreTime()) + seconds(4 + o.rate / 2000));
  std::vector<JobDefinition> batch;
  for (std::int64_t i = 0; i < o.rate; ++i) {
    auto schedule = Must(Schedule::Every({.interval = seconds(1),
                                          .anchor = start,
                                          .phase = Duration(1'000'000 * i / o.rate),
                                          .end = start + seconds(points)}));
    batch.push_back(
        {.id = fmt::format("soak-{:06}", i), .schedule = schedule, .task = "noop", .late = LatePolicy::kRunAll});
    if (batch.size() == 500 || i + 1 == o.rate) {
      (void)Must(client->Enqueue(batch));
      batch.clear();
    }
  }

  const auto began = std::chrono::steady_clock::now();
  const auto every = std::clamp(seconds(points / 100), seconds(1), seconds(5));
  std::vector<Sample> samples;
  std::int64_t last = 0;
  auto progressed = began;
  fmt::print("{} executions on {}, {} pods, {} a second\n{:>7} {:>12} {:>10} {:>7} {:>7} {:>11}\n", expected, o.store,
             o.pods, o.rate, "seconds", "executions", "RSS KiB", "fds", "threads", "connections");
  for (;;) {
    std::this_thread::sleep_for(every);
    const auto now = std::chrono::steady_clock::now();
    Sample sample{.at = std::chrono::duration<double>(now - began).count(), .committed = Committed(counts), .pods = {}};
    for (const auto& pod : pods) sample.pods.push_back(UseOf(pod->pid()));
    sample.connections = ConnectionsTo(ports);
    if (sample.committed > last) progressed = now;
    if (last == 0 && sample.committed == 0) continue;  // the jobs have not begun
    last = sample.committed;
    if (last >= expected) break;  // from here on the pods are idle
    samples.push_back(sample);
    if (samples.size() % 12 == 1) {
      Use sum;
      for (const Use& use : sample.pods) {
        sum.rss_kib += use.rss_kib;
        sum.descriptors += use.descriptors;
        sum.threads += use.threads;
      }
      fmt::print("{:>7.0f} {:>12} {:>10} {:>7} {:>7} {:>11}\n", sample.at, sample.committed, sum.rss_kib,
                 sum.descriptors, sum.threads, sample.connections);
      std::fflush(stdout);
    }
    if (now - progressed > seconds(120)) Die("nothing was settled for two minutes");
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const std::int64_t settled = Settled(*client);
  for (const auto& pod : pods) pod->Signal(SIGTERM);
  for (const auto& pod : pods) (void)pod->Wait(seconds(20));

  const double first = samples.front().at;
  for (Sample& sample : samples) sample.at -= first;
  const Judge judge(samples);
  bool flat = true;
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const auto name = [&](const char* what) { return fmt::format("pod {}: {}", i + 1, what); };
    flat = judge.Flat(name("resident KiB"), 2, 1024, [&](const Sample& s) { return s.pods[i].rss_kib; }) && flat;
    flat = judge.Flat(name("descriptors"), 0, 0, [&](const Sample& s) { return s.pods[i].descriptors; }) && flat;
    flat = judge.Flat(name("threads"), 0, 0, [&](const Sample& s) { return s.pods[i].threads; }) && flat;
  }
  if (!ports.empty()) flat = judge.Flat("connections", 0, 0, [](const Sample& s) { return s.connections; }) && flat;
  fmt::print("settled {} of {} in {:.0f} s ({:.0f} a second): {}\n", settled, expected, took,
             static_cast<double>(settled) / took, settled == expected ? "every occurrence once" : "NOT EXACT");
  fmt::print("verdict: {}\n", flat && settled == expected ? "flat" : "NOT FLAT");
  return flat && settled == expected ? 0 : 1;
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) { return escapement::Main(argc, argv); }
