// A row that a hand spoiled: whoever asks for it is told, and every other job goes on.
#pragma once

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "job/text.h"
#include "ports/job_store.h"

namespace escapement {

struct SpoiltRow {
  std::string what;   // as the test's output shows it
  std::string spoil;  // what makes it so, in the store's own language
  bool told = true;   // Get tells, too: it reads what is spoilt
  bool runs = false;  // the job itself is as it was
};

// `spoil` runs SpoiltRow::spoil for the job with the id "spoilt". Leaves the store empty by means of `clear`.
inline void ExpectOthersGoOn(JobStore& store, const SpoiltRow& row,
                             const std::function<void(const std::string&)>& spoil, const std::function<void()>& clear) {
  SCOPED_TRACE(row.what);
  const Schedule schedule = *Schedule::Parse("every 1s anchor=2020-01-01T00:00:00Z");
  ASSERT_TRUE(store.Enqueue(
      {{.id = "good", .schedule = schedule, .task = "noop"}, {.id = "spoilt", .schedule = schedule, .task = "noop"}}));
  spoil(row.spoil);

  const auto clear_error = [](const Error& error) {
    EXPECT_TRUE(IsPrintableText(error.message)) << error.message;
    EXPECT_NE(error.code, Code::kInDoubt);
  };
  const auto told = store.Get("spoilt");
  EXPECT_EQ(told.has_value(), !row.told);
  if (!told) clear_error(told.error());
  if (const auto list = store.List({}); !list) clear_error(list.error());
  if (const auto runs = store.Runs({.job_id = "spoilt"}); !runs) clear_error(runs.error());
  if (const auto jobs = store.ExportJobs("", 10); !jobs) clear_error(jobs.error());
  if (const auto audit = store.AuditWindow("", FromMicros(0), FromMicros(1)); !audit) clear_error(audit.error());
  EXPECT_TRUE(store.Get("good"));

  const auto session = store.OpenSession({.pod = "pod", .ttl = std::chrono::seconds(5)});
  ASSERT_TRUE(session) << session.error().message;
  const auto claimed =
      store.Claim({.session = *session, .horizon = std::chrono::seconds(2), .limit = 10, .queues = {"default"}});
  ASSERT_TRUE(claimed) << claimed.error().message;
  bool good = false;
  for (const ClaimedJob& job : claimed->jobs) {
    if (job.definition == nullptr) {
      EXPECT_FALSE(job.unreadable.empty());
      EXPECT_TRUE(IsPrintableText(job.unreadable)) << job.unreadable;
      continue;
    }
    EXPECT_TRUE(row.runs || job.definition->id == "good") << "what cannot be read is not run";
    good = good || job.definition->id == "good";
    const Settlement settled =
        Settle(*job.definition, job.present, {.verdict = Verdict::kSucceeded}, claimed->store_time);
    const auto committed = store.Commit(*session, {{.key = job.key,
                                                    .fence = job.fence,
                                                    .fire_time = job.present.fire_time,
                                                    .attempt = job.present.attempt,
                                                    .version = job.present.version,
                                                    .run = settled.run,
                                                    .next = settled.next}});
    ASSERT_TRUE(committed) << committed.error().message;
    EXPECT_EQ(committed->answers.at(0).outcome, CommitOutcome::kApplied);
  }
  EXPECT_TRUE(good) << "the other job is claimed with it";
  EXPECT_TRUE(store.Beat({.session = *session}));
  EXPECT_TRUE(store.Recover(*session, {}));
  EXPECT_TRUE(store.EndSession(*session));
  clear();
}

}  // namespace escapement
