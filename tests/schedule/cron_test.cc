#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "escapement/schedule.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

Instant At(std::string_view text) { return ParseInstant(text).value(); }

std::vector<std::string> Points(const Schedule& schedule, Instant at, int n) {
  std::vector<std::string> points;
  for (int i = 0; i < n; ++i) {
    const auto next = schedule.Next(at);
    if (!next) break;
    points.push_back(FormatInstant(*next));
    at = *next;
  }
  return points;
}

// The next n after the beginning of 2026.
std::vector<std::string> Next(const std::string& text, int n = 3) {
  const auto schedule = Schedule::Parse(text);
  if (!schedule) return {schedule.error().message};
  return Points(*schedule, At("2025-12-31T23:59:59Z"), n);
}

std::string ErrorOf(const std::string& text) {
  const auto schedule = Schedule::Parse(text);
  if (schedule) return schedule->ToString() + " was read";
  EXPECT_EQ(schedule.error().code, Code::kInvalidArgument);
  return schedule.error().message;
}

std::string Words(const std::string& text) {
  const auto schedule = Schedule::Parse(text);
  return schedule ? schedule->Describe() : schedule.error().message;
}

TEST(Cron, HasFiveSixOrSevenFields) {
  EXPECT_THAT(Next("30 4 1 * *"), ElementsAre("2026-01-01T04:30:00Z", "2026-02-01T04:30:00Z", "2026-03-01T04:30:00Z"));
  EXPECT_THAT(Next("15 30 4 1 * *", 2), ElementsAre("2026-01-01T04:30:15Z", "2026-02-01T04:30:15Z"));
  EXPECT_THAT(Next("15 30 4 1 6 ? 2027-2028"), ElementsAre("2027-06-01T04:30:15Z", "2028-06-01T04:30:15Z"));
}

TEST(Cron, FindsYearsThatAreFarAway) {
  EXPECT_THAT(Next("0 0 0 1 1 ? 1971,9000"), ElementsAre("9000-01-01T00:00:00Z"));
  const auto schedule = Schedule::Parse("0 0 0 1 1 ? 1971,9000").value();
  EXPECT_EQ(schedule.Last(At("9000-01-01T00:00:00Z")), At("1971-01-01T00:00:00Z"));
  EXPECT_EQ(schedule.Count(At("1970-01-01T00:00:00Z"), At("9999-01-01T00:00:00Z")), 2);
}

TEST(Cron, HasListsRangesAndSteps) {
  EXPECT_THAT(Next("0 6,18 * * *"),
              ElementsAre("2026-01-01T06:00:00Z", "2026-01-01T18:00:00Z", "2026-01-02T06:00:00Z"));
  EXPECT_THAT(Next("*/25 * * * *", 4), ElementsAre("2026-01-01T00:00:00Z", "2026-01-01T00:25:00Z",
                                                   "2026-01-01T00:50:00Z", "2026-01-01T01:00:00Z"));
  EXPECT_THAT(Next("0 9-17/4 * * *", 4), ElementsAre("2026-01-01T09:00:00Z", "2026-01-01T13:00:00Z",
                                                     "2026-01-01T17:00:00Z", "2026-01-02T09:00:00Z"));
  EXPECT_THAT(Next("0 5/10 * * *"),
              ElementsAre("2026-01-01T05:00:00Z", "2026-01-01T15:00:00Z", "2026-01-02T05:00:00Z"));
}

