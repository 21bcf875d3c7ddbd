// The coordination service. Correctness never depends on it (guarantee G5): an error means "not acquired".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

struct Lease {
  std::string name;
  std::string token;       // secret of this holder
  std::int64_t fence = 0;  // grows with every acquisition of this name
};

// What a run needs before it may start.
struct SlotRequest {
  std::string holder;  // of this run alone, and of one wish to start it: never used again once it was freed
  std::vector<ConcurrencyLimit> limits = {};
  std::vector<RateLimit> rates = {};
};

struct SlotAnswer {
  bool granted = false;
  Duration again{0};  // not granted: for its rates it cannot be before this is over; 0: whenever a slot is freed
};

// Of the starts of a key, so many of the newest are remembered: as many as the largest rate counts.
inline constexpr int kStartsRemembered = 10'000;

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

  // For each request, in their order: all of its slots for `ttl`, and one start counted now for each of its rates; or
  // nothing. A slot is free while fewer others hold one of its key than the asker's own `slots`; a rate allows a start
  // while fewer than the asker's own `starts` were counted in the last `per`. A holder that has its slots is granted
  // them for `ttl` from now, one whose start is counted is not counted again: so this renews, too.
  virtual Result<std::vector<SlotAnswer>> TakeSlots(const std::vector<SlotRequest>& requests, Duration ttl) = 0;
  // Frees the slots, and counts the starts no more: name no rates of a run that was started. Of what is not held:
  // nothing.
  virtual Status FreeSlots(const std::vector<SlotRequest>& requests) = 0;
};

}  // namespace escapement
