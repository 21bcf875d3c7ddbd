// Real commands through the executor that pods use.
#include "executors/process/process_runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "escapement/process.h"
#include "executors/function/function_executor.h"
#include "tests/executors/reports.h"

namespace escapement {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Steady = std::chrono::steady_clock;

std::ptrdiff_t Descriptors() {
  using Files = std::filesystem::directory_iterator;
  return std::distance(Files("/proc/self/fd"), Files());
}

// As ps shows it: 'T' stopped, 'Z' dead but for its parent's not having asked. '-': no process.
char StateOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  return std::getline(file, text) ? text[text.rfind(')') + 2] : '-';
}
bool IsGone(pid_t pid) { return StateOf(pid) == '-' || StateOf(pid) == 'Z'; }

// It is nobody's child here: there is no event to wait for.
template <typename Condition>
bool Soon(Condition condition) {
  for (const auto limit = Steady::now() + seconds(30); Steady::now() < limit;) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

testing::AssertionResult EndsSoon(pid_t pid) {
  if (Soon([pid] { return IsGone(pid); })) return testing::AssertionSuccess();
  return testing::AssertionFailure() << pid << " is still there";
}

std::int64_t PeakMemoryKb() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
  }
  return -1;
}

class ProcessRunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "process_runner_test-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = std::filesystem::canonical(path);
    descriptors_ = Descriptors();
    Begin();
  }

  void TearDown() override {
    End();
    EXPECT_EQ(Descriptors(), descriptors_) << "it leaks descriptors";
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
    EXPECT_EQ(errno, ECHILD);
    std::filesystem::remove_all(directory_);
  }

  void Begin() {
    auto runner = ProcessRunner::Create();
    ASSERT_TRUE(runner) << runner.error().message;
    runner_ = std::move(*runner);
    executor_.emplace(1);
    executor_->SetSink(reports_.Sink());
    executor_->HandleAsync(kProcessTask, runner_->Handler());
  }
  void End() {
    executor_.reset();
    runner_.reset();
  }

  RunId Start(const ProcessSpec& spec) { return StartPayload(ProcessSpecToJson(spec)); }
  RunId Shell(const std::string& script, ProcessSpec spec = {}) {
    spec.argv = {"/bin/sh", "-c", script};
    spec.env["OUT"] = directory_;
    return Start(spec);
  }
  RunId StartPayload(const std::string& payload) {
    StartRun run;
    run.id = ++last_;
    run.job = std::make_shared<const JobDefinition>(JobDefinition{
        .id = "the job", .schedule = *Schedule::At(FromMicros(0)), .task = kProcessTask, .payload = payload});
    run.fire_time = FromMicros(1'790'000'000'250'000);
    run.attempt = 3;
    run.fence = 99;
    run.key = 7;
    run.start_before = BootClock::now() + seconds(600);
    executor_->Start({run});
    return run.id;
  }

  RunFinished RunShell(const std::string& script, const ProcessSpec& spec = {}) {
    return reports_.Of(Shell(script, spec));
  }

  // The number that a script wrote (and moved there, so that it is whole).
  pid_t PidIn(const std::string& name) {
    pid_t pid = 1;
    EXPECT_TRUE(Soon([&] { return static_cast<bool>(std::ifstream(directory_ + "/" + name) >> pid); }))
        << "no " << name;
    return pid;
  }

  std::string directory_;
  std::ptrdiff_t descriptors_ = 0;
  Reports reports_;
  std::unique_ptr<ProcessRunner> runner_;
  std::optional<FunctionExecutor> executor_;
  RunId last_ = 0;
};

// Writes the id of a process as PidIn reads it.
std::string Tell(const std::string& name, const std::string& pid) {
  return fmt::format("echo {1} > \"$OUT/{0}.new\" && mv \"$OUT/{0}.new\" \"$OUT/{0}\";", name, pid);
}

