// What the stress test is told: variables of the environment and flags, checked before anything is started.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "escapement/time.h"

namespace escapement::stress {

enum class StoreKind { kPostgresql, kRedis, kSqlite };
std::string_view StoreWord(StoreKind store);  // as STORE has it: "postgresql", "redis", "sqlite"
std::string_view StoreName(StoreKind store);  // "PostgreSQL", "Redis", "SQLite"

struct PostgresTarget {
  std::string host = "localhost";
  int port = 5432;
  std::string user = "postgres";
  std::string password;
  std::string database = "postgres";
  std::string Url() const;  // with the password, percent-encoded: never print it
};

struct RedisTarget {
  std::string host = "localhost";
  int port = 6379;
  std::string user;
  std::string password;
  int database = 0;
  std::string Url() const;  // with the password, percent-encoded: never print it
};

// Given on the command line; each has a meaning for some subcommands only.
struct StressFlags {
  bool leader = false;         // this is `stress leader`
  bool burst = false;          // all jobs are due at the same instants
  bool keep = false;           // leave the private servers and files
  bool expect_faults = false;  // re-runs after faults are no duplicates
  bool clean = false;          // empty the tables after the analysis
  bool no_witness = false;     // record no executions: the ledger alone is judged
  bool json = false;           // print JSON in place of the report
  std::string json_file = {};  // also write JSON there
};

struct StressConfig {
  StressFlags flags;
  int job_count = 100;
  Duration interval = std::chrono::seconds(1);
  Duration duration = std::chrono::milliseconds(50);
  std::chrono::seconds test_duration{60};
  std::optional<int> pods;  // to wait for, the leader included
  StoreKind store = StoreKind::kPostgresql;
  PostgresTarget postgres;                // where it is the store
  RedisTarget redis;                      // the lock service, or, where it is the store, both
  std::string sqlite_path = "stress.db";  // where it is the store, and the lock service as well
  std::string pod_name;                   // empty: given by role
  bool is_leader = false;
  std::string witness_dir;                   // empty: no file of starts
  std::string ready_file;                    // written once the pod's session is registered
  std::string pids_file;                     // `local`: process ids of all parts
  std::chrono::seconds connect_timeout{60};  // a pod tries this long to reach the servers
  std::chrono::seconds restart_after{0};     // `local` with faults: how long a server that was killed stays away

  std::string StoreUrl() const;  // of the scheduler's options; with the password: never print it
  std::string LocksUrl() const;  // the same; empty: the store's own locks
};

// The value of a variable, or nothing when it is not set. An empty value counts as not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment ProcessEnvironment();

// The errors are whole lines, one for each bad value: `JOB_COUNT must be a whole number from 1 to 1000000, not "abc"`.
[[nodiscard]] tl::expected<StressConfig, std::vector<std::string>> ReadConfig(const Environment& environment,
                                                                              const StressFlags& flags);

// "job-0000": at least four digits.
std::string JobId(int index);
// The number in a job's id, or -1 when it is no id of the stress test.
int JobIndex(std::string_view id);

// The phase of job `index` of `count`: even over the interval.
Duration JobPhase(int index, int count, Duration interval);

}  // namespace escapement::stress
