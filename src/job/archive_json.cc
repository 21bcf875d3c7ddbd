#include "job/archive_json.h"

#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "job/definition_json.h"
#include "job/text.h"
#include "time/quoted.h"

namespace escapement {
namespace {

using Json = nlohmann::json;  // keeps members sorted by name: that makes the text canonical

constexpr std::int64_t kFormat = 1;
constexpr std::array<std::pair<std::string_view, Verdict>, 9> kVerdicts = {
    {{"succeeded", Verdict::kSucceeded},
     {"failed", Verdict::kFailed},
     {"timed_out", Verdict::kTimedOut},
     {"cancelled", Verdict::kCancelled},
     {"lost", Verdict::kLost},
     {"skipped_misfired", Verdict::kSkippedMisfired},
     {"skipped_overlapped", Verdict::kSkippedOverlapped},
     {"skipped_paused", Verdict::kSkippedPaused},
     {"handed_on", Verdict::kHandedOn}}};
constexpr std::array<std::pair<std::string_view, JobState>, 3> kStates = {
    {{"active", JobState::kActive}, {"paused", JobState::kPaused}, {"finished", JobState::kFinished}}};

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// ---------------------------------------------------------------- writing

template <typename Names, typename Enum>
std::string_view NameOf(const Names& names, Enum value) {
  for (const auto& [name, named] : names) {
    if (named == value) return name;
  }
  return "unknown";
}

Json Write(const Present& p) {
  const Present plain;
  Json json = {{"created_at", ToMicros(p.created_at)},
               {"cursor", ToMicros(p.cursor)},
               {"fire_time", ToMicros(p.fire_time)},
               {"planned_from", ToMicros(p.planned_from)}};
  if (p.due_at != p.fire_time) json["due_at"] = ToMicros(p.due_at);
  if (p.attempt != plain.attempt) json["attempt"] = p.attempt;
  if (p.version != plain.version) json["version"] = p.version;
  if (p.lost != plain.lost) json["lost"] = p.lost;
  if (p.failures != plain.failures) json["failures"] = p.failures;
  if (p.begun) json["begun"] = true;
  if (p.to_plan) json["to_plan"] = true;
  if (p.completed_at) json["completed_at"] = ToMicros(*p.completed_at);
  return json;
}

Json Write(const ArchivedJob& job) {
  Json reigns = Json::array();
  for (const Reign& reign : job.reigns) {
    Json json = {{"version", reign.version}, {"grid", reign.grid.ToString()}, {"after", ToMicros(reign.after)}};
    if (reign.until) json["until"] = ToMicros(*reign.until);
    reigns.push_back(std::move(json));
  }
  return {{"id", job.definition.id},
          {"definition", Json::parse(DefinitionToJson(job.definition))},
          {"state", NameOf(kStates, job.state)},
          {"settled_total", job.settled_total},
          {"present", Write(job.present)},
          {"reigns", std::move(reigns)}};
}

Json Write(const RunInfo& run) {
  Json json = {{"job", run.job_id},
               {"fire_time", ToMicros(run.fire_time)},
               {"verdict", NameOf(kVerdicts, run.verdict)},
               {"settled_at", ToMicros(run.settled_at)}};
  if (run.last_fire != run.fire_time) json["last_fire"] = ToMicros(run.last_fire);
  if (run.attempt != 1) json["attempt"] = run.attempt;
  if (run.settles != 1) json["settles"] = run.settles;
  if (run.started_at) json["started_at"] = ToMicros(*run.started_at);
  if (run.finished_at) json["finished_at"] = ToMicros(*run.finished_at);
  if (!run.pod.empty()) json["pod"] = run.pod;
  if (!run.error.empty()) json["error"] = run.error;
  if (!run.output.empty()) json["output"] = run.output;
  if (run.triggered) json["triggered"] = true;
  return json;
}

// ---------------------------------------------------------------- reading

tl::unexpected<Error> Bad(std::string why) { return Fail(Code::kInvalidArgument, std::move(why)); }

bool Read(const Json& value, std::int64_t* out) {
  // Numbers beyond 2^63 are kept unsigned: none of ours is.
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
    return false;
  *out = value.get<std::int64_t>();
  return true;
}
bool Read(const Json& value, int* out) {
  std::int64_t number = 0;
  if (!Read(value, &number) || !std::in_range<int>(number)) return false;
  *out = static_cast<int>(number);
  return true;
}
bool Read(const Json& value, Instant* out) {
  std::int64_t micros = 0;
  // A cursor may lie just before 1970.
  constexpr std::int64_t kFirst = -1'000'000, kEnd = 253'402'300'800'000'000;  // the year 10000
  if (!Read(value, &micros) || micros < kFirst || micros >= kEnd) return false;
  *out = FromMicros(micros);
  return true;
}
bool Read(const Json& value, std::optional<Instant>* out) { return Read(value, &out->emplace()); }
bool Read(const Json& value, bool* out) {
  if (!value.is_boolean()) return false;
  *out = value.get<bool>();
  return true;
}
bool Read(const Json& value, std::string* out) {
  if (!value.is_string() || !IsValidText(value.get_ref<const std::string&>())) return false;
  *out = value.get<std::string>();
  return true;
}
template <typename Names, typename Enum>
bool ReadName(const Json& value, const Names& names, Enum* out) {
  for (const auto& [name, named] : names) {
    if (value.is_string() && value.get_ref<const std::string&>() == name) {
      *out = named;
      return true;
    }
  }
  return false;
}

Status HasMembers(const Json& json, std::string_view what, std::initializer_list<const char*> names) {
  if (!json.is_object()) return Bad(fmt::format("{} must be an object", what));
  for (const char* name : names) {
    if (!json.contains(name)) return Bad(fmt::format("{} has no member '{}'", what, name));
  }
  return {};
}

tl::unexpected<Error> BadMember(std::string_view what, const std::string& name) {
  return Bad(fmt::format("{}: member '{}' is unknown or has a wrong value", what, Quoted(name)));
}

Result<Present> ReadPresent(const Json& json) {
  if (auto s = HasMembers(json, "present", {"created_at", "cursor", "fire_time", "planned_from"}); !s) {
    return tl::unexpected(s.error());
  }
  Present p;
  for (const auto& [name, value] : json.items()) {
    const bool good = name == "created_at"     ? Read(value, &p.created_at)
                      : name == "cursor"       ? Read(value, &p.cursor)
                      : name == "fire_time"    ? Read(value, &p.fire_time)
                      : name == "due_at"       ? Read(value, &p.due_at)
                      : name == "planned_from" ? Read(value, &p.planned_from)
                      : name == "attempt"      ? Read(value, &p.attempt)
                      : name == "version"      ? Read(value, &p.version)
                      : name == "lost"         ? Read(value, &p.lost)
                      : name == "failures"     ? Read(value, &p.failures)
                      : name == "begun"        ? Read(value, &p.begun)
                      : name == "to_plan"      ? Read(value, &p.to_plan)
                      : name == "completed_at" ? Read(value, &p.completed_at)
                                               : false;
    if (!good) return BadMember("present", name);
  }
  if (!json.contains("due_at")) p.due_at = p.fire_time;
  return p;
}

Result<Reign> ReadReign(const Json& json) {
  if (auto s = HasMembers(json, "reign", {"version", "grid", "after"}); !s) return tl::unexpected(s.error());
  std::string grid_text;
  if (!Read(json["grid"], &grid_text)) return BadMember("reign", "grid");
  auto grid = Schedule::Parse(grid_text);
  if (!grid) return tl::unexpected(grid.error());
  Reign reign{.version = 1, .grid = *std::move(grid), .after = {}, .until = {}};
  for (const auto& [name, value] : json.items()) {
    const bool good = name == "version" ? Read(value, &reign.version)
                      : name == "after" ? Read(value, &reign.after)
                      : name == "until" ? Read(value, &reign.until)
                                        : name == "grid";
    if (!good) return BadMember("reign", name);
  }
  return reign;
}

Result<ArchiveItem> ReadJob(const Json& json) {
  if (auto s = HasMembers(json, "job", {"id", "definition", "state", "settled_total", "present", "reigns"}); !s) {
    return tl::unexpected(s.error());
  }
  std::string id;
  if (!Read(json["id"], &id)) return BadMember("job", "id");
  auto definition = DefinitionFromJson(id, Dump(json["definition"]));
  if (!definition) return tl::unexpected(definition.error());
  ArchivedJob job{.definition = *std::move(definition), .state = JobState::kActive, .present = {}, .reigns = {}};
  auto present = ReadPresent(json["present"]);
  if (!present) return tl::unexpected(present.error());
  job.present = *present;
  if (!json["reigns"].is_array()) return BadMember("job", "reigns");
  for (const Json& item : json["reigns"]) {
    auto reign = ReadReign(item);
    if (!reign) return tl::unexpected(reign.error());
    // The text of a grid leaves out an anchor that is the job's own.
    reign->grid = reign->grid.AnchoredAt(job.present.created_at);
    job.reigns.push_back(*std::move(reign));
  }
  if (!ReadName(json["state"], kStates, &job.state)) return BadMember("job", "state");
  if (!Read(json["settled_total"], &job.settled_total)) return BadMember("job", "settled_total");
  if (json.size() != 6) return Bad("job has an unknown member");
  if (auto s = ValidateArchive({job}); !s) return tl::unexpected(s.error());
  return job;
}

Result<ArchiveItem> ReadRun(const Json& json) {
  if (auto s = HasMembers(json, "run", {"job", "fire_time", "verdict", "settled_at"}); !s) {
    return tl::unexpected(s.error());
  }
  RunInfo run;
  for (const auto& [name, value] : json.items()) {
    const bool good = name == "job"           ? Read(value, &run.job_id)
                      : name == "fire_time"   ? Read(value, &run.fire_time)
                      : name == "last_fire"   ? Read(value, &run.last_fire)
                      : name == "attempt"     ? Read(value, &run.attempt) && run.attempt >= 1
                      : name == "verdict"     ? ReadName(value, kVerdicts, &run.verdict)
                      : name == "settles"     ? Read(value, &run.settles) && run.settles >= 0
                      : name == "started_at"  ? Read(value, &run.started_at)
                      : name == "finished_at" ? Read(value, &run.finished_at)
                      : name == "settled_at"  ? Read(value, &run.settled_at)
                      : name == "pod"         ? Read(value, &run.pod)
                      : name == "error"       ? Read(value, &run.error) && run.error.size() <= kErrorTextLimit
                      : name == "output"      ? Read(value, &run.output) && run.output.size() <= kOutputLimit
                      : name == "triggered"   ? Read(value, &run.triggered)
                                              : false;
    if (!good) return BadMember("run", name);
  }
  if (!json.contains("last_fire")) run.last_fire = run.fire_time;
  if (run.last_fire < run.fire_time) return BadMember("run", "last_fire");
  return run;
}

Result<ArchiveItem> ReadEnd(const Json& json) {
  ArchiveEnd end;
  if (!json.is_object() || json.size() != 2 || !json.contains("jobs") || !Read(json["jobs"], &end.jobs) ||
      !json.contains("runs") || !Read(json["runs"], &end.runs)) {
    return Bad("the end must count jobs and runs");
  }
  return end;
}

}  // namespace

std::string ArchiveLine(const ArchiveItem& item) {
  if (const auto* job = std::get_if<ArchivedJob>(&item)) return Dump({{"job", Write(*job)}});
  if (const auto* run = std::get_if<RunInfo>(&item)) return Dump({{"run", Write(*run)}});
  if (const auto* end = std::get_if<ArchiveEnd>(&item)) {
    return Dump({{"end", {{"jobs", end->jobs}, {"runs", end->runs}}}});
  }
  return Dump({{"escapement_archive", kFormat}});
}

Result<ArchiveItem> ArchiveReader::ReadItem(std::string_view line) {
  // Ours are shallow; one that is not must not be written out again by recursion.
  constexpr int kDeepest = 16;
  bool deep = false;
  const auto look = [&deep](int depth, Json::parse_event_t, const Json&) {
    deep = deep || depth > kDeepest;
    return !deep;
  };
  const Json json = Json::parse(line, look, /*allow_exceptions=*/false);
  if (deep || !json.is_object() || json.size() != 1) return Bad("not a line of an archive");
  const std::string& name = json.begin().key();
  const Json& value = json.begin().value();
  if (name == "escapement_archive") {
    if (value == kFormat) return ArchiveHeader{};
    return Bad(fmt::format("this program reads archives of format {}, this one has {}", kFormat, Quoted(Dump(value))));
  }
  if (name == "job") return ReadJob(value);
  if (name == "run") return ReadRun(value);
  if (name == "end") return ReadEnd(value);
  return Bad("not a line of an archive");
}

Status ArchiveReader::Accept(const ArchiveItem& item) {
  const bool header = std::holds_alternative<ArchiveHeader>(item);
  if (line_ == 1 && !header) return Bad("an archive begins with {\"escapement_archive\":1}");
  if (line_ > 1 && header) return Bad("a second header: are these two archives?");
  if (ended_) return Bad("something stands after the archive's end");
  if (std::holds_alternative<ArchivedJob>(item)) ++end_.jobs;
  if (std::holds_alternative<RunInfo>(item)) ++end_.runs;
  if (const auto* end = std::get_if<ArchiveEnd>(&item)) {
    ended_ = true;
    if (*end != end_) {
      return Bad(fmt::format("the archive should have {} jobs and {} runs, but has {} and {}", end->jobs, end->runs,
                             end_.jobs, end_.runs));
    }
  }
  return {};
}

Result<ArchiveItem> ArchiveReader::Read(std::string_view line) {
  ++line_;
  auto item = ReadItem(line);
  if (!item) return FailIn(fmt::format("line {}", line_), item.error());
  if (auto status = Accept(*item); !status) return FailIn(fmt::format("line {}", line_), status.error());
  return item;
}

Status ArchiveReader::Finish() const {
  if (ended_) return {};
  return Bad(fmt::format("line {}: the archive is cut off: its end is missing", line_ + 1));
}

}  // namespace escapement
