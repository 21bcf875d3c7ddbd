// URLs of stores and locks. No message may hold the password.
#include <cstdlib>

#include "fuzz/target.h"
#include "job/text.h"
#include "postgres/connection.h"
#include "redis/redis_url.h"
#include "sqlite/file.h"
#include "stores/postgres/postgres_store.h"

namespace escapement::fuzz {
namespace {

constexpr std::string_view kSecret = "s3cr3t";

void RequireNoSecret(std::string_view message) {
  Require(message.find(kSecret) == std::string_view::npos, "no message holds a password");
}

}  // namespace

FUZZ_TARGET(redis_url) {
  const auto read = ParseRedisUrl(input);
  if (!read) {
    RequireNoSecret(read.error().message);
    return RequireClear(read.error());
  }
  const std::string name = read->Name();
  Require(IsPrintableText(name), "a name can be shown");
  if (read->password.find(kSecret) != std::string::npos && input.find(kSecret) == input.rfind(kSecret)) {
    RequireNoSecret(name);
  }
  const auto again = ParseRedisUrl(name);
  Require(again.has_value() && again->Name() == name, "a name is a URL of the same server");
}

FUZZ_TARGET(postgres_url) {
  const std::string url(input);
  Require(IsPrintableText(postgres::RedactUrl(url)), "a name can be shown");
  // As a password, and nowhere else: a host that has the same letters is shown.
  if (url.starts_with("postgresql://user:s3cr3t@") && url.rfind(kSecret) == url.find(kSecret)) {
    RequireNoSecret(postgres::RedactUrl(url));
  }
  const auto factory = PostgresStoreFactory::Create(url);
  if (factory) {
    Require(IsPrintableText((*factory)->Name()), "a name can be shown");
  } else {
    RequireNoSecret(factory.error().message);
    RequireClear(factory.error());
  }
}

FUZZ_TARGET(sqlite_url) {
  const auto read = sqlite::ParseUrl(std::string(input));
  if (!read) return RequireClear(read.error());
  Require(read->path.starts_with('/'), "a path is absolute");
  if (const auto place = sqlite::CheckPlace(*read); !place) RequireClear(place.error());
}

}  // namespace escapement::fuzz
