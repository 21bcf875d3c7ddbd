// Definitions as JSON text: what stores keep.
#pragma once

#include <string>
#include <string_view>

#include "escapement/job.h"

namespace escapement {

// Canonical: equal definitions give equal text. The id is left out: stores keep it beside.
std::string DefinitionToJson(const JobDefinition& definition);
// kInvalidArgument for text that DefinitionToJson did not write.
[[nodiscard]] Result<JobDefinition> DefinitionFromJson(std::string id, std::string_view json);
// For lists, which one bad job must not spoil: a definition that cannot be read is its id alone, with any schedule, and
// `unreadable` says why.
[[nodiscard]] JobDefinition DefinitionOrId(std::string id, std::string_view json, std::string* unreadable);

}  // namespace escapement
