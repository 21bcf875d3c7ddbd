// Where a Redis server is and how to enter it.
#pragma once

#include <string>
#include <string_view>

#include "escapement/status.h"

namespace escapement {

struct RedisUrl {
  std::string host;
  int port = 6379;
  std::string user;      // empty: the default user
  std::string password;  // empty, and no user: no authentication
  int database = 0;

  // Without secrets, for messages: "redis://127.0.0.1:6379/0".
  std::string Name() const;
};

// Reads redis://[user[:password]@]host[:port][/database]; user and password percent-encoded, an IPv6 address in
// brackets. kInvalidArgument, in one line that never shows any of the password; kUnsupported for rediss://.
[[nodiscard]] Result<RedisUrl> ParseRedisUrl(std::string_view text);

}  // namespace escapement
