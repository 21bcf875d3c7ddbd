#include <bit>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "stress/pg_client.h"
#include "stress/witness_store.h"

namespace escapement::stress {
namespace {

void AppendCopyText(std::string_view text, std::string* out) {
  for (char c : text) {
    if (c == '\\') *out += '\\';
    *out += c;  // names and ids hold no control characters
  }
}

// Fields of one tuple of COPY's binary format.
class TupleReader {
 public:
  explicit TupleReader(std::string_view data) : data_(data) {}

  std::int16_t Int16() { return static_cast<std::int16_t>(Big(2)); }

  // A field's bytes, or nothing for null.
  std::optional<std::string_view> Field() {
    const auto size = static_cast<std::int32_t>(Big(4));
    if (size < 0) return std::nullopt;
    auto field = data_.substr(0, static_cast<std::size_t>(size));
    data_.remove_prefix(field.size());
    return field;
  }

  static std::uint64_t BigEndian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (unsigned char c : bytes) value = value << 8 | c;
    return value;
  }

  void Skip(std::size_t size) { data_.remove_prefix(std::min(size, data_.size())); }
  std::size_t left() const { return data_.size(); }

 private:
  std::uint64_t Big(std::size_t size) {
    const auto value = BigEndian(data_.substr(0, size));
    Skip(size);
    return value;
  }
  std::string_view data_;
};

std::int64_t SecondsFieldToMicros(std::string_view field) {
  return std::llround(std::bit_cast<double>(TupleReader::BigEndian(field)) * 1e6);
}

class PostgresWitness final : public WitnessStore {
 public:
  explicit PostgresWitness(PgClient client) : client_(std::move(client)) {}

  Status Prepare() override {
    for (const char* sql : {
             "CREATE TABLE IF NOT EXISTS stress_executions (id bigserial PRIMARY KEY, job_id text, pod_name text, "
             "actual_time double precision, scheduled_time double precision, latency_ms integer, "
             "execution_time_ms integer, created_at timestamp DEFAULT CURRENT_TIMESTAMP)",
             "CREATE TABLE IF NOT EXISTS stress_config (key text PRIMARY KEY, value text)",
         }) {
      if (auto done = client_.Exec(sql); !done) return tl::make_unexpected(done.error());
    }
    return Clear();
  }

  Status Clear() override {
    for (const char* sql : {"TRUNCATE stress_executions RESTART IDENTITY", "DELETE FROM stress_config"}) {
      if (auto done = client_.Exec(sql); !done) return tl::make_unexpected(done.error());
    }
    return {};
  }

  // One COPY under ids taken before: when the reply was lost, all is in the table if the first is.
  Status Insert(const std::string& pod, std::vector<WitnessRow>* rows) override {
    if (rows->empty()) return {};
    if (rows->front().id != 0) {
      auto found = client_.Exec("SELECT 1 FROM stress_executions WHERE id = $1", {std::to_string(rows->front().id)});
      if (!found) return tl::make_unexpected(found.error());
      if (!found->empty()) return {};
    } else {
      auto ids = client_.Exec("SELECT nextval('stress_executions_id_seq') FROM generate_series(1, $1::int)",
                              {std::to_string(rows->size())});
      if (!ids) return tl::make_unexpected(ids.error());
      if (ids->size() != rows->size()) return Fail(Code::kInternal, "PostgreSQL gave fewer ids than were asked for");
      for (std::size_t i = 0; i < rows->size(); ++i) {
        const std::string& id = *(*ids)[i][0];
        std::from_chars(id.data(), id.data() + id.size(), (*rows)[i].id);
      }
    }
    std::string text;
    for (const WitnessRow& row : *rows) {
      text += std::to_string(row.id);
      text += '\t';
      AppendCopyText(row.job_id, &text);
      text += '\t';
      AppendCopyText(pod, &text);
      text += fmt::format("\t{}\t{}\t{}\t", EpochSeconds(row.actual), EpochSeconds(row.fire), LatencyMs(row));
      text += row.execution_ms < 0 ? std::string("\\N") : std::to_string(row.execution_ms);
      text += '\n';
    }
    return client_.CopyIn(
        "COPY stress_executions (id, job_id, pod_name, actual_time, scheduled_time, latency_ms, execution_time_ms) "
        "FROM STDIN",
        text);
  }

