// The thin shell around a Pod: a core thread that feeds it, one thread for each of its channels, those to the store
// with a connection each; one thread for the rest of the lock service and one for upkeep. All blocking calls live here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/pod.h"
#include "escapement/report.h"
#include "ports/executor.h"
#include "ports/job_store.h"
#include "ports/locks.h"
#include "ports/notifier.h"

namespace escapement {

struct DriverOptions {
  PodOptions pod;
  MaintainOptions maintain;
  std::optional<Lease> name_lease;  // kept alive while the pod runs, released when it stops
};

// Thread-safe. Start once, Stop once.
class Driver {
 public:
  struct Parts {
    JobStoreFactory* store = nullptr;
    Locks* locks = nullptr;
    Notifier* notifier = nullptr;
    Executor* executor = nullptr;
    std::function<void(const RunReport&)> report;  // called on a thread of the driver
  };
  [[nodiscard]] static std::unique_ptr<Driver> Create(DriverOptions options, Parts parts);
  virtual ~Driver() = default;  // stops without grace

  // Connects, registers a session. Returns when the session is registered.
  [[nodiscard]] virtual Status Start() = 0;
  virtual Status Stop(Duration grace) = 0;
  virtual PodCounters Counters() = 0;
  // Tells the other pods. Never blocks.
  virtual void Publish(Wake wake) = 0;
};

inline constexpr Duration kNameLeaseTtl = std::chrono::seconds(10);
inline constexpr const char* kWakeChannel = "wake";

}  // namespace escapement
