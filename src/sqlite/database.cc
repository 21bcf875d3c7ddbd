#include "sqlite/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "time/storable.h"

namespace escapement::sqlite {
namespace {

// Waiting for the write lock. Others hold it for milliseconds; whoever waits looks often, at odd times, so that nobody
// is passed over for long.
constexpr Duration kFirstPause = std::chrono::microseconds(200);
constexpr Duration kLongestPause = std::chrono::microseconds(1500);
constexpr Duration kPatientPause = std::chrono::milliseconds(5);  // after kLong: whoever holds it is frozen
constexpr Duration kLong = std::chrono::seconds(1);

// Pages by which the log grows before a commit copies it into the database file, beside the others' work; and after
// which that commit holds the writers up for a moment to be able to finish: a log that is never quite copied never
// starts again from its beginning.
constexpr int kCheckpointPages = 4'000;
constexpr int kLongLogPages = 16'000;
constexpr Duration kCheckpointPatience = std::chrono::milliseconds(200);

constexpr std::int64_t kApplicationId = 0x45736370;  // "Escp", in the header of the file

std::int64_t MonotonicMicros() {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options) {
  std::unique_ptr<Database> database(new Database(options));
  database->patience_ = options.patience;
  struct stat info{};
  if (stat(options.path.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      return Fail(Code::kConflict,
                  fmt::format("the store's file {} is not there yet: run the migration first", options.path));
    }
    return Fail(Code::kInvalidArgument, fmt::format("cannot open {}: {}", options.path, std::strerror(errno)));
  }
  database->device_ = info.st_dev;
  database->inode_ = info.st_ino;
  const int code = sqlite3_open_v2(options.path.c_str(), &database->db_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) {
    return Fail(Code::kInvalidArgument,
                fmt::format("cannot open {}: {}", options.path,
                            database->db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database->db_)));
  }
  if (auto s = database->Configure(); !s) return tl::unexpected(s.error());
  return database;
}

Status Database::Configure() {
  sqlite3_busy_handler(db_, &Database::OnBusy, this);
  if (sqlite3_db_readonly(db_, "main") == 1) {
    return Fail(Code::kInvalidArgument, fmt::format("cannot write to {}: it is read-only to this user", options_.path));
  }
  const std::string directory = options_.path.substr(0, options_.path.rfind('/') + 1);
  if (faccessat(AT_FDCWD, directory.c_str(), W_OK, AT_EACCESS) != 0) {
    return Fail(Code::kInvalidArgument, fmt::format("cannot write to the directory of {}: {} (the write-ahead log lies "
                                                    "beside the file)",
                                                    options_.path, std::strerror(errno)));
  }
  if (auto s = Run(fmt::format("PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
                               options_.cache_kib));
      !s) {
    return s;
  }
  auto id = Pragma("PRAGMA application_id");
  if (!id) return tl::unexpected(id.error());
  if (*id != std::to_string(kApplicationId)) {
    auto tables = Pragma("SELECT count(*) FROM sqlite_schema");
    if (!tables) return tl::unexpected(tables.error());
    if (*id != "0" || *tables != "0") {
      return Fail(Code::kInvalidArgument, fmt::format("{} is another program's database", options_.path));
    }
    // An empty file: it becomes ours.
    if (auto s = Run(fmt::format("PRAGMA application_id = {}", kApplicationId)); !s) return s;
  }
  auto mode = Pragma("PRAGMA journal_mode");
  // The change needs the file alone for a moment, and SQLite does not wait for that by itself.
  const std::int64_t since = MonotonicMicros();
  for (int times = 0; mode && *mode != "wal"; ++times) {
    mode = Pragma("PRAGMA journal_mode = WAL");
    if (mode && *mode == "wal") break;
    const bool busy = mode || mode.error().code == Code::kUnavailable;
    if (!busy || Duration(MonotonicMicros() - since) > options_.patience) {
      if (!mode) return tl::unexpected(mode.error());
      return Fail(Code::kUnavailable, fmt::format("cannot switch {} to a write-ahead log", options_.path));
    }
    std::this_thread::sleep_for(kLongestPause);
    mode = "delete";
  }
  if (!mode) return tl::unexpected(mode.error());
  sqlite3_wal_hook(db_, &Database::OnCommit, this);
  return Run("PRAGMA synchronous = FULL");
}

Database::~Database() {
  for (const auto& [text, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

bool Database::broken() const {
  struct stat info{};
  return broken_ || stat(options_.path.c_str(), &info) != 0 || info.st_dev != device_ || info.st_ino != inode_;
}

int Database::OnBusy(void* self, int times) {
  auto& database = *static_cast<Database*>(self);
  const std::int64_t now = MonotonicMicros();
  if (times == 0) database.waiting_since_ = now;
  const Duration waited(now - database.waiting_since_);
  if (waited > database.patience_) return 0;
  Duration pause = std::min(kLongestPause, kFirstPause * (times + 1));
  if (waited > kLong) pause = kPatientPause;
  pause += Duration((now / 16 * 7919 + getpid()) % (pause.count() / 2));  // not in step with the others
  std::this_thread::sleep_for(pause);
  return 1;
}

int Database::OnCommit(void* self, sqlite3*, const char*, int pages) {
  auto& database = *static_cast<Database*>(self);
  if (pages < database.copied_at_) database.copied_at_ = 0;  // it started again
  if (pages - database.copied_at_ < kCheckpointPages) return SQLITE_OK;
  database.copied_at_ = pages;
  // What cannot be copied now is copied later; the commit itself is durable.
  (void)database.CopyLog(pages < kLongLogPages ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART);
  return SQLITE_OK;
}

int Database::CopyLog(int mode) {
  patience_ = kCheckpointPatience;
  const int code = sqlite3_wal_checkpoint_v2(db_, "main", mode, nullptr, nullptr);
  patience_ = options_.patience;
  return code;
}

Status Database::Checkpoint() {
  const int code = CopyLog(SQLITE_CHECKPOINT_TRUNCATE);
  if (code == SQLITE_OK || (code & 0xFF) == SQLITE_BUSY || (code & 0xFF) == SQLITE_LOCKED) return {};
  return Failure(code);
}

Status Database::Run(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return Failure(code);
}

Result<std::string> Database::Pragma(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr);
  std::string value;
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) value = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    auto failure = Failure(code);
    sqlite3_finalize(statement);
    return failure;
  }
  sqlite3_finalize(statement);
  return value;
}

Result<sqlite3_stmt*> Database::Prepared(std::string_view sql) {
  const auto there = statements_.find(sql.data());
  if (there != statements_.end()) return there->second;
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Failure(code);
  statements_.emplace(sql.data(), statement);
  return statement;
}

// The one place where SQLite's errors become ours.
tl::unexpected<Error> Database::Failure(int code, bool committing) {
  const std::string& path = options_.path;
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return Fail(Code::kUnavailable,
                  fmt::format("the database file {} is locked by another process; nothing was changed", path));
    case SQLITE_FULL:
      return Fail(Code::kUnavailable,
                  fmt::format("there is no space left for the database file {}: make room; nothing was changed", path));
    case SQLITE_READONLY:
      broken_ = true;
      if (code == SQLITE_READONLY_DBMOVED) {
        return Fail(Code::kUnavailable, fmt::format("the database file {} was moved or removed", path));
      }
      return Fail(Code::kUnavailable,
                  fmt::format("cannot write to the database file {}: it, its directory or its disk is read-only; "
                              "nothing was changed",
                              path));
    case SQLITE_NOTADB:
      broken_ = true;
      return Fail(Code::kInvalidArgument, fmt::format("{} is not an SQLite database", path));
    case SQLITE_CORRUPT:
      broken_ = true;
      return Fail(Code::kInternal, fmt::format("the database file {} is damaged ({}): restore it from a backup", path,
                                               sqlite3_errmsg(db_)));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      broken_ = true;
      return Fail(Code::kUnavailable, fmt::format("cannot open the database file {} or its log beside it: {}", path,
                                                  std::strerror(sqlite3_system_errno(db_))));
    case SQLITE_IOERR: {
      broken_ = true;
      const int why = sqlite3_system_errno(db_);
      // The log may hold the transaction, and the next process may find it there.
      return Fail(committing ? Code::kInDoubt : Code::kUnavailable,
                  fmt::format("the disk of the database file {} fails: {}", path,
                              why != 0 ? std::strerror(why) : sqlite3_errstr(code)));
    }
    case SQLITE_NOMEM: return Fail(Code::kUnavailable, "SQLite is out of memory; nothing was changed");
    case SQLITE_ERROR:
      if (std::strstr(sqlite3_errmsg(db_), "no such table") != nullptr) {
        return Fail(Code::kConflict, fmt::format("the store {} has no schema yet: run the migration first", path));
      }
      break;
    default: break;
  }
  return Fail(Code::kInternal, fmt::format("SQLite, {}: {}", path, sqlite3_errmsg(db_)));
}

