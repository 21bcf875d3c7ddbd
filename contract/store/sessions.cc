// Schema, time and sessions: who is alive.

#include "contract/store_contract.h"

namespace escapement {

// --- schema and time

TEST_P(StoreContract, MigratingAgainIsHarmless) {
  Enqueue(Hourly("a"));
  EXPECT_TRUE(store_->Migrate());
  EXPECT_TRUE(store_->CheckSchema());
  EXPECT_TRUE(Exists("a"));
}

TEST_P(StoreContract, EveryConnectionReadsTheSameClock) {
  const auto other = Connect();
  const Instant first = Must(store_->Now());
  const Instant second = Must(other->Now());
  EXPECT_LE(first, second);
  EXPECT_LE(second, Must(store_->Now()));
}

// --- sessions

TEST_P(StoreContract, EverySessionIsNew) { EXPECT_NE(OpenSession("pod"), OpenSession("pod")); }

TEST_P(StoreContract, ABeatRaisesItsCounterAndShowsAllLiveSessions) {
  const SessionId a = OpenSession("a");
  const SessionId b = OpenSession("b");
  const std::int64_t before = BeatOf(a);
  const BeatReply reply = Must(store_->Beat({.session = a, .rate = 2.5, .owned = 7}));
  EXPECT_TRUE(reply.live);
  EXPECT_GE(reply.store_time, start_);
  std::map<SessionId, SessionView> views;
  for (const SessionView& view : reply.sessions) views[view.id] = view;
  ASSERT_EQ(views.size(), 2U);
  EXPECT_EQ(views[a].pod, "a");
  EXPECT_GT(views[a].beat, before);
  EXPECT_EQ(views[a].ttl, std::chrono::seconds(5));
  EXPECT_EQ(views[a].rate, 2.5);
  EXPECT_EQ(views[a].owned, 7);
  EXPECT_EQ(views[b].pod, "b");
}

TEST_P(StoreContract, PodsListsLiveSessionsWithWhatTheyPublished) {
  const SessionId a = OpenSession("a");
  const SessionId b = OpenSession("b");
  Must(store_->Beat({.session = a, .rate = 1.5, .owned = 3}));
  Must(store_->EndSession(b));
  const auto pods = Must(store_->Pods());
  ASSERT_EQ(pods.size(), 1U);
  EXPECT_EQ(pods[0].name, "a");
  EXPECT_EQ(pods[0].session, a);
  EXPECT_EQ(pods[0].rate, 1.5);
  EXPECT_EQ(pods[0].owned, 3);
}

TEST_P(StoreContract, ProgressIsWhatLiveSessionsSentWithTheirLastBeat) {
  const auto of = [&](const std::string& job, int attempt, const std::string& pod) {
    return RunProgress{.job_id = job,
                       .fire_time = start_ + std::chrono::microseconds(attempt),
                       .attempt = attempt,
                       .part = 0.1 * attempt,
                       .note = "of \"\xC3\xA9\"\t\\",
                       .told_at = start_ + kDay,
                       .pod = pod};
  };
  const SessionId a = OpenSession("a");
  const SessionId b = OpenSession("b");
  EXPECT_EQ(Must(store_->Progress("")), (std::vector<RunProgress>{}));
  Must(store_->Beat({.session = a, .progress = {of("x", 1, ""), of("y", 2, "")}}));
  Must(store_->Beat({.session = b, .progress = {of("x", 3, "")}}));
  EXPECT_EQ(Must(store_->Progress("")), (std::vector<RunProgress>{of("x", 1, "a"), of("x", 3, "b"), of("y", 2, "a")}));
  EXPECT_EQ(Must(store_->Progress("y")), (std::vector<RunProgress>{of("y", 2, "a")}));
  EXPECT_EQ(Must(store_->Progress("none")), (std::vector<RunProgress>{}));
  // In place of what it sent before, be it nothing; whoever is no more tells nothing.
  Must(store_->Beat({.session = a, .progress = {of("z", 4, "")}}));
  EXPECT_EQ(Must(Connect()->Progress("")), (std::vector<RunProgress>{of("x", 3, "b"), of("z", 4, "a")}));
  Must(store_->EndSession(b));
  EXPECT_EQ(Must(store_->Progress("")), (std::vector<RunProgress>{of("z", 4, "a")}));
  Must(store_->Beat({.session = b, .progress = {of("x", 5, "")}}));
  EXPECT_EQ(Must(store_->Progress("x")), (std::vector<RunProgress>{}));
  Must(store_->Beat({.session = a}));
  EXPECT_EQ(Must(store_->Progress("")), (std::vector<RunProgress>{}));
  Must(store_->Beat({.session = a, .progress = {of("z", 4, "")}}));
  Bury(a);
  EXPECT_EQ(Must(store_->Progress("")), (std::vector<RunProgress>{}));
}

TEST_P(StoreContract, AThousandRunsTellTheirProgressInOneBeat) {
  const SessionId session = OpenSession("a");
  std::vector<RunProgress> progress;
  for (int i = 0; i < 1'000; ++i) {
    progress.push_back({.job_id = "job " + std::to_string(1'000 + i),
                        .fire_time = start_,
                        .part = i / 1'000.0,
                        .note = std::string(kNoteLimit, '"'),
                        .told_at = start_});
  }
  Must(store_->Beat({.session = session, .progress = progress}));
  for (RunProgress& p : progress) p.pod = "a";
  EXPECT_EQ(Must(store_->Progress("")), progress);
}

TEST_P(StoreContract, AnEndedSessionNeverBeatsClaimsBeginsOrCommits) {
  for (const bool reclaimed : {true, false}) {
    const std::string id = reclaimed ? "reclaimed" : "ended";
    const SessionId session = OpenSession();
    const ClaimedJob job = Own(session, Hourly(id));
    if (reclaimed) {
      Bury(session);
    } else {
      Must(store_->EndSession(session));
    }
    EXPECT_FALSE(Must(store_->Beat({.session = session})).live);
    const ClaimReply claim = Must(store_->Claim({session, kDay, 10, {"default"}}));
    EXPECT_FALSE(claim.live);
    EXPECT_TRUE(claim.jobs.empty());
    EXPECT_TRUE(Must(store_->Recover(session, {})).jobs.empty());
    EXPECT_FALSE(
        Must(store_->Begin(session, {{job.key, job.fence, job.present.fire_time, job.present.attempt}})).at(0));
    EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kStale);
    EXPECT_EQ(Get(id).settled_total, 0);
    Must(store_->Remove(id));
  }
}

TEST_P(StoreContract, ASessionThatNeverWasIsNotLive) {
  EXPECT_FALSE(Must(store_->Beat({.session = 987'654'321})).live);
  EXPECT_FALSE(Must(store_->Claim({987'654'321, kDay, 10, {"default"}})).live);
  EXPECT_FALSE(Must(store_->Reclaim(987'654'321, 1)).ended);
  EXPECT_TRUE(store_->EndSession(987'654'321));
}

TEST_P(StoreContract, ReclaimOfASessionThatBeatAgainDoesNothing) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  const std::int64_t seen = BeatOf(session);
  BeatOf(session);
  const ReclaimReply reply = Must(store_->Reclaim(session, seen));
  EXPECT_FALSE(reply.ended);
  EXPECT_EQ(reply.jobs, 0);
  EXPECT_EQ(Commit(session, Finish(job)).outcome, CommitOutcome::kApplied);
}

