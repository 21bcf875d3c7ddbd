#include "time/zone.h"

#include <cctz/time_zone.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "escapement/time.h"

namespace escapement {
namespace {

Seconds At(std::string_view text) { return ToMicros(ParseInstant(text).value()) / 1'000'000; }
const Seconds kFirst = -86'400 * 3650;
const Seconds kEnd = At("9999-12-31T23:59:59Z");

TEST(Zone, KnowsWhenItsOffsetChanges) {
  const auto zone = Zone::Load("Europe/Berlin").value();
  const Zone::Stretch summer = zone->At(At("2026-07-01T00:00:00Z"));
  EXPECT_EQ(summer.begin, At("2026-03-29T01:00:00Z"));
  EXPECT_EQ(summer.end, At("2026-10-25T01:00:00Z"));
  EXPECT_EQ(summer.offset, 7200);
  EXPECT_EQ(summer.before, 3600);
  EXPECT_EQ(summer.after, 3600);
}

TEST(Zone, OfTheWholeWorldNeverChanges) {
  const Zone::Stretch all = Zone::Load("UTC").value()->At(0);
  EXPECT_LT(all.begin, kFirst);
  EXPECT_GT(all.end, kEnd);
  EXPECT_EQ(all.offset, 0);
}

TEST(Zone, RefusesWhatIsNoName) {
  for (const char* name : {"", "Europe/Berln", "/etc/passwd", "../zoneinfo/UTC", "Europe/Berlin ", "file:/etc/passwd",
                           "Europe/B\xC3\xA4rlin", "europe\nberlin"}) {
    const auto zone = Zone::Load(name);
    ASSERT_FALSE(zone) << name;
    EXPECT_EQ(zone.error().code, Code::kInvalidArgument);
    EXPECT_NE(zone.error().message.find("write for example Europe/Berlin"), std::string::npos) << zone.error().message;
  }
  EXPECT_FALSE(Zone::Load(std::string(100'000, 'a')));
}

TEST(Zone, IsReadFromAnotherCopyOfTzdata) {
  const auto zone = Zone::LoadFrom("/usr/share/zoneinfo", "Asia/Tokyo");
  ASSERT_TRUE(zone) << zone.error().message;
  EXPECT_EQ((*zone)->At(0).offset, 9 * 3600);
  EXPECT_FALSE(Zone::LoadFrom("/nowhere", "Asia/Tokyo"));
  EXPECT_FALSE(Zone::LoadFrom("relative", "Asia/Tokyo"));
}

// Beyond the table years stand for years of their shape: does that give what the rule gives?
RC_GTEST_PROP(Zone, HasTheOffsetsOfTzdataUpToTheYear9999, ()) {
  const std::string name =
      *rc::gen::element<std::string>("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca",
                                     "Asia/Gaza", "America/Santiago", "Antarctica/Troll", "Asia/Tokyo", "Pacific/Apia");
  const auto zone = Zone::Load(name).value();
  cctz::time_zone same;
  RC_ASSERT(cctz::load_time_zone(name, &same));
  const Seconds at = *rc::gen::inRange(kFirst, kEnd);
  const Zone::Stretch stretch = zone->At(at);
  const auto offset = [&](Seconds t) { return same.lookup(cctz::time_point<cctz::seconds>(cctz::seconds(t))).offset; };
  RC_ASSERT(stretch.begin <= at);
  RC_ASSERT(stretch.end > at);
  for (const Seconds t : {at, std::max(stretch.begin, kFirst), std::min(stretch.end - 1, kEnd)}) {
    RC_ASSERT(offset(t) == stretch.offset);
  }
  if (stretch.begin > kFirst) RC_ASSERT(offset(stretch.begin - 1) == stretch.before);
  if (stretch.end < kEnd) RC_ASSERT(offset(stretch.end) == stretch.after);
}

}  // namespace
}  // namespace escapement
