#include "engine/driver.h"

#include <sys/prctl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <stop_token>
#include <thread>

#include <spdlog/spdlog.h>

#include "ports/token.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLeaderTtl = seconds(10);
constexpr Duration kRenewPeriod = seconds(3);
constexpr Duration kMaintainPeriod = seconds(30);
constexpr Duration kStartTimeout = seconds(15);
// The core looks at most this often. Under load one look then serves many jobs: waking for each would cost more than
// the work itself (half a pod's time went into thread switches at 10,000 jobs a second).
constexpr Duration kCoreGap = std::chrono::microseconds(500);
constexpr const char* kLeaderName = "leader";

const char* WakeText(Wake wake) {
  switch (wake) {
    case Wake::kJobs: return "jobs";
    case Wake::kMembers: return "members";
    case Wake::kReleased: return "released";
    case Wake::kSlots: return "slots";
  }
  return "";
}

// An empty message follows a reconnection: anything may have happened.
Wake WakeOf(const std::string& text) {
  if (text == "released") return Wake::kReleased;
  if (text == "jobs") return Wake::kJobs;
  if (text == "slots") return Wake::kSlots;
  return Wake::kMembers;
}

// A thread that works off calls, one after the other, with a store connection of its own.
template <typename Call>
class CallThread {
 public:
  void Start(std::function<void(Call)> work) {
    thread_ = std::jthread([this, work = std::move(work)](const std::stop_token& stop) {
      for (;;) {
        std::unique_lock lock(mutex_);
        if (!ready_.wait(lock, stop, [&] { return !calls_.empty(); })) return;
        Call call = std::move(calls_.front());
        calls_.pop_front();
        lock.unlock();
        work(std::move(call));
      }
    });
  }
  void Send(Call call) {
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::move(call));
    }
    ready_.notify_one();
  }
  void Join() { thread_ = {}; }

 private:
  std::mutex mutex_;
  std::condition_variable_any ready_;
  std::deque<Call> calls_;
  std::jthread thread_;
};

PodOptions WithToken(PodOptions options) {
  options.token = RandomToken();
  return options;
}

class DriverImpl : public Driver {
 public:
  DriverImpl(DriverOptions options, Parts parts)
      : options_(std::move(options)), parts_(std::move(parts)), pod_(WithToken(options_.pod)) {}

  ~DriverImpl() override { (void)Stop(Duration(0)); }

  Status Start() override {
    for (auto* store : {&session_store_, &claim_store_, &commit_store_, &upkeep_store_}) {
      auto opened = parts_.store->Open();
      if (!opened) return tl::unexpected(opened.error());
      *store = std::move(*opened);
    }
    if (auto s = session_store_->CheckSchema(); !s) return s;
    parts_.executor->SetSink([this](std::vector<RunFinished> finished) {
      const std::lock_guard lock(events_mutex_);
      finished_.insert(finished_.end(), std::make_move_iterator(finished.begin()),
                       std::make_move_iterator(finished.end()));
      WakeCore();
    });
    if (auto subscribed = parts_.notifier->Subscribe(kWakeChannel, [this](const std::string& text) {
          Post([this, text](BootTime now) { pod_.OnWake(now, WakeOf(text)); });
        })) {
      subscription_ = std::move(*subscribed);
    } else {
      spdlog::warn("no wake-ups: {}", subscribed.error().message);
    }
    started_ = true;
    session_thread_.Start([this](SessionChannelCall call) { Serve(std::move(call)); });
    claim_thread_.Start([this](ClaimChannelCall call) { Serve(std::move(call)); });
    commit_thread_.Start([this](CommitChannelCall call) { Serve(std::move(call)); });
    lock_thread_.Start([this](LockChannelCall call) { Serve(std::move(call)); });
    report_thread_.Start([this](std::vector<RunReport> reports) {
      for (const RunReport& r : reports) parts_.report(r);
    });
    coordination_ = std::jthread([this](const std::stop_token& stop) { Coordinate(stop); });
    upkeep_ = std::jthread([this](const std::stop_token& stop) { Upkeep(stop); });
    core_ = std::jthread([this] { Core(); });
    auto live = live_.get_future();
    if (live.wait_for(kStartTimeout) != std::future_status::ready) {
      (void)Stop(Duration(0));
      return Fail(Code::kUnavailable, parts_.store->Name() + ": no session could be registered in time");
    }
    return {};
  }

  Status Stop(Duration grace) override {
    if (!started_.exchange(false)) return {};
    Post([this, grace](BootTime now) { pod_.OnStop(now, grace); });
    core_.join();  // ends when the pod says that it is stopped
    parts_.executor->Shutdown(Duration(0));
    coordination_.request_stop();
    upkeep_.request_stop();
    subscription_.reset();
    coordination_ = {};
    upkeep_ = {};
    session_thread_.Join();
    claim_thread_.Join();
    commit_thread_.Join();
    lock_thread_.Join();
    report_thread_.Join();
    return {};
  }

  PodCounters Counters() override {
    const std::lock_guard lock(pod_mutex_);
    return pod_.Counters();
  }

