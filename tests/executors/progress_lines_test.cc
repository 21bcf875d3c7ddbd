#include "executors/process/progress_lines.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace escapement {
namespace {

using Told = std::vector<std::pair<double, std::string>>;

struct Read {
  std::string output;
  Told told;
};

// The text in pieces of this size.
Read ReadText(const std::string& text, std::size_t piece) {
  Read read;
  ProgressLines lines([&](std::string_view output) { read.output += output; },
                      [&](double part, std::string note) { read.told.emplace_back(part, std::move(note)); });
  for (std::size_t at = 0; at < text.size(); at += piece) lines.Append(std::string_view(text).substr(at, piece));
  lines.End();
  return read;
}

TEST(ProgressLines, TakesThemOutOfTheOutputHoweverItIsCut) {
  const std::string text =
      "begin\n##progress 0.25\n##progress 50%\n#\n##\n##progress 75% of the files \xC3\xA9\r\nin between ##progress "
      "0.9\n"
      "##progress\n##progressive\n##progress 1 ##progress 0\n\nend";
  const Told told = {{0.25, ""}, {0.5, ""}, {0.75, "of the files \xC3\xA9"}, {1, "##progress 0"}};
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    const Read read = ReadText(text, piece);
    EXPECT_EQ(read.told, told) << piece;
    EXPECT_EQ(read.output, "begin\n#\n##\nin between ##progress 0.9\n##progress\n##progressive\n\nend") << piece;
  }
}

TEST(ProgressLines, WhatIsMalformedIsOutput) {
  for (const char* rest : {"", "half", "1.5", "-0.1", "101%", "nan", "inf", "0.5x", "0.5%x", "50 %%", " 0.5", "%",
                           "1e9", "0x1", "+0.5", "0,5", "12"}) {
    const std::string text = std::string("##progress ") + rest + "\n";
    for (const std::size_t piece : {std::size_t{1}, text.size()}) {
      const Read read = ReadText(text, piece);
      EXPECT_EQ(read.output, text);
      EXPECT_EQ(read.told, Told()) << rest;
    }
  }
}

TEST(ProgressLines, TheLastLineNeedsNoEnd) {
  EXPECT_EQ(ReadText("##progress 1", 3).told, (Told{{1, ""}}));
  EXPECT_EQ(ReadText("##progress 1", 3).output, "");
  EXPECT_EQ(ReadText("##progr", 3).output, "##progr");
  EXPECT_EQ(ReadText("", 1).output, "");
}

TEST(ProgressLines, ALineThatIsTooLongIsOutput) {
  for (const std::size_t size : {kProgressLineLimit, kProgressLineLimit + 1}) {
    std::string line = "##progress 0.5 ";
    line.resize(size, 'x');
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, 2 * size}) {
      const Read read = ReadText(line + "\nrest\n", piece);
      EXPECT_EQ(read.told.size(), size == kProgressLineLimit ? 1U : 0U) << piece;
      EXPECT_EQ(read.output, (size == kProgressLineLimit ? "" : line + "\n") + "rest\n") << piece;
    }
  }
}

TEST(ProgressLines, HoldsBackNothingButWhatMayBecomeOne) {
  std::string output;
  ProgressLines lines([&](std::string_view text) { output += text; }, [](double, const std::string&) {});
  lines.Append("a\n##pro");
  EXPECT_EQ(output, "a\n");
  lines.Append("mise");
  EXPECT_EQ(output, "a\n##promise");
  lines.Append("##progress 0.5");
  EXPECT_EQ(output, "a\n##promise##progress 0.5") << "it does not begin the line";
}

}  // namespace
}  // namespace escapement
