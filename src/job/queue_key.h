// The name under which a store keeps the jobs that the same pods may take.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "escapement/job.h"
#include "escapement/status.h"

namespace escapement {

// The queue; of a job with a label, queue and label: no name holds a control character.
inline std::string QueueKey(const std::string& queue, const std::string& label) {
  return label.empty() ? queue : queue + '\x1f' + label;
}
inline std::string QueueKey(const JobDefinition& job) { return QueueKey(job.queue, job.label); }

// The queue alone.
inline std::string QueueOf(const std::string& key) { return key.substr(0, key.find('\x1f')); }

// What a pod with these labels takes.
inline std::vector<std::string> QueueKeys(const std::vector<std::string>& queues,
                                          const std::vector<std::string>& labels) {
  std::vector<std::string> keys = queues;
  for (const std::string& queue : queues) {
    for (const std::string& label : labels) keys.push_back(QueueKey(queue, label));
  }
  return keys;
}

// kInvalidArgument for what is no name of a queue. None: all of them.
[[nodiscard]] Status CheckQueue(const std::optional<std::string>& queue);

}  // namespace escapement
