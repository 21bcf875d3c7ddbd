// What Redis servers answer, from bytes (RESP2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"

struct redisReader;

namespace escapement {

struct RedisReply {
  enum class Kind { kNil, kInteger, kText, kError, kArray };
  Kind kind = Kind::kNil;
  std::int64_t integer = 0;
  std::string text;  // of kText (strings and statuses alike) and kError
  std::vector<RedisReply> elements;
};

// Cuts what a server sends into replies. Not thread-safe.
class RedisReplies {
 public:
  RedisReplies();
  void Feed(std::string_view bytes);
  // The next reply that is whole, or none. kInternal for what is not Redis's protocol; nothing can be read after that.
  [[nodiscard]] Result<std::optional<RedisReply>> Next();

 private:
  struct Free {
    void operator()(redisReader* reader) const;
  };
  std::unique_ptr<redisReader, Free> reader_;
};

}  // namespace escapement
