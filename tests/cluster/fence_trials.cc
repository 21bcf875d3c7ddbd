// Do a task's writes refuse a stale pod? Pods are processes; their tasks take a while and then write one row each to a
// table of the jobs' own PostgreSQL, whatever they are told meanwhile: they ignore their cancellation.
//
//   none      the control: the task just writes
//   check     it calls escapement.check_fence before its COMMIT
//   complete  it calls escapement.complete
//
// In each round some hundred one-shot jobs are under way when a pod is stopped (SIGSTOP); it stays so until other pods,
// by whom it was declared dead, have run and settled all of its jobs; then it goes on (SIGCONT), and its tasks try
// their writes. Every such try is one trial. A stale effect is a row that was written after the row of a later fence.
// For `complete`, for twice as many occurrences, the moment is random, so that it may come between a task's COMMIT and
// its pod's commit, and every other pod is killed and replaced instead; each occurrence must have exactly one effect in
// the end.
//
//   fence_trials [--trials N] [--jobs N] [--seed N]
//
// Exit status 1: a stale effect with the fence, none without it, or an occurrence without exactly one effect.
#include <unistd.h>

#include <climits>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "escapement/escapement.h"
#include "postgres/connection.h"
#include "servers/servers.h"
#include "trials.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;
using postgres::Rows;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

constexpr Duration kTtl = milliseconds(300);
constexpr Duration kHeartbeat = milliseconds(100);
constexpr Duration kWork = milliseconds(300);
constexpr Duration kLinger = milliseconds(50);  // long, so that faults come between a task's COMMIT and its pod's
constexpr auto kPatience = seconds(120);
constexpr int kPods = 2;
constexpr const char* kTask = "write";

// ---------------------------------------------------------------- a pod

// `moments` orders what happens in the database.
constexpr const char* kTables =
    "CREATE SEQUENCE moments;"
    "CREATE TABLE trial_starts (pod text, run text PRIMARY KEY, job bigint, fence bigint);"
    "CREATE TABLE tries (moment bigint, run text PRIMARY KEY, job bigint, fence bigint, outcome text);"
    "CREATE TABLE effects (moment bigint DEFAULT nextval('moments'), run text, job bigint, fence bigint);"
    "CREATE INDEX ON effects (job)";
constexpr Query kStarts = {
    "starts",
    "INSERT INTO trial_starts SELECT $1, u.* FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS u "
    "ON CONFLICT DO NOTHING"};
constexpr Query kMoment = {"moment", "SELECT nextval('moments')"};
constexpr Query kEffect = {"effect", "INSERT INTO effects (run, job, fence) VALUES ($1, $2, $3)"};
constexpr Query kTry = {"try", "INSERT INTO tries VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"};

class Writer {
 public:
  Writer(std::string url, std::string pod, const std::string& mode)
      : db_(url, "task"), notes_(std::move(url), "notes"), pod_(std::move(pod)) {
    if (mode != "none")
      call_ = {"call", mode == "check" ? "SELECT escapement.check_fence($1)" : "SELECT escapement.complete($1)"};
  }

  void Begin(const RunContext& run, Done done) {
    const std::lock_guard lock(mutex_);
    begun_.push_back({run.Token(), run.job_key, run.fence, Steady::now() + kWork, std::move(done)});
    changed_.notify_all();
  }

  // Never returns.
  [[noreturn]] void Work() {
    std::deque<Run> under_way;
    for (;;) {
      std::vector<Run> begun;
      {
        std::unique_lock lock(mutex_);
        const auto something = [&] { return !begun_.empty(); };
        under_way.empty() ? changed_.wait(lock, something)
                          : void(changed_.wait_until(lock, under_way.front().ready, something));
        begun.swap(begun_);
      }
      Note(begun);
      std::move(begun.begin(), begun.end(), std::back_inserter(under_way));
      while (!under_way.empty() && under_way.front().ready <= Steady::now()) {
        Try(under_way.front());
        under_way.pop_front();
      }
    }
  }

 private:
  struct Run {
    std::string token;
    std::int64_t job = 0;
    std::int64_t fence = 0;
    Steady::time_point ready;
    Done done;
  };

