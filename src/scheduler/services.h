// URLs become a store, locks and a notifier: the one place that knows every adapter.
#pragma once

#include <memory>
#include <string>

#include "escapement/status.h"
#include "ports/job_store.h"
#include "ports/locks.h"
#include "ports/notifier.h"

namespace escapement {

struct Services {
  // Shared: those of "memory:" by all schedulers that name them.
  std::shared_ptr<JobStoreFactory> store;
  std::shared_ptr<Locks> locks;
  std::shared_ptr<Notifier> notifier;
};

// `locks_url` empty: the store's own locks. kInvalidArgument for a URL that cannot be right, or a pair that makes no
// sense; kUnavailable for a server that does not answer. Messages never hold a password.
[[nodiscard]] Result<Services> Connect(const std::string& store_url, const std::string& locks_url);

}  // namespace escapement
