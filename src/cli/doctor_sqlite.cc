#include <sys/stat.h>
#include <sys/vfs.h>

#include <fmt/format.h>

#include "cli/doctor.h"
#include "sqlite/database.h"
#include "sqlite/file.h"

namespace escapement {
namespace {

using Level = Finding::Level;

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kLittleSpace = 256;  // MiB
constexpr double kLargeLog = 256;     // MiB: checkpoints keep it far below

Finding ExamineFilesystem(const std::string& path) {
  struct statfs fs = {};
  if (statfs(path.c_str(), &fs) != 0) return {Level::kWarn, "store", "the file system cannot be examined"};
  if (sqlite::IsNetworkFilesystem(static_cast<unsigned long>(fs.f_type))) {
    return {Level::kFail, "store", "the file is on a network's file system: SQLite's locks do not hold there"};
  }
  const double free = static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_bsize) / kMiB;
  return {free < kLittleSpace ? Level::kWarn : Level::kOk, "store",
          fmt::format("the file system is local and has {:.0f} MiB free", free)};
}

Finding ExamineLog(const std::string& path) {
  struct stat log = {};
  const double size = stat((path + "-wal").c_str(), &log) == 0 ? static_cast<double>(log.st_size) / kMiB : 0;
  return {size > kLargeLog ? Level::kWarn : Level::kOk, "store",
          fmt::format("the write-ahead log has {:.1f} MiB{}", size,
                      size > kLargeLog ? ": does a process hold a reading transaction open?" : "")};
}

Finding ExamineContent(const std::string& path) {
  auto database = sqlite::Database::Open({.path = path});
  if (!database) return {Level::kFail, "store", database.error().message};
  sqlite::Transaction tx(**database, sqlite::Transaction::Kind::kRead);
  std::string first;
  {
    sqlite::Rows rows = tx.Query("PRAGMA quick_check(1)");
    if (rows.Next()) first = rows.Text(0);
  }
  if (tx.failed()) return {Level::kFail, "store", tx.error().value().message};
  if (first != "ok") return {Level::kFail, "store", "quick_check finds the file damaged: " + first};
  return {Level::kOk, "store", "quick_check finds the file whole"};
}

}  // namespace

std::vector<Finding> ExamineSqlite(const std::string& url) {
  const auto file = sqlite::ParseUrl(url);
  if (!file) return {{Level::kFail, "store", file.error().message}};
  return {ExamineFilesystem(file->path), ExamineLog(file->path), ExamineContent(file->path)};
}

}  // namespace escapement
