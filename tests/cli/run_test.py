"""Pods and those who talk to them: from nothing, at once, and to the end."""

import signal
import time

import program

# Nothing but a wake-up makes a pod look within a minute.
SLEEPY = ("--heartbeat", "60s", "--session-ttl", "180s", "--horizon", "120s")


class RunTest(program.CliTest):
    def runs(self, name):
        return self.json("runs", name, "--output")

    def test_from_nothing(self):
        self.assertEqual(list(self.home.iterdir()), [])
        self.assertEqual(self.run_cli("add", "hello", "every 2s", "--", "date"), "hello created\n")
        pod = program.Pod(self)
        rows = self.wait_for(lambda: self.run_cli("runs", "hello").splitlines(), "a run")
        self.assertIn("\tsucceeded\t", rows[0])
        self.assertRegex(self.run_cli("runs", "hello", "--output", "--limit", "1"), r"--- hello .*: succeeded\n.*\d\d:\d\d:\d\d")
        self.assertEqual(len(self.json("pods")), 1)
        self.assertEqual(pod.stop(), 0)
        self.assertEqual(len(pod.text().splitlines()), 2, pod.text())
        self.assertEqual(self.json("pods"), [])

    def test_what_a_command_prints_and_how_it_ends(self):
        pod = program.Pod(self)
        self.run_cli("add", "ok", "at 2026-01-01T00:00:00Z", "--env", "GREETING=hello", "--directory", "/",
                     "--", "sh", "-c", 'echo "$GREETING $PWD $1"; echo "err" >&2', "sh", "a b")
        self.run_cli("add", "bad", "at 2026-01-01T00:00:00Z", "--max-attempts", "2", "--retry-delay", "1ms",
                     "--", "sh", "-c", "exit 3")
        self.run_cli("add", "none", "at 2026-01-01T00:00:00Z", "--", "/no/such/program")
        run = self.wait_for(lambda: self.runs("ok"), "the run")[0]
        self.assertEqual((run["verdict"], run["attempt"]), ("succeeded", 1))
        self.assertEqual(run["output"], "hello / a b\nerr\n")
        runs = self.wait_for(lambda: len(self.runs("bad")) == 2 and self.runs("bad"), "both attempts")
        self.assertEqual([(r["attempt"], r["verdict"], r["settles"]) for r in runs], [(2, "failed", 1), (1, "failed", 0)])
        self.assertIn("3", runs[0]["error"])
        run = self.wait_for(lambda: self.runs("none"), "the failure")[0]
        self.assertEqual(run["verdict"], "failed")
        self.assertEqual(pod.stop(), 0)

    def test_changes_take_effect_without_a_heartbeat(self):
        pod = program.Pod(self, *SLEEPY)
        self.run_cli("add", "now", "at 2026-01-01T00:00:00Z", "--", "echo", "hi")
        self.wait_for(lambda: self.runs("now"), "the new job runs")

        self.run_cli("add", "long", "every 1h", "--", "sleep", "600")
        self.run_cli("trigger", "long")
        # A cancellation needs a run under way.
        self.wait_for(lambda: self.done("cancel", "long").returncode == 0, "the triggered run is under way")
        run = self.wait_for(lambda: self.runs("long"), "the run is cancelled")[0]
        self.assertEqual((run["verdict"], run["triggered"]), ("cancelled", True))

        # Held for its next run, within the horizon, until it is paused; and again once it is resumed.
        for name in ("held", "gone"):
            self.run_cli("add", name, "every 100s", "--", "true")
            self.wait_for(lambda: self.json("show", name)["pod"], "the pod holds the job")
        self.run_cli("pause", "held")
        self.wait_for(lambda: self.json("show", "held")["pod"] is None, "the paused job is handed back")
        self.run_cli("resume", "held")
        self.wait_for(lambda: self.json("show", "held")["pod"], "the resumed job is taken")
        self.run_cli("remove", "gone")
        self.refused("show", "gone", status=1)
        self.run_cli("add", "held", "every 100ms", "--", "true")
        self.wait_for(lambda: len(self.runs("held")) > 3, "the new schedule")
        self.run_cli("remove", "held")
        self.assertEqual(pod.stop(), 0)

    def test_a_removed_job_runs_no_more(self):
        pod = program.Pod(self, *SLEEPY)
        count = self.home / "count"
        self.run_cli("add", "often", "every 50ms", "--", "sh", "-c", f"echo >>{count}")
        self.wait_for(lambda: count.exists() and count.stat().st_size > 3, "it runs")
        self.run_cli("remove", "often")

        def still():
            before = count.stat().st_size
            time.sleep(0.3)
            return count.stat().st_size == before

        self.wait_for(still, "it runs no more")
        self.assertEqual(pod.stop(), 0)

    def test_a_stop_gives_running_commands_their_grace(self):
        pod = program.Pod(self, "--grace", "50s")
        begun, ended = self.home / "begun", self.home / "ended"
        self.run_cli("add", "slow", "at 2026-01-01T00:00:00Z", "--",
                     "sh", "-c", f"touch {begun}; sleep 0.5; touch {ended}")
        self.wait_for(begun.exists, "it begins")
        self.assertEqual(pod.stop(signal.SIGINT), 0)
        self.assertTrue(ended.exists())
        self.assertEqual(self.runs("slow")[0]["verdict"], "succeeded")

    def test_a_second_signal_ends_at_once(self):
        pod = program.Pod(self, "--grace", "1h")
        begun = self.home / "begun"
        self.run_cli("add", "slow", "at 2026-01-01T00:00:00Z", "--", "sh", "-c", f"touch {begun}; exec sleep 3600")
        self.wait_for(begun.exists, "it begins")
        pod.process.send_signal(signal.SIGTERM)
        # Sent again until it works: the first one may not have been taken yet.
        self.wait_for(lambda: pod.process.send_signal(signal.SIGTERM) or pod.process.poll() is not None, "the pod ends")
        self.assertEqual(pod.process.wait(), 128 + signal.SIGTERM)

    def test_queues(self):
        pod = program.Pod(self, "--queues", "a,b", "--name", "ab")
        for queue in "abc":
            self.run_cli("add", f"in-{queue}", "at 2026-01-01T00:00:00Z", "--queue", queue, "--", "true")
        for queue in "ab":
            self.assertEqual(self.wait_for(lambda: self.runs(f"in-{queue}"), "it runs")[0]["pod"], "ab")
        self.assertEqual(self.runs("in-c"), [])
        self.assertIn("'c'", self.run_cli("why", "in-c", "2026-01-01T00:00:00Z"))
        self.assertEqual(pod.stop(), 0)

    def test_bad_options_are_refused(self):
        for arguments in (["--heartbeat", "1h"], ["--threads", "0"], ["--grace", "long"], ["--queues", ""], ["extra"]):
            with self.subTest(arguments=arguments):
                self.refused("run", *arguments)


if __name__ == "__main__":
    program.main()
