#include <condition_variable>
#include <deque>
#include <stop_token>
#include <thread>
#include <utility>

#include "locks/memory/memory_locks.h"

namespace escapement {
namespace {

constexpr std::size_t kMostWaiting = 10'000;

}  // namespace

struct MemoryNotifier::State {
  using Callback = std::function<void(const std::string&)>;

  struct Subscriber {
    std::string channel;
    std::shared_ptr<Callback> callback;  // shared with the delivery that is running while the subscription ends
  };
  struct Message {
    std::uint64_t only = 0;  // a subscriber, or 0: all of the channel
    std::string channel;
    std::string text;
  };

  std::mutex mutex;  // guards all below
  std::condition_variable_any changed;
  std::map<std::uint64_t, Subscriber> subscribers;
  std::deque<Message> queue;
  std::uint64_t last_id = 0;
  std::uint64_t calling = 0;  // the subscriber whose callback is running
  std::thread::id caller;
  std::jthread thread;

  void Push(Message message) {
    if (queue.size() < kMostWaiting) queue.push_back(std::move(message));
    changed.notify_all();
  }

  void Deliver(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    caller = std::this_thread::get_id();
    while (changed.wait(lock, stop, [this] { return !queue.empty(); }) && !stop.stop_requested()) {
      const Message message = std::move(queue.front());
      queue.pop_front();
      // By ascending id, looked up anew each time: callbacks may subscribe and unsubscribe.
      std::uint64_t id = message.only == 0 ? 0 : message.only - 1;
      for (auto next = subscribers.upper_bound(id); next != subscribers.end(); next = subscribers.upper_bound(id)) {
        id = next->first;
        if (message.only != 0 && id != message.only) break;
        if (next->second.channel != message.channel) continue;
        const std::shared_ptr<Callback> callback = next->second.callback;
        calling = id;
        lock.unlock();
        (*callback)(message.text);
        lock.lock();
        calling = 0;
        changed.notify_all();
        if (stop.stop_requested()) return;
      }
    }
  }
};

namespace {

class MemorySubscription final : public Notifier::Subscription {
 public:
  explicit MemorySubscription(std::function<void()> end) : end_(std::move(end)) {}
  MemorySubscription(const MemorySubscription&) = delete;
  MemorySubscription& operator=(const MemorySubscription&) = delete;
  ~MemorySubscription() override { end_(); }

 private:
  std::function<void()> end_;
};

}  // namespace

MemoryNotifier::MemoryNotifier() : state_(std::make_shared<State>()) {
  state_->thread = std::jthread([state = state_.get()](const std::stop_token& stop) { state->Deliver(stop); });
}

MemoryNotifier::~MemoryNotifier() {
  state_->thread.request_stop();
  state_->thread.join();
}

Status MemoryNotifier::Publish(const std::string& channel, const std::string& message) {
  const std::lock_guard lock(state_->mutex);
  state_->Push({.only = 0, .channel = channel, .text = message});
  return {};
}

Result<std::unique_ptr<Notifier::Subscription>> MemoryNotifier::Subscribe(
    const std::string& channel, std::function<void(const std::string&)> callback) {
  const std::lock_guard lock(state_->mutex);
  const std::uint64_t id = ++state_->last_id;
  state_->subscribers[id] = {channel, std::make_shared<State::Callback>(std::move(callback))};
  state_->Push({.only = id, .channel = channel, .text = ""});
  return std::make_unique<MemorySubscription>([state = state_, id] {
    std::unique_lock end(state->mutex);
    state->subscribers.erase(id);
    if (std::this_thread::get_id() == state->caller) return;  // from a callback: waiting for it would never end
    state->changed.wait(end, [&state, id] { return state->calling != id; });
  });
}

}  // namespace escapement
