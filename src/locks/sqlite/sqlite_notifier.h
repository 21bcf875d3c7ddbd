// Wake-ups between the processes of one machine that share an SQLite store.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ports/notifier.h"
#include "sqlite/file.h"

namespace escapement {

// Each subscription is a datagram socket in the directory PATH.wake, open to its owner only; a message is sent to each
// of them, at once and without waiting. Nobody polls. Lost: what finds a subscriber's queue full (it has messages to
// wake it then). Sockets whose process died are removed by the next message. Thread-safe.
class SqliteNotifier final : public Notifier {
 public:
  // Of the store "sqlite:PATH". The directory is made by the first subscription. kInvalidArgument as for the store.
  [[nodiscard]] static Result<std::unique_ptr<SqliteNotifier>> Create(const std::string& url);
  ~SqliteNotifier() override;

  // kInvalidArgument: longer than a datagram. kUnavailable: a subscriber cannot be reached, the others were.
  Status Publish(const std::string& channel, const std::string& message) override;
  Result<std::unique_ptr<Subscription>> Subscribe(const std::string& channel,
                                                  std::function<void(const std::string&)> callback) override;

 private:
  SqliteNotifier(sqlite::FileName directory, int fd) : directory_(std::move(directory)), fd_(fd) {}

  const sqlite::FileName directory_;
  const int fd_;  // a socket to send from
};

}  // namespace escapement
