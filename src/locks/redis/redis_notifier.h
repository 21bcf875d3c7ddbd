// Wake-ups by Redis's publish/subscribe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ports/notifier.h"
#include "redis/redis_connection.h"
#include "redis/redis_url.h"

namespace escapement {

// Channels: "escapement:<channel>". A subscription has a connection and a thread of its own, may outlive the notifier,
// and must not be destroyed by its own callback; its destructor does not wait for the server. Thread-safe.
class RedisNotifier final : public Notifier {
 public:
  // Errors: as RedisLocks::Connect.
  [[nodiscard]] static Result<std::unique_ptr<RedisNotifier>> Connect(const RedisUrl& url);

  Status Publish(const std::string& channel, const std::string& message) override;
  // Returns at once; the first empty message says that the subscription is in force.
  Result<std::unique_ptr<Subscription>> Subscribe(const std::string& channel,
                                                  std::function<void(const std::string&)> callback) override;

 private:
  explicit RedisNotifier(const RedisUrl& url) : url_(url), connection_(url) {}

  const RedisUrl url_;
  RedisConnection connection_;
};

}  // namespace escapement
