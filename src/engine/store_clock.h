// What the store's clock shows, estimated from below: never early is worth more than a fraction of a millisecond.
#pragma once

#include <algorithm>
#include <cstdint>

#include "escapement/time.h"
#include "time/clock.h"

namespace escapement {

// A reply stamped S that was received at boot time R proves that the store's clock is at least S + (now - R), less what
// this machine's clock may have run too fast since: 200 parts in a million, twice what two poor crystals differ by. The
// largest such bound of the last one to two periods counts. The same reply, asked for at Q, proves that the store's
// clock was at most S + (R - Q) at R: a bound beyond that is of a clock that was set back since, and is forgotten at
// once. Not thread-safe.
class StoreClock {
 public:
  void AddSample(Instant stamp, BootTime sent, BootTime received) {
    const Duration offset = stamp.time_since_epoch() - Slow(received);
    const Duration under_way = (received - sent) + (received - sent) / kDriftParts + Duration(1);
    if (sent < set_back_) return;  // the stamp may be of before
    if (!known() || At(received) > stamp + under_way) {
      if (known()) set_back_ = received;
      previous_ = kUnknown;
      current_ = offset;
      since_ = received;
    } else if (received - since_ > kPeriod) {
      previous_ = current_;
      current_ = offset;
      since_ = received;
    } else {
      current_ = std::max(current_, offset);
    }
  }
  bool known() const { return current_ != kUnknown; }
  Instant At(BootTime t) const { return Instant(Slow(t) + Offset()); }
  // The earliest time at which At is `t` or later.
  BootTime When(Instant t) const {
    const Duration slow = t.time_since_epoch() - Offset();
    BootTime when(slow + slow / (kDriftParts - 1) - Duration(1));
    while (Slow(when) < slow) when += Duration(1);
    return when;
  }

 private:
  static constexpr Duration kUnknown = Duration::min();
  static constexpr Duration kPeriod = std::chrono::seconds(30);
  static constexpr std::int64_t kDriftParts = 5'000;  // one part of so many
  // A clock that is surely no faster than the store's.
  static Duration Slow(BootTime t) { return t.time_since_epoch() - t.time_since_epoch() / kDriftParts; }
  Duration Offset() const { return known() ? std::max(current_, previous_) : Duration(0); }
  Duration current_ = kUnknown, previous_ = kUnknown;
  BootTime since_;
  BootTime set_back_;  // when that was last seen
};

}  // namespace escapement