TEST_P(StoreContract, ReclaimHandsJobsBackAndCountsThemLost) {
  const SessionId dead = OpenSession();
  Enqueue(Hourly("a"));
  Enqueue(Hourly("b"));
  const auto owned = Claim(dead);
  ASSERT_EQ(owned.size(), 2U);
  const std::int64_t beat = BeatOf(dead);
  const ReclaimReply reply = Must(store_->Reclaim(dead, beat));
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(reply.jobs, 2);
  EXPECT_EQ(reply.still_owned, 0);
  EXPECT_FALSE(Must(store_->Reclaim(dead, beat)).ended) << "it was ended before";

  EXPECT_GT(Get("a").fence, owned[0].fence) << "what the dead pod still does is stale before the next owner comes";
  const SessionId heir = OpenSession();
  EXPECT_TRUE(Claim(heir, 10, kMinute).empty()) << "the time to look is never earlier";
  const auto inherited = Claim(heir);
  ASSERT_EQ(inherited.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(inherited[i].present.fire_time, owned[i].present.fire_time);
    EXPECT_EQ(inherited[i].present.due_at, owned[i].present.due_at) << "the time to look is never earlier";
    EXPECT_EQ(inherited[i].present.attempt, 1);
    EXPECT_EQ(inherited[i].present.lost, 1);
    EXPECT_GT(inherited[i].fence, owned[i].fence);
  }
  EXPECT_EQ(Get("a").settled_total, 0) << "reclaim settles nothing";
}

TEST_P(StoreContract, EndingOnesOwnSessionLosesNothing) {
  const SessionId session = OpenSession();
  const ClaimedJob job = Own(session, Hourly("a"));
  Must(store_->EndSession(session));
  EXPECT_TRUE(store_->EndSession(session)) << "idempotent";
  const ClaimedJob again = ClaimOne(OpenSession());
  EXPECT_EQ(again.present.lost, 0);
  EXPECT_EQ(again.present.due_at, job.present.due_at);
  EXPECT_GT(again.fence, job.fence);
}

}  // namespace escapement
