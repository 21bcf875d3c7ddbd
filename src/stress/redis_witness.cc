#include <hiredis/hiredis.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>

#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

constexpr timeval kConnectTimeout = {.tv_sec = 5, .tv_usec = 0};
constexpr timeval kReplyTimeout = {.tv_sec = 15, .tv_usec = 0};
constexpr std::size_t kRowsACommand = 500;  // a command blocks the server while it runs
constexpr int kRowsAPage = 10'000;

constexpr const char* kPods = "stress_pods";
constexpr const char* kConfig = "stress_config";
std::string ListOf(const std::string& pod) { return "stress_executions:" + pod; }

struct FreeContext {
  void operator()(redisContext* context) const { redisFree(context); }
};
struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;
using Words = std::vector<std::string>;

std::string_view TextOf(const redisReply* reply) {
  return reply->str == nullptr ? std::string_view()
                               : std::string_view(reply->str, static_cast<std::size_t>(reply->len));
}

// The witness's own way to Redis, apart from the engine's. Not thread-safe. SIGPIPE must be ignored.
class RedisClient {
 public:
  static Result<RedisClient> Open(const RedisTarget& target) {
    RedisClient client(redisConnectWithTimeout(target.host.c_str(), target.port, kConnectTimeout));
    if (client.context_ == nullptr || client.context_->err != 0 ||
        redisSetTimeout(client.context_.get(), kReplyTimeout) != REDIS_OK)
      return tl::make_unexpected(client.Lost());
    if (!target.password.empty()) {
      Words login = {"AUTH"};
      if (!target.user.empty()) login.push_back(target.user);
      login.push_back(target.password);
      if (auto done = client.Ask(login); !done) return tl::make_unexpected(done.error());
    }
    if (target.database != 0) {
      if (auto done = client.Ask({"SELECT", std::to_string(target.database)}); !done)
        return tl::make_unexpected(done.error());
    }
    return client;
  }

  Status Send(const Words& words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string& word : words) {
      texts.push_back(word.data());
      sizes.push_back(word.size());
    }
    if (redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data()) == REDIS_OK)
      return {};
    return tl::make_unexpected(Lost());
  }

  Result<Reply> Receive() {
    void* answer = nullptr;
    if (redisGetReply(context_.get(), &answer) != REDIS_OK) return tl::make_unexpected(Lost());
    Reply reply(static_cast<redisReply*>(answer));
    if (reply->type != REDIS_REPLY_ERROR) return reply;
    const std::string_view why = TextOf(reply.get());
    const std::string_view word = why.substr(0, why.find(' '));
    const bool login = word == "WRONGPASS" || word == "NOAUTH" || word == "NOPERM";
    const bool away =
        word == "LOADING" || word == "READONLY" || word == "MASTERDOWN" || word == "OOM" || word == "BUSY";
    return Fail(login  ? Code::kInvalidArgument
                : away ? Code::kUnavailable
                       : Code::kInternal,
                fmt::format("Redis: {}", why));
  }

  Result<Reply> Ask(const Words& words) {
    if (auto sent = Send(words); !sent) return tl::make_unexpected(sent.error());
    return Receive();
  }

 private:
  explicit RedisClient(redisContext* context) : context_(context) {}
  Error Lost() const {
    return {Code::kUnavailable, fmt::format("Redis: {}", context_ == nullptr ? "out of memory" : context_->errstr)};
  }
  std::unique_ptr<redisContext, FreeContext> context_;
};

// "ID JOB POD ACTUAL SCHEDULED LATENCY EXECUTION CREATED"
std::string Format(const WitnessRow& row, const std::string& pod, std::int64_t now) {
  const std::string end = row.execution_ms < 0 ? "-" : std::to_string(row.execution_ms);
  return fmt::format("{} {} {} {} {} {} {} {}", row.id, row.job_id, pod, EpochSeconds(row.actual),
                     EpochSeconds(row.fire), LatencyMs(row), end, EpochSeconds(now));
}

std::string_view TakeWord(std::string_view* text) {
  const std::string_view word = text->substr(0, text->find(' '));
  text->remove_prefix(std::min(text->size(), word.size() + 1));
  return word;
}

