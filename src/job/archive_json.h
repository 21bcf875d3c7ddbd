// Archives as lines of JSON: a header with the format's version, jobs, each before its runs, and an end that counts
// them, so that a file that was cut off is known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "escapement/job.h"
#include "escapement/status.h"
#include "job/archive.h"

namespace escapement {

struct ArchiveHeader {
  friend bool operator==(const ArchiveHeader&, const ArchiveHeader&) = default;
};
struct ArchiveEnd {
  std::int64_t jobs = 0;
  std::int64_t runs = 0;
  friend bool operator==(const ArchiveEnd&, const ArchiveEnd&) = default;
};
using ArchiveItem = std::variant<ArchiveHeader, ArchivedJob, RunInfo, ArchiveEnd>;

// One line, without its end. Canonical: equal items give equal text. Instants are microseconds since 1970, members at
// their default are left out.
std::string ArchiveLine(const ArchiveItem& item);

// Reads the lines of one archive in their order. Errors are kInvalidArgument and begin with "line 7: ".
class ArchiveReader {
 public:
  [[nodiscard]] Result<ArchiveItem> Read(std::string_view line);
  // After the last line: was all of it there?
  [[nodiscard]] Status Finish() const;
  std::int64_t line() const { return line_; }  // the number of the last line, from 1
  std::int64_t jobs() const { return end_.jobs; }
  std::int64_t runs() const { return end_.runs; }

 private:
  Result<ArchiveItem> ReadItem(std::string_view line);
  Status Accept(const ArchiveItem& item);

  std::int64_t line_ = 0;
  ArchiveEnd end_;  // counted so far
  bool ended_ = false;
};

}  // namespace escapement
