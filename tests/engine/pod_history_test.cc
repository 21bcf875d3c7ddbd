// Random histories, replayable by seed: whatever goes wrong, each grid point is settled exactly once.
#include <random>

#include <gmock/gmock.h>

#include "tests/engine/pod_world.h"

namespace escapement {
namespace {

struct Chance {
  std::mt19937 random;
  bool operator()(int percent) { return static_cast<int>(random() % 100) < percent; }
  Duration UpTo(Duration longest) { return Duration(static_cast<std::int64_t>(random()) % (longest.count() + 1)); }
};

Fate RandomFate(Chance& chance, int lost_percent) {
  Fate fate{.delay = milliseconds(1) + chance.UpTo(milliseconds(5))};
  if (chance(2)) fate.delay += chance.UpTo(milliseconds(900));
  if (!chance(lost_percent)) return fate;
  static constexpr Fate::Kind kKinds[] = {Fate::Kind::kRefused, Fate::Kind::kReplyLost, Fate::Kind::kRequestLost};
  fate.kind = kKinds[chance.random() % 3];
  return fate;
}

std::vector<JobDefinition> RandomJobs(Chance& chance) {
  std::vector<JobDefinition> jobs;
  for (int i = 0; i < 12; ++i) {
    static constexpr Duration kIntervals[] = {milliseconds(200), milliseconds(500), seconds(1), seconds(3)};
    const Duration interval = kIntervals[chance.random() % 4];
    JobDefinition job = EveryJob("j" + std::to_string(i), interval, chance.UpTo(interval - Duration(1)));
    job.priority = static_cast<int>(chance.random() % 11);
    static constexpr LatePolicy kLate[] = {LatePolicy::kSkip, LatePolicy::kRunOnce, LatePolicy::kRunAll};
    job.late = kLate[chance.random() % 3];
    job.late_limit = 3;
    if (chance(25)) job.delivery = Delivery::kAtMostOnce;
    if (chance(25)) job.retry = {.max_attempts = 3, .delay = milliseconds(50)};
    if (chance(25)) job.timeout = milliseconds(300);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

Task RandomTask(Chance& chance) {
  Task task{.duration = chance.UpTo(milliseconds(60))};
  if (chance(5)) task.duration += chance.UpTo(seconds(2));
  if (chance(10)) task.verdict = Verdict::kFailed, task.error = "no";
  if (chance(2)) task.ignores_cancel = true;
  return task;
}

void ExpectConserved(World& world) {
  const Audit audit = world.AuditUntil(world.StoreNow() - seconds(4));
  EXPECT_GT(audit.expected, 100);
  EXPECT_EQ(audit.missing, 0);
  EXPECT_EQ(audit.doubled, 0);
}

TEST(PodHistory, EveryGridPointIsSettledOnceWhateverHappens) {
  std::uint64_t starts = 0;
  for (std::uint32_t seed = 1; seed <= 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Chance chance{std::mt19937(seed)};
    World world;
    int lost_percent = static_cast<int>(chance.random() % 30);
    world.fate = [&](const SimPod&, CallKind) { return RandomFate(chance, lost_percent); };
    world.task = [&](const Started&) { return RandomTask(chance); };
    std::vector<SimPod*> pods;
    int born = 0;
    const auto add = [&] {
      const World::PodSetup setup{.boot = chance.UpTo(hours(10'000)),
                                  .start_delay = chance(30) ? Duration(milliseconds(1)) : Duration(0)};
      pods.push_back(&world.Add("p" + std::to_string(born++), setup));
    };
    for (int i = 0; i < 3; ++i) add();
    const auto jobs = RandomJobs(chance);
    world.Enqueue(jobs);
    for (int i = 0; i < 12; ++i) {
      world.RunFor(chance.UpTo(seconds(2)));
      const std::size_t victim = chance.random() % pods.size();
      SimPod* pod = pods[victim];
      switch (chance.random() % 8) {
        case 0:
          if (!pod->frozen()) {
            pod->Freeze();
            world.After(chance.UpTo(seconds(10)), [pod] { pod->Resume(); });
          }
          break;
        case 1:
          pod->Kill();
          pods.erase(pods.begin() + static_cast<std::ptrdiff_t>(victim));
          add();
          break;
        case 2:
          pod->Stop(chance.UpTo(seconds(1)));
          pods.erase(pods.begin() + static_cast<std::ptrdiff_t>(victim));
          add();
          break;
        case 3:
          pod->cut = true;
          world.After(chance.UpTo(seconds(9)), [pod] { pod->cut = false; });
          break;
        case 4:
          if (!chance(30)) break;
          world.store_down = true;
          world.After(chance.UpTo(seconds(8)), [&world] { world.store_down = false; });
          break;
        case 5: {
          const std::string id = jobs[chance.random() % jobs.size()].id;
          EXPECT_TRUE(world.admin().Pause(id));
          world.After(chance.UpTo(seconds(3)), [&world, id] { EXPECT_TRUE(world.admin().Resume(id)); });
          break;
        }
        case 6: lost_percent = static_cast<int>(chance.random() % 50); break;
        default: break;
      }
    }
    world.RunFor(seconds(10));
    lost_percent = 0;
    world.RunFor(seconds(20));
    ExpectConserved(world);
    starts += world.starts.size();
    // A task under at_most_once starts once.
    std::map<std::tuple<std::string, Instant, int>, int> seen;
    for (const Started& s : world.starts) ++seen[{s.job, s.fire_time, s.attempt}];
    for (const JobDefinition& job : jobs) {
      if (job.delivery != Delivery::kAtMostOnce) continue;
      for (const Started& s : world.StartsOf(job.id)) {
        EXPECT_EQ((seen[{s.job, s.fire_time, s.attempt}]), 1) << s.job << " at " << FormatInstant(s.fire_time);
      }
    }
  }
  EXPECT_GT(starts, 50'000u);
}

// While all pods live and reach the store, an occurrence runs once, whatever replies are lost.
TEST(PodHistory, LostRepliesAloneRunNothingTwice) {
  for (std::uint32_t seed = 1; seed <= 100 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Chance chance{std::mt19937(seed)};
    World world;
    world.fate = [&](const SimPod&, CallKind) { return RandomFate(chance, 15); };
    for (int i = 0; i < 3; ++i) world.Add("p" + std::to_string(i));
    std::vector<JobDefinition> jobs;
    for (int i = 0; i < 12; ++i)
      jobs.push_back(EveryJob("j" + std::to_string(i), milliseconds(500), milliseconds(40) * i));
    world.Enqueue(jobs);
    world.RunFor(seconds(10));
    SimPod& late = world.Add("late");
    world.RunFor(seconds(6));
    late.Stop(seconds(1));
    world.RunFor(seconds(9));
    EXPECT_EQ(world.StartedTwice(), 0u);
    ExpectConserved(world);
  }
}

}  // namespace
}  // namespace escapement
