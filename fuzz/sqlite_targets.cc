// A database file whose columns hold what no program of this kind wrote there.
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "fuzz/target.h"
#include "job/sound.h"
#include "stores/sqlite/sqlite_store.h"

namespace escapement::fuzz {
namespace {

struct Column {
  const char* table;
  const char* name;
};

constexpr std::array kColumns = std::to_array<Column>({
    {"jobs", "id"},           {"jobs", "parent"},
    {"jobs", "queue"},        {"jobs", "priority"},
    {"jobs", "state"},        {"jobs", "version"},
    {"jobs", "attempt"},      {"jobs", "lost"},
    {"jobs", "begun"},        {"jobs", "to_plan"},
    {"jobs", "cancel"},       {"jobs", "created_at"},
    {"jobs", "planned_from"}, {"jobs", "cursor"},
    {"jobs", "fire_time"},    {"jobs", "due_at"},
    {"jobs", "claim_at"},     {"jobs", "owner"},
    {"jobs", "fence"},        {"jobs", "settled_total"},
    {"jobs", "rate"},         {"definitions", "definition"},
    {"reigns", "schedule"},   {"reigns", "after"},
    {"reigns", "until"},      {"runs", "settled_at"},
    {"runs", "child"},        {"runs", "fire_time"},
    {"runs", "last_fire"},    {"runs", "started_at"},
    {"runs", "finished_at"},  {"runs", "settles"},
    {"runs", "attempt"},      {"runs", "verdict"},
    {"runs", "pod"},          {"runs", "error"},
    {"runs", "output"},       {"sessions", "pod"},
    {"sessions", "ttl_us"},   {"sessions", "beat"},
    {"sessions", "rate"},     {"sessions", "owned"},
    {"load", "rate"},         {"load", "jobs"},
});

template <typename T>
void Ask(const Result<T>& result) {
  if (!result) RequireClear(result.error());
}

// A store with a job that is spoiled and one that is not, made anew for each input by rolling back what the last one
// changed: its tables are without the types that would refuse the input.
class Spoilt {
 public:
  Spoilt() {
    const bool in_memory = access("/dev/shm", W_OK) == 0;
    std::string pattern = in_memory ? "/dev/shm/escapement-fuzz-XXXXXX" : "/tmp/escapement-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = pattern;
    auto factory = SqliteStoreFactory::Create("sqlite:" + directory_ + "/jobs.db");
    auto store = (*factory)->Open();
    Require(store && (*store)->Migrate().has_value(), "a store can be made");
    const Schedule schedule = *Schedule::Parse("every 1s anchor=2020-01-01T00:00:00Z");
    const std::vector<JobDefinition> jobs = {{.id = "good", .schedule = schedule, .task = "noop"},
                                             {.id = "spoilt", .schedule = schedule, .task = "noop"}};
    Require((*store)->Enqueue(jobs).has_value(), "jobs can be made");
    store->reset();  // the journal's mode is nobody else's to hold
    Run("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'STRICT, ', ''), "
        "') STRICT', ')'), ' NOT NULL', '') WHERE type = 'table'; PRAGMA writable_schema = RESET; "
        "INSERT INTO runs (settled_at, job, fire_time, last_fire, fence, session, settles, attempt, verdict, pod, "
        "error, "
        "output) SELECT created_at, key, cursor, cursor, 1, 1, 1, 1, 1, 'pod', '', '' FROM jobs;"
        "INSERT INTO sessions (id, pod, ttl_us) VALUES (7, 'pod', 1)");
    Run("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
    std::filesystem::copy_file(File(), directory_ + "/whole.db");
  }
  ~Spoilt() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  // Writes values, by column, into the spoilt job's rows.
  void Write(Parts& parts) {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(File() + suffix);
    std::filesystem::copy_file(directory_ + "/whole.db", File());
    sqlite3* db = nullptr;
    Require(sqlite3_open(File().c_str(), &db) == SQLITE_OK, "the file can be opened");
    sqlite3_exec(db, "PRAGMA synchronous = OFF", nullptr, nullptr, nullptr);
    for (int values = 0; values < 4 && parts.More(); ++values) {
      const Column& column = kColumns[parts.Byte() % kColumns.size()];
      const std::string table = column.table;
      const char* where = table == "jobs"                               ? "id = 'spoilt'"
                          : table == "definitions" || table == "reigns" ? "job = 2"
                          : table == "runs"                             ? "job = 2"
                                                                        : "true";
      sqlite3_stmt* statement = nullptr;
      const std::string sql = fmt::format("UPDATE {} SET {} = ?1 WHERE {}", table, column.name, where);
      Require(sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK, "the column is there");
      const unsigned char kind = parts.Byte() % 6;
      const std::string_view text = kind >= 3 ? parts.Take('\0') : std::string_view();
      switch (kind) {
        case 0: sqlite3_bind_null(statement, 1); break;
        case 1: sqlite3_bind_int64(statement, 1, parts.Number()); break;
        case 2: sqlite3_bind_double(statement, 1, static_cast<double>(parts.Number()) / 3); break;
        case 3: sqlite3_bind_blob(statement, 1, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT); break;
        default: sqlite3_bind_text(statement, 1, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
      }
      sqlite3_step(statement);
      sqlite3_finalize(statement);
    }
    sqlite3_close(db);
  }

  std::string url() const { return "sqlite:" + File(); }

 private:
  std::string File() const { return directory_ + "/jobs.db"; }
  void Run(const char* sql) const {
    sqlite3* db = nullptr;
    Require(sqlite3_open(File().c_str(), &db) == SQLITE_OK, "the file can be opened");
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    char* error = nullptr;
    sqlite3_exec(db, sql, nullptr, nullptr, &error);
    Require(error == nullptr, error == nullptr ? "" : error);
    sqlite3_close(db);
  }

  std::string directory_;
};

}  // namespace

// Up to four values: which column, what type, and the value.
FUZZ_TARGET(sqlite_rows) {
  static Spoilt spoilt;
  Parts parts(input);
  spoilt.Write(parts);
  const Instant from = FromMicros(0);
  const Instant to = FromMicros(4'000'000'000'000'000);
  auto factory = SqliteStoreFactory::Create(spoilt.url());
  auto opened = (*factory)->Open();
  Require(opened.has_value(), "the store can be opened");
  JobStore& store = **opened;
  Ask(store.Get("spoilt"));
  Ask(store.List({}));
  Ask(store.Runs({.job_id = "spoilt"}));
  Ask(store.Runs({.job_id = ""}));
  Ask(store.Stats());
  Ask(store.Pods());
  Ask(store.AuditWindow("", from, to));
  Ask(store.ExportJobs("", 10));
  Ask(store.ExportRuns({"good", "spoilt"}, std::nullopt, 10));
  Ask(store.Pause("spoilt"));
  Ask(store.Resume("spoilt"));
  Ask(store.Trigger("spoilt", std::nullopt));
  const auto session = store.OpenSession({.pod = "pod", .ttl = std::chrono::seconds(5)});
  Require(session.has_value(), "a session can be opened");
  Ask(store.Beat({.session = *session}));
  const auto claimed =
      store.Claim({.session = *session, .horizon = std::chrono::seconds(2), .limit = 10, .queues = {"default"}});
  Require(claimed.has_value() && claimed->live, "what is spoilt keeps nobody from claiming");
  bool good = false;
  std::vector<Completion> done;
  for (const ClaimedJob& job : claimed->jobs) {
    if (job.definition == nullptr) {
      RequireClear({Code::kInternal, job.unreadable});
      continue;
    }
    good = good || job.definition->id == "good";
    Require(CheckPresent(job.present).has_value(), "what is run is sound");
    Completion c{.key = job.key,
                 .fence = job.fence,
                 .fire_time = job.present.fire_time,
                 .attempt = job.present.attempt,
                 .version = job.present.version,
                 .run = {},
                 .next = {}};
    const Settlement settled =
        Settle(*job.definition, job.present, {.verdict = Verdict::kSucceeded}, claimed->store_time);
    c.run = settled.run;
    c.next = settled.next;
    done.push_back(std::move(c));
  }
  Require(good, "what is spoilt keeps no other job from being claimed");
  const auto committed = store.Commit(*session, done);
  if (!committed) return RequireClear(committed.error());
  Ask(store.Recover(*session, {}));
  Ask(store.EndSession(*session));
}

}  // namespace escapement::fuzz
