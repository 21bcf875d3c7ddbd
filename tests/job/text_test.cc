#include "job/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace escapement {
namespace {

using namespace std::string_literals;

TEST(Text, KnowsWhatIsUtf8) {
  for (const auto& good : {""s, "plain"s, "z\xC3\xBCrich"s, "\xE2\x82\xAC"s, "\xF0\x9F\x98\x80"s, "a\nb"s}) {
    EXPECT_TRUE(IsValidText(good)) << good;
  }
  for (const auto& bad : {"\0"s, "\x80"s, "\xC3"s, "\xC0\x80"s, "\xE0\x80\x80"s, "\xED\xA0\x80"s, "\xF4\x90\x80\x80"s,
                          "\xF8\x88\x80\x80\x80"s, "\xE2\x82"s, "\xFF"s}) {
    EXPECT_FALSE(IsValidText(bad));
  }
  EXPECT_FALSE(IsPrintableText("a\nb"));
  EXPECT_FALSE(IsPrintableText("\x7F"));
  EXPECT_FALSE(IsPrintableText("\xC2\x85"));
}

TEST(Text, ReplacesOnlyWhatIsNotValid) {
  EXPECT_EQ(MakeValidText("a\0b\xFF"
                          "c"s),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD"
            "c");
  EXPECT_EQ(MakeValidText("z\xC3\xBC", 2), "z") << "never cuts a character";
}

TEST(Text, OfATailTheFrontIsCut) {
  EXPECT_EQ(MakeValidTail("abcdef", 3), "def");
  EXPECT_EQ(MakeValidTail("ab\0c"s, 9),
            "ab\xEF\xBF\xBD"
            "c");
  EXPECT_EQ(MakeValidTail("\xFF\xFF\xFF", 4), "\xEF\xBF\xBD") << "bounded after the replacement too";
  EXPECT_TRUE(IsValidText(MakeValidTail("z\xC3\xBC\xC3\xBC", 3)));
  EXPECT_EQ(MakeValidTail("", 3), "");
}

RC_GTEST_PROP(Text, MadeValidIsValidAndBounded, (const std::string& text)) {
  const auto limit = *rc::gen::inRange<std::size_t>(0, 40);
  const std::string valid = MakeValidText(text, limit);
  RC_ASSERT(IsValidText(valid));
  RC_ASSERT(valid.size() <= limit);
  if (IsValidText(text) && text.size() <= limit) RC_ASSERT(valid == text);
}

}  // namespace
}  // namespace escapement
