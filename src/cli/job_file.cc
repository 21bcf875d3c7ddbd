#include "cli/job_file.h"

#include <fmt/format.h>

#include "cli/document.h"
#include "cli/job_view.h"
#include "escapement/process.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr const char* kMembers =
    "schedule, command, env, directory, kill_grace, task, payload, queue, label, metadata, priority, timeout, "
    "max_attempts, "
    "retry_delay, retry_factor, retry_max_delay, retry_delays, retry_jitter, retry_on, deadline, late, late_limit, "
    "late_threshold, jitter, flex, overlap, on_success, on_failure, on_end, delivery, lost_limit, pause_after, mutex, "
    "limits, "
    "rates, unique, unique_for";

template <typename From, typename To>
Status Put(Result<From> value, To* out) {
  if (!value) return tl::unexpected(value.error());
  *out = *std::move(value);
  return {};
}

template <typename Enum>
Status PutName(const std::string& name, const Document& value, std::optional<Enum> (*by_name)(std::string_view),
               const char* names, Enum* out) {
  const auto found = value.text() ? by_name(*value.text()) : std::nullopt;
  if (!found) return value.Wrong(fmt::format("{} must be {}", name, names));
  *out = *found;
  return {};
}

Status PutMutex(const Document& value, std::vector<ConcurrencyLimit>* out) {
  auto key = value.Text("mutex");
  if (!key) return tl::unexpected(key.error());
  out->push_back({.key = *std::move(key), .slots = 1});
  return {};
}

Status PutLimits(const Document& value, std::vector<ConcurrencyLimit>* out) {
  auto members = value.Members("limits");
  if (!members) return tl::unexpected(members.error());
  for (const auto& [key, slots] : **members) {
    if (auto s = Put(slots.Int("limits: a number of slots"), &out->emplace_back(ConcurrencyLimit{.key = key}).slots);
        !s) {
      return s;
    }
  }
  return {};
}

Status PutRates(const Document& value, std::vector<RateLimit>* out) {
  auto members = value.Members("rates");
  if (!members) return tl::unexpected(members.error());
  for (const auto& [key, text] : **members) {
    auto rate = ReadRate(key, text.text() != nullptr ? *text.text() : "");
    if (!rate) return text.Wrong(fmt::format("rates: '{}' {}", Quoted(key), rate.error().message));
    out->push_back(*std::move(rate));
  }
  return {};
}

Status ReadMember(const std::string& name, const Document& value, JobDefinition* job, ProcessSpec* spec) {
  if (name == "schedule") return {};
  if (name == "command") return Put(value.Texts(name), &spec->argv);
  if (name == "env") return Put(value.TextTable(name), &spec->env);
  if (name == "directory") return Put(value.Text(name), &spec->directory);
  if (name == "kill_grace") return Put(value.Time(name), &spec->kill_grace);
  if (name == "task") return Put(value.Text(name), &job->task);
  if (name == "payload") return Put(value.Text(name), &job->payload);
  if (name == "queue") return Put(value.Text(name), &job->queue);
  if (name == "label") return Put(value.Text(name), &job->label);
  if (name == "metadata") return Put(value.TextTable(name), &job->metadata);
  if (name == "on_success") return Put(value.Texts(name), &job->on_success);
  if (name == "on_failure") return Put(value.Texts(name), &job->on_failure);
  if (name == "on_end") return Put(value.Texts(name), &job->on_end);
  if (name == "jitter") return Put(value.Time(name), &job->jitter);
  if (name == "flex") return Put(value.Time(name), &job->flex);
  if (name == "overlap") return PutName(name, value, OverlapByName, "wait, replace or allow", &job->overlap);
  if (name == "unique") return Put(value.Text(name), &job->unique);
  if (name == "unique_for") return Put(value.Time(name), &job->unique_for);
  if (name == "priority") return Put(value.Int(name), &job->priority);
  if (name == "timeout") return Put(value.Time(name), &job->timeout);
  if (name == "max_attempts") return Put(value.Int(name), &job->retry.max_attempts);
  if (name == "retry_delay") return Put(value.Time(name), &job->retry.delay);
  if (name == "retry_factor") return Put(value.Number(name), &job->retry.factor);
  if (name == "retry_max_delay") return Put(value.Time(name), &job->retry.max_delay);
  if (name == "retry_delays") return Put(value.Times(name), &job->retry.delays);
  if (name == "retry_jitter") return Put(value.Number(name), &job->retry.jitter);
  if (name == "retry_on") return PutName(name, value, RetryOnByName, "any, failed or timed_out", &job->retry.on);
  if (name == "deadline") return Put(value.Time(name), &job->deadline);
  if (name == "late") return PutName(name, value, LateByName, "skip, run_once or run_all", &job->late.emplace());
  if (name == "late_limit") return Put(value.Int(name), &job->late_limit);
  if (name == "late_threshold") return Put(value.Time(name), &job->late_threshold);
  if (name == "delivery") {
    return PutName(name, value, DeliveryByName, "at_least_once or at_most_once", &job->delivery);
  }
  if (name == "lost_limit") return Put(value.Int(name), &job->lost_limit);
  if (name == "pause_after") return Put(value.Int(name), &job->pause_after);
  if (name == "mutex") return PutMutex(value, &job->limits);
  if (name == "limits") return PutLimits(value, &job->limits);
  if (name == "rates") return PutRates(value, &job->rates);
  return value.Wrong(fmt::format("a job has no member '{}': use {}", Quoted(name), kMembers));
}

