#include "time/quoted.h"

#include "time/utf8.h"

namespace escapement {

std::string Quoted(std::string_view text, std::size_t limit) {
  std::string shown;
  while (!text.empty()) {
    const Utf8Character c = DecodeUtf8(text);
    const bool good = c.bytes != 0 && IsPrintable(c.code);
    const std::size_t taken = c.bytes == 0 ? 1 : c.bytes;
    const std::string_view piece = good ? text.substr(0, taken) : "?";
    if (shown.size() + piece.size() > limit) break;
    shown += piece;
    text.remove_prefix(taken);
  }
  return shown;
}

}  // namespace escapement
