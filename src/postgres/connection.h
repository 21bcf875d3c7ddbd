// A thin RAII layer over libpq: prepared statements, binary parameters and results, pipelines, deadlines.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libpq-fe.h>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement::postgres {

// Type numbers of PostgreSQL's catalog (pg_type.dat; they never change).
enum TypeOid : Oid {
  kBool = 16,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kFloat8 = 701,
  kTimestamptz = 1184,
  kBoolArray = 1000,
  kInt2Array = 1005,
  kInt4Array = 1007,
  kTextArray = 1009,
  kInt8Array = 1016,
  kFloat8Array = 1022,
  kTimestamptzArray = 1185,
};

// The parameters of one execution, in the binary format.
class Params {
 public:
  Params& Add(std::int64_t value);
  Params& Add(std::int32_t value);
  Params& Add(double value);
  Params& Add(bool value);
  Params& Add(Instant value);
  Params& Add(std::string_view value);
  Params& Add(const char* value) { return Add(std::string_view(value)); }
  Params& AddNull(Oid type);

  // One array of `count` elements: element(i) gives a value or nullopt for NULL. T: bool, int16_t, int32_t, int64_t,
  // double, Instant, std::string_view.
  template <typename T, typename Element>
  Params& AddArray(std::size_t count, Element element) {
    BeginArray<T>(count);
    for (std::size_t i = 0; i < count; ++i) {
      std::optional<T> value = element(i);
      if (value) {
        AppendElement(*value);
      } else {
        AppendNull();
      }
    }
    EndParam();
    return *this;
  }

  const std::vector<Oid>& types() const { return types_; }
  int size() const { return static_cast<int>(types_.size()); }
  // Pointers into this object, valid until it changes.
  std::vector<const char*> values() const;
  const std::vector<int>& lengths() const { return lengths_; }

 private:
  template <typename T>
  void BeginArray(std::size_t count);
  void BeginParam(Oid type);
  void EndParam();
  void AppendElement(bool value);
  void AppendElement(std::int16_t value);
  void AppendElement(std::int32_t value);
  void AppendElement(std::int64_t value);
  void AppendElement(double value);
  void AppendElement(Instant value);
  void AppendElement(std::string_view value);
  void AppendNull();
  void Append16(std::uint16_t value);
  void Append32(std::uint32_t value);
  void Append64(std::uint64_t value);

  std::string bytes_;
  std::vector<Oid> types_;
  std::vector<std::size_t> starts_;
  std::vector<int> lengths_;  // -1: NULL
  std::size_t null_flag_at_ = 0;
};

// Rows of a result in the binary format. Column numbers from 0. The caller knows the types. A NULL, or a value of
// another size, reads as zero or empty, and Sound() tells.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result, &PQclear) {}
  int size() const { return PQntuples(result_.get()); }
  bool IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  bool Bool(int row, int column) const { return Number<std::uint8_t>(row, column) != 0; }
  std::int16_t Int16(int row, int column) const {
    return static_cast<std::int16_t>(Number<std::uint16_t>(row, column));
  }
  std::int32_t Int32(int row, int column) const {
    return static_cast<std::int32_t>(Number<std::uint32_t>(row, column));
  }
  std::int64_t Int64(int row, int column) const {
    return static_cast<std::int64_t>(Number<std::uint64_t>(row, column));
  }
  double Float(int row, int column) const { return std::bit_cast<double>(Number<std::uint64_t>(row, column)); }
  Instant Time(int row, int column) const;
  std::optional<Instant> TimeOrNone(int row, int column) const;
  std::string_view Text(int row, int column) const;
  // Whether all that was read since the last question was there, and every instant IsStorable.
  bool Sound() const { return !std::exchange(unsound_, false); }

 private:
  template <typename T>
  T Number(int row, int column) const;

  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
  mutable bool unsound_ = false;
};

// A query: text from a file, prepared under `name` at its first use on a connection.
struct Query {
  const char* name;
  std::string_view sql;
};

// One connection. Not thread-safe. A lost connection is opened again by the next call.
// A pooler in transaction mode (PgBouncer) hands each transaction to another server process, where prepared statements
// and settings of this one do not exist. It is recognised when connecting; statements are then sent unprepared.
class Connection {
 public:
  // `url`: what libpq accepts. `application`: shown in pg_stat_activity.
  Connection(std::string url, std::string application, Duration timeout = std::chrono::seconds(10));
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Connects if not connected. kInvalidArgument: bad URL, refused password, no such database or role.
  // kUnavailable: no answer.
  Status Connect();
  bool connected() const { return connection_ != nullptr; }
  // A pooler stands between: what belongs to a server process (LISTEN above all) is lost between transactions.
  bool pooled() const { return pooled_; }

  // Runs one prepared statement as its own transaction (or inside the open one). kInDoubt when the connection broke
  // after it was sent. kInvalidArgument for an error of data.
  Result<Rows> Execute(const Query& query, const Params& params);
  // Runs several prepared statements in one round trip, each as a transaction of its own.
  Result<std::vector<Rows>> Pipeline(const std::vector<std::pair<const Query*, const Params*>>& steps);
  // Runs SQL text, several statements allowed, no parameters: migrations and transaction control.
  Status Run(const std::string& sql);
  void Close();
  // For what may take longer than a call does: migrations. Gives the limit until now.
  Duration SetTimeout(Duration timeout) { return std::exchange(timeout_, timeout); }

  int socket() const { return PQsocket(connection_.get()); }
  PGconn* raw() { return connection_.get(); }
  // SQLSTATE of the last error, or "".
  const std::string& last_sqlstate() const { return sqlstate_; }

 private:
  struct Finish {
    void operator()(PGconn* c) const { PQfinish(c); }
  };
  PGconn* Open(bool with_settings) const;
  Result<bool> IsPooled();
  bool SendStatement(const Query& query, const Params& params);
  Status Prepare(const Query& query, const Params& params);
  Result<PGresult*> Await(bool sent_write);
  tl::unexpected<Error> Broken(bool in_doubt);
  Error FromResult(const PGresult* result);

  std::string url_;
  std::string application_;
  Duration timeout_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::set<std::string_view> prepared_;
  bool pooled_ = false;
  std::string sqlstate_;
};

// The URL without password, for messages.
std::string RedactUrl(const std::string& url);

// True for SQLSTATEs of classes 22, 23 and 54: the data cannot be stored, another try gives the same.
bool IsDataError(std::string_view sqlstate);

}  // namespace escapement::postgres
