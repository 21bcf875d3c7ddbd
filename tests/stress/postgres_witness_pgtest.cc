#include "servers/servers.h"
#include "tests/stress/witness_store_suite.h"

namespace escapement::stress {
namespace {

std::unique_ptr<PrivateServer> g_server;  // while the tests run

class Server : public testing::Environment {
 public:
  void SetUp() override {
    auto server = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(server) << server.error().message;
    g_server = std::move(*server);
  }
  void TearDown() override { g_server.reset(); }
};
const auto* const g_environment = testing::AddGlobalTestEnvironment(new Server);

PostgresTarget Target() {
  return {g_server->host(), g_server->port(), g_server->user(), g_server->password(), g_server->database()};
}

INSTANTIATE_TEST_SUITE_P(Postgres, WitnessStoreSuite,
                         testing::Values(RecordUnderTest{[] { return OpenPostgresWitness(Target()); }}));

}  // namespace
}  // namespace escapement::stress