  Status Update(const std::string& /*pod*/, const std::vector<WitnessRow>& rows) override {
    std::string ids = "{";
    std::string ends = "{";
    for (const WitnessRow& row : rows) {
      if (ids.size() > 1) {
        ids += ',';
        ends += ',';
      }
      ids += std::to_string(row.id);
      ends += std::to_string(row.execution_ms);
    }
    auto done = client_.Exec(
        "UPDATE stress_executions SET execution_time_ms = ended.ms "
        "FROM unnest($1::bigint[], $2::int[]) AS ended (id, ms) WHERE stress_executions.id = ended.id",
        {ids + "}", ends + "}"});
    if (!done) return tl::make_unexpected(done.error());
    return {};
  }

  Status WriteConfig(const TestConfig& values) override {
    std::vector<std::string> parameters;
    std::string rows;
    for (const auto& [key, value] : values) {
      parameters.insert(parameters.end(), {key, value});
      rows += fmt::format("{}(${}, ${})", rows.empty() ? "" : ", ", parameters.size() - 1, parameters.size());
    }
    auto written = client_.Exec("INSERT INTO stress_config (key, value) VALUES " + rows +
                                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                                parameters);
    if (!written) return tl::make_unexpected(written.error());
    return {};
  }

  Result<TestConfig> ReadConfig() override {
    auto rows = client_.Exec("SELECT key, value FROM stress_config");
    if (!rows && rows.error().code == Code::kNotFound) return Fail(Code::kNotFound, "no table stress_config");
    if (!rows) return tl::make_unexpected(rows.error());
    TestConfig values;
    for (const auto& row : *rows) values[row[0].value_or("")] = row[1].value_or("");
    return values;
  }

  Result<Instant> Now() override {
    auto rows = client_.Exec("SELECT extract(epoch FROM clock_timestamp())");
    if (!rows) return tl::make_unexpected(rows.error());
    return FromMicros(std::llround(std::strtod(rows->front()[0].value_or("0").c_str(), nullptr) * 1e6));
  }

  // The sequence instead of a count: the witness must not become the load.
  Result<std::int64_t> Count() override {
    auto rows = client_.Exec("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM stress_executions_id_seq");
    if (!rows) return tl::make_unexpected(rows.error());
    return std::strtoll(rows->front()[0].value_or("0").c_str(), nullptr, 10);
  }

  Status Read(const std::function<void(const RecordedRow&)>& take) override {
    bool header = true;
    return client_.CopyOut(
        "COPY (SELECT job_id, pod_name, actual_time, scheduled_time, execution_time_ms FROM stress_executions) "
        "TO STDOUT (FORMAT binary)",
        [&](std::string_view message) {
          TupleReader reader(message);
          if (header) {
            reader.Skip(19);  // signature, flags, no extension
            header = false;
          }
          while (reader.left() >= 2 && reader.Int16() == 5) {  // -1 ends the data
            const auto job = reader.Field();
            const auto pod = reader.Field();
            const auto actual = reader.Field();
            const auto fire = reader.Field();
            const auto ms = reader.Field();
            if (!job || !actual || !fire) continue;
            take({*job, pod.value_or("unnamed"), SecondsFieldToMicros(*fire), SecondsFieldToMicros(*actual),
                  ms ? static_cast<std::int32_t>(TupleReader::BigEndian(*ms)) : -1});
          }
        });
  }

 private:
  PgClient client_;
};

}  // namespace

Result<std::unique_ptr<WitnessStore>> OpenPostgresWitness(const PostgresTarget& target) {
  auto client = PgClient::Open(target);
  if (!client) return tl::make_unexpected(client.error());
  return std::make_unique<PostgresWitness>(std::move(*client));
}

}  // namespace escapement::stress
