// Secrets that nobody else can guess: lock tokens and the passwords of private servers.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <string>

namespace escapement {

// 128 bits from the kernel, in hex. Thread-safe.
inline std::string RandomToken() {
  std::array<unsigned char, 16> bytes{};
  // Up to 256 bytes come whole or not at all; without randomness there are no safe locks, so there is no way on.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace escapement