TEST_F(ProcessRunnerTest, ExitStatusZeroIsSuccessAndTheOutputIsKept) {
  const RunFinished run = RunShell("echo out; echo err >&2");
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.output, "out\nerr\n");
}

TEST_F(ProcessRunnerTest, AnyOtherEndIsAFailureThatSaysWhich) {
  const RunFinished status = RunShell("echo half done; exit 3");
  EXPECT_EQ(status.verdict, Verdict::kFailed);
  EXPECT_EQ(status.error, "exit status 3");
  EXPECT_EQ(status.output, "half done\n");
  const RunFinished killed = RunShell("echo so far; kill -9 $$");
  EXPECT_EQ(killed.verdict, Verdict::kFailed);
  EXPECT_EQ(killed.error, "killed by signal 9 (Killed)");
  EXPECT_EQ(killed.output, "so far\n");
}

TEST_F(ProcessRunnerTest, AProgramThatCannotBeRunIsNamed) {
  EXPECT_EQ(reports_.Of(Start({.argv = {"no-such-program"}})).error,
            "cannot run 'no-such-program': No such file or directory");
  EXPECT_EQ(reports_.Of(Start({.argv = {"/etc/passwd"}})).error, "cannot run '/etc/passwd': Permission denied");
  std::ofstream(directory_ + "/text") << "echo no shell guesses what this is\n";
  std::filesystem::permissions(directory_ + "/text", std::filesystem::perms::owner_all);
  EXPECT_EQ(reports_.Of(Start({.argv = {directory_ + "/text"}})).error,
            fmt::format("cannot run '{}/text': Exec format error", directory_));
  EXPECT_EQ(RunShell("true", {.directory = "/no/such/place"}).error,
            "cannot run '/bin/sh' in '/no/such/place': No such file or directory");
  EXPECT_THAT(reports_.Of(StartPayload("date")).error, HasSubstr("JSON object"));
  EXPECT_EQ(reports_.Of(Start({.argv = {"true"}, .env = {{"PATH", "/nowhere:"}}})).error,
            "cannot run 'true': No such file or directory");
}

TEST_F(ProcessRunnerTest, WordsReachTheProgramAsTheyAre) {
  const RunFinished run = reports_.Of(Start({.argv = {"printf", "%s|", "$HOME", "a  b", "", "*", "'\"\\"}}));
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.output, "$HOME|a  b||*|'\"\\|");
}

