// The command line as a whole.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "escapement/status.h"

namespace escapement {

class Program {
 public:
  Program();
  Program(const Program&) = delete;  // the commands refer to it
  Program& operator=(const Program&) = delete;

  // The words after the program's name. kInvalidArgument, one line, for what means nothing.
  [[nodiscard]] Status Read(std::vector<std::string> words);
  // Does what was read, and gives the exit status.
  int Run();

 private:
  CLI::App app_;
  CommandLine line_;
};

}  // namespace escapement
