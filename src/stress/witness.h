// The pod's own record of what its job bodies did, beside the engine.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "escapement/handler.h"
#include "escapement/status.h"
#include "stress/config.h"
#include "stress/witness_store.h"

namespace escapement::stress {

// The wall clock by raw system call, in us since the epoch: no library stands between it and the kernel.
std::int64_t WallMicros();

// Writes each start to the pod's file at once and to the record in batches, by a thread and a connection of its own.
// While the store is away rows wait in memory, 2,000,000 at most. Begin and End are thread-safe.
class Witness {
 public:
  struct Row;

  // kInternal when the file cannot be made. Does not connect yet.
  [[nodiscard]] static Result<std::unique_ptr<Witness>> Open(const StressConfig& config);
  ~Witness();

  // The pod's name, known once its session is registered. Rows before it wait in memory.
  void SetPodName(const std::string& name);

  std::shared_ptr<Row> Begin(const RunContext& run);
  void End(const std::shared_ptr<Row>& row);

  std::int64_t starts() const;

  // Flushes what is left, for at most `limit`. Returns the number of rows that did not reach the record.
  std::int64_t Stop(Duration limit);

 private:
  explicit Witness(const StressConfig& config) : config_(config), pace_(PaceOf(config.store)) {}
  void Loop();
  // One round: new rows, then ends of rows inserted before. False when the connection failed.
  bool Flush(bool last);
  bool Insert(bool last);
  bool Update();
  bool Connect();

  // Rows on their way: kept until they are known to be in the record.
  struct Batch {
    std::string pod;
    std::vector<std::shared_ptr<Row>> rows;
    std::vector<WitnessRow> written;  // what is said of them
  };
  Batch TakeBatch(bool last);

  const StressConfig config_;
  const WitnessPace pace_;
  std::string directory_;
  int file_ = -1;

  // Of the flushing thread alone.
  std::unique_ptr<WitnessStore> store_;
  std::optional<Batch> in_doubt_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_:
  std::string pod_name_;
  std::deque<std::shared_ptr<Row>> rows_;  // not in the record yet, oldest first
  std::vector<WitnessRow> updates_;        // ends of rows that were inserted without
  std::int64_t starts_ = 0;
  std::int64_t dropped_ = 0;
  bool stopping_ = false;
  std::optional<std::chrono::steady_clock::time_point> give_up_;

  std::thread thread_;
};

}  // namespace escapement::stress
