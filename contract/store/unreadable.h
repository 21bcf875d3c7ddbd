// What a store does with a job that a newer program wrote. Each store's test overwrites the definition in its own way.
#pragma once

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/schedule.h"
#include "ports/job_store.h"

namespace escapement {

// A definition of the future, as stores keep them.
inline constexpr const char* kFutureDefinition = R"({"schedule":"lunar new-moon","task":"work"})";

// `overwrite` makes the job's stored definition kFutureDefinition. The store is migrated and empty.
inline void ExpectThatAnUnreadableJobSpoilsNoList(JobStore& store,
                                                  const std::function<void(const std::string&)>& overwrite) {
  const Schedule hourly = Schedule::Every({.interval = std::chrono::hours(1)}).value();
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(store.Enqueue({JobDefinition{.id = id, .schedule = hourly, .task = "work"}}));
  }
  overwrite("b");
  // In pages: the unreadable one counts as one.
  const auto jobs = store.List({.limit = 2});
  ASSERT_TRUE(jobs) << jobs.error().message;
  ASSERT_EQ(jobs->size(), 2U);
  EXPECT_EQ((*jobs)[0].unreadable, "");
  EXPECT_EQ((*jobs)[0].definition.schedule, hourly);
  EXPECT_EQ((*jobs)[1].definition.id, "b");
  EXPECT_THAT((*jobs)[1].unreadable, testing::HasSubstr("lunar"));
  EXPECT_EQ((*jobs)[1].state, JobState::kActive);
  const auto rest = store.List({.after_id = "b"});
  ASSERT_TRUE(rest && rest->size() == 1);
  EXPECT_EQ(rest->front().definition.id, "c");

  const auto archived = store.ExportJobs("", 10);
  ASSERT_TRUE(archived) << archived.error().message;
  ASSERT_EQ(archived->size(), 3U);
  EXPECT_EQ((*archived)[0].unreadable + (*archived)[2].unreadable, "");
  EXPECT_EQ((*archived)[1].definition.id, "b");
  EXPECT_THAT((*archived)[1].unreadable, testing::HasSubstr("lunar"));
  EXPECT_EQ((*archived)[1].present.created_at, (*jobs)[1].created_at);

  const auto one = store.Get("b");
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error().code, Code::kUnsupported);
  EXPECT_THAT(one.error().message, testing::AllOf(testing::HasSubstr("job 'b'"), testing::HasSubstr("lunar")));
  EXPECT_TRUE(store.Remove("b")) << "what cannot be read can be removed";
}

}  // namespace escapement