  void Note(const std::vector<Run>& runs) {
    if (runs.empty()) return;
    const std::size_t n = runs.size();
    Params p;
    p.Add(pod_);
    p.AddArray<std::string_view>(n, [&](std::size_t i) { return std::string_view(runs[i].token); });
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return runs[i].job; });
    p.AddArray<std::int64_t>(n, [&](std::size_t i) { return runs[i].fence; });
    Insist([&] { return notes_.Execute(kStarts, p); });
  }

  void Try(const Run& run) {
    const std::int64_t moment = Insist([&] { return notes_.Execute(kMoment, Params()); }).Int64(0, 0);
    std::string outcome = "committed";
    if (const Status written = Write(run); !written) {
      outcome = db_.last_sqlstate().empty() ? "cut off" : db_.last_sqlstate();
      if (db_.connected()) (void)db_.Run("ROLLBACK");
      run.done(written);
    } else {
      run.done({});
    }
    const Params tried = Params().Add(moment).Add(run.token).Add(run.job).Add(run.fence).Add(outcome);
    Insist([&] { return notes_.Execute(kTry, tried); });
  }

  Status Write(const Run& run) {
    if (auto s = db_.Run("BEGIN"); !s) return s;
    auto effect = db_.Execute(kEffect, Params().Add(run.token).Add(run.job).Add(run.fence));
    if (!effect) return tl::unexpected(effect.error());
    if (call_) {
      auto passed = db_.Execute(*call_, Params().Add(run.token));
      if (!passed) return tl::unexpected(passed.error());
    }
    return db_.Run("COMMIT");
  }

  Connection db_, notes_;
  const std::string pod_;
  std::optional<Query> call_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Run> begun_;  // guarded by `mutex_`
};

// Until it is killed.
[[noreturn]] void BePod(const std::string& url, const std::string& name, const std::string& mode) {
  Writer writer(url, name, mode);
  SchedulerOptions options;
  options.store_url = url;
  options.pod_name = name;
  options.session_ttl = kTtl;
  options.heartbeat = kHeartbeat;
  options.commit_linger = kLinger;
  auto scheduler = Insist([&] { return Scheduler::Open(options); });
  scheduler->HandleAsync(kTask, [&](const RunContext& run, Done done) { writer.Begin(run, std::move(done)); });
  Insist([&] { return scheduler->Start(); });
  writer.Work();
}

// ---------------------------------------------------------------- the trials

struct Options {
  int trials = 10'000;
  int jobs = 600;  // of a round
  std::uint32_t seed = std::random_device()();
};

struct Counts {
  std::int64_t rounds = 0, stopped = 0, killed = 0;
  std::int64_t trials = 0;   // tries of a run after a later fence's effect
  std::int64_t stale = 0;    // effects written after a later fence's
  std::int64_t refused = 0;  // trials that the database refused
  std::int64_t occurrences = 0;
  std::int64_t not_once = 0;  // occurrences without exactly one effect
  std::int64_t unsuccessful = 0;
  std::int64_t inherited = 0;  // settled by the next owner, for the pod of the task that completed them
};

class Trials {
 public:
  Trials(PrivateServer& server, std::string mode, const Options& options)
      : mode_(std::move(mode)), options_(options), random_(options.seed), log_(server.directory() + "/pods.log") {
    Must(Connection(server.url(), "trials").Run("CREATE DATABASE trials_" + mode_));
    const std::string url = server.url();
    url_ = url.substr(0, url.rfind('/') + 1) + "trials_" + mode_;
    db_ = std::make_unique<Connection>(url_, "trials");
    SchedulerOptions client;
    client.store_url = url_;
    client_ = Must(Scheduler::Open(client));
    Must(client_->Migrate());
    Must(db_->Run(kTables));
    while (pods_.size() < kPods) StartPod();
  }

  Counts Run() {
    Counts counts;
    while (mode_ == "complete" ? counts.occurrences < 2 * options_.trials : counts.trials < options_.trials) {
      Round(&counts);
      Judge(&counts);
      if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{}: {} trials ", mode_, counts.trials);
    }
    if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
    return counts;
  }

