// JobStore on PostgreSQL 14 or later: one connection, binary parameters, one statement for each transition.
#pragma once

#include <memory>
#include <string>

#include "ports/job_store.h"

namespace escapement {

class PostgresStoreFactory : public JobStoreFactory {
 public:
  // Checks the URL's form; connects to nothing. kInvalidArgument when it cannot be right.
  [[nodiscard]] static Result<std::unique_ptr<PostgresStoreFactory>> Create(std::string url);
  Result<std::unique_ptr<JobStore>> Open() override;
  std::string Name() const override;

 private:
  explicit PostgresStoreFactory(std::string url) : url_(std::move(url)) {}
  std::string url_;
};

}  // namespace escapement
