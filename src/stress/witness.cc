#include "stress/witness.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "stress/witness_file.h"

namespace escapement::stress {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kInsertUnendedAfter = std::chrono::seconds(1);
constexpr std::size_t kRowLimit = 2'000'000;

}  // namespace

std::int64_t WallMicros() {
  timespec now = {};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

struct Witness::Row {
  Steady::time_point begun;
  WitnessRow said;               // its id and its end: guarded by the witness's mutex
  bool written_unended = false;  // guarded by it too: its batch says that it has not ended
};

Result<std::unique_ptr<Witness>> Witness::Open(const StressConfig& config) {
  std::unique_ptr<Witness> witness(new Witness(config));
  if (const std::string& directory = config.witness_dir; !directory.empty()) {
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
  row->said.actual = WallMicros();
  row->begun = Steady::now();
  row->said.job_id = run.job->id;
  row->said.fire = ToMicros(run.fire_time);
  if (file_ >= 0) {
    const std::string line = FormatStart({row->said.job_id, row->said.fire, row->said.actual, run.attempt, run.fence});
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
  row->said.execution_ms = static_cast<std::int32_t>(ms);
  if (row->said.id != 0) updates_.push_back(row->said);
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
  auto pause = std::chrono::duration_cast<Steady::duration>(pace_.flush_every);
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
      pause = pace_.flush_every;
      continue;
    }
    store_.reset();
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
  if (store_) return true;
  auto store = WitnessStore::Open(config_);
  if (!store) return false;
  store_ = std::move(*store);
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

Witness::Batch Witness::TakeBatch(bool last) {
  Batch batch;
  const std::lock_guard lock(mutex_);
  batch.pod = pod_name_;
  const auto now = Steady::now();
  std::deque<std::shared_ptr<Row>> kept;
  while (!rows_.empty() && batch.rows.size() < pace_.batch_limit) {
    auto row = std::move(rows_.front());
    rows_.pop_front();
    if (!last && row->said.execution_ms < 0 && now - row->begun < kInsertUnendedAfter) {
      kept.push_back(std::move(row));
      continue;
    }
    row->written_unended = row->said.execution_ms < 0;
    batch.written.push_back(row->said);
    batch.rows.push_back(std::move(row));
  }
  rows_.insert(rows_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
  return batch;
}

bool Witness::Insert(bool last) {
  // Bounded: each round but the last takes a full batch, of 2,000,000 rows at most.
  for (std::size_t round = 0; round <= kRowLimit / pace_.batch_limit + 1; ++round) {
    if (!in_doubt_) in_doubt_ = TakeBatch(last);
    Batch& batch = *in_doubt_;
    const bool full = batch.rows.size() >= pace_.batch_limit;
    if (!batch.rows.empty() && !store_->Insert(batch.pod, &batch.written)) return false;
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < batch.rows.size(); ++i) {
        Row& row = *batch.rows[i];
        if (!row.written_unended) continue;
        row.said.id = batch.written[i].id;
        if (row.said.execution_ms >= 0) updates_.push_back(row.said);  // ended meanwhile
      }
    }
    in_doubt_.reset();
    if (!full) return true;
  }
  return true;
}

bool Witness::Update() {
  std::vector<WitnessRow> updates;
  std::string pod;
  {
    std::lock_guard lock(mutex_);
    updates.swap(updates_);
    pod = pod_name_;
  }
  if (updates.empty() || store_->Update(pod, updates)) return true;
  std::lock_guard lock(mutex_);
  updates_.insert(updates_.end(), updates.begin(), updates.end());
  return false;
}

}  // namespace escapement::stress
