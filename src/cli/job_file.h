// Files of jobs, for `apply`: a prefix, and jobs whose names all begin with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"

namespace escapement {

struct JobFile {
  std::string prefix;
  std::vector<JobDefinition> jobs;  // valid, by name
};

// `file`: TOML, or JSON where its name ends in .json; "-" is standard input, JSON where it begins with '{'.
// kInvalidArgument, "FILE:LINE: ...", for anything but a prefix and a table of jobs with members that exist.
[[nodiscard]] Result<JobFile> ReadJobFile(const std::string& file);
// The same of a text that was read from `file`.
[[nodiscard]] Result<JobFile> ParseJobFile(std::string_view text, const std::string& file);

}  // namespace escapement
