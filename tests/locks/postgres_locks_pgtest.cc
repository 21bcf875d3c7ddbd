#include "locks/postgres/postgres_locks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "contract/locks_contract.h"
#include "servers/servers.h"
#include "stores/postgres/schema.h"

namespace escapement {
namespace {

PrivateServer* Server() {
  static const auto server = PrivateServer::Postgres({.durable = false});
  return server ? server->get() : nullptr;
}

std::string FreshDatabase() {
  static int count = 0;
  const std::string name = fmt::format("locks_{}", ++count);
  if (auto s = postgres::Connection(Server()->url(), "test").Run("CREATE DATABASE " + name); !s) {
    throw std::runtime_error(s.error().message);
  }
  const std::string url = Server()->url();
  return url.substr(0, url.rfind('/') + 1) + name;
}

LocksUnderTest MakeLocks() {
  if (Server() == nullptr) {
    return {.one = nullptr, .other = nullptr, .pass = nullptr, .unavailable = "no private PostgreSQL could be started"};
  }
  const std::string url = FreshDatabase();
  postgres::Connection db(url, "test");
  if (auto s = postgres::Migrate(db); !s) throw std::runtime_error(s.error().message);
  return {.one = std::make_shared<PostgresLocks>(url),
          .other = std::make_shared<PostgresLocks>(url),
          .pass = nullptr,
          .unavailable = ""};
}

INSTANTIATE_TEST_SUITE_P(Postgres, LocksContract, testing::Values(LocksAdapter{"postgres", MakeLocks}),
                         LocksAdapterName);

TEST(PostgresLocks, SayWhatIsMissingBeforeTheMigration) {
  ASSERT_NE(Server(), nullptr);
  PostgresLocks locks(FreshDatabase());
  const auto lease = locks.Acquire("name", std::chrono::seconds(5));
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code, Code::kConflict);
  EXPECT_THAT(lease.error().message, testing::HasSubstr("migration"));
}

TEST(PostgresLocks, AServerThatIsAwayGivesNothing) {
  PostgresLocks locks("postgresql://user:secret@127.0.0.1:1/none");
  const auto lease = locks.Acquire("name", std::chrono::seconds(5));
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code, Code::kUnavailable);
  EXPECT_THAT(lease.error().message, testing::Not(testing::HasSubstr("secret")));
}

}  // namespace
}  // namespace escapement
