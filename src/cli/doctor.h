// What `doctor` finds out about each part of an installation.
#pragma once

#include <string>
#include <vector>

namespace escapement {

struct Finding {
  enum class Level { kOk, kWarn, kFail };
  Level level = Level::kOk;
  std::string part;  // "store", "schema", "clock", ...
  std::string text;  // one line, without secrets
};

// Store and locks of these URLs: reachable, schema, clock, sessions, overdue jobs, leases; then what is particular to
// their kind. `locks_url` empty: the store's own.
std::vector<Finding> Examine(const std::string& store_url, const std::string& locks_url);

// What can be wrong with a Redis server that answers: persistence that is off, keys that are evicted.
std::vector<Finding> ExamineRedis(const std::string& part, const std::string& url);

// What can be wrong with an SQLite file that is there: its file system, its log, its content.
std::vector<Finding> ExamineSqlite(const std::string& url);

}  // namespace escapement
