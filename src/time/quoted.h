// What a user, a file or a server gave, as messages show it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace escapement {

// At most `limit` bytes of it, on one line: a control character, or a byte that is not UTF-8, becomes '?'.
std::string Quoted(std::string_view text, std::size_t limit = 100);

}  // namespace escapement
