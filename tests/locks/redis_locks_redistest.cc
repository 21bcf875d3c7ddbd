// Needs redis-server: each test starts a private one.
#include "locks/redis/redis_locks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include "contract/locks_contract.h"
#include "contract/notifier_contract.h"
#include "locks/redis/redis_notifier.h"
#include "servers/process.h"
#include "servers/servers.h"

namespace escapement {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr char kNoServer[] = "redis-server is not installed (package redis-server)";

bool HaveServer() { return FindProgram("redis-server").has_value(); }

std::shared_ptr<PrivateServer> StartServer() {
  auto server = PrivateServer::Redis();
  EXPECT_TRUE(server) << server.error().message;
  return server ? std::shared_ptr<PrivateServer>(std::move(*server)) : nullptr;
}

// The server lives as long as its clients do.
template <typename Port>
std::shared_ptr<Port> WithServer(Port* port, std::shared_ptr<PrivateServer> server) {
  return std::shared_ptr<Port>(port, [server = std::move(server)](Port* owned) { delete owned; });
}

template <typename Adapter>
std::unique_ptr<Adapter> ConnectTo(const PrivateServer& server) {
  auto url = ParseRedisUrl(server.url());
  EXPECT_TRUE(url);
  auto adapter = Adapter::Connect(*url);
  EXPECT_TRUE(adapter) << adapter.error().message;
  return adapter ? std::move(*adapter) : nullptr;
}

LocksUnderTest MakeLocks() {
  if (!HaveServer()) return {.one = nullptr, .other = nullptr, .pass = nullptr, .unavailable = kNoServer};
  auto server = StartServer();
  if (server == nullptr) return {.one = nullptr, .other = nullptr, .pass = nullptr, .unavailable = "no server"};
  return {.one = WithServer<Locks>(ConnectTo<RedisLocks>(*server).release(), server),
          .other = WithServer<Locks>(ConnectTo<RedisLocks>(*server).release(), server),
          .pass = nullptr,
          .unavailable = ""};
}

NotifierUnderTest MakeNotifiers() {
  if (!HaveServer()) return {.one = nullptr, .other = nullptr, .unavailable = kNoServer};
  auto server = StartServer();
  if (server == nullptr) return {.one = nullptr, .other = nullptr, .unavailable = "no server"};
  return {.one = WithServer<Notifier>(ConnectTo<RedisNotifier>(*server).release(), server),
          .other = WithServer<Notifier>(ConnectTo<RedisNotifier>(*server).release(), server),
          .unavailable = ""};
}

INSTANTIATE_TEST_SUITE_P(Redis, LocksContract, testing::Values(LocksAdapter{"Server", MakeLocks}), LocksAdapterName);
INSTANTIATE_TEST_SUITE_P(Redis, NotifierContract, testing::Values(NotifierAdapter{"Server", MakeNotifiers}),
                         NotifierAdapterName);

class Redis : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveServer()) GTEST_SKIP() << kNoServer;
    server_ = StartServer();
    ASSERT_TRUE(server_);
  }

  RedisUrl Url() const { return *ParseRedisUrl(server_->url()); }

  // Tries, within reason, until a call succeeds again.
  template <typename Call>
  static auto Eventually(Call call) {
    auto result = call();
    for (int attempt = 0; attempt < 400 && !result; ++attempt) {
      std::this_thread::sleep_for(milliseconds(50));
      result = call();
    }
    return result;
  }

  std::shared_ptr<PrivateServer> server_;
};

TEST_F(Redis, ALockIsNotAcquiredDuringAnOutageAndTheLocksHealAfterIt) {
  auto locks = ConnectTo<RedisLocks>(*server_);
  const auto lease = locks->Acquire("leader", hours(1));
  ASSERT_TRUE(lease && *lease);
  ASSERT_TRUE(server_->Stop(true));
  for (int i = 0; i < 3; ++i) {
    const auto refused = locks->Acquire("leader", hours(1));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kUnavailable) << refused.error().message;
    EXPECT_EQ(refused.error().message.find(server_->password()), std::string::npos);
    EXPECT_FALSE(locks->Renew(**lease, hours(1)));
    EXPECT_FALSE(locks->Release(**lease));
  }
  ASSERT_TRUE(server_->Start());
  const auto healed = Eventually([&] { return locks->Acquire("leader", hours(1)); });
  ASSERT_TRUE(healed) << healed.error().message;
  ASSERT_TRUE(*healed) << "the server came back empty";
  EXPECT_GT((*healed)->fence, (*lease)->fence) << "the fence must grow even over a loss of all data";
  EXPECT_FALSE(*locks->Renew(**lease, hours(1)));
}