  void Publish(Wake wake) override {
    {
      const std::lock_guard lock(publish_mutex_);
      const unsigned bit = 1U << static_cast<unsigned>(wake);
      if ((to_publish_ & bit) != 0) return;  // one of a kind is enough
      to_publish_ |= bit;
    }
    publish_ready_.notify_one();
  }

 private:
  using Event = std::function<void(BootTime)>;

  void Post(Event event) {
    const std::lock_guard lock(events_mutex_);
    events_.push_back(std::move(event));
    WakeCore();
  }

  // Needs events_mutex_. A core that is awake, or was told already, looks by itself.
  void WakeCore() {
    if (!core_sleeps_) return;
    core_sleeps_ = false;
    events_ready_.notify_one();
  }

  void Core() {
    prctl(PR_SET_TIMERSLACK, 1000UL);  // wakes within a microsecond instead of fifty
    std::vector<Event> events;
    std::vector<RunFinished> finished;
    bool told_live = false;
    for (;;) {
      Commands commands;
      const BootTime now = BootClock::now();
      {
        const std::lock_guard lock(pod_mutex_);
        if (!finished.empty()) pod_.OnFinished(now, std::move(finished));
        for (Event& e : events) e(now);
        commands = pod_.Step(now);
        if (auto* beat = commands.session_call ? std::get_if<BeatRequest>(&*commands.session_call) : nullptr) {
          beat->progress = pod_.ProgressOf(parts_.executor->Progress());
        }
        if (!told_live && pod_.live() && pod_.store_clock().known()) {
          told_live = true;
          live_.set_value();
        }
      }
      events.clear();
      finished.clear();
      const bool stopped = commands.stopped;
      const BootTime until = commands.sleep_until;
      Dispatch(std::move(commands));
      if (stopped) return;
      std::this_thread::sleep_for(now + kCoreGap - BootClock::now());
      std::unique_lock lock(events_mutex_);
      const auto wait = until - BootClock::now();
      if (events_.empty() && finished_.empty() && wait > Duration(0)) {
        core_sleeps_ = true;
        events_ready_.wait_until(lock, std::chrono::steady_clock::now() + wait, [&] { return !core_sleeps_; });
        core_sleeps_ = false;
      }
      events.swap(events_);
      finished.swap(finished_);
    }
  }

  void Dispatch(Commands commands) {
    if (!commands.start.empty()) parts_.executor->Start(std::move(commands.start));
    for (const RunId id : commands.cancel) parts_.executor->Cancel(id);
    for (const RunId id : commands.abandon) parts_.executor->Abandon(id);
    if (commands.session_call) session_thread_.Send(std::move(*commands.session_call));
    if (commands.claim_call) claim_thread_.Send(std::move(*commands.claim_call));
    if (commands.commit_call) commit_thread_.Send(std::move(*commands.commit_call));
    if (commands.lock_call) lock_thread_.Send(std::move(*commands.lock_call));
    if (!commands.reports.empty() && parts_.report) report_thread_.Send(std::move(commands.reports));
    for (const Wake wake : commands.publish) Publish(wake);
    for (const std::string& warning : commands.warnings) spdlog::warn("pod {}: {}", options_.pod.name, warning);
  }

  void Serve(SessionChannelCall call) {
    const BootTime sent = BootClock::now();
    if (auto* open = std::get_if<OpenSessionRequest>(&call)) {
      Post([this, reply = session_store_->OpenSession(*open)](BootTime now) { pod_.OnOpened(now, reply); });
    } else if (auto* beat = std::get_if<BeatRequest>(&call)) {
      auto reply = session_store_->Beat(*beat);
      const BootTime received = BootClock::now();  // the reply's stamp counts from here, not from when the core looks
      Post([this, sent, received, reply = std::move(reply)](BootTime) { pod_.OnBeat(received, sent, reply); });
    } else if (auto* reclaim = std::get_if<ReclaimCall>(&call)) {
      Post([this, c = *reclaim, reply = session_store_->Reclaim(reclaim->session, reclaim->beat)](BootTime now) {
        pod_.OnReclaimed(now, c, reply);
      });
    } else if (auto* end = std::get_if<EndSessionCall>(&call)) {
      Post([this, reply = session_store_->EndSession(end->session)](BootTime now) { pod_.OnEnded(now, reply); });
    }
  }

  void Serve(ClaimChannelCall call) {
    if (auto* claim = std::get_if<ClaimRequest>(&call)) {
      Post(
          [this, reply = claim_store_->Claim(*claim)](BootTime now) mutable { pod_.OnClaimed(now, std::move(reply)); });
    } else if (auto* recover = std::get_if<RecoverCall>(&call)) {
      Post([this, reply = claim_store_->Recover(recover->session, recover->known)](BootTime now) mutable {
        pod_.OnRecovered(now, std::move(reply));
      });
    }
  }

