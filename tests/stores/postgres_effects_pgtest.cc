// What a task does in its own transaction: escapement.check_fence and escapement.complete.
#include <functional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/handler.h"
#include "postgres/connection.h"
#include "servers/servers.h"
#include "stores/postgres/postgres_store.h"

namespace escapement {
namespace {

using postgres::Connection;
using postgres::Params;
using postgres::Query;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr const char* kStale = "ZE001";
constexpr const char* kCompleted = "ZE002";

// With any role, an effect and a function of a run, as a task has them.
class TaskConnection {
 public:
  explicit TaskConnection(const std::string& url) : db_(url, "task") {}
  Connection& db() { return db_; }
  bool Run(const std::string& sql) { return db_.Run(sql).has_value(); }
  // The SQLSTATE, or "" when it passed.
  std::string Check(const std::string& token) { return Call({"check", "SELECT escapement.check_fence($1)"}, token); }
  std::string Complete(const std::string& token) { return Call({"complete", "SELECT escapement.complete($1)"}, token); }
  // As a whole transaction.
  std::string WriteAnd(std::string (TaskConnection::*call)(const std::string&), const std::string& token,
                       const std::string& effect) {
    EXPECT_TRUE(Run("BEGIN; INSERT INTO effects VALUES ('" + effect + "')"));
    std::string state = (this->*call)(token);
    EXPECT_TRUE(Run(state.empty() ? "COMMIT" : "ROLLBACK"));
    return state;
  }

 private:
  std::string Call(const Query& query, const std::string& token) {
    message_.clear();
    auto rows = db_.Execute(query, Params().Add(token));
    if (rows) return "";
    message_ = rows.error().message;
    return db_.last_sqlstate();
  }

  Connection db_;
  std::string message_;
};

class PostgresEffects : public testing::Test {
 protected:
  void SetUp() override {
    // A database for each test; nothing here is about what survives a crash of the server.
    static const auto server = PrivateServer::Postgres({.durable = false});
    ASSERT_TRUE(server) << "no private PostgreSQL could be started";
    url_ = Fresh((*server)->url());
    store_ = *(*PostgresStoreFactory::Create(url_))->Open();
    ASSERT_TRUE(store_->Migrate());
    task_ = std::make_unique<TaskConnection>(url_);
    ASSERT_TRUE(task_->Run("CREATE TABLE effects (what text)"));
    start_ = *store_->Now();
    pod_ = OpenSession("pod");
  }

  static std::string Fresh(const std::string& url) {
    static int count = 0;
    const std::string name = fmt::format("effects_{}", ++count);
    EXPECT_TRUE(Connection(url, "test").Run("CREATE DATABASE " + name));
    return url.substr(0, url.rfind('/') + 1) + name;
  }