TEST(Cron, WrapsRanges) {
  EXPECT_THAT(Next("0 22-2 * * *", 6),
              ElementsAre("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z",
                          "2026-01-01T22:00:00Z", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z"));
  EXPECT_THAT(Next("0 0 * * fri-mon", 5),
              ElementsAre("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z",
                          "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z"));
  EXPECT_THAT(Next("0 0 1 nov-feb *", 4), ElementsAre("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z",
                                                      "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"));
}

TEST(Cron, NamesDaysInAnyCaseAndSundayTwice) {
  const auto sundays = Next("0 0 * * 0");
  for (const char* day : {"7", "sun", "SUN", "Sunday", "7-7", "sun,7"}) {
    EXPECT_EQ(Next(std::string("0 0 * * ") + day), sundays) << day;
  }
  EXPECT_EQ(Next("0 0 * * 5-7", 4), Next("0 0 * * FRI-Sun", 4));
  EXPECT_EQ(Next("0 0 * * 0-7", 9), Next("0 0 * * *", 9));
  EXPECT_EQ(Next("0 0 1 JAN,Jul *"), Next("0 0 1 1,7 *"));
}

TEST(Cron, KnowsTheEndsOfMonths) {
  EXPECT_THAT(Next("0 0 L * *"), ElementsAre("2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"));
  EXPECT_THAT(Next("0 0 l-1 2 *", 1), ElementsAre("2026-02-27T00:00:00Z"));
  // January 2026 ends on a Saturday, May on a Sunday.
  EXPECT_THAT(Next("0 0 LW 1,5 *", 2), ElementsAre("2026-01-30T00:00:00Z", "2026-05-29T00:00:00Z"));
}

TEST(Cron, KnowsTheNearestWorkday) {
  // August 1st 2026 is a Saturday, November 1st a Sunday, February 28th a Saturday, May 31st a Sunday.
  EXPECT_THAT(Next("0 0 1W 8,11 *", 2), ElementsAre("2026-08-03T00:00:00Z", "2026-11-02T00:00:00Z"));
  EXPECT_THAT(Next("0 0 28w 2 *", 1), ElementsAre("2026-02-27T00:00:00Z"));
  EXPECT_THAT(Next("0 0 31W 4-6 *", 1), ElementsAre("2026-05-29T00:00:00Z")) << "April has no 31st";
}

TEST(Cron, KnowsWeekdaysByTheirNumberInTheMonth) {
  EXPECT_THAT(Next("0 0 * * fri#2"),
              ElementsAre("2026-01-09T00:00:00Z", "2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z"));
  EXPECT_THAT(Next("0 0 * * 5#5", 2), ElementsAre("2026-01-30T00:00:00Z", "2026-05-29T00:00:00Z"));
  EXPECT_THAT(Next("0 0 * * 5L", 2), ElementsAre("2026-01-30T00:00:00Z", "2026-02-27T00:00:00Z"));
  EXPECT_EQ(Next("0 0 * * FriL"), Next("0 0 * * 5L"));
}

TEST(Cron, FiresOnEitherDayWhenBothAreRestricted) {
  EXPECT_THAT(Next("0 0 13 * fri"),
              ElementsAre("2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"));
  EXPECT_THAT(Next("0 0 */2 * fri", 2), ElementsAre("2026-01-09T00:00:00Z", "2026-01-23T00:00:00Z"))
      << "a field that begins with a star does not count as restricted";
  EXPECT_EQ(Next("0 0 ? * fri"), Next("0 0 * * fri"));
  EXPECT_EQ(Next("0 0 13 * ?"), Next("0 0 13 * *"));
}

TEST(Cron, HasMacros) {
  for (const auto& [macro, fields] : std::vector<std::pair<std::string, std::string>>{{"@yearly", "0 0 1 1 *"},
                                                                                      {"@annually", "0 0 1 1 *"},
                                                                                      {"@monthly", "0 0 1 * *"},
                                                                                      {"@weekly", "0 0 * * sun"},
                                                                                      {"@Daily", "0 0 * * *"},
                                                                                      {"@midnight", "0 0 * * *"},
                                                                                      {"@hourly", "0 * * * *"}}) {
    EXPECT_EQ(Next(macro), Next(fields)) << macro;
  }
  EXPECT_TRUE(Schedule::Parse("@every 90s").value() == Schedule::Every({.interval = 90s}).value());
  EXPECT_TRUE(Schedule::Parse("cron @every 1m phase=2s").value() ==
              Schedule::Every({.interval = 60s, .phase = 2s}).value());
}

TEST(Cron, TakesItsZoneFromTheTextOrAnOption) {
  const auto expected = ElementsAre("2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z", "2026-01-03T02:00:00Z");
  EXPECT_THAT(Next("CRON_TZ=Europe/Berlin 0 3 * * *"), expected);
  EXPECT_THAT(Next("TZ=Europe/Berlin 0 3 * * *"), expected);
  EXPECT_THAT(Next("cron 0 3 * * * zone=Europe/Berlin"), expected);
  const auto by_option = Schedule::Cron({.expression = "0 3 * * *", .local = {.zone = "Europe/Berlin"}}).value();
  EXPECT_THAT(Points(by_option, At("2026-01-01T00:00:00Z"), 3), expected);
  EXPECT_EQ(by_option.ToString(), "cron 0 3 * * * zone=Europe/Berlin");
  EXPECT_EQ(by_option.ZoneName(), "Europe/Berlin");
  EXPECT_FALSE(Schedule::Cron({.expression = "CRON_TZ=UTC 0 3 * * *", .local = {.zone = "Europe/Berlin"}}));
}

TEST(Cron, ObeysItsRuleWhenClocksAreSetForward) {
  // In Berlin 02:00 becomes 03:00 on March 29th 2026 at 01:00 UTC.
  const auto march = [](const std::string& options) {
    return Points(Schedule::Parse("cron 30 2 * * * zone=Europe/Berlin" + options).value(), At("2026-03-28T00:00:00Z"),
                  3);
  };
  EXPECT_THAT(march(""), ElementsAre("2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"));
  EXPECT_EQ(march(" gap=shift"), march(""));
  EXPECT_THAT(march(" gap=skip"), ElementsAre("2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"));
  const auto each_minute = Schedule::Parse("cron * * * * * zone=Europe/Berlin").value();
  EXPECT_EQ(each_minute.Count(At("2026-03-29T00:00:00Z"), At("2026-03-29T02:00:00Z")), 120)
      << "sixty skipped minutes and 03:00 are one instant";
}

TEST(Cron, ObeysItsRuleWhenClocksAreSetBack) {
  // In Berlin 03:00 becomes 02:00 on October 25th 2026 at 01:00 UTC.
  const auto october = [](const std::string& options) {
    return Points(Schedule::Parse("cron 30 2 * * * zone=Europe/Berlin" + options).value(), At("2026-10-24T12:00:00Z"),
                  3);
  };
  EXPECT_THAT(october(""), ElementsAre("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"));
  EXPECT_EQ(october(" fold=first"), october(""));
  EXPECT_THAT(october(" fold=last"),
              ElementsAre("2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"));
  EXPECT_THAT(october(" fold=both"),
              ElementsAre("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"));
}

TEST(Cron, CountsLongWindowsExactly) {
  const auto seconds = Schedule::Parse("* * * * * *").value();
  EXPECT_EQ(seconds.Count(At("1970-01-01T00:00:00Z"), At("2026-01-01T00:00:00Z")),
            ToMicros(At("2026-01-01T00:00:00Z")) / 1'000'000);
  EXPECT_EQ(seconds.Count(At("2026-01-01T00:00:00.5Z"), At("2026-01-01T00:00:02.5Z")), 2);
  const auto leap = Schedule::Parse("0 0 29 2 *").value();
  EXPECT_EQ(leap.Count(At("1970-01-01T00:00:00Z"), At("2370-01-01T00:00:00Z")), 97);
}

TEST(Cron, EndsWithTheYear9999) {
  const auto hourly = Schedule::Parse("cron @hourly zone=America/New_York").value();
  const Instant last = hourly.Last(FromMicros(std::numeric_limits<std::int64_t>::max())).value();
  EXPECT_EQ(FormatInstant(last), "9999-12-31T23:00:00Z");
  EXPECT_EQ(hourly.Next(last), std::nullopt);
  EXPECT_EQ(hourly.Last(At("1970-01-01T00:00:00Z")), std::nullopt);
  EXPECT_EQ(hourly.Next(FromMicros(std::numeric_limits<std::int64_t>::min())), At("1970-01-01T00:00:00Z"));
}

TEST(Cron, IncludesTheInstantOfCreation) {
  const auto hourly = Schedule::Parse("@hourly").value();
  EXPECT_EQ(hourly.Next(hourly.FirstCursor(At("2026-01-01T05:00:00Z"))), At("2026-01-01T05:00:00Z"));
}

TEST(Cron, TellsItsRateAndSpacing) {
  const auto rate = [](const char* text) { return Schedule::Parse(text).value().Rate(); };
  const auto spacing = [](const char* text) { return Schedule::Parse(text).value().Spacing(); };
  EXPECT_DOUBLE_EQ(rate("* * * * * *"), 1);
  EXPECT_DOUBLE_EQ(rate("0 0 * * mon"), 1.0 / 7 / 86'400);
  EXPECT_NEAR(rate("0 0 29 2 *") * 86'400 * 365.25, 0.25, 1e-9);
  EXPECT_DOUBLE_EQ(rate("0 0 0 * * ? 1980"), 1.0 / 86'400) << "as if it fired in every year";
  EXPECT_EQ(spacing("*/5 * * * *"), 5min);
  EXPECT_EQ(spacing("50,5 * * * *"), 15min) << "round the hour";
  EXPECT_EQ(spacing("59 59 23,0 * * *"), 1h);
  EXPECT_EQ(spacing("0,59 0,59 0,23 * * *"), 1s) << "round midnight";
  EXPECT_EQ(spacing("0 0 1 1 *"), 24h);
}

TEST(Hash, IsTheJobsOwnAndStable) {
  const auto schedule = Schedule::Parse("H H(0-5) * * *").value();
  const auto a = schedule.ForJob("backup");
  EXPECT_EQ(a.ToString(), "cron H H(0-5) * * * seed=8f75c61dfd19093f") << "stored, so it must never change";
  EXPECT_TRUE(Schedule::Parse(a.ToString()).value() == a);
  EXPECT_EQ(Points(Schedule::Parse(a.ToString()).value(), At("2026-01-01T00:00:00Z"), 3),
            Points(a, At("2026-01-01T00:00:00Z"), 3));
  EXPECT_TRUE(a.ForJob("another") == a) << "a seed stays";
  const auto plain = Schedule::Parse("0 3 * * *").value();
  EXPECT_TRUE(plain.ForJob("backup") == plain);
  EXPECT_THAT(ErrorOf("cron 0 3 * * * seed=8f75c61dfd19093f"), HasSubstr("no"));
}

TEST(Hash, SpreadsJobsOverItsRange) {
  const auto schedule = Schedule::Parse("H(10-19) H/6 * * *").value();
  std::set<Instant> first;
  for (int i = 0; i < 1000; ++i) {
    const auto own = schedule.ForJob(std::to_string(i));
    const Instant at = own.Next(At("2025-12-31T23:59:59Z")).value();
    first.insert(at);
    EXPECT_EQ(own.Count(At("2026-01-01T00:00:00Z"), At("2026-01-02T00:00:00Z")), 4);
  }
  EXPECT_EQ(first.size(), 60u) << "10 minutes in 6 hours";
  EXPECT_GE(*first.begin(), At("2026-01-01T00:10:00Z"));
  EXPECT_LE(*first.rbegin(), At("2026-01-01T05:19:00Z"));
}

TEST(Calendar, NamesItsParts) {
  EXPECT_THAT(Next("calendar day=last hour=3"),
              ElementsAre("2026-01-31T03:00:00Z", "2026-02-28T03:00:00Z", "2026-03-31T03:00:00Z"));
  EXPECT_THAT(Next("calendar day=1st fri, last sun hour=3"),
              ElementsAre("2026-01-02T03:00:00Z", "2026-01-25T03:00:00Z", "2026-02-06T03:00:00Z"));
  EXPECT_THAT(Next("calendar week=53 day_of_week=thu", 2), ElementsAre("2026-12-31T00:00:00Z", "2032-12-30T00:00:00Z"));
  EXPECT_THAT(Next("calendar year=2027-2029/2 month=jun"), ElementsAre("2027-06-01T00:00:00Z", "2029-06-01T00:00:00Z"));
  EXPECT_THAT(Next("calendar day=29 month=2 day_of_week=mon", 2),
              ElementsAre("2044-02-29T00:00:00Z", "2072-02-29T00:00:00Z"))
      << "all parts must hold";
}

TEST(Calendar, FillsInWhatIsNotGiven) {
  EXPECT_EQ(Next("calendar minute=20"), Next("20 * * * *"));
  EXPECT_EQ(Next("calendar second=5"), Next("5 * * * * *"));
  EXPECT_EQ(Next("calendar month=5"), Next("0 0 1 5 *"));
  EXPECT_EQ(Next("calendar day_of_week=mon"), Next("0 0 * * mon"));
  EXPECT_EQ(Next("calendar year=*"), Next("0 0 1 1 *"));
  EXPECT_EQ(Next("calendar week=1"), Next("calendar week=1 day_of_week=mon-sun hour=0"));
}

TEST(Calendar, IsMadeOfOptions) {
  const auto schedule =
      Schedule::Calendar({.day = "1st fri", .hour = "3", .local = {.zone = "Asia/Tokyo", .fold = FoldPolicy::kBoth}});
  ASSERT_TRUE(schedule) << schedule.error().message;
  EXPECT_EQ(schedule->ToString(), "calendar day=1st fri hour=3 zone=Asia/Tokyo fold=both");
  EXPECT_FALSE(Schedule::Calendar({}));
  EXPECT_FALSE(Schedule::Calendar({.day = "1 hour=3"}));
}

TEST(Cron, SaysWhereItIsWrongAndWhatIsAllowed) {
  for (const auto& [text, parts] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"61 * * * *", {"minute field, column 1:", "61 is not between 0 and 59", "*/15"}},
           {"cron 0 24 * * *", {"hour field, column 8:", "0 to 23"}},
           {"0 0 32 * *", {"day-of-month field, column 5:", "15W"}},
           {"0 0 1 foo *", {"month field, column 7:", "'foo' is not known", "jan to dec"}},
           {"0 0 * * mon#6", {"day-of-week field, column 13:", "between 1 and 5"}},
           {"0 0 * * 1-5-7", {"day-of-week field, column 12:", "'-7' is not expected"}},
           {"0 0 * * L", {"day-of-week field, column 9:", "friL"}},
           {"0 0 0 * * ? 1969", {"year field, column 13:", "1970 to 9999"}},
           {"0 0 0 * * ? 2030-2020", {"year field, column 13:", "backwards"}},
           {"0 0 0 * * ? H", {"year field, column 13:", "no H"}},
           {"*/0 * * * *", {"minute field, column 3:", "between 1 and"}},
           {"*/90 * * * *", {"minute field, column 3:", "longer than the field"}},
           {"0,,5 * * * *", {"minute field, column 3:", "missing"}},
           {"cron ? * * * *", {"minute field, column 6:"}},
           {"cron  0\t0 * x *", {"month field, column 13:"}},
           {"0 0 * *", {"4 fields are given, and 5 to 7 needed"}},
           {"0 0 0 * * * * 8", {"column 15:", "too many"}},
           {"cron", {"0 fields are given"}},
           {"@fortnightly", {"column 1:", "@weekly"}},
           {"@reboot", {"column 1:", "no reboot"}},
           {"@daily 5", {"column 8:", "after a macro"}},
           {"CRON_TZ=Europe/Berlin @every 90s", {"no zone"}},
           {"cron 0 0 * * * zone=Mars/Base", {"no time zone 'Mars/Base'"}},
           {"cron 0 0 * * * zone=UTC zone=UTC", {"twice"}},
           {"cron 0 0 * * * gap=jump", {"gap is 'jump'", "shift, skip"}},
           {"cron 0 0 * * * fold=", {"fold is ''", "first, last, both"}},
           {"cron 0 0 * * * seed=12", {"seed"}},
           {"cron 0 0 * * * colour=red", {"column 16:", "colour=red"}},
           {"cron 0 0 * * * gap=skip 5", {"column 25:"}},
           {"cron H(5-2) * * * *", {"minute field, column 7:", "backwards"}},
           {"cron H(5 * * * *", {"minute field, column 9:"}},
           {"0 0 30 2 *", {"never fires"}},
           {"0 0 31W 2 *", {"never fires"}},
           {"0 0 0 29 2 ? 2027", {"never fires"}},
           {"cron 30 2 * 3 sunL 1", {"month field"}},
           {"cron 0 30 2 ? 3 sunL 1990/1 zone=Europe/Berlin gap=skip", {"never fires", "gap=skip"}},
           {"calendar", {"no part is given"}},
           {"calendar day_of_week=1", {"day_of_week field, column 22:", "by name"}},
           {"calendar day=6th fri", {"day field, column 14:", "1st"}},
           {"calendar day=1st foo", {"day field, column 18:", "'foo'"}},
           {"calendar day=", {"day field, column 14:", "missing"}},
           {"calendar fortnight=1", {"column 10:", "year, month, day, week"}},
           {"calendar hour=1 hour=2", {"column 17:", "twice"}},
           {"calendar zone=UTC hour=1", {"column 19:", "come first"}},
       }) {
    for (const std::string& part : parts) EXPECT_THAT(ErrorOf(text), HasSubstr(part)) << text;
  }
  EXPECT_THAT(ErrorOf("cron " + std::string(5000, '*')), HasSubstr("longer than"));
}

TEST(Cron, IsWrittenAsItIsBest) {
  for (const auto& [text, best] : std::vector<std::pair<std::string, std::string>>{
           {"  0   3 *  * MON-Fri ", "cron 0 3 * * mon-fri"},
           {"CRON_TZ=Europe/Berlin @Daily", "cron @daily zone=Europe/Berlin"},
           {"cron 0 0 lw,15w,l-3 * SUNl,5l fold=both gap=skip", "cron 0 0 LW,15W,L-3 * sunL,5L gap=skip fold=both"},
           {"h h(1-3)/2 * * * ? 2027", "cron H H(1-3)/2 * * * ? 2027"},
           {"cron 0 0 * * * zone=UTC gap=shift fold=first", "cron 0 0 * * *"},
           {"calendar  hour=3   day=Last ,  1ST  FRI zone=UTC", "calendar day=last,1st fri hour=3"},
       }) {
    const auto schedule = Schedule::Parse(text.front() == 'h' ? "cron " + text : text);
    ASSERT_TRUE(schedule) << schedule.error().message;
    EXPECT_EQ(schedule->ToString(), best);
  }
}

TEST(Describe, SaysItInWords) {
  for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
           {"* * * * *", "every minute, UTC"},
           {"*/15 * * * *", "every 15 minutes, UTC"},
           {"0 * * * *", "every hour, UTC"},
           {"0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00, UTC"},
           {"0 */2 * * *", "every 2 hours, UTC"},
           {"30 * * * *", "at minute 30 of every hour, UTC"},
           {"*/10 9-17 * * mon-fri", "every 10 minutes of hours 9 to 17 on Monday to Friday, UTC"},
           {"* * * * * *", "every second, UTC"},
           {"30 * * * * *", "at second 30 of every minute, UTC"},
           {"*/20 5 * * * *", "every 20 seconds of minute 5 of every hour, UTC"},
           {"0 3 * * fri-mon", "at 03:00 on Friday to Monday, UTC"},
           {"0 0 13 * fri", "at 00:00 on the 13th of the month or Friday, UTC"},
           {"0 0 1,2,3,31 jan,jul *", "at 00:00 on the 31st to 3rd of the month in January and July, UTC"},
           {"0 0 LW,15W * *", "at 00:00 on the last workday of the month or the workday nearest to the 15th, UTC"},
           {"0 0 * * mon#2,friL", "at 00:00 on the 2nd Monday of the month or the last Friday of the month, UTC"},
           {"15 30 4 1 6 ? 2027-2028", "at 04:30:15 on the 1st of the month in June in 2027 to 2028, UTC"},
           {"calendar day=13 day_of_week=fri", "at 00:00 on the 13th of the month, if it is Friday, UTC"},
           {"calendar week=2", "at 00:00 in week 2 of the year, UTC"},
           {"cron 30 2 * * * zone=Europe/Berlin gap=skip fold=both",
            "at 02:30, Europe/Berlin time; left out when clocks skip it; both times when it comes twice"},
           {"every 90m", "every 1h30m"},
           {"every 1d anchor=2026-01-01T03:00:00Z end=2027-01-01T00:00:00Z",
            "every 1d from 2026-01-01T03:00:00Z, before 2027-01-01T00:00:00Z"},
           {"at 2026-01-01T03:00:00Z", "once, at 2026-01-01T03:00:00Z"},
       }) {
    EXPECT_EQ(Words(text), words) << text;
  }
}

// ---------------------------------------------------------------- properties

std::string AnyOf(std::initializer_list<const char*> pieces) {
  return *rc::gen::elementOf(std::vector<std::string>(pieces.begin(), pieces.end()));
}

std::string AnyList(std::initializer_list<const char*> pieces) {
  std::string list = AnyOf(pieces);
  if (*rc::gen::inRange(0, 3) == 0) list += "," + AnyOf(pieces);
  return list;
}

std::string AnyText() {
  std::string text;
  if (*rc::gen::inRange(0, 4) == 0) {
    text = "calendar hour=" + AnyList({"*", "3", "22-2", "*/5", "H"});
    if (*rc::gen::arbitrary<bool>()) text += " day=" + AnyList({"1st fri", "last sun", "last", "15", "*/3", "LW"});
    if (*rc::gen::arbitrary<bool>()) text += " week=" + AnyList({"40-5", "10-20", "*/4"});
    if (*rc::gen::arbitrary<bool>()) text += " minute=" + AnyList({"0", "30", "*/20", "H/15"});
  } else {
    text = "cron ";
    if (*rc::gen::arbitrary<bool>()) text += AnyList({"0", "30", "*/20", "H", "55-5"}) + " ";
    text += AnyList({"0", "30", "*/7", "50-10/3", "H/15", "*"}) + " ";
    text += AnyList({"2", "*", "22-3", "1,2", "H(0-3)"}) + " ";
    text += (*rc::gen::inRange(0, 6) == 0 ? "?" : AnyList({"*", "1", "L", "15W", "LW", "28-3", "L-2"})) + " ";
    text += AnyList({"*", "3", "oct", "feb-nov/3"}) + " ";
    text += *rc::gen::inRange(0, 6) == 0 ? "?" : AnyList({"*", "mon", "5L", "sun#1", "fri-mon", "0-7/3"});
  }
  text += " zone=" + AnyOf({"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"});
  return text + AnyOf({"", " gap=skip"}) + AnyOf({"", " fold=last", " fold=both"});
}

Schedule AnySchedule() {
  const std::string text = AnyText();
  const auto schedule = Schedule::Parse(text);
  if (!schedule) RC_FAIL(schedule.error().message);
  return *schedule;
}

Instant AnyInstant() {
  const std::int64_t year_2500 = ToMicros(At("2500-01-01T00:00:00Z"));
  return FromMicros(*rc::gen::inRange<std::int64_t>(-1'000'000'000, year_2500));
}

RC_GTEST_PROP(Cron, NextIsLaterMonotoneAndNothingLiesBetween, ()) {
  const auto schedule = AnySchedule();
  const Instant a = AnyInstant();
  const auto next = schedule.Next(a);
  RC_PRE(next.has_value());
  RC_ASSERT(*next > a);
  RC_ASSERT(schedule.Count(a + Duration(1), *next) == 0);
  RC_ASSERT(schedule.Count(*next, *next + Duration(1)) == 1);
  RC_ASSERT(schedule.Last(*next + Duration(1)) == next);
  const auto last = schedule.Last(*next);
  if (last) RC_ASSERT(*last <= a);
  if (last) RC_ASSERT(schedule.Next(*last) == next);
  const Instant b = a + Duration(*rc::gen::inRange<std::int64_t>(0, 100'000'000'000'000));
  const auto later = schedule.Next(b);
  if (later) RC_ASSERT(*next <= *later);
}

RC_GTEST_PROP(Cron, CountsAddUp, ()) {
  const auto schedule = AnySchedule();
  std::vector<Instant> at = {AnyInstant(), AnyInstant(), AnyInstant()};
  std::sort(at.begin(), at.end());
  RC_ASSERT(schedule.Count(at[0], at[1]) + schedule.Count(at[1], at[2]) == schedule.Count(at[0], at[2]));
  const Instant near = at[0] + 10h;
  std::int64_t walked = 0;
  for (auto point = schedule.Next(at[0] - Duration(1)); point && *point < near; point = schedule.Next(*point)) ++walked;
  RC_ASSERT(schedule.Count(at[0], near) == walked);
}

RC_GTEST_PROP(Cron, IsReadBackFromItsText, ()) {
  auto schedule = AnySchedule();
  if (*rc::gen::arbitrary<bool>()) schedule = schedule.ForJob(*rc::gen::arbitrary<std::string>());
  const auto again = Schedule::Parse(schedule.ToString());
  RC_ASSERT(again.has_value());
  RC_ASSERT(*again == schedule);
  const Instant at = AnyInstant();
  RC_ASSERT(again->Next(at) == schedule.Next(at));
  RC_ASSERT(again->Rate() == schedule.Rate());
}

RC_GTEST_PROP(Cron, ParseTakesAnyTextWithoutHarm, (const std::string& text)) {
  (void)Schedule::Parse("cron " + text);
  (void)Schedule::Parse("calendar day=" + text);
  (void)Schedule::Parse("cron 0 0 * * * zone=" + text);
  const std::string piece =
      *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0123456789*/,-#?LWH() @")));
  const auto schedule = Schedule::Parse("cron " + piece);
  if (schedule) RC_ASSERT(schedule->Next(Instant{} - Duration(1)).has_value());
}

}  // namespace
}  // namespace escapement
