// Errors as values. Nothing in this library throws across a module's boundary.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace escapement {

enum class Code {
  kNotFound,
  kConflict,
  kInvalidArgument,  // the caller's input is wrong; nothing was changed
  kStale,            // the caller no longer owns what it wants to change
  kUnavailable,      // the server cannot be reached now; nothing was changed
  kTimeout,
  kInDoubt,  // the reply was lost: the change may or may not have happened
  kUnsupported,
  kInternal,
};

// "invalid argument", "in doubt", ...
std::string_view CodeName(Code code);

// What went wrong, in words that a user can act on. Messages never hold a password or a payload.
struct Error {
  Code code = Code::kInternal;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> Fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// Passes an error on with the place it was met in front: "job 'a': bad interval".
inline tl::unexpected<Error> FailIn(std::string_view where, const Error& error) {
  return Fail(error.code, std::string(where) + ": " + error.message);
}

}  // namespace escapement
