// Files and words that users write: configuration, job files, the stress test's variables and files.
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "cli/config.h"
#include "cli/document.h"
#include "cli/job_file.h"
#include "cli/output.h"
#include "fuzz/target.h"
#include "job/definition_json.h"
#include "job/text.h"
#include "stress/config.h"
#include "stress/witness_file.h"

namespace escapement::fuzz {
namespace {

// A file of this process, gone with it.
class Scratch {
 public:
  Scratch() {
    const bool in_memory = access("/dev/shm", W_OK) == 0;
    std::string pattern = in_memory ? "/dev/shm/escapement-fuzz-XXXXXX" : "/tmp/escapement-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  std::string Write(const std::string& name, std::string_view text) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    return path;
  }

 private:
  std::string directory_;
};

const Scratch& Files() {
  static const Scratch files;
  return files;
}

void CheckJobFile(const std::string& file) {
  const auto read = ReadJobFile(file);
  if (!read) return RequireClear(read.error());
  for (const JobDefinition& job : read->jobs) {
    Require(job.id.starts_with(read->prefix), "every name begins with the prefix");
    Require(Validate(job).has_value(), "what was read is valid");
    const auto again = DefinitionFromJson(job.id, DefinitionToJson(job));
    Require(again && *again == job, "a job is read back from a store as it was in the file");
  }
}

}  // namespace

FUZZ_TARGET(config) {
  ConfigFlags flags;
  flags.config = Files().Write("config.toml", input);
  const auto read = ReadConfig(flags);
  if (!read) RequireClear(read.error());
}

FUZZ_TARGET(job_file_toml) { CheckJobFile(Files().Write("jobs.toml", input)); }
FUZZ_TARGET(job_file_json) { CheckJobFile(Files().Write("jobs.json", input)); }

FUZZ_TARGET(output) { Require(IsPrintableText(OneLine(input)), "a cell of a table is one line"); }

// NAME=value on each line.
FUZZ_TARGET(stress_config) {
  std::map<std::string, std::string> variables;
  for (Parts lines(input); lines.More();) {
    Parts line(lines.Take());
    const std::string name(line.Take('='));
    variables[name] = line.Rest();
  }
  const auto read = stress::ReadConfig(
      [&](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found == variables.end() ? std::nullopt : std::optional(found->second);
      },
      {});
  if (read) {
    const Duration phase = stress::JobPhase(read->job_count - 1, read->job_count, read->interval);
    Require(phase >= Duration(0) && phase < read->interval, "a phase lies within the interval");
    Require(!read->StoreUrl().empty(), "there is a store");
    return;
  }
  for (const std::string& line : read.error()) RequireClear({Code::kInvalidArgument, line});
}

FUZZ_TARGET(witness_line) {
  (void)stress::JobIndex(input);
  stress::Start start;
  if (!stress::ParseStart(input, &start)) return;
  std::string line = stress::FormatStart(start);
  line.pop_back();  // the end of the line
  stress::Start again;
  Require(stress::ParseStart(line, &again), "a start can be read again");
  Require(again.job_id == start.job_id && again.fire == start.fire && again.actual == start.actual &&
              again.attempt == start.attempt && again.fence == start.fence,
          "a start is read back as it was written");
}

}  // namespace escapement::fuzz
