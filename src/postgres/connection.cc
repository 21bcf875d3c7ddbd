#include "postgres/connection.h"

#include <poll.h>

#include <cstring>

#include <fmt/format.h>

#include "time/quoted.h"
#include "time/storable.h"

namespace escapement::postgres {
namespace {

// PostgreSQL counts microseconds from 2000-01-01 (binary format of timestamptz).
constexpr std::int64_t kEpochOffset = 946'684'800'000'000;

std::string FirstLine(std::string_view text) {
  while (!text.empty() && text.front() == '\n') text.remove_prefix(1);
  std::string line(text.substr(0, text.find('\n')));
  for (const char* prefix : {"ERROR:  ", "FATAL:  "}) {
    if (line.starts_with(prefix)) line.erase(0, std::strlen(prefix));
  }
  return Quoted(line, 1000);
}

}  // namespace

// --- Params

void Params::Append16(std::uint16_t v) {
  bytes_.push_back(static_cast<char>(v >> 8));
  bytes_.push_back(static_cast<char>(v));
}
void Params::Append32(std::uint32_t v) {
  const std::uint32_t big = __builtin_bswap32(v);
  bytes_.append(reinterpret_cast<const char*>(&big), 4);
}
void Params::Append64(std::uint64_t v) {
  const std::uint64_t big = __builtin_bswap64(v);
  bytes_.append(reinterpret_cast<const char*>(&big), 8);
}
void Params::BeginParam(Oid type) {
  types_.push_back(type);
  starts_.push_back(bytes_.size());
}
void Params::EndParam() { lengths_.push_back(static_cast<int>(bytes_.size() - starts_.back())); }

Params& Params::Add(std::int64_t value) {
  BeginParam(kInt8);
  Append64(static_cast<std::uint64_t>(value));
  EndParam();
  return *this;
}
Params& Params::Add(std::int32_t value) {
  BeginParam(kInt4);
  Append32(static_cast<std::uint32_t>(value));
  EndParam();
  return *this;
}
Params& Params::Add(double value) {
  BeginParam(kFloat8);
  Append64(std::bit_cast<std::uint64_t>(value));
  EndParam();
  return *this;
}
Params& Params::Add(bool value) {
  BeginParam(kBool);
  bytes_.push_back(value ? 1 : 0);
  EndParam();
  return *this;
}
Params& Params::Add(Instant value) {
  BeginParam(kTimestamptz);
  Append64(static_cast<std::uint64_t>(ToMicros(value) - kEpochOffset));
  EndParam();
  return *this;
}
Params& Params::Add(std::string_view value) {
  BeginParam(kText);
  bytes_.append(value);
  EndParam();
  return *this;
}
Params& Params::AddNull(Oid type) {
  BeginParam(type);
  lengths_.push_back(-1);
  return *this;
}

namespace {
template <typename T>
constexpr std::pair<TypeOid, TypeOid> kTypesOf = {kInt8, kInt8Array};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<bool> = {kBool, kBoolArray};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<std::int16_t> = {kInt2, kInt2Array};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<std::int32_t> = {kInt4, kInt4Array};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<double> = {kFloat8, kFloat8Array};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<Instant> = {kTimestamptz, kTimestamptzArray};
template <>
constexpr std::pair<TypeOid, TypeOid> kTypesOf<std::string_view> = {kText, kTextArray};
}  // namespace

template <typename T>
void Params::BeginArray(std::size_t count) {
  BeginParam(kTypesOf<T>.second);
  Append32(count == 0 ? 0 : 1);  // dimensions
  null_flag_at_ = bytes_.size();
  Append32(0);  // whether there are NULLs
  Append32(kTypesOf<T>.first);
  if (count == 0) return;
  Append32(static_cast<std::uint32_t>(count));
  Append32(1);  // lower bound
}
template void Params::BeginArray<bool>(std::size_t);
template void Params::BeginArray<std::int16_t>(std::size_t);
template void Params::BeginArray<std::int32_t>(std::size_t);
template void Params::BeginArray<std::int64_t>(std::size_t);
template void Params::BeginArray<double>(std::size_t);
template void Params::BeginArray<Instant>(std::size_t);
template void Params::BeginArray<std::string_view>(std::size_t);

void Params::AppendElement(bool value) {
  Append32(1);
  bytes_.push_back(value ? 1 : 0);
}
void Params::AppendElement(std::int16_t value) {
  Append32(2);
  Append16(static_cast<std::uint16_t>(value));
}
void Params::AppendElement(std::int32_t value) {
  Append32(4);
  Append32(static_cast<std::uint32_t>(value));
}
void Params::AppendElement(std::int64_t value) {
  Append32(8);
  Append64(static_cast<std::uint64_t>(value));
}
void Params::AppendElement(double value) {
  Append32(8);
  Append64(std::bit_cast<std::uint64_t>(value));
}
void Params::AppendElement(Instant value) {
  Append32(8);
  Append64(static_cast<std::uint64_t>(ToMicros(value) - kEpochOffset));
}
void Params::AppendElement(std::string_view value) {
  Append32(static_cast<std::uint32_t>(value.size()));
  bytes_.append(value);
}
void Params::AppendNull() {
  bytes_[null_flag_at_ + 3] = 1;
  Append32(0xffffffffU);
}

std::vector<const char*> Params::values() const {
  std::vector<const char*> out(starts_.size());
  for (std::size_t i = 0; i < starts_.size(); ++i) out[i] = lengths_[i] < 0 ? nullptr : bytes_.data() + starts_[i];
  return out;
}

// --- Rows

template <typename T>
T Rows::Number(int r, int c) const {
  if (PQgetlength(result_.get(), r, c) != static_cast<int>(sizeof(T))) {
    unsound_ = true;
    return 0;
  }
  const char* bytes = PQgetvalue(result_.get(), r, c);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return static_cast<T>(value);
}
template std::uint8_t Rows::Number(int, int) const;
template std::uint16_t Rows::Number(int, int) const;
template std::uint32_t Rows::Number(int, int) const;
template std::uint64_t Rows::Number(int, int) const;

Instant Rows::Time(int r, int c) const {
  const std::int64_t since_2000 = Int64(r, c);
  std::int64_t micros = 0;
  // The extremes are PostgreSQL's infinities.
  if (__builtin_add_overflow(since_2000, kEpochOffset, &micros) || !IsStorable(FromMicros(micros))) {
    unsound_ = true;
    return {};
  }
  return FromMicros(micros);
}
std::optional<Instant> Rows::TimeOrNone(int r, int c) const {
  if (IsNull(r, c)) return std::nullopt;
  return Time(r, c);
}
std::string_view Rows::Text(int r, int c) const {
  if (IsNull(r, c)) unsound_ = true;
  return {PQgetvalue(result_.get(), r, c), static_cast<std::size_t>(PQgetlength(result_.get(), r, c))};
}

// --- Connection

bool IsDataError(std::string_view s) { return s.starts_with("22") || s.starts_with("23") || s.starts_with("54"); }

namespace {

bool IsTorn(const std::string& host, const std::string& port, const std::string& database) {
  return host.find('@') != std::string::npos || database.find('@') != std::string::npos ||
         port.find_first_not_of("0123456789,") != std::string::npos;
}

}  // namespace

std::string RedactUrl(const std::string& url) {
  std::string host = "localhost", port = "5432", database;
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(url.c_str(), &error);
  if (options == nullptr) {
    PQfreemem(error);
    return "postgresql://?";
  }
  for (PQconninfoOption* o = options; o->keyword != nullptr; ++o) {
    if (o->val == nullptr) continue;
    const std::string_view key = o->keyword;
    if (key == "host" || key == "hostaddr") host = o->val;
    if (key == "port") port = o->val;
    if (key == "dbname") database = o->val;
  }
  PQconninfoFree(options);
  // An unencoded '/' or '@' in the password: libpq then takes parts of it for the host, the port or the database.
  if (IsTorn(host, port, database)) return "postgresql://?";
  return fmt::format("postgresql://{}:{}/{}", Quoted(host, 300), Quoted(port), Quoted(database));
}

Connection::Connection(std::string url, std::string application, Duration timeout)
    : url_(std::move(url)), application_(std::move(application)), timeout_(timeout) {}

Connection::~Connection() = default;

void Connection::Close() {
  connection_.reset();
  prepared_.clear();
}

tl::unexpected<Error> Connection::Broken(bool in_doubt) {
  std::string why = connection_ ? FirstLine(PQerrorMessage(connection_.get())) : "connection closed";
  if (why.empty()) why = "no answer within the time limit";
  Close();
  return Fail(in_doubt ? Code::kInDoubt : Code::kUnavailable, fmt::format("{}: {}", RedactUrl(url_), why));
}

Error Connection::FromResult(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  sqlstate_ = state == nullptr ? "" : state;
  const std::string message = FirstLine(PQresultErrorMessage(result));
  const std::string_view s = sqlstate_;
  Code code = Code::kInternal;
  // The transaction of a statement that was answered with an error did not happen.
  if (s.starts_with("08") || s.starts_with("53") || s.starts_with("57P") || s.starts_with("58") || s == "25006" ||
      s == "55P03" || s == "57014" || s == "25P03") {
    code = Code::kUnavailable;
  } else if (s.starts_with("28") || s == "3D000" || s == "42501" || IsDataError(s)) {
    code = Code::kInvalidArgument;
  } else if (s == "42P01" || s == "3F000" || s == "42703" || s == "42883") {
    return {Code::kConflict,
            "the store's schema is absent or of another version: run the migration first (" + message + ")"};
  }
  return {code, fmt::format("{}: {}", RedactUrl(url_), message)};
}

PGconn* Connection::Open(bool with_settings) const {
  const char* keys[] = {"dbname",
                        "application_name",
                        "connect_timeout",
                        "keepalives_idle",
                        "keepalives_interval",
                        "keepalives_count",
                        "tcp_user_timeout",
                        "client_encoding",
                        with_settings ? "options" : nullptr,
                        nullptr};
  // Plans are made once, not for each batch, and must be right for tables that were small when they were made.
  const char* values[] = {url_.c_str(),
                          application_.c_str(),
                          "3",
                          "5",
                          "2",
                          "3",
                          "8000",
                          "UTF8",
                          "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off "
                          "-c jit=off -c idle_in_transaction_session_timeout=10s -c lock_timeout=5s -c timezone=UTC",
                          nullptr};
  return PQconnectdbParams(keys, values, /*expand_dbname=*/1);
}

// A pooler makes up the key that a client is told when it connects; the server process says its own.
Result<bool> Connection::IsPooled() {
  if (PQsendQuery(connection_.get(), "SELECT pg_backend_pid()") == 0) return Broken(false);
  Result<bool> pooled = Fail(Code::kUnavailable, RedactUrl(url_) + ": no answer");
  for (;;) {
    auto result = Await(/*sent_write=*/false);
    if (!result) return tl::unexpected(result.error());
    if (*result == nullptr) break;
    if (PQresultStatus(*result) == PGRES_TUPLES_OK) {
      pooled = std::atoi(PQgetvalue(*result, 0, 0)) != PQbackendPID(connection_.get());
    } else {  // a pooler that cannot reach its server says so now
      pooled =
          Fail(Code::kUnavailable, fmt::format("{}: {}", RedactUrl(url_), FirstLine(PQresultErrorMessage(*result))));
    }
    PQclear(*result);
  }
  if (!pooled) Close();
  return pooled;
}

Status Connection::Connect() {
  if (connection_) return {};
  sqlstate_.clear();
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(url_.c_str(), &error);
  if (options == nullptr) {
    std::string why = error == nullptr ? "out of memory" : FirstLine(error);
    PQfreemem(error);
    // libpq quotes the URL it could not read, password included.
    if (why.find('"') != std::string::npos) why = why.substr(0, why.find('"'));
    return Fail(Code::kInvalidArgument,
                fmt::format("not a PostgreSQL URL ({}): expected postgresql://user:password@host:port/database", why));
  }
  PQconninfoFree(options);
  if (RedactUrl(url_) == "postgresql://?") {
    return Fail(Code::kInvalidArgument,
                "not a PostgreSQL URL: a '/', '@' or ':' in the user or password must be percent-encoded");
  }
  connection_.reset(Open(/*with_settings=*/true));
  prepared_.clear();
  pooled_ = false;
  if (std::strstr(PQerrorMessage(connection_.get()), "unsupported startup parameter") != nullptr) {
    pooled_ = true;  // PgBouncer knows no such settings
    connection_.reset(Open(/*with_settings=*/false));
  }
  if (PQstatus(connection_.get()) == CONNECTION_OK) {
    PQsetnonblocking(connection_.get(), 1);
    PQsetNoticeReceiver(connection_.get(), [](void*, const PGresult*) {}, nullptr);
    if (pooled_) return {};
    auto pooled = IsPooled();
    if (!pooled) return tl::unexpected(pooled.error());
    pooled_ = *pooled;
    return {};
  }
  const std::string whole = PQerrorMessage(connection_.get());
  // While connecting, libpq gives words and no SQLSTATE (until PostgreSQL 17's libpq).
  const bool refused =
      whole.find("password authentication failed") != std::string::npos ||
      whole.find("no password supplied") != std::string::npos ||
      whole.find("no pg_hba.conf entry") != std::string::npos ||
      (whole.find("database \"") != std::string::npos && whole.find("does not exist") != std::string::npos) ||
      (whole.find("role \"") != std::string::npos && whole.find("does not exist") != std::string::npos) ||
      whole.find("invalid port number") != std::string::npos ||
      whole.find("invalid integer value") != std::string::npos || whole.find("invalid sslmode") != std::string::npos;
  std::string why = FirstLine(whole);
  if (const auto at = why.find("FATAL:  "); at != std::string::npos) why.erase(0, at + 8);
  Close();
  return Fail(refused ? Code::kInvalidArgument : Code::kUnavailable, fmt::format("{}: {}", RedactUrl(url_), why));
}

// Waits for the next result of what was sent, within the time limit. A null pointer is the end of a statement.
Result<PGresult*> Connection::Await(bool sent_write) {
  const auto deadline = std::chrono::steady_clock::now() + timeout_;
  PGconn* c = connection_.get();
  for (;;) {
    const int flushed = PQflush(c);
    if (flushed < 0) return Broken(sent_write);
    if (flushed == 0 && PQisBusy(c) == 0) return PQgetResult(c);
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Broken(sent_write);
    pollfd p{PQsocket(c), static_cast<short>(POLLIN | (flushed == 1 ? POLLOUT : 0)), 0};
    if (poll(&p, 1, static_cast<int>(left.count()) + 1) < 0 && errno != EINTR) return Broken(sent_write);
    if (PQconsumeInput(c) == 0) return Broken(sent_write);
  }
}

Status Connection::Prepare(const Query& query, const Params& params) {
  if (pooled_ || prepared_.contains(query.name)) return {};
  PGconn* c = connection_.get();
  if (PQsendPrepare(c, query.name, std::string(query.sql).c_str(), params.size(), params.types().data()) == 0) {
    return Broken(false);
  }
  Status status;
  for (;;) {
    auto result = Await(false);
    if (!result) return tl::unexpected(result.error());
    if (*result == nullptr) break;
    if (PQresultStatus(*result) != PGRES_COMMAND_OK) status = tl::unexpected(FromResult(*result));
    PQclear(*result);
  }
  if (status) prepared_.insert(query.name);
  if (!status && connection_ && PQstatus(connection_.get()) != CONNECTION_OK) Close();
  return status;
}

bool Connection::SendStatement(const Query& query, const Params& params) {
  PGconn* c = connection_.get();
  const auto values = params.values();
  const std::vector<int> formats(values.size(), 1);
  if (pooled_) {
    return PQsendQueryParams(c, std::string(query.sql).c_str(), params.size(), params.types().data(), values.data(),
                             params.lengths().data(), formats.data(), 1) != 0;
  }
  return PQsendQueryPrepared(c, query.name, params.size(), values.data(), params.lengths().data(), formats.data(), 1) !=
         0;
}

Result<Rows> Connection::Execute(const Query& query, const Params& params) {
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  if (auto s = Prepare(query, params); !s) return tl::unexpected(s.error());
  sqlstate_.clear();
  if (!SendStatement(query, params)) return Broken(false);
  Result<Rows> out = Fail(Code::kInternal, "no result");
  bool answered = false;
  for (;;) {
    auto result = Await(/*sent_write=*/!answered);
    if (!result) {
      if (answered && !out) return out;
      return tl::unexpected(result.error());
    }
    if (*result == nullptr) break;
    answered = true;
    const auto status = PQresultStatus(*result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      out = Rows(*result);
    } else {
      const char* state = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
      if (state == nullptr) {  // made up by libpq: the connection broke
        PQclear(*result);
        return Broken(true);
      }
      out = tl::unexpected(FromResult(*result));
      PQclear(*result);
    }
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) Close();
  return out;
}

Result<std::vector<Rows>> Connection::Pipeline(const std::vector<std::pair<const Query*, const Params*>>& steps) {
  if (auto s = Connect(); !s) return tl::unexpected(s.error());
  if (pooled_) {  // it need not understand pipelines
    std::vector<Rows> out;
    for (const auto& [query, params] : steps) {
      auto rows = Execute(*query, *params);
      if (!rows) return tl::unexpected(rows.error());
      out.push_back(*std::move(rows));
    }
    return out;
  }
  for (const auto& [query, params] : steps) {
    if (auto s = Prepare(*query, *params); !s) return tl::unexpected(s.error());
  }
  sqlstate_.clear();
  PGconn* c = connection_.get();
  if (PQenterPipelineMode(c) == 0) return Broken(false);
  for (const auto& [query, params] : steps) {
    if (!SendStatement(*query, *params) || PQpipelineSync(c) == 0) return Broken(true);
  }
  std::vector<Rows> out;
  std::optional<Error> failed;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (bool synced = false; !synced;) {
      auto result = Await(true);
      if (!result) return tl::unexpected(result.error());
      if (*result == nullptr) continue;
      const auto status = PQresultStatus(*result);
      if (status == PGRES_PIPELINE_SYNC) {
        PQclear(*result);
        synced = true;
      } else if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        out.emplace_back(*result);
      } else {
        const bool from_server = PQresultErrorField(*result, PG_DIAG_SQLSTATE) != nullptr;
        if (!failed) failed = FromResult(*result);
        PQclear(*result);
        if (!from_server) return Broken(true);
        if (PQstatus(c) != CONNECTION_OK) {
          Close();
          return tl::unexpected(*failed);
        }
      }
    }
  }
  if (PQexitPipelineMode(c) == 0) return Broken(true);
  if (failed) return tl::unexpected(*failed);
  return out;
}

Status Connection::Run(const std::string& sql) {
  if (auto s = Connect(); !s) return s;
  sqlstate_.clear();
  if (PQsendQuery(connection_.get(), sql.c_str()) == 0) return Broken(false);
  Status status;
  for (;;) {
    auto result = Await(true);
    if (!result) return tl::unexpected(result.error());
    if (*result == nullptr) break;
    const auto s = PQresultStatus(*result);
    if (s != PGRES_TUPLES_OK && s != PGRES_COMMAND_OK && s != PGRES_EMPTY_QUERY && status) {
      status = tl::unexpected(FromResult(*result));
    }
    PQclear(*result);
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) Close();
  return status;
}

}  // namespace escapement::postgres
