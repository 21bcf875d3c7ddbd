// What commands print: tables for people on a terminal, tab-separated lines in a pipe, JSON on request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "escapement/time.h"

namespace escapement {

using OutputJson = nlohmann::ordered_json;

// Standard output is a terminal.
bool IsTerminal();

// "4.2 s", "1h05m", "3d2h": for people. FormatDuration is the exact one.
std::string HumanDuration(Duration duration);
// "in 4.2 s", "3d2h ago", "now".
std::string HumanDistance(Instant instant, Instant now);
// One line without control characters, which a terminal could take for orders.
std::string OneLine(std::string_view text);

struct Cell {
  std::string plain;                                               // in a pipe
  std::string human;                                               // on a terminal
  Cell(std::string text) : plain(text), human(std::move(text)) {}  // NOLINT(google-explicit-constructor)
  Cell(const char* text) : Cell(std::string(text)) {}              // NOLINT(google-explicit-constructor)
  Cell(std::string plain_text, std::string human_text) : plain(std::move(plain_text)), human(std::move(human_text)) {}
};

// On a terminal: titles and aligned columns, once all rows are there. In a pipe: each row at once, without titles,
// every column always at its place.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) : titles_(std::move(titles)) {}
  void Add(std::vector<Cell> cells);
  void Finish();
  // On a terminal, a line in place of a table without rows.
  void Finish(const char* when_empty);

 private:
  const std::vector<std::string> titles_;
  std::vector<std::vector<std::string>> rows_;
};

// A JSON array, written item by item: `[`, one item a line, `]`.
class JsonList {
 public:
  void Add(const OutputJson& item);
  void Finish();

 private:
  bool empty_ = true;
};

std::string JsonText(const OutputJson& json, int indent = -1);
void PrintJson(const OutputJson& json);

}  // namespace escapement
