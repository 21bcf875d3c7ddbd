// Recurrence rules as iCalendar writes them: DTSTART, RRULE, RDATE and EXDATE.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/schedule.h"
#include "schedule/recurrence.h"
#include "time/zone.h"

namespace escapement {

// What stands behind a colon: a local time, or one of UTC.
struct WrittenTime {
  Seconds at = 0;
  bool utc = false;
};

struct RruleText {
  std::string text;  // its properties, in capitals, with one blank between them
  std::string zone;  // of DTSTART; empty if it names none
  Seconds start = 0;
  std::optional<Rule> rule = {};
  std::optional<WrittenTime> until = {};  // of the rule
  std::vector<WrittenTime> more = {};     // RDATE
  std::vector<WrittenTime> without = {};  // EXDATE
};

// Reads `properties`, words that lie in `whole`, in which columns count. kInvalidArgument names the part that is wrong.
[[nodiscard]] Result<RruleText> ReadRrule(std::string_view whole, const std::vector<std::string_view>& properties);

// The local times of what was read. What is written in UTC becomes what clocks in the zone show then.
RecurrenceSet RecurrenceOf(const RruleText& read, const Zone& zone);

}  // namespace escapement
