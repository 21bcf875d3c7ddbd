// The pods' own files of starts: one line for each, written with one write(2), so that SIGKILL cannot hide a start.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "stress/analyzer.h"

namespace escapement::stress {

struct Start {
  std::string_view job_id;
  std::int64_t fire = 0;    // us since the epoch
  std::int64_t actual = 0;  // us since the epoch
  int attempt = 1;
  std::int64_t fence = 0;
};

// "job-0007 1790000000000000 1790000000001200 1 5\n"
std::string FormatStart(const Start& start);
// False for a line that FormatStart did not write (without the newline).
bool ParseStart(std::string_view line, Start* start);

// "<pod>.<pid>.starts"
std::string StartsFileName(const std::string& pod, int pid);

// Appends the starts of all files of the directory; `pod_index` maps a name to its index. A last line without its
// end is left out. kNotFound when the directory cannot be read.
[[nodiscard]] Status LoadStarts(const std::string& directory, const std::function<int(const std::string&)>& pod_index,
                                std::vector<Execution>* starts);

}  // namespace escapement::stress
