"""Files of jobs."""

import json

import program

JOBS = """prefix = "billing/"

[jobs.nightly]
schedule = "every 1d anchor=2026-01-01T03:00:00Z"
command = ["bill", "--all"]
env = { TOKEN = "geheim" }
timeout = "2h"
retry_delays = ["1m", "10m"]
retry_on = "timed_out"
deadline = "5h"
mutex = "ledger"
limits = { "db main" = 3 }
rates = { api = "10/1m" }

[jobs."hourly/ü"]
schedule = "every 1h"
task = "report"
payload = "{}"
queue = "lib"
"""


class ApplyTest(program.CliTest):
    def names(self):
        return [job["name"] for job in self.json("list")]

    def apply(self, text, *arguments, name="jobs.toml"):
        return self.run_cli("apply", "-f", self.write(name, text), *arguments)

    def test_a_file_makes_changes_and_keeps_jobs(self):
        self.assertEqual(self.apply(JOBS, "--dry-run"),
                         "billing/hourly/ü would be created\nbilling/nightly would be created\n")
        self.assertEqual(self.names(), [])
        self.assertEqual(self.apply(JOBS), "billing/hourly/ü created\nbilling/nightly created\n")
        self.assertEqual(self.apply(JOBS), "")
        self.assertEqual(self.names(), ["billing/hourly/ü", "billing/nightly"])
        definition = self.json("show", "billing/nightly", "--reveal")["definition"]
        self.assertEqual((definition["command"], definition["env"], definition["timeout"], definition["retry_delays"]),
                         (["bill", "--all"], {"TOKEN": "geheim"}, "2h", ["1m", "10m"]))
        self.assertEqual((definition["max_attempts"], definition["retry_on"], definition["deadline"]), (3, "timed_out", "5h"))
        self.assertEqual((definition["limits"], definition["rates"]), ({"ledger": 1, "db main": 3}, {"api": "10/1m"}))
        definition = self.json("show", "billing/hourly/ü", "--reveal")["definition"]
        self.assertEqual((definition["task"], definition["payload"], definition["queue"]), ("report", "{}", "lib"))

        changed = JOBS.replace("2h", "3h").replace("geheim", "geheimer")
        for arguments in (["--dry-run"], []):
            text = self.apply(changed, *arguments)
            self.assertIn("updated: env, timeout", text)
            self.assertNotIn("geheim", text)
        self.assertEqual(self.json("show", "billing/nightly")["version"], 2)

    def test_prune_removes_only_what_lies_below_the_prefix(self):
        for name in ("billing", "billing/old", "billing2", "other"):
            self.run_cli("add", name, "every 1h", "--", "true")
        self.apply(JOBS)
        self.assertIn("billing/old", self.names())  # not without --prune
        self.assertEqual(self.apply(JOBS, "--prune", "--dry-run"), "billing/old would be removed\n")
        self.assertIn("billing/old", self.names())
        self.assertEqual(self.apply(JOBS, "--prune"), "billing/old removed\n")
        self.assertEqual(self.names(), ["billing", "billing/hourly/ü", "billing/nightly", "billing2", "other"])
        self.assertIn("prefix", self.refused("apply", "--prune", "-f", self.write("j.toml", JOBS.split("\n", 1)[1])))

    def test_a_job_whose_unique_key_another_has_is_held(self):
        self.run_cli("add", "other", "every 1h", "--unique", "k", "--", "true")
        text = '[jobs.mine]\nschedule = "every 1h"\ncommand = ["true"]\nunique = "k"\nunique_for = "1m"\n'
        self.assertEqual(self.apply(text),
                         "mine held: another job has the unique key 'k', so nothing was created or changed\n")
        self.assertEqual(json.loads(self.apply(text, "--json")), [{"name": "mine", "outcome": "held"}])
        self.assertEqual(self.names(), ["other"])
        self.run_cli("remove", "other")
        self.assertEqual(self.apply(text), "mine created\n")
        definition = self.json("show", "mine")["definition"]
        self.assertEqual((definition["unique"], definition["unique_for"]), ("k", "1m"))

    def test_a_job_takes_the_unique_key_of_one_that_is_pruned(self):
        text = 'prefix = "p/"\n[jobs.{}]\nschedule = "every 1h"\ncommand = ["true"]\nunique = "k"\n'
        self.apply(text.format("old"))
        self.assertEqual(self.apply(text.format("new"), "--prune"), "p/new created\np/old removed\n")
        self.assertEqual(self.names(), ["p/new"])

    def test_json_and_what_show_prints(self):
        self.run_cli("add", "a", "every 1h", "--env", "A=b", "--late-threshold", "3s", "--mutex", "m", "--rate", "r=2/1m",
                     "--", "echo", "x")
        shown = self.json("show", "a", "--reveal")["definition"]
        file = self.write("a.json", json.dumps({"jobs": {"a": shown}}))
        self.assertEqual(self.json("apply", "-f", file), [{"name": "a", "outcome": "unchanged"}])
        text = json.dumps({"prefix": "p/", "jobs": {"a": shown}})
        self.assertEqual(json.loads(self.run_cli("apply", "-f", "-", "--json", stdin=text)),
                         [{"name": "p/a", "outcome": "created"}])
        self.run_cli("apply", "-f", "-", stdin=JOBS)

    def test_what_is_wrong_has_a_place_and_changes_nothing(self):
        good = '[jobs.good]\nschedule = "every 1h"\ncommand = ["x"]\n'
        rows = {
            '[jobs.a]\ncommand = ["x"]\n': ("jobs.toml:4", "schedule"),
            '[jobs.a]\nschedule = "often"\ncommand = ["x"]\n': ("jobs.toml:5", "often"),
            '[jobs.a]\nschedule = "every 1h"\n': ("jobs.toml:4", "command"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = "x"\n': ("jobs.toml:6", "command"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = []\n': ("jobs.toml:4", "argv"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\ntask = "y"\n': ("jobs.toml:4", "task"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\ncolour = "red"\n': ("jobs.toml:7", "colour"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\ntimeout = 3\n': ("jobs.toml:7", "timeout"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\npriority = 11\n': ("jobs.toml:4", "priority"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nlate = "no"\n': ("jobs.toml:7", "run_once"),
            '[jobs.good]\nschedule = "every 1h"\n': ("jobs.toml:4",),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nmutex = 3\n': ("jobs.toml:7", "mutex"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nlimits = { k = "3" }\n': ("jobs.toml:7", "slots"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nlimits = { k = 0 }\n': ("jobs.toml:4", "'k' is 0"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nrates = { k = 3 }\n': ("jobs.toml:7", "'k'", "10/1m"),
            '[jobs.a]\nschedule = "every 1h"\ncommand = ["x"]\nmutex = "k"\nlimits = { k = 2 }\n': ("'k' twice",),
            'x = 1\n': ("jobs.toml",),
        }
        for text, words in rows.items():
            with self.subTest(text=text):
                line = self.refused("apply", "-f", self.write("jobs.toml", good + text))
                for word in words:
                    self.assertIn(word, line)
        for text, word in (("{", ":1"), ('{"jobs": {"a": 1}}', "'a'"), ('{"jobs": {"a": {}, "a": {}}}', "twice"),
                           ('{"jobs": {"a": {"schedule": null}}}', "null"), ("[]", "table"), ("{}", "jobs")):
            with self.subTest(text=text):
                self.assertIn(word, self.refused("apply", "-f", self.write("jobs.json", text)))
        self.refused("apply")
        self.refused("apply", "-f", "none.toml", status=1)
        self.assertEqual(self.names(), [])


if __name__ == "__main__":
    program.main()
