#include "cli/document.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "time/quoted.h"

namespace escapement {
namespace {

using Json = nlohmann::json;

Document Convert(const Json& json, const std::string& file) {
  if (json.is_boolean()) return {json.get<bool>(), file};
  if (json.is_number_integer()) return {json.get<std::int64_t>(), file};
  if (json.is_number()) return {json.get<double>(), file};
  if (json.is_string()) return {json.get<std::string>(), file};
  if (json.is_array()) {
    Document::List list;
    for (const Json& item : json) list.push_back(Convert(item, file));
    return {std::move(list), file};
  }
  Document::Table table;
  for (const auto& [name, value] : json.items()) table.emplace(name, Convert(value, file));
  return {std::move(table), file};
}

std::size_t LineOf(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

}  // namespace

Result<Document> Document::FromJson(std::string_view text, const std::string& file) {
  // The library lets the last of two equal names win; in a file of jobs that would lose one silently.
  std::vector<std::set<std::string>> names;
  std::string twice;
  bool has_null = false;
  const Json::parser_callback_t watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key && !names.back().insert(value.get<std::string>()).second) {
      twice = value.get<std::string>();
    }
    if (event == Json::parse_event_t::value && value.is_null()) has_null = true;
    return true;
  };
  try {
    const Json json = Json::parse(text, watch);
    if (!twice.empty())
      return Fail(Code::kInvalidArgument, fmt::format("{}: '{}' is given twice", file, Quoted(twice)));
    if (has_null) return Fail(Code::kInvalidArgument, fmt::format("{}: null is no value here", file));
    return Convert(json, file);
  } catch (const Json::parse_error& error) {
    return Fail(Code::kInvalidArgument, fmt::format("{}:{}: not JSON", file, LineOf(text, error.byte)));
  } catch (const Json::exception&) {  // a number that no type holds
    return Fail(Code::kInvalidArgument, fmt::format("{}: not JSON", file));
  }
}

tl::unexpected<Error> Document::Wrong(const std::string& why) const {
  return Fail(Code::kInvalidArgument, fmt::format("{}: {}", place_, why));
}

Result<std::string> Document::Text(const std::string& key) const {
  if (const std::string* value = text()) return *value;
  return Wrong(key + " must be a text in quotes");
}

Result<int> Document::Int(const std::string& key) const {
  const auto* value = std::get_if<std::int64_t>(&value_);
  if (value != nullptr && *value >= std::numeric_limits<int>::min() && *value <= std::numeric_limits<int>::max()) {
    return static_cast<int>(*value);
  }
  return Wrong(key + " must be a whole number");
}

Result<double> Document::Number(const std::string& key) const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  return Wrong(key + " must be a number");
}

Result<Duration> Document::Time(const std::string& key) const {
  const std::string* value = text();
  auto duration = value ? ParseDuration(*value) : Result<Duration>(Fail(Code::kInvalidArgument, ""));
  if (!duration) return Wrong(key + " must be a duration such as \"1.5s\" or \"10m\"");
  return *duration;
}

Result<std::vector<Duration>> Document::Times(const std::string& key) const {
  if (list() == nullptr) return Wrong(key + " must be a list of durations such as [\"1s\", \"10m\"]");
  std::vector<Duration> times;
  for (const Document& item : *list()) {
    auto time = item.Time(key);
    if (!time) return tl::unexpected(time.error());
    times.push_back(*time);
  }
  return times;
}

Result<std::vector<std::string>> Document::Texts(const std::string& key) const {
  const auto wrong = [&] { return Wrong(key + " must be a list of texts such as [\"a\", \"b\"]"); };
  if (list() == nullptr) return wrong();
  std::vector<std::string> texts;
  for (const Document& item : *list()) {
    if (item.text() == nullptr) return wrong();
    texts.push_back(*item.text());
  }
  return texts;
}

Result<std::map<std::string, std::string>> Document::TextTable(const std::string& key) const {
  const auto wrong = [&] { return Wrong(key + " must be a table of texts"); };
  if (table() == nullptr) return wrong();
  std::map<std::string, std::string> texts;
  for (const auto& [name, value] : *table()) {
    if (value.text() == nullptr) return wrong();
    texts[name] = *value.text();
  }
  return texts;
}

Result<const Document::Table*> Document::Members(const std::string& key) const {
  if (const Table* members = table()) return members;
  return Wrong(key + " must be a table");
}

Result<std::string> ReadFile(const std::string& path) {
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    const int error = errno;
    return Fail(error == ENOENT ? Code::kNotFound : Code::kUnavailable,
                fmt::format("cannot read {}: {}", path, std::strerror(error)));
  }
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, file)) text.append(buffer, count);
  const bool failed = std::ferror(file) != 0;
  const int error = errno;
  if (file != stdin) std::fclose(file);
  if (failed) return Fail(Code::kUnavailable, fmt::format("cannot read {}: {}", path, std::strerror(error)));
  return text;
}

}  // namespace escapement
