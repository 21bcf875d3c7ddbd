#include "escapement/schedule.h"

#include <algorithm>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {

Result<Schedule> Schedule::Parse(std::string_view text) {
  std::string_view rest = text;
  const std::string_view kind = TakeWord(rest);
  Result<Schedule> schedule = kind == "every" ? ParseEvery(rest)
                              : kind == "at"  ? ParseAt(rest)
                                              : Fail(Code::kInvalidArgument,
                                                     "must begin with 'every' or 'at', for example 'every 1s' or "
                                                      "'at 2026-11-24T10:00:00Z'");
  if (!schedule) return FailIn(fmt::format("schedule '{}'", Quoted(text, 200)), schedule.error());
  return schedule;
}

std::string Schedule::ToString() const { return kind_->ToString(); }
std::optional<Instant> Schedule::Next(Instant after) const { return kind_->Next(after); }
std::optional<Instant> Schedule::Last(Instant before) const { return kind_->Last(before); }
std::int64_t Schedule::Count(Instant from, Instant to) const { return kind_->Count(from, to); }
Instant Schedule::FirstCursor(Instant created) const { return kind_->FirstCursor(created); }
double Schedule::Rate() const { return kind_->Rate(); }
Duration Schedule::Spacing() const { return kind_->Spacing(); }

Schedule Schedule::AnchoredAt(Instant anchor) const {
  auto kind = kind_->AnchoredAt(anchor);
  return kind ? Schedule(std::move(kind)) : *this;
}

std::string_view TakeWord(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace escapement
