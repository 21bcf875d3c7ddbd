// What an RRULE of iCalendar means, found by walking through all its years, months, weeks, days, ... one by one. It
// shares no code with the library: it reads rules by itself and asks the C library for dates.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <vector>

namespace rrule_walk {

using Seconds = std::int64_t;
constexpr Seconds kDayLength = 86'400;

inline std::vector<std::string> Parts(const std::string& text, char separator) {
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

struct Day {
  std::int64_t number = 0;  // since 1970-01-01
  int year = 0, month = 0, day = 0, weekday = 0, month_length = 0;
  int year_day = 0, year_length = 0;  // from 1
};

inline Day DayOf(std::int64_t number) {
  const auto at = [](std::int64_t n) {
    const time_t when = n * kDayLength;
    tm parts{};
    gmtime_r(&when, &parts);
    return parts;
  };
  const tm parts = at(number);
  Day day{number, parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_wday, 28, parts.tm_yday + 1, 365};
  while (at(number - parts.tm_mday + 1 + day.month_length).tm_mon == parts.tm_mon) ++day.month_length;
  if (at(number - parts.tm_yday + 365).tm_year == parts.tm_year) day.year_length = 366;
  return day;
}

class Walk {
 public:
  // "FREQ=MONTHLY;BYDAY=1FR" without UNTIL, and the local time at which it starts.
  Walk(const std::string& rule, Seconds start) : start_(start), first_(DayOf(start / kDayLength)) {
    for (const std::string& part : Parts(rule, ';')) {
      const auto sides = Parts(part, '=');
      for (const std::string& value : Parts(sides[1], ',')) {
        given_[sides[0]].push_back(value);
        if (sides[0].starts_with("BY") && sides[0] != "BYDAY") numbers_[sides[0]].push_back(std::stoi(value));
      }
    }
    frequency_ = given_["FREQ"][0];
    interval_ = Has("INTERVAL") ? std::stoi(given_["INTERVAL"][0]) : 1;
    week_start_ = Has("WKST") ? WeekdayNumber(given_["WKST"][0]) : 1;
  }

  // All points before `end`.
  std::vector<Seconds> Until(Seconds end) {
    std::size_t most = SIZE_MAX;
    if (Has("COUNT")) most = std::stoul(given_["COUNT"][0]);
    const Seconds unit = frequency_ == "HOURLY"     ? 3600
                         : frequency_ == "MINUTELY" ? 60
                         : frequency_ == "SECONDLY" ? 1
                                                    : 0;
    if (unit != 0) {
      for (Seconds at = start_ / unit * unit; at < end && points_.size() < most; at += unit * interval_) {
        Take(TimesWithin(at, unit), end, most);
      }
      return points_;
    }
    const std::int64_t first_period = PeriodOf(first_);
    std::int64_t period = 0;
    std::vector<Day> days;  // of the period
    // From well before the year of the start, which by weeks begins in the December before.
    for (std::int64_t n = first_.number - 380; points_.size() < most; ++n) {
      const Day day = DayOf(n);
      const std::int64_t its = PeriodOf(day);
      if (!days.empty() && its != period) {
        TakePeriod(days, period - first_period, end, most);
        if (days.front().number * kDayLength >= end) break;
        days.clear();
      }
      period = its;
      days.push_back(day);
    }
    return points_;
  }

 private:
  bool Has(const std::string& name) const { return given_.contains(name); }
  static int WeekdayNumber(const std::string& name) {
    const std::vector<std::string> names = {"SU", "MO", "TU", "WE", "TH", "FR", "SA"};
    return static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
  }
  bool Lists(const std::string& name, int value) const {
    const auto& values = numbers_.at(name);
    return std::find(values.begin(), values.end(), value) != values.end();
  }

  std::int64_t WeekFirst(const Day& day) const { return day.number - (day.weekday - week_start_ + 7) % 7; }
  // The year that has most days of its week.
  int WeekYear(const Day& day) const { return DayOf(WeekFirst(day) + 3).year; }

  std::int64_t PeriodOf(const Day& day) const {
    if (frequency_ == "YEARLY") return Has("BYWEEKNO") ? WeekYear(day) : day.year;
    if (frequency_ == "MONTHLY") return day.year * 12 + day.month;
    if (frequency_ == "WEEKLY") return (WeekFirst(day) + 70'000'000) / 7;
    return day.number;
  }

  bool DayCounts(const Day& day) const {
    const bool no_day = !Has("BYDAY") && !Has("BYMONTHDAY") && !Has("BYYEARDAY") && !Has("BYWEEKNO");
    if (Has("BYMONTH") && !Lists("BYMONTH", day.month)) return false;
    if (frequency_ == "YEARLY" && no_day && !Has("BYMONTH") && day.month != first_.month) return false;
    if ((frequency_ == "YEARLY" || frequency_ == "MONTHLY") && no_day && day.day != first_.day) return false;
    if (frequency_ == "WEEKLY" && !Has("BYDAY") && day.weekday != first_.weekday) return false;
    if (Has("BYMONTHDAY") && !Lists("BYMONTHDAY", day.day) && !Lists("BYMONTHDAY", day.day - day.month_length - 1)) {
      return false;
    }
    if (Has("BYYEARDAY") && !Lists("BYYEARDAY", day.year_day) &&
        !Lists("BYYEARDAY", day.year_day - day.year_length - 1)) {
      return false;
    }
    if (Has("BYWEEKNO")) {
      // Counted from the first week of the year on, and from the last back.
      const int year = WeekYear(day);
      int week = 1, from_last = 1;
      for (std::int64_t n = WeekFirst(day) - 7; WeekYear(DayOf(n)) == year; n -= 7) ++week;
      for (std::int64_t n = WeekFirst(day) + 7; WeekYear(DayOf(n)) == year; n += 7) ++from_last;
      if (!Lists("BYWEEKNO", week) && !Lists("BYWEEKNO", -from_last)) return false;
      if (!Has("BYDAY") && !Has("BYMONTHDAY") && !Has("BYYEARDAY") && day.weekday != first_.weekday) return false;
    }
    return !Has("BYDAY") || WeekdayCounts(day);
  }

  bool WeekdayCounts(const Day& day) const {
    const bool of_year = frequency_ == "YEARLY" && !Has("BYMONTH");
    const int at = of_year ? day.year_day : day.day;
    const int length = of_year ? day.year_length : day.month_length;
    for (const std::string& item : given_.at("BYDAY")) {
      if (WeekdayNumber(item.substr(item.size() - 2)) != day.weekday) continue;
      if (item.size() == 2) return true;
      const int nth = std::stoi(item);
      if (nth == (at - 1) / 7 + 1 || nth == -((length - at) / 7 + 1)) return true;
    }
    return false;
  }

  // Those of a part by time, else the start's.
  std::vector<int> Values(const std::string& name, Seconds of_start) const {
    std::vector<int> values;
    if (!Has(name)) return {static_cast<int>(of_start)};
    for (int v = 0; v < 60; ++v) {
      if (Lists(name, v)) values.push_back(v);
    }
    return values;
  }
  std::vector<int> Hours() const { return Values("BYHOUR", start_ / 3600 % 24); }
  std::vector<int> Minutes() const { return Values("BYMINUTE", start_ / 60 % 60); }
  std::vector<int> OfSeconds() const { return Values("BYSECOND", start_ % 60); }

  void TakePeriod(const std::vector<Day>& days, std::int64_t number, Seconds end, std::size_t most) {
    if (number < 0 || number % interval_ != 0) return;
    std::vector<Seconds> points;
    for (const Day& day : days) {
      if (!DayCounts(day)) continue;
      for (const int h : Hours()) {
        for (const int m : Minutes()) {
          for (const int s : OfSeconds()) points.push_back(day.number * kDayLength + h * 3600 + m * 60 + s);
        }
      }
    }
    Take(points, end, most);
  }

  // Of an hour, a minute or a second.
  std::vector<Seconds> TimesWithin(Seconds at, Seconds unit) {
    if (cached_.number != at / kDayLength || !is_cached_) {
      cached_ = DayOf(at / kDayLength);
      cached_counts_ = DayCounts(cached_);
      is_cached_ = true;
    }
    if (!cached_counts_ || (Has("BYHOUR") && !Lists("BYHOUR", static_cast<int>(at / 3600 % 24)))) return {};
    if (unit < 3600 && Has("BYMINUTE") && !Lists("BYMINUTE", static_cast<int>(at / 60 % 60))) return {};
    if (unit == 1) {
      if (Has("BYSECOND") && !Lists("BYSECOND", static_cast<int>(at % 60))) return {};
      return {at};
    }
    std::vector<Seconds> points;
    for (const int m : unit == 60 ? std::vector<int>{0} : Minutes()) {
      for (const int s : OfSeconds()) points.push_back(at + m * 60 + s);
    }
    return points;
  }

  void Take(const std::vector<Seconds>& of_period, Seconds end, std::size_t most) {
    const auto size = static_cast<int>(of_period.size());
    for (int i = 0; i < size; ++i) {
      if (Has("BYSETPOS") && !Lists("BYSETPOS", i + 1) && !Lists("BYSETPOS", i - size)) continue;
      const Seconds at = of_period[static_cast<std::size_t>(i)];
      if (at >= start_ && at < end && points_.size() < most) points_.push_back(at);
    }
  }

  Seconds start_;
  Day first_;
  std::map<std::string, std::vector<std::string>> given_;
  std::map<std::string, std::vector<int>> numbers_;
  std::string frequency_;
  int interval_ = 1;
  int week_start_ = 1;
  std::vector<Seconds> points_;
  Day cached_;
  bool is_cached_ = false, cached_counts_ = false;
};

}  // namespace rrule_walk
