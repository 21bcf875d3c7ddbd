#include "cli/config.h"

#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

#include "cli/document.h"
#include "time/quoted.h"

namespace escapement {
namespace {

constexpr const char* kDefaultStore = "sqlite:";

std::optional<std::string> Variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

template <typename T>
Status Put(Result<T> value, T* out) {
  if (!value) return tl::unexpected(value.error());
  *out = *std::move(value);
  return {};
}

Status ReadPod(const Document::Table& table, SchedulerOptions* o) {
  for (const auto& [name, value] : table) {
    Status status;
    if (name == "name") {
      status = Put(value.Text(name), &o->pod_name);
    } else if (name == "queues") {
      status = Put(value.Texts(name), &o->queues);
    } else if (name == "labels") {
      status = Put(value.Texts(name), &o->labels);
    } else if (name == "max_running") {
      status = Put(value.Int(name), &o->max_running);
    } else if (name == "threads") {
      status = Put(value.Int(name), &o->threads);
    } else if (name == "session_ttl") {
      status = Put(value.Time(name), &o->session_ttl);
    } else if (name == "heartbeat") {
      status = Put(value.Time(name), &o->heartbeat);
    } else if (name == "horizon") {
      status = Put(value.Time(name), &o->horizon);
    } else if (name == "history_days") {
      status = Put(value.Int(name), &o->history_days);
    } else {
      return value.Wrong(fmt::format(
          "[pod] has no key '{}': use name, queues, labels, max_running, threads, session_ttl, heartbeat, horizon, "
          "history_days",
          Quoted(name)));
    }
    if (!status) return status;
  }
  return {};
}

Status ReadConfigFile(const std::string& file, SchedulerOptions* o) {
  auto text = ReadFile(file);
  if (!text) return tl::unexpected(text.error());
  auto document = Document::FromToml(*text, file);
  if (!document) return tl::unexpected(document.error());
  for (const auto& [name, value] : *document->table()) {
    Status status;
    if (name == "store") {
      status = Put(value.Text(name), &o->store_url);
    } else if (name == "locks") {
      status = Put(value.Text(name), &o->locks_url);
    } else if (name == "pod") {
      auto members = value.Members(name);
      status = members ? ReadPod(**members, o) : tl::unexpected(members.error());
    } else {
      return value.Wrong(fmt::format("there is no key '{}': use store, locks and the table [pod]", Quoted(name)));
    }
    if (!status) return status;
  }
  return {};
}

}  // namespace

std::optional<std::string> ConfigFile(const ConfigFlags& flags) {
  if (flags.config) return flags.config;
  if (auto named = Variable("ESCAPEMENT_CONFIG")) return named;
  std::string file;
  if (const auto xdg = Variable("XDG_CONFIG_HOME")) {
    file = *xdg + "/escapement/config.toml";
  } else if (const auto home = Variable("HOME")) {
    file = *home + "/.config/escapement/config.toml";
  } else {
    return std::nullopt;
  }
  return access(file.c_str(), F_OK) == 0 ? std::optional(file) : std::nullopt;
}

Result<SchedulerOptions> ReadConfig(const ConfigFlags& flags) {
  SchedulerOptions options;
  options.store_url = kDefaultStore;
  if (const auto file = ConfigFile(flags)) {
    if (auto status = ReadConfigFile(*file, &options); !status) return tl::unexpected(status.error());
  }
  if (auto store = Variable("ESCAPEMENT_STORE")) options.store_url = *store;
  if (auto locks = Variable("ESCAPEMENT_LOCKS")) options.locks_url = *locks;
  if (flags.store) options.store_url = *flags.store;
  if (flags.locks) options.locks_url = *flags.locks;
  return options;
}

}  // namespace escapement
