// A pattern of local times in plain English.
#pragma once

#include <string>

#include "schedule/pattern.h"

namespace escapement {

// "at 03:00 on Monday to Friday in January".
std::string InWords(const Pattern& pattern);

}  // namespace escapement
