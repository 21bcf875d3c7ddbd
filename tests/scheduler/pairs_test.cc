// Which locks go with which store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "escapement/scheduler.h"

namespace escapement {
namespace {

Error ErrorOf(const std::string& store, const std::string& locks) {
  auto opened = Scheduler::Open({.store_url = store, .locks_url = locks});
  return opened ? Error{Code::kInternal, "it opened"} : opened.error();
}

TEST(Pairs, ThoseThatMakeNoSenseAreRefusedBeforeAnythingIsAsked) {
  // Nothing listens there: whoever asked would be told so.
  const std::string postgres = "postgresql://app:secret@127.0.0.1:1/app";
  const std::string redis = "redis://:secret@127.0.0.1:1/0";
  const std::string sqlite = "sqlite:/nowhere/at/all.db";
  const std::pair<std::string, std::string> kBad[] = {{"memory:", redis}, {"memory:", sqlite}, {"memory:", postgres},
                                                      {sqlite, postgres}, {postgres, sqlite},  {redis, sqlite},
                                                      {redis, postgres}};
  for (const auto& [store, locks] : kBad) {
    SCOPED_TRACE(store + " with " + locks);
    const Error error = ErrorOf(store, locks);
    EXPECT_EQ(error.code, Code::kInvalidArgument);
    EXPECT_THAT(error.message, testing::HasSubstr("locks"));
    EXPECT_THAT(error.message, testing::Not(testing::HasSubstr("secret")));
  }
  EXPECT_EQ(ErrorOf(postgres, redis).code, Code::kUnavailable);
  EXPECT_EQ(ErrorOf(postgres, "").code, Code::kUnavailable);
  EXPECT_EQ(ErrorOf(redis, "").code, Code::kUnavailable);
  EXPECT_EQ(ErrorOf(redis, "memory:").code, Code::kUnavailable);
  EXPECT_EQ(ErrorOf("memory:", "").message, "it opened");
  EXPECT_EQ(ErrorOf("memory:", "memory:").message, "it opened");
}

TEST(Pairs, UnknownUrlsSayWhatThereIs) {
  for (const char* url : {"", "mysql://h/d", "/tmp/file.db", "sqlite"}) {
    const Error error = ErrorOf(url, "");
    EXPECT_EQ(error.code, Code::kInvalidArgument) << url;
    for (const char* kind : {"sqlite:", "postgresql://", "redis://", "memory:"}) {
      EXPECT_THAT(error.message, testing::HasSubstr(kind));
    }
  }
  EXPECT_THAT(ErrorOf("memory:", "zookeeper://h").message, testing::HasSubstr("locks URL"));
}

}  // namespace
}  // namespace escapement
