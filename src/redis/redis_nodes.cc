#include "redis/redis_nodes.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace escapement {
namespace {

constexpr int kRounds = 8;  // of redirections and scripts loaded again

std::string AddressOf(const RedisUrl& url) { return fmt::format("{}:{}", url.host, url.port); }

bool IsError(const RedisReply& reply) { return reply.kind == RedisReply::Kind::kError; }

// The address in "MOVED 3999 127.0.0.1:6381"; without a host it is the host that was asked.
std::string MovedTo(const std::string& reply, const RedisUrl& asked) {
  const std::string address = reply.substr(reply.rfind(' ') + 1);
  return address.starts_with(':') ? asked.host + address : address;
}

}  // namespace

// CRC-16/XMODEM, as https://redis.io/docs/reference/cluster-spec/ has it.
int RedisSlot(std::string_view key) {
  if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  unsigned crc = 0;
  for (const char c : key) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
    crc &= 0xFFFFU;
  }
  return static_cast<int>(crc % 16'384);
}

RedisNodes::RedisNodes(RedisUrl url) : url_(std::move(url)), where_(url_.Name()), seed_(AddressOf(url_)) {}

// What becomes of the calls of one Run.
struct RedisNodes::Batch {
  const std::vector<RedisCall>& calls;
  std::vector<RedisReply> replies = std::vector<RedisReply>(calls.size());
  std::vector<std::size_t> again = {};  // not run: to be sent once more
  std::optional<Error> error = {};      // the first one
  bool changed = false;                 // a call that writes was run, or may have been

  void Fail(Error e) {
    if (!error) error = std::move(e);
  }
  void Lose(std::size_t index, Error e) {
    changed = changed || calls[index].writes;
    e.code = Code::kUnavailable;
    Fail(std::move(e));
  }
};

RedisNodes::Server& RedisNodes::AtAddress(const std::string& address) {
  const auto [it, is_new] = servers_.try_emplace(address);
  if (is_new) {
    it->second.url = url_;  // user, password and TLS are the same for all
    const std::size_t colon = address.rfind(':');
    it->second.url.host = address.substr(0, colon);
    int port = 0;
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
    it->second.url.port = port;
  }
  return it->second;
}

Status RedisNodes::Connect(Server& server, BootTime deadline) {
  // Found out now, a lost connection costs nothing; found out by a command, it leaves the command in doubt.
  if (server.wire != nullptr && (server.demoted || !server.wire->Quiet())) server.wire.reset();
  server.demoted = false;
  if (server.wire != nullptr) return {};
  auto wire = RedisWire::Open(server.url, deadline);
  if (!wire) return tl::unexpected(wire.error());
  server.wire = std::move(*wire);
  return {};
}

// For questions that change nothing.
Result<RedisReply> RedisNodes::Ask(Server& server, const RedisArguments& command, BootTime deadline) {
  if (auto s = Connect(server, deadline); !s) return tl::unexpected(s.error());
  Status sent = server.wire->Send(command, deadline);
  auto reply = sent ? server.wire->Receive(deadline) : Result<RedisReply>(tl::unexpected(sent.error()));
  if (!reply) {
    server.wire.reset();
    return Fail(Code::kUnavailable, std::move(reply.error().message));
  }
  if (IsError(*reply)) return tl::unexpected(RedisErrorOf(server.url.Name(), reply->text));
  return reply;
}

Status RedisNodes::Detect(BootTime deadline) {
  if (detected_) return {};
  if (url_.sentinels.empty()) {
    auto info = Ask(Seed(), {"INFO", "cluster"}, deadline);
    // A user without the right to ask is told by the first redirection.
    const bool refused = !info && Seed().wire != nullptr && info.error().code == Code::kInvalidArgument;
    if (!info && !refused) return tl::unexpected(info.error());
    cluster_ = info && info->text.find("cluster_enabled:1") != std::string::npos;
  }
  detected_ = true;
  return {};
}

Result<bool> RedisNodes::IsCluster(BootTime deadline) {
  if (auto s = Detect(deadline); !s) return tl::unexpected(s.error());
  return cluster_;
}

// Any server of the cluster may know: the one of the URL may be the one that is gone.
Status RedisNodes::LookUpSlots(BootTime deadline) {
  std::vector<std::string> addresses = {seed_};
  for (const auto& [address, server] : servers_) {
    if (address != addresses[0]) addresses.push_back(address);
  }
  Status status;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string& address = addresses[i];
    // One that hangs must leave time for the others.
    const Duration share = (deadline - BootClock::now()) / static_cast<std::int64_t>(addresses.size() - i + 1);
    auto slots = Ask(AtAddress(address), {"CLUSTER", "SLOTS"}, BootClock::now() + share);
    if (!slots) {
      if (status) status = tl::unexpected(slots.error());
      continue;
    }
    std::vector<Range> ranges;
    for (const RedisReply& range : slots->elements) {
      if (range.elements.size() < 3 || range.elements[2].elements.size() < 2) continue;
      const RedisReply& host = range.elements[2].elements[0];
      const std::string& name = host.text.empty() || host.text == "?" ? AtAddress(address).url.host : host.text;
      ranges.push_back({static_cast<int>(range.elements[0].integer), static_cast<int>(range.elements[1].integer),
                        fmt::format("{}:{}", name, range.elements[2].elements[1].integer)});
    }
    ranges_ = std::move(ranges);
    moved_.clear();
    return {};
  }
  return status;
}

