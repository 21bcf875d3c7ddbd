#include "executors/process/progress_lines.h"

#include <charconv>
#include <system_error>
#include <utility>

namespace escapement {
namespace {

constexpr std::string_view kMark = "##progress ";
constexpr auto kNone = std::string_view::npos;

}  // namespace

void ProgressLines::Append(std::string_view text) {
  if (held_.empty()) return Read(text);
  std::string whole = std::exchange(held_, {});
  whole += text;
  at_start_ = true;
  Read(whole);
}

void ProgressLines::End() {
  const std::string last = std::exchange(held_, {});
  if (!last.empty() && !Tell(last)) output_(last);
}

void ProgressLines::Read(std::string_view text) {
  std::size_t from = 0;  // what lies before it is done with
  const auto begins_line = [&](std::size_t at) { return at == 0 ? at_start_ : text[at - 1] == '\n'; };
  for (std::size_t at = text.find(kMark); at != kNone; at = text.find(kMark, at + 1)) {
    if (!begins_line(at)) continue;
    const std::size_t end = text.find('\n', at);
    if (end == kNone) break;
    if (!Tell(text.substr(at, end - at))) continue;
    output_(text.substr(from, at - from));
    from = end + 1;
  }
  // The line that has no end yet: is it one of ours, as far as it goes?
  const std::size_t newline = text.rfind('\n');
  const std::size_t last = newline == kNone ? 0 : newline + 1;
  const std::string_view line = text.substr(last);
  const bool ours = line.size() <= kProgressLineLimit && (kMark.starts_with(line) || line.starts_with(kMark));
  if (!line.empty() && begins_line(last) && ours) {
    output_(text.substr(from, last - from));
    held_ = line;
    return;
  }
  output_(text.substr(from));
  if (!text.empty()) at_start_ = text.back() == '\n';
}

// Whether the line, without its end, is one.
bool ProgressLines::Tell(std::string_view line) const {
  if (line.size() > kProgressLineLimit || !line.starts_with(kMark)) return false;
  line.remove_prefix(kMark.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  double part = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), part);
  if (error != std::errc()) return false;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  if (line.starts_with('%')) {
    line.remove_prefix(1);
    part /= 100;
  }
  if (!(part >= 0 && part <= 1) || (!line.empty() && line.front() != ' ')) return false;
  if (!line.empty()) line.remove_prefix(1);
  told_(part, std::string(line));
  return true;
}

}  // namespace escapement
