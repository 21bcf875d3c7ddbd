#include "stress/witness.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "stress/witness_file.h"

namespace escapement::stress {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kFlushEvery = std::chrono::milliseconds(250);
constexpr auto kInsertUnendedAfter = std::chrono::seconds(1);
constexpr std::size_t kRowLimit = 2'000'000;
constexpr std::size_t kBatchLimit = 20'000;

void AppendCopyText(std::string_view text, std::string* out) {
  for (char c : text) {
    if (c == '\\') *out += '\\';
    *out += c;  // names and ids hold no control characters
  }
}

}  // namespace

std::int64_t WallMicros() {
  timespec now = {};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

Status PrepareTables(PgClient& client) {
  for (const char* sql : {
           "CREATE TABLE IF NOT EXISTS stress_executions (id bigserial PRIMARY KEY, job_id text, pod_name text, "
           "actual_time double precision, scheduled_time double precision, latency_ms integer, "
           "execution_time_ms integer, created_at timestamp DEFAULT CURRENT_TIMESTAMP)",
           "CREATE TABLE IF NOT EXISTS stress_config (key text PRIMARY KEY, value text)",
           "TRUNCATE stress_executions RESTART IDENTITY",
           "DELETE FROM stress_config",
       }) {
    if (auto done = client.Exec(sql); !done) return tl::make_unexpected(done.error());
  }
  return {};
}

struct Witness::Row {
  std::string job_id;
  std::int64_t fire = 0;
  std::int64_t actual = 0;
  Steady::time_point begun;
  // Guarded by the witness's mutex:
  std::int32_t execution_ms = -1;  // -1: has not ended
  std::int64_t id = 0;             // once it is in the table
  bool written_unended = false;    // its batch says that it has not ended
};

Result<std::unique_ptr<Witness>> Witness::Open(const PostgresTarget& target, const std::string& directory) {
  std::unique_ptr<Witness> witness(new Witness(target));
  if (!directory.empty()) {
    witness->directory_ = directory;
    const std::string path = directory + "/" + StartsFileName("unnamed", getpid());
    witness->file_ = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (witness->file_ < 0) return Fail(Code::kInternal, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  witness->thread_ = std::thread([w = witness.get()] { w->Loop(); });
  return witness;
}

Witness::~Witness() {
  Stop(Duration(0));
  if (file_ >= 0) close(file_);
}

void Witness::SetPodName(const std::string& name) {
  if (file_ >= 0) {
    // The descriptor follows the file to its new name.
    const std::string from = directory_ + "/" + StartsFileName("unnamed", getpid());
    std::rename(from.c_str(), (directory_ + "/" + StartsFileName(name, getpid())).c_str());
  }
  std::lock_guard lock(mutex_);
  pod_name_ = name;
}

std::shared_ptr<Witness::Row> Witness::Begin(const RunContext& run) {
  auto row = std::make_shared<Row>();
  row->actual = WallMicros();
  row->begun = Steady::now();
  row->job_id = run.job->id;
  row->fire = ToMicros(run.fire_time);
  if (file_ >= 0) {
    const std::string line = FormatStart({row->job_id, row->fire, row->actual, run.attempt, run.fence});
    if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      fmt::print(stderr, "escapement: the witness file cannot be written: {}\n", std::strerror(errno));
    }
  }
  std::lock_guard lock(mutex_);
  ++starts_;
  if (rows_.size() < kRowLimit) {
    rows_.push_back(row);
  } else {
    ++dropped_;
  }
  return row;
}

void Witness::End(const std::shared_ptr<Row>& row) {
  const auto ms = std::chrono::round<std::chrono::milliseconds>(Steady::now() - row->begun).count();
  std::lock_guard lock(mutex_);
  row->execution_ms = static_cast<std::int32_t>(ms);
  if (row->id != 0) updates_.push_back({row->id, row->execution_ms});
}

std::int64_t Witness::starts() const {
  std::lock_guard lock(mutex_);
  return starts_;
}

std::int64_t Witness::Stop(Duration limit) {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    give_up_ = Steady::now() + limit;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::lock_guard lock(mutex_);
  return dropped_ + static_cast<std::int64_t>(rows_.size() + (in_doubt_ ? in_doubt_->rows.size() : 0));
}

void Witness::Loop() {
  auto pause = std::chrono::duration_cast<Steady::duration>(kFlushEvery);
  for (;;) {
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, pause, [this] { return stopping_; });
      last = stopping_;
    }
    const bool flushed = Flush(last);
    if (flushed && last) return;
    if (flushed) {
      pause = kFlushEvery;
      continue;
    }
    client_.reset();
    // Twice as long after each failure, at most 4 s. When stopping, wait_for does not wait: sleep instead.
    pause = std::min<Steady::duration>(pause * 2, std::chrono::seconds(4));
    if (last) {
      {
        std::lock_guard lock(mutex_);
        if (Steady::now() >= *give_up_) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
}

bool Witness::Connect() {
  if (client_) return true;
  auto client = PgClient::Open(target_);
  if (!client) return false;
  client_ = std::move(*client);
  return true;
}

bool Witness::Flush(bool last) {
  {
    std::lock_guard lock(mutex_);
    if (rows_.empty() && updates_.empty() && !in_doubt_) return true;
    if (pod_name_.empty() && !last) return true;
  }
  return Connect() && Insert(last) && Update();
}

bool Witness::Insert(bool last) {
  // Bounded: each round but the last takes a full batch, of 2,000,000 rows at most.
  for (std::size_t round = 0; round <= kRowLimit / kBatchLimit + 1; ++round) {
    bool full = false;
    if (!in_doubt_) {
      Batch batch;
      {
        std::lock_guard lock(mutex_);
        const auto now = Steady::now();
        std::deque<std::shared_ptr<Row>> kept;
        while (!rows_.empty() && batch.rows.size() < kBatchLimit) {
          auto row = std::move(rows_.front());
          rows_.pop_front();
          if (last || row->execution_ms >= 0 || now - row->begun >= kInsertUnendedAfter) {
            batch.rows.push_back(std::move(row));
          } else {
            kept.push_back(std::move(row));
          }
        }
        full = batch.rows.size() == kBatchLimit;
        rows_.insert(rows_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
      }
      if (batch.rows.empty()) return true;
      in_doubt_ = std::move(batch);  // kept until it is known to be in the table
    }
    Batch& batch = *in_doubt_;

    bool there = false;
    if (!batch.ids.empty()) {
      auto found = client_->Exec("SELECT 1 FROM stress_executions WHERE id = $1", {std::to_string(batch.ids.front())});
      if (!found) return false;
      there = !found->empty();
    } else {
      auto ids = client_->Exec("SELECT nextval('stress_executions_id_seq') FROM generate_series(1, $1::int)",
                               {std::to_string(batch.rows.size())});
      if (!ids || ids->size() != batch.rows.size()) return false;
      std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < batch.rows.size(); ++i) {
        Row& row = *batch.rows[i];
        const std::string& id = *(*ids)[i][0];
        std::from_chars(id.data(), id.data() + id.size(), batch.ids.emplace_back());
        batch.text += id;
        batch.text += '\t';
        AppendCopyText(row.job_id, &batch.text);
        batch.text += '\t';
        AppendCopyText(pod_name_, &batch.text);
        const auto latency = std::chrono::round<std::chrono::milliseconds>(Duration(row.actual - row.fire)).count();
        batch.text += fmt::format("\t{:.6f}\t{:.6f}\t{}\t", static_cast<double>(row.actual) / 1e6,
                                  static_cast<double>(row.fire) / 1e6, latency);
        row.written_unended = row.execution_ms < 0;
        batch.text += row.written_unended ? std::string("\\N") : std::to_string(row.execution_ms);
        batch.text += '\n';
      }
    }
    if (!there) {
      auto copied = client_->CopyIn(
          "COPY stress_executions (id, job_id, pod_name, actual_time, scheduled_time, latency_ms, execution_time_ms) "
          "FROM STDIN",
          batch.text);
      if (!copied) return false;
    }
    {
      std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < batch.rows.size(); ++i) {
        Row& row = *batch.rows[i];
        if (!row.written_unended) continue;
        row.id = batch.ids[i];
        if (row.execution_ms >= 0) updates_.push_back({row.id, row.execution_ms});  // ended meanwhile
      }
    }
    in_doubt_.reset();
    if (!full) return true;
  }
  return true;
}

bool Witness::Update() {
  std::vector<EndUpdate> updates;
  {
    std::lock_guard lock(mutex_);
    updates.swap(updates_);
  }
  if (updates.empty()) return true;
  std::string ids = "{";
  std::string ends = "{";
  for (std::size_t i = 0; i < updates.size(); ++i) {
    if (i > 0) {
      ids += ',';
      ends += ',';
    }
    ids += std::to_string(updates[i].id);
    ends += std::to_string(updates[i].execution_ms);
  }
  // Setting the same value again does no harm, so a reply that was lost needs no care.
  auto done = client_->Exec(
      "UPDATE stress_executions SET execution_time_ms = ended.ms "
      "FROM unnest($1::bigint[], $2::int[]) AS ended (id, ms) WHERE stress_executions.id = ended.id",
      {ids + "}", ends + "}"});
  if (done) return true;
  std::lock_guard lock(mutex_);
  updates_.insert(updates_.end(), updates.begin(), updates.end());
  return false;
}

}  // namespace escapement::stress
