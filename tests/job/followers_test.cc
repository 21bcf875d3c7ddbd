#include "job/followers.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace escapement {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

JobDefinition Job(const std::string& id, const std::vector<std::string>& on_success = {}) {
  return {.id = id, .schedule = Schedule::Manual(), .task = "work", .on_success = on_success};
}

Status Checked(const std::vector<JobDefinition>& jobs, const std::map<std::string, JobDefinition>& stored = {}) {
  return CheckFollowers(jobs, [&](const std::string& id) -> Result<std::optional<JobDefinition>> {
    const auto it = stored.find(id);
    return it == stored.end() ? std::nullopt : std::optional(it->second);
  });
}

TEST(Followers, DependOnTheVerdict) {
  JobDefinition job = Job("a", {"good"});
  job.on_failure = {"bad"};
  job.on_end = {"any", "good"};
  EXPECT_THAT(FollowersOf(job, Verdict::kSucceeded, 1), ElementsAre("good", "any"));
  for (const Verdict verdict : {Verdict::kFailed, Verdict::kTimedOut, Verdict::kLost}) {
    EXPECT_THAT(FollowersOf(job, verdict, 1), ElementsAre("bad", "any", "good"));
    EXPECT_THAT(FollowersOf(job, verdict, 0), IsEmpty()) << "it is tried again";
  }
  EXPECT_THAT(FollowersOf(job, Verdict::kCancelled, 1), ElementsAre("any", "good"));
  for (const Verdict verdict : {Verdict::kSkippedMisfired, Verdict::kSkippedOverlapped, Verdict::kSkippedPaused}) {
    EXPECT_THAT(FollowersOf(job, verdict, 3), IsEmpty());
  }
}

TEST(Followers, MayNotComeRound) {
  EXPECT_TRUE(Checked({Job("a", {"b", "c"}), Job("b", {"c"}), Job("c")}));
  const Status circle = Checked({Job("a", {"b"})}, {{"b", Job("b", {"c"})}, {"c", Job("c", {"a"})}});
  ASSERT_FALSE(circle);
  EXPECT_EQ(circle.error().code, Code::kInvalidArgument);
  EXPECT_THAT(circle.error().message, HasSubstr("a -> b -> c -> a"));
  // What the batch says of a job counts, and not what the store has of it.
  EXPECT_TRUE(Checked({Job("a", {"b"}), Job("b")}, {{"a", Job("a")}, {"b", Job("b", {"a"})}}));
  EXPECT_FALSE(Checked({Job("a", {"b"}), Job("b", {"a"})}));
}

TEST(Followers, MustBeThere) {
  const Status status = Checked({Job("a", {"nobody"})});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("'a' is to be followed by 'nobody', which is not there"));
}

TEST(Followers, OfALongWayAreRefused) {
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 1002; ++i) jobs.push_back(Job(std::to_string(i), {std::to_string(i + 1)}));
  jobs.push_back(Job("1002"));
  EXPECT_FALSE(Checked(jobs));
  jobs.erase(jobs.begin(), jobs.begin() + 10);
  EXPECT_TRUE(Checked(jobs));
}

}  // namespace
}  // namespace escapement
