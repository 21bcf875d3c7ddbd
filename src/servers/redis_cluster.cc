#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "redis/redis_url.h"
#include "redis/redis_wire.h"
#include "servers/private_server.h"
#include "time/clock.h"

namespace escapement {
namespace {

using std::chrono::seconds;

constexpr int kSlots = 16'384;
constexpr Duration kAssembleTimeout = seconds(60);

Result<RedisReply> Ask(const PrivateServer& server, const RedisArguments& command) {
  const BootTime deadline = BootClock::now() + seconds(5);
  auto wire = RedisWire::Open({.host = server.host(), .port = server.port(), .user = "", .password = server.password()},
                              deadline);
  if (!wire) return tl::unexpected(wire.error());
  if (auto sent = (*wire)->Send(command, deadline); !sent) return tl::unexpected(sent.error());
  auto reply = (*wire)->Receive(deadline);
  if (reply && reply->kind == RedisReply::Kind::kError) return Fail(Code::kUnavailable, reply->text);
  return reply;
}

}  // namespace

Result<std::unique_ptr<PrivateRedisCluster>> PrivateRedisCluster::Start(int masters) {
  std::vector<std::unique_ptr<PrivateServer>> servers;
  std::vector<std::string> bus_ports;
  for (int i = 0; i < masters; ++i) {
    // Its own choice, the port plus 10,000, may be beyond the last port.
    auto bus = FreePort();
    if (!bus) return tl::unexpected(bus.error());
    bus_ports.push_back(std::to_string(*bus));
    PrivateServerOptions options;
    options.settings = {"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 5000",
                        "cluster-port " + bus_ports.back()};
    if (i > 0) options.password = servers.front()->password();
    auto server = PrivateServer::Redis(options);
    if (!server) return tl::unexpected(server.error());
    servers.push_back(std::move(*server));
  }
  for (int i = 0; i < masters; ++i) {
    const PrivateServer& server = *servers[static_cast<std::size_t>(i)];
    const std::string first = std::to_string(kSlots * i / masters);
    const std::string last = std::to_string(kSlots * (i + 1) / masters - 1);
    const std::string epoch = std::to_string(i + 1);
    const std::string port = std::to_string(server.port());
    if (auto s = Ask(server, {"CLUSTER", "SET-CONFIG-EPOCH", epoch}); !s) return tl::unexpected(s.error());
    if (auto s = Ask(server, {"CLUSTER", "ADDSLOTSRANGE", first, last}); !s) return tl::unexpected(s.error());
    if (i == 0) continue;
    auto met = Ask(*servers.front(), {"CLUSTER", "MEET", server.host(), port, bus_ports[static_cast<std::size_t>(i)]});
    if (!met) return tl::unexpected(met.error());
  }
  std::unique_ptr<PrivateRedisCluster> cluster(new PrivateRedisCluster(std::move(servers)));
  if (auto s = cluster->AwaitWhole(); !s) return tl::unexpected(s.error());
  return cluster;
}

Status PrivateRedisCluster::AwaitWhole() {
  const BootTime deadline = BootClock::now() + kAssembleTimeout;
  const std::string nodes = fmt::format("cluster_known_nodes:{}\r", servers_.size());
  for (const auto& server : servers_) {
    for (;;) {
      const auto info = Ask(*server, {"CLUSTER", "INFO"});
      if (info && info->text.find("cluster_state:ok") != std::string::npos &&
          info->text.find(nodes) != std::string::npos)
        break;
      if (BootClock::now() > deadline) {
        return Fail(Code::kTimeout, fmt::format("the private Redis Cluster is not whole after 60 s: {}",
                                                info ? info->text.substr(0, 30) : info.error().message));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  return {};
}

}  // namespace escapement
