// One command as a child process: started in a group of its own, with an end of its output and a handle on its life.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "escapement/status.h"

namespace escapement {

// Closes what it owns.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  void Reset() { *this = UniqueFd(); }

 private:
  int fd_ = -1;
};

struct Command {
  std::vector<std::string> argv;         // at least one word; the first is looked up in the PATH of `environment`
  std::vector<std::string> environment;  // "NAME=value", all of it
  std::string directory;                 // empty: this process's
};

struct Child {
  pid_t pid = -1;   // and its group's. Valid until it is reaped
  UniqueFd life;    // a pidfd: readable once it has ended
  UniqueFd output;  // both its outputs; does not block
  UniqueFd report;  // see StartFailure
};

// Does not wait for the program to begin. The child dies when the *thread* that called this ends. kUnavailable: the
// system has no process or descriptor to give. Call it with all signals blocked; not from two threads at once.
[[nodiscard]] Result<Child> StartChild(const Command& command);

// Of a child that has ended: why its program never ran, or nothing when it did.
std::optional<std::string> StartFailure(const Child& child, const Command& command);

}  // namespace escapement
