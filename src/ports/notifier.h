// Wake-ups between pods: hints that may be lost, repeated or late. Nobody waits for one alone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "escapement/status.h"

namespace escapement {

// Thread-safe.
class Notifier {
 public:
  // Ends the subscription when destroyed; no call of the callback is running after that.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  virtual ~Notifier() = default;
  virtual Status Publish(const std::string& channel, const std::string& message) = 0;
  // Calls `callback` on a thread of the notifier for each message, and with an empty message after every
  // (re)connection, since messages may have been missed before it. Reconnects by itself, with backoff.
  virtual Result<std::unique_ptr<Subscription>> Subscribe(const std::string& channel,
                                                          std::function<void(const std::string&)> callback) = 0;
};

}  // namespace escapement