std::int64_t Whole(std::string_view text, std::int64_t otherwise) {
  std::int64_t number = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::int64_t Micros(std::string_view seconds) {
  double number = 0;
  std::from_chars(seconds.data(), seconds.data() + seconds.size(), number);
  return std::llround(number * 1e6);
}

class RedisWitness final : public WitnessStore {
 public:
  explicit RedisWitness(RedisClient client) : client_(std::move(client)) {}

  Status Prepare() override { return Clear(); }

  Status Clear() override {
    auto pods = Pods();
    if (!pods) return tl::make_unexpected(pods.error());
    Words unlink = {"UNLINK", kPods, kConfig};
    for (const std::string& pod : *pods) unlink.push_back(ListOf(pod));
    return Done(client_.Ask(unlink));
  }

  // The ids are this pod's own. A row that is written again, because a reply was lost or because it has ended since,
  // is one row to the reader: its id says so.
  Status Insert(const std::string& pod, std::vector<WitnessRow>* rows) override {
    for (WitnessRow& row : *rows) {
      if (row.id == 0) row.id = next_id_++;
    }
    return Push(pod, *rows);
  }
  Status Update(const std::string& pod, const std::vector<WitnessRow>& rows) override { return Push(pod, rows); }

  Status WriteConfig(const TestConfig& values) override {
    Words words = {"HSET", kConfig};
    for (const auto& [key, value] : values) words.insert(words.end(), {key, value});
    return Done(client_.Ask(words));
  }

  Result<TestConfig> ReadConfig() override {
    auto reply = client_.Ask({"HGETALL", kConfig});
    if (!reply) return tl::make_unexpected(reply.error());
    TestConfig values;
    for (std::size_t i = 0; i + 1 < (*reply)->elements; i += 2) {
      values[std::string(TextOf((*reply)->element[i]))] = TextOf((*reply)->element[i + 1]);
    }
    return values;
  }

  Result<Instant> Now() override {
    auto reply = client_.Ask({"TIME"});
    if (!reply) return tl::make_unexpected(reply.error());
    if ((*reply)->elements != 2) return Fail(Code::kInternal, "Redis: TIME has no answer");
    return FromMicros(Whole(TextOf((*reply)->element[0]), 0) * 1'000'000 + Whole(TextOf((*reply)->element[1]), 0));
  }

  Result<std::int64_t> Count() override {
    auto pods = Pods();
    if (!pods) return tl::make_unexpected(pods.error());
    std::int64_t count = 0;
    for (const std::string& pod : *pods) {
      auto length = client_.Ask({"LLEN", ListOf(pod)});
      if (!length) return tl::make_unexpected(length.error());
      count += (*length)->integer;
    }
    return count;
  }

  Status Read(const std::function<void(const RecordedRow&)>& take) override {
    auto pods = Pods();
    if (!pods) return tl::make_unexpected(pods.error());
    for (const std::string& pod : *pods) {
      // From the end: what was written last about a row is what holds.
      std::unordered_set<std::int64_t> seen;
      for (std::int64_t last = -1;; last -= kRowsAPage) {
        auto page = client_.Ask({"LRANGE", ListOf(pod), std::to_string(last - kRowsAPage + 1), std::to_string(last)});
        if (!page) return tl::make_unexpected(page.error());
        for (std::size_t i = (*page)->elements; i > 0; --i) {
          std::string_view text = TextOf((*page)->element[i - 1]);
          if (!seen.insert(Whole(TakeWord(&text), 0)).second) continue;
          RecordedRow row;
          row.job_id = TakeWord(&text);
          row.pod = TakeWord(&text);
          row.actual = Micros(TakeWord(&text));
          row.fire = Micros(TakeWord(&text));
          TakeWord(&text);  // the latency
          row.execution_ms = static_cast<std::int32_t>(Whole(TakeWord(&text), -1));
          take(row);
        }
        if ((*page)->elements < kRowsAPage) break;
      }
    }
    return {};
  }

 private:
  // The pods' lists could be looked for by name, but among all keys of the engine.
  Result<std::vector<std::string>> Pods() {
    auto reply = client_.Ask({"SMEMBERS", kPods});
    if (!reply) return tl::make_unexpected(reply.error());
    std::vector<std::string> pods;
    for (std::size_t i = 0; i < (*reply)->elements; ++i) pods.emplace_back(TextOf((*reply)->element[i]));
    return pods;
  }

  Status Push(const std::string& pod, const std::vector<WitnessRow>& rows) {
    const std::int64_t now = SystemMicros();
    int sent = 1;
    if (auto status = client_.Send({"SADD", kPods, pod}); !status) return status;
    for (std::size_t at = 0; at < rows.size(); at += kRowsACommand, ++sent) {
      Words words = {"RPUSH", ListOf(pod)};
      const std::size_t end = std::min(rows.size(), at + kRowsACommand);
      for (std::size_t i = at; i < end; ++i) words.push_back(Format(rows[i], pod, now));
      if (auto status = client_.Send(words); !status) return status;
    }
    Status done;
    for (; sent > 0; --sent) {
      auto reply = client_.Receive();
      if (!reply && done) done = tl::make_unexpected(reply.error());
      if (!reply && reply.error().code == Code::kUnavailable) break;
    }
    return done;
  }

  static Status Done(const Result<Reply>& reply) {
    if (!reply) return tl::make_unexpected(reply.error());
    return {};
  }

  static std::int64_t SystemMicros() {
    return std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  RedisClient client_;
  // From this instant in ns: greater than those of an earlier connection, which cannot have written a row each ns.
  std::int64_t next_id_ = SystemMicros() * 1000;
};

}  // namespace

Result<std::unique_ptr<WitnessStore>> OpenRedisWitness(const RedisTarget& target) {
  auto client = RedisClient::Open(target);
  if (!client) return tl::make_unexpected(client.error());
  return std::make_unique<RedisWitness>(std::move(*client));
}

}  // namespace escapement::stress
