#include "job/text.h"

#include <cstdint>

#include "time/utf8.h"

namespace escapement {
namespace {

bool All(std::string_view text, bool (*good)(std::uint32_t)) {
  while (!text.empty()) {
    const Utf8Character c = DecodeUtf8(text);
    if (c.bytes == 0 || !good(c.code)) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

}  // namespace

bool IsValidText(std::string_view text) {
  return All(text, [](std::uint32_t code) { return code != 0; });
}

bool IsPrintableText(std::string_view text) { return All(text, IsPrintable); }

std::string MakeValidText(std::string_view text, std::size_t limit) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string valid;
  while (!text.empty()) {
    const Utf8Character c = DecodeUtf8(text);
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
