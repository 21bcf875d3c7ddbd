#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "escapement/process.h"
#include "job/text.h"
#include "time/quoted.h"

namespace escapement {
namespace {

using Json = nlohmann::json;  // keeps members sorted by name: equal specs give equal text

constexpr Duration kMaxKillGrace = std::chrono::seconds(4);
constexpr std::array kOwnVariables = {"ESCAPEMENT_JOB", "ESCAPEMENT_FIRE_TIME", "ESCAPEMENT_ATTEMPT",
                                      "ESCAPEMENT_FENCE", "ESCAPEMENT_RUN"};

tl::unexpected<Error> Bad(const std::string& message) { return Fail(Code::kInvalidArgument, "command: " + message); }

// Text a program can be given: no NUL; and JSON can hold: UTF-8.
Status CheckText(std::string_view member, std::string_view text) {
  if (IsValidText(text)) return {};
  return Bad(fmt::format("{} must be UTF-8 text without NUL", member));
}

Status ReadMember(const std::string& name, const Json& value, ProcessSpec& spec) {
  const auto wrong = [&name](const char* right) { return Status(Bad(fmt::format("{} must be {}", name, right))); };
  if (name == "argv") {
    if (!value.is_array()) return wrong("a list of texts");
    for (const Json& word : value) {
      if (!word.is_string()) return wrong("a list of texts");
      spec.argv.push_back(word.get<std::string>());
    }
  } else if (name == "env") {
    if (!value.is_object()) return wrong("an object of texts");
    for (const auto& [variable, text] : value.items()) {
      if (!text.is_string()) return wrong("an object of texts");
      spec.env[variable] = text.get<std::string>();
    }
  } else if (name == "directory") {
    if (!value.is_string()) return wrong("a text");
    spec.directory = value.get<std::string>();
  } else if (name == "kill_grace") {
    const auto grace = value.is_string() ? ParseDuration(value.get_ref<const std::string&>())
                                         : Result<Duration>(Fail(Code::kInvalidArgument, ""));
    if (!grace) return wrong("a duration such as \"3s\"");
    spec.kill_grace = *grace;
  } else if (name == "output_limit") {
    if (!value.is_number_unsigned()) return wrong("a number of bytes");
    spec.output_limit = value.get<std::size_t>();
  } else {
    return Bad(
        fmt::format("there is no member '{}': use argv, env, directory, kill_grace, output_limit", Quoted(name)));
  }
  return {};
}

}  // namespace

Status Validate(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv.front().empty()) return Bad("argv must name a program in its first word");
  for (const std::string& word : spec.argv) {
    if (auto status = CheckText("argv", word); !status) return status;
  }
  for (const auto& [name, value] : spec.env) {
    if (name.empty() || name.find('=') != std::string::npos)
      return Bad(fmt::format("env: the name of a variable must not be empty nor hold '=', as '{}'", Quoted(name)));
    if (auto status = CheckText("env", name); !status) return status;
    if (auto status = CheckText("env", value); !status) return status;
    if (std::find(kOwnVariables.begin(), kOwnVariables.end(), name) != kOwnVariables.end())
      return Bad(fmt::format("env: {} is set for each run by the pod", name));
  }
  if (auto status = CheckText("directory", spec.directory); !status) return status;
  if (spec.kill_grace < Duration(0) || spec.kill_grace > kMaxKillGrace)
    return Bad(fmt::format("kill_grace must be from 0s to {}, not {}", FormatDuration(kMaxKillGrace),
                           FormatDuration(spec.kill_grace)));
  if (spec.output_limit > kOutputLimit)
    return Bad(fmt::format("output_limit must be at most {}, not {}", kOutputLimit, spec.output_limit));
  return {};
}

std::string ProcessSpecToJson(const ProcessSpec& spec) {
  const ProcessSpec plain;
  Json json = {{"argv", spec.argv}};
  if (!spec.env.empty()) json["env"] = spec.env;
  if (!spec.directory.empty()) json["directory"] = spec.directory;
  if (spec.kill_grace != plain.kill_grace) json["kill_grace"] = FormatDuration(spec.kill_grace);
  if (spec.output_limit != plain.output_limit) json["output_limit"] = spec.output_limit;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ProcessSpec> ProcessSpecFromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Bad(R"(must be a JSON object such as {"argv": ["date"]})");
  ProcessSpec spec;
  for (const auto& [name, value] : json.items()) {
    if (auto status = ReadMember(name, value, spec); !status) return tl::unexpected(status.error());
  }
  if (auto status = Validate(spec); !status) return tl::unexpected(status.error());
  return spec;
}

JobDefinition ProcessJob(std::string id, Schedule schedule, const ProcessSpec& spec) {
  return {
      .id = std::move(id), .schedule = std::move(schedule), .task = kProcessTask, .payload = ProcessSpecToJson(spec)};
}

}  // namespace escapement
