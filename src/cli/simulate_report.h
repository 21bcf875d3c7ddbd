// How `simulate` shows what it found.
#pragma once

#include <string>

#include "cli/output.h"
#include "cli/simulate_input.h"
#include "sim/forecast.h"

namespace escapement {

// For people: at most 100 columns wide but for names. `blocks`: plots with block characters, else in ASCII.
std::string SimulateText(const SimulateInput& input, const ForecastOptions& options, const Forecast& forecast,
                         bool blocks);
// All figures; documented in docs/simulate.md.
OutputJson SimulateJson(const SimulateInput& input, const ForecastOptions& options, const Forecast& forecast);

}  // namespace escapement