Result<RedisNodes::Server*> RedisNodes::ServerOf(const std::string& key, BootTime deadline) {
  if (auto s = Detect(deadline); !s) return tl::unexpected(s.error());
  if (!cluster_) return &Seed();
  if (key.empty()) {
    if (Connect(Seed(), deadline) || servers_.size() == 1) return &Seed();
    for (auto& [address, server] : servers_) {
      if (server.wire != nullptr && Connect(server, deadline)) return &server;
    }
    return &Seed();
  }
  const int slot = RedisSlot(key);
  if (const auto moved = moved_.find(slot); moved != moved_.end()) return &AtAddress(moved->second);
  if (ranges_.empty()) {
    if (auto s = LookUpSlots(deadline); !s) return tl::unexpected(s.error());
  }
  for (const Range& range : ranges_) {
    if (range.first <= slot && slot <= range.last) return &AtAddress(range.address);
  }
  Forget();
  return Fail(Code::kUnavailable, fmt::format("{}: no server of the cluster serves slot {}", where_, slot));
}

// What was believed of the slots: a cluster may have put another server in the place of one that fails.
void RedisNodes::Forget() {
  ranges_.clear();
  moved_.clear();
}

Status RedisNodes::Load(Server& server, std::string_view script, BootTime deadline) {
  auto loaded = Ask(server, {"SCRIPT", "LOAD", script}, deadline);
  if (!loaded) return tl::unexpected(loaded.error());
  digests_[script.data()] = loaded->text;
  return {};
}

void RedisNodes::Settle(Batch& batch, Server& server, std::size_t index, RedisReply reply) {
  const RedisCall& call = batch.calls[index];
  if (!IsError(reply)) {
    batch.changed = batch.changed || call.writes;
    batch.replies[index] = std::move(reply);
    return;
  }
  const auto starts = [&](std::string_view word) { return reply.text.starts_with(word); };
  if (starts("MOVED ")) {
    cluster_ = true;
    moved_[RedisSlot(call.key)] = MovedTo(reply.text, server.url);
    batch.again.push_back(index);
  } else if (starts("NOSCRIPT")) {
    batch.again.push_back(index);
  } else if (starts("ASK ") || starts("TRYAGAIN") || reply.text.find("non local key") != std::string::npos) {
    // A script that ran now would see what has not been moved yet, and nothing of the rest.
    batch.Fail({Code::kUnavailable, fmt::format("{}: the cluster is moving slot {} to another server; until "
                                                "that is done, nothing of it is served",
                                                server.url.Name(), RedisSlot(call.key))});
  } else {
    if (starts("READONLY") || starts("CLUSTERDOWN") || starts("MASTERDOWN")) Forget();
    server.demoted = server.demoted || starts("READONLY");
    batch.Fail(RedisErrorOf(server.url.Name(), reply.text));
  }
}

// Sends the calls at these indexes; those that could not be sent have failed.
void RedisNodes::Send(Batch& batch, Server& server, const std::vector<std::size_t>& indexes, BootTime deadline) {
  for (std::size_t n = 0; n < indexes.size(); ++n) {
    const RedisCall& call = batch.calls[indexes[n]];
    RedisArguments command;
    const std::string keys = std::to_string(1 + call.more_keys);
    if (!call.script.empty()) command = {"EVALSHA", digests_[call.script.data()], keys, call.key};
    command.insert(command.end(), call.arguments.begin(), call.arguments.end());
    const Status sent = server.wire->Send(command, deadline);
    if (sent) continue;
    // What went before was run, perhaps.
    for (std::size_t i = 0; i < n; ++i) batch.Lose(indexes[i], sent.error());
    batch.Fail(sent.error());
    server.wire.reset();
    return;
  }
}

Result<std::vector<RedisReply>> RedisNodes::Run(const std::vector<RedisCall>& calls, BootTime deadline) {
  Batch batch{.calls = calls};
  std::vector<std::size_t> pending(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) pending[i] = i;
  for (int round = 0; !pending.empty() && !batch.error; ++round) {
    if (round == kRounds) {
      Forget();
      batch.Fail({Code::kUnavailable, where_ + ": the servers send each other's slots to and fro"});
      break;
    }
    std::map<Server*, std::vector<std::size_t>> shares;
    for (const std::size_t index : pending) {
      auto server = ServerOf(calls[index].key, deadline);
      Status ready = server ? Connect(**server, deadline) : Status(tl::unexpected(server.error()));
      const std::string_view script = calls[index].script;
      if (ready && !script.empty() && (round > 0 || !digests_.contains(script.data())))
        ready = Load(**server, script, deadline);
      if (!ready) {
        Forget();
        batch.Fail(ready.error());
        break;
      }
      shares[*server].push_back(index);
    }
    if (batch.error) break;
    for (auto& [server, indexes] : shares) Send(batch, *server, indexes, deadline);
    for (auto& [server, indexes] : shares) {
      for (std::size_t n = 0; n < indexes.size() && server->wire != nullptr; ++n) {
        auto reply = server->wire->Receive(deadline);
        if (reply) {
          Settle(batch, *server, indexes[n], std::move(*reply));
          continue;
        }
        for (std::size_t i = n; i < indexes.size(); ++i) batch.Lose(indexes[i], reply.error());
        server->wire.reset();
        Forget();
      }
    }
    pending = std::exchange(batch.again, {});
  }
  if (!batch.error) return std::move(batch.replies);
  Error& error = *batch.error;
  if (batch.changed && (error.code == Code::kUnavailable || error.code == Code::kTimeout)) {
    error = {Code::kInDoubt, error.message + "; what was asked may have been done, or a part of it"};
  }
  return tl::unexpected(std::move(error));
}

}  // namespace escapement
