// What every store answers in the same words.
#pragma once

#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "escapement/status.h"
#include "time/quoted.h"

namespace escapement {

inline tl::unexpected<Error> NoSuchJob(const std::string& id) {
  return Fail(Code::kNotFound, fmt::format("there is no job '{}'", Quoted(id, 200)));
}
inline tl::unexpected<Error> AlreadyThere(const std::string& id) {
  return Fail(Code::kConflict, fmt::format("there is a job '{}' already", Quoted(id, 200)));
}
inline tl::unexpected<Error> KeyHeld(const std::string& id, const std::string& key) {
  return Fail(Code::kConflict,
              fmt::format("job '{}': another job holds its unique key '{}'", Quoted(id, 200), Quoted(key, 200)));
}
inline tl::unexpected<Error> GivenTwice(const std::string& id) {
  return Fail(Code::kInvalidArgument, fmt::format("job '{}' is given twice in one batch", Quoted(id, 200)));
}
inline tl::unexpected<Error> Unreadable(const std::string& id, const std::string& why) {
  return Fail(Code::kUnsupported, fmt::format("job '{}' cannot be read by this program: {}", Quoted(id, 200), why));
}
inline tl::unexpected<Error> NoSuchLetter(std::int64_t id) {
  return Fail(Code::kNotFound, fmt::format("there is no dead letter {}", id));
}
inline tl::unexpected<Error> JobOfLetterGone(std::int64_t id, const std::string& job) {
  return Fail(
      Code::kNotFound,
      fmt::format("the job '{}' of dead letter {} is gone: add it again, or discard the letter", Quoted(job, 200), id));
}
inline tl::unexpected<Error> NothingUnderWay(const std::string& id) {
  return Fail(Code::kConflict, fmt::format("nothing of job '{}' is under way", Quoted(id, 200)));
}

}  // namespace escapement
