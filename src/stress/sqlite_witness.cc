#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

constexpr int kBusyMs = 5'000;  // so long another's write is waited for

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

class SqliteWitness final : public WitnessStore {
 public:
  SqliteWitness(std::string path, Database database) : path_(std::move(path)), database_(std::move(database)) {}

  Status Prepare() override {
    for (const char* sql : {
             "CREATE TABLE IF NOT EXISTS stress_executions (id INTEGER PRIMARY KEY, job_id TEXT, pod_name TEXT, "
             "actual_time REAL, scheduled_time REAL, latency_ms INTEGER, execution_time_ms INTEGER, "
             "created_at TEXT DEFAULT CURRENT_TIMESTAMP)",
             "CREATE TABLE IF NOT EXISTS stress_config (key TEXT PRIMARY KEY, value TEXT)",
         }) {
      if (auto done = Run(sql); !done) return done;
    }
    return Clear();
  }

  Status Clear() override {
    return Write([this]() -> Status {
      if (auto done = Run("DELETE FROM stress_executions"); !done) return done;
      return Run("DELETE FROM stress_config");
    });
  }

  // A transaction that failed left nothing behind: the rows get other ids then.
  Status Insert(const std::string& pod, std::vector<WitnessRow>* rows) override {
    return Write([&]() -> Status {
      auto insert = Make(
          "INSERT INTO stress_executions (job_id, pod_name, actual_time, scheduled_time, latency_ms, "
          "execution_time_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
      if (!insert) return tl::make_unexpected(insert.error());
      for (WitnessRow& row : *rows) {
        insert->Bind(1, row.job_id);
        insert->Bind(2, pod);
        insert->Bind(3, static_cast<double>(row.actual) / 1e6);
        insert->Bind(4, static_cast<double>(row.fire) / 1e6);
        insert->Bind(5, LatencyMs(row));
        if (row.execution_ms < 0) {
          insert->BindNull(6);
        } else {
          insert->Bind(6, std::int64_t{row.execution_ms});
        }
        if (auto done = insert->Finish(); !done) return done;
        row.id = sqlite3_last_insert_rowid(database_.get());
      }
      return {};
    });
  }

  Status Update(const std::string& /*pod*/, const std::vector<WitnessRow>& rows) override {
    return Write([&]() -> Status {
      auto update = Make("UPDATE stress_executions SET execution_time_ms = ?2 WHERE id = ?1");
      if (!update) return tl::make_unexpected(update.error());
      for (const WitnessRow& row : rows) {
        update->Bind(1, row.id);
        update->Bind(2, std::int64_t{row.execution_ms});
        if (auto done = update->Finish(); !done) return done;
      }
      return {};
    });
  }

  Status WriteConfig(const TestConfig& values) override {
    return Write([&]() -> Status {
      auto write = Make(
          "INSERT INTO stress_config (key, value) VALUES (?1, ?2) "
          "ON CONFLICT (key) DO UPDATE SET value = excluded.value");
      if (!write) return tl::make_unexpected(write.error());
      for (const auto& [key, value] : values) {
        write->Bind(1, key);
        write->Bind(2, value);
        if (auto done = write->Finish(); !done) return done;
      }
      return {};
    });
  }

  Result<TestConfig> ReadConfig() override {
    auto read = Make("SELECT key, value FROM stress_config");
    if (!read) return tl::make_unexpected(read.error());
    TestConfig values;
    while (read->Next()) values[std::string(read->Text(0))] = std::string(read->Text(1));
    if (auto done = read->Finish(); !done) return tl::make_unexpected(done.error());
    return values;
  }

  // The store's clock is the machine's.
  Result<Instant> Now() override {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return FromMicros(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000);
  }

  // The greatest id instead of a count: the witness must not become the load.
  Result<std::int64_t> Count() override {
    auto count = Make("SELECT coalesce(max(id), 0) FROM stress_executions");
    if (!count) return tl::make_unexpected(count.error());
    std::int64_t number = 0;
    while (count->Next()) number = count->Integer(0);
    if (auto done = count->Finish(); !done) return tl::make_unexpected(done.error());
    return number;
  }

  Status Read(const std::function<void(const RecordedRow&)>& take) override {
    auto read = Make("SELECT job_id, pod_name, actual_time, scheduled_time, execution_time_ms FROM stress_executions");
    if (!read) return tl::make_unexpected(read.error());
    while (read->Next()) {
      take({read->Text(0), read->Text(1), std::llround(read->Real(3) * 1e6), std::llround(read->Real(2) * 1e6),
            read->IsNull(4) ? -1 : static_cast<std::int32_t>(read->Integer(4))});
    }
    return read->Finish();
  }

 private:
  class Statement {
   public:
    Statement(SqliteWitness* owner, sqlite3_stmt* statement) : owner_(owner), statement_(statement) {}
    // Texts must live until Finish.
    void Bind(int at, std::string_view text) {
      sqlite3_bind_text(statement_.get(), at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    }
    void Bind(int at, std::int64_t value) { sqlite3_bind_int64(statement_.get(), at, value); }
    void Bind(int at, double value) { sqlite3_bind_double(statement_.get(), at, value); }
    void BindNull(int at) { sqlite3_bind_null(statement_.get(), at); }

    bool Next() { return (stepped_ = sqlite3_step(statement_.get())) == SQLITE_ROW; }
    std::string_view Text(int column) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
      return text == nullptr
                 ? std::string_view()
                 : std::string_view(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)));
    }
    std::int64_t Integer(int column) { return sqlite3_column_int64(statement_.get(), column); }
    double Real(int column) { return sqlite3_column_double(statement_.get(), column); }
    bool IsNull(int column) { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

    // How Next came to its end, or how running it did if Next was not called; then it can be bound anew.
    Status Finish() {
      if (stepped_ == SQLITE_OK) (void)Next();
      stepped_ = SQLITE_OK;
      if (sqlite3_reset(statement_.get()) == SQLITE_OK) return {};
      return tl::make_unexpected(owner_->Problem());
    }

   private:
    SqliteWitness* owner_;
    std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
    int stepped_ = SQLITE_OK;  // the last answer of Next; this: it was not called
  };

