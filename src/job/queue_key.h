// The name under which a store keeps the jobs that the same pods may take.
#pragma once

#include <string>
#include <vector>

#include "escapement/job.h"

namespace escapement {

// The queue; of a job with a label, queue and label: no name holds a control character.
inline std::string QueueKey(const std::string& queue, const std::string& label) {
  return label.empty() ? queue : queue + '\x1f' + label;
}
inline std::string QueueKey(const JobDefinition& job) { return QueueKey(job.queue, job.label); }

// What a pod with these labels takes.
inline std::vector<std::string> QueueKeys(const std::vector<std::string>& queues,
                                          const std::vector<std::string>& labels) {
  std::vector<std::string> keys = queues;
  for (const std::string& queue : queues) {
    for (const std::string& label : labels) keys.push_back(QueueKey(queue, label));
  }
  return keys;
}

}  // namespace escapement
