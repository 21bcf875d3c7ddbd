// Definitions as JSON text: what stores keep.
#pragma once

#include <map>
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

// Whether a job has all the metadata that are wanted; by its definition's text also when the rest of it cannot be read.
bool HasMetadata(const std::map<std::string, std::string>& metadata, const std::map<std::string, std::string>& wanted);
bool HasMetadata(std::string_view json, const std::map<std::string, std::string>& wanted);
// An object.
std::string MetadataToJson(const std::map<std::string, std::string>& metadata);

}  // namespace escapement
