// export, import.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "job/archive_json.h"

namespace escapement {
namespace {

struct ArchiveOptions {
  CommonOptions common;
  std::string file = "-";
  ExportOptions exporting;
};

tl::unexpected<Error> SystemFailure(const char* what, const std::string& file) {
  return Fail(Code::kUnavailable, fmt::format("cannot {} {}: {}", what, file, std::strerror(errno)));
}

// A line on a terminal that counts up, and is gone at the end.
class Progress {
 public:
  ~Progress() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }
  void Count() {
    if (++lines_ % 5000 != 0 || isatty(STDERR_FILENO) != 1) return;
    shown_ = true;
    fmt::print(stderr, "\r{} lines", lines_);
    std::fflush(stderr);
  }

 private:
  std::int64_t lines_ = 0;
  bool shown_ = false;
};

// Where an archive goes: standard output, or a file that is whole or absent and, because payloads may hold secrets, its
// owner's alone.
class ArchiveOutput {
 public:
  explicit ArchiveOutput(std::string file) : file_(std::move(file)) {}
  ~ArchiveOutput() {
    if (out_ != nullptr && out_ != stdout) std::fclose(out_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  ArchiveOutput(const ArchiveOutput&) = delete;
  ArchiveOutput& operator=(const ArchiveOutput&) = delete;

  Status Open() {
    struct stat there = {};
    if (file_ == "-") {
      out_ = stdout;
    } else if (stat(file_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {  // a pipe or a device
      out_ = std::fopen(file_.c_str(), "we");
    } else {
      temporary_ = file_ + ".XXXXXX.part";
      const int fd = mkostemps(temporary_.data(), 5, O_CLOEXEC);
      out_ = fd < 0 ? nullptr : fdopen(fd, "w");
      if (out_ == nullptr) temporary_.clear();
    }
    return out_ == nullptr ? Status(SystemFailure("write", file_)) : Status();
  }

  Status Write(std::string_view line) {
    const bool written = std::fwrite(line.data(), 1, line.size(), out_) == line.size() && std::fputc('\n', out_) != EOF;
    return written ? Status() : Status(SystemFailure("write", file_));
  }

  Status Close() {
    if (std::fflush(out_) != 0) return SystemFailure("write", file_);
    if (temporary_.empty()) return {};
    if (fsync(fileno(out_)) != 0) return SystemFailure("write", file_);
    if (rename(temporary_.c_str(), file_.c_str()) != 0) return SystemFailure("write", file_);
    temporary_.clear();
    return {};
  }

 private:
  const std::string file_;
  std::string temporary_;
  std::FILE* out_ = nullptr;
};

int Export(const ArchiveOptions& o) {
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  ArchiveOutput out(o.file);
  if (auto status = out.Open(); !status) return Complain(status.error());
  Result<ArchiveCounts> counts;
  {
    Progress progress;
    const auto write = [&](std::string_view line) {
      progress.Count();
      return out.Write(line);
    };
    counts = (*scheduler)->Export(write, o.exporting);
  }
  if (!counts && counts.error().code == Code::kUnsupported) {
    return Complain({Code::kUnsupported, counts.error().message + " (--skip-unreadable leaves it out)"});
  }
  if (!counts) return Complain(counts.error());
  if (auto status = out.Close(); !status) return Complain(status.error());
  WarnUnreadable(counts->skipped);
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "exported {} jobs and {} runs\n", counts->jobs, counts->runs);
  return 0;
}

// Lines of a file or of standard input, each at most as long as a job can be.
class ArchiveInput {
 public:
  explicit ArchiveInput(std::string file) : file_(std::move(file)) {}
  ~ArchiveInput() {
    if (in_ != nullptr && in_ != stdin) std::fclose(in_);
    std::free(line_);  // NOLINT: getline's
  }
  ArchiveInput(const ArchiveInput&) = delete;
  ArchiveInput& operator=(const ArchiveInput&) = delete;

  Status Open() {
    in_ = file_ == "-" ? stdin : std::fopen(file_.c_str(), "re");
    return in_ == nullptr ? Status(SystemFailure("read", file_)) : Status();
  }

  Result<std::optional<std::string>> Next() {
    errno = 0;
    const ssize_t length = getline(&line_, &capacity_, in_);
    if (length < 0) {
      if (std::ferror(in_) != 0) return SystemFailure("read", file_);
      return std::nullopt;
    }
    std::string_view text(line_, static_cast<std::size_t>(length));
    if (text.ends_with('\n')) text.remove_suffix(1);
    return std::string(text);
  }

  // Reads all of a regular file, to find what is wrong with it before anything is changed; then begins anew. A pipe is
  // checked as it is read.
  Status Check() {
    struct stat kind = {};
    if (fstat(fileno(in_), &kind) != 0 || !S_ISREG(kind.st_mode)) return {};
    const off_t begin = ftello(in_);
    ArchiveReader reader;
    Progress progress;
    while (true) {
      auto line = Next();
      if (!line) return tl::unexpected(line.error());
      if (!*line) break;
      if (auto item = reader.Read(**line); !item) return tl::unexpected(item.error());
      progress.Count();
    }
    if (auto status = reader.Finish(); !status) return status;
    return fseeko(in_, begin, SEEK_SET) == 0 ? Status() : Status(SystemFailure("read", file_));
  }

 private:
  const std::string file_;
  std::FILE* in_ = nullptr;
  char* line_ = nullptr;
  std::size_t capacity_ = 0;
};

int Import(const ArchiveOptions& o) {
  ArchiveInput in(o.file);
  if (auto status = in.Open(); !status) return Complain(status.error());
  if (auto status = in.Check(); !status) {
    return Complain(
        FailIn(o.file, Error{status.error().code, status.error().message + "; nothing was changed"}).value());
  }
  auto scheduler = OpenStore(o.common);
  if (!scheduler) return Complain(scheduler.error());
  Result<ArchiveCounts> counts;
  {
    Progress progress;
    counts = (*scheduler)->Import([&] {
      progress.Count();
      return in.Next();
    });
  }
  if (!counts) return Complain(FailIn(o.file, counts.error()).value());
  if (o.common.json) {
    PrintJson({{"jobs", counts->jobs}, {"runs", counts->runs}});
  } else {
    fmt::print("imported {} jobs and {} runs\n", counts->jobs, counts->runs);
  }
  return 0;
}

}  // namespace

void AddArchiveCommands(CommandLine& line) {
  auto out = std::make_shared<ArchiveOptions>();
  CLI::App* exporter = AddCommand(line, "export", "Write all jobs with their history as lines of JSON", R"(Examples:
  escapement export jobs.jsonl
  escapement export --store sqlite:jobs.db | escapement import --store postgresql://app@db/app
The file is whole or absent, and only its owner can read it. For an exact copy, let no pod run meanwhile.)",
                                  out, Export);
  exporter->add_option("file", out->file, "To write; - or none: standard output")->type_name("FILE");
  exporter->add_flag("--skip-unreadable", out->exporting.skip_unreadable,
                     "Leave out jobs that a newer version wrote and this one cannot read");
  AddStoreOptions(exporter, &out->common);

  auto in = std::make_shared<ArchiveOptions>();
  CLI::App* importer = AddCommand(line, "import", "Add the jobs and the history of an archive", R"(Examples:
  escapement import jobs.jsonl
  zcat jobs.jsonl.gz | escapement import -
A file is checked before anything is changed, a pipe batch by batch. Jobs that are there already are an error.)",
                                  in, Import);
  importer->add_option("file", in->file, "To read; - or none: standard input")->type_name("FILE");
  AddStoreOptions(importer, &in->common);
  AddJsonOption(importer, &in->common);
}

}  // namespace escapement
