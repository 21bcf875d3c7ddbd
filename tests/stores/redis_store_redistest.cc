// Needs redis-server: one private server for the program, a database of its own for each store.
#include "stores/redis/redis_store.h"

#include <fmt/format.h>

#include "contract/store_contract.h"
#include "servers/servers.h"

namespace escapement {
namespace {

PrivateServer* Server() {
  static const auto server = PrivateServer::Redis({.directory = {}, .settings = {"databases 2000"}, .keep = false});
  return server ? server->get() : nullptr;
}

std::unique_ptr<JobStoreFactory> FreshStore() {
  static int database = 0;
  if (Server() == nullptr) throw std::runtime_error("no private Redis could be started");
  const std::string url = Server()->url();
  auto factory = RedisStoreFactory::Create(fmt::format("{}/{}", url.substr(0, url.rfind('/')), ++database));
  if (!factory) throw std::runtime_error(factory.error().message);
  auto store = (*factory)->Open();
  if (!store) throw std::runtime_error(store.error().message);
  if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  return std::move(*factory);
}

INSTANTIATE_TEST_SUITE_P(Redis, StoreContract, testing::Values(StoreUnderTest{"redis", FreshStore}), StoreName);

}  // namespace
}  // namespace escapement
