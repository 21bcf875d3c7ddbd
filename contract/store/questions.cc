// Questions, and upkeep.

#include "contract/store_contract.h"

namespace escapement {

TEST_P(StoreContract, ListFiltersByPrefixStateAndLimit) {
  for (const char* id : {"job-1", "job-2", "job-3", "other", "job%", "job_4"}) Enqueue(Hourly(id));
  Must(store_->Pause("job-2"));
  const auto list = [&](const JobFilter& filter) {
    std::set<std::string> ids;
    for (const JobInfo& info : Must(store_->List(filter))) ids.insert(info.definition.id);
    return ids;
  };
  EXPECT_THAT(list({}), testing::SizeIs(6));
  EXPECT_THAT(list({.id_prefix = "job-"}), testing::ElementsAre("job-1", "job-2", "job-3"));
  EXPECT_THAT(list({.id_prefix = "job_"}), testing::ElementsAre("job_4")) << "a prefix is not a pattern";
  EXPECT_THAT(list({.id_prefix = "job%"}), testing::ElementsAre("job%"));
  EXPECT_THAT(list({.state = JobState::kPaused}), testing::ElementsAre("job-2"));
  EXPECT_THAT(list({.id_prefix = "job-", .limit = 2}), testing::SizeIs(2));
}

TEST_P(StoreContract, ListGoesOnAfterAnId) {
  for (const char* id : {"b/2", "a", "b/1", "c", "b/3"}) Enqueue(Hourly(id));
  const auto ids = [&](const JobFilter& filter) {
    std::vector<std::string> found;
    for (const JobInfo& job : Must(store_->List(filter))) found.push_back(job.definition.id);
    return found;
  };
  EXPECT_THAT(ids({.after_id = "b/1"}), testing::ElementsAre("b/2", "b/3", "c"));
  EXPECT_THAT(ids({.after_id = "b", .limit = 2}), testing::ElementsAre("b/1", "b/2"));
  EXPECT_THAT(ids({.id_prefix = "b/", .after_id = "b/2"}), testing::ElementsAre("b/3"));
  EXPECT_THAT(ids({.id_prefix = "b/", .after_id = "a"}), testing::ElementsAre("b/1", "b/2", "b/3"));
  EXPECT_THAT(ids({.after_id = "c"}), testing::IsEmpty());
}

TEST_P(StoreContract, ListFiltersByMetadata) {
  const auto add = [&](const std::string& id, const std::map<std::string, std::string>& metadata) {
    JobDefinition job = Hourly(id);
    job.metadata = metadata;
    Enqueue(job);
  };
  add("a", {{"tenant", "acme"}, {"tier", "gold"}});
  add("b", {{"tenant", "acme"}});
  add("c", {{"tenant", "Acme"}, {"z\xC3\xBCrich's \"%\"", "\\ 'x'"}});
  add("d", {{"tier", "acme"}});
  add("e", {});
  Must(store_->Pause("b"));
  const auto ids = [&](const JobFilter& filter) {
    std::vector<std::string> found;
    for (const JobInfo& job : Must(store_->List(filter))) found.push_back(job.definition.id);
    return found;
  };
  using testing::ElementsAre;
  EXPECT_THAT(ids({.metadata = {{"tenant", "acme"}}}), ElementsAre("a", "b"));
  EXPECT_THAT(ids({.metadata = {{"tenant", "acme"}, {"tier", "gold"}}}), ElementsAre("a"));
  EXPECT_THAT(ids({.metadata = {{"z\xC3\xBCrich's \"%\"", "\\ 'x'"}}}), ElementsAre("c"));
  EXPECT_THAT(ids({.metadata = {{"tenant", ""}}}), testing::IsEmpty());
  EXPECT_THAT(ids({.metadata = {{"tenant", "acm%"}}}), testing::IsEmpty());
  EXPECT_THAT(ids({.state = JobState::kPaused, .metadata = {{"tenant", "acme"}}}), ElementsAre("b"));
  EXPECT_THAT(ids({.metadata = {{"tenant", "acme"}}, .limit = 1}), ElementsAre("a"));
  EXPECT_THAT(ids({.after_id = "a", .metadata = {{"tenant", "acme"}}, .limit = 1}), ElementsAre("b"));
  EXPECT_THAT(ids({.id_prefix = "b", .metadata = {{"tenant", "acme"}}}), ElementsAre("b"));
  EXPECT_EQ(Get("a").definition.metadata, (std::map<std::string, std::string>{{"tenant", "acme"}, {"tier", "gold"}}));
}

TEST_P(StoreContract, AFilterByMetadataFindsWhatLiesFarApart) {
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 700; ++i) {
    std::string id = std::to_string(1000 + i);
    jobs.push_back(Hourly(id));
    if (i % 233 == 0) jobs.back().metadata = {{"rare", "yes"}};
  }
  Must(store_->Enqueue(jobs));
  std::vector<std::string> found;
  JobFilter filter{.metadata = {{"rare", "yes"}}, .limit = 2};
  for (bool more = true; more;) {
    const auto page = Must(store_->List(filter));
    for (const JobInfo& job : page) found.push_back(job.definition.id);
    more = page.size() == 2;
    if (more) filter.after_id = found.back();
  }
  EXPECT_THAT(found, testing::ElementsAre("1000", "1233", "1466", "1699"));
}

