#include "stores/redis/shards.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stores/redis/scripts.h"

namespace escapement::redis_store {
namespace {

constexpr Duration kCallTimeout = std::chrono::seconds(5);
constexpr int kRounds = 8;  // of redirections and scripts loaded again

std::string AddressOf(const RedisUrl& url) { return fmt::format("{}:{}", url.host, url.port); }

// CRC-16/XMODEM of the tag, as https://redis.io/docs/reference/cluster-spec/ has it.
int SlotOf(int shard) {
  unsigned crc = 0;
  for (const char c : fmt::format("esc:{}", shard)) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? (crc << 1) ^ 0x1021U : crc << 1;
    crc &= 0xFFFFU;
  }
  return static_cast<int>(crc % 16'384);
}

bool IsError(const RedisReply& reply) { return reply.kind == RedisReply::Kind::kError; }

// The address in "MOVED 3999 127.0.0.1:6381"; without a host it is the host that was asked.
std::string MovedTo(const std::string& reply, const RedisUrl& asked) {
  const std::string address = reply.substr(reply.rfind(' ') + 1);
  return address.starts_with(':') ? asked.host + address : address;
}

}  // namespace

Script::Script(std::string_view body) : text(std::string(scripts::kShard) + std::string(body)) {}

std::string ShardPrefix(int shard) { return fmt::format("{{esc:{}}}:", shard); }

Shards::Shards(RedisUrl url) : url_(std::move(url)), where_(url_.Name()) {}

// What becomes of the calls of one Run.
struct Shards::Batch {
  const std::vector<Call>& calls;
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

Shards::Server& Shards::AtAddress(const std::string& address) {
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

Status Shards::Connect(Server& server, BootTime deadline) {
  // Found out now, a lost connection costs nothing; found out by a command, it leaves the command in doubt.
  if (server.wire != nullptr && !server.wire->Quiet()) server.wire.reset();
  if (server.wire != nullptr) return {};
  auto wire = RedisWire::Open(server.url, deadline);
  if (!wire) return tl::unexpected(wire.error());
  server.wire = std::move(*wire);
  return {};
}

// For questions that change nothing.
Result<RedisReply> Shards::Ask(Server& server, const RedisArguments& command, BootTime deadline) {
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

Status Shards::Detect(BootTime deadline) {
  if (detected_) return {};
  auto info = Ask(AtAddress(AddressOf(url_)), {"INFO", "cluster"}, deadline);
  if (!info) return tl::unexpected(info.error());
  cluster_ = info->text.find("cluster_enabled:1") != std::string::npos;
  detected_ = true;
  return {};
}

Result<bool> Shards::IsCluster() {
  if (auto s = Detect(BootClock::now() + kCallTimeout); !s) return tl::unexpected(s.error());
  return cluster_;
}

// Any server of the cluster may know: the one of the URL may be the one that is gone.
Status Shards::LookUpSlots(BootTime deadline) {
  std::vector<std::string> addresses = {AddressOf(url_)};
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

Result<Shards::Server*> Shards::ServerOf(int shard, BootTime deadline) {
  if (auto s = Detect(deadline); !s) return tl::unexpected(s.error());
  if (!cluster_) return &AtAddress(AddressOf(url_));
  if (ranges_.empty()) {
    if (auto s = LookUpSlots(deadline); !s) return tl::unexpected(s.error());
  }
  if (const auto moved = moved_.find(shard); moved != moved_.end()) return &AtAddress(moved->second);
  const int slot = SlotOf(shard);
  for (const Range& range : ranges_) {
    if (range.first <= slot && slot <= range.last) return &AtAddress(range.address);
  }
  ranges_.clear();
  return Fail(Code::kUnavailable, fmt::format("{}: no server of the cluster serves slot {}", where_, slot));
}

Status Shards::Load(Server& server, const Script& script, BootTime deadline) {
  auto loaded = Ask(server, {"SCRIPT", "LOAD", script.text}, deadline);
  if (!loaded) return tl::unexpected(loaded.error());
  digests_[&script] = loaded->text;
  return {};
}

void Shards::Settle(Batch& batch, Server& server, std::size_t index, RedisReply reply) {
  const Call& call = batch.calls[index];
  if (!IsError(reply)) {
    batch.changed = batch.changed || call.writes;
    batch.replies[index] = std::move(reply);
    return;
  }
  const auto starts = [&](std::string_view word) { return reply.text.starts_with(word); };
  if (starts("MOVED ")) {
    moved_[call.shard] = MovedTo(reply.text, server.url);
    batch.again.push_back(index);
  } else if (starts("NOSCRIPT")) {
    batch.again.push_back(index);
  } else if (starts("ASK ") || starts("TRYAGAIN") || reply.text.find("non local key") != std::string::npos) {
    // A script that ran now would see what has not been moved yet, and nothing of the rest.
    batch.Fail({Code::kUnavailable, fmt::format("{}: the cluster is moving slot {} to another server; its jobs wait "
                                                "until that is done",
                                                server.url.Name(), SlotOf(call.shard))});
  } else {
    if (starts("READONLY") || starts("CLUSTERDOWN") || starts("MASTERDOWN")) ranges_.clear();
    batch.Fail(RedisErrorOf(server.url.Name(), reply.text));
  }
}

// Sends the calls at these indexes; those that could not be sent have failed.
void Shards::Send(Batch& batch, Server& server, const std::vector<std::size_t>& indexes, BootTime deadline) {
  for (std::size_t n = 0; n < indexes.size(); ++n) {
    const Call& call = batch.calls[indexes[n]];
    RedisArguments command;
    const std::string prefix = ShardPrefix(call.shard);
    if (call.script != nullptr) command = {"EVALSHA", digests_[call.script], "1", prefix};
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

Result<std::vector<RedisReply>> Shards::Run(const std::vector<Call>& calls) {
  const BootTime deadline = BootClock::now() + kCallTimeout;
  Batch batch{.calls = calls};
  std::vector<std::size_t> pending(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) pending[i] = i;
  for (int round = 0; !pending.empty() && !batch.error; ++round) {
    if (round == kRounds) {
      ranges_.clear();
      batch.Fail({Code::kUnavailable, where_ + ": the servers send each other's slots to and fro"});
      break;
    }
    std::map<Server*, std::vector<std::size_t>> shares;
    for (const std::size_t index : pending) {
      auto server = ServerOf(calls[index].shard, deadline);
      Status ready = server ? Connect(**server, deadline) : Status(tl::unexpected(server.error()));
      const Script* script = calls[index].script;
      if (ready && script != nullptr && (round > 0 || !digests_.contains(script)))
        ready = Load(**server, *script, deadline);
      if (!ready) {
        ranges_.clear();  // a cluster may have put another in its place
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
        ranges_.clear();
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

Result<RedisReply> Shards::Run(Call call) {
  std::vector<Call> calls;
  calls.push_back(std::move(call));
  auto replies = Run(calls);
  if (!replies) return tl::unexpected(replies.error());
  return std::move((*replies)[0]);
}

}  // namespace escapement::redis_store
