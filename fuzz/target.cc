#include "fuzz/target.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "job/text.h"

namespace escapement::fuzz {

std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

const Target* FindTarget(std::string_view name) {
  for (const Target& target : Targets()) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

void Require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

void RequireClear(const Error& error) {
  Require(!error.message.empty(), "an error says something");
  if (!IsPrintableText(error.message)) std::fprintf(stderr, "message: <%s>\n", error.message.c_str());
  Require(IsPrintableText(error.message), "an error is one line of UTF-8 without control characters");
}

std::string_view Parts::Take(char separator) {
  const std::size_t end = rest_.find(separator);
  const std::string_view part = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  return part;
}

unsigned char Parts::Byte() {
  if (rest_.empty()) return 0;
  const auto byte = static_cast<unsigned char>(rest_.front());
  rest_.remove_prefix(1);
  return byte;
}

std::int64_t Parts::Number() {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number |= static_cast<std::uint64_t>(Byte()) << (8 * i);
  return static_cast<std::int64_t>(number);
}

}  // namespace escapement::fuzz
