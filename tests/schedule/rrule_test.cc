// Recurrence rules: the examples of RFC 5545, a walk through time, and libical where it is right.
#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libical/ical.h>
#include <rapidcheck/gtest.h>

#include "escapement/schedule.h"
#include "tests/schedule/rrule_walk.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

Instant At(std::string_view text) { return ParseInstant(text).value(); }
Instant InstantOf(rrule_walk::Seconds at) { return Instant(std::chrono::seconds(at)); }

// The first n points, as days if they all are at the same time.
std::vector<std::string> Points(const std::string& text, int n, bool days = false) {
  const auto schedule = Schedule::Parse(text);
  if (!schedule) return {schedule.error().message};
  std::vector<std::string> points;
  Instant at = Instant() - 1us;
  for (int i = 0; i < n; ++i) {
    const auto next = schedule->Next(at);
    if (!next) break;
    points.push_back(FormatInstant(*next).substr(0, days ? 10 : std::string::npos));
    at = *next;
  }
  return points;
}
std::vector<std::string> Days(const std::string& text, int n) { return Points(text, n, true); }

std::string ErrorOf(const std::string& text) {
  const auto schedule = Schedule::Parse(text);
  if (schedule) return schedule->ToString() + " was read";
  EXPECT_EQ(schedule.error().code, Code::kInvalidArgument);
  return schedule.error().message;
}

const std::string kStart = "rrule DTSTART:19970902T090000Z RRULE:";

