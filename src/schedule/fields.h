// The fields of cron expressions and calendar schedules, read into masks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "escapement/status.h"
#include "schedule/pattern.h"

namespace escapement {

enum class FieldKind {
  kSecond,
  kMinute,
  kHour,
  kMonthDay,
  kMonth,
  kWeekDay,
  kYear,
  kWeek,
  kCalendarDay,
  kCalendarWeekDay
};

// Reads fields that are parts of one text: errors name the field, the column in that text, and what is allowed.
class FieldReader {
 public:
  // `whole`: what columns count in. `seed`: what H is made of.
  FieldReader(std::string_view whole, std::uint64_t seed) : whole_(whole), seed_(seed) {}

  // Sets the part of the pattern that the field is about.
  [[nodiscard]] Status Read(FieldKind kind, std::string_view text, Pattern* pattern);

  // One of the fields so far had an H.
  bool hashed() const { return hashed_; }
  // The field as it is written best: names in small letters, marks in capitals, no blanks but between words.
  static std::string Canonical(FieldKind kind, std::string_view text);
  static std::string_view NameOf(FieldKind kind);

  tl::unexpected<Error> Wrong(std::string_view where, std::string_view why) const;

 private:
  struct Rule;
  struct Item;
  static const Rule& RuleOf(FieldKind kind);

  tl::unexpected<Error> WrongIn(std::string_view where, std::string_view why) const;
  Status ReadItem(std::string_view item, Pattern* pattern);
  Result<bool> ReadDayMark(std::string_view item, DaySet* days) const;
  Result<bool> ReadWeekdayMark(std::string_view item, DaySet* days) const;
  Result<bool> ReadDayWords(std::string_view item, DaySet* days) const;
  Result<int> TakeValue(std::string_view* rest) const;
  Result<int> TakeNumber(std::string_view* rest, int low, int high) const;
  Result<Item> TakeHash(std::string_view* rest);
  Status Put(const Item& item, Pattern* pattern) const;

  std::string_view whole_;
  std::uint64_t seed_;
  bool hashed_ = false;
  const Rule* rule_ = nullptr;  // of the field that is being read
};

// Of a job's id, for FieldReader: the same on every machine and in every version.
std::uint64_t SeedOf(std::string_view id);

}  // namespace escapement
