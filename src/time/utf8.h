// UTF-8, one character at a time (RFC 3629).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace escapement {

struct Utf8Character {
  std::size_t bytes = 0;  // 0: not valid here
  std::uint32_t code = 0;
};

// The character at the front of a text that is not empty: no overlong forms, no surrogates, at most U+10FFFF.
inline Utf8Character DecodeUtf8(std::string_view text) {
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

// Neither C0, DEL nor C1: what a terminal would act upon.
inline bool IsPrintable(std::uint32_t code) { return code >= 0x20 && (code < 0x7F || code > 0x9F); }

}  // namespace escapement
