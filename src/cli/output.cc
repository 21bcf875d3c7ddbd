#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "job/text.h"
#include "time/utf8.h"

namespace escapement {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

bool IsTerminal() {
  static const bool terminal = isatty(STDOUT_FILENO) == 1;
  return terminal;
}

std::string HumanDuration(Duration d) {
  if (d < Duration(0)) return "-" + HumanDuration(-d);
  const double micros = static_cast<double>(d.count());
  if (d < milliseconds(1)) return fmt::format("{} us", d.count());
  if (d < milliseconds(10)) return fmt::format("{:.1f} ms", micros / 1e3);
  if (d < milliseconds(999)) return fmt::format("{:.0f} ms", micros / 1e3);
  if (d < seconds(60)) return fmt::format("{:.1f} s", micros / 1e6);
  if (d < hours(1)) return fmt::format("{}m{:02}s", d / minutes(1), d % minutes(1) / seconds(1));
  if (d < days(1)) return fmt::format("{}h{:02}m", d / hours(1), d % hours(1) / minutes(1));
  return fmt::format("{}d{}h", d / days(1), d % days(1) / hours(1));
}

std::string HumanDistance(Instant instant, Instant now) {
  if (instant == now) return "now";
  return instant > now ? "in " + HumanDuration(instant - now) : HumanDuration(now - instant) + " ago";
}

std::string OneLine(std::string_view text) {
  const std::string valid = MakeValidText(text, text.size() * 3);
  std::string line;
  for (std::string_view rest = valid; !rest.empty();) {
    const Utf8Character c = DecodeUtf8(rest);
    if (c.code == '\n') {
      line += "\\n";
    } else if (c.code == '\t') {
      line += "\\t";
    } else if (!IsPrintable(c.code)) {
      line += fmt::format("\\x{:02x}", c.code);
    } else {
      line += rest.substr(0, c.bytes);
    }
    rest.remove_prefix(c.bytes);
  }
  return line;
}

void Table::Add(std::vector<Cell> cells) {
  std::vector<std::string> row;
  for (const Cell& cell : cells) row.push_back(OneLine(IsTerminal() ? cell.human : cell.plain));
  if (IsTerminal()) {
    rows_.push_back(std::move(row));
  } else {
    fmt::print("{}\n", fmt::join(row, "\t"));
  }
}

void Table::Finish() { Finish("nothing"); }

void Table::Finish(const char* when_empty) {
  if (!IsTerminal()) return;
  if (rows_.empty()) {
    fmt::print("{}\n", when_empty);
    return;
  }
  std::vector<std::size_t> widths;
  for (const std::string& title : titles_) widths.push_back(Width(title));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  };
  print(titles_);
  for (const auto& row : rows_) print(row);
}

void JsonList::Add(const OutputJson& item) {
  fmt::print("{}{}", empty_ ? "[\n" : ",\n", JsonText(item));
  empty_ = false;
}

void JsonList::Finish() { fmt::print("{}", empty_ ? "[]\n" : "\n]\n"); }

std::string JsonText(const OutputJson& json, int indent) {
  return json.dump(indent, ' ', false, OutputJson::error_handler_t::replace);
}

void PrintJson(const OutputJson& json) { fmt::print("{}\n", JsonText(json, 2)); }

}  // namespace escapement
