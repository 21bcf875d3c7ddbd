#include "stress/pg_client.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>

namespace escapement::stress {
namespace {

struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, ClearResult>;

std::string OneLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

void PgClient::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

Result<PgClient> PgClient::Open(const PostgresTarget& target) {
  const std::string port = std::to_string(target.port);
  // A host that stops answering must not hold the witness for ever: 15 s without an answer end the connection.
  const std::array keys = {"host",
                           "port",
                           "user",
                           "password",
                           "dbname",
                           "connect_timeout",
                           "application_name",
                           "tcp_user_timeout",
                           static_cast<const char*>(nullptr)};
  const std::array values = {target.host.c_str(),
                             port.c_str(),
                             target.user.c_str(),
                             target.password.c_str(),
                             target.database.c_str(),
                             "5",
                             "escapement stress witness",
                             "15000",
                             static_cast<const char*>(nullptr)};
  PgClient client(std::unique_ptr<pg_conn, Finish>(PQconnectdbParams(keys.data(), values.data(), 0)));
  if (PQstatus(client.connection_.get()) != CONNECTION_OK) {
    return Fail(Code::kUnavailable, OneLine(PQerrorMessage(client.connection_.get())));
  }
  PQsetNoticeProcessor(client.connection_.get(), [](void*, const char*) {}, nullptr);
  return client;
}

Error PgClient::Problem(const char* sqlstate) const {
  const std::string_view state = sqlstate ? sqlstate : "";
  Code code = Code::kInternal;
  if (PQstatus(connection_.get()) == CONNECTION_BAD || state.substr(0, 3) == "57P") {
    code = Code::kUnavailable;
  } else if (state == "42P01") {
    code = Code::kNotFound;
  } else if (state == "23505") {
    code = Code::kConflict;
  }
  return Error{code, OneLine(PQerrorMessage(connection_.get()))};
}

Result<std::vector<PgRow>> PgClient::Exec(const std::string& sql, const std::vector<std::string>& params) {
  std::vector<const char*> values;
  for (const auto& param : params) values.push_back(param.c_str());
  PgResult result(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                               nullptr, nullptr, 0));
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    return tl::make_unexpected(Problem(PQresultErrorField(result.get(), PG_DIAG_SQLSTATE)));
  }
  std::vector<PgRow> rows(static_cast<std::size_t>(PQntuples(result.get())));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      const int row = static_cast<int>(i);
      if (PQgetisnull(result.get(), row, column)) {
        rows[i].emplace_back();
      } else {
        rows[i].emplace_back(PQgetvalue(result.get(), row, column));
      }
    }
  }
  return rows;
}

Status PgClient::CopyIn(const std::string& sql, std::string_view rows) {
  PgResult begun(PQexec(connection_.get(), sql.c_str()));
  if (PQresultStatus(begun.get()) != PGRES_COPY_IN) {
    return tl::make_unexpected(Problem(PQresultErrorField(begun.get(), PG_DIAG_SQLSTATE)));
  }
  constexpr std::size_t kPiece = 1 << 20;
  bool sent = true;
  for (std::size_t at = 0; sent && at < rows.size(); at += kPiece) {
    const auto piece = rows.substr(at, kPiece);
    sent = PQputCopyData(connection_.get(), piece.data(), static_cast<int>(piece.size())) == 1;
  }
  if (!sent || PQputCopyEnd(connection_.get(), nullptr) != 1) {
    return Fail(Code::kUnavailable, OneLine(PQerrorMessage(connection_.get())));
  }
  std::optional<Error> error;
  while (PgResult result{PQgetResult(connection_.get())}) {
    if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) continue;
    if (!error) error = Problem(PQresultErrorField(result.get(), PG_DIAG_SQLSTATE));
    if (PQstatus(connection_.get()) == CONNECTION_BAD) break;
  }
  if (error) return tl::make_unexpected(*error);
  return {};
}

Status PgClient::CopyOut(const std::string& sql, const std::function<void(std::string_view)>& take) {
  PgResult begun(PQexec(connection_.get(), sql.c_str()));
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
    return tl::make_unexpected(Problem(PQresultErrorField(begun.get(), PG_DIAG_SQLSTATE)));
  }
  char* data = nullptr;
  int size = 0;
  while ((size = PQgetCopyData(connection_.get(), &data, 0)) > 0) {
    take(std::string_view(data, static_cast<std::size_t>(size)));
    PQfreemem(data);
  }
  if (size == -2) return Fail(Code::kUnavailable, OneLine(PQerrorMessage(connection_.get())));
  std::optional<Error> error;
  while (PgResult result{PQgetResult(connection_.get())}) {
    if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) continue;
    if (!error) error = Problem(PQresultErrorField(result.get(), PG_DIAG_SQLSTATE));
    if (PQstatus(connection_.get()) == CONNECTION_BAD) break;
  }
  if (error) return tl::make_unexpected(*error);
  return {};
}

}  // namespace escapement::stress
