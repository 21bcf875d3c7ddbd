#include "job/sound.h"

#include <fmt/format.h>

#include "time/storable.h"

namespace escapement {

Status CheckPresent(const Present& p) {
  for (const Instant instant : {p.created_at, p.cursor, p.fire_time, p.due_at, p.planned_from}) {
    if (!IsStorable(instant)) {
      return Fail(Code::kInternal, "the store holds an instant that is in none of the years 1970 to 10999");
    }
  }
  if (p.attempt < 1 || p.version < 1 || p.lost < 0 || p.failures < 0) {
    return Fail(Code::kInternal, fmt::format("the store holds attempt {}, version {}, {} losses and {} failures",
                                             p.attempt, p.version, p.lost, p.failures));
  }
  return {};
}

}  // namespace escapement
