// What rests beside single jobs: queues, or everything.
#pragma once

#include <set>
#include <string>

namespace escapement {

// Nothing of a paused queue is started; what runs goes on to its end. Points that pass meanwhile are late, when the
// queue is resumed, by the late policies of their jobs: unlike a job's own pause, this one settles nothing.
struct PausedQueues {
  bool all = false;  // everything, the queues below included
  std::set<std::string> queues = {};
  bool Hold(const std::string& queue) const { return all || queues.contains(queue); }
  friend bool operator==(const PausedQueues&, const PausedQueues&) = default;
};

}  // namespace escapement
