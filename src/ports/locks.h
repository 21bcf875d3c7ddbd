// The coordination service. Correctness never depends on it (guarantee G5): an error means "not acquired".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct Lease {
  std::string name;
  std::string token;       // secret of this holder
  std::int64_t fence = 0;  // grows with every acquisition of this name
};

// Thread-safe. Errors: kUnavailable, kInDoubt, kInternal.
class Locks {
 public:
  virtual ~Locks() = default;
  // A lease for `ttl`, or nothing when somebody else holds the name.
  virtual Result<std::optional<Lease>> Acquire(const std::string& name, Duration ttl) = 0;
  // True: held for `ttl` from now. False: it was lost.
  virtual Result<bool> Renew(const Lease& lease, Duration ttl) = 0;
  // True: it was held and is free now. Somebody else's lease is never released.
  virtual Result<bool> Release(const Lease& lease) = 0;
};

}  // namespace escapement
