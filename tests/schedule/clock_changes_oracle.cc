// Schedules against a walk through time: for the zones of the system's tzdata and the clock changes from 1970 to 2037,
// what Next(), Last() and Count() say of the days around a change is what a walk through them finds, minute by minute,
// and second by second around the change itself. The oracle shares no code with the library: it reads expressions by
// itself, field by field and value by value, finds the times of recurrence rules by going through all days, and asks
// the C library what the clock on the wall shows.
//
// usage: clock_changes_oracle [--full] [ZONE...]
// Without --full: some zones and changes. Exit status 1, with what differs, when something does.
#include <algorithm>
#include <bitset>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "escapement/schedule.h"
#include "tests/schedule/rrule_walk.h"

namespace {

using escapement::Duration;
using escapement::Instant;
using escapement::Schedule;
using Seconds = std::int64_t;

constexpr Seconds kDay = 86'400;
constexpr std::size_t kMost = 256;
using Marks = std::bitset<kMost>;  // which schedules

// ---------------------------------------------------------------- what expressions mean

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

int NumberOf(const std::string& word) {
  static const std::map<std::string, int> names = {{"sun", 0}, {"mon", 1},  {"tue", 2},  {"wed", 3}, {"thu", 4},
                                                   {"fri", 5}, {"sat", 6},  {"jan", 1},  {"feb", 2}, {"mar", 3},
                                                   {"apr", 4}, {"may", 5},  {"jun", 6},  {"jul", 7}, {"aug", 8},
                                                   {"sep", 9}, {"oct", 10}, {"nov", 11}, {"dec", 12}};
  const auto name = names.find(word);
  return name != names.end() ? name->second : std::stoi(word);
}

// Whether one item without marks has the value; `low` to `high` are the field's values.
bool HasValue(const std::string& item, int value, int low, int high) {
  const auto step_parts = Split(item, '/');
  const int step = step_parts.size() > 1 ? std::stoi(step_parts[1]) : 1;
  int first = low;
  int last = high;
  if (step_parts[0] != "*" && step_parts[0] != "?") {
    const auto ends = Split(step_parts[0], '-');
    first = NumberOf(ends[0]);
    last = ends.size() > 1 ? NumberOf(ends[1]) : step_parts.size() > 1 ? high : first;
  }
  // From the first on, one by one, round the end if need be.
  if (last < first) last += high - low + 1;
  for (int at = first; at <= last; at += step) {
    if ((at - low) % (high - low + 1) + low == value) return true;
  }
  return false;
}

bool FieldHas(const std::string& field, int value, int low, int high) {
  for (const std::string& item : Split(field, ',')) {
    if (HasValue(item, value, low, high)) return true;
  }
  return false;
}

struct Date {
  int year, month, day, weekday, length;  // of the month
};

Date DateOf(std::int64_t day) {
  const time_t at = day * kDay;
  tm parts{};
  gmtime_r(&at, &parts);
  Date date{parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_wday, 28};
  for (int more = 29; more <= 31; ++more) {
    const time_t then = at + (more - date.day) * kDay;
    gmtime_r(&then, &parts);
    if (parts.tm_mon + 1 == date.month) date.length = more;
  }
  return date;
}

// The workday nearest to a day of the date's month: by trying.
int WorkdayNear(const Date& date, int day) {
  for (const int by : {0, -1, 1, -2, 2}) {
    const int there = day + by;
    const int weekday = ((date.weekday + there - date.day) % 7 + 7) % 7;
    if (there >= 1 && there <= date.length && weekday != 0 && weekday != 6) return there;
  }
  return 0;
}

bool MonthDayHas(const std::string& field, const Date& date) {
  for (const std::string& item : Split(field, ',')) {
    if (item == "L") {
      if (date.day == date.length) return true;
    } else if (item == "LW") {
      int last = date.length;
      while (((date.weekday + last - date.day) % 7 + 7) % 7 == 0 || ((date.weekday + last - date.day) % 7 + 7) % 7 == 6)
        --last;
      if (date.day == last) return true;
    } else if (item.starts_with("L-")) {
      if (date.day == date.length - std::stoi(item.substr(2))) return true;
    } else if (item.back() == 'W') {
      const int day = std::stoi(item);
      if (day <= date.length && WorkdayNear(date, day) == date.day) return true;
    } else if (HasValue(item, date.day, 1, 31)) {
      return true;
    }
  }
  return false;
}

bool WeekDayHas(const std::string& field, const Date& date) {
  for (const std::string& item : Split(field, ',')) {
    if (item.back() == 'L') {
      if (NumberOf(item.substr(0, item.size() - 1)) % 7 == date.weekday && date.day + 7 > date.length) return true;
    } else if (item.find('#') != std::string::npos) {
      const auto parts = Split(item, '#');
      if (NumberOf(parts[0]) % 7 == date.weekday && (date.day - 1) / 7 + 1 == std::stoi(parts[1])) return true;
    } else if (HasValue(item, date.weekday, 0, 6) ||
               (date.weekday == 0 && item.find('*') == std::string::npos && HasValue(item, 7, 0, 7))) {
      return true;
    }
  }
  return false;
}

struct Expression {
  std::string text;
  std::vector<std::string> fields;   // second minute hour day-of-month month day-of-week year; of a rule none
  std::string start = {};            // of a rule
  std::vector<Seconds> points = {};  // all of a rule's
  std::string ScheduleIn(const std::string& zone, const std::string& gap, const std::string& fold) const {
    if (start.empty()) return fmt::format("cron {} zone={} gap={} fold={}", text, zone, gap, fold);
    return fmt::format("rrule DTSTART;TZID={}:{} RRULE:{} gap={} fold={}", zone, start, text, gap, fold);
  }
};

bool DateHas(const Expression& e, const Date& date) {
  if (!FieldHas(e.fields[4], date.month, 1, 12) || !FieldHas(e.fields[6], date.year, 1970, 9999)) return false;
  const bool month_day = MonthDayHas(e.fields[3], date);
  const bool week_day = WeekDayHas(e.fields[5], date);
  const auto is_free = [](const std::string& field) { return field[0] == '*' || field[0] == '?'; };
  return is_free(e.fields[3]) || is_free(e.fields[5]) ? month_day && week_day : month_day || week_day;
}

// ---------------------------------------------------------------- the schedules

Seconds YearBegin(int year) {
  tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mday = 1;
  return timegm(&parts);
}

std::vector<Expression> Rules() {
  const std::vector<std::pair<std::string, std::string>> rules = {
      {"FREQ=DAILY", "19700101T023000"},
      {"FREQ=DAILY;INTERVAL=3", "19700102T013000"},
      {"FREQ=DAILY;BYHOUR=2;BYMINUTE=29,30,31;BYSECOND=59;COUNT=20000", "19700101T023000"},
      {"FREQ=DAILY;BYDAY=SU;BYMONTH=3,4,9,10,11;BYHOUR=2;BYMINUTE=30", "19700101T000000"},
      {"FREQ=WEEKLY;BYDAY=SU", "19700104T020000"},
      {"FREQ=WEEKLY;INTERVAL=2;BYDAY=SA,SU;WKST=SU", "19700103T003000"},
      {"FREQ=MONTHLY;BYDAY=-1SU", "19700125T023000"},
      {"FREQ=MONTHLY;BYDAY=1SU,2SU;BYHOUR=1,2;BYMINUTE=0,30", "19700104T010000"},
      {"FREQ=MONTHLY;BYMONTHDAY=-1", "19700131T000000"},
      {"FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=-1", "19700125T020000"},
      {"FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "19700329T020000"},
      {"FREQ=YEARLY;BYMONTH=10,11;BYDAY=SU;BYHOUR=0,1,2,3", "19701004T003000"},
      {"FREQ=YEARLY;BYWEEKNO=13,43,-9;BYDAY=SU", "19700329T013000"},
      {"FREQ=YEARLY;BYYEARDAY=-65,90,300", "19700331T030000"},
      {"FREQ=HOURLY", "19700101T001500"},
      {"FREQ=HOURLY;INTERVAL=5", "19700101T003000"},
      {"FREQ=HOURLY;BYHOUR=1,2,3;BYMINUTE=0,20,40;BYSETPOS=1,-1", "19700101T010000"},
      {"FREQ=MINUTELY;INTERVAL=45", "19700101T000000"},
      {"FREQ=MINUTELY;INTERVAL=20;BYHOUR=0,1,2,3;BYSECOND=0,30", "19700101T000000"},
      {"FREQ=SECONDLY;INTERVAL=3601", "19700101T000000"}};
  std::vector<Expression> out;
  for (const auto& [rule, start] : rules) {
    tm parts{};
    strptime(start.c_str(), "%Y%m%dT%H%M%S", &parts);
    Expression& e = out.emplace_back(Expression{rule, {}, start, {}});
    e.points = rrule_walk::Walk(rule, timegm(&parts)).Until(YearBegin(2038) + 10 * kDay);
  }
  return out;
}

std::vector<Expression> Expressions() {
  std::vector<std::string> texts = {"* * * * *",
                                    "*/5 * * * *",
                                    "* 2 * * *",
                                    "*/7 1-3 * * *",
                                    "0 * * * *",
                                    "30 * * * *",
                                    "0 */2 * * *",
                                    "0 0 * * *",
                                    "30 0 * * *",
                                    "59 23 * * *",
                                    "0 1 * * *",
                                    "30 1 * * *",
                                    "0 2 * * *",
                                    "1 2 * * *",
                                    "15 2 * * *",
                                    "29 2 * * *",
                                    "30 2 * * *",
                                    "31 2 * * *",
                                    "59 2 * * *",
                                    "0 3 * * *",
                                    "1 3 * * *",
                                    "30 3 * * *",
                                    "0,30 0-4 * * *",
                                    "30 2 * * sun",
                                    "30 2 * * 7",
                                    "30 1 * * sun#1",
                                    "30 2 * * sunL",
                                    "30 2 * 3 sunL",
                                    "30 1 * 11 sun#1",
                                    "0 2 L * *",
                                    "0 0 L * *",
                                    "0 0 LW * *",
                                    "30 2 15W * *",
                                    "0 0 1W * ?",
                                    "0 0 31W * *",
                                    "0 0 L-3 * *",
                                    "30 2 13 * fri",
                                    "0 0 1,15 * mon",
                                    "0 0 */2 * mon",
                                    "0 0 29 2 *",
                                    "0 0 29 2 mon#5",
                                    "0 22-2 * * fri-mon",
                                    "50-10/5 * * * *",
                                    "45 23-1 28-3 * *",
                                    "0 0 1 1 *",
                                    "30 2 31 12 *",
                                    "0 0 30,31 * *",
                                    "15 2 * nov-feb *",
                                    "0 0 * jun-aug *",
                                    "0 12 ? * mon-fri",
                                    "0 0 ? * ?",
                                    "* * * * * *",
                                    "0 30 2 * * *",
                                    "30 30 2 * * *",
                                    "59 59 1 * * *",
                                    "0 0 2 * * *",
                                    "1 0 2 * * *",
                                    "59 59 2 * * *",
                                    "0 0 3 * * *",
                                    "*/20 59 1,2 * * *",
                                    "*/10 */10 0-3 * * *",
                                    "30 */5 * * * *",
                                    "15,45 * 2 * * *",
                                    "0 0 0 * * *",
                                    "59 59 23 * * *",
                                    "7 7 7 7 7 *",
                                    "0 30 2 ? * sun 1970-2037",
                                    "0 0 0 ? * * 2011",
                                    "0 0 12 31 12 ? *",
                                    "0 0 0 30 12 *",
                                    "0 30 1 * * sun 1970-2037/2",
                                    "0 0 2 L * ? 1980/3",
                                    "20 20 2 15W * *",
                                    "10 10 1 * * sat#2",
                                    "5 5 2 * * satL"};
  // The rest is put together from pieces, the same every time.
  const std::vector<std::string> seconds = {"0", "0", "0", "0", "30", "*/15", "59", "10-20/5", "50-5/5"};
  const std::vector<std::string> minutes = {"0",        "30", "15",    "45",     "59",   "*/30",
                                            "10-50/20", "5",  "29,31", "55-5/5", "20/20"};
  const std::vector<std::string> hours = {"0", "1", "2", "3", "23", "*", "*/3", "0-4", "22-3", "2,14", "23-2/2", "1/6"};
  const std::vector<std::string> month_days = {"*",   "*",     "?",    "*",  "1",  "L",   "15",
                                               "*/2", "10-20", "28-4", "LW", "1W", "L-1", "7/7"};
  const std::vector<std::string> months = {"*", "*", "*", "mar,apr,oct,nov", "3-11/2", "oct-apr", "*/3", "12"};
  const std::vector<std::string> week_days = {"*",     "*",       "?", "*",    "sun", "sat-mon", "1-5",
                                              "0-7/2", "fri-sun", "7", "sunL", "6#2", "*/2",     "5-1"};
  std::mt19937 random(20'261'126);  // mt19937's numbers are the same everywhere; distributions are not
  const auto pick = [&](const std::vector<std::string>& pieces) { return pieces[random() % pieces.size()]; };
  while (texts.size() < 170) {
    std::string text = random() % 3 == 0 ? pick(seconds) + " " : "";
    for (const auto* pieces : {&minutes, &hours, &month_days, &months}) text += pick(*pieces) + " ";
    texts.push_back(text + pick(week_days));
  }
  std::vector<Expression> out;
  for (const std::string& text : texts) {
    std::vector<std::string> fields = Split(text, ' ');
    if (fields.size() == 5) fields.insert(fields.begin(), "0");
    if (fields.size() == 6) fields.emplace_back("*");
    out.push_back({text, fields});
  }
  for (Expression& rule : Rules()) out.push_back(std::move(rule));
  return out;
}

struct Interval {
  Seconds length;
  Seconds phase;  // of the grid through 1970-01-01
  std::string text() const { return fmt::format("every {}s anchor=1970-01-01T00:00:00Z phase={}s", length, phase); }
};
const std::vector<Interval> kIntervals = {{60, 0},   {90, 7},      {300, 0},   {420, 61},      {1800, 900},
                                          {3600, 0}, {5400, 1234}, {7200, 59}, {86'400, 9000}, {100'000, 1}};

// One bit for each expression, by each part of a local time.
class Matcher {
 public:
  explicit Matcher(const std::vector<Expression>& expressions) : expressions_(expressions) {
    for (std::size_t i = 0; i < expressions.size(); ++i) {
      const auto& [text, fields, start, points] = expressions[i];
      if (fields.empty()) {
        by_minute_[i] = std::all_of(points.begin(), points.end(), [](Seconds at) { return at % 60 == 0; });
        continue;
      }
      for (int v = 0; v < 60; ++v) seconds_[static_cast<std::size_t>(v)][i] = FieldHas(fields[0], v, 0, 59);
      for (int v = 0; v < 60; ++v) minutes_[static_cast<std::size_t>(v)][i] = FieldHas(fields[1], v, 0, 59);
      for (int v = 0; v < 24; ++v) hours_[static_cast<std::size_t>(v)][i] = FieldHas(fields[2], v, 0, 23);
      by_minute_[i] = fields[0] == "0";
    }
  }
  // Before local times of [from, to) are asked for.
  void Enter(Seconds from, Seconds to) {
    rules_.clear();
    for (std::size_t i = 0; i < expressions_.size(); ++i) {
      const auto& points = expressions_[i].points;
      for (auto at = std::lower_bound(points.begin(), points.end(), from); at != points.end() && *at < to; ++at) {
        rules_[*at].set(i);
      }
    }
  }
  Marks At(Seconds local) {
    const Seconds day = local / kDay - (local % kDay < 0 ? 1 : 0);
    const auto time = static_cast<std::size_t>(local - day * kDay);
    Marks marks = seconds_[time % 60] & minutes_[time / 60 % 60] & hours_[time / 3600] & OfDay(day);
    if (const auto rules = rules_.find(local); rules != rules_.end()) marks |= rules->second;
    return marks;
  }
  const Marks& by_minute() const { return by_minute_; }  // those that fire at whole minutes only

 private:
  const Marks& OfDay(std::int64_t day) {
    const auto [found, fresh] = days_.try_emplace(day);
    if (fresh) {
      const Date date = DateOf(day);
      for (std::size_t i = 0; i < expressions_.size(); ++i) {
        found->second[i] = !expressions_[i].fields.empty() && DateHas(expressions_[i], date);
      }
    }
    return found->second;
  }
  const std::vector<Expression>& expressions_;
  Marks seconds_[60], minutes_[60], hours_[24], by_minute_;
  std::map<std::int64_t, Marks> days_;
  std::unordered_map<Seconds, Marks> rules_;  // by local time
};

// ---------------------------------------------------------------- the clock on the wall

void EnterZone(const std::string& zone) {
  setenv("TZ", (":" + zone).c_str(), 1);
  tzset();
}

Seconds OffsetAt(Seconds at) {
  const time_t when = at;
  tm parts{};
  localtime_r(&when, &parts);
  return parts.tm_gmtoff;
}

struct Change {
  Seconds at;
  Seconds before, after;  // offsets
};

std::vector<Change> ChangesOf(Seconds from, Seconds to) {
  constexpr Seconds kStride = 6 * 3600;
  std::vector<Change> changes;
  Seconds offset = OffsetAt(from);
  for (Seconds at = from; at < to; at += kStride) {
    const Seconds then = OffsetAt(at + kStride);
    if (then == offset) continue;
    Seconds low = at;
    Seconds high = at + kStride;
    while (high - low > 1) {
      const Seconds middle = low + (high - low) / 2;
      (OffsetAt(middle) == offset ? low : high) = middle;
    }
    changes.push_back({high, offset, then});
    offset = then;
  }
  return changes;
}

// ---------------------------------------------------------------- the walk

constexpr const char* kGaps[] = {"shift", "skip"};
constexpr const char* kFolds[] = {"first", "last", "both"};

struct Totals {
  std::int64_t zones = 0, changes = 0, instants = 0, points = 0;
};

class Walk {
 public:
  Walk(const std::vector<Expression>& expressions, Matcher* matcher, Totals* totals)
      : expressions_(expressions), matcher_(*matcher), totals_(*totals) {}

  // Goes to a zone; false if the library refuses one of the schedules there.
  void Enter(const std::string& zone) {
    zone_ = zone;
    EnterZone(zone);
    schedules_.clear();
    for (const char* gap : kGaps) {
      for (const char* fold : kFolds) {
        auto& row = schedules_.emplace_back();
        for (const Expression& e : expressions_) {
          auto schedule = Schedule::Parse(e.ScheduleIn(zone, gap, fold));
          if (!schedule && schedule.error().message.find("never fires") != std::string::npos) {
            row.emplace_back();
            continue;
          }
          if (!schedule) {
            fmt::print("{}\n", schedule.error().message);
            std::exit(1);
          }
          row.push_back(*std::move(schedule));
        }
      }
    }
    ++totals_.zones;
  }

  // The days around a change: [from, to), and by the second in [fine_from, fine_to).
  void Around(Seconds from, Seconds to, Seconds fine_from, Seconds fine_to, const std::vector<Change>& changes) {
    struct Match {
      Seconds at;
      Seconds local;
    };
    std::vector<std::vector<Match>> matches(expressions_.size());
    matcher_.Enter(from - 2 * kDay, to + 2 * kDay);
    for (Seconds at = from; at < to;) {
      const Seconds local = at + OffsetAt(at);
      const bool fine = at >= fine_from && at < fine_to;
      ++totals_.instants;
      Marks marks = matcher_.At(local);
      if (!fine) marks &= matcher_.by_minute();
      for (std::size_t i = marks._Find_first(); i < kMost; i = marks._Find_next(i)) matches[i].push_back({at, local});
      if (fine) {
        ++at;
      } else {
        const Seconds past = (local % 60 + 60) % 60;
        const Seconds next = at + 60 - past;
        at = at < fine_from ? std::min(next, fine_from) : next;
      }
    }
    // What the changes skip.
    std::vector<std::pair<Seconds, Marks>> skipped;
    for (const Change& change : changes) {
      if (change.at < from || change.at >= to || change.after <= change.before) continue;
      Marks marks;
      for (Seconds local = change.at + change.before; local < change.at + change.after; ++local)
        marks |= matcher_.At(local);
      skipped.emplace_back(change.at, marks);
    }
    for (std::size_t i = 0; i < expressions_.size(); ++i) {
      const bool coarse = matcher_.by_minute()[i];
      const Seconds begin = coarse ? from : fine_from;
      const Seconds end = coarse ? to : fine_to;
      if (begin >= end) continue;
      // How often each local time comes.
      std::map<Seconds, std::vector<Seconds>> times;
      for (const Match& m : matches[i]) times[m.local].push_back(m.at);
      for (std::size_t policy = 0; policy < schedules_.size(); ++policy) {
        std::set<Seconds> expected;
        for (const auto& [local, at] : times) {
          switch (policy % 3) {
            case 0: expected.insert(at.front()); break;
            case 1: expected.insert(at.back()); break;
            default: expected.insert(at.begin(), at.end());
          }
        }
        if (policy < 3) {
          for (const auto& [at, marks] : skipped) {
            if (marks[i] && at >= begin && at < end) expected.insert(at);
          }
        }
        if (schedules_[policy][i]) {
          Compare(*schedules_[policy][i], expected, begin, end);
        } else if (!expected.empty()) {
          Differs(expressions_[i].text, "it is refused as one that never fires, and it fires", *expected.begin());
        }
      }
    }
    for (const Interval& interval : kIntervals) {
      std::set<Seconds> expected;
      for (Seconds at = from; at < to; ++at) {
        if (at >= 0 && at % interval.length == interval.phase) expected.insert(at);
      }
      Compare(Schedule::Parse(interval.text()).value(), expected, from, to);
    }
  }

 private:
  static Instant InstantOf(Seconds at) { return Instant(std::chrono::seconds(at)); }

  void Differs(const std::string& schedule, const std::string& what, Seconds at) {
    fmt::print("{}: {} in {}\n", escapement::FormatInstant(InstantOf(at)), what, zone_);
    fmt::print("  {}\n", schedule);
    std::exit(1);
  }

  void Compare(const Schedule& schedule, const std::set<Seconds>& expected, Seconds begin, Seconds end) {
    const auto wrong = [&](const char* question, std::optional<Instant> said, const std::string& found, Seconds at) {
      Differs(schedule.ToString(),
              fmt::format("{} says {}, the walk {}", question, said ? escapement::FormatInstant(*said) : "none", found),
              at);
    };
    totals_.points += static_cast<std::int64_t>(expected.size());
    Instant at = InstantOf(begin) - Duration(1);
    for (const Seconds point : expected) {
      const auto next = schedule.Next(at);
      if (next != InstantOf(point)) wrong("Next", next, escapement::FormatInstant(InstantOf(point)), point);
      at = *next;
    }
    if (const auto next = schedule.Next(at); next && *next < InstantOf(end)) wrong("Next", next, "no more", end);
    at = InstantOf(end);
    for (auto point = expected.rbegin(); point != expected.rend(); ++point) {
      const auto last = schedule.Last(at);
      if (last != InstantOf(*point)) wrong("Last", last, escapement::FormatInstant(InstantOf(*point)), *point);
      at = *last;
    }
    if (const auto last = schedule.Last(at); last && *last >= InstantOf(begin))
      wrong("Last", last, "no earlier one", begin);
    const std::int64_t count = schedule.Count(InstantOf(begin), InstantOf(end));
    if (count != static_cast<std::int64_t>(expected.size())) {
      Differs(schedule.ToString(), fmt::format("Count says {}, the walk {}", count, expected.size()), begin);
    }
  }

  const std::vector<Expression>& expressions_;
  Matcher& matcher_;
  Totals& totals_;
  std::string zone_;
  std::vector<std::vector<std::optional<Schedule>>> schedules_;  // by policy
};

// One name for each set of rules: links have the same bytes.
std::vector<std::string> AllZones() {
  namespace fs = std::filesystem;
  const fs::path root = getenv("TZDIR") != nullptr ? getenv("TZDIR") : "/usr/share/zoneinfo";
  std::map<std::string, std::string> by_bytes;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string name = fs::relative(entry.path(), root).string();
    if (!entry.is_regular_file() || name.starts_with("right/") || name.starts_with("posix/")) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (!bytes.starts_with("TZif")) continue;
    auto& kept = by_bytes[std::move(bytes)];
    if (kept.empty() || name < kept) kept = name;
  }
  std::vector<std::string> zones;
  for (auto& [bytes, name] : by_bytes) zones.push_back(name);
  std::sort(zones.begin(), zones.end());
  return zones;
}

// Zones that have little in common, and a year that shows it.
const std::vector<std::pair<const char*, int>> kYears = {
    {"Europe/Berlin", 2026},   {"America/New_York", 2026},  {"Australia/Lord_Howe", 2026}, {"Africa/Casablanca", 2026},
    {"Pacific/Apia", 2011},    {"America/Sao_Paulo", 2018}, {"Antarctica/Troll", 2026},    {"Asia/Tehran", 2021},
    {"America/Caracas", 2016}, {"Africa/Monrovia", 1972}};

void Run(bool full, const std::vector<std::string>& only) {
  const std::vector<Expression> expressions = Expressions();
  Matcher matcher(expressions);
  Totals totals;
  Walk walk(expressions, &matcher, &totals);
  std::vector<std::string> zones = only;
  if (zones.empty() && full) zones = AllZones();
  if (zones.empty()) {
    for (const auto& [zone, year] : kYears) zones.emplace_back(zone);
  }
  const Seconds first = YearBegin(1970);
  const Seconds end = YearBegin(2038);
  for (const std::string& zone : zones) {
    walk.Enter(zone);
    const std::vector<Change> changes = ChangesOf(first + 3 * kDay, end);
    for (std::size_t i = 0; i < changes.size(); ++i) {
      // Of each zone three: of those that differ, in years that differ.
      if (!full && only.empty() && i % (changes.size() / 3 + 1) != i / (changes.size() / 3 + 1)) continue;
      const Change& c = changes[i];
      const Seconds size = std::abs(c.after - c.before);
      ++totals.changes;
      walk.Around(c.at - size - kDay, c.at + size + kDay, c.at - size - 1800, c.at + size + 1800, changes);
    }
    if (full) fmt::print("{}: {} changes\n", zone, changes.size());
  }
  if (full && only.empty()) {
    for (const auto& [zone, year] : kYears) {
      walk.Enter(zone);
      walk.Around(YearBegin(year), YearBegin(year + 1), 0, 0, ChangesOf(YearBegin(year), YearBegin(year + 1)));
      fmt::print("{}: all of {}\n", zone, year);
    }
  }
  fmt::print("{} zones, {} changes, {} schedules, 6 policies: {} instants walked, {} points agree\n", totals.zones,
             totals.changes, expressions.size() + kIntervals.size(), totals.instants, totals.points);
  std::exit(totals.points > 0 && (!only.empty() || totals.changes > 0) ? 0 : 1);
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  bool full = false;
  std::vector<std::string> only;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--full") {
      full = true;
    } else {
      only.emplace_back(argv[i]);
    }
  }
  Run(full, only);
}
