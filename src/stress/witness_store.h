// Where the witness keeps its record and the leader its plan: beside the engine's data, in the same server or file,
// over a way of its own.
//
// The record has the same columns everywhere: id, job_id, pod_name, actual_time, scheduled_time, latency_ms,
// execution_time_ms, created_at. PostgreSQL and SQLite have the tables stress_executions and stress_config; Redis has a
// list stress_executions:POD for each pod in the set stress_pods, whose elements are the columns with a space between
// ("-" for none), and the hash stress_config.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "escapement/time.h"
#include "stress/config.h"

namespace escapement::stress {

// One start of a job's body, as it is written. Instants in us since the epoch.
struct WitnessRow {
  std::int64_t id = 0;  // given by the store; 0: not yet
  std::string job_id;
  std::int64_t fire = 0;
  std::int64_t actual = 0;
  std::int32_t execution_ms = -1;  // -1: has not ended
};

// The same as it is read.
struct RecordedRow {
  std::string_view job_id;
  std::string_view pod;
  std::int64_t fire = 0;
  std::int64_t actual = 0;
  std::int32_t execution_ms = -1;
};

// How a pod writes, so that the witness does not become the load.
struct WitnessPace {
  std::chrono::milliseconds flush_every;
  std::size_t batch_limit;  // rows at once
};
WitnessPace PaceOf(StoreKind store);

using TestConfig = std::map<std::string, std::string>;

// One connection. Not thread-safe. Errors: kUnavailable (the server is away or the file is locked: open a new one),
// kNotFound (no test was ever prepared there), else what cannot be helped. Messages never hold a password.
class WitnessStore {
 public:
  // To what the configuration says. Creates nothing.
  [[nodiscard]] static Result<std::unique_ptr<WitnessStore>> Open(const StressConfig& config);
  virtual ~WitnessStore() = default;

  // Makes what is not there yet, and empties it. The engine's schema must be there.
  [[nodiscard]] virtual Status Prepare() = 0;
  // Empties it.
  [[nodiscard]] virtual Status Clear() = 0;

  // Gives the rows their ids and writes them. After an error call it again with the same rows, over a new connection:
  // they are then in the record once.
  [[nodiscard]] virtual Status Insert(const std::string& pod, std::vector<WitnessRow>* rows) = 0;
  // The rows, inserted before, have ended since. Harmless when it is done twice.
  [[nodiscard]] virtual Status Update(const std::string& pod, const std::vector<WitnessRow>& rows) = 0;

  [[nodiscard]] virtual Status WriteConfig(const TestConfig& values) = 0;
  [[nodiscard]] virtual Result<TestConfig> ReadConfig() = 0;
  // The clock of the engine's store.
  [[nodiscard]] virtual Result<Instant> Now() = 0;
  // About how many starts are recorded: cheap to ask.
  [[nodiscard]] virtual Result<std::int64_t> Count() = 0;
  // Each start once, in no order.
  [[nodiscard]] virtual Status Read(const std::function<void(const RecordedRow&)>& take) = 0;
};

// One for each kind of store.
[[nodiscard]] Result<std::unique_ptr<WitnessStore>> OpenPostgresWitness(const PostgresTarget& target);
[[nodiscard]] Result<std::unique_ptr<WitnessStore>> OpenRedisWitness(const RedisTarget& target);
[[nodiscard]] Result<std::unique_ptr<WitnessStore>> OpenSqliteWitness(const std::string& path);

// What the record says beside the two instants.
std::int64_t LatencyMs(const WitnessRow& row);
// Seconds since the epoch, with six decimals.
std::string EpochSeconds(std::int64_t micros);

}  // namespace escapement::stress
