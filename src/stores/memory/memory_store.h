// A store in the memory of this process: for tests, the simulation, and programs that need no durability.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ports/job_store.h"

namespace escapement {

struct MemoryState;

// All stores that one factory opens share their contents, which live as long as the factory or any of them.
// Thread-safe, and so are the stores it opens. Never unavailable, never in doubt.
class MemoryStoreFactory final : public JobStoreFactory {
 public:
  MemoryStoreFactory();  // the store's clock is the system's
  explicit MemoryStoreFactory(std::function<Instant()> clock);

  Result<std::unique_ptr<JobStore>> Open() override;
  std::string Name() const override { return "memory:"; }

 private:
  std::shared_ptr<MemoryState> state_;  // shared: by all the stores
};

}  // namespace escapement
