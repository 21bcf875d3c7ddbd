// What the store's clock shows, estimated from below: never early is worth more than a fraction of a millisecond.
#pragma once

#include <optional>

#include "escapement/time.h"
#include "time/clock.h"

namespace escapement {

// A reply stamped S that was received at boot time R proves that the store's clock is at least S + (now - R). The
// largest such bound of the last one to two periods counts; a bound that falls by more than a second is a clock
// that was set back, and counts at once. Not thread-safe.
class StoreClock {
 public:
  void AddSample(Instant stamp, BootTime received) {
    const Duration offset = stamp.time_since_epoch() - received.time_since_epoch();
    if (!current_ || offset + kStep < Offset()) {
      previous_.reset();
      current_ = offset;
      since_ = received;
    } else if (received - since_ > kPeriod) {
      previous_ = current_;
      current_ = offset;
      since_ = received;
    } else if (offset > *current_) {
      current_ = offset;
    }
  }
  bool known() const { return current_.has_value(); }
  Instant At(BootTime t) const { return Instant(t.time_since_epoch() + Offset()); }
  BootTime When(Instant t) const { return BootTime(t.time_since_epoch() - Offset()); }

 private:
  static constexpr Duration kPeriod = std::chrono::seconds(30);
  static constexpr Duration kStep = std::chrono::seconds(1);
  Duration Offset() const {
    if (!current_) return Duration(0);
    return previous_ && *previous_ > *current_ ? *previous_ : *current_;
  }
  std::optional<Duration> current_, previous_;
  BootTime since_;
};

}  // namespace escapement
