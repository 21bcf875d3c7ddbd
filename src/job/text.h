// Text that every store can hold: valid UTF-8 without NUL.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace escapement {

inline constexpr std::size_t kErrorTextLimit = 4096;  // bytes of an error kept in history

bool IsValidText(std::string_view text);
// True if `text` also has no control characters.
bool IsPrintableText(std::string_view text);
// `text` with every byte that is not valid replaced by U+FFFD, cut between characters to at most `limit` bytes.
std::string MakeValidText(std::string_view text, std::size_t limit = kErrorTextLimit);
// The same, but what is cut off is the front.
std::string MakeValidTail(std::string_view text, std::size_t limit);

}  // namespace escapement