  SessionId OpenSession(const std::string& pod) { return *store_->OpenSession({pod, seconds(5)}); }
  JobDefinition Hourly(const std::string& id) const {
    return {
        .id = id, .schedule = *Schedule::Every({.interval = hours(1), .anchor = start_ + minutes(10)}), .task = "work"};
  }
  std::vector<ClaimedJob> Claim(SessionId session) {
    auto reply = store_->Claim({session, hours(24), 100, {"default"}});
    EXPECT_TRUE(reply) << reply.error().message;
    return reply ? reply->jobs : std::vector<ClaimedJob>();
  }
  ClaimedJob ClaimOne(SessionId session) {
    auto jobs = Claim(session);
    if (jobs.size() != 1) throw std::runtime_error(fmt::format("claimed {} jobs instead of one", jobs.size()));
    return jobs[0];
  }
  ClaimedJob Own(const JobDefinition& job) {
    EXPECT_TRUE(store_->Enqueue({job}));
    return ClaimOne(pod_);
  }
  // What the pod of a claimed job hands to its task.
  static std::string Token(const ClaimedJob& job) {
    return RunContext{.job = job.definition,
                      .fire_time = job.present.fire_time,
                      .attempt = job.present.attempt,
                      .fence = job.fence,
                      .job_key = job.key,
                      .cancelled = {}}
        .Token();
  }
  static Completion Wrap(const ClaimedJob& job, const Settlement& s, bool keep = false) {
    return {job.key, job.fence, job.present.fire_time, job.present.attempt, job.present.version, s.run, s.next, keep};
  }
  static Completion Finish(const ClaimedJob& job, Verdict verdict, bool keep = false) {
    const Instant fire = job.present.fire_time;
    return Wrap(job, Settle(*job.definition, job.present, {verdict, fire, fire + Duration(5)}, fire), keep);
  }
  CommitOutcome Commit(SessionId session, const Completion& completion, JobStore* store = nullptr) {
    auto reply = (store != nullptr ? store : store_.get())->Commit(session, {completion});
    EXPECT_TRUE(reply) << reply.error().message;
    return reply ? reply->answers[0].outcome : CommitOutcome::kRefused;
  }
  ReclaimReply Reclaim(SessionId session) {
    const BeatReply seen = *store_->Beat({.session = OpenSession("observer")});
    for (const SessionView& view : seen.sessions) {
      if (view.id == session) return *store_->Reclaim(session, view.beat);
    }
    return *store_->Reclaim(session, 0);  // ended before: the rows that were left
  }
  std::vector<RunInfo> Runs(const std::string& id) { return *store_->Runs({.job_id = id}); }
  // What the next owner settles before it starts anything, and what becomes of it.
  Settlement SettleAs(SessionId session, const ClaimedJob& job) {
    auto settlement = SettleBeforeStart(*job.definition, job.present, job.present.fire_time);
    if (!settlement) throw std::runtime_error("it would be run again");
    EXPECT_EQ(Commit(session, Wrap(job, *settlement)), CommitOutcome::kApplied);
    return *settlement;
  }
  std::int64_t Count(const char* name, const char* sql) {
    auto rows = task_->db().Execute(Query{name, sql}, Params());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows ? rows->Int64(0, 0) : -1;
  }
  std::int64_t Effects() { return Count("count", "SELECT count(*) FROM effects"); }
  // Until a statement of an application waits: for a lock, or asleep.
  void AwaitBlocked(const char* application, const char* event_type = "Lock") {
    for (int i = 0; i < 60'000; ++i) {
      auto rows = task_->db().Execute({"blocked",
                                       "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND "
                                       "datname = current_database() AND wait_event_type = $2"},
                                      Params().Add(application).Add(event_type));
      if (rows && rows->Int64(0, 0) > 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL() << "nothing waits";
  }
  // Another one may be inside a transaction while this one looks on.
  std::unique_ptr<TaskConnection> AnotherTask() { return std::make_unique<TaskConnection>(url_); }

  std::string url_;
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<TaskConnection> task_;
  Instant start_;
  SessionId pod_ = 0;
};

// ---------------------------------------------------------------- check_fence

TEST_F(PostgresEffects, TheOwnersRunPassesTheCheck) {
  const std::string run = Token(Own(Hourly("a")));
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, run, "one"), "");
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, run, "two"), "") << "as often as it likes";
  EXPECT_EQ(Effects(), 2);
}

TEST_F(PostgresEffects, ARunThatLostItsJobIsStaleAndItsHeirIsNot) {
  const std::string run = Token(Own(Hourly("a")));
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, run, "stale"), kStale) << "nobody owns it";
  const std::string heir = Token(ClaimOne(OpenSession("heir")));
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, run, "stale"), kStale);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, run, "stale"), kStale);
  EXPECT_EQ(Effects(), 0);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, heir, "of the heir"), "");
  EXPECT_EQ(Effects(), 1);
}

TEST_F(PostgresEffects, ARunWhoseSessionEndedIsStaleBeforeItsJobIsHandedBack) {
  const std::string run = Token(Own(Hourly("a")));
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN; SELECT FROM escapement.jobs FOR UPDATE"));
  const ReclaimReply reply = Reclaim(pod_);
  ASSERT_TRUE(reply.ended);
  ASSERT_EQ(reply.still_owned, 1);
  ASSERT_TRUE(other->Run("ROLLBACK"));
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, run, "stale"), kStale);
}

