// Local times in plain English.
#pragma once

#include <string>

#include "schedule/pattern.h"
#include "schedule/rrule.h"

namespace escapement {

// "at 03:00 on Monday to Friday in January".
std::string InWords(const Pattern& pattern);
// "every 2 months on the 1st Friday at 09:00, from 2026-01-02 09:00, 10 times".
std::string InWords(const RruleText& rrule);

}  // namespace escapement
