#include "stores/sqlite/sqlite_store.h"

#include "contract/store_contract.h"
#include "tests/stores/sqlite_directory.h"

namespace escapement {
namespace {

// A store that takes its directory with it.
class OwnStore final : public JobStoreFactory {
 public:
  OwnStore() {
    auto factory = SqliteStoreFactory::Create("sqlite:" + directory_.path("jobs.db"));
    if (!factory) throw std::runtime_error(factory.error().message);
    factory_ = std::move(*factory);
    auto store = factory_->Open();
    if (!store) throw std::runtime_error(store.error().message);
    if (auto s = (*store)->Migrate(); !s) throw std::runtime_error(s.error().message);
  }
  Result<std::unique_ptr<JobStore>> Open() override { return factory_->Open(); }
  std::string Name() const override { return factory_->Name(); }

 private:
  SqliteDirectory directory_;
  std::unique_ptr<SqliteStoreFactory> factory_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract,
                         testing::Values(StoreUnderTest{"sqlite", [] { return std::make_unique<OwnStore>(); }}),
                         StoreName);

}  // namespace
}  // namespace escapement
