// Durations, instants, schedules, and texts as they are shown.
#include <algorithm>
#include <array>

#include "escapement/schedule.h"
#include "escapement/time.h"
#include "fuzz/target.h"
#include "job/text.h"
#include "time/quoted.h"

namespace escapement::fuzz {

FUZZ_TARGET(duration) {
  const auto read = ParseDuration(input);
  if (!read) return RequireClear(read.error());
  Require(*read >= Duration(0), "no text means a negative duration");
  const auto again = ParseDuration(FormatDuration(*read));
  Require(again && *again == *read, "a duration is read back as it was written");
}

FUZZ_TARGET(instant) {
  const auto read = ParseInstant(input);
  if (!read) return RequireClear(read.error());
  const auto again = ParseInstant(FormatInstant(*read));
  Require(again && *again == *read, "an instant is read back as it was written");
}

// The first line is a schedule, what follows are instants to ask it about.
FUZZ_TARGET(schedule) {
  Parts parts(input);
  const auto read = Schedule::Parse(parts.Take());
  if (!read) return RequireClear(read.error());
  const auto again = Schedule::Parse(read->ToString());
  Require(again && *again == *read, "a schedule is read back as it was written");
  Require(read->Rate() >= 0 && read->Spacing() >= Duration(0), "rates and spacings are not negative");
  const std::array<Instant, 3> at = {FromMicros(parts.Number()), FromMicros(parts.Number()),
                                     FromMicros(parts.Number())};
  for (const Schedule& grid : {*read, read->AnchoredAt(at[2])}) {
    for (const Instant instant : at) {
      const auto next = grid.Next(instant);
      const auto last = grid.Last(instant);
      Require(!next || *next > instant, "the next point is later");
      Require(!last || *last < instant, "the last point is earlier");
      if (next) Require(grid.Count(*next, *next + Duration(1)) == 1, "a point counts as one");
      if (last) Require(grid.Count(*last, *last + Duration(1)) == 1, "a point counts as one");
      if (next && last) Require(grid.Count(*last, *next + Duration(1)) <= 3, "nothing lies between neighbours");
    }
    const auto [from, to] = std::minmax(at[0], at[1]);
    Require(grid.Count(from, to) >= 0 && grid.Count(to, from) == 0, "counts are not negative");
  }
}

// The first line is a cron expression, or the parts of a calendar, with options; the second a job's id; then instants.
FUZZ_TARGET(cron) {
  Parts parts(input);
  const std::string text(parts.Take());
  const std::string_view id = parts.Take();
  const std::array<Instant, 2> at = {FromMicros(parts.Number()), FromMicros(parts.Number())};
  for (const char* kind : {"cron ", "calendar ", ""}) {
    const auto read = Schedule::Parse(kind + text);
    if (!read) {
      RequireClear(read.error());
      continue;
    }
    const Schedule own = read->ForJob(id);
    const auto again = Schedule::Parse(own.ToString());
    Require(again && *again == own, "a schedule is read back as it was written");
    const std::string words = own.Describe();
    Require(!words.empty() && IsPrintableText(words), "a description is one line of text");
    Require(own.Rate() >= 0 && own.Spacing() >= Duration(0), "rates and spacings are not negative");
    for (const Instant instant : at) {
      const auto next = own.Next(instant);
      Require(next == again->Next(instant), "what is read back fires at the same instants");
      if (!next) continue;
      Require(*next > instant && own.Count(*next, *next + Duration(1)) == 1, "the next point is later, and one");
      Require(instant + Duration(1) > *next || own.Count(instant + Duration(1), *next) == 0,
              "none lies before the next");
      Require(own.Last(*next + Duration(1)) == next, "the next point is the last up to it");
    }
  }
}

// The first line is what follows the word rrule, with | where its lines end; then instants.
FUZZ_TARGET(rrule) {
  Parts parts(input);
  std::string text(parts.Take());
  std::replace(text.begin(), text.end(), '|', '\n');
  const std::array<Instant, 2> at = {FromMicros(parts.Number()), FromMicros(parts.Number())};
  const auto read = Schedule::Parse("rrule " + text);
  if (!read) return RequireClear(read.error());
  const auto again = Schedule::Parse(read->ToString());
  Require(again && *again == *read, "a schedule is read back as it was written");
  const std::string words = read->Describe();
  Require(!words.empty() && IsPrintableText(words), "a description is one line of text");
  Require(read->Rate() >= 0 && read->Spacing() >= Duration(0), "rates and spacings are not negative");
  for (const Instant instant : at) {
    const auto next = read->Next(instant);
    Require(next == again->Next(instant), "what is read back fires at the same instants");
    if (!next) continue;
    Require(*next > instant && read->Count(*next, *next + Duration(1)) == 1, "the next point is later, and one");
    Require(instant + Duration(1) > *next || read->Count(instant + Duration(1), *next) == 0,
            "none lies before the next");
    Require(read->Last(*next + Duration(1)) == next, "the next point is the last up to it");
  }
  const auto [from, to] = std::minmax(at[0], at[1]);
  if (from < Instant()) return;
  const Instant middle = from + (to - from) / 2;
  Require(read->Count(from, to) == read->Count(from, middle) + read->Count(middle, to), "parts of a window add up");
}

FUZZ_TARGET(text) {
  Parts parts(input);
  const std::size_t limit = parts.Byte();
  const std::string_view given = parts.Rest();
  for (const std::string& made : {MakeValidText(given, limit), MakeValidTail(given, limit)}) {
    Require(IsValidText(made) && made.size() <= limit, "text is made valid and short");
  }
  if (IsValidText(given)) Require(MakeValidText(given, given.size()) == given, "valid text stays as it is");
  const std::string shown = Quoted(given, limit);
  Require(IsPrintableText(shown) && shown.size() <= limit, "what is quoted can be shown");
}

}  // namespace escapement::fuzz
