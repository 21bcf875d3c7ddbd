// Where a database file lies, and whether SQLite can work there.
#pragma once

#include <string>

#include "escapement/status.h"

namespace escapement::sqlite {

struct FileName {
  std::string path;              // absolute, without symbolic links
  bool makes_directory = false;  // the default path: its directory is made when the file is
};

// Reads "sqlite:PATH", relative to the working directory; "sqlite:" alone is $XDG_STATE_HOME/escapement/escapement.db,
// or that below ~/.local/state. Looks at no file but symbolic links. kInvalidArgument.
[[nodiscard]] Result<FileName> ParseUrl(const std::string& url);

// A file beside the database file, with its rights: "escapement.db.locks".
FileName Beside(const FileName& file, const std::string& suffix);

// kInvalidArgument, saying why, where no database file can be: no directory (unless it is made later), a directory of
// that name, a network's file system.
[[nodiscard]] Status CheckPlace(const FileName& file);

// Makes the directory of the default path, for its owner only; does nothing for another.
[[nodiscard]] Status MakeDirectory(const FileName& file);

// Makes an empty file that only its owner may read and write, and its directory if it is the default one. Harmless when
// it is there, or when another process makes it at the same time.
[[nodiscard]] Status MakeFile(const FileName& file);

// By the magic number of statfs(2).
bool IsNetworkFilesystem(unsigned long magic);

}  // namespace escapement::sqlite
