// What reads input, each as a function of bytes. libFuzzer drives one of them; the tests feed the corpus to all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"

namespace escapement::fuzz {

struct Target {
  const char* name;
  void (*body)(std::string_view input);
};
// All that are linked in.
std::vector<Target>& Targets();
const Target* FindTarget(std::string_view name);

struct Registration {
  explicit Registration(Target target) { Targets().push_back(target); }
};

// Ends the process when what must hold does not.
void Require(bool holds, std::string_view what);
// A refusal is one line of text that a person can read.
void RequireClear(const Error& error);

// Cuts an input into parts.
class Parts {
 public:
  explicit Parts(std::string_view input) : rest_(input) {}
  bool More() const { return !rest_.empty(); }
  // Up to the next separator, or to the end.
  std::string_view Take(char separator = '\n');
  unsigned char Byte();
  // Eight bytes, the last ones zero where the input ends.
  std::int64_t Number();
  std::string_view Rest() { return std::exchange(rest_, {}); }

 private:
  std::string_view rest_;
};

}  // namespace escapement::fuzz

// FUZZ_TARGET(name) { ... input ... }
#define FUZZ_TARGET(name)                                                              \
  static void name(std::string_view input);                                            \
  static const ::escapement::fuzz::Registration registration_of_##name({#name, name}); \
  static void name(std::string_view input)
