#include "servers/servers.h"
#include "tests/stress/witness_store_suite.h"

namespace escapement::stress {
namespace {

std::unique_ptr<PrivateServer> g_server;  // while the tests run

class Server : public testing::Environment {
 public:
  void SetUp() override {
    auto server = PrivateServer::Redis();
    ASSERT_TRUE(server) << server.error().message;
    g_server = std::move(*server);
  }
  void TearDown() override { g_server.reset(); }
};
const auto* const g_environment = testing::AddGlobalTestEnvironment(new Server);

RedisTarget Target() { return {g_server->host(), g_server->port(), "", g_server->password(), 3}; }

INSTANTIATE_TEST_SUITE_P(Redis, WitnessStoreSuite,
                         testing::Values(RecordUnderTest{[] { return OpenRedisWitness(Target()); }}));

TEST(RedisWitness, AWrongPasswordIsRefusedWithoutNamingIt) {
  RedisTarget target = Target();
  target.password = "not-the-right-one";
  const auto opened = OpenRedisWitness(target);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kInvalidArgument);
  EXPECT_EQ(opened.error().message.find(target.password), std::string::npos);
}

TEST(RedisWitness, AServerThatIsAwayIsUnavailable) {
  auto record = OpenRedisWitness(Target());
  ASSERT_TRUE(record);
  ASSERT_TRUE((*record)->Prepare());
  ASSERT_TRUE(g_server->Stop());
  std::vector<WitnessRow> rows = {{.job_id = "job-0000", .fire = 1, .actual = 1}};
  const Status lost = (*record)->Insert("pod", &rows);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kUnavailable);
  const auto opened = OpenRedisWitness(Target());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kUnavailable);
  ASSERT_TRUE(g_server->Start());
  ASSERT_TRUE((*OpenRedisWitness(Target()))->Insert("pod", &rows));
  EXPECT_EQ(*(*OpenRedisWitness(Target()))->Count(), 1);
}

}  // namespace
}  // namespace escapement::stress
