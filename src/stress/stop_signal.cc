#include "stress/stop_signal.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>

namespace escapement::stress {
namespace {

volatile sig_atomic_t g_received = 0;

void Note(int signal) { g_received = signal; }

}  // namespace

StopSignal::StopSignal(bool block) {
  g_received = 0;
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  if (block) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }
}

int StopSignal::Wait(Duration timeout) {
  if (g_received) return g_received;
  sigset_t open;
  pthread_sigmask(SIG_SETMASK, nullptr, &open);
  sigdelset(&open, SIGTERM);
  sigdelset(&open, SIGINT);
  const auto micros = std::max<std::int64_t>(timeout.count(), 0);
  timespec time = {static_cast<time_t>(micros / 1'000'000), static_cast<long>(micros % 1'000'000 * 1000)};
  ppoll(nullptr, 0, &time, &open);
  return g_received;
}

int StopSignal::received() const { return g_received; }

}  // namespace escapement::stress