// --- rows

Rows::~Rows() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

bool Rows::Next() {
  if (statement_ == nullptr || transaction_->failed_) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) transaction_->Failed(code);
  sqlite3_reset(statement_);
  statement_ = nullptr;
  return false;
}

void Rows::Expect(bool good) const {
  if (good) return;
  unsound_ = true;
  if (tolerant_) return;
  transaction_->Refuse({Code::kInternal, fmt::format("the database file {} holds a row with a value missing, of "
                                                     "another type or beyond reason",
                                                     transaction_->db_.path())});
}

std::int64_t Rows::Int64(int column) const {
  Expect(sqlite3_column_type(statement_, column) == SQLITE_INTEGER);
  return sqlite3_column_int64(statement_, column);
}

int Rows::Int(int column) const {
  const std::int64_t value = Int64(column);
  Expect(std::in_range<int>(value));
  return static_cast<int>(value);
}

Instant Rows::Time(int column) const {
  const Instant instant = FromMicros(Int64(column));
  Expect(IsStorable(instant));
  return IsStorable(instant) ? instant : Instant();
}

double Rows::Float(int column) const {
  const int type = sqlite3_column_type(statement_, column);
  Expect(type == SQLITE_FLOAT || type == SQLITE_INTEGER);
  return sqlite3_column_double(statement_, column);
}

