// Collects what an executor reports and lets a test wait for it.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>

#include <gtest/gtest.h>

#include "ports/executor.h"

namespace escapement {

class Reports {
 public:
  Executor::Sink Sink() {
    return [this](std::vector<RunFinished> finished) {
      const std::lock_guard lock(mutex_);
      for (RunFinished& f : finished) {
        EXPECT_TRUE(by_id_.emplace(f.id, f).second) << "reported twice: " << f.id;
      }
      changed_.notify_all();
    };
  }
  RunFinished Of(RunId id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return by_id_.contains(id); }))
        << "no report of " << id;
    return by_id_[id];
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return by_id_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<RunId, RunFinished> by_id_;
};

}  // namespace escapement
