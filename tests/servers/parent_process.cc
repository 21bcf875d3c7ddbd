// A program that starts a child, as told, says its pid and waits to be killed: what process_test kills.
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "servers/process.h"

int main(int argc, char** argv) {
  escapement::SpawnOptions options;
  options.process.argv = {"sleep", "600"};
  options.detached = argc > 1 && argv[1][0] == 'd';
  escapement::Result<std::unique_ptr<escapement::ChildProcess>> child;
  // From a thread that ends at once: the child must not die with the thread.
  std::thread([&] { child = escapement::Spawn(options); }).join();
  if (!child) return 1;
  std::printf("%d\n", (*child)->pid());
  std::fflush(stdout);
  if (options.detached) return 0;
  pause();
  return 0;
}
