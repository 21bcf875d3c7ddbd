// Time zones, by the system's tzdata: what offset a place has from UTC, and when it changes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"

namespace escapement {

// Whole seconds since 1970-01-01T00:00:00, of UTC or, as a local time, of what a clock on the wall shows.
using Seconds = std::int64_t;

// Immutable. Right for every instant from 1960 to the year 9999; earlier ones have the first offset.
class Zone {
 public:
  // One offset holds in [begin, end); `before` and `after` are the neighbours' (equal where nothing changes).
  struct Stretch {
    Seconds begin = 0;
    Seconds end = 0;
    std::int32_t offset = 0;  // local time - UTC
    std::int32_t before = 0;
    std::int32_t after = 0;
  };

  // "Europe/Berlin", "UTC". What was loaded stays as it is while the process lives: a new tzdata needs a new process.
  // kInvalidArgument for a name that tzdata does not have, and for one that is no name but a path. Thread-safe.
  [[nodiscard]] static Result<std::shared_ptr<const Zone>> Load(std::string_view name);
  // From another copy of tzdata: an absolute directory, as /usr/share/zoneinfo is one.
  [[nodiscard]] static Result<std::shared_ptr<const Zone>> LoadFrom(const std::string& directory,
                                                                    std::string_view name);

  // `at` in the years 1960 to 9999.
  Stretch At(Seconds at) const;

 private:
  struct Change {
    Seconds at;
    std::int32_t offset;  // from then on
  };
  explicit Zone(std::vector<Change> changes) : changes_(std::move(changes)) {}
  static Result<std::shared_ptr<const Zone>> Read(const std::string& source, std::string_view name);
  Stretch InTable(Seconds at) const;

  std::vector<Change> changes_;  // by time; the first lies before all instants
};

}  // namespace escapement
