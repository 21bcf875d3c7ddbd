// JobStore on Redis 7 or later, a single server or a cluster: one Lua script for each transition of a shard.
#pragma once

#include <memory>
#include <string>

#include "ports/job_store.h"
#include "redis/redis_url.h"

namespace escapement {

// Jobs live in hash-tagged shards, "{esc:0}:..." and on; what touches several shards is atomic in each of them only: a
// batch whose error is kInDoubt may have been applied in part, and can be sent again. History keeps the newest 1,000
// runs of a job (field "history" of the hash "{esc:0}:meta" says how many), besides the days of Maintain.
class RedisStoreFactory final : public JobStoreFactory {
 public:
  // Checks the URL's form; connects to nothing. kInvalidArgument when it cannot be right.
  [[nodiscard]] static Result<std::unique_ptr<RedisStoreFactory>> Create(const std::string& url);
  Result<std::unique_ptr<JobStore>> Open() override;
  std::string Name() const override { return url_.Name(); }

 private:
  explicit RedisStoreFactory(RedisUrl url) : url_(std::move(url)) {}
  RedisUrl url_;
};

}  // namespace escapement