TEST_F(PostgresEffects, ARunThatWasGivenUpIsStaleUnderTheSameFence) {
  JobDefinition job = Hourly("a");
  job.retry.max_attempts = 2;
  ClaimedJob held = Own(job);
  const std::string first = Token(held);
  const Completion timed_out = Finish(held, Verdict::kTimedOut, /*keep=*/true);
  ASSERT_EQ(Commit(pod_, timed_out), CommitOutcome::kApplied);
  held.present = Advance(held.present, timed_out.next);
  const std::string second = Token(held);
  EXPECT_EQ(task_->Check(first), kStale);
  EXPECT_EQ(task_->Check(second), "");
  const Completion succeeded = Finish(held, Verdict::kSucceeded, /*keep=*/true);
  ASSERT_EQ(Commit(pod_, succeeded), CommitOutcome::kApplied);
  held.present = Advance(held.present, succeeded.next);
  EXPECT_EQ(task_->Check(second), kStale);
  EXPECT_EQ(task_->Check(Token(held)), "") << "the next occurrence, under the same fence";
}

TEST_F(PostgresEffects, ReleasedAndSettledJobsHaveNoRun) {
  const ClaimedJob held = Own(Hourly("a"));
  ASSERT_TRUE(store_->Release(pod_, {{held.key, held.fence}}));
  EXPECT_EQ(task_->Check(Token(held)), kStale);
  ASSERT_TRUE(store_->Remove("a"));
  const ClaimedJob once = Own({.id = "once", .schedule = *Schedule::At(start_), .task = "work"});
  ASSERT_EQ(Commit(pod_, Finish(once, Verdict::kSucceeded)), CommitOutcome::kApplied);
  EXPECT_EQ(task_->Check(Token(once)), kStale) << "finished";
}

TEST_F(PostgresEffects, WhatIsNoRunIsRefused) {
  const ClaimedJob held = Own(Hourly("a"));
  EXPECT_EQ(task_->Check("999.1.1790000000000000.1"), kStale) << "an unknown job";
  for (const char* bad : {"", "a", "1.2.3", "1.2.3.4.5", "1.2.-3.4", "1.2.3.x", "9999999999999999999.1.1.1"}) {
    EXPECT_EQ(task_->Check(bad), "22023") << bad;
    EXPECT_EQ(task_->Complete(bad), "22023") << bad;
  }
  EXPECT_FALSE(task_->Run("SELECT escapement.check_fence(NULL)"));
}

TEST_F(PostgresEffects, ARemovedOrPausedJobsRunMayStillWrite) {
  const std::string run = Token(Own(Hourly("a")));
  ASSERT_TRUE(store_->Pause("a"));
  EXPECT_EQ(task_->Check(run), "") << "its commit would be accepted as well";
  ASSERT_TRUE(store_->Remove("a"));
  EXPECT_EQ(task_->Check(run), "");
}

TEST_F(PostgresEffects, NobodyIsGivenTheJobBeforeTheTransactionEnds) {
  const std::string run = Token(Own(Hourly("a")));
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN; INSERT INTO effects VALUES ('in time')"));
  ASSERT_EQ(other->Check(run), "");
  const ReclaimReply during = Reclaim(pod_);
  EXPECT_TRUE(during.ended) << "the pod's other jobs move";
  EXPECT_EQ(during.jobs, 0);
  EXPECT_EQ(during.still_owned, 1);
  const SessionId heir = OpenSession("heir");
  EXPECT_TRUE(Claim(heir).empty());
  ASSERT_TRUE(other->Run("COMMIT"));
  EXPECT_EQ(Effects(), 1);
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  EXPECT_EQ(Claim(heir).size(), 1U);
}

TEST_F(PostgresEffects, AVerdictWaitsForTheTransaction) {
  const ClaimedJob held = Own(Hourly("a"));
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN"));
  ASSERT_EQ(other->Check(Token(held)), "");
  const auto pods = *(*PostgresStoreFactory::Create(url_))->Open();
  CommitOutcome outcome = CommitOutcome::kRefused;
  {
    const std::jthread pod([&] { outcome = Commit(pod_, Finish(held, Verdict::kTimedOut), pods.get()); });
    AwaitBlocked("escapement");
    EXPECT_TRUE(other->Run("COMMIT"));
  }
  EXPECT_EQ(outcome, CommitOutcome::kApplied);
}

