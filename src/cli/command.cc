#include "cli/command.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "cli/output.h"

namespace escapement {
namespace {

// Stores that are part of this program: nobody else could have made their schema.
bool IsEmbedded(const std::string& url) { return url.starts_with("sqlite:") || url.starts_with("memory:"); }

Result<Instant> ReadInstant(const std::string& text) {
  if (text == "now") return SystemNow();
  if (text.starts_with('-') || text.starts_with('+')) {
    auto distance = ParseDuration(std::string_view(text).substr(1));
    if (!distance) return tl::unexpected(distance.error());
    if (*distance > std::chrono::weeks(5200)) return Fail(Code::kInvalidArgument, "more than 5200 weeks away");
    return text.front() == '-' ? SystemNow() - *distance : SystemNow() + *distance;
  }
  return ParseInstant(text);
}

template <typename T>
CLI::Option* AddParsed(CLI::App* command, const std::string& name, std::optional<T>* out,
                       const std::string& description, const char* type, Result<T> (*parse)(const std::string&)) {
  return command
      ->add_option_function<std::string>(
          name,
          [out, name, parse](const std::string& text) {
            auto value = parse(text);
            if (!value) throw CLI::ValidationError(name, value.error().message);
            *out = *value;
          },
          description)
      ->type_name(type);
}

}  // namespace

void AddStoreOptions(CLI::App* command, CommonOptions* options) {
  command
      ->add_option("--store", options->config.store,
                   "Where jobs live: sqlite:PATH, postgresql://..., redis://..., memory: (ESCAPEMENT_STORE)")
      ->type_name("URL");
  command
      ->add_option("--locks", options->config.locks,
                   "Where pods coordinate; the store itself if not given (ESCAPEMENT_LOCKS)")
      ->type_name("URL");
  command->add_option("--config", options->config.config, "TOML file with store, locks and [pod] (ESCAPEMENT_CONFIG)")
      ->type_name("FILE");
}

void AddJsonOption(CLI::App* command, CommonOptions* options) {
  command->add_flag("--json", options->json, "Print JSON");
}

CLI::Option* AddDuration(CLI::App* command, const std::string& name, std::optional<Duration>* out,
                         const std::string& description) {
  return AddParsed<Duration>(command, name, out, description, "DURATION",
                             [](const std::string& text) { return ParseDuration(text); });
}

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

CLI::Option* AddDurations(CLI::App* command, const std::string& name, std::optional<std::vector<Duration>>* out,
                          const std::string& description) {
  return AddParsed<std::vector<Duration>>(command, name, out, description, "DURATION,...",
                                          [](const std::string& text) -> Result<std::vector<Duration>> {
                                            std::vector<Duration> durations;
                                            for (const std::string& part : SplitAtCommas(text)) {
                                              auto duration = ParseDuration(part);
                                              if (!duration) return tl::unexpected(duration.error());
                                              durations.push_back(*duration);
                                            }
                                            return durations;
                                          });
}

CLI::Option* AddInstant(CLI::App* command, const std::string& name, std::optional<Instant>* out,
                        const std::string& description) {
  return AddParsed<Instant>(command, name, out, description, "TIME", ReadInstant);
}

Result<std::unique_ptr<Scheduler>> OpenStore(const SchedulerOptions& options, Schema schema) {
  auto scheduler = Scheduler::Open(options);
  if (!scheduler || schema == Schema::kAny) return scheduler;
  if (auto status = (*scheduler)->CheckSchema(); !status) {
    // An older schema is not upgraded unasked: pods of that version may be running.
    const bool absent = status.error().message.find("yet: run the migration first") != std::string::npos;
    if (absent && IsEmbedded(options.store_url)) status = (*scheduler)->Migrate();
    if (!status && status.error().code == Code::kConflict) {
      return Fail(Code::kConflict, status.error().message + " (escapement migrate)");
    }
    if (!status) return tl::unexpected(status.error());
  }
  return scheduler;
}

Result<std::unique_ptr<Scheduler>> OpenStore(const CommonOptions& options) {
  auto config = ReadConfig(options.config);
  if (!config) return tl::unexpected(config.error());
  return OpenStore(*config, Schema::kNeeded);
}

int Complain(const Error& error) {
  std::string message = error.message;
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  fmt::print(stderr, "escapement: {}\n", message);
  return error.code == Code::kInvalidArgument ? kBadInput : kFailure;
}

void WarnUnreadable(const std::vector<std::string>& names) {
  constexpr std::size_t kNamed = 10;
  if (names.empty()) return;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i) {
    text += fmt::format("{}'{}'", i == 0 ? "" : ", ", OneLine(names[i]));
  }
  if (names.size() > kNamed) text += fmt::format(" and {} more", names.size() - kNamed);
  std::fflush(stdout);
  fmt::print(stderr, "escapement: warning: left out, because a newer version wrote what this one cannot read: {}\n",
             text);
}

void WarnIfOver(const JobDefinition& job, Instant now) {
  const Schedule grid = job.schedule.AnchoredAt(now);
  if (grid.Next(grid.FirstCursor(now))) return;
  fmt::print(stderr, "warning: {}: '{}' has no instant from now on: it will not run\n", OneLine(job.id),
             OneLine(grid.ToString()));
}

Instant SystemNow() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

}  // namespace escapement