TEST_P(StoreContract, RunsFilterByJobWindowAndLimitNewestFirst) {
  const SessionId session = OpenSession();
  ClaimedJob job = Own(session, Hourly("a"));
  const Instant first = job.present.fire_time;
  for (int i = 0; i < 4; ++i) {
    const Completion completion = Finish(job, Verdict::kSucceeded, /*keep=*/true);
    Commit(session, completion);
    job.present = Advance(job.present, completion.next);
  }
  Enqueue(Hourly("b"));
  Commit(session, Finish(ClaimOne(session)));
  EXPECT_EQ(Must(store_->Runs({})).size(), 5U);
  EXPECT_EQ(Runs("b").size(), 1U);
  EXPECT_EQ(Runs("a").at(0).fire_time, first + 3 * kHour);
  const auto limited = Must(store_->Runs({.job_id = "a", .limit = 2}));
  ASSERT_EQ(limited.size(), 2U);
  EXPECT_EQ(limited[1].fire_time, first + 2 * kHour);
  const auto window = Must(store_->Runs({.job_id = "a", .fire_from = first + kHour, .fire_to = first + 3 * kHour}));
  ASSERT_EQ(window.size(), 2U);
  EXPECT_EQ(window[0].fire_time, first + 2 * kHour);
  EXPECT_EQ(window[1].fire_time, first + kHour);
}

TEST_P(StoreContract, StatsCountJobsByStateAndTheOverdue) {
  Enqueue(Once("overdue", -kMinute));
  Enqueue(Hourly("future"));
  Enqueue(Hourly("paused"));
  Must(store_->Pause("paused"));
  StoreStats stats = Must(store_->Stats());
  EXPECT_EQ(stats.jobs[JobState::kActive], 2);
  EXPECT_EQ(stats.jobs[JobState::kPaused], 1);
  EXPECT_EQ(stats.overdue, 1);
  const SessionId session = OpenSession();
  const auto jobs = Claim(session, 10, Duration::zero());
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(Must(store_->Stats()).overdue, 0) << "it is owned";
  Commit(session, Finish(jobs[0]));
  EXPECT_EQ(Must(store_->Stats()).jobs[JobState::kFinished], 1);
}

TEST_P(StoreContract, TheTotalRateIsThatOfAllActiveJobs) {
  for (int i = 0; i < 5; ++i) {
    Enqueue({.id = std::to_string(i), .schedule = Grid(std::chrono::milliseconds(500), kHour), .task = "work"});
  }
  Must(store_->Pause("0"));
  Must(store_->Maintain({}));
  EXPECT_NEAR(Must(store_->Beat({.session = OpenSession()})).total_rate, 8.0, 1e-6);
}

TEST_P(StoreContract, MaintainingIsHarmlessAtAnyTime) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Commit(session, Finish(job, Verdict::kSucceeded, /*keep=*/true));
  const auto other = Connect();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(store_->Maintain({.history_days = 1}));
    EXPECT_TRUE(other->Maintain({.history_days = 1}));
  }
  EXPECT_EQ(Runs("a").size(), 1U) << "young history stays";
  EXPECT_EQ(Get("a").settled_total, 1);
  EXPECT_EQ(Must(store_->Recover(session, {})).jobs.size(), 1U);
}

}  // namespace escapement