TEST(Rrule, FiresAsTheExamplesOfRfc5545) {
  EXPECT_THAT(Days(kStart + "FREQ=DAILY;COUNT=3", 9), ElementsAre("1997-09-02", "1997-09-03", "1997-09-04"));
  EXPECT_EQ(Days(kStart + "FREQ=DAILY;UNTIL=19971224T000000Z", 999).size(), 113);
  EXPECT_THAT(Days(kStart + "FREQ=DAILY;INTERVAL=10;COUNT=5", 9),
              ElementsAre("1997-09-02", "1997-09-12", "1997-09-22", "1997-10-02", "1997-10-12"));
  EXPECT_THAT(Days(kStart + "FREQ=WEEKLY;INTERVAL=2;WKST=SU", 4),
              ElementsAre("1997-09-02", "1997-09-16", "1997-09-30", "1997-10-14"));
  EXPECT_THAT(Days(kStart + "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR", 4),
              ElementsAre("1997-09-03", "1997-09-05", "1997-09-15", "1997-09-17"));
  EXPECT_THAT(Days("rrule DTSTART:19970805T090000Z RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", 9),
              ElementsAre("1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"));
  EXPECT_THAT(Days("rrule DTSTART:19970805T090000Z RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", 9),
              ElementsAre("1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"));
  EXPECT_THAT(Days("rrule DTSTART:19970905T090000Z RRULE:FREQ=MONTHLY;COUNT=4;BYDAY=1FR", 9),
              ElementsAre("1997-09-05", "1997-10-03", "1997-11-07", "1997-12-05"));
  EXPECT_THAT(Days("rrule DTSTART:19970907T090000Z RRULE:FREQ=MONTHLY;INTERVAL=2;COUNT=4;BYDAY=1SU,-1SU", 9),
              ElementsAre("1997-09-07", "1997-09-28", "1997-11-02", "1997-11-30"));
  EXPECT_THAT(Days("rrule DTSTART:19970922T090000Z RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=-2MO", 9),
              ElementsAre("1997-09-22", "1997-10-20", "1997-11-17"));
  EXPECT_THAT(Days("rrule DTSTART:19970928T090000Z RRULE:FREQ=MONTHLY;BYMONTHDAY=-3", 3),
              ElementsAre("1997-09-28", "1997-10-29", "1997-11-28"));
  EXPECT_THAT(Days("rrule DTSTART:19970930T090000Z RRULE:FREQ=MONTHLY;COUNT=4;BYMONTHDAY=1,-1", 9),
              ElementsAre("1997-09-30", "1997-10-01", "1997-10-31", "1997-11-01"));
  EXPECT_THAT(Days("rrule DTSTART:19970610T090000Z RRULE:FREQ=YEARLY;COUNT=4;BYMONTH=6,7", 9),
              ElementsAre("1997-06-10", "1997-07-10", "1998-06-10", "1998-07-10"));
  EXPECT_THAT(Days("rrule DTSTART:19970101T090000Z RRULE:FREQ=YEARLY;INTERVAL=3;COUNT=5;BYYEARDAY=1,100,200", 9),
              ElementsAre("1997-01-01", "1997-04-10", "1997-07-19", "2000-01-01", "2000-04-09"));
  EXPECT_THAT(Days("rrule DTSTART:19970519T090000Z RRULE:FREQ=YEARLY;BYDAY=20MO", 3),
              ElementsAre("1997-05-19", "1998-05-18", "1999-05-17"));
  EXPECT_THAT(Days("rrule DTSTART:19970512T090000Z RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", 3),
              ElementsAre("1997-05-12", "1998-05-11", "1999-05-17"));
  EXPECT_THAT(Days("rrule DTSTART:19970313T090000Z RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=TH", 4),
              ElementsAre("1997-03-13", "1997-03-20", "1997-03-27", "1998-03-05"));
  EXPECT_THAT(
      Days("rrule DTSTART:19970902T090000Z EXDATE:19970902T090000Z RRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", 3),
      ElementsAre("1998-02-13", "1998-03-13", "1998-11-13"));
  EXPECT_THAT(Days("rrule DTSTART:19961105T090000Z "
                   "RRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
                   3),
              ElementsAre("1996-11-05", "2000-11-07", "2004-11-02"));
  EXPECT_THAT(Days("rrule DTSTART:19970904T090000Z RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", 9),
              ElementsAre("1997-09-04", "1997-10-07", "1997-11-06"));
  EXPECT_THAT(Days("rrule DTSTART:19970929T090000Z RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", 4),
              ElementsAre("1997-09-29", "1997-10-30", "1997-11-27", "1997-12-30"));
  EXPECT_THAT(Points(kStart + "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z", 9),
              ElementsAre("1997-09-02T09:00:00Z", "1997-09-02T12:00:00Z", "1997-09-02T15:00:00Z"));
  EXPECT_THAT(Points(kStart + "FREQ=MINUTELY;INTERVAL=90;COUNT=3", 9),
              ElementsAre("1997-09-02T09:00:00Z", "1997-09-02T10:30:00Z", "1997-09-02T12:00:00Z"));
  EXPECT_EQ(Points(kStart + "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40", 100),
            Points(kStart + "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16", 100));
  EXPECT_THAT(Days("rrule DTSTART:20070115T090000Z RRULE:FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=4", 9),
              ElementsAre("2007-01-15", "2007-01-30", "2007-02-15", "2007-03-15"));
}

TEST(Rrule, HasMoreDatesAndExceptions) {
  const std::string text =
      "DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=WEEKLY;COUNT=3 "
      "RDATE;TZID=Europe/Berlin:20260103T120000,20260101T090000 RDATE:20260104T110000Z "
      "EXDATE;TZID=Europe/Berlin:20260108T090000,20260109T090000";
  EXPECT_THAT(Points(text, 9), ElementsAre("2026-01-01T08:00:00Z", "2026-01-03T11:00:00Z", "2026-01-04T11:00:00Z",
                                           "2026-01-15T08:00:00Z"));
  const auto schedule = Schedule::Parse(text).value();
  EXPECT_EQ(schedule.ToString(), "rrule " + text);
  EXPECT_EQ(schedule.Count(Instant(), At("2027-01-01T00:00:00Z")), 4);
  EXPECT_EQ(schedule.Last(At("2026-01-15T08:00:00Z")), At("2026-01-04T11:00:00Z"));
  EXPECT_THAT(Points("rrule DTSTART:20260301T100000Z RDATE:20260101T100000Z,20260401T100000Z", 9),
              ElementsAre("2026-01-01T10:00:00Z", "2026-03-01T10:00:00Z", "2026-04-01T10:00:00Z"));
  EXPECT_THAT(Points("rrule DTSTART;VALUE=DATE:20260301 RRULE:FREQ=DAILY EXDATE;VALUE=DATE:20260302", 2),
              ElementsAre("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"));
}

