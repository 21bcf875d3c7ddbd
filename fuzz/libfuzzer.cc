// libFuzzer's entries: the target is the one that FUZZ_TARGET names.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fuzz/target.h"

namespace {
const escapement::fuzz::Target* target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("FUZZ_TARGET");
  target = escapement::fuzz::FindTarget(name == nullptr ? "" : name);
  if (target != nullptr) return 0;
  std::fprintf(stderr, "FUZZ_TARGET must be one of:");
  for (const auto& known : escapement::fuzz::Targets()) std::fprintf(stderr, " %s", known.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  target->body({reinterpret_cast<const char*>(data), size});
  return 0;
}
