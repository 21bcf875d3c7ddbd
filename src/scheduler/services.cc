#include "scheduler/services.h"

#include <map>
#include <mutex>

#include "locks/memory/memory_locks.h"
#include "locks/postgres/postgres_locks.h"
#include "locks/redis/redis_locks.h"
#include "locks/redis/redis_notifier.h"
#include "locks/sqlite/sqlite_locks.h"
#include "locks/sqlite/sqlite_notifier.h"
#include "redis/redis_url.h"
#include "stores/memory/memory_store.h"
#include "stores/postgres/postgres_notifier.h"
#include "stores/postgres/postgres_store.h"
#include "stores/redis/redis_store.h"
#include "stores/sqlite/sqlite_store.h"

namespace escapement {
namespace {

// "memory:" and "memory:NAME" are one store (or lock service) for all schedulers of this process that name it, for as
// long as one of them lives.
template <typename T>
std::shared_ptr<T> SharedByName(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<T>> all;
  const std::lock_guard lock(mutex);
  if (auto there = all[name].lock()) return there;
  auto made = std::make_shared<T>();
  all[name] = made;
  return made;
}

bool StartsWith(const std::string& url, std::initializer_list<const char*> prefixes) {
  for (const char* p : prefixes) {
    if (url.starts_with(p)) return true;
  }
  return false;
}
bool IsMemory(const std::string& url) { return url.starts_with("memory:"); }
bool IsPostgres(const std::string& url) { return StartsWith(url, {"postgresql://", "postgres://"}); }
bool IsRedis(const std::string& url) {
  return StartsWith(url, {"redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://"});
}

bool IsSqlite(const std::string& url) { return url.starts_with("sqlite:"); }

// --- stores

Status AddStore(const std::string& url, Services* s) {
  if (IsPostgres(url)) {
    auto store = PostgresStoreFactory::Create(url);
    if (!store) return tl::unexpected(store.error());
    s->store = std::move(*store);
    return {};
  }
  if (IsMemory(url)) {
    s->store = SharedByName<MemoryStoreFactory>(url);
    return {};
  }
  if (IsSqlite(url)) {
    auto store = SqliteStoreFactory::Create(url);
    if (!store) return tl::unexpected(store.error());
    s->store = std::move(*store);
    return {};
  }
  if (IsRedis(url)) {
    auto store = RedisStoreFactory::Create(url);
    if (!store) return tl::unexpected(store.error());
    s->store = std::move(*store);
    return {};
  }
  return Fail(Code::kInvalidArgument,
              "unknown store URL: expected sqlite:PATH, postgresql://user:password@host:port/database, "
              "redis://user:password@host:port/database or memory:");
}

// --- locks, and the wake-ups that come with them

Status AddRedisLocks(const std::string& text, Services* s) {
  auto url = ParseRedisUrl(text);
  if (!url) return tl::unexpected(url.error());
  auto locks = RedisLocks::Connect(*url);
  if (!locks) return tl::unexpected(locks.error());
  auto notifier = RedisNotifier::Connect(*url);
  if (!notifier) return tl::unexpected(notifier.error());
  s->locks = std::move(*locks);
  s->notifier = std::move(*notifier);
  return {};
}

Status AddSqliteNotifier(const std::string& url, Services* s) {
  auto notifier = SqliteNotifier::Create(url);
  if (!notifier) return tl::unexpected(notifier.error());
  s->notifier = std::move(*notifier);
  return {};
}

Status AddSqliteLocks(const std::string& url, Services* s) {
  auto locks = SqliteLocks::Create(url);
  if (!locks) return tl::unexpected(locks.error());
  s->locks = std::move(*locks);
  return AddSqliteNotifier(url, s);
}

// Pods that share a store must share its locks. Redis can be the lock service of any store that several processes
// share; locks in a database serve the jobs in it; locks in memory serve a pod that is alone.
Status CheckPair(const std::string& store, const std::string& locks) {
  const auto bad = [](const char* what) { return Fail(Code::kInvalidArgument, what); };
  if (IsRedis(locks) && IsMemory(store)) {
    return bad("a memory: store serves one process, which needs no redis:// locks: leave the locks URL empty");
  }
  if (IsSqlite(locks) && !IsSqlite(store)) {
    return bad("sqlite: locks need a sqlite: store: leave the locks URL empty for the store's own, or use redis://");
  }
  if (IsPostgres(locks) && !IsPostgres(store)) {
    return bad(
        "postgresql:// locks need a postgresql:// store: leave the locks URL empty for the store's own, or use "
        "redis://");
  }
  return {};
}

Status AddLocks(const std::string& store_url, const std::string& locks_url, Services* s) {
  const std::string& url = locks_url.empty() ? store_url : locks_url;
  if (IsSqlite(url)) return AddSqliteLocks(url, s);
  if (IsRedis(url)) return AddRedisLocks(url, s);
  if (IsPostgres(url)) {
    s->locks = std::make_shared<PostgresLocks>(url);
    s->notifier = std::make_shared<PostgresNotifier>(url);
    return {};
  }
  if (IsMemory(url)) {
    s->locks = SharedByName<MemoryLocks>(url);
    if (IsMemory(store_url)) {
      s->notifier = SharedByName<MemoryNotifier>(url);
    } else if (IsSqlite(store_url)) {
      return AddSqliteNotifier(store_url, s);
    } else if (IsRedis(store_url)) {
      auto redis = ParseRedisUrl(store_url);
      if (!redis) return tl::unexpected(redis.error());
      auto notifier = RedisNotifier::Connect(*redis);
      if (!notifier) return tl::unexpected(notifier.error());
      s->notifier = std::move(*notifier);
    } else {
      s->notifier = std::make_shared<PostgresNotifier>(store_url);
    }
    return {};
  }
  return Fail(
      Code::kInvalidArgument,
      "unknown locks URL: expected redis://..., postgresql://..., sqlite:PATH or memory:, or none for the store's own");
}

}  // namespace

Result<Services> Connect(const std::string& store_url, const std::string& locks_url) {
  if (auto status = CheckPair(store_url, locks_url); !status) return tl::unexpected(status.error());
  Services s;
  if (auto status = AddStore(store_url, &s); !status) return tl::unexpected(status.error());
  if (auto status = AddLocks(store_url, locks_url, &s); !status) return tl::unexpected(status.error());
  return s;
}

}  // namespace escapement
