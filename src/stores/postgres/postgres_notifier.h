// Wake-ups by LISTEN and NOTIFY. Never inside a commit of runs: NOTIFY puts the commits of all who notify in a row.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "ports/notifier.h"
#include "postgres/connection.h"

namespace escapement {

class PostgresNotifier : public Notifier {
 public:
  // Connects at the first call of each kind.
  explicit PostgresNotifier(std::string url);
  Status Publish(const std::string& channel, const std::string& message) override;
  Result<std::unique_ptr<Subscription>> Subscribe(const std::string& channel,
                                                  std::function<void(const std::string&)> callback) override;

 private:
  std::string url_;
  std::mutex mutex_;
  postgres::Connection sender_;  // guarded by mutex_
};

}  // namespace escapement
