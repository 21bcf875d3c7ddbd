// Feeds every file of a corpus to its target: corpus/<target>/<file>. What a fuzzer found once is tested ever after.
//   fuzz_corpus_test CORPUS [target...]
//   fuzz_corpus_test --list
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz/target.h"

namespace fs = std::filesystem;
using escapement::fuzz::Target;
using escapement::fuzz::Targets;

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz_corpus_test CORPUS [target...] | --list\n");
    return 2;
  }
  const std::vector<std::string> names(argv + 2, argv + argc);
  for (const Target& target : Targets()) {
    if (std::string(argv[1]) == "--list") {
      std::printf("%s\n", target.name);
      continue;
    }
    if (!names.empty() && std::find(names.begin(), names.end(), target.name) == names.end()) continue;
    std::error_code error;
    int files = 0;
    for (const auto& entry : fs::directory_iterator(fs::path(argv[1]) / target.name, error)) {
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);  // the last line names the culprit
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      target.body(input);
      ++files;
    }
    if (files == 0) {
      std::fprintf(stderr, "%s: no corpus in %s\n", target.name, argv[1]);
      return 1;
    }
  }
  return 0;
}
