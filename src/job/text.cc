#include "job/text.h"

#include <cstdint>

namespace escapement {
namespace {

struct Character {
  std::size_t bytes = 0;  // 0: not valid here
  std::uint32_t code = 0;
};

// The character at the front (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
Character Decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {1, lead};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return {};
  return {bytes, code};
}

bool All(std::string_view text, bool (*good)(std::uint32_t)) {
  while (!text.empty()) {
    const Character c = Decode(text);
    if (c.bytes == 0 || !good(c.code)) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

}  // namespace

bool IsValidText(std::string_view text) {
  return All(text, [](std::uint32_t code) { return code != 0; });
}

bool IsPrintableText(std::string_view text) {
  return All(text, [](std::uint32_t code) { return code >= 0x20 && (code < 0x7F || code > 0x9F); });
}

std::string MakeValidText(std::string_view text, std::size_t limit) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string valid;
  while (!text.empty()) {
    const Character c = Decode(text);
    const bool good = c.bytes != 0 && c.code != 0;
    const std::string_view piece = good ? text.substr(0, c.bytes) : kReplacement;
    if (valid.size() + piece.size() > limit) break;
    valid += piece;
    text.remove_prefix(good ? c.bytes : 1);
  }
  return valid;
}

std::string MakeValidTail(std::string_view text, std::size_t limit) {
  if (text.size() > limit) text.remove_prefix(text.size() - limit);
  std::string valid = MakeValidText(text, 3 * limit);  // a replacement is three bytes for one
  std::size_t cut = valid.size() > limit ? valid.size() - limit : 0;
  while (cut < valid.size() && (static_cast<unsigned char>(valid[cut]) & 0xC0) == 0x80) ++cut;
  return valid.substr(cut);
}

}  // namespace escapement
