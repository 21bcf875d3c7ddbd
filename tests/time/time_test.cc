#include "escapement/time.h"

#include <limits>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "time/clock.h"

namespace escapement {
namespace {

using namespace std::chrono_literals;

TEST(ParseDuration, ReadsEveryUnitDecimalsAndSums) {
  EXPECT_EQ(ParseDuration("250us"), 250us);
  EXPECT_EQ(ParseDuration("100ms"), 100ms);
  EXPECT_EQ(ParseDuration("1.5s"), 1500ms);
  EXPECT_EQ(ParseDuration("5m"), 5min);
  EXPECT_EQ(ParseDuration("2h"), 2h);
  EXPECT_EQ(ParseDuration("1d"), 24h);
  EXPECT_EQ(ParseDuration("2w"), 14 * 24h);
  EXPECT_EQ(ParseDuration("1h30m"), 90min);
  EXPECT_EQ(ParseDuration("0s"), 0us);
  EXPECT_EQ(ParseDuration("0.000001s"), 1us);
  EXPECT_EQ(ParseDuration("1.50000000s"), 1500ms);
}

TEST(ParseDuration, RefusesWhatItCannotHoldExactly) {
  for (const char* text : {"", "5", "s", "-1s", "1.s", ".5s", "1x", "1 s", " 1s", "1s ", "0.5us", "0.0000001s", "1e3s",
                           "1S", "1s,2s", "99999999999999999999s", "999999999999999999w", "1.1.1s", "0x1s"}) {
    const auto result = ParseDuration(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    EXPECT_NE(result.error().message.find(text), std::string::npos) << "names what was wrong";
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
  }
  EXPECT_EQ(ParseDuration("9223372036854.775807s").value().count(), std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(ParseDuration("9223372036854.775808s"));
}

TEST(FormatDuration, IsShort) {
  EXPECT_EQ(FormatDuration(90min), "1h30m");
  EXPECT_EQ(FormatDuration(100ms), "100ms");
  EXPECT_EQ(FormatDuration(0us), "0s");
  EXPECT_EQ(FormatDuration(1500ms), "1.5s");
  EXPECT_EQ(FormatDuration(1500us), "1.5ms");
  EXPECT_EQ(FormatDuration(7us), "7us");
  EXPECT_EQ(FormatDuration(14 * 24h), "2w");
  EXPECT_EQ(FormatDuration(24h + 1us), "1d1us");
  EXPECT_EQ(FormatDuration(-90min), "-1h30m");
  EXPECT_EQ(FormatDuration(Duration::min()), "-9223372036854775808us");
}

RC_GTEST_PROP(FormatDuration, IsReadBackExactly, ()) {
  const auto scale = *rc::gen::element<std::int64_t>(1, 1'000, 1'000'000, 60'000'000);
  const auto count = *rc::gen::inRange<std::int64_t>(0, std::numeric_limits<std::int64_t>::max() / scale);
  RC_ASSERT(ParseDuration(FormatDuration(Duration(count * scale))).value() == Duration(count * scale));
}

RC_GTEST_PROP(ParseDuration, TakesAnyTextWithoutHarm, (const std::string& text)) { (void)ParseDuration(text); }

TEST(ParseInstant, ReadsZonesAndDecimals) {
  const Instant ten = std::chrono::sys_days(std::chrono::year(2026) / 11 / 24) + 10h;
  EXPECT_EQ(ParseInstant("2026-11-24T10:00:00Z"), ten);
  EXPECT_EQ(ParseInstant("2026-11-24t10:00:00z"), ten);
  EXPECT_EQ(ParseInstant("2026-11-24T11:00:00.25+01:00"), ten + 250ms);
  EXPECT_EQ(ParseInstant("2026-11-24T04:30:00.000001000-05:30"), ten + 1us);
  EXPECT_EQ(ParseInstant("1970-01-01T00:00:00Z"), Instant{});
  EXPECT_EQ(ParseInstant("2024-02-29T00:00:00Z").value(), std::chrono::sys_days(std::chrono::year(2024) / 2 / 29));
}

TEST(ParseInstant, RefusesEverythingElse) {
  for (const char* text : {"",
                           "2026",
                           "2026-11-24",
                           "2026-11-24T10:00:00",
                           "2026-11-24 10:00:00Z",
                           "2026-11-24T10:00Z",
                           "2026-11-24T24:00:00Z",
                           "2026-11-24T10:60:00Z",
                           "2026-11-24T10:00:60Z",
                           "2026-02-29T10:00:00Z",
                           "2026-13-01T10:00:00Z",
                           "2026-00-01T10:00:00Z",
                           "2026-11-24T10:00:00.Z",
                           "2026-11-24T10:00:00.0000001Z",
                           "1969-12-31T23:59:59Z",
                           "1970-01-01T00:00:00+00:01",
                           "9999-12-31T23:59:59-00:01",
                           "2026-11-24T10:00:00Zx",
                           "2026-11-24T10:00:00+24:00",
                           "2026-11-24T10:00:00+01:60",
                           "2026-11-24T10:00:00+1",
                           "+026-11-24T10:00:00Z"}) {
    const auto result = ParseInstant(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    EXPECT_NE(result.error().message.find(text), std::string::npos);
  }
}

RC_GTEST_PROP(FormatInstant, IsReadBackExactly, ()) {
  const auto scale = *rc::gen::element<std::int64_t>(1, 1'000, 1'000'000, 86'400'000'000);
  const auto count = *rc::gen::inRange<std::int64_t>(0, 253'402'300'800'000'000 / scale);
  const Instant instant = FromMicros(count * scale);
  RC_ASSERT(ParseInstant(FormatInstant(instant)).value() == instant);
}

RC_GTEST_PROP(ParseInstant, TakesAnyTextWithoutHarm, (const std::string& text)) { (void)ParseInstant(text); }

TEST(CodeName, NamesEveryCode) {
  EXPECT_EQ(CodeName(Code::kInvalidArgument), "invalid argument");
  EXPECT_EQ(CodeName(Code::kInDoubt), "in doubt");
}

TEST(BootClock, NeverGoesBack) {
  const BootTime first = BootClock::now();
  EXPECT_LE(first, BootClock::now());
}

}  // namespace
}  // namespace escapement
