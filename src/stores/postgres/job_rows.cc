#include "stores/postgres/job_rows.h"

#include <fmt/format.h>

#include "job/definition_json.h"
#include "job/sound.h"
#include "time/quoted.h"

namespace escapement::postgres {

tl::unexpected<Error> Unsound() {
  return Fail(Code::kInternal, "the store holds a row with a value missing, of another type or beyond reason");
}

Status CheckSound(const Rows& rows, std::string_view job_id) {
  if (rows.Sound()) return {};
  return FailIn(fmt::format("job '{}'", Quoted(job_id, 200)), Unsound().value());
}

Result<Present> ReadPresent(const Rows& rows, int row, int first, int completed_at, int failures) {
  const Present present = {.created_at = rows.Time(row, first),
                           .cursor = rows.Time(row, first + 1),
                           .fire_time = rows.Time(row, first + 2),
                           .due_at = rows.Time(row, first + 3),
                           .attempt = rows.Int32(row, first + 4),
                           .version = rows.Int32(row, first + 5),
                           .lost = rows.Int32(row, first + 6),
                           .failures = rows.Int32(row, failures),
                           .begun = rows.Bool(row, first + 7),
                           .to_plan = rows.Bool(row, first + 8),
                           .planned_from = rows.Time(row, first + 9),
                           .completed_at = rows.TimeOrNone(row, completed_at)};
  if (!rows.Sound()) return Unsound();
  if (auto status = CheckPresent(present); !status) return tl::unexpected(status.error());
  return present;
}

ClaimReply ReadClaimed(const Rows& rows) {
  ClaimReply reply;
  reply.live = rows.size() > 0;
  for (int i = 0; i < rows.size(); ++i) {
    reply.store_time = rows.Time(i, 0);
    if (rows.IsNull(i, 1)) continue;
    ClaimedJob job;
    job.key = rows.Int64(i, 1);
    const std::string id(rows.Text(i, 2));
    auto definition = DefinitionFromJson(id, rows.Text(i, 3));
    job.fence = rows.Int64(i, 4);
    auto present = ReadPresent(rows, i, 5, 15, 16);
    if (!definition || !present) {
      const Error& error = definition ? present.error() : definition.error();
      job.unreadable = fmt::format("job '{}': {}", Quoted(id, 200), error.message);
    } else {
      job.definition = std::make_shared<const JobDefinition>(*std::move(definition));
      job.present = *present;
    }
    reply.jobs.push_back(std::move(job));
  }
  return reply;
}

std::vector<JobInfo> ReadJobs(const Rows& rows) {
  std::vector<JobInfo> jobs;
  for (int i = 0; i < rows.size(); ++i) {
    std::string unreadable;
    JobInfo info{.definition = DefinitionOrId(std::string(rows.Text(i, 0)), rows.Text(i, 1), &unreadable),
                 .version = rows.Int32(i, 2),
                 .state = static_cast<JobState>(rows.Int16(i, 3)),
                 .created_at = rows.Time(i, 4),
                 .cursor = rows.Time(i, 5),
                 .fire_time = rows.TimeOrNone(i, 6),
                 .attempt = rows.Int32(i, 7),
                 .owner_pod = std::nullopt,
                 .fence = rows.Int64(i, 9),
                 .settled_total = rows.Int64(i, 10),
                 .failures = rows.Int32(i, 11)};
    if (!rows.IsNull(i, 8)) info.owner_pod = std::string(rows.Text(i, 8));
    info.unreadable = std::move(unreadable);
    if (!rows.Sound() && info.unreadable.empty()) info.unreadable = Unsound().value().message;
    jobs.push_back(std::move(info));
  }
  return jobs;
}

Result<std::vector<RunInfo>> ReadRuns(const Rows& rows) {
  std::vector<RunInfo> runs;
  for (int i = 0; i < rows.size(); ++i) {
    runs.push_back({.job_id = std::string(rows.Text(i, 0)),
                    .fire_time = rows.Time(i, 1),
                    .last_fire = rows.Time(i, 2),
                    .attempt = rows.Int32(i, 3),
                    .verdict = static_cast<Verdict>(rows.Int16(i, 4)),
                    .settles = rows.Int64(i, 5),
                    .started_at = rows.TimeOrNone(i, 6),
                    .finished_at = rows.TimeOrNone(i, 7),
                    .settled_at = rows.Time(i, 8),
                    .pod = std::string(rows.Text(i, 9)),
                    .error = std::string(rows.Text(i, 10)),
                    .output = std::string(rows.Text(i, 11)),
                    .triggered = rows.Bool(i, 12)});
    if (auto status = CheckSound(rows, runs.back().job_id); !status) return tl::unexpected(status.error());
  }
  return runs;
}

Result<std::vector<DeadLetter>> ReadDeadLetters(const Rows& rows) {
  std::vector<DeadLetter> letters;
  for (int i = 0; i < rows.size(); ++i) {
    letters.push_back({.id = rows.Int64(i, 0),
                       .job_id = std::string(rows.Text(i, 1)),
                       .payload = std::string(rows.Text(i, 2)),
                       .fire_time = rows.Time(i, 3),
                       .attempts = rows.Int32(i, 4),
                       .verdict = static_cast<Verdict>(rows.Int16(i, 5)),
                       .error = std::string(rows.Text(i, 6)),
                       .triggered = rows.Bool(i, 7),
                       .settled_at = rows.Time(i, 8)});
    if (auto status = CheckSound(rows, letters.back().job_id); !status) return tl::unexpected(status.error());
  }
  return letters;
}

}  // namespace escapement::postgres
