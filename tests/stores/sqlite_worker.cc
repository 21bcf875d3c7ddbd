// A process that claims and settles what a store has until every job is finished: one of several in a test.
//   sqlite_worker sqlite:PATH NAME
// Exit status 0: each completion of its own was applied. 1: one was not, or the store failed otherwise than by being
// busy.
#include <cstdio>
#include <string>

#include "job/settle.h"
#include "stores/sqlite/sqlite_store.h"

using namespace escapement;  // a program of one page

namespace {

constexpr int kMostRounds = 100'000;

int Failed(const Error& error) {
  std::fprintf(stderr, "worker: %s\n", error.message.c_str());
  return 1;
}

Completion Finish(const ClaimedJob& job, bool keep) {
  const Settlement done = Settle(*job.definition, job.present, {.verdict = Verdict::kSucceeded}, job.present.fire_time);
  return {.key = job.key,
          .fence = job.fence,
          .fire_time = job.present.fire_time,
          .attempt = job.present.attempt,
          .version = job.present.version,
          .run = done.run,
          .next = done.next,
          .keep = keep};
}

int Work(const std::string& url, const std::string& name) {
  auto factory = SqliteStoreFactory::Create(url);
  if (!factory) return Failed(factory.error());
  auto opened = (*factory)->Open();
  if (!opened) return Failed(opened.error());
  JobStore& store = **opened;
  // Busy beyond its patience is no failure: the disk may be slow, or a worker frozen inside a write.
  const auto patiently = [](const auto& call) {
    auto result = call();
    for (int i = 0; i < 20 && !result && result.error().code == Code::kUnavailable; ++i) result = call();
    return result;
  };
  auto session = patiently([&] { return store.OpenSession({.pod = name, .ttl = std::chrono::seconds(5)}); });
  if (!session) return Failed(session.error());
  for (int round = 0; round < kMostRounds; ++round) {
    auto stats = patiently([&] { return store.Stats(); });
    if (!stats) return Failed(stats.error());
    if (stats->jobs[JobState::kActive] == 0) return 0;
    auto claim = patiently([&] { return store.Claim({*session, std::chrono::hours(24 * 365), 7, {"default"}}); });
    if (!claim) return Failed(claim.error());
    std::vector<ClaimedJob> held = std::move(claim->jobs);
    for (const bool keep : {true, false}) {
      std::vector<Completion> batch;
      for (const ClaimedJob& job : held) batch.push_back(Finish(job, keep));
      auto reply = patiently([&] { return store.Commit(*session, batch); });
      if (!reply) return Failed(reply.error());
      std::vector<ClaimedJob> kept;
      for (std::size_t i = 0; i < held.size(); ++i) {
        if (reply->answers[i].outcome != CommitOutcome::kApplied) {
          return Failed({Code::kStale, "a job of this worker was given to another"});
        }
        if (!reply->answers[i].kept) continue;
        held[i].present = Advance(held[i].present, batch[i].next);
        kept.push_back(held[i]);
      }
      held = std::move(kept);
    }
  }
  return Failed({Code::kTimeout, "the jobs do not end"});
}

}  // namespace

int main(int argc, char** argv) { return argc == 3 ? Work(argv[1], argv[2]) : 2; }
