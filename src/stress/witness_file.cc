#include "stress/witness_file.h"

#include <charconv>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace escapement::stress {
namespace {

constexpr std::string_view kSuffix = ".starts";

// Reads a number up to the next space or the end.
template <typename T>
bool TakeNumber(std::string_view* text, T* out) {
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *out);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<std::size_t>(end - text->data()));
  if (text->empty()) return true;
  if (text->front() != ' ') return false;
  text->remove_prefix(1);
  return !text->empty();
}

}  // namespace

std::string FormatStart(const Start& start) {
  return fmt::format("{} {} {} {} {}\n", start.job_id, start.fire, start.actual, start.attempt, start.fence);
}

bool ParseStart(std::string_view line, Start* start) {
  const auto space = line.find(' ');
  if (space == 0 || space == std::string_view::npos) return false;
  start->job_id = line.substr(0, space);
  line.remove_prefix(space + 1);
  return TakeNumber(&line, &start->fire) && TakeNumber(&line, &start->actual) && TakeNumber(&line, &start->attempt) &&
         TakeNumber(&line, &start->fence) && line.empty();
}

std::string StartsFileName(const std::string& pod, int pid) { return fmt::format("{}.{}{}", pod, pid, kSuffix); }

Status LoadStarts(const std::string& directory, const std::function<int(const std::string&)>& pod_index,
                  std::vector<Execution>* starts) {
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) return Fail(Code::kNotFound, fmt::format("{}: {}", directory, error.message()));
  for (const auto& entry : entries) {
    std::string name = entry.path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    name.resize(name.size() - kSuffix.size());
    const auto dot = name.rfind('.');
    if (dot == std::string::npos) continue;
    const int pod = pod_index(name.substr(0, dot));
    std::ifstream file(entry.path());
    std::string line;
    while (std::getline(file, line) && !file.eof()) {  // eof: the newline is missing
      Start start;
      if (!ParseStart(line, &start)) continue;
      starts->push_back({JobIndex(start.job_id), pod, start.fire, start.actual, -1, start.fence});
    }
  }
  return {};
}

}  // namespace escapement::stress
