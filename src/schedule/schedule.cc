#include "escapement/schedule.h"

#include <algorithm>

#include <fmt/format.h>

#include "schedule/kind.h"
#include "time/quoted.h"

namespace escapement {

namespace {

constexpr std::size_t kLongestText = 4096;

// A line as a crontab has it, without the word cron.
bool IsCrontabLine(std::string_view word) {
  return word.starts_with("CRON_TZ=") || word.starts_with("TZ=") ||
         (!word.empty() && (word.front() == '@' || word.front() == '*' ||
                            (word.front() >= '0' && word.front() <= '9') || word.front() == 'H'));
}

// The properties of iCalendar, on one line or on several, with the word rrule or without.
bool IsRrule(std::string_view text) {
  text = text.substr(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \t\r\n"));
  return word == "rrule" || word.starts_with("DTSTART") || word.starts_with("RRULE:");
}

Result<Schedule> ParseKind(std::string_view text) {
  if (text.size() > kLongestText) return Fail(Code::kInvalidArgument, "is longer than 4096 bytes");
  std::string_view rest = text;
  const std::string_view kind = TakeWord(rest);
  if (kind == "at") return ParseAt(rest);
  if (kind == "in") return ParseIn(rest);
  if (kind == "manual") return ParseManual(rest);
  if (kind == "delay") return ParseDelay(rest);
  std::string plain(text);
  const auto bounds = TakeBounds(&plain, /*with_end=*/kind != "every");
  if (!bounds) return tl::unexpected(bounds.error());
  const std::string_view whole = plain;
  rest = whole;
  TakeWord(rest);
  const auto schedule = [&]() -> Result<Schedule> {
    if (kind == "every") return ParseEvery(rest);
    if (kind == "cron") return ParseCron(whole, rest);
    if (kind == "calendar") return ParseCalendar(whole, rest);
    if (IsRrule(whole)) return ParseRrule(whole);
    if (IsCrontabLine(kind)) return ParseCron(whole, whole);
    return Fail(Code::kInvalidArgument,
                "must begin with 'every', 'delay', 'at', 'in', 'cron', 'calendar', 'rrule' or 'manual', for example "
                "'every 1s', "
                "'delay 10m', 'at 2026-11-24T10:00:00Z', 'in 10m', 'cron 0 3 * * mon-fri zone=Europe/Berlin', "
                "'calendar day=last fri "
                "hour=17' or 'rrule DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=WEEKLY;BYDAY=MO,FR'");
  }();
  return schedule ? MakeBounded(*schedule, *bounds) : schedule;
}

}  // namespace

Result<Schedule> Schedule::Parse(std::string_view text) {
  Result<Schedule> schedule = ParseKind(text);
  if (!schedule) return FailIn(fmt::format("schedule '{}'", Quoted(text, 200)), schedule.error());
  return schedule;
}

std::string Schedule::ToString() const { return kind_->ToString(); }
std::string Schedule::Describe() const { return kind_->Describe(); }
std::string Schedule::ZoneName() const { return kind_->ZoneName(); }
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

Schedule Schedule::ForJob(std::string_view id) const {
  auto kind = kind_->ForJob(id);
  return kind ? Schedule(std::move(kind)) : *this;
}

Result<Schedule> Schedule::WithTzdata(const std::string& directory) const {
  auto kind = kind_->WithTzdata(directory);
  if (!kind) return tl::unexpected(kind.error());
  return *kind ? Schedule(*std::move(kind)) : *this;
}

std::string_view TakeWord(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace escapement