TEST(Rrule, ReadsWhatACalendarExports) {
  const auto schedule = Schedule::Parse(
      "DTSTART;TZID=Europe/Berlin:20260101T090000\r\nRRULE:FREQ=MONTHLY;BY\r\n DAY=1FR\r\n"
      "EXDATE;TZID=Europe/Berlin:20260102T090000\r\n");
  ASSERT_TRUE(schedule) << schedule.error().message;
  EXPECT_EQ(schedule->ToString(),
            "rrule DTSTART;TZID=Europe/Berlin:20260101T090000 RRULE:FREQ=MONTHLY;BYDAY=1FR "
            "EXDATE;TZID=Europe/Berlin:20260102T090000");
  EXPECT_EQ(schedule->Next(Instant()), At("2026-02-06T08:00:00Z"));
  EXPECT_EQ(Schedule::Parse("dtstart:20260101t090000 rrule:freq=daily").has_value(), false)
      << "it needs the word rrule";
  EXPECT_EQ(Schedule::Parse("rrule dtstart:20260101t090000 rrule:freq=daily zone=Asia/Tokyo").value().ToString(),
            "rrule DTSTART:20260101T090000 RRULE:FREQ=DAILY zone=Asia/Tokyo");
}

TEST(Rrule, GoesByItsZone) {
  EXPECT_THAT(Points("rrule DTSTART;TZID=Europe/Berlin:20260328T023000 RRULE:FREQ=DAILY", 3),
              ElementsAre("2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"));
  EXPECT_THAT(Points("rrule DTSTART;TZID=Europe/Berlin:20260328T023000 RRULE:FREQ=DAILY gap=skip", 2),
              ElementsAre("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"));
  EXPECT_THAT(Points("rrule DTSTART:20261025T023000 RRULE:FREQ=YEARLY zone=Europe/Berlin fold=both", 2),
              ElementsAre("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"));
  EXPECT_THAT(Points("rrule DTSTART;TZID=America/New_York:20261231T230000 RRULE:FREQ=DAILY;UNTIL=20270102T040000Z", 9),
              ElementsAre("2027-01-01T04:00:00Z", "2027-01-02T04:00:00Z"))
      << "an UNTIL in UTC is what clocks show then";
}

TEST(Rrule, EndsWithItsUntilAndItsCount) {
  EXPECT_THAT(Days(kStart + "FREQ=DAILY;UNTIL=19970903", 9), ElementsAre("1997-09-02", "1997-09-03"))
      << "a day is meant whole";
  EXPECT_THAT(Days(kStart + "FREQ=DAILY;UNTIL=19970903T090000", 9), ElementsAre("1997-09-02", "1997-09-03"));
  EXPECT_THAT(Days(kStart + "FREQ=DAILY;UNTIL=19970903T085959", 9), ElementsAre("1997-09-02"));
  const auto schedule = Schedule::Parse(kStart + "FREQ=SECONDLY;COUNT=1000000000").value();
  EXPECT_EQ(schedule.Last(At("9999-01-01T00:00:00Z")), At("1997-09-02T09:00:00Z") + 999'999'999s);
  EXPECT_EQ(schedule.Next(At("1997-09-02T09:00:00Z") + 999'999'999s), std::nullopt);
  EXPECT_THAT(Days("rrule DTSTART:19970902T090000Z RRULE:FREQ=DAILY count=2 start=1999-01-01T00:00:00Z", 9),
              ElementsAre("1999-01-01", "1999-01-02"));
}

