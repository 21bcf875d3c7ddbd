// A thin wrapper of SQLite: one connection, its prepared statements, and transactions that wait for their turn.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement::sqlite {

struct DatabaseOptions {
  std::string path;
  // How long to wait for other processes before kUnavailable. A pod tries again.
  Duration patience = std::chrono::seconds(5);
  int cache_kib = 16 * 1024;
};

// One connection to a file in WAL mode, synchronous=FULL: what was committed survives a power cut. Used by one thread
// at a time; several objects and processes work on one file.
class Database {
 public:
  // The file must be there. kConflict when it is not; kInvalidArgument when it is no database, another program's, or
  // not to be written to.
  [[nodiscard]] static Result<std::unique_ptr<Database>> Open(const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs statements, one or many, outside of a transaction.
  Status Run(const std::string& sql);
  // Copies the log into the database file, and empties it if nobody reads; waits for writers a moment only. What stays
  // is copied the next time.
  Status Checkpoint();
  // Not to be used any more: the disk failed, or the file is not at its path any more (what would be written to it now
  // would be lost). Open anew.
  bool broken() const;
  const std::string& path() const { return options_.path; }

 private:
  friend class Transaction;
  friend class Rows;

  explicit Database(DatabaseOptions options) : options_(std::move(options)) {}
  Status Configure();
  // Prepared on first use and kept; `sql` must be of static storage.
  Result<sqlite3_stmt*> Prepared(std::string_view sql);
  tl::unexpected<Error> Failure(int code, bool committing = false);
  static int OnBusy(void* self, int times);
  static int OnCommit(void* self, sqlite3* db, const char* name, int pages);
  int CopyLog(int mode);
  Result<std::string> Pragma(const char* sql);

  DatabaseOptions options_;
  sqlite3* db_ = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  std::int64_t waiting_since_ = 0;  // microseconds of the monotonic clock
  Duration patience_{0};            // of the present wait
  int copied_at_ = 0;               // pages in the log when it was last copied from here
  bool broken_ = false;
  std::uint64_t device_ = 0;  // the file as it was opened
  std::uint64_t inode_ = 0;
};

// The rows of a query, one at a time. A value that is missing, or of another type, or an instant that is not
// IsStorable, reads as zero or empty and makes the transaction fail: a hand or a tool may have written it.
class Rows {
 public:
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows();

  // The next row; false at the end, or when something failed: the transaction knows.
  bool Next();
  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::int64_t Int64(int column) const;
  int Int(int column) const;
  bool Bool(int column) const { return Int64(column) != 0; }
  double Float(int column) const;
  Instant Time(int column) const;
  std::optional<Instant> TimeOrNone(int column) const {
    return IsNull(column) ? std::nullopt : std::optional(Time(column));
  }
  std::string Text(int column) const;

  // From here on such a value does not make the transaction fail; Sound() tells whether there was none since the last
  // such question.
  Rows& Tolerate() {
    tolerant_ = true;
    return *this;
  }
  bool Sound() const { return !std::exchange(unsound_, false); }

 private:
  friend class Transaction;
  Rows(class Transaction* transaction, sqlite3_stmt* statement) : transaction_(transaction), statement_(statement) {}
  void Expect(bool good) const;

  class Transaction* transaction_;
  sqlite3_stmt* statement_;  // null: it failed
  bool tolerant_ = false;
  mutable bool unsound_ = false;
};

// All or nothing. The first thing that fails is kept, all that follows does nothing, and Commit tells it. Statements of
// a write transaction never wait: it takes the file's one write lock when it begins.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };

  Transaction(Database& db, Kind kind);
  ~Transaction();  // rolls back what was not committed
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // `sql` is prepared once for each connection and must be of static storage. Arguments are numbers, instants, text,
  // optionals of these.
  template <typename... Args>
  Rows Query(std::string_view sql, const Args&... args) {
    sqlite3_stmt* statement = Prepare(sql);
    int index = 0;
    if (statement != nullptr) (Bind(statement, ++index, args), ...);
    return {this, failed_ ? nullptr : statement};
  }
  // Gives how many rows were inserted, changed or deleted.
  template <typename... Args>
  std::int64_t Run(std::string_view sql, const Args&... args) {
    Rows rows = Query(sql, args...);
    while (rows.Next()) {
    }
    return failed_ ? 0 : sqlite3_changes64(db_.db_);
  }
  std::int64_t last_key() const { return sqlite3_last_insert_rowid(db_.db_); }

  // Makes the whole transaction fail.
  void Refuse(Error error) {
    if (!failed_) failed_ = std::move(error);
  }
  bool failed() const { return failed_.has_value(); }
  tl::unexpected<Error> error() const { return tl::unexpected(*failed_); }
  // Of a write transaction: durable when it returns. kUnavailable: nothing happened. kInDoubt: the disk failed at the
  // very end.
  Status Commit();

 private:
  friend class Rows;
  sqlite3_stmt* Prepare(std::string_view sql);
  void Failed(int code);

  void Bind(sqlite3_stmt* s, int i, std::int64_t value) { Check(sqlite3_bind_int64(s, i, value)); }
  void Bind(sqlite3_stmt* s, int i, int value) { Check(sqlite3_bind_int64(s, i, value)); }
  void Bind(sqlite3_stmt* s, int i, bool value) { Check(sqlite3_bind_int64(s, i, value ? 1 : 0)); }
  void Bind(sqlite3_stmt* s, int i, double value) { Check(sqlite3_bind_double(s, i, value)); }
  void Bind(sqlite3_stmt* s, int i, Instant value) { Bind(s, i, ToMicros(value)); }
  void Bind(sqlite3_stmt* s, int i, std::string_view value);
  void Bind(sqlite3_stmt* s, int i, const std::string& value) { Bind(s, i, std::string_view(value)); }
  void Bind(sqlite3_stmt* s, int i, const char* value) { Bind(s, i, std::string_view(value)); }
  template <typename T>
  void Bind(sqlite3_stmt* s, int i, const std::optional<T>& value) {
    value ? Bind(s, i, *value) : Check(sqlite3_bind_null(s, i));
  }
  void Check(int code) {
    if (code != SQLITE_OK) Failed(code);
  }

  Database& db_;
  std::optional<Error> failed_;
  bool open_ = false;
};

}  // namespace escapement::sqlite
