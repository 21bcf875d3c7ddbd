// SIGTERM and SIGINT as something to wait for.
#pragma once

#include "escapement/time.h"

namespace escapement::stress {

// Used by the main thread only; one at a time. `block`: threads started later never see the signals (a process that
// starts children must not block them: children inherit that).
class StopSignal {
 public:
  explicit StopSignal(bool block);

  // Waits up to `timeout`; the signal's number as soon as one came, else 0.
  int Wait(Duration timeout);
  // 0, or the number of the signal that came.
  int received() const;
};

}  // namespace escapement::stress