TEST(Rrule, IsSaidInWords) {
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"FREQ=DAILY", "every day at 09:00, from 1997-09-02 09:00, UTC"},
           {"FREQ=MONTHLY;INTERVAL=2;BYDAY=1FR,-1SU;COUNT=10",
            "every 2 months on the 1st Friday and the last Sunday at 09:00, from 1997-09-02 09:00, 10 times, UTC"},
           {"FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;UNTIL=20301231T000000Z",
            "every week on Monday to Friday at 09:00, from 1997-09-02 09:00, until 2030-12-31 00:00 UTC, UTC"},
           {"FREQ=YEARLY;BYMONTH=1,2;BYMONTHDAY=1,-1;BYHOUR=6,18",
            "every year on the 1st and the last day of the month in January and February at 06:00 and 18:00, from "
            "1997-09-02 09:00, UTC"},
           {"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "every month the last of all on Monday to Friday at 09:00, from 1997-09-02 09:00, UTC"},
           {"FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11",
            "every 20 minutes, every minute of hours 9 to 11, from 1997-09-02 09:00, UTC"},
           {"FREQ=HOURLY", "every hour at minute 0, from 1997-09-02 09:00, UTC"},
       }) {
    const auto schedule = Schedule::Parse(kStart + text);
    ASSERT_TRUE(schedule) << schedule.error().message;
    EXPECT_EQ(schedule->Describe(), words);
  }
}

TEST(Rrule, SaysWhatIsWrong) {
  for (const auto& [text, parts] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"rrule", {"DTSTART is missing"}},
           {"rrule RRULE:FREQ=DAILY", {"DTSTART is missing"}},
           {"rrule DTSTART", {"DTSTART, column 7", "':'"}},
           {"rrule DTSTART:", {"DTSTART, column 15", "''"}},
           {"rrule DTSTART:20260230T090000", {"DTSTART, column 15", "'20260230T090000'"}},
           {"rrule DTSTART:20260101T240000", {"DTSTART, column 15"}},
           {"rrule DTSTART:19690101T000000", {"1970 to 9999"}},
           {"rrule DTSTART;TZID=UTC:20260101T090000Z", {"DTSTART, column", "no TZID"}},
           {"rrule DTSTART;TZID=Mars/Olympus:20260101T090000 RRULE:FREQ=DAILY", {"zone", "Mars/Olympus"}},
           {"rrule DTSTART;TZID=UTC:20260101T090000 zone=Asia/Tokyo", {"given twice"}},
           {"rrule DTSTART;RANGE=ALL:20260101T090000", {"column 15", "RANGE=ALL"}},
           {"rrule DTSTART:20260101T090000 DTSTART:20260101T090000", {"column 31", "twice"}},
           {"rrule DTSTART:20260101T090000 EXRULE:FREQ=DAILY", {"column 31", "'EXRULE'", "EXDATE"}},
           {"rrule DTSTART:20260101T090000 RDATE;TZID=Asia/Tokyo:20260101T090000", {"RDATE, column 31", "TZID"}},
           {"rrule DTSTART:20260101T090000 EXDATE:20260101", {"EXDATE, column 38", "time"}},
           {"rrule DTSTART:20260101T090000 seed=0000000000000000", {"seed"}},
           {kStart, {"RRULE", "''"}},
           {kStart + "FREQ=DAILY;", {"RRULE, column 49"}},
           {kStart + "INTERVAL=2", {"FREQ is missing"}},
           {kStart + "FREQ=FORTNIGHTLY", {"RRULE part FREQ, column 43", "WEEKLY"}},
           {kStart + "FREQ=DAILY;FREQ=DAILY", {"column 49", "FREQ is given twice"}},
           {kStart + "FREQ=DAILY;INTERVAL=0", {"RRULE part INTERVAL, column 58", "1 to 1000000"}},
           {kStart + "FREQ=DAILY;COUNT=-1", {"RRULE part COUNT"}},
           {kStart + "FREQ=DAILY;COUNT=1;UNTIL=20300101T000000Z", {"COUNT and UNTIL"}},
           {kStart + "FREQ=DAILY;UNTIL=soon", {"RRULE part UNTIL, column 55", "'soon'"}},
           {kStart + "FREQ=DAILY;WKST=XX", {"RRULE part WKST"}},
           {kStart + "FREQ=DAILY;BYHOUR=24", {"RRULE part BYHOUR, column 56", "0 to 23"}},
           {kStart + "FREQ=DAILY;BYHOUR=1,,2", {"RRULE part BYHOUR, column 58", "missing"}},
           {kStart + "FREQ=DAILY;BYSECOND=60", {"RRULE part BYSECOND", "0 to 59"}},
           {kStart + "FREQ=MONTHLY;BYMONTHDAY=0", {"RRULE part BYMONTHDAY", "-1 to -31"}},
           {kStart + "FREQ=MONTHLY;BYDAY=1XX", {"RRULE part BYDAY, column 57", "'1XX'"}},
           {kStart + "FREQ=MONTHLY;BYDAY=0MO", {"RRULE part BYDAY"}},
           {kStart + "FREQ=MONTHLY;BYDAY=", {"RRULE part BYDAY", "missing"}},
           {kStart + "FREQ=DAILY;BYEASTER=1", {"column 49", "BYEASTER", "BYSETPOS"}},
           {kStart + "FREQ=WEEKLY;BYDAY=1MO", {"a BYDAY with a number"}},
           {kStart + "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", {"BYWEEKNO"}},
           {kStart + "FREQ=DAILY;BYWEEKNO=1", {"BYWEEKNO goes with FREQ=YEARLY"}},
           {kStart + "FREQ=DAILY;BYYEARDAY=1", {"BYYEARDAY"}},
           {kStart + "FREQ=WEEKLY;BYMONTHDAY=1", {"BYMONTHDAY"}},
           {kStart + "FREQ=DAILY;BYSETPOS=1", {"BYSETPOS needs"}},
           {kStart + "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", {"never fires"}},
           {kStart + "FREQ=DAILY;UNTIL=19970101T000000Z", {"never fires"}},
           {kStart + "FREQ=HOURLY;INTERVAL=24;BYHOUR=5", {"never fires"}},
           {kStart + "FREQ=SECONDLY;INTERVAL=7000;BYHOUR=5;BYMINUTE=0;BYSECOND=1;BYMONTH=2;BYMONTHDAY=30",
            {"never fires"}},
           {kStart + "FREQ=SECONDLY;INTERVAL=14;BYSECOND=1", {"never fires"}},
           {kStart + "FREQ=HOURLY;INTERVAL=5;BYMINUTE=0;BYSETPOS=2", {"never fires"}},
           {"rrule DTSTART:20260101T090000Z EXDATE:20260101T090000Z", {"never fires"}},
       }) {
    for (const std::string& part : parts) EXPECT_THAT(ErrorOf(text), HasSubstr(part)) << text;
  }
}

