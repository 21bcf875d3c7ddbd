"""`progress`: how far runs under way have come, and `why`, which tells it too."""

import json

import program

TIME = "2026-01-01T00:00:00Z"


class ProgressTest(program.CliTest):
    def add(self, name, script, *options):
        self.run_cli("add", name, f"at {TIME}", *options, "--", "sh", "-c", script)

    def told(self, *arguments):
        return self.json("progress", *arguments)

    def test_a_command_tells_and_others_see(self):
        pod = program.Pod(self, "--name", "p9", "--heartbeat", "100ms", "--grace", "0s")
        go = self.home / "go"
        self.add("copy", f"echo begin; echo '##progress 40% of the files'; while ! test -e {go}; do sleep 0.01; done; "
                         "echo '##progress 0.5'; echo '##progress most'; exec sleep 600")
        self.add("silent", "exec sleep 600")
        told = self.wait_for(self.told, "it tells")
        self.assertEqual(len(told), 1)
        self.assertRegex(told[0].pop("told_at"), r"^20..-..-..T.*Z$")
        self.assertEqual(told[0], {"name": "copy", "fire_time": TIME, "attempt": 1, "part": 0.4, "note": "of the files",
                                   "pod": "p9"})
        row = self.run_cli("progress", "copy").rstrip("\n").split("\t")
        self.assertEqual(row[:6], ["copy", TIME, "1", "40%", "of the files", "p9"])
        self.assertEqual(self.told("silent"), [])
        self.assertEqual(self.run_cli("progress", "silent"), "")
        self.assertRegex(self.run_cli("why", "copy", TIME),
                         r"^copy .*: under way.*\n  attempt 1 on pod p9: 40% of the files, told .* ago\n$")
        go.touch()
        self.wait_for(lambda: self.told("copy")[0]["part"] == 0.5, "the last word counts")
        why = self.json("why", "copy", TIME)
        self.assertEqual((why["answer"], [p["part"] for p in why["progress"]]), ("under_way", [0.5]))
        self.assertEqual(self.json("why", "silent", TIME)["progress"], [])

        self.run_cli("cancel", "copy")
        self.wait_for(lambda: self.json("runs", "copy"), "it is cancelled")
        self.assertEqual(self.run_cli("runs", "copy", "--output").split("\n", 1)[1], "begin\n##progress most\n")
        self.assertEqual(self.json("why", "copy", TIME)["progress"], [], "it has ended, whatever was sent")
        self.wait_for(lambda: self.told() == [], "the next heartbeat tells nothing")
        pod.stop()

    def test_whose_pod_is_gone_tells_nothing(self):
        pod = program.Pod(self, "--heartbeat", "100ms", "--grace", "0s")
        self.add("copy", "echo '##progress 1'; exec sleep 600")
        self.wait_for(self.told, "it tells")
        pod.stop()
        self.assertEqual(self.told(), [])

    def test_bad_input(self):
        self.add("a", "true")
        self.assertEqual(json.loads(self.run_cli("progress", "--json")), [])
        self.assertIn("'none'", self.refused("progress", "none", status=1))
        self.refused("progress", "a", "b")
        self.refused("progress", "--no-such-option")


if __name__ == "__main__":
    program.main()
