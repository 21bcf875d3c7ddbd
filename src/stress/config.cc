#include "stress/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

namespace escapement::stress {
namespace {

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
        c == '_' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("%{:02X}", c);
    }
  }
  return out;
}

std::string UrlHost(const std::string& host) {
  return host.find(':') == std::string::npos ? PercentEncode(host) : "[" + host + "]";  // IPv6
}

constexpr std::array kStores = {StoreKind::kPostgresql, StoreKind::kRedis, StoreKind::kSqlite};

// Reads variables and gathers what is wrong with them.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::optional<std::string> Text(const std::string& name) {
    auto value = environment_(name);
    return value && !value->empty() ? value : std::nullopt;
  }

  void Read(const std::string& name, std::string* out) {
    if (auto value = Text(name)) *out = *value;
  }

  std::optional<std::int64_t> Number(const std::string& name, std::int64_t min, std::int64_t max) {
    auto text = Text(name);
    if (!text) return std::nullopt;
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < min || value > max) {
      Wrong(name, fmt::format("a whole number from {} to {}", min, max), *text);
      return std::nullopt;
    }
    return value;
  }

  std::optional<bool> Truth(const std::string& name) {
    auto text = Text(name);
    if (!text) return std::nullopt;
    if (*text == "true" || *text == "1") return true;
    if (*text == "false" || *text == "0") return false;
    Wrong(name, "true or false", *text);
    return std::nullopt;
  }

  void Wrong(const std::string& name, const std::string& right, const std::string& value) {
    std::string line = fmt::format("{} must be {}, not \"{}\"", name, right, value.substr(0, 100));
    for (char& c : line) {  // one line, whatever is in it
      if (c < 0x20 || c > 0x7e) c = '?';
    }
    errors.push_back(std::move(line));
  }

  std::vector<std::string> errors;

 private:
  const Environment& environment_;
};

bool IsPodName(const std::string& name) {
  if (name.size() > 200) return false;
  for (unsigned char c : name) {
    if (c < 0x21 || c == 0x7f || c == '/') return false;
  }
  return true;
}

}  // namespace

std::string PostgresTarget::Url() const {
  return fmt::format("postgresql://{}{}@{}:{}/{}", PercentEncode(user),
                     password.empty() ? "" : ":" + PercentEncode(password), UrlHost(host), port,
                     PercentEncode(database));
}

std::string RedisTarget::Url() const {
  std::string login;
  if (!user.empty() || !password.empty()) login = PercentEncode(user) + ":" + PercentEncode(password) + "@";
  return fmt::format("redis://{}{}:{}/{}", login, UrlHost(host), port, database);
}

std::string_view StoreWord(StoreKind store) {
  switch (store) {
    case StoreKind::kPostgresql: return "postgresql";
    case StoreKind::kRedis: return "redis";
    case StoreKind::kSqlite: return "sqlite";
  }
  return "";
}

std::string_view StoreName(StoreKind store) {
  switch (store) {
    case StoreKind::kPostgresql: return "PostgreSQL";
    case StoreKind::kRedis: return "Redis";
    case StoreKind::kSqlite: return "SQLite";
  }
  return "";
}

std::string StressConfig::StoreUrl() const {
  switch (store) {
    case StoreKind::kPostgresql: return postgres.Url();
    case StoreKind::kRedis: return redis.Url();
    case StoreKind::kSqlite: return "sqlite:" + sqlite_path;
  }
  return "";
}

std::string StressConfig::LocksUrl() const { return store == StoreKind::kPostgresql ? redis.Url() : ""; }

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