// ---------------------------------------------------------------- any rule

std::string AnyList(int low, int high, int most) {
  std::string list;
  const int n = *rc::gen::inRange(1, most + 1);
  for (int i = 0; i < n; ++i) {
    int value = *rc::gen::inRange(low, high + 1);
    if (value == 0 && low < 0) value = 1;
    list += (i > 0 ? "," : "") + std::to_string(value);
  }
  return list;
}

std::string AnyWeekdays(int most_nth) {
  constexpr const char* kNames[] = {"SU", "MO", "TU", "WE", "TH", "FR", "SA"};
  std::string list;
  const int n = *rc::gen::inRange(1, 5);
  for (int i = 0; i < n; ++i) {
    const int nth = most_nth > 0 && *rc::gen::arbitrary<bool>() ? *rc::gen::inRange(-most_nth, most_nth + 1) : 0;
    list += (i > 0 ? "," : "") + (nth != 0 ? std::to_string(nth) : "") + kNames[*rc::gen::inRange(0, 7)];
  }
  return list;
}

struct Given {
  std::string rule;
  rrule_walk::Seconds start = 0;
  rrule_walk::Seconds span = 0;  // that is worth walking
  std::string text() const {
    std::string at = FormatInstant(InstantOf(start));
    std::erase_if(at, [](char c) { return c == '-' || c == ':'; });
    return fmt::format("rrule DTSTART:{} RRULE:{}", at, rule);
  }
};

