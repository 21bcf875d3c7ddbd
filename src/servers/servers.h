// Private, throw-away servers and child processes on loopback: what `stress local`, the tests and the benchmarks run
// on.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct ProcessOptions {
  std::vector<std::string> argv;                   // argv[0] is looked up in PATH; no shell
  std::map<std::string, std::string> environment;  // added to this process's own
  std::string stdin_text;                          // written to its standard input, then closed
  std::string output_file;                         // standard output and error are appended to it; empty: inherited
  std::string user;                                // run as this user (needs root); empty: as this process's user
};

// A child that dies with this process (PR_SET_PDEATHSIG). The destructor kills and reaps it. Not thread-safe.
class ChildProcess {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ChildProcess>> Start(const ProcessOptions& options);
  virtual ~ChildProcess() = default;
  virtual pid_t pid() const = 0;
  virtual bool Signal(int signal) = 0;  // false when it has ended
  // The exit status (128 + signal when killed), or nothing while it runs.
  virtual std::optional<int> Poll() = 0;
  // Waits at most `timeout`.
  virtual std::optional<int> Wait(Duration timeout) = 0;
};

struct PrivateServerOptions {
  std::string directory;              // parent for its files; empty: the system's temporary directory
  std::vector<std::string> settings;  // further "name=value" of postgresql.conf, "name value" of redis.conf
  bool keep = false;                  // leave it running and its files in place after the destructor
  std::string password = {};          // empty: one of its own
  bool durable = true;  // false, of PostgreSQL: no fsync, for what need not outlive a crash of the machine
};

// One server on 127.0.0.1 and a free port, with a password of its own that never is in an argument. PostgreSQL refuses
// root, so as root it runs as the user `postgres`. Errors name what is missing and the package that brings it.
class PrivateServer {
 public:
  // Uses the newest PostgreSQL found below /usr/lib/postgresql, or in PATH.
  [[nodiscard]] static Result<std::unique_ptr<PrivateServer>> Postgres(const PrivateServerOptions& options = {});
  [[nodiscard]] static Result<std::unique_ptr<PrivateServer>> Redis(const PrivateServerOptions& options = {});

  virtual ~PrivateServer() = default;   // stops it and removes its files, unless kept
  virtual std::string url() const = 0;  // with the password
  virtual std::string host() const = 0;
  virtual int port() const = 0;
  virtual std::string user() const = 0;
  virtual std::string password() const = 0;
  virtual std::string database() const = 0;
  virtual std::string directory() const = 0;  // its files and log
  virtual pid_t pid() const = 0;
  // Stop (PostgreSQL: fast shutdown; `immediately`: SIGKILL) and start again on the same port with the same files.
  virtual Status Stop(bool immediately = false) = 0;
  virtual Status Start() = 0;
};

// Servers of one Redis Cluster: masters that share the slots evenly, without replicas, with one password. Each is a
// private server by itself, and can be stopped.
class PrivateRedisCluster {
 public:
  // kNotFound, kUnavailable, kTimeout.
  [[nodiscard]] static Result<std::unique_ptr<PrivateRedisCluster>> Start(int masters = 3);
  std::string url() const { return servers_.front()->url(); }
  int size() const { return static_cast<int>(servers_.size()); }
  PrivateServer& server(int i) { return *servers_.at(static_cast<std::size_t>(i)); }
  // Waits until all servers serve all slots again. kTimeout.
  Status AwaitWhole();

 private:
  explicit PrivateRedisCluster(std::vector<std::unique_ptr<PrivateServer>> servers) : servers_(std::move(servers)) {}
  std::vector<std::unique_ptr<PrivateServer>> servers_;
};

}  // namespace escapement
