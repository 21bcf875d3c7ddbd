// A store in the memory of this process: for tests, the simulation, and programs that need no durability.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ports/job_store.h"

namespace escapement {

struct MemoryState;

// Told what happens inside, as it happens: the simulation checks it. Called under the store's lock, so it must not call
// the store.
class MemoryStoreObserver {
 public:
  struct RowView {
    JobKey key = 0;
    std::optional<JobKey> parent;  // of a triggered child
    const JobDefinition& definition;
    JobState state;
    const Present& present;
    std::optional<SessionId> owner;
    Fence fence = 0;
    bool gone = false;  // it ends with this change
  };
  virtual ~MemoryStoreObserver() = default;
  virtual void OnSession(SessionId session, bool live) = 0;
  virtual void OnRow(const RowView& row) = 0;                                              // made or changed
  virtual void OnRun(JobKey key, SessionId session, Fence fence, const RunInfo& run) = 0;  // a row of history
};

// All stores that one factory opens share their contents, which live as long as the factory or any of them.
// Thread-safe, and so are the stores it opens. Never unavailable, never in doubt.
class MemoryStoreFactory final : public JobStoreFactory {
 public:
  MemoryStoreFactory();  // the store's clock is the system's
  // `observer`, if any, must outlive the stores.
  explicit MemoryStoreFactory(std::function<Instant()> clock, MemoryStoreObserver* observer = nullptr);

  Result<std::unique_ptr<JobStore>> Open() override;
  std::string Name() const override { return "memory:"; }

 private:
  std::shared_ptr<MemoryState> state_;  // shared: by all the stores
};

}  // namespace escapement
