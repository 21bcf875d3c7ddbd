// Jobs and runs as commands show them. The names of JSON members are stable and documented (docs/cli.md).
#pragma once

#include <optional>
#include <string>

#include "cli/output.h"
#include "escapement/job.h"
#include "escapement/process.h"

namespace escapement {

std::string_view LateName(LatePolicy late);        // "run_once"
std::string_view DeliveryName(Delivery delivery);  // "at_least_once"
std::optional<LatePolicy> LateByName(std::string_view name);
std::optional<Delivery> DeliveryByName(std::string_view name);
std::optional<Overlap> OverlapByName(std::string_view name);
std::optional<RetryOn> RetryOnByName(std::string_view name);
bool IsManual(const JobDefinition& job);  // it runs when it is triggered, and its next point means nothing
// "10/1m". kInvalidArgument for anything else.
[[nodiscard]] Result<RateLimit> ReadRate(std::string key, std::string_view text);
std::string VerdictKey(Verdict verdict);  // "timed_out", "skipped_misfired"

// Attempts of a job whose user did not say how many: one, and one for each delay of a list.
int AttemptsFor(const RetryPolicy& retry);

// The command of a job that has one.
std::optional<ProcessSpec> CommandOf(const JobDefinition& job);
// The command as one would type it, or the task.
std::string WorkOf(const JobDefinition& job);

// `reveal`: values of environment variables and payloads too, which may be secrets.
OutputJson DefinitionView(const JobDefinition& job, bool reveal);
OutputJson JobView(const JobInfo& job, bool reveal);
OutputJson RunView(const RunInfo& run, bool with_output);
OutputJson ProgressView(const RunProgress& progress);
std::string PartText(double part);  // "40%", "99.9%": never more than there is

}  // namespace escapement
