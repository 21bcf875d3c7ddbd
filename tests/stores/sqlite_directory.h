// A directory of a test's own for its database files.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace escapement {

class SqliteDirectory {
 public:
  SqliteDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "escapement-sqlite-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = std::filesystem::canonical(pattern);
  }
  ~SqliteDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  SqliteDirectory(const SqliteDirectory&) = delete;
  SqliteDirectory& operator=(const SqliteDirectory&) = delete;

  std::string path() const { return path_.string(); }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace escapement
