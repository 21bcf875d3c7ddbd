// Schedules that are a pattern of local times in a zone, whatever the notation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schedule/local_options.h"
#include "schedule/pattern.h"

namespace escapement {

// What a text says.
struct Reading {
  std::string text;  // the same as it is written best
  Pattern pattern;
  bool hashed = false;  // it has an H
};

struct Notation {
  std::string_view name;  // the first word of a schedule's text
  // `part` lies in `whole`, in which columns count. `seed`: what H is made of.
  Result<Reading> (*read)(std::string_view whole, std::string_view part, std::uint64_t seed);
};

// kInvalidArgument for what cannot be read, an unknown zone, and what never fires in the years 1970 to 9999.
Result<Schedule> MakePatternSchedule(const Notation& notation, std::string_view whole, std::string_view part,
                                     const LocalOptions& options);

// The words of a text, which blanks and tabs separate.
std::vector<std::string_view> WordsOf(std::string_view text);
// From the beginning of the first to the end of the last of words of one text.
std::string_view Span(std::string_view first, std::string_view last);

}  // namespace escapement
