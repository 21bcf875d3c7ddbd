#include "redis/redis_url.h"

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

}  // namespace

std::string RedisUrl::Name() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return fmt::format("redis://{}:{}/{}", bracketed ? fmt::format("[{}]", host) : host, port, database);
}

Result<RedisUrl> ParseRedisUrl(std::string_view text) {
  if (text.starts_with("rediss://"))
    return Fail(Code::kUnsupported,
                "Redis URL: rediss:// (TLS) is not supported; use redis:// on a trusted network "
                "or through a TLS tunnel");
  constexpr std::string_view kScheme = "redis://";
  if (!text.starts_with(kScheme)) return Bad("it must start with redis://");
  text.remove_prefix(kScheme.size());

  RedisUrl url;
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos && slash + 1 < text.size()) {
    const auto database = Number(text.substr(slash + 1), 65'535);
    if (!database) return Bad("the database must be a number from 0");
    url.database = *database;
  }
  std::string_view authority = text.substr(0, slash);

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

  std::string_view host = authority;
  std::string_view rest;
  const bool bracketed = authority.starts_with('[');
  if (bracketed) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return Bad("the address lacks its closing bracket");
    host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
  } else if (const std::size_t colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    rest = authority.substr(colon);
  }
  if (!IsHost(host, bracketed)) return Bad("the host is missing or malformed");
  url.host = host;
  if (!rest.empty()) {
    const auto port = rest.front() == ':' ? Number(rest.substr(1), 65'535) : std::nullopt;
    if (!port || *port == 0) return Bad("the port must be a number from 1 to 65535");
    url.port = *port;
  }
  return url;
}

}  // namespace escapement