std::string Rows::Text(int column) const {
  Expect(sqlite3_column_type(statement_, column) == SQLITE_TEXT);
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text == nullptr ? std::string()
                         : std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

// --- transactions

Transaction::Transaction(Database& db, Kind kind) : db_(db) {
  constexpr std::string_view kBeginRead = "BEGIN";
  constexpr std::string_view kBeginWrite = "BEGIN IMMEDIATE";
  (void)Run(kind == Kind::kWrite ? kBeginWrite : kBeginRead);
  open_ = !failed();
}

Transaction::~Transaction() {
  if (!open_ || sqlite3_get_autocommit(db_.db_) != 0) return;  // SQLite rolls back by itself after some errors
  failed_.reset();
  (void)Run("ROLLBACK");
}

Status Transaction::Commit() {
  if (failed()) return error();
  constexpr std::string_view kCommit = "COMMIT";
  sqlite3_stmt* statement = Prepare(kCommit);
  if (statement == nullptr) return error();
  const int code = sqlite3_step(statement);
  if (code != SQLITE_DONE) failed_ = db_.Failure(code, /*committing=*/true).value();
  sqlite3_reset(statement);
  if (failed()) return error();
  open_ = false;
  return {};
}

sqlite3_stmt* Transaction::Prepare(std::string_view sql) {
  if (failed()) return nullptr;
  auto statement = db_.Prepared(sql);
  if (statement) return *statement;
  failed_ = statement.error();
  return nullptr;
}

void Transaction::Failed(int code) {
  if (!failed_) failed_ = db_.Failure(code).value();
}

void Transaction::Bind(sqlite3_stmt* s, int i, std::string_view value) {
  Check(sqlite3_bind_text(s, i, value.data() == nullptr ? "" : value.data(), static_cast<int>(value.size()),
                          SQLITE_TRANSIENT));
}

}  // namespace escapement::sqlite
