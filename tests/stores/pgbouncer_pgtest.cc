// Through PgBouncer in transaction mode, the real one: no session outlives a transaction. Needs the package pgbouncer.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include <arpa/inet.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract/locks_contract.h"
#include "contract/store_contract.h"
#include "locks/postgres/postgres_locks.h"
#include "postgres/connection.h"
#include "servers/process.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_notifier.h"
#include "stores/postgres/postgres_store.h"

namespace escapement {
namespace {

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

// PostgreSQL behind PgBouncer; one of each for the whole program.
class Pooled {
 public:
  static Pooled* Get() {
    static const std::unique_ptr<Pooled> one = Start();
    return one.get();
  }
  ~Pooled() {
    bouncer_.reset();
    std::filesystem::remove_all(directory_);
  }

  // A database of its own, reached through the pooler.
  std::string FreshDatabase() {
    const std::string name = fmt::format("pooled_{}", ++count_);
    if (auto s = postgres::Connection(server_->url(), "test").Run("CREATE DATABASE " + name); !s) {
      throw std::runtime_error(s.error().message);
    }
    return fmt::format("postgresql://{}:{}@127.0.0.1:{}/{}", server_->user(), server_->password(), port_, name);
  }
  const std::string& direct_url() const { return direct_url_; }

 private:
  static std::unique_ptr<Pooled> Start() {
    const auto program = FindProgram("/usr/sbin/pgbouncer");
    auto server = PrivateServer::Postgres({.durable = false});
    if (!program || !server) return nullptr;
    auto pooled = std::make_unique<Pooled>();
    pooled->server_ = std::move(*server);
    pooled->direct_url_ = pooled->server_->url();
    char directory[] = "/tmp/pgbouncer_XXXXXX";
    if (mkdtemp(directory) == nullptr) return nullptr;
    pooled->directory_ = directory;
    pooled->port_ = FreePort();
    std::ofstream(pooled->directory_ + "/users.txt")
        << fmt::format("\"{}\" \"{}\"\n", pooled->server_->user(), pooled->server_->password());
    std::ofstream(pooled->directory_ + "/bouncer.ini") << fmt::format(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n"
        "unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}/users.txt\npool_mode = transaction\n"
        "default_pool_size = 6\nserver_idle_timeout = 2\nmax_client_conn = 500\n",
        pooled->server_->port(), pooled->port_, pooled->directory_);
    ProcessOptions options;
    options.argv = {*program, pooled->directory_ + "/bouncer.ini"};
    options.output_file = pooled->directory_ + "/log";
    if (geteuid() == 0) {  // it refuses root, as PostgreSQL does
      options.user = "postgres";
      const passwd* user = getpwnam("postgres");
      if (user == nullptr) return nullptr;
      for (const char* file : {"", "/users.txt", "/bouncer.ini"}) {
        if (chown((pooled->directory_ + file).c_str(), user->pw_uid, user->pw_gid) != 0) return nullptr;
      }
    }
    auto bouncer = ChildProcess::Start(options);
    if (!bouncer) return nullptr;
    pooled->bouncer_ = std::move(*bouncer);
    const std::string url = pooled->FreshDatabase();
    for (int i = 0; i < 300 && !pooled->bouncer_->Poll(); ++i) {
      if (postgres::Connection(url, "test").Connect()) return pooled;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return nullptr;
  }

  std::unique_ptr<PrivateServer> server_;
  std::unique_ptr<ChildProcess> bouncer_;
  std::string directory_, direct_url_;
  int port_ = 0;
  int count_ = 0;
};

std::unique_ptr<JobStoreFactory> FreshStore() {
  if (Pooled::Get() == nullptr) throw std::runtime_error("no private PgBouncer could be started (package pgbouncer)");
  auto factory = PostgresStoreFactory::Create(Pooled::Get()->FreshDatabase());
  if (!factory) throw std::runtime_error(factory.error().message);
  auto store = (*factory)->Open();
  if (!store) throw std::runtime_error(store.error().message);
  if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  return std::move(*factory);
}

INSTANTIATE_TEST_SUITE_P(PgBouncer, StoreContract, testing::Values(StoreUnderTest{"pgbouncer", FreshStore}), StoreName);

LocksUnderTest MakeLocks() {
  if (Pooled::Get() == nullptr) {
    return {.one = nullptr, .other = nullptr, .pass = nullptr, .unavailable = "no private PgBouncer could be started"};
  }
  const std::string url = Pooled::Get()->FreshDatabase();
  auto factory = PostgresStoreFactory::Create(url);
  auto store = (*factory)->Open();
  if (!store || !(*store)->Migrate()) throw std::runtime_error("cannot migrate");
  return {.one = std::make_shared<PostgresLocks>(url),
          .other = std::make_shared<PostgresLocks>(url),
          .pass = nullptr,
          .unavailable = ""};
}

INSTANTIATE_TEST_SUITE_P(PgBouncer, LocksContract, testing::Values(LocksAdapter{"pgbouncer", MakeLocks}),
                         LocksAdapterName);

TEST(PgBouncer, IsRecognised) {
  ASSERT_NE(Pooled::Get(), nullptr);
  postgres::Connection pooled(Pooled::Get()->FreshDatabase(), "test");
  ASSERT_TRUE(pooled.Connect());
  EXPECT_TRUE(pooled.pooled());
  postgres::Connection direct(Pooled::Get()->direct_url(), "test");
  ASSERT_TRUE(direct.Connect());
  EXPECT_FALSE(direct.pooled());
}

TEST(PgBouncer, WakeUpsAreRefusedInWordsAndSentAllTheSame) {
  ASSERT_NE(Pooled::Get(), nullptr);
  PostgresNotifier notifier(Pooled::Get()->FreshDatabase());
  const auto subscription = notifier.Subscribe("wake", [](const std::string&) {});
  ASSERT_FALSE(subscription);
  EXPECT_EQ(subscription.error().code, Code::kUnsupported);
  EXPECT_THAT(subscription.error().message, testing::HasSubstr("pooler"));
  EXPECT_TRUE(notifier.Publish("wake", "jobs"));
}

}  // namespace
}  // namespace escapement