TEST_F(PostgresEffects, ATaskThatStandsStillInItsTransactionIsCutOff) {
  const std::string run = Token(Own(Hourly("a")));
  constexpr Query kLimit = {"limit", "SELECT current_setting('idle_in_transaction_session_timeout')"};
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0"));
  ASSERT_EQ(other->Check(run), "");
  EXPECT_EQ(other->db().Execute(kLimit, Params())->Text(0, 0), "5s") << "none is too long";
  ASSERT_TRUE(other->Run("ROLLBACK; BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1h'"));
  ASSERT_EQ(other->Check(run), "");
  EXPECT_EQ(other->db().Execute(kLimit, Params())->Text(0, 0), "5s");
  ASSERT_TRUE(other->Run("ROLLBACK; BEGIN; SET LOCAL idle_in_transaction_session_timeout = '50ms'"));
  ASSERT_EQ(other->Check(run), "");
  // It does nothing more; its job is handed back all the same.
  EXPECT_EQ(Reclaim(pod_).still_owned, 1);
  for (int i = 0; i < 60'000 && store_->Reclaim(pod_, 0)->jobs == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(Claim(OpenSession("heir")).size(), 1U);
}

TEST_F(PostgresEffects, ARunThatIsAheadOfItsPodsCommitsWaitsForThem) {
  ClaimedJob held = Own(Hourly("a"));
  const Completion first = Finish(held, Verdict::kSucceeded, /*keep=*/true);
  held.present = Advance(held.present, first.next);  // its pod has started it already
  const std::string second = Token(held);
  ASSERT_TRUE(task_->Run("BEGIN ISOLATION LEVEL REPEATABLE READ"));
  EXPECT_EQ(task_->Check(second), "40001") << "it would never see the commit";
  ASSERT_TRUE(task_->Run("ROLLBACK"));
  auto other = AnotherTask();
  std::string state = "none";
  {
    const std::jthread task([&] { state = other->Complete(second); });
    AwaitBlocked("task", "Timeout");
    EXPECT_EQ(Commit(pod_, first), CommitOutcome::kApplied) << "what waits for it locks nothing";
  }
  EXPECT_EQ(state, "");
  EXPECT_EQ(Commit(pod_, Finish(held, Verdict::kSucceeded)), CommitOutcome::kApplied);
}

TEST_F(PostgresEffects, ARunThatIsAheadOfItsPodsCommitsLearnsOfTheLoss) {
  ClaimedJob held = Own(Hourly("a"));
  held.present = Advance(held.present, Finish(held, Verdict::kSucceeded, true).next);
  auto other = AnotherTask();
  std::string state;
  {
    const std::jthread task([&] { state = other->Complete(Token(held)); });
    AwaitBlocked("task", "Timeout");
    EXPECT_EQ(Reclaim(pod_).jobs, 1);
  }
  EXPECT_EQ(state, kStale);
}

TEST_F(PostgresEffects, ATasksRoleNeedsNoRightsOnTheTables) {
  const std::string run = Token(Own(Hourly("a")));
  ASSERT_TRUE(task_->Run("CREATE ROLE app; GRANT USAGE ON SCHEMA escapement TO app; SET ROLE app"));
  EXPECT_EQ(task_->Check(run), "");
  EXPECT_EQ(task_->Complete(run), "");
  EXPECT_FALSE(task_->Run("UPDATE escapement.jobs SET fence = 0"));
  ASSERT_TRUE(task_->Run("RESET ROLE; DROP OWNED BY app; DROP ROLE app"));
}

// ---------------------------------------------------------------- complete

TEST_F(PostgresEffects, ACompletedRunIsSettledByItsPodAsAnyOther) {
  ClaimedJob held = Own(Hourly("a"));
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  const Completion done = Finish(held, Verdict::kSucceeded, /*keep=*/true);
  EXPECT_EQ(Commit(pod_, done), CommitOutcome::kApplied);
  EXPECT_EQ(Commit(pod_, done), CommitOutcome::kAlreadyApplied);
  EXPECT_EQ(Runs("a").size(), 1U);
  // The mark is not the next occurrence's.
  held.present = Advance(held.present, done.next);
  EXPECT_EQ(store_->Recover(pod_, {})->jobs.at(0).present.completed_at, std::nullopt);
  EXPECT_EQ(Commit(pod_, Finish(held, Verdict::kFailed, /*keep=*/true)), CommitOutcome::kApplied);
}

TEST_F(PostgresEffects, TheHeirOfACompletedRunSettlesItAndDoesNotRunItAgain) {
  const ClaimedJob held = Own(Hourly("a"));
  const Instant before = *store_->Now();
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  const SessionId heir = OpenSession("heir");
  const ClaimedJob inherited = ClaimOne(heir);
  ASSERT_TRUE(inherited.present.completed_at);
  EXPECT_GE(*inherited.present.completed_at, before);
  const Settlement settled = SettleAs(heir, inherited);
  EXPECT_EQ(settled.next.fire_time, held.present.fire_time + hours(1));
  const auto runs = Runs("a");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].verdict, Verdict::kSucceeded);
  EXPECT_EQ(runs[0].finished_at, inherited.present.completed_at);
  const Audit audit = *store_->AuditWindow("a", start_, start_ + hours(1));
  EXPECT_EQ(audit.expected, 1);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
  EXPECT_FALSE(ClaimOne(heir).present.completed_at) << "the next one is to run";
}

