// A report as text and as JSON.
#pragma once

#include <string>
#include <vector>

#include "stress/analyzer.h"

namespace escapement::stress {

struct Finding {
  enum class Kind { kPass, kWarn, kFail } kind;
  std::string text;
};

// The lines of the verdict, in the order of the report.
std::vector<Finding> Judge(const StressReport& report);
bool Passes(const StressReport& report);

std::string RenderText(const StressReport& report);
std::string RenderJson(const StressReport& report);

// "12ms", "0.4ms": whole milliseconds, rounded half up; below one, one decimal.
std::string FormatLatency(std::int64_t micros);

}  // namespace escapement::stress
