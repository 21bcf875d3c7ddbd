#include <chrono>

#include <fmt/format.h>

#include "redis/redis_url.h"
#include "redis/redis_wire.h"
#include "servers/private_server.h"
#include "time/clock.h"

namespace escapement {
namespace {

class RedisServer final : public LocalServer {
 public:
  RedisServer(const PrivateServerOptions& options, std::string program)
      : LocalServer({.name = "redis", .user = "", .stop_signal = SIGTERM, .abort_signal = SIGKILL}, options),
        program_(std::move(program)) {}

  std::string url() const override { return fmt::format("redis://:{}@{}:{}/0", password(), host(), port()); }
  std::string user() const override { return ""; }
  std::string database() const override { return "0"; }

  Status Prepare() {
    if (auto status = MakeDirectory(); !status) return status;
    return StartOnAFreePort();
  }

 private:
  // The configuration goes in by standard input: the password is in no argument and in no file.
  ProcessOptions Command() const override {
    ProcessOptions options;
    options.argv = {program_, "-"};
    options.stdin_text =
        fmt::format("bind 127.0.0.1\nport {}\nsave \"\"\nappendonly no\nrequirepass {}\ndir \"{}\"\ndaemonize no\n",
                    port(), password(), directory());
    for (const std::string& setting : settings()) options.stdin_text += setting + "\n";
    return options;
  }

  bool Answers() const override {
    const BootTime deadline = BootClock::now() + std::chrono::seconds(1);
    auto wire = RedisWire::Open({.host = host(), .port = port(), .user = "", .password = password()}, deadline);
    if (!wire || !(*wire)->Send({"PING"}, deadline)) return false;
    const auto reply = (*wire)->Receive(deadline);
    return reply && reply->kind == RedisReply::Kind::kText && reply->text == "PONG";
  }

  const std::string program_;
};

}  // namespace

Result<std::unique_ptr<PrivateServer>> PrivateServer::Redis(const PrivateServerOptions& options) {
  auto program = FindProgram("redis-server");
  if (!program) return Fail(Code::kNotFound, "redis-server is not in PATH: install the package redis-server");
  auto server = std::make_unique<RedisServer>(options, std::move(*program));
  if (auto status = server->Prepare(); !status) return tl::unexpected(status.error());
  return server;
}

}  // namespace escapement
