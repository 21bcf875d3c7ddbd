// The one file that includes toml++: it is slow to compile.
#include <toml++/toml.h>

#include <fmt/format.h>

#include "cli/document.h"

namespace escapement {
namespace {

std::string Place(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}", file, source.begin.line);
}

Result<Document> Convert(const toml::node& node, const std::string& file) {
  const std::string place = Place(file, node.source());
  if (const auto* value = node.as_boolean()) return Document(value->get(), place);
  if (const auto* value = node.as_integer()) return Document(value->get(), place);
  if (const auto* value = node.as_floating_point()) return Document(value->get(), place);
  if (const auto* value = node.as_string()) return Document(value->get(), place);
  if (const auto* array = node.as_array()) {
    Document::List list;
    for (const toml::node& item : *array) {
      auto converted = Convert(item, file);
      if (!converted) return converted;
      list.push_back(*std::move(converted));
    }
    return Document(std::move(list), place);
  }
  if (const auto* members = node.as_table()) {
    Document::Table table;
    for (const auto& [name, value] : *members) {
      auto converted = Convert(value, file);
      if (!converted) return converted;
      table.emplace(std::string(name.str()), *std::move(converted));
    }
    return Document(std::move(table), place);
  }
  return Fail(Code::kInvalidArgument, fmt::format("{}: dates and times are written as texts in quotes", place));
}

}  // namespace

Result<Document> Document::FromToml(std::string_view text, const std::string& file) {
  try {
    return Convert(toml::parse(text, std::string_view(file)), file);
  } catch (const toml::parse_error& error) {
    // The parser's own words may quote the text, a password included.
    return Fail(Code::kInvalidArgument, fmt::format("{}: not TOML (a quote, a bracket, or a key that is given twice?)",
                                                    Place(file, error.source())));
  }
}

}  // namespace escapement
