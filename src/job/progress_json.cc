#include "job/progress_json.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include <nlohmann/json.hpp>

#include "job/text.h"
#include "time/storable.h"

namespace escapement {
namespace {

using Json = nlohmann::json;

std::optional<RunProgress> Read(const Json& json, const std::string& pod) {
  if (!json.is_object()) return std::nullopt;
  RunProgress p;
  p.pod = pod;
  for (const auto& [name, value] : json.items()) {
    const auto instant = [&value](Instant* out) {
      if (!value.is_number_integer()) return false;
      *out = FromMicros(value.get<std::int64_t>());
      return IsStorable(*out);
    };
    bool good = true;
    if (name == "job") {
      good = value.is_string();
      if (good) p.job_id = value.get<std::string>();
    } else if (name == "fire_time") {
      good = instant(&p.fire_time);
    } else if (name == "attempt") {
      good = value.is_number_integer();
      if (good) p.attempt = value.get<int>();
    } else if (name == "part") {
      if (value.is_number()) p.part = value.get<double>();
      good = value.is_number() && p.part >= 0 && p.part <= 1;
    } else if (name == "note") {
      good = value.is_string();
      if (good) p.note = MakeValidText(value.get_ref<const std::string&>(), kNoteLimit);
    } else if (name == "told_at") {
      good = instant(&p.told_at);
    }  // a newer program may tell more
    if (!good) return std::nullopt;
  }
  return p.job_id.empty() ? std::nullopt : std::optional(std::move(p));
}

}  // namespace

std::string ProgressToJson(const std::vector<RunProgress>& progress) {
  if (progress.empty()) return {};
  Json list = Json::array();
  for (const RunProgress& p : progress) {
    Json& json = list.emplace_back(Json{{"job", p.job_id},
                                        {"fire_time", ToMicros(p.fire_time)},
                                        {"attempt", p.attempt},
                                        {"part", p.part},
                                        {"told_at", ToMicros(p.told_at)}});
    if (!p.note.empty()) json["note"] = p.note;
  }
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<RunProgress> ReadProgress(const std::vector<SentProgress>& sent, const std::string& job_id) {
  std::vector<RunProgress> progress;
  for (const SentProgress& s : sent) {
    if (s.json.empty()) continue;
    const Json list = Json::parse(s.json, nullptr, /*allow_exceptions=*/false);
    if (!list.is_array()) continue;
    for (const Json& json : list) {
      auto p = Read(json, s.pod);
      if (p && (job_id.empty() || p->job_id == job_id)) progress.push_back(*std::move(p));
    }
  }
  std::sort(progress.begin(), progress.end(), [](const RunProgress& a, const RunProgress& b) {
    return std::tie(a.job_id, a.fire_time, a.attempt, a.pod) < std::tie(b.job_id, b.fire_time, b.attempt, b.pod);
  });
  return progress;
}

}  // namespace escapement
