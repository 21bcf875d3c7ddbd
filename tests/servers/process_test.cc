#include "servers/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace escapement {
namespace {

using std::chrono::seconds;

class Process : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/process_test-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Output() const {
    std::ifstream file(directory_ + "/output");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // Runs a shell command to its end and gives its exit status.
  std::optional<int> Shell(const std::string& command, ProcessOptions options = {}) {
    options.argv = {"sh", "-c", command};
    options.output_file = directory_ + "/output";
    auto child = ChildProcess::Start(options);
    EXPECT_TRUE(child) << child.error().message;
    return child ? (*child)->Wait(seconds(30)) : std::nullopt;
  }

  std::string directory_;
};

TEST_F(Process, GivesItsExitStatusOutputInputAndEnvironment) {
  ProcessOptions options;
  options.environment = {{"ESCAPEMENT_TEST", "a value"}};
  options.stdin_text = std::string(200'000, 'x') + "\nsecond line\n";  // more than a pipe holds
  EXPECT_EQ(Shell("tail -n 1; echo $ESCAPEMENT_TEST; echo error >&2; exit 7", options), 7);
  EXPECT_EQ(Output(), "second line\na value\nerror\n");
}

TEST_F(Process, InheritsNothingButTheStandardDescriptorsAndNoBlockedOrIgnoredSignals) {
  const int leaked = dup(STDERR_FILENO);  // without CLOEXEC
  std::signal(SIGPIPE, SIG_IGN);
  // exec: the shell itself blocks signals while it forks.
  EXPECT_EQ(Shell("ls /proc/$$/fd; exec grep -E 'SigBlk|SigIgn' /proc/self/status"), 0);
  std::signal(SIGPIPE, SIG_DFL);
  close(leaked);
  EXPECT_EQ(Output(), "0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(Process, IsSignalledAndReaped) {
  ProcessOptions options;
  options.argv = {"sleep", "600"};
  auto child = ChildProcess::Start(options);
  ASSERT_TRUE(child);
  EXPECT_FALSE((*child)->Poll());
  EXPECT_TRUE((*child)->Signal(SIGTERM));
  EXPECT_EQ((*child)->Wait(seconds(30)), 128 + SIGTERM);
  EXPECT_EQ((*child)->Poll(), 128 + SIGTERM);
  EXPECT_FALSE((*child)->Signal(SIGTERM));
}

TEST_F(Process, IsKilledWithItsObject) {
  ProcessOptions options;
  options.argv = {"sleep", "600"};
  auto child = ChildProcess::Start(options);
  ASSERT_TRUE(child);
  const pid_t pid = (*child)->pid();
  child->reset();
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(Process, ThatCannotStartSaysWhy) {
  ProcessOptions options;
  options.argv = {"no-such-program"};
  auto child = ChildProcess::Start(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kNotFound);
  EXPECT_NE(child.error().message.find("no-such-program"), std::string::npos);

  const std::string file = directory_ + "/not-a-program";
  std::ofstream(file) << '\0';
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  options.argv = {file};
  child = ChildProcess::Start(options);
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().message.find("cannot be run"), std::string::npos) << child.error().message;

  options.argv = {"true"};
  options.user = "no-such-user";
  child = ChildProcess::Start(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kNotFound);
  EXPECT_FALSE(ChildProcess::Start({}));
}

TEST_F(Process, RunsAsAnotherUserWithThatUsersRightsOnly) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can change the user";
  ProcessOptions options;
  options.user = "nobody";
  EXPECT_EQ(Shell("id -un; id -Gn; pwd", options), 0);
  EXPECT_EQ(Output(), "nobody\nnogroup\n/\n");
}

// Starts parent_process and reads what it says. The pipe's other end is its child's too: it closes when both are dead.
struct Family {
  pid_t parent = -1;
  pid_t child = -1;
  int pipe = -1;

  explicit Family(const char* mode) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const char* const file = PARENT_PROCESS;
    parent = fork();
    if (parent == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl(file, file, mode, nullptr);
      _exit(127);
    }
    close(ends[1]);
    pipe = ends[0];
    std::string line;
    for (char c = 0; read(pipe, &c, 1) == 1 && c != '\n';) line += c;
    child = std::atoi(line.c_str());
  }
  ~Family() { close(pipe); }
  bool BothEnd(int milliseconds) const {
    pollfd file{.fd = pipe, .events = POLLIN, .revents = 0};
    char c = 0;
    return poll(&file, 1, milliseconds) == 1 && read(pipe, &c, 1) == 0;
  }
};

TEST_F(Process, DiesWithThisProcessHoweverItDies) {
  const Family family("bound");
  ASSERT_GT(family.child, 0);
  EXPECT_EQ(kill(family.child, 0), 0);
  kill(family.parent, SIGKILL);
  waitpid(family.parent, nullptr, 0);
  EXPECT_TRUE(family.BothEnd(30'000));
}

TEST_F(Process, StaysWhenDetached) {
  const Family family("detached");
  ASSERT_GT(family.child, 0);
  int status = -1;
  waitpid(family.parent, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(family.BothEnd(100));
  EXPECT_EQ(kill(family.child, SIGKILL), 0);
  EXPECT_TRUE(family.BothEnd(30'000));
}

}  // namespace
}  // namespace escapement
