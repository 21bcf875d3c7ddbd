#include "cli/simulate_input.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/job_file.h"
#include "job/archive_json.h"

namespace escapement {
namespace {

constexpr int kPage = 1000;            // jobs asked for at once
constexpr std::size_t kHistory = 100;  // runs of a job whose durations are drawn from
constexpr std::string_view kArchiveBegin = R"({"escapement_archive":)";

// How long the task took; none for a run that did not come to an end of its own.
std::optional<Duration> DurationOf(const RunInfo& run) {
  const bool ended =
      run.verdict == Verdict::kSucceeded || run.verdict == Verdict::kFailed || run.verdict == Verdict::kTimedOut;
  if (!ended || !run.started_at || !run.finished_at) return std::nullopt;
  return std::max(Duration(0), *run.finished_at - *run.started_at);
}

ForecastJob JobFrom(JobDefinition definition, Instant created_at, Instant from) {
  // A grid that begins with its job has no point before that; any other is taken as if the job had always been there.
  const Instant first = definition.schedule.FirstCursor(created_at);
  definition.payload.clear();  // nothing reads it
  return {.definition = std::move(definition),
          .created_at = created_at,
          .cursor = first >= created_at ? first : from - Duration(1),
          .durations = {}};
}

Result<SimulateInput> JobsOfArchive(std::istream& in, const std::string& first_line, const std::string& file,
                                    Instant from) {
  SimulateInput input;
  std::map<std::string, std::size_t> index;
  std::vector<std::size_t> runs;  // by job
  ArchiveReader reader;
  std::string line = first_line;
  do {
    auto item = reader.Read(line);
    if (!item) return FailIn(file, item.error());
    if (auto* job = std::get_if<ArchivedJob>(&*item)) {
      if (job->state == JobState::kPaused) ++input.paused;
      if (job->state != JobState::kActive) continue;
      index[job->definition.id] = input.jobs.size();
      input.jobs.push_back(JobFrom(std::move(job->definition), job->present.created_at, from));
      runs.push_back(0);
    } else if (const auto* run = std::get_if<RunInfo>(&*item)) {
      const auto of_job = index.find(run->job_id);
      const auto duration = DurationOf(*run);
      if (of_job == index.end() || !duration) continue;
      // The newest take the place of the oldest.
      std::vector<Duration>& durations = input.jobs[of_job->second].durations;
      const std::size_t place = runs[of_job->second]++ % kHistory;
      if (place == durations.size()) durations.emplace_back();
      durations[place] = *duration;
    }
  } while (std::getline(in, line));
  if (in.bad()) return Fail(Code::kUnavailable, "cannot read " + file);
  if (auto status = reader.Finish(); !status) return FailIn(file, status.error());
  return input;
}

}  // namespace

Result<SimulateInput> JobsOfStore(Scheduler& scheduler, Instant from,
                                  const std::function<void(std::size_t jobs)>& progress) {
  SimulateInput input;
  JobFilter filter{.id_prefix = {}, .after_id = {}, .state = {}, .limit = kPage};
  while (true) {
    auto page = scheduler.List(filter);
    if (!page) return tl::unexpected(page.error());
    for (const JobInfo& job : *page) {
      if (!job.unreadable.empty()) {
        input.unreadable.push_back(job.definition.id);
        continue;
      }
      if (job.state == JobState::kPaused) ++input.paused;
      if (job.state != JobState::kActive) continue;
      auto runs = scheduler.Runs(
          {.job_id = job.definition.id, .fire_from = {}, .fire_to = {}, .limit = static_cast<int>(kHistory)});
      if (!runs) return tl::unexpected(runs.error());
      input.jobs.push_back(JobFrom(job.definition, job.created_at, from));
      for (const RunInfo& run : *runs) {
        if (const auto duration = DurationOf(run)) input.jobs.back().durations.push_back(*duration);
      }
      progress(input.jobs.size());
    }
    if (static_cast<int>(page->size()) < kPage) return input;
    filter.after_id = page->back().definition.id;
  }
}

Result<SimulateInput> JobsOfFile(const std::string& file, Instant from) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) {
      const int error = errno;
      return Fail(error == ENOENT ? Code::kNotFound : Code::kUnavailable,
                  fmt::format("cannot read {}: {}", file, std::strerror(error)));
    }
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::string first_line;
  std::getline(in, first_line);
  if (first_line.starts_with(kArchiveBegin)) return JobsOfArchive(in, first_line, file, from);

  std::string text = first_line + "\n";
  text.append(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  if (in.bad()) return Fail(Code::kUnavailable, "cannot read " + file);
  auto jobs = ParseJobFile(text, file);
  if (!jobs) return tl::unexpected(jobs.error());
  SimulateInput input;
  for (JobDefinition& job : jobs->jobs) input.jobs.push_back(JobFrom(std::move(job), from, from));
  return input;
}

Status GiveDurations(const std::vector<std::string>& given, SimulateInput* input) {
  std::map<std::string, Duration> by_job;
  std::optional<Duration> otherwise;
  for (const std::string& text : given) {
    const std::size_t equals = text.rfind('=');
    const auto duration = ParseDuration(equals == std::string::npos ? text : text.substr(equals + 1));
    if (!duration || *duration < Duration(0)) {
      return Fail(Code::kInvalidArgument,
                  fmt::format("--duration '{}': write a duration such as 30s, or JOB=30s for one job", text));
    }
    const bool fresh = equals == std::string::npos ? !std::exchange(otherwise, *duration)
                                                   : by_job.emplace(text.substr(0, equals), *duration).second;
    if (!fresh) return Fail(Code::kInvalidArgument, fmt::format("--duration '{}': given twice", text));
  }
  input->sources.clear();
  for (ForecastJob& job : input->jobs) {
    DurationSource source = DurationSource::kHistory;
    if (const auto own = by_job.find(job.definition.id); own != by_job.end()) {
      job.durations = {own->second};
      source = DurationSource::kGiven;
      by_job.erase(own);
    } else if (job.durations.empty()) {
      job.durations = {otherwise.value_or(kDefaultDuration)};
      source = otherwise ? DurationSource::kGiven : DurationSource::kDefault;
    }
    input->sources.push_back(source);
  }
  if (by_job.empty()) return {};
  return Fail(Code::kInvalidArgument, fmt::format("--duration: there is no active job '{}'", by_job.begin()->first));
}

}  // namespace escapement
