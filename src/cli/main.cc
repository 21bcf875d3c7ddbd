// The composition root: one binary, its subcommands.
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "cli/program.h"

namespace escapement {
namespace {

int Main(int argc, char** argv) {
  Program program;
  if (auto status = program.Read({argv + 1, argv + argc}); !status) {
    fmt::print(stderr, "escapement: {} (see --help)\n", status.error().message);
    return kBadInput;
  }
  const int status = program.Run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "escapement: cannot write to standard output\n");
    return kFailure;
  }
  return status;
}

}  // namespace
}  // namespace escapement

int main(int argc, char** argv) {
  try {
    return escapement::Main(argc, argv);
  } catch (const std::exception& error) {  // out of memory, a full disk below printf
    std::fprintf(stderr, "escapement: %s\n", error.what());
    return escapement::kFailure;
  }
}