Result<JobDefinition> ReadJob(const std::string& id, const Document& document) {
  auto members = document.Members(fmt::format("job '{}'", Quoted(id, 200)));
  if (!members) return tl::unexpected(members.error());
  const Document::Table& table = **members;
  const auto wrong = [&](const std::string& why) {
    return document.Wrong(fmt::format("job '{}': {}", Quoted(id, 200), why));
  };
  const auto schedule_text = table.find("schedule");
  if (schedule_text == table.end()) return wrong("has no schedule");
  auto text = schedule_text->second.Text("schedule");
  if (!text) return tl::unexpected(text.error());
  auto schedule = Schedule::Parse(*text);
  if (!schedule) return schedule_text->second.Wrong(schedule.error().message);

  JobDefinition job{.id = id, .schedule = schedule->ForJob(id), .task = {}};
  ProcessSpec spec;
  for (const auto& [name, value] : table) {
    if (auto status = ReadMember(name, value, &job, &spec); !status) return tl::unexpected(status.error());
  }
  const bool command = table.contains("command");
  if (command == table.contains("task")) return wrong("needs either a command or a task");
  if (!command && (table.contains("env") || table.contains("directory") || table.contains("kill_grace"))) {
    return wrong("env, directory and kill_grace belong to a command");
  }
  if (command) {
    if (table.contains("payload")) return wrong("a payload belongs to a task");
    if (auto status = Validate(spec); !status) return wrong(status.error().message);
    job.task = kProcessTask;
    job.payload = ProcessSpecToJson(spec);
  }
  if (!table.contains("max_attempts")) job.retry.max_attempts = AttemptsFor(job.retry);
  if (auto status = Validate(job); !status) return document.Wrong(status.error().message);
  return job;
}

}  // namespace

Result<JobFile> ReadJobFile(const std::string& file) {
  auto text = ReadFile(file);
  if (!text) return tl::unexpected(text.error());
  return ParseJobFile(*text, file);
}

Result<JobFile> ParseJobFile(std::string_view text, const std::string& file) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = file == "-" ? first != std::string::npos && text[first] == '{' : file.ends_with(".json");
  auto document = json ? Document::FromJson(text, file) : Document::FromToml(text, file);
  if (!document) return tl::unexpected(document.error());
  auto members = document->Members("the file");
  if (!members) return tl::unexpected(members.error());
  JobFile out;
  const Document* jobs = nullptr;
  for (const auto& [name, value] : **members) {
    if (name == "prefix") {
      if (auto status = Put(value.Text(name), &out.prefix); !status) return tl::unexpected(status.error());
    } else if (name == "jobs") {
      jobs = &value;
    } else {
      return value.Wrong(fmt::format("there is no key '{}': use prefix and [jobs.NAME]", Quoted(name)));
    }
  }
  if (jobs == nullptr) return document->Wrong("has no jobs: write [jobs.NAME] with a schedule and a command");
  auto table = jobs->Members("jobs");
  if (!table) return tl::unexpected(table.error());
  for (const auto& [name, value] : **table) {
    auto job = ReadJob(out.prefix + name, value);
    if (!job) return tl::unexpected(job.error());
    out.jobs.push_back(*std::move(job));
  }
  return out;
}

}  // namespace escapement
