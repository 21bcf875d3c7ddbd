#include "sqlite/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "job/text.h"
#include "ports/token.h"

namespace escapement::sqlite {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kScheme = "sqlite:";

tl::unexpected<Error> Bad(std::string message) { return Fail(Code::kInvalidArgument, std::move(message)); }

Result<FileName> DefaultFile() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path base;
  if (state != nullptr && *state == '/') {  // a relative one is to be ignored, says the XDG specification
    base = state;
  } else if (home != nullptr && *home == '/') {
    base = fs::path(home) / ".local" / "state";
  } else {
    return Bad("sqlite: neither XDG_STATE_HOME nor HOME is set: name the file, as in sqlite:/var/lib/escapement.db");
  }
  return FileName{(base / "escapement" / "escapement.db").lexically_normal(), true};
}

}  // namespace

Result<FileName> ParseUrl(const std::string& url) {
  if (!url.starts_with(kScheme)) return Bad("not an SQLite URL: expected sqlite:PATH");
  const std::string path = url.substr(kScheme.size());
  if (path.empty()) return DefaultFile();
  if (path.starts_with(":memory:")) return Bad("sqlite: the database must be a file; memory: is the store in memory");
  if (path.starts_with("//") && !path.starts_with("///")) {
    return Bad("an SQLite URL has no host: expected sqlite:PATH, as in sqlite:/var/lib/escapement.db");
  }
  if (path.ends_with('/')) return Bad("sqlite: the path must name a file, not a directory");
  // Messages and logs hold it.
  if (!IsPrintableText(path)) return Bad("sqlite: the path must be UTF-8 text without control characters");
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) return Bad(fmt::format("sqlite: cannot resolve the path {}: {}", path, error.message()));
  return FileName{absolute, false};
}

FileName Beside(const FileName& file, const std::string& suffix) { return {file.path + suffix, file.makes_directory}; }

Status CheckPlace(const FileName& file) {
  const fs::path directory = fs::path(file.path).parent_path();
  struct stat info{};
  if (stat(file.path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Bad(fmt::format("{} is {}, not a file", file.path, S_ISDIR(info.st_mode) ? "a directory" : "a device"));
  }
  struct statfs system{};
  if (stat(directory.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
    return Bad(fmt::format("{} is not a directory", directory.string()));
  }
  if (statfs(directory.c_str(), &system) != 0) {
    if (errno == ENOENT && file.makes_directory) return {};
    if (errno == ENOENT) return Bad(fmt::format("the directory {} is not there: make it first", directory.string()));
    return Bad(fmt::format("cannot use the directory {}: {}", directory.string(), std::strerror(errno)));
  }
  if (IsNetworkFilesystem(static_cast<unsigned long>(system.f_type))) {
    return Bad(
        fmt::format("{} is on a network's file system: SQLite's write-ahead log needs memory that all processes share "
                    "and works on a local disk only; several machines need postgresql://",
                    directory.string()));
  }
  return {};
}

// Every missing part of it.
Status MakeDirectory(const FileName& file) {
  if (!file.makes_directory) return {};
  fs::path made;
  for (const fs::path& part : fs::path(file.path).parent_path()) {
    made /= part;
    if (mkdir(made.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int why = errno;
    std::error_code ignored;
    if (fs::is_directory(made, ignored)) continue;  // "read-only" or "not permitted", of what is there already
    return Bad(fmt::format("cannot make the directory {}: {}", made.string(), std::strerror(why)));
  }
  return {};
}

Status MakeFile(const FileName& file) {
  struct stat info{};
  if (stat(file.path.c_str(), &info) == 0) return {};
  if (auto s = MakeDirectory(file); !s) return s;
  if (auto s = CheckPlace(file); !s) return s;
  // Made under another name: to close a descriptor of the database file itself would drop the locks that SQLite holds
  // on it elsewhere in this process.
  const std::string made = fmt::format("{}.{}", file.path, RandomToken());
  const int fd = open(made.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  const auto failed = [&] { return Bad(fmt::format("cannot make the file {}: {}", file.path, std::strerror(errno))); };
  if (fd < 0) return failed();
  close(fd);
  if (renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, file.path.c_str(), RENAME_NOREPLACE) == 0) return {};
  const int why = errno;
  unlink(made.c_str());
  errno = why;
  if (why != EEXIST) return failed();
  return {};
}

bool IsNetworkFilesystem(unsigned long magic) {
  // NFS, SMB, CIFS, SMB2, Coda, AFS (two), Ceph, NCP. Kernel headers name but some of them.
  constexpr std::array<unsigned long, 9> kNetworks = {0x6969,     0x517B,     0xFF534D42, 0xFE534D42, 0x73757245,
                                                      0x5346414F, 0x6B414653, 0x00C36400, 0x564C};
  return std::find(kNetworks.begin(), kNetworks.end(), magic & 0xFFFFFFFFUL) != kNetworks.end();
}

}  // namespace escapement::sqlite
