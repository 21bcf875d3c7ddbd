// Histories: random worlds in which everything goes wrong, as data. A seed gives a plan, a plan a history, always the
// same; a plan whose history breaks a rule is shrunk to the least that still breaks it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "sim/oracle.h"
#include "sim/world.h"

namespace escapement::sim {

enum class EventKind {
  kCrash,        // and restart, after `span`, under the same name
  kFreeze,       // for `span`
  kStop,         // with `span` as grace; another pod follows
  kJoin,         // one pod more
  kCut,          // a pod from the store, for `span`
  kCutRequests,  // one way: what it asks for does not arrive
  kCutReplies,   // the other: what it asks for is done, and it hears nothing
  kDeaf,         // a pod from the lock service: no wake-ups, no slots; nor is it heard, if `percent` is not 0
  kStoreDown,    // for all, for `span`
  kLocksDown,    // no wake-ups at all, no slots
  kLocksForget,  // the lock service comes back empty
  kLossy,        // replies and requests are lost, by `percent`
  kSlow,         // calls take up to `span` longer, for 3 s
  kHeldUp,       // the answers to a pod, for `span`: those to its beats too if `percent` is 100, those alone if 50
  kClockStep,    // of the store, by `span`
  kPause,        // a job, for `span`
  kReschedule,   // a job gets another interval
  kRemove,       // a job, which is created again after `span`
  kTrigger,      // a job
  kCancelRun,    // of a job
  kPauseQueue,   // a queue, or everything, for `span`
  kSlowStarts,   // runs on a pod wait up to a quarter of a second for a thread, for `span`
  kOwnerDies,    // whoever is given a job, at once; restarted after `span`
};
inline constexpr int kEventKinds = static_cast<int>(EventKind::kOwnerDies) + 1;
std::string_view EventName(EventKind kind);

// What an event waits for, once its time has come: that its pod or job gets there next.
enum class Moment {
  kNone,
  kClaimed,  // the store has just given the pod a job, or the job to a pod
  kStarted,  // a task
};

struct Event {
  EventKind kind = EventKind::kCrash;
  Duration at{0};
  Moment moment = Moment::kNone;
  Duration wait{0};  // after the moment
  Duration span{0};
  std::size_t target = 0;  // number of a pod, a job or a queue; what is not there is not harmed
  int percent = 0;
};

// A call that is disturbed: the n-th of its kind that this pod makes.
using CallNumber = std::tuple<std::string, CallKind, int>;

struct HistoryPlan {
  std::uint64_t seed = 0;
  std::size_t pods = 3;
  std::vector<std::optional<JobDefinition>> jobs;  // none: left out by the shrinking
  std::vector<Event> events;                       // by time
  Duration calm{0};                                // from here on nothing goes wrong any more
  Duration end{0};
  int lost_percent = 0;                           // of calls, until the calm
  bool plain_tasks = false;                       // 10 ms, and they succeed
  bool plain_delays = false;                      // 1 ms each way
  std::optional<std::set<CallNumber>> disturbed;  // only these calls; none: by chance
};
HistoryPlan PlanHistory(std::uint64_t seed);

// What happened, in numbers: a history in which nothing happens proves nothing.
struct HistoryCounts {
  std::int64_t histories = 0;
  std::int64_t runs = 0;     // tasks started
  std::int64_t settled = 0;  // points
  std::int64_t skipped = 0;
  std::int64_t lost = 0;
  std::int64_t calls = 0;
  std::int64_t disturbed = 0;
  std::int64_t stale = 0;    // completions refused
  std::int64_t ended = 0;    // sessions that others ended
  std::int64_t gave_up = 0;  // pauses of jobs that failed too often in a row
  std::map<EventKind, std::int64_t> events;
  void Add(const HistoryCounts& other);
};

struct HistoryResult {
  std::optional<Breach> breach;  // the first
  HistoryCounts counts;
  std::set<CallNumber> disturbed;
  std::vector<std::string> timeline;  // if it was asked for
};
HistoryResult RunHistory(const HistoryPlan& plan, bool timeline = false);

// The least of a plan that breaks the same rule, found by leaving out; bounded by `tries` histories.
HistoryPlan Shrink(HistoryPlan plan, const std::string& rule, int tries = 3'000);

// The plan in lines: pods, jobs, what goes wrong and when.
std::vector<std::string> Describe(const HistoryPlan& plan);

}  // namespace escapement::sim
