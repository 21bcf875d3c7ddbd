#include "cli/job_view.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "job/settle.h"

namespace escapement {
namespace {

constexpr std::array<std::string_view, 3> kLateNames = {"skip", "run_once", "run_all"};
constexpr std::array<std::string_view, 2> kDeliveryNames = {"at_least_once", "at_most_once"};
constexpr std::array<std::string_view, 3> kOverlapNames = {"wait", "replace", "allow"};
constexpr std::array<std::string_view, 3> kRetryOnNames = {"any", "failed", "timed_out"};

template <typename Enum, std::size_t kSize>
std::optional<Enum> ByName(const std::array<std::string_view, kSize>& names, std::string_view name) {
  for (std::size_t i = 0; i < kSize; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

// As a shell would read it.
std::string Quoted(const std::string& word) {
  constexpr std::string_view kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%^";
  if (!word.empty() && word.find_first_not_of(kSafe) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

OutputJson Optional(const std::optional<Instant>& instant) {
  return instant ? OutputJson(FormatInstant(*instant)) : OutputJson(nullptr);
}

}  // namespace

std::string_view LateName(LatePolicy late) { return kLateNames.at(static_cast<std::size_t>(late)); }
std::string_view DeliveryName(Delivery delivery) { return kDeliveryNames.at(static_cast<std::size_t>(delivery)); }
std::optional<LatePolicy> LateByName(std::string_view name) { return ByName<LatePolicy>(kLateNames, name); }
std::optional<Delivery> DeliveryByName(std::string_view name) { return ByName<Delivery>(kDeliveryNames, name); }
std::optional<Overlap> OverlapByName(std::string_view name) { return ByName<Overlap>(kOverlapNames, name); }
std::optional<RetryOn> RetryOnByName(std::string_view name) { return ByName<RetryOn>(kRetryOnNames, name); }

int AttemptsFor(const RetryPolicy& retry) { return 1 + static_cast<int>(retry.delays.size()); }

bool IsManual(const JobDefinition& job) { return job.schedule == Schedule::Manual(); }

Result<RateLimit> ReadRate(std::string key, std::string_view text) {
  RateLimit rate{.key = std::move(key)};
  const std::size_t slash = text.find('/');
  const auto number = text.substr(0, slash);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), rate.starts);
  const auto per = ParseDuration(slash == std::string_view::npos ? "" : text.substr(slash + 1));
  if (error != std::errc() || end != number.data() + number.size() || !per) {
    return Fail(Code::kInvalidArgument, "must be a number of starts and a time, such as 10/1m");
  }
  rate.per = *per;
  return rate;
}

std::string VerdictKey(Verdict verdict) {
  std::string key;
  for (const char c : VerdictName(verdict)) {
    if (c != ':') key += c == ' ' ? '_' : c;
  }
  return key;
}

std::optional<ProcessSpec> CommandOf(const JobDefinition& job) {
  if (job.task != kProcessTask) return std::nullopt;
  auto spec = ProcessSpecFromJson(job.payload);
  return spec ? std::optional(*std::move(spec)) : std::nullopt;
}

std::string WorkOf(const JobDefinition& job) {
  const auto spec = CommandOf(job);
  if (!spec) return "task " + job.task;
  std::string line;
  for (const std::string& word : spec->argv) line += (line.empty() ? "" : " ") + Quoted(word);
  return line;
}

OutputJson DefinitionView(const JobDefinition& job, bool reveal) {
  OutputJson json = {{"schedule", job.schedule.ToString()}};
  if (const auto spec = CommandOf(job)) {
    json["command"] = spec->argv;
    json["env"] = OutputJson::object();
    for (const auto& [name, value] : spec->env) json["env"][name] = reveal ? value : "***";
    if (!spec->directory.empty()) json["directory"] = spec->directory;
    json["kill_grace"] = FormatDuration(spec->kill_grace);
  } else {
    json["task"] = job.task;
    json["payload"] = reveal || job.payload.empty() ? job.payload : "***";
  }
  json["queue"] = job.queue;
  if (!job.label.empty()) json["label"] = job.label;
  if (!job.metadata.empty()) json["metadata"] = job.metadata;
  json["priority"] = job.priority;
  json["timeout"] = FormatDuration(job.timeout);
  json["deadline"] = FormatDuration(job.deadline);
  json["max_attempts"] = job.retry.max_attempts;
  json["retry_delay"] = FormatDuration(job.retry.delay);
  json["retry_factor"] = job.retry.factor;
  json["retry_max_delay"] = FormatDuration(job.retry.max_delay);
  if (!job.retry.delays.empty()) {
    OutputJson& delays = json["retry_delays"] = OutputJson::array();
    for (const Duration delay : job.retry.delays) delays.push_back(FormatDuration(delay));
  }
  json["retry_jitter"] = job.retry.jitter;
  json["retry_on"] = kRetryOnNames.at(static_cast<std::size_t>(job.retry.on));
  json["jitter"] = FormatDuration(job.jitter);
  json["flex"] = FormatDuration(job.flex);
  if (!job.unique.empty()) {
    json["unique"] = job.unique;
    json["unique_for"] = FormatDuration(job.unique_for);
  }
  json["overlap"] = kOverlapNames.at(static_cast<std::size_t>(job.overlap));
  for (const auto& [name, followers] :
       {std::pair("on_success", &job.on_success), {"on_failure", &job.on_failure}, {"on_end", &job.on_end}}) {
    if (!followers->empty()) json[name] = *followers;
  }
  json["late"] = LateName(LateOf(job));
  json["late_limit"] = job.late_limit;
  if (job.late_threshold) json["late_threshold"] = FormatDuration(*job.late_threshold);
  json["delivery"] = DeliveryName(job.delivery);
  json["lost_limit"] = job.lost_limit;
  json["pause_after"] = job.pause_after;
  for (const ConcurrencyLimit& limit : job.limits) json["limits"][limit.key] = limit.slots;
  for (const RateLimit& rate : job.rates) {
    json["rates"][rate.key] = fmt::format("{}/{}", rate.starts, FormatDuration(rate.per));
  }
  return json;
}

OutputJson JobView(const JobInfo& job, bool reveal) {
  OutputJson json = {{"name", job.definition.id}, {"state", JobStateName(job.state)}};
  json["next"] = IsManual(job.definition) ? OutputJson(nullptr) : Optional(job.fire_time);
  json["attempt"] = job.attempt;
  json["pod"] = job.owner_pod ? OutputJson(*job.owner_pod) : OutputJson(nullptr);
  json["version"] = job.version;
  json["created_at"] = FormatInstant(job.created_at);
  json["settled"] = job.settled_total;
  json["failures"] = job.failures;
  json["settled_until"] = FormatInstant(job.cursor);
  json["in_words"] = job.definition.schedule.Describe();
  json["definition"] = DefinitionView(job.definition, reveal);
  return json;
}

OutputJson RunView(const RunInfo& run, bool with_output) {
  OutputJson json = {{"name", run.job_id},
                     {"fire_time", FormatInstant(run.fire_time)},
                     {"last_fire_time", FormatInstant(run.last_fire)},
                     {"attempt", run.attempt},
                     {"verdict", VerdictKey(run.verdict)},
                     {"settles", run.settles},
                     {"triggered", run.triggered},
                     {"started_at", Optional(run.started_at)},
                     {"finished_at", Optional(run.finished_at)},
                     {"settled_at", FormatInstant(run.settled_at)},
                     {"pod", run.pod},
                     {"error", run.error}};
  if (with_output) json["output"] = run.output;
  return json;
}

OutputJson ProgressView(const RunProgress& p) {
  return {{"name", p.job_id},
          {"fire_time", FormatInstant(p.fire_time)},
          {"attempt", p.attempt},
          {"part", p.part},
          {"note", p.note},
          {"pod", p.pod},
          {"told_at", FormatInstant(p.told_at)}};
}

std::string PartText(double part) {
  constexpr double kRounding = 1e-9;  // 0.29 * 1000 is a little less than 290
  return fmt::format("{:g}%", std::floor(part * 1000 + kRounding) / 10);
}

}  // namespace escapement