TEST_F(ProcessRunnerTest, TheCommandSeesThePodsEnvironmentWithoutItsSecrets) {
  End();
  setenv("ESCAPEMENT_STORE_URL", "postgresql://user:secret@host/db", 1);
  setenv("OF_THE_POD", "kept", 1);
  setenv("CHANGED", "before", 1);
  Begin();
  const RunFinished run = RunShell("env", {.env = {{"CHANGED", "after"}, {"ADDED", "x=y z"}}});
  for (const char* name : {"ESCAPEMENT_STORE_URL", "OF_THE_POD", "CHANGED"}) unsetenv(name);
  const std::string output = "\n" + run.output;
  EXPECT_THAT(output, HasSubstr("\nOF_THE_POD=kept\n"));
  EXPECT_THAT(output, HasSubstr("\nCHANGED=after\n"));
  EXPECT_THAT(output, HasSubstr("\nADDED=x=y z\n"));
  EXPECT_THAT(output, HasSubstr("\nESCAPEMENT_JOB=the job\n"));
  EXPECT_THAT(output, HasSubstr("\nESCAPEMENT_FIRE_TIME=" + FormatInstant(FromMicros(1'790'000'000'250'000)) + "\n"));
  EXPECT_THAT(output, HasSubstr("\nESCAPEMENT_ATTEMPT=3\n"));
  EXPECT_THAT(output, HasSubstr("\nESCAPEMENT_FENCE=99\n"));
  EXPECT_THAT(output, HasSubstr("\nESCAPEMENT_RUN=7.99.1790000000250000.3\n"));
  EXPECT_THAT(output, testing::Not(HasSubstr("secret")));
}

TEST_F(ProcessRunnerTest, TheCommandRunsInItsDirectoryWithAnEmptyInputAndNoDescriptorOfThePod) {
  const int careless = fcntl(0, F_DUPFD, 50);  // as a library may that forgets O_CLOEXEC
  const RunFinished run = RunShell(fmt::format("pwd; wc -c; test -e /proc/$$/fd/{} || echo closed; "
                                               "test \"$(cut -d ' ' -f 5 /proc/$$/stat)\" = $$ && echo leads",
                                               careless),
                                   {.directory = directory_});
  close(careless);
  EXPECT_EQ(run.output, directory_ + "\n0\nclosed\nleads\n");
}

TEST_F(ProcessRunnerTest, SignalsAreAsAFreshProgramHasThem) {
  const auto before = signal(SIGPIPE, SIG_IGN);
  const RunFinished run = RunShell("grep -E '^Sig(Blk|Ign)' /proc/self/status");
  signal(SIGPIPE, before);
  EXPECT_EQ(run.output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(ProcessRunnerTest, LinesOfItsOutputTellHowFarItHasCome) {
  const RunId run = Shell("echo one; echo '##progress 40% of it'; echo '##progress forty'; echo two; exec sleep 600");
  EXPECT_TRUE(Soon([&] { return !executor_->Progress().empty(); }));
  const auto progress = executor_->Progress();
  ASSERT_EQ(progress.size(), 1U);
  EXPECT_EQ(progress[0].id, run);
  EXPECT_EQ(progress[0].part, 0.4);
  EXPECT_EQ(progress[0].note, "of it");
  executor_->Cancel(run);
  EXPECT_EQ(reports_.Of(run).output, "one\n##progress forty\ntwo\n");
  EXPECT_TRUE(executor_->Progress().empty());
  EXPECT_EQ(RunShell("printf 'a\\n##progress 1'").output, "a\n") << "the last line needs no end";
}

TEST_F(ProcessRunnerTest, OnlyTheEndOfALongOutputIsKept) {
  const RunFinished run = RunShell("seq 1 200000", {.output_limit = 100});
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_EQ(run.output.size(), 100U);
  EXPECT_THAT(run.output, EndsWith("\n199999\n200000\n"));
  EXPECT_EQ(RunShell("seq 1 1000", {.output_limit = 0}).output, "");
  const RunFinished whole = RunShell("seq 1 2000");
  EXPECT_THAT(whole.output, StartsWith("1\n2\n"));
  EXPECT_THAT(whole.output, EndsWith("\n2000\n"));
}

TEST_F(ProcessRunnerTest, AFloodOfOutputNeitherBlocksTheCommandNorGrowsThePod) {
  // 2 GiB, after which it must get to its own end; and one that ends only by its cancellation.
  const RunId bounded = Shell("head -c 2147483648 /dev/zero; echo the end");
  const RunId endless = Shell("yes");
  const RunFinished run = reports_.Of(bounded);
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_THAT(run.output, EndsWith("the end\n"));
  EXPECT_LE(run.output.size(), kOutputLimit);
  executor_->Cancel(endless);
  const RunFinished cancelled = reports_.Of(endless);
  EXPECT_EQ(cancelled.verdict, Verdict::kCancelled);
  EXPECT_THAT(cancelled.error, HasSubstr("killed by signal"));
  EXPECT_EQ(cancelled.output.size(), kOutputLimit);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(PeakMemoryKb(), 200 * 1024);
#endif
}

TEST_F(ProcessRunnerTest, ACancelledCommandMayTidyUp) {
  const RunId run = Shell("trap 'echo tidied; exit 4' TERM; " + Tell("pid", "$$") + " while :; do sleep 0.01; done",
                          {.kill_grace = seconds(4)});
  (void)PidIn("pid");
  executor_->Cancel(run);
  const RunFinished finished = reports_.Of(run);
  EXPECT_EQ(finished.verdict, Verdict::kCancelled);
  EXPECT_EQ(finished.error, "exit status 4");
  EXPECT_THAT(finished.output, EndsWith("tidied\n"));
}

TEST_F(ProcessRunnerTest, TheWholeGroupIsAskedToStop) {
  // The child says so itself once it is a program of its own, which no longer has the trap.
  const RunId run =
      Shell("trap : TERM; sh -c '" + Tell("child", "$$") + " exec sleep 1000' & wait $!; wait $!; echo both; exit 6",
            {.kill_grace = seconds(4)});
  (void)PidIn("child");
  executor_->Cancel(run);
  const RunFinished finished = reports_.Of(run);
  EXPECT_EQ(finished.error, "exit status 6");
  EXPECT_THAT(finished.output, EndsWith("both\n"));
}

TEST_F(ProcessRunnerTest, ACommandAndChildrenThatIgnoreItAreKilledAfterTheGrace) {
  const RunId run = Shell("trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 100; done' & " + Tell("child", "$!") +
                              Tell("pid", "$$") + " while :; do sleep 100; done",
                          {.kill_grace = milliseconds(100)});
  const pid_t pid = PidIn("pid"), child = PidIn("child");
  executor_->Cancel(run);
  const RunFinished finished = reports_.Of(run);
  EXPECT_EQ(finished.verdict, Verdict::kCancelled);
  EXPECT_EQ(finished.error, "killed by signal 9 (Killed): it did not stop within 100ms");
  EXPECT_TRUE(IsGone(pid));
  EXPECT_TRUE(EndsSoon(child));
}

TEST_F(ProcessRunnerTest, AStoppedCommandHearsItsCancellation) {
  const RunId run = Shell(Tell("pid", "$$") + "kill -STOP $$; sleep 100", {.kill_grace = seconds(4)});
  const pid_t pid = PidIn("pid");
  ASSERT_TRUE(Soon([pid] { return StateOf(pid) == 'T'; }));
  executor_->Cancel(run);
  EXPECT_EQ(reports_.Of(run).error, "killed by signal 15 (Terminated)");
}

TEST_F(ProcessRunnerTest, WhatTheCommandLeavesRunningInItsGroupIsKilled) {
  const RunFinished run = RunShell("sleep 1000 & " + Tell("child", "$!") + " echo done");
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_EQ(run.output, "done\n");
  EXPECT_TRUE(EndsSoon(PidIn("child")));
}

TEST_F(ProcessRunnerTest, SomebodyWhoLeftTheGroupWithTheOutputOpenDoesNotHoldTheRun) {
  const RunFinished run = RunShell("setsid sleep 1000 & " + Tell("child", "$!") +
                                   " until [ \"$(cut -d ' ' -f 5 /proc/$!/stat)\" = $! ]; do :; done; echo done");
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_EQ(run.output, "done\n");
  const pid_t child = PidIn("child");
  ASSERT_GT(child, 1);
  EXPECT_EQ(kill(child, SIGKILL), 0) << "it was to live";
}

TEST_F(ProcessRunnerTest, NorDoesHeByPrintingForEver) {
  const RunFinished run = RunShell("setsid sh -c 'echo y; echo y; : > \"$OUT/printed\"; exec yes' & " +
                                   Tell("child", "$!") + " until [ -e \"$OUT/printed\" ]; do sleep 0.01; done");
  EXPECT_EQ(run.verdict, Verdict::kSucceeded);
  EXPECT_THAT(run.output, EndsWith("y\ny\n"));
  EXPECT_TRUE(EndsSoon(PidIn("child"))) << "nobody reads what it prints";
}

TEST_F(ProcessRunnerTest, ACommandThatClosesItsOutputsRunsOn) {
  const RunFinished run = RunShell("echo last words; exec >/dev/null 2>&1; sleep 0.2; exit 5");
  EXPECT_EQ(run.error, "exit status 5");
  EXPECT_EQ(run.output, "last words\n");
}

TEST_F(ProcessRunnerTest, TwoHundredRunAtOnceOnOneThread) {
  constexpr RunId kMany = 200;
  // Each ends only when all have begun.
  for (RunId i = 1; i <= kMany; ++i) {
    ASSERT_EQ(
        Shell(fmt::format("touch \"$OUT/begun-{}\"; until [ -e \"$OUT/go\" ]; do sleep 0.1; done; echo {}", i, i)), i);
  }
  const auto begun = [this] {
    return std::count_if(std::filesystem::directory_iterator(directory_), std::filesystem::directory_iterator(),
                         [](const auto& e) { return e.path().filename().string().starts_with("begun-"); });
  };
  const auto limit = Steady::now() + seconds(60);
  while (begun() < static_cast<std::ptrdiff_t>(kMany) && Steady::now() < limit)
    std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(begun(), static_cast<std::ptrdiff_t>(kMany));
  using Tasks = std::filesystem::directory_iterator;
  EXPECT_LE(std::distance(Tasks("/proc/self/task"), Tasks()), 8);  // sanitizers have some of their own
  std::ofstream(directory_ + "/go") << "\n";
  for (RunId i = 1; i <= kMany; ++i) {
    const RunFinished run = reports_.Of(i);
    EXPECT_EQ(run.verdict, Verdict::kSucceeded) << run.error;
    EXPECT_EQ(run.output, fmt::format("{}\n", i));
  }
}

TEST_F(ProcessRunnerTest, WithoutDescriptorsARunFailsAndThePodLives) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(Descriptors()) + 2;  // the runner needs more for a command
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const RunFinished refused = RunShell("echo no");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused.verdict, Verdict::kFailed);
  EXPECT_THAT(refused.error, HasSubstr("Too many open files"));
  EXPECT_EQ(RunShell("echo yes").output, "yes\n");
}

TEST_F(ProcessRunnerTest, TheEndOfTheRunnerIsTheEndOfItsCommands) {
  const RunId run = Shell("trap '' TERM; sleep 1000 & " + Tell("child", "$!") + Tell("pid", "$$") + " wait");
  const pid_t pid = PidIn("pid"), child = PidIn("child");
  const AsyncHandler kept = runner_->Handler();
  runner_.reset();
  const RunFinished finished = reports_.Of(run);
  EXPECT_EQ(finished.verdict, Verdict::kFailed);
  EXPECT_EQ(finished.error, "killed by signal 9 (Killed): the pod ended");
  EXPECT_TRUE(IsGone(pid));
  EXPECT_TRUE(EndsSoon(child));
  Status late;
  kept(RunContext{}, Done([&](const Status& status, const std::string&) { late = status; }));
  EXPECT_FALSE(late);
}

// Another process is the pod here: it is killed, and its command must not go on.
TEST_F(ProcessRunnerTest, TheCommandDiesWithAKilledPod) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer knows no threads in a forked process";
#endif
  End();
  const pid_t pod = fork();
  ASSERT_GE(pod, 0);
  if (pod == 0) {
    auto runner = ProcessRunner::Create();
    const JobDefinition job = ProcessJob(
        "job", *Schedule::At(FromMicros(0)),
        {.argv = {"/bin/sh", "-c", Tell("pid", "$$") + " while :; do sleep 0.1; done"}, .env = {{"OUT", directory_}}});
    RunContext context;
    context.job = std::make_shared<const JobDefinition>(job);
    (*runner)->Handler()(context, Done([](const Status&, const std::string&) {}));
    for (;;) pause();
  }
  const pid_t command = PidIn("pid");
  EXPECT_FALSE(IsGone(command));
  EXPECT_EQ(kill(pod, SIGKILL), 0);
  EXPECT_EQ(waitpid(pod, nullptr, 0), pod);
  EXPECT_TRUE(EndsSoon(command));
}

}  // namespace
}  // namespace escapement