  Result<Statement> Make(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr) != SQLITE_OK)
      return tl::make_unexpected(Problem());
    return Statement(this, statement);
  }

  Status Run(const char* sql) {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return tl::make_unexpected(Problem());
  }

  // IMMEDIATE: it waits for the other writers before it begins, not in the middle.
  template <typename Body>
  Status Write(Body body) {
    if (auto begun = Run("BEGIN IMMEDIATE"); !begun) return begun;
    Status done = body();
    if (done) done = Run("COMMIT");
    if (!done && sqlite3_get_autocommit(database_.get()) == 0) (void)Run("ROLLBACK");
    return done;
  }

  Error Problem() const {
    const std::string message = sqlite3_errmsg(database_.get());
    switch (sqlite3_errcode(database_.get()) & 0xFF) {
      case SQLITE_BUSY:
      case SQLITE_LOCKED: return {Code::kUnavailable, path_ + ": " + message};
      default: break;
    }
    if (message.starts_with("no such table: ")) return {Code::kNotFound, "no table " + message.substr(15)};
    return {Code::kInternal, path_ + ": " + message};
  }

  const std::string path_;
  Database database_;
};

}  // namespace

Result<std::unique_ptr<WitnessStore>> OpenSqliteWitness(const std::string& path) {
  struct stat ignored{};
  if (stat(path.c_str(), &ignored) != 0) return Fail(Code::kNotFound, fmt::format("no file {}", path));
  sqlite3* opened = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(opened);
  if (status != SQLITE_OK) return Fail(Code::kUnavailable, fmt::format("{}: {}", path, sqlite3_errmsg(database.get())));
  sqlite3_busy_timeout(database.get(), kBusyMs);
  // The record need not be durable on its own: the engine's next commit makes it so, and the pods keep files as well.
  sqlite3_exec(database.get(), "PRAGMA synchronous = NORMAL", nullptr, nullptr, nullptr);
  return std::make_unique<SqliteWitness>(path, std::move(database));
}

}  // namespace escapement::stress
