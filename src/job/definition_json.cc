#include "job/definition_json.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "job/settle.h"
#include "time/quoted.h"

namespace escapement {
namespace {

using Json = nlohmann::json;  // keeps members sorted by name: that makes the text canonical

constexpr std::string_view kLateNames[] = {"skip", "run_once", "run_all"};
constexpr std::string_view kDeliveryNames[] = {"at_least_once", "at_most_once"};
constexpr std::string_view kOverlapNames[] = {"wait", "replace", "allow"};
constexpr std::string_view kRetryOnNames[] = {"any", "failed", "timed_out"};

tl::unexpected<Error> Bad(std::string message) {
  return Fail(Code::kInvalidArgument, "stored definition: " + std::move(message));
}

bool Read(const Json& value, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get<std::string>();
  return true;
}

bool Read(const Json& value, int& out) {
  if (!value.is_number_integer()) return false;
  const auto number = value.get<std::int64_t>();
  if (number < std::numeric_limits<int>::min() || number > std::numeric_limits<int>::max()) return false;
  out = static_cast<int>(number);
  return true;
}

bool Read(const Json& value, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return true;
}

bool Read(const Json& value, Duration& out) {
  if (!value.is_number_integer()) return false;
  out = Duration(value.get<std::int64_t>());
  return true;
}

bool Read(const Json& value, std::vector<Duration>& out) {
  return value.is_array() && std::all_of(value.begin(), value.end(),
                                         [&](const Json& element) { return Read(element, out.emplace_back()); });
}

bool Read(const Json& value, std::map<std::string, std::string>& out) {
  if (!value.is_object()) return false;
  for (const auto& [name, text] : value.items()) {
    if (!Read(text, out[name])) return false;
  }
  return true;
}

bool Read(const Json& value, std::vector<std::string>& out) {
  return value.is_array() && std::all_of(value.begin(), value.end(),
                                         [&](const Json& element) { return Read(element, out.emplace_back()); });
}

// {"KEY": slots}
bool Read(const Json& value, std::vector<ConcurrencyLimit>& out) {
  if (!value.is_object()) return false;
  for (const auto& [key, slots] : value.items()) {
    if (!Read(slots, out.emplace_back(ConcurrencyLimit{.key = key}).slots)) return false;
  }
  return true;
}

// {"KEY": {"starts": n, "per_us": n}}
bool Read(const Json& value, std::vector<RateLimit>& out) {
  if (!value.is_object()) return false;
  for (const auto& [key, rate] : value.items()) {
    RateLimit& read = out.emplace_back(RateLimit{.key = key});
    if (!rate.is_object() || rate.size() != 2 || !rate.contains("starts") || !rate.contains("per_us")) return false;
    if (!Read(rate["starts"], read.starts) || !Read(rate["per_us"], read.per)) return false;
  }
  return true;
}

template <typename Enum, std::size_t kSize>
bool ReadName(const Json& value, const std::string_view (&names)[kSize], Enum& out) {
  for (std::size_t i = 0; i < kSize; ++i) {
    if (value.is_string() && value.get_ref<const std::string&>() == names[i]) {
      out = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}

// One member; false if its name or its value is not one that DefinitionToJson writes.
bool ReadMember(const std::string& name, const Json& value, JobDefinition& job) {
  if (name == "schedule") return value.is_string();
  if (name == "task") return Read(value, job.task);
  if (name == "payload") return Read(value, job.payload);
  if (name == "queue") return Read(value, job.queue);
  if (name == "priority") return Read(value, job.priority);
  if (name == "late") return ReadName(value, kLateNames, job.late.emplace());
  if (name == "late_limit") return Read(value, job.late_limit);
  if (name == "late_threshold_us") return Read(value, job.late_threshold.emplace());
  if (name == "delivery") return ReadName(value, kDeliveryNames, job.delivery);
  if (name == "max_attempts") return Read(value, job.retry.max_attempts);
  if (name == "retry_delay_us") return Read(value, job.retry.delay);
  if (name == "retry_factor") return Read(value, job.retry.factor);
  if (name == "retry_max_delay_us") return Read(value, job.retry.max_delay);
  if (name == "retry_delays_us") return Read(value, job.retry.delays);
  if (name == "retry_jitter") return Read(value, job.retry.jitter);
  if (name == "retry_on") return ReadName(value, kRetryOnNames, job.retry.on);
  if (name == "timeout_us") return Read(value, job.timeout);
  if (name == "deadline_us") return Read(value, job.deadline);
  if (name == "lost_limit") return Read(value, job.lost_limit);
  if (name == "label") return Read(value, job.label);
  if (name == "metadata") return Read(value, job.metadata);
  if (name == "jitter_us") return Read(value, job.jitter);
  if (name == "flex_us") return Read(value, job.flex);
  if (name == "on_success") return Read(value, job.on_success);
  if (name == "on_failure") return Read(value, job.on_failure);
  if (name == "on_end") return Read(value, job.on_end);
  if (name == "overlap") return ReadName(value, kOverlapNames, job.overlap);
  if (name == "pause_after") return Read(value, job.pause_after);
  if (name == "limits") return Read(value, job.limits);
  if (name == "rates") return Read(value, job.rates);
  if (name == "unique") return Read(value, job.unique);
  if (name == "unique_for_us") return Read(value, job.unique_for);
  return false;
}

}  // namespace

std::string DefinitionToJson(const JobDefinition& job) {
  // Members at their default are left out: a store may hold a million definitions.
  const JobDefinition plain{.id = {}, .schedule = job.schedule, .task = {}};
  Json json = {{"schedule", job.schedule.ToString()}, {"task", job.task}};
  const auto put = [&json](const char* name, const auto& value, const auto& usual) {
    if (value != usual) json[name] = value;
  };
  put("payload", job.payload, plain.payload);
  put("queue", job.queue, plain.queue);
  put("priority", job.priority, plain.priority);
  const LatePolicy late = LateOf(job);
  put("late", kLateNames[static_cast<std::size_t>(late)], kLateNames[static_cast<std::size_t>(LateOf(plain))]);
  put("late_limit", job.late_limit, plain.late_limit);
  if (job.late_threshold) json["late_threshold_us"] = job.late_threshold->count();
  put("delivery", kDeliveryNames[static_cast<std::size_t>(job.delivery)],
      kDeliveryNames[static_cast<std::size_t>(plain.delivery)]);
  put("max_attempts", job.retry.max_attempts, plain.retry.max_attempts);
  put("retry_delay_us", job.retry.delay.count(), plain.retry.delay.count());
  put("retry_factor", job.retry.factor, plain.retry.factor);
  put("retry_max_delay_us", job.retry.max_delay.count(), plain.retry.max_delay.count());
  for (const Duration delay : job.retry.delays) json["retry_delays_us"].push_back(delay.count());
  put("retry_jitter", job.retry.jitter, plain.retry.jitter);
  put("retry_on", kRetryOnNames[static_cast<std::size_t>(job.retry.on)],
      kRetryOnNames[static_cast<std::size_t>(plain.retry.on)]);
  put("deadline_us", job.deadline.count(), plain.deadline.count());
  put("timeout_us", job.timeout.count(), plain.timeout.count());
  put("lost_limit", job.lost_limit, plain.lost_limit);
  put("label", job.label, plain.label);
  put("metadata", job.metadata, plain.metadata);
  put("jitter_us", job.jitter.count(), plain.jitter.count());
  put("flex_us", job.flex.count(), plain.flex.count());
  put("on_success", job.on_success, plain.on_success);
  put("on_failure", job.on_failure, plain.on_failure);
  put("on_end", job.on_end, plain.on_end);
  put("overlap", kOverlapNames[static_cast<std::size_t>(job.overlap)], kOverlapNames[0]);
  put("pause_after", job.pause_after, plain.pause_after);
  put("unique", job.unique, plain.unique);
  put("unique_for_us", job.unique_for.count(), plain.unique_for.count());
  for (const ConcurrencyLimit& limit : job.limits) json["limits"][limit.key] = limit.slots;
  for (const RateLimit& rate : job.rates) {
    json["rates"][rate.key] = {{"starts", rate.starts}, {"per_us", rate.per.count()}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What is stored the same means the same.
bool operator==(const JobDefinition& a, const JobDefinition& b) {
  return a.id == b.id && DefinitionToJson(a) == DefinitionToJson(b);
}

Result<JobDefinition> DefinitionFromJson(std::string id, std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Bad("is not a JSON object");
  const auto schedule_text = json.find("schedule");
  if (schedule_text == json.end() || !schedule_text->is_string()) return Bad("has no schedule");
  if (!json.contains("task")) return Bad("has no task");
  auto schedule = Schedule::Parse(schedule_text->get_ref<const std::string&>());
  if (!schedule) return FailIn("stored definition", schedule.error());
  JobDefinition job{.id = std::move(id), .schedule = *std::move(schedule), .task = {}};
  for (const auto& [name, value] : json.items()) {
    if (!ReadMember(name, value, job)) {
      return Bad(
          fmt::format("member '{}' is unknown or has a wrong value; was it written by a newer version?", Quoted(name)));
    }
  }
  if (const Status status = Validate(job); !status) return FailIn("stored definition", status.error());
  return job;
}

bool HasMetadata(const std::map<std::string, std::string>& metadata, const std::map<std::string, std::string>& wanted) {
  return std::includes(metadata.begin(), metadata.end(), wanted.begin(), wanted.end());
}

bool HasMetadata(std::string_view json, const std::map<std::string, std::string>& wanted) {
  const Json definition = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> metadata;
  if (definition.is_object() && definition.contains("metadata")) (void)Read(definition["metadata"], metadata);
  return HasMetadata(metadata, wanted);
}

std::string MetadataToJson(const std::map<std::string, std::string>& metadata) {
  return Json(metadata).dump(-1, ' ', false, Json::error_handler_t::replace);
}

JobDefinition DefinitionOrId(std::string id, std::string_view json, std::string* unreadable) {
  auto definition = DefinitionFromJson(id, json);
  if (definition) return *std::move(definition);
  *unreadable = std::move(definition.error().message);
  return {.id = std::move(id), .schedule = Schedule::At(Instant()).value(), .task = {}};
}

}  // namespace escapement