Given AnyRule(bool with_count = true) {
  constexpr const char* kFrequencies[] = {"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"};
  constexpr rrule_walk::Seconds kSpans[] = {6000, 1500, 600, 150, 30, 3, 1};  // days
  const int frequency = *rc::gen::inRange(0, 7);
  const auto some = [](int percent) { return *rc::gen::inRange(0, 100) < percent; };
  Given given;
  given.rule = fmt::format("FREQ={}", kFrequencies[frequency]);
  given.span = kSpans[frequency] * 86'400;
  given.start = *rc::gen::inRange<rrule_walk::Seconds>(631'152'000, 1'893'456'000);
  if (some(50)) given.start -= given.start % 3600;
  if (some(50)) {
    constexpr int kMost[] = {4, 14, 6, 40, 60, 200, 9000};
    given.rule += fmt::format(";INTERVAL={}", *rc::gen::inRange(1, kMost[frequency] + 1));
  }
  int parts = *rc::gen::inRange(0, 4);  // more often leave nothing
  bool by = false;
  const auto add = [&](const char* name, const std::string& list) {
    if (parts-- <= 0) return;
    given.rule += fmt::format(";{}={}", name, list);
    by = true;
  };
  if (some(30)) add("BYMONTH", AnyList(1, 12, 5));
  const bool by_week = frequency == 0 && parts > 0 && some(25);
  if (by_week) add("BYWEEKNO", AnyList(-53, 53, 4));
  if ((frequency == 0 || frequency > 3) && some(15)) add("BYYEARDAY", AnyList(-366, 366, 100));
  if (frequency != 2 && some(25)) add("BYMONTHDAY", AnyList(-31, 31, 6));
  if (some(40)) add("BYDAY", AnyWeekdays(by_week ? 0 : frequency == 0 ? 53 : frequency == 1 ? 5 : 0));
  if (some(25)) add("BYHOUR", AnyList(0, 23, 5));
  if (some(25)) add("BYMINUTE", AnyList(0, 59, 4));
  if (some(15)) add("BYSECOND", AnyList(0, 59, 3));
  if (by && some(30)) given.rule += ";BYSETPOS=" + AnyList(-6, 6, 3);
  if (some(30)) given.rule += ";WKST=" + AnyWeekdays(0).substr(0, 2);
  if (with_count && some(20)) given.rule += fmt::format(";COUNT={}", *rc::gen::inRange(1, 50));
  return given;
}

RC_GTEST_PROP(Rrule, AgreesWithAWalkThroughTime, ()) {
  const Given given = AnyRule();
  const rrule_walk::Seconds end = given.start + given.span;
  const std::vector<rrule_walk::Seconds> points = rrule_walk::Walk(given.rule, given.start).Until(end);
  const auto schedule = Schedule::Parse(given.text());
  RC_LOG() << given.text() << '\n';
  if (!schedule) {
    RC_ASSERT(schedule.error().message.find("never fires") != std::string::npos);
    RC_ASSERT(points.empty());
    RC_TAG("never");
    return;
  }
  RC_CLASSIFY(points.empty(), "none in the span");
  RC_ASSERT(Schedule::Parse(schedule->ToString()).value() == *schedule);
  Instant at = InstantOf(given.start) - 1us;
  for (const auto point : points) {
    const auto next = schedule->Next(at);
    RC_ASSERT(next.has_value());
    RC_ASSERT(FormatInstant(*next) == FormatInstant(InstantOf(point)));
    at = *next;
  }
  const auto more = schedule->Next(at);
  RC_ASSERT(!more || *more >= InstantOf(end));
  at = InstantOf(end);
  for (auto point = points.rbegin(); point != points.rend(); ++point) {
    RC_ASSERT(schedule->Last(at) == InstantOf(*point));
    at = InstantOf(*point);
  }
  RC_ASSERT(!schedule->Last(at));
  for (int i = 0; i < 5; ++i) {
    const auto from = given.start + *rc::gen::inRange<rrule_walk::Seconds>(-given.span / 4, given.span);
    const auto to = given.start + *rc::gen::inRange<rrule_walk::Seconds>(-given.span / 4, given.span);
    const auto lower = [&](rrule_walk::Seconds t) { return std::lower_bound(points.begin(), points.end(), t); };
    RC_ASSERT(schedule->Count(InstantOf(from), InstantOf(to)) == std::max<std::int64_t>(0, lower(to) - lower(from)));
  }
}

RC_GTEST_PROP(Rrule, NextIsLaterAndNothingLiesBetween, ()) {
  const auto schedule = Schedule::Parse(AnyRule().text());
  if (!schedule) return;
  const Instant a = FromMicros(*rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000'000));
  const Instant b = FromMicros(*rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000'000));
  const auto next = schedule->Next(a);
  if (next) {
    RC_ASSERT(*next > a);
    RC_ASSERT(schedule->Count(a + 1us, *next) == 0);
    RC_ASSERT(schedule->Count(*next, *next + 1us) == 1);
    RC_ASSERT(schedule->Last(*next + 1us) == next);
  }
  const auto later = schedule->Next(b);
  if (a <= b && later) {
    RC_ASSERT(next.has_value());
    RC_ASSERT(*next <= *later);
  }
  RC_ASSERT(schedule->Count(std::min(a, b), std::max(a, b)) ==
            schedule->Count(std::min(a, b), FromMicros((ToMicros(a) + ToMicros(b)) / 2)) +
                schedule->Count(FromMicros((ToMicros(a) + ToMicros(b)) / 2), std::max(a, b)));
}

RC_GTEST_PROP(Rrule, TakesAnyTextWithoutHarm, (const std::string& text)) {
  (void)Schedule::Parse("rrule " + text);
  (void)Schedule::Parse("DTSTART:" + text);
  (void)Schedule::Parse(kStart + text);
}

// ---------------------------------------------------------------- libical

// Of its version 3 only where it is right: it knows BYSETPOS of months and years alone, and misses some of the rest.
TEST(Rrule, AgreesWithLibicalOnCommonRules) {
  for (const char* rule : {"FREQ=DAILY",
                           "FREQ=DAILY;INTERVAL=3",
                           "FREQ=DAILY;BYMONTH=1,6;BYHOUR=6,18",
                           "FREQ=DAILY;BYDAY=MO,FR;BYMINUTE=0,30",
                           "FREQ=WEEKLY",
                           "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH",
                           "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
                           "FREQ=MONTHLY",
                           "FREQ=MONTHLY;BYDAY=1FR",
                           "FREQ=MONTHLY;BYDAY=-1SU;INTERVAL=3",
                           "FREQ=MONTHLY;BYMONTHDAY=31",
                           "FREQ=MONTHLY;BYMONTHDAY=-1,15",
                           "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
                           "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
                           "FREQ=YEARLY",
                           "FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
                           "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
                           "FREQ=YEARLY;BYDAY=20MO",
                           "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
                           "FREQ=YEARLY;BYYEARDAY=1,100,-1",
                           "FREQ=HOURLY;INTERVAL=5",
                           "FREQ=HOURLY;BYMINUTE=0,30",
                           "FREQ=MINUTELY;INTERVAL=7",
                           "FREQ=SECONDLY;INTERVAL=90;COUNT=100"}) {
    SCOPED_TRACE(rule);
    const auto schedule = Schedule::Parse(fmt::format("rrule DTSTART:20260102T093000Z RRULE:{}", rule));
    ASSERT_TRUE(schedule) << schedule.error().message;
    const icalrecurrencetype parsed = icalrecurrencetype_from_string(rule);
    icalrecur_iterator* const iterator = icalrecur_iterator_new(parsed, icaltime_from_string("20260102T093000"));
    ASSERT_NE(iterator, nullptr);
    Instant at = Instant() - 1us;
    for (int i = 0; i < 200; ++i) {
      const icaltimetype theirs = icalrecur_iterator_next(iterator);
      const auto ours = schedule->Next(at);
      ASSERT_TRUE(ours || icaltime_is_null_time(theirs));
      if (!ours || *ours >= At("2580-01-01T00:00:00Z")) break;  // so far libical goes
      at = *ours;
      ASSERT_EQ(FormatInstant(at), fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", theirs.year, theirs.month,
                                               theirs.day, theirs.hour, theirs.minute, theirs.second));
    }
    icalrecur_iterator_free(iterator);
  }
}

}  // namespace
}  // namespace escapement
