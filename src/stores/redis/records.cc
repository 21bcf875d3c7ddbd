#include "stores/redis/records.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

#include "job/definition_json.h"
#include "job/sound.h"
#include "job/text.h"
#include "time/quoted.h"
#include "time/storable.h"

namespace escapement::redis_store {
namespace {

constexpr char kNul = '\0';

std::optional<std::int64_t> ToNumber(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Takes the text before the first separator off the front; all of it when there is none.
std::string_view Take(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

std::string OrEmpty(const std::optional<Instant>& instant) { return instant ? Text(*instant) : std::string(); }

std::string Rest(Instant last, std::int64_t settles, const std::optional<Instant>& started,
                 const std::optional<Instant>& finished, const std::string& error, const std::string& output) {
  std::string rest = Text(last);
  for (const std::string& part : {Text(settles), OrEmpty(started), OrEmpty(finished), MakeValidText(error),
                                  MakeValidTail(output, kOutputLimit)}) {
    rest += kNul;
    rest += part;
  }
  return rest;
}

// "version after schedule"
Result<Reign> ReadReign(std::string_view text, Instant created) {
  const auto version = ToNumber(Take(text, ' '));
  const auto after = ToNumber(Take(text, ' '));
  auto schedule = Schedule::Parse(text);
  if (!version || !after || !IsStorable(FromMicros(*after))) return Malformed("a job's versions");
  if (!schedule) return FailIn("a version of its schedule", schedule.error());
  return Reign{static_cast<int>(*version), schedule->AnchoredAt(created), FromMicros(*after), std::nullopt};
}

}  // namespace

tl::unexpected<Error> Malformed(const std::string& what) {
  return Fail(Code::kInternal, fmt::format("the store holds {} that this program cannot read", what));
}

const std::string& Fields::Text() {
  static const std::string kNothing;
  if (!More()) {
    ok_ = false;
    return kNothing;
  }
  return reply_.elements[next_++].text;
}

std::int64_t Fields::Number() {
  if (More() && reply_.elements[next_].kind == RedisReply::Kind::kInteger) return reply_.elements[next_++].integer;
  const auto number = ToNumber(Text());
  if (!number) ok_ = false;
  return number.value_or(0);
}

int Fields::Int() {
  const std::int64_t number = Number();
  if (std::in_range<int>(number)) return static_cast<int>(number);
  ok_ = false;
  return 0;
}

Instant Fields::Time() {
  const Instant instant = FromMicros(Number());
  if (IsStorable(instant)) return instant;
  ok_ = false;
  return {};
}

Present ReadPresent(Fields& fields) {
  Present p;
  p.created_at = fields.Time();
  p.cursor = fields.Time();
  p.fire_time = fields.Time();
  p.due_at = fields.Time();
  p.attempt = fields.Int();
  p.version = fields.Int();
  p.lost = fields.Int();
  p.begun = fields.Truth();
  p.to_plan = fields.Truth();
  p.planned_from = fields.Time();
  p.failures = fields.Int();
  return p;
}

Result<JobRow> ReadJobRow(Fields& fields) {
  const JobKey key = fields.Number();
  const std::string id = fields.Text();
  std::string unreadable;
  const std::string& text = fields.Text();
  JobRow row{.key = key, .definition = DefinitionOrId(id, text, &unreadable)};
  if (!unreadable.empty()) row.text = text;
  row.unreadable = std::move(unreadable);
  row.state = static_cast<JobState>(fields.Number());
  Present& p = row.present;
  p.version = fields.Int();
  p.created_at = fields.Time();
  p.cursor = fields.Time();
  p.fire_time = fields.Time();
  p.due_at = fields.Time();
  p.attempt = fields.Int();
  p.lost = fields.Int();
  p.begun = fields.Truth();
  p.to_plan = fields.Truth();
  p.planned_from = fields.Time();
  if (const std::string& pod = fields.Text(); !pod.empty()) row.pod = pod;
  row.fence = fields.Number();
  row.settled_total = fields.Number();
  std::string_view ended = fields.Text();
  while (!ended.empty()) {  // "until version after schedule\n"
    std::string_view line = Take(ended, '\n');
    const auto until = ToNumber(Take(line, ' '));
    auto reign = ReadReign(line, p.created_at);
    if (reign && until && IsStorable(FromMicros(*until))) {
      reign->until = FromMicros(*until);
      row.reigns.push_back(std::move(*reign));
    } else {
      row.unreadable_reigns = reign ? Malformed("a job's versions").value().message : reign.error().message;
    }
  }
  auto open = ReadReign(fields.Text(), p.created_at);
  if (open) {
    row.reigns.push_back(std::move(*open));
  } else {
    row.unreadable_reigns = open.error().message;
  }
  if (const std::string& dropped = fields.Text(); !dropped.empty()) {
    const auto until = ToNumber(dropped);
    if (until && IsStorable(FromMicros(*until))) {
      row.dropped = FromMicros(*until);
    } else {
      row.unreadable_reigns = Malformed("a mark of its history").value().message;
    }
  }
  p.failures = fields.Int();
  if (const Status sound = fields.TakeOk() ? CheckPresent(p) : Malformed("a value"); !sound && row.unreadable.empty()) {
    row.unreadable = sound.error().message;
  }
  return row;
}

DeadLetter ReadDeadLetter(Fields& fields) {
  DeadLetter letter;
  letter.id = fields.Number();
  letter.job_id = fields.Text();
  letter.payload = fields.Text();
  letter.fire_time = fields.Time();
  letter.attempts = fields.Int();
  letter.verdict = static_cast<Verdict>(fields.Number());
  letter.error = fields.Text();
  letter.triggered = fields.Truth();
  letter.settled_at = fields.Time();
  return letter;
}

bool HasMetadata(const JobRow& row, const std::map<std::string, std::string>& wanted) {
  return row.text.empty() ? escapement::HasMetadata(row.definition.metadata, wanted)
                          : escapement::HasMetadata(row.text, wanted);
}

JobInfo InfoOf(const JobRow& row) {
  JobInfo info{.definition = row.definition,
               .version = row.present.version,
               .state = row.state,
               .created_at = row.present.created_at,
               .cursor = row.present.cursor,
               .fire_time = std::nullopt,
               .attempt = row.present.attempt,
               .owner_pod = row.pod,
               .fence = row.fence,
               .settled_total = row.settled_total,
               .failures = row.present.failures,
               .unreadable = row.unreadable};
  if (row.state != JobState::kFinished) info.fire_time = row.present.fire_time;
  return info;
}

ArchivedJob ArchiveOf(const JobRow& row) {
  return AtRest({row.definition, row.state, row.present, row.settled_total, row.reigns, row.dropped,
                 row.unreadable.empty() ? row.unreadable_reigns : row.unreadable});
}

std::optional<KeyRecord> ReadKeyRecord(std::string_view record) {
  const auto number = [&record]() -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(record.data(), record.data() + record.size(), value);
    const auto used = static_cast<std::size_t>(end - record.data());
    if (error != std::errc() || used == record.size() || *end != ' ') return std::nullopt;
    record.remove_prefix(used + 1);
    return value;
  };
  const auto at = number();
  const auto kept = at ? number() : std::nullopt;
  const auto until = kept ? number() : std::nullopt;
  if (!until || !IsStorable(FromMicros(*at)) || !IsStorable(FromMicros(*until))) return std::nullopt;
  return KeyRecord{FromMicros(*at), *kept == 1, FromMicros(*until), std::string(record)};
}

ReignTexts WriteReigns(const std::vector<Reign>& reigns) {
  ReignTexts texts;
  for (const Reign& reign : reigns) {
    const std::string text = fmt::format("{} {} {}", reign.version, ToMicros(reign.after), reign.grid.ToString());
    if (reign.until) {
      texts.ended += fmt::format("{} {}\n", ToMicros(*reign.until), text);
    } else {
      texts.open = text;
    }
  }
  return texts;
}

std::string MarkAfterKey(std::int64_t session, Fence fence, Instant fire_time, int attempt, Verdict verdict) {
  std::string mark = Text(session);
  for (const std::string& part :
       {Text(fence), Text(fire_time), Text(std::int64_t{attempt}), Text(static_cast<std::int64_t>(verdict))}) {
    mark += kNul;
    mark += part;
  }
  return mark;
}

std::string Mark(JobKey key, std::int64_t session, Fence fence, const RunRecord& run) {
  return Text(key) + kNul + MarkAfterKey(session, fence, run.fire_time, run.attempt, run.verdict);
}

std::string RestOfRun(const RunRecord& run) {
  return Rest(run.last_fire, run.settles, run.started_at, run.finished_at, run.error, run.output);
}
std::string RestOfRun(const RunInfo& run) {
  return Rest(run.last_fire, run.settles, run.started_at, run.finished_at, run.error, run.output);
}

Result<HistoryLine> ReadHistoryLine(const std::string& job_id, std::string_view line) {
  HistoryLine read;
  RunInfo& run = read.run;
  bool ok = true;
  const auto number = [&] {
    const auto value = ToNumber(Take(line, kNul));
    if (!value) ok = false;
    return value.value_or(0);
  };
  const auto maybe = [&]() -> std::optional<std::int64_t> {
    const std::string_view text = Take(line, kNul);
    return text.empty() ? std::nullopt : ToNumber(text);
  };
  const auto time = [&] {
    const Instant instant = FromMicros(number());
    if (!IsStorable(instant)) ok = false;
    return instant;
  };
  const auto maybe_time = [&]() -> std::optional<Instant> {
    const auto micros = maybe();
    if (micros && !IsStorable(FromMicros(*micros))) ok = false;
    return micros ? std::optional(FromMicros(*micros)) : std::nullopt;
  };
  run.job_id = job_id;
  run.settled_at = time();
  run.pod = Take(line, kNul);
  read.parent = maybe();
  run.triggered = read.parent.has_value();
  read.key = number();
  number();  // session
  number();  // fence
  run.fire_time = time();
  run.attempt = static_cast<int>(number());
  run.verdict = static_cast<Verdict>(number());
  run.last_fire = time();
  run.settles = number();
  run.started_at = maybe_time();
  run.finished_at = maybe_time();
  run.error = Take(line, kNul);
  run.output = line;
  if (!ok) return Malformed("a line of history");
  return read;
}

}  // namespace escapement::redis_store