 private:
  void StartPod() {
    const std::string name = fmt::format("pod-{}", ++named_);
    pods_[name] =
        Must(ChildProcess::Start({.argv = {"/proc/self/exe", "pod", url_, name, mode_}, .output_file = log_}));
  }

  std::int64_t Number(const Query& query, const Params& params = Params()) {
    return Insist([&] { return db_->Execute(query, params); }).Int64(0, 0);
  }
  template <typename ComeTrue>
  void Await(const char* what, const ComeTrue& come_true) {
    const auto limit = Steady::now() + kPatience;
    while (!come_true()) {
      for (const auto& [name, pod] : pods_) {
        if (pod->Poll()) Die(fmt::format("{} ended by itself; the pods said:\n{}", name, ReadAll(log_)));
      }
      if (Steady::now() > limit) Die(fmt::format("{}: waited in vain until {}", mode_, what));
      std::this_thread::sleep_for(milliseconds(10));
    }
  }

  static std::string ReadAll(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  void Round(Counts* counts) {
    ++counts->rounds;
    const std::string prefix = fmt::format("{}-", counts->rounds);
    const Params like = Params().Add(prefix + "%");
    const Instant due = Must(client_->StoreTime()) + milliseconds(700);
    std::vector<JobDefinition> jobs;
    for (int i = 0; i < options_.jobs; ++i) {
      jobs.push_back({.id = fmt::format("{}{}", prefix, i), .schedule = Must(Schedule::At(due)), .task = kTask});
      jobs.back().retry = {.max_attempts = 10, .delay = milliseconds(1)};
      jobs.back().lost_limit = 10'000;
    }
    Must(client_->Enqueue(jobs));
    counts->occurrences += options_.jobs;
    Await("all of a round are under way", [&] {
      constexpr Query kStarted = {
          "started",
          "SELECT count(DISTINCT s.job) FROM trial_starts s JOIN escapement.jobs j ON j.key = s.job "
          "WHERE j.id LIKE $1"};
      return Number(kStarted, like) >= options_.jobs;
    });
    const std::string victim = Victim(like);
    ChildProcess& pod = *pods_.at(victim);
    if (mode_ == "complete") {
      std::uniform_int_distribution<std::int64_t> moment(0, std::chrono::microseconds(2 * kWork).count());
      std::this_thread::sleep_for(Duration(moment(random_)));
      if (counts->rounds % 2 == 0) {
        ++counts->killed;
        pods_.erase(victim);  // SIGKILL
        StartPod();
        AwaitSettled(like);
        AwaitTries();
        return;
      }
    }
    ++counts->stopped;
    pod.Signal(SIGSTOP);
    AwaitSettled(like);
    pod.Signal(SIGCONT);
    AwaitTries();
  }

  // The pod with most of the round's jobs.
  std::string Victim(const Params& like) {
    constexpr Query kVictim = {
        "victim",
        "SELECT pod FROM trial_starts s JOIN escapement.jobs j ON j.key = s.job WHERE j.id LIKE $1 "
        "GROUP BY pod ORDER BY count(*) DESC LIMIT 1"};
    return std::string(Must(db_->Execute(kVictim, like)).Text(0, 0));
  }
  void AwaitSettled(const Params& like) {
    Await("all of a round are settled", [&] {
      constexpr Query kUnsettled = {"unsettled",
                                    "SELECT count(*) FROM escapement.jobs WHERE id LIKE $1 AND state <> 3"};
      return Number(kUnsettled, like) == 0;
    });
  }
  // Whatever the pods of now began has tried to write.
  void AwaitTries() {
    std::vector<std::string_view> names;
    for (const auto& [name, pod] : pods_) names.push_back(name);
    const Params pods = Params().AddArray<std::string_view>(names.size(), [&](std::size_t i) { return names[i]; });
    Await("the stopped tasks have tried to write", [&] {
      constexpr Query kOpen = {"open",
                               "SELECT count(*) FROM trial_starts s WHERE s.pod = ANY ($1) AND NOT EXISTS "
                               "(SELECT FROM tries t WHERE t.run = s.run)"};
      return Number(kOpen, pods) == 0;
    });
  }

  void Judge(Counts* counts) {
    constexpr Query kTrials = {
        "trials",
        "SELECT count(*), count(*) FILTER (WHERE t.outcome <> 'committed') FROM tries t WHERE EXISTS "
        "(SELECT FROM effects e WHERE e.job = t.job AND e.fence > t.fence AND e.moment < t.moment)"};
    constexpr Query kStale = {"stale",
                              "SELECT count(*) FROM effects late WHERE EXISTS (SELECT FROM effects e WHERE "
                              "e.job = late.job AND e.fence > late.fence AND e.moment < late.moment)"};
    constexpr Query kNotOnce = {"not_once",
                                "SELECT count(*) FROM (SELECT FROM escapement.jobs j LEFT JOIN effects e ON e.job = "
                                "j.key GROUP BY j.key HAVING count(e.job) <> 1) AS x"};
    constexpr Query kSettled = {"settled",
                                "SELECT count(*) FILTER (WHERE verdict <> 1), count(*) FILTER (WHERE verdict = 1 AND "
                                "started_at IS NULL) FROM escapement.runs WHERE settles = 1"};
    const Rows trials = Must(db_->Execute(kTrials, Params()));
    counts->trials = trials.Int64(0, 0);
    counts->refused = trials.Int64(0, 1);
    counts->stale = Number(kStale);
    counts->not_once = Number(kNotOnce);
    const Rows settled = Must(db_->Execute(kSettled, Params()));
    counts->unsuccessful = settled.Int64(0, 0);
    counts->inherited = settled.Int64(0, 1);
  }

  const std::string mode_;
  const Options options_;
  std::mt19937 random_;
  const std::string log_;  // what the pods say: that each other died, mostly
  std::string url_;
  std::unique_ptr<Connection> db_;
  std::unique_ptr<Scheduler> client_;
  std::map<std::string, std::unique_ptr<ChildProcess>> pods_;
  int named_ = 0;
};

int RunTrials(const Options& options) {
  // What is durable is not the question here; what is atomic is.
  auto server = Must(PrivateServer::Postgres({.durable = false}));
  fmt::print("seed {}, TTL {} ms, {} jobs a round\n", options.seed, kTtl / milliseconds(1), options.jobs);
  bool good = true;
  for (const char* mode : {"none", "check", "complete"}) {
    const Counts c = Trials(*server, mode, options).Run();
    fmt::print("{:<9} {} trials in {} rounds ({} stops, {} kills): {} refused, {} stale effects\n", mode, c.trials,
               c.rounds, c.stopped, c.killed, c.refused, c.stale);
    const std::string_view name = mode;
    if (name == "complete") {
      fmt::print(
          "{:<9} {} occurrences: {} without exactly one effect, {} not succeeded, {} settled for a dead pod by the "
          "next owner\n",
          "", c.occurrences, c.not_once, c.unsuccessful, c.inherited);
      good = good && c.not_once == 0 && c.unsuccessful == 0;
    }
    good = good && (name == "none" ? c.stale > 0 : c.stale == 0);
    std::fflush(stdout);
  }
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
  if (words.size() == 4 && words[0] == "pod") BePod(words[1], words[2], words[3]);
  Options options;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const char* value = i + 1 < words.size() ? words[i + 1].c_str() : "";
    int number = 0;
    if (words[i] == "--trials" && Read(value, 1, 10'000'000, &number)) {
      options.trials = number;
    } else if (words[i] == "--jobs" && Read(value, 2, 5'000, &number)) {
      options.jobs = number;
    } else if (words[i] == "--seed" && Read(value, 0, INT_MAX, &number)) {
      options.seed = static_cast<std::uint32_t>(number);
    } else {
      fmt::print(stderr, "usage: fence_trials [--trials 1..10000000] [--jobs 2..5000] [--seed N]\n");
      return 2;
    }
  }
  return RunTrials(options);
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) { return escapement::Main(argc, argv); }
