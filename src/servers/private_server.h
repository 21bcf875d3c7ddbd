// What the private servers have in common: a directory, a port, a password, and the way up and down.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "escapement/status.h"
#include "servers/process.h"
#include "servers/servers.h"

namespace escapement {

// A TCP port of 127.0.0.1 that nobody listens on just now. kUnavailable.
Result<int> FreePort();

// Not thread-safe.
class LocalServer : public PrivateServer {
 public:
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;
  ~LocalServer() override;

  std::string host() const override { return "127.0.0.1"; }
  int port() const override { return port_; }
  std::string password() const override { return password_; }
  std::string directory() const override { return directory_; }
  pid_t pid() const override { return process_ ? process_->pid() : -1; }
  Status Stop(bool immediately) override;
  Status Start() override;

 protected:
  struct Traits {
    std::string name;            // "postgres"
    std::string user;            // of the system, to run as; empty: this process's
    int stop_signal = SIGTERM;   // an orderly stop
    int abort_signal = SIGKILL;  // the quickest stop that leaves nothing behind in the system; also the death signal
  };
  LocalServer(Traits traits, const PrivateServerOptions& options);

  // Makes the directory. kUnavailable.
  Status MakeDirectory();
  // Finds a port and starts on it; when somebody else takes it meanwhile, on another.
  Status StartOnAFreePort();
  // The server's command line for the present port. stdin_text may hold secrets; argv never does.
  virtual ProcessOptions Command() const = 0;
  // One try: a client with the password gets an answer.
  virtual bool Answers() const = 0;

  std::string LogFile() const { return directory_ + "/server.log"; }
  std::string LogTail() const;
  const Traits& traits() const { return traits_; }
  const std::vector<std::string>& settings() const { return settings_; }

 private:
  void KillWithChildren();

  const Traits traits_;
  const std::string parent_;
  const std::vector<std::string> settings_;
  const bool keep_;
  const std::string password_;
  std::string directory_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace escapement
