// A TOML or JSON text as a tree that knows its lines, for configuration and files of jobs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "escapement/status.h"
#include "escapement/time.h"

namespace escapement {

class Document {
 public:
  using List = std::vector<Document>;
  using Table = std::map<std::string, Document>;

  Document() = default;
  Document(std::variant<bool, std::int64_t, double, std::string, List, Table> value, std::string place)
      : value_(std::move(value)), place_(std::move(place)) {}

  // kInvalidArgument, "FILE:LINE: what is wrong", for a text that is not TOML, or JSON; JSON gives no lines to values.
  [[nodiscard]] static Result<Document> FromToml(std::string_view text, const std::string& file);
  [[nodiscard]] static Result<Document> FromJson(std::string_view text, const std::string& file);

  // Null for a value of another type.
  const Table* table() const { return std::get_if<Table>(&value_); }
  const List* list() const { return std::get_if<List>(&value_); }
  const std::string* text() const { return std::get_if<std::string>(&value_); }

  // What stands here, or kInvalidArgument saying where and what `key` must be. The message never holds the value.
  [[nodiscard]] Result<std::string> Text(const std::string& key) const;
  [[nodiscard]] Result<int> Int(const std::string& key) const;
  [[nodiscard]] Result<double> Number(const std::string& key) const;
  [[nodiscard]] Result<Duration> Time(const std::string& key) const;  // text such as "1.5s"
  [[nodiscard]] Result<std::vector<Duration>> Times(const std::string& key) const;
  [[nodiscard]] Result<std::vector<std::string>> Texts(const std::string& key) const;
  [[nodiscard]] Result<std::map<std::string, std::string>> TextTable(const std::string& key) const;
  [[nodiscard]] Result<const Table*> Members(const std::string& key) const;

  // "FILE:LINE", or "FILE" where no line is known.
  const std::string& place() const { return place_; }
  tl::unexpected<Error> Wrong(const std::string& why) const;

 private:
  std::variant<bool, std::int64_t, double, std::string, List, Table> value_;
  std::string place_;
};

// The whole file, or standard input for "-". kNotFound when it is not there, kUnavailable when it cannot be read.
[[nodiscard]] Result<std::string> ReadFile(const std::string& path);

}  // namespace escapement
