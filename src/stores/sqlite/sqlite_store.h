// JobStore in one SQLite file, for several processes of one machine.
#pragma once

#include <memory>
#include <string>

#include "ports/job_store.h"
#include "sqlite/file.h"

namespace escapement {

// Write-ahead log, synchronous=FULL: what is committed survives a power cut. One writer at a time; whoever waits for
// longer than some seconds is told kUnavailable. The store's clock is the machine's. Thread-safe.
class SqliteStoreFactory final : public JobStoreFactory {
 public:
  // "sqlite:PATH", or "sqlite:" alone for the default file (sqlite/file.h). Opens and makes nothing. kInvalidArgument
  // when it cannot be right: no directory, a network's file system.
  [[nodiscard]] static Result<std::unique_ptr<SqliteStoreFactory>> Create(const std::string& url);
  // A file that is there must be a database to write to. One that is not there is made by Migrate.
  Result<std::unique_ptr<JobStore>> Open() override;
  std::string Name() const override { return "sqlite:" + file_.path; }

 private:
  explicit SqliteStoreFactory(sqlite::FileName file) : file_(std::move(file)) {}
  const sqlite::FileName file_;
};

}  // namespace escapement