TEST_F(PostgresEffects, ACompletionThatIsRolledBackNeverWas) {
  const ClaimedJob held = Own(Hourly("a"));
  ASSERT_TRUE(task_->Run("BEGIN; INSERT INTO effects VALUES ('undone')"));
  ASSERT_EQ(task_->Complete(Token(held)), "");
  ASSERT_TRUE(task_->Run("ROLLBACK"));
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  const SessionId heir = OpenSession("heir");
  const ClaimedJob inherited = ClaimOne(heir);
  EXPECT_FALSE(inherited.present.completed_at);
  EXPECT_FALSE(SettleBeforeStart(*inherited.definition, inherited.present, start_));
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(inherited), "effect"), "");
  EXPECT_EQ(Commit(heir, Finish(inherited, Verdict::kSucceeded)), CommitOutcome::kApplied);
  EXPECT_EQ(Effects(), 1);
}

TEST_F(PostgresEffects, AnOccurrenceIsCompletedOnce) {
  const ClaimedJob held = Own(Hourly("a"));
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "again"), kCompleted);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Check, Token(held), "after"), kCompleted);
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "late"), kStale);
  EXPECT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(ClaimOne(OpenSession("heir"))), "of the heir"),
            kCompleted);
  EXPECT_EQ(Effects(), 1);
}

TEST_F(PostgresEffects, TwoTransactionsOfOneRunCompleteItOnce) {
  const std::string run = Token(Own(Hourly("a")));
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN"));
  ASSERT_EQ(other->Complete(run), "");
  auto third = AnotherTask();
  std::string state;
  {
    const std::jthread task([&] { state = third->Complete(run); });
    AwaitBlocked("task");
    EXPECT_TRUE(other->Run("COMMIT"));
  }
  EXPECT_EQ(state, kCompleted);
}

// The task's COMMIT was done but its reply was lost, or the task failed afterwards, or its pod gave it up.
TEST_F(PostgresEffects, NoOtherVerdictIsPassedOnACompletedRun) {
  for (const Verdict verdict : {Verdict::kFailed, Verdict::kTimedOut, Verdict::kCancelled, Verdict::kLost}) {
    SCOPED_TRACE(VerdictName(verdict));
    JobDefinition job = Hourly(fmt::format("job-{}", static_cast<int>(verdict)));
    job.retry.max_attempts = 5;
    const ClaimedJob held = Own(job);
    ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), job.id), "");
    EXPECT_EQ(Commit(pod_, Finish(held, verdict, /*keep=*/true)), CommitOutcome::kStale);
    EXPECT_TRUE(Runs(job.id).empty());
    // As the pod does with what is refused.
    ASSERT_TRUE(store_->Release(pod_, {{held.key, held.fence}}));
    const ClaimedJob again = ClaimOne(pod_);
    ASSERT_TRUE(again.present.completed_at);
    EXPECT_EQ(SettleAs(pod_, again).run->verdict, Verdict::kSucceeded);
    ASSERT_TRUE(store_->Remove(job.id));
  }
}

