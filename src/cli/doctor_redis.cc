#include <fmt/format.h>

#include "cli/doctor.h"
#include "redis/redis_connection.h"
#include "redis/redis_url.h"

namespace escapement {
namespace {

using Level = Finding::Level;

// The value of `name` in "name:value\r\n" lines.
std::string Field(const std::string& info, const std::string& name) {
  const std::size_t at = info.find("\n" + name + ":");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 2;
  return info.substr(begin, info.find_first_of("\r\n", begin) - begin);
}

Result<std::string> Info(RedisConnection& redis, std::string_view section) {
  auto reply = redis.Command({"INFO", section});
  if (!reply) return tl::unexpected(reply.error());
  return "\n" + reply->text;
}

}  // namespace

std::vector<Finding> ExamineRedis(const std::string& part, const std::string& url) {
  auto parsed = ParseRedisUrl(url);
  if (!parsed) return {{Level::kFail, part, parsed.error().message}};
  RedisConnection redis(*parsed);
  std::vector<Finding> findings;
  const bool store = part == "store";

  const auto memory = Info(redis, "memory");
  const std::string policy = memory ? Field(*memory, "maxmemory_policy") : "";
  if (policy.empty()) {
    findings.push_back({Level::kWarn, part, "Redis does not say what it does when its memory is full"});
  } else if (policy != "noeviction") {
    findings.push_back(
        {store ? Level::kFail : Level::kWarn, part,
         fmt::format("Redis evicts keys when its memory is full (maxmemory-policy {}): use noeviction", policy)});
  } else {
    findings.push_back({Level::kOk, part, "Redis evicts no keys"});
  }

  const auto persistence = Info(redis, "persistence");
  if (!persistence) {
    findings.push_back({Level::kWarn, part, "Redis does not say how it persists: " + persistence.error().message});
  } else if (store && Field(*persistence, "aof_enabled") == "0") {
    findings.push_back(
        {Level::kWarn, part,
         "Redis has no append-only file: jobs since the last snapshot are lost with it (appendonly yes)"});
  } else if (store && Field(*persistence, "aof_last_write_status") == "err") {
    findings.push_back({Level::kFail, part, "Redis cannot write its append-only file"});
  } else if (store) {
    findings.push_back({Level::kOk, part, "Redis keeps an append-only file"});
  }
  return findings;
}

}  // namespace escapement
