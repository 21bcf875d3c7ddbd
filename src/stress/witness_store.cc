#include "stress/witness_store.h"

#include <fmt/format.h>

namespace escapement::stress {

using std::chrono::milliseconds;

WitnessPace PaceOf(StoreKind store) {
  switch (store) {
    case StoreKind::kPostgresql: return {milliseconds(250), 20'000};
    case StoreKind::kRedis: return {milliseconds(250), 5'000};
    // One writer at a time: while a batch is written, nobody can commit.
    case StoreKind::kSqlite: return {milliseconds(500), 5'000};
  }
  return {milliseconds(250), 5'000};
}

Result<std::unique_ptr<WitnessStore>> WitnessStore::Open(const StressConfig& config) {
  switch (config.store) {
    case StoreKind::kPostgresql: return OpenPostgresWitness(config.postgres);
    case StoreKind::kRedis: return OpenRedisWitness(config.redis);
    case StoreKind::kSqlite: return OpenSqliteWitness(config.sqlite_path);
  }
  return Fail(Code::kInternal, "unknown store");
}

std::int64_t LatencyMs(const WitnessRow& row) {
  return std::chrono::round<milliseconds>(Duration(row.actual - row.fire)).count();
}

std::string EpochSeconds(std::int64_t micros) { return fmt::format("{:.6f}", static_cast<double>(micros) / 1e6); }

}  // namespace escapement::stress