TEST_F(PostgresEffects, AVerdictThatWaitedForACompletionIsRefused) {
  const ClaimedJob held = Own(Hourly("a"));
  auto other = AnotherTask();
  ASSERT_TRUE(other->Run("BEGIN"));
  ASSERT_EQ(other->Complete(Token(held)), "");
  const auto pods = *(*PostgresStoreFactory::Create(url_))->Open();
  CommitOutcome outcome = CommitOutcome::kRefused;
  {
    const std::jthread pod([&] { outcome = Commit(pod_, Finish(held, Verdict::kTimedOut), pods.get()); });
    AwaitBlocked("escapement");
    EXPECT_TRUE(other->Run("COMMIT"));
  }
  EXPECT_EQ(outcome, CommitOutcome::kStale);
}

TEST_F(PostgresEffects, ACompletedOccurrenceOutlivesAChangeOfTheSchedule) {
  const ClaimedJob held = Own(Hourly("a"));
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  JobDefinition changed = Hourly("a");
  changed.schedule = *Schedule::Every({.interval = minutes(7), .anchor = start_ + minutes(11)});
  ASSERT_TRUE(store_->Enqueue({changed}));
  const SessionId heir = OpenSession("heir");
  const ClaimedJob inherited = ClaimOne(heir);
  EXPECT_TRUE(inherited.present.to_plan);
  const Settlement settled = SettleAs(heir, inherited);
  EXPECT_EQ(settled.run->fire_time, held.present.fire_time);
  const ClaimedJob next = ClaimOne(heir);
  EXPECT_FALSE(next.present.completed_at);
  EXPECT_EQ(next.present.fire_time, start_ + minutes(11));
  ASSERT_EQ(Commit(heir, Finish(next, Verdict::kSucceeded)), CommitOutcome::kApplied);
  const Audit audit = *store_->AuditWindow("a", start_, start_ + minutes(12));
  EXPECT_EQ(audit.expected, 2);
  EXPECT_EQ(audit.missing + audit.doubled, 0);
}

TEST_F(PostgresEffects, ACompletedOccurrenceIsNotSkippedAsPausedOrLate) {
  JobDefinition job = Hourly("a");
  job.schedule = *Schedule::Every({.interval = std::chrono::milliseconds(10), .anchor = start_ - minutes(5)});
  job.late = LatePolicy::kSkip;
  const ClaimedJob held = Own(job);
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  ASSERT_TRUE(store_->Pause("a"));
  ASSERT_TRUE(store_->Release(pod_, {{held.key, held.fence}}));
  while (*store_->Now() < held.present.fire_time + seconds(1))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(store_->Resume("a"));
  const ClaimedJob again = ClaimOne(pod_);
  EXPECT_EQ(again.present.fire_time, held.present.fire_time);
  const auto settled = SettleBeforeStart(*again.definition, again.present, start_ + hours(1));
  ASSERT_TRUE(settled && settled->run);
  EXPECT_EQ(settled->run->verdict, Verdict::kSucceeded);
}

TEST_F(PostgresEffects, ATriggeredRunIsCompletedByItself) {
  const ClaimedJob held = Own(Hourly("a"));
  ASSERT_TRUE(store_->Trigger("a", std::nullopt));
  const ClaimedJob child = ClaimOne(pod_);
  EXPECT_NE(child.key, held.key);
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(child), "triggered"), "");
  EXPECT_EQ(Reclaim(pod_).jobs, 2);
  const SessionId heir = OpenSession("heir");
  for (const ClaimedJob& job : Claim(heir)) EXPECT_EQ(job.present.completed_at.has_value(), job.key == child.key);
}

TEST_F(PostgresEffects, AnArchiveCarriesTheMark) {
  const ClaimedJob held = Own(Hourly("a"));
  ASSERT_EQ(task_->WriteAnd(&TaskConnection::Complete, Token(held), "effect"), "");
  EXPECT_EQ(Reclaim(pod_).jobs, 1);
  const auto jobs = *store_->ExportJobs("", 10);
  ASSERT_TRUE(jobs.at(0).present.completed_at);
  const auto other = *(*PostgresStoreFactory::Create([&] {
                        const std::string url = Fresh(url_);
                        EXPECT_TRUE((*(*PostgresStoreFactory::Create(url))->Open())->Migrate());
                        return url;
                      }()))
                          ->Open();
  ASSERT_TRUE(other->ImportJobs(jobs));
  EXPECT_TRUE(other->ExportJobs("", 10)->at(0).present == jobs[0].present);
}

}  // namespace
}  // namespace escapement
