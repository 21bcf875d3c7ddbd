// Whether a row that a store gave out can have been written by a program of this kind.
#pragma once

#include "escapement/status.h"
#include "job/settle.h"

namespace escapement {

// kInternal, saying what is wrong: an instant that is not IsStorable, or a number out of its range. What passes cannot
// overflow a decision.
[[nodiscard]] Status CheckPresent(const Present& present);

}  // namespace escapement