TEST_F(Redis, AReplyThatIsLostLeavesTheCallInDoubtAndLaterCallsFailAtOnce) {
  auto locks = ConnectTo<RedisLocks>(*server_);
  ASSERT_TRUE(locks->Acquire("loads the script", hours(1)));
  kill(server_->pid(), SIGSTOP);
  const auto doubtful = locks->Acquire("a", hours(1));
  ASSERT_FALSE(doubtful);
  EXPECT_EQ(doubtful.error().code, Code::kInDoubt) << doubtful.error().message;
  const auto refused = locks->Acquire("b", hours(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable) << refused.error().message;
  kill(server_->pid(), SIGCONT);
  EXPECT_TRUE(Eventually([&] { return locks->Acquire("c", hours(1)); }));
}

TEST_F(Redis, ScriptsThatTheServerForgotAreSentAgain) {
  auto locks = ConnectTo<RedisLocks>(*server_);
  const auto lease = locks->Acquire("a", hours(1));
  ASSERT_TRUE(lease && *lease);
  RedisConnection connection(Url());
  ASSERT_TRUE(connection.Command({"SCRIPT", "FLUSH"}));
  const auto other = locks->Acquire("b", hours(1));
  EXPECT_TRUE(other && *other);
}

TEST_F(Redis, WrongCredentialsAreRefusedInOneClearLine) {
  RedisUrl url = Url();
  url.password = "hunter2";
  auto locks = RedisLocks::Connect(url);
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().code, Code::kInvalidArgument);
  EXPECT_NE(locks.error().message.find("WRONGPASS"), std::string::npos) << locks.error().message;
  EXPECT_EQ(locks.error().message.find("hunter2"), std::string::npos);

  url.password.clear();
  locks = RedisLocks::Connect(url);
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().code, Code::kInvalidArgument);
  EXPECT_NE(locks.error().message.find("NOAUTH"), std::string::npos) << locks.error().message;

  url = Url();
  url.database = 9'999;
  locks = RedisLocks::Connect(url);
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().code, Code::kInvalidArgument) << locks.error().message;

  url = Url();
  url.user = "default";
  url.database = 1;
  EXPECT_TRUE(RedisLocks::Connect(url));
}

TEST_F(Redis, AServerThatIsAwayIsUnavailable) {
  const RedisUrl url = Url();
  ASSERT_TRUE(server_->Stop());
  const auto locks = RedisLocks::Connect(url);
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().code, Code::kUnavailable) << locks.error().message;
  const auto notifier = RedisNotifier::Connect(url);
  ASSERT_FALSE(notifier);
  EXPECT_EQ(notifier.error().code, Code::kUnavailable);
}

TEST_F(Redis, ASubscriptionReconnectsAndSaysSoWithAnEmptyMessage) {
  auto notifier = ConnectTo<RedisNotifier>(*server_);
  Inbox inbox;
  const auto subscription = notifier->Subscribe("jobs", [&](const std::string& message) { inbox.Put(message); });
  ASSERT_TRUE(subscription);
  ASSERT_TRUE(inbox.Got("", 1));
  ASSERT_TRUE(server_->Stop());
  EXPECT_FALSE(notifier->Publish("jobs", "lost"));
  ASSERT_TRUE(server_->Start());
  ASSERT_TRUE(inbox.Got("", 2));
  ASSERT_TRUE(Eventually([&] { return notifier->Publish("jobs", "again"); }));
  EXPECT_TRUE(inbox.Got("again"));
}

TEST_F(Redis, SubscriptionsEndWhileTheServerHangsOrIsAway) {
  auto notifier = ConnectTo<RedisNotifier>(*server_);
  Inbox inbox;
  auto subscribe = [&] {
    return *notifier->Subscribe("jobs", [&](const std::string& message) { inbox.Put(message); });
  };
  auto connected = subscribe();
  ASSERT_TRUE(inbox.Got(""));
  kill(server_->pid(), SIGSTOP);
  auto connecting = subscribe();
  const auto begin = std::chrono::steady_clock::now();
  connected.reset();
  connecting.reset();
  ASSERT_TRUE(server_->Stop(true));
  auto refused = subscribe();
  refused.reset();
  notifier.reset();
  // The promise is a second; this bound is only there to tell it from waiting for the server.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace escapement
