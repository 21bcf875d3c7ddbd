// The command line: every subcommand with its flags, read but not done.
#include <string>
#include <vector>

#include "cli/program.h"
#include "fuzz/target.h"

namespace escapement::fuzz {

// A word on each line.
FUZZ_TARGET(command_line) {
  std::vector<std::string> words;
  for (Parts parts(input); parts.More();) words.emplace_back(parts.Take());
  Program program;
  if (const auto read = program.Read(words); !read) RequireClear(read.error());
}

}  // namespace escapement::fuzz
