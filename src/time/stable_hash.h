// A hash that every program and every machine computes alike: what it decides stays decided.
#pragma once

#include <cstdint>
#include <string_view>

namespace escapement {

// FNV-1a of the text, from `salt` on, mixed by the finalizer of splitmix64 so that each bit depends on all.
inline std::uint64_t StableHash(std::string_view text, std::uint64_t salt = 0) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ salt;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31);
}

}  // namespace escapement
