// Where a Redis server is and how to enter it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "redis/tls.h"

namespace escapement {

struct RedisAddress {
  std::string host;
  int port = 6379;
};

struct RedisUrl {
  std::string host;
  int port = 6379;
  std::string user;      // empty: the default user
  std::string password;  // empty, and no user: no authentication
  int database = 0;

  bool tls = false;
  TlsSettings tls_settings = {};
  // Not empty: the master is wherever these say that `master` is; host and port are not used.
  std::vector<RedisAddress> sentinels = {};
  std::string master = {};
  std::string sentinel_user = {};
  std::string sentinel_password = {};

  // Without secrets, for messages: "redis://127.0.0.1:6379/0".
  std::string Name() const;
};

// Reads redis://[user[:password]@]host[:port][/database]; user and password percent-encoded, an IPv6 address in
// brackets. rediss:// is TLS, with ?cacert=FILE, cert=FILE and key=FILE.
// redis+sentinel://...@host:port,host:port/master
// [/database] asks sentinels (port 26379), with ?sentinel_user= and sentinel_password=; rediss+sentinel:// with TLS to
// all. kInvalidArgument, in one line that never shows any of the password.
[[nodiscard]] Result<RedisUrl> ParseRedisUrl(std::string_view text);

}  // namespace escapement
