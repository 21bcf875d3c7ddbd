// The witness's own way to PostgreSQL, apart from the engine's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "stress/config.h"

struct pg_conn;

namespace escapement::stress {

using PgRow = std::vector<std::optional<std::string>>;

// One connection. Not thread-safe. Errors: kUnavailable (the connection is gone: open a new one), kNotFound (no such
// table), kConflict (a row with that key is there), else kInternal. Messages never hold a password.
class PgClient {
 public:
  [[nodiscard]] static Result<PgClient> Open(const PostgresTarget& target);

  // All rows, as text.
  [[nodiscard]] Result<std::vector<PgRow>> Exec(const std::string& sql, const std::vector<std::string>& params = {});
  // COPY ... FROM STDIN of text rows; atomic.
  [[nodiscard]] Status CopyIn(const std::string& sql, std::string_view rows);
  // COPY ... TO STDOUT: each message as it comes.
  [[nodiscard]] Status CopyOut(const std::string& sql, const std::function<void(std::string_view)>& take);

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  explicit PgClient(std::unique_ptr<pg_conn, Finish> connection) : connection_(std::move(connection)) {}
  Error Problem(const char* sqlstate) const;

  std::unique_ptr<pg_conn, Finish> connection_;
};

}  // namespace escapement::stress
