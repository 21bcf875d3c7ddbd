// One connection to a Redis server: RESP2 over a socket, every wait bounded and interruptible.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "redis/redis_replies.h"
#include "redis/redis_url.h"
#include "redis/tls.h"
#include "time/clock.h"

struct addrinfo;

namespace escapement {

using RedisArguments = std::vector<std::string_view>;

// An error reply as an Error. Messages begin with `where`. kInvalidArgument: credentials or rights; kUnavailable: the
// server serves nobody just now (loading, replica, out of memory); else kInternal.
Error RedisErrorOf(std::string_view where, const std::string& reply);

// Not thread-safe. After an error of Send or Receive the connection is of no more use.
class RedisWire {
 public:
  // Connects, authenticates and selects the database, all by `deadline` (looking up a host's name excepted). With
  // sentinels in the URL, the first of them that answers says where the master is.
  // Every wait also ends when `wake_fd`, unless -1, becomes readable; the error is then kTimeout.
  // kUnavailable; kInvalidArgument when the server refuses user, password or database.
  [[nodiscard]] static Result<std::unique_ptr<RedisWire>> Open(const RedisUrl& url, BootTime deadline,
                                                               int wake_fd = -1);
  RedisWire(const RedisWire&) = delete;
  RedisWire& operator=(const RedisWire&) = delete;
  ~RedisWire();

  // kUnavailable: the server got at most a part of the command, which it never runs.
  [[nodiscard]] Status Send(const RedisArguments& command, BootTime deadline);
  // The next reply; error replies are replies too. kInDoubt: the connection broke; kTimeout: `deadline` or wake_fd.
  [[nodiscard]] Result<RedisReply> Receive(BootTime deadline);
  // False when there is something to read although nothing was asked: the server has closed the connection.
  bool Quiet() const;

 private:
  RedisWire(std::string where, int wake_fd);
  static Result<std::unique_ptr<RedisWire>> OpenServer(const RedisUrl& url, bool sentinel, BootTime deadline,
                                                       int wake_fd);
  static Result<RedisUrl> AskSentinels(const RedisUrl& url, BootTime deadline, int wake_fd);
  Result<RedisReply> Ask(const RedisArguments& command, BootTime deadline);
  Status Connect(const RedisUrl& url, BootTime deadline);
  Status ConnectTo(const addrinfo& address, BootTime deadline);
  Status Secure(const RedisUrl& url, BootTime deadline);
  Status Authenticate(const RedisUrl& url, BootTime deadline);
  Status Select(int database, BootTime deadline);
  Status SendBytes(std::string_view bytes, BootTime deadline);
  Result<std::string> ReceiveBytes(BootTime deadline);
  Status Wait(short events, BootTime deadline) const;

  const std::string where_;
  const int wake_fd_;
  int fd_ = -1;
  std::unique_ptr<Tls> tls_;  // none: plain
  RedisReplies replies_;
};

}  // namespace escapement