tl::expected<StressConfig, std::vector<std::string>> ReadConfig(const Environment& environment,
                                                                const StressFlags& flags) {
  Reader reader(environment);
  StressConfig config;
  config.flags = flags;
  constexpr std::int64_t kWeekMs = 7LL * 24 * 3600 * 1000;
  if (auto n = reader.Number("JOB_COUNT", 1, 1'000'000)) config.job_count = static_cast<int>(*n);
  if (auto n = reader.Number("JOB_INTERVAL_MS", 1, 520 * kWeekMs)) config.interval = std::chrono::milliseconds(*n);
  if (auto n = reader.Number("JOB_DURATION_MS", 0, kWeekMs)) config.duration = std::chrono::milliseconds(*n);
  if (auto n = reader.Number("TEST_DURATION_SEC", 1, kWeekMs / 1000)) config.test_duration = std::chrono::seconds(*n);
  if (auto n = reader.Number("PODS", 1, 64)) config.pods = static_cast<int>(*n);

  if (auto word = reader.Text("STORE")) {
    const auto* const found =
        std::find_if(kStores.begin(), kStores.end(), [&](StoreKind s) { return StoreWord(s) == *word; });
    if (found == kStores.end()) {
      reader.Wrong("STORE", "postgresql, redis or sqlite", *word);
    } else {
      config.store = *found;
    }
  }

  reader.Read("POSTGRES_HOST", &config.postgres.host);
  if (auto n = reader.Number("POSTGRES_PORT", 1, 65535)) config.postgres.port = static_cast<int>(*n);
  reader.Read("POSTGRES_USER", &config.postgres.user);
  reader.Read("POSTGRES_PASSWORD", &config.postgres.password);
  config.postgres.database = config.postgres.user;
  auto db = reader.Text("POSTGRES_DB");
  auto database = reader.Text("POSTGRES_DATABASE");
  if (db && database && *db != *database) {
    reader.Wrong("POSTGRES_DATABASE", fmt::format("the same as POSTGRES_DB (\"{}\")", *db), *database);
  } else if (db || database) {
    config.postgres.database = db ? *db : *database;
  }

  reader.Read("REDIS_HOST", &config.redis.host);
  if (auto n = reader.Number("REDIS_PORT", 1, 65535)) config.redis.port = static_cast<int>(*n);
  reader.Read("REDIS_USER", &config.redis.user);
  reader.Read("REDIS_PASSWORD", &config.redis.password);
  if (auto n = reader.Number("REDIS_DB", 0, 1'000'000)) config.redis.database = static_cast<int>(*n);

  reader.Read("SQLITE_PATH", &config.sqlite_path);

  reader.Read("POD_NAME", &config.pod_name);
  if (!IsPodName(config.pod_name)) {
    reader.Wrong("POD_NAME", "at most 200 characters without spaces and slashes", config.pod_name);
  }
  config.is_leader = reader.Truth("IS_LEADER").value_or(false) || flags.leader;
  reader.Read("STRESS_WITNESS_DIR", &config.witness_dir);
  reader.Read("STRESS_READY_FILE", &config.ready_file);
  reader.Read("STRESS_PIDS_FILE", &config.pids_file);
  if (auto n = reader.Number("STRESS_CONNECT_TIMEOUT_SEC", 1, 3600)) config.connect_timeout = std::chrono::seconds(*n);
  if (auto n = reader.Number("STRESS_RESTART_AFTER_SEC", 0, 3600)) config.restart_after = std::chrono::seconds(*n);

  if (!reader.errors.empty()) return tl::make_unexpected(std::move(reader.errors));
  return config;
}

std::string JobId(int index) { return fmt::format("job-{:04}", index); }

int JobIndex(std::string_view id) {
  if (id.size() < 8 || id.size() > 11 || id.substr(0, 4) != "job-") return -1;
  int index = 0;
  auto [end, error] = std::from_chars(id.data() + 4, id.data() + id.size(), index);
  const bool whole = error == std::errc() && end == id.data() + id.size() && index >= 0;
  return whole && (id.size() == 8 || index >= 10'000) ? index : -1;
}

Duration JobPhase(int index, int count, Duration interval) {
  // index * interval / count, in two parts because the product of a long interval overflows.
  return index * (interval / count) + Duration(index * (interval.count() % count) / count);
}

}  // namespace escapement::stress