  void Serve(CommitChannelCall call) {
    if (auto* commit = std::get_if<CommitCall>(&call)) {
      Post([this, reply = commit_store_->Commit(commit->session, commit->completions)](BootTime now) {
        pod_.OnCommitted(now, reply);
      });
    } else if (auto* begin = std::get_if<BeginCall>(&call)) {
      Post([this, reply = commit_store_->Begin(begin->session, begin->requests)](BootTime now) {
        pod_.OnBegun(now, reply);
      });
    } else if (auto* release = std::get_if<ReleaseCall>(&call)) {
      Post([this, reply = commit_store_->Release(release->session, release->jobs)](BootTime now) {
        pod_.OnReleased(now, reply);
      });
    }
  }

  void Serve(LockChannelCall call) {
    const BootTime sent = BootClock::now();
    if (auto* take = std::get_if<TakeSlotsCall>(&call)) {
      Post([this, sent, reply = parts_.locks->TakeSlots(take->requests, take->ttl)](BootTime now) {
        pod_.OnSlotsTaken(now, sent, reply);
      });
    } else if (auto* free = std::get_if<FreeSlotsCall>(&call)) {
      Post([this, reply = parts_.locks->FreeSlots(free->requests)](BootTime now) { pod_.OnSlotsFreed(now, reply); });
    }
  }

  // The lock service: the leader's lease, the name's lease, wake-ups to others. Whatever fails here harms no job.
  void Coordinate(const std::stop_token& stop) {
    std::optional<Lease> leader;
    auto next_renewal = std::chrono::steady_clock::now();
    for (;;) {
      unsigned publish = 0;
      {
        std::unique_lock lock(publish_mutex_);
        publish_ready_.wait_until(lock, stop, next_renewal, [&] { return to_publish_ != 0; });
        std::swap(publish, to_publish_);
      }
      for (const Wake wake : {Wake::kJobs, Wake::kMembers, Wake::kReleased, Wake::kSlots}) {
        if ((publish >> static_cast<unsigned>(wake) & 1U) != 0)
          (void)parts_.notifier->Publish(kWakeChannel, WakeText(wake));
      }
      if (stop.stop_requested()) break;
      if (std::chrono::steady_clock::now() < next_renewal) continue;
      next_renewal = std::chrono::steady_clock::now() + kRenewPeriod;
      if (leader) {
        auto held = parts_.locks->Renew(*leader, kLeaderTtl);
        if (!held || !*held) leader.reset();
      }
      if (!leader) {
        if (auto lease = parts_.locks->Acquire(kLeaderName, kLeaderTtl)) leader = std::move(*lease);
      }
      leads_ = leader.has_value();
      if (options_.name_lease) {
        auto held = parts_.locks->Renew(*options_.name_lease, kNameLeaseTtl);
        if (held && !*held) {  // lost with the lock service's memory: taken again when nobody else has it
          auto lease = parts_.locks->Acquire(options_.name_lease->name, kNameLeaseTtl);
          if (lease && *lease) options_.name_lease = **lease;
        }
      }
    }
    if (leader) (void)parts_.locks->Release(*leader);
    if (options_.name_lease) (void)parts_.locks->Release(*options_.name_lease);
  }

  // The leader keeps the store in order. Two leaders for a moment do no harm.
  void Upkeep(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    auto next = std::chrono::steady_clock::now();
    while (!stop.stop_requested()) {
      if (leads_ && std::chrono::steady_clock::now() >= next) {
        if (auto s = upkeep_store_->Maintain(options_.maintain); !s) {
          spdlog::warn("pod {}: upkeep: {}", options_.pod.name, s.error().message);
        }
        next = std::chrono::steady_clock::now() + kMaintainPeriod;
      }
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, seconds(1), [] { return false; });
    }
  }

  DriverOptions options_;
  Parts parts_;
  std::unique_ptr<JobStore> session_store_, claim_store_, commit_store_, upkeep_store_;
  std::unique_ptr<Notifier::Subscription> subscription_;
  std::atomic<bool> started_ = false;
  std::atomic<bool> leads_ = false;
  std::promise<void> live_;

  std::mutex pod_mutex_;
  Pod pod_;  // guarded by pod_mutex_

  std::mutex events_mutex_;
  std::condition_variable events_ready_;
  // All guarded by events_mutex_:
  std::vector<Event> events_;
  std::vector<RunFinished> finished_;
  bool core_sleeps_ = false;

  std::mutex publish_mutex_;
  std::condition_variable_any publish_ready_;
  unsigned to_publish_ = 0;  // bits of Wake; guarded by publish_mutex_

  CallThread<SessionChannelCall> session_thread_;
  CallThread<ClaimChannelCall> claim_thread_;
  CallThread<CommitChannelCall> commit_thread_;
  CallThread<LockChannelCall> lock_thread_;
  CallThread<std::vector<RunReport>> report_thread_;
  std::jthread coordination_, upkeep_, core_;
};

}  // namespace

std::unique_ptr<Driver> Driver::Create(DriverOptions options, Parts parts) {
  return std::make_unique<DriverImpl>(std::move(options), std::move(parts));
}

}  // namespace escapement
