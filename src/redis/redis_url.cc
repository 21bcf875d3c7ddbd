#include "redis/redis_url.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace escapement {
namespace {

// Parts of a bad URL are never quoted: a password with an unencoded '/' or ':' could be in any of them.
tl::unexpected<Error> Bad(std::string_view reason) {
  return Fail(Code::kInvalidArgument, fmt::format("Redis URL: {} (expected redis://[user[:password]@]host[:port]"
                                                  "[/database], special characters percent-encoded)",
                                                  reason));
}

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int value = 0;
    const auto [end, error] = std::from_chars(&text[i + 1], &text[i + 1] + 2, value, 16);
    if (error != std::errc() || end != &text[i + 1] + 2 || value < 0) return std::nullopt;
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

std::optional<int> Number(std::string_view text, int most) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > most) return std::nullopt;
  return value;
}

bool IsHost(std::string_view text, bool bracketed) {
  for (const char c : text) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-' || c == '_' || (bracketed && (c == ':' || c == '%'));
    if (!ok) return false;
  }
  return !text.empty();
}

// host, host:port, [v6]:port
Result<RedisAddress> ReadAddress(std::string_view text, int usual_port) {
  std::string_view host = text;
  std::string_view rest;
  const bool bracketed = text.starts_with('[');
  if (bracketed) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return Bad("the address lacks its closing bracket");
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    rest = text.substr(colon);
  }
  if (!IsHost(host, bracketed)) return Bad("the host is missing or malformed");
  RedisAddress address{.host = std::string(host), .port = usual_port};
  if (!rest.empty()) {
    const auto port = rest.front() == ':' ? Number(rest.substr(1), 65'535) : std::nullopt;
    if (!port || *port == 0) return Bad("the port must be a number from 1 to 65535");
    address.port = *port;
  }
  return address;
}

Status ReadParameters(std::string_view query, RedisUrl* url) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(item.size() + 1, query.size()));
    const std::size_t equals = std::min(item.find('='), item.size());
    const std::string_view name = item.substr(0, equals);
    auto value = Decode(item.substr(std::min(equals + 1, item.size())));
    if (!value || value->empty()) return Bad("every parameter after '?' must have a value");
    const bool with_sentinels = !url->sentinels.empty();
    if (url->tls && name == "cacert") {
      url->tls_settings.ca_file = *value;
    } else if (url->tls && name == "cert") {
      url->tls_settings.cert_file = *value;
    } else if (url->tls && name == "key") {
      url->tls_settings.key_file = *value;
    } else if (with_sentinels && name == "sentinel_user") {
      url->sentinel_user = *value;
    } else if (with_sentinels && name == "sentinel_password") {
      url->sentinel_password = *value;
    } else {
      return Bad(
          "parameters are cacert, cert and key with rediss://, sentinel_user and sentinel_password with sentinels");
    }
  }
  if (!url->tls_settings.key_file.empty() && url->tls_settings.cert_file.empty()) return Bad("key needs cert too");
  return {};
}

std::string Shown(const RedisAddress& address) {
  const bool bracketed = address.host.find(':') != std::string::npos;
  return fmt::format("{}:{}", bracketed ? fmt::format("[{}]", address.host) : address.host, address.port);
}

}  // namespace

std::string RedisUrl::Name() const {
  const char* scheme = tls ? "rediss" : "redis";
  if (sentinels.empty()) return fmt::format("{}://{}/{}", scheme, Shown({host, port}), database);
  std::string addresses;
  for (const RedisAddress& sentinel : sentinels) addresses += (addresses.empty() ? "" : ",") + Shown(sentinel);
  return fmt::format("{}+sentinel://{}/{}/{}", scheme, addresses, master, database);
}

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  RedisUrl url;
  bool with_sentinels = false;
  bool known = false;
  for (const std::string_view scheme : {"redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://"}) {
    if (!text.starts_with(scheme)) continue;
    known = true;
    url.tls = scheme.starts_with("rediss");
    with_sentinels = scheme.find('+') != std::string_view::npos;
    text.remove_prefix(scheme.size());
    break;
  }
  if (!known) return Bad("it must start with redis:// or rediss:// (or redis+sentinel://)");
  const std::size_t question = std::min(text.find('?'), text.size());
  const std::string_view query = text.substr(std::min(question + 1, text.size()));
  text = text.substr(0, question);

  const std::size_t slash = std::min(text.find('/'), text.size());
  std::string_view authority = text.substr(0, slash);
  std::string_view path = text.substr(std::min(slash + 1, text.size()));
  if (with_sentinels) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (!IsHost(path.substr(0, end), false)) return Bad("after the sentinels comes the master's name: .../mymaster");
    url.master = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (!path.empty()) {
    const auto database = Number(path, 65'535);
    if (!database) return Bad("the database must be a number from 0");
    url.database = *database;
  }

  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view credentials = authority.substr(0, at);
    const std::size_t colon = credentials.find(':');
    const auto user = Decode(credentials.substr(0, colon));
    const auto password = colon == std::string_view::npos ? std::string() : Decode(credentials.substr(colon + 1));
    if (!user || !password) return Bad("a '%' in the user or password must be followed by two hex digits");
    url.user = *user;
    url.password = *password;
    authority.remove_prefix(at + 1);
  }

  if (with_sentinels) {
    while (!authority.empty()) {
      const std::string_view item = authority.substr(0, authority.find(','));
      authority.remove_prefix(std::min(item.size() + 1, authority.size()));
      auto address = ReadAddress(item, 26'379);
      if (!address) return tl::unexpected(address.error());
      url.sentinels.push_back(*std::move(address));
    }
    if (url.sentinels.empty()) return Bad("no sentinel is named");
  } else {
    auto address = ReadAddress(authority, 6379);
    if (!address) return tl::unexpected(address.error());
    url.host = address->host;
    url.port = address->port;
  }
  if (auto status = ReadParameters(query, &url); !status) return tl::unexpected(status.error());
  return url;
}

}  // namespace escapement
