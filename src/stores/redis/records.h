// Rows and lines of history as the scripts keep them: text, and parts joined by NUL.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "escapement/dead_letter.h"
#include "escapement/job.h"
#include "job/archive.h"
#include "job/settle.h"
#include "redis/redis_wire.h"

namespace escapement::redis_store {

inline std::string Text(std::int64_t number) { return std::to_string(number); }
inline std::string Text(Instant instant) { return std::to_string(ToMicros(instant)); }
inline std::string Text(bool truth) { return truth ? "1" : "0"; }

// Reads a reply's elements one after the other; what is missing or malformed reads as zero and makes `ok` false. So
// does an instant that is not IsStorable.
class Fields {
 public:
  explicit Fields(const RedisReply& reply, std::size_t first = 0) : reply_(reply), next_(first) {}
  bool More() const { return next_ < reply_.elements.size(); }
  bool ok() const { return ok_; }
  // Whether what was read since the last such question was good; from then on it is forgotten.
  bool TakeOk() { return std::exchange(ok_, true); }
  const std::string& Text();
  std::int64_t Number();
  int Int();
  Instant Time();
  bool Truth() { return Text() == "1"; }

 private:
  const RedisReply& reply_;
  std::size_t next_;
  bool ok_ = true;
};

// kInternal: the store holds this, and this program cannot read it.
tl::unexpected<Error> Malformed(const std::string& what);

// Eleven elements, as claim.lua and resume.lua tell them.
Present ReadPresent(Fields& fields);

// One row of rows.lua.
struct JobRow {
  JobKey key = 0;
  JobDefinition definition;
  JobState state = JobState::kActive;
  Present present;
  std::optional<std::string> pod;  // of its owner
  Fence fence = 0;
  std::int64_t settled_total = 0;
  std::vector<Reign> reigns;
  std::optional<Instant> dropped;  // history up to here was dropped
  std::string unreadable;          // why `definition` is its id alone
  std::string text;                // of a definition that cannot be read
  std::string unreadable_reigns;   // why `reigns` is not complete
};
// kInternal when a script of another version wrote it. What a newer program defined is no error: see `unreadable`.
Result<JobRow> ReadJobRow(Fields& fields);
bool HasMetadata(const JobRow& row, const std::map<std::string, std::string>& wanted);
JobInfo InfoOf(const JobRow& row);
ArchivedJob ArchiveOf(const JobRow& row);

// Nine elements, as dead_letters.lua tells them.
DeadLetter ReadDeadLetter(Fields& fields);

// Who took a unique key last, as take_keys.lua writes it.
struct KeyRecord {
  Instant at;         // no two records of a key have the same
  bool kept = false;  // the job came
  Instant until;      // it holds the key at least so long, if it came
  std::string job_id;
};
std::optional<KeyRecord> ReadKeyRecord(std::string_view record);

// The reigns as text: those that ended, and the open one.
struct ReignTexts {
  std::string ended;
  std::string open;
};
ReignTexts WriteReigns(const std::vector<Reign>& reigns);

// A line of history is: settled at, pod, parent's key or "", the mark (key, session, fence, fire time, attempt,
// verdict), then last fire, settles, started, finished, error, output. The mark tells a resend.
std::string MarkAfterKey(std::int64_t session, Fence fence, Instant fire_time, int attempt, Verdict verdict);
std::string Mark(JobKey key, std::int64_t session, Fence fence, const RunRecord& run);
std::string RestOfRun(const RunRecord& run);
std::string RestOfRun(const RunInfo& run);

struct HistoryLine {
  RunInfo run;
  JobKey key = 0;                // of the row that ran
  std::optional<JobKey> parent;  // of a triggered run
};
Result<HistoryLine> ReadHistoryLine(const std::string& job_id, std::string_view line);

}  // namespace escapement::redis_store
