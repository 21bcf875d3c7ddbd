// A set of local times: what a clock on the wall shows when a schedule fires, whatever the place.
#pragma once

#include <cstdint>
#include <optional>

#include "time/zone.h"

namespace escapement {

// Immutable. Local times are whole seconds since 1970-01-01T00:00:00, in the years 1969 to 10000.
class LocalPoints {
 public:
  virtual ~LocalPoints() = default;
  // The first at or after `from`.
  virtual std::optional<Seconds> Next(Seconds from) const = 0;
  // The last before `before`.
  virtual std::optional<Seconds> Last(Seconds before) const = 0;
  // How many are in [from, to).
  virtual std::int64_t Count(Seconds from, Seconds to) const = 0;
};

}  // namespace escapement
