"""Commands that ask and change, on the embedded store."""

import json
import os
import subprocess
import unittest

import program


class JobsTest(program.CliTest):
    def test_add_says_what_it_did(self):
        self.assertEqual(self.run_cli("add", "a", "every 2s", "--", "date"), "a created\n")
        self.assertEqual(self.run_cli("add", "a", "every 2s", "--", "date"), "a unchanged\n")
        self.assertEqual(json.loads(self.run_cli("add", "a", "every 3s", "--json", "--", "date")),
                         {"name": "a", "outcome": "updated"})

    def test_every_option_reaches_the_job(self):
        self.run_cli("add", "full/ü", "every 1h anchor=2026-01-01T00:00:00Z", "--env", "A=1=2", "--env", "B=", "--directory",
                     "/tmp", "--timeout", "90s", "--kill-grace", "1s", "--queue", "q", "--label", "gpu", "--priority", "7",
                     "--max-attempts", "3", "--retry-delay", "5s", "--retry-factor", "1.5", "--retry-max-delay", "1m",
                     "--retry-jitter", "0.25", "--retry-on", "failed", "--deadline", "2h",
                     "--late", "run_all", "--late-limit", "4", "--late-threshold", "10s", "--delivery", "at_most_once",
                     "--jitter", "1m", "--flex", "20m", "--overlap", "replace",
                     "--unique", "nightly", "--unique-for", "90m", "--metadata", "tenant=acme", "--metadata", "x=",
                     "--lost-limit", "2", "--pause-after", "6", "--mutex", "disk", "--limit", "a=b=3", "--limit", "db=7", "--rate", "api=10/1m",
                     "--", "prog", "--json", "-x", "--", "[a,b]", "list")
        job = self.json("show", "full/ü", "--reveal")
        self.assertEqual(job["definition"], {
            "schedule": "every 1h anchor=2026-01-01T00:00:00Z", "command": ["prog", "--json", "-x", "--", "[a,b]", "list"],
            "env": {"A": "1=2", "B": ""}, "directory": "/tmp", "kill_grace": "1s", "queue": "q", "label": "gpu",
            "metadata": {"tenant": "acme", "x": ""}, "priority": 7,
            "timeout": "1m30s", "deadline": "2h", "max_attempts": 3, "retry_delay": "5s", "retry_factor": 1.5,
            "retry_max_delay": "1m", "retry_jitter": 0.25, "retry_on": "failed",
            "jitter": "1m", "flex": "20m", "unique": "nightly", "unique_for": "1h30m", "overlap": "replace", "late": "run_all", "late_limit": 4, "late_threshold": "10s",
            "delivery": "at_most_once", "lost_limit": 2, "pause_after": 6,
            "limits": {"disk": 1, "a=b": 3, "db": 7}, "rates": {"api": "10/1m"}})
        self.assertEqual((job["name"], job["state"], job["version"], job["pod"]), ("full/ü", "active", 1, None))

    def test_of_two_jobs_with_a_unique_key_one_is_created(self):
        add = lambda name, *more: self.run_cli("add", name, "every 1h", "--unique", "import of acme", *more, "--", "true")
        self.assertEqual(add("a"), "a created\n")
        self.assertEqual(add("b"), "b held: another job has the unique key 'import of acme', so nothing was created or changed\n")
        self.assertEqual(json.loads(add("b", "--json")), {"name": "b", "outcome": "held"})
        self.assertEqual([job["name"] for job in self.json("list")], ["a"])
        self.assertEqual(add("a"), "a unchanged\n")
        self.assertIn("import of acme", self.run_cli("show", "a"))
        self.run_cli("remove", "a")
        self.assertEqual(add("b", "--unique-for", "1h"), "b created\n")
        self.run_cli("remove", "b")
        self.assertIn("held", add("a"))

    def test_a_list_of_delays_makes_one_attempt_more_than_it_has(self):
        self.run_cli("add", "a", "every 1h", "--retry-delays", "1s,10s,1m", "--", "true")
        definition = self.json("show", "a")["definition"]
        self.assertEqual((definition["retry_delays"], definition["max_attempts"]), (["1s", "10s", "1m"], 4))
        self.run_cli("add", "a", "every 1h", "--retry-delays", "1s", "--max-attempts", "9", "--", "true")
        self.assertEqual(self.json("show", "a")["definition"]["max_attempts"], 9)

    def test_values_of_variables_show_on_demand_only(self):
        self.run_cli("add", "a", "every 1h", "--env", "TOKEN=geheim", "--", "true")
        for arguments in (["show", "a"], ["show", "a", "--json"], ["list"], ["list", "--json"]):
            self.assertNotIn("geheim", self.run_cli(*arguments))
        self.assertIn("TOKEN", self.run_cli("show", "a"))
        self.assertIn("geheim", self.run_cli("show", "a", "--reveal"))

    def test_add_refuses_what_is_wrong_and_changes_nothing(self):
        rows = [
            (["a", "sometimes", "--", "x"], "every"),
            (["a", "every", "--", "x"], "interval"),
            (["a", "every 1s"], "--"),
            (["a", "every 1s", "--"], "--"),
            (["", "every 1s", "--", "x"], "id"),
            (["a" * 201, "every 1s", "--", "x"], "200"),
            (["a", "every 1s", "--env", "A", "--", "x"], "NAME=VALUE"),
            (["a", "every 1s", "--priority", "11", "--", "x"], "priority"),
            (["a", "every 1s", "--priority", "high", "--", "x"], "priority"),
            (["a", "every 1s", "--timeout", "soon", "--", "x"], "timeout"),
            (["a", "every 1s", "--kill-grace", "5s", "--", "x"], "kill_grace"),
            (["a", "every 1s", "--retry-delays", "1s,,2s", "--", "x"], "retry-delays"),
            (["a", "every 1s", "--retry-jitter", "2", "--", "x"], "retry.jitter"),
            (["a", "every 1s", "--retry-on", "monday", "--", "x"], "timed_out"),
            (["a", "every 1s", "--deadline", "-1s", "--", "x"], "deadline"),
            (["a", "every 1s", "--late", "never", "--", "x"], "run_once"),
            (["a", "every 1s", "--delivery", "twice", "--", "x"], "at_least_once"),
            (["a", "every 1s", "--pause-after", "-1", "--", "x"], "pause_after"),
            (["a", "every 1s", "--mutex", "", "--", "x"], "key"),
            (["a", "every 1s", "--mutex", "k", "--limit", "k=2", "--", "x"], "'k' twice"),
            (["a", "every 1s", "--limit", "k", "--", "x"], "KEY=N"),
            (["a", "every 1s", "--limit", "k=", "--", "x"], "KEY=N"),
            (["a", "every 1s", "--limit", "k=two", "--", "x"], "KEY=N"),
            (["a", "every 1s", "--limit", "k=-1", "--", "x"], "between 1 and 10000"),
            (["a", "every 1s", *(f"--limit=k{i}=1" for i in range(5)), "--", "x"], "at most 4"),
            (["a", "every 1s", "--rate", "k=10", "--", "x"], "KEY=N/TIME"),
            (["a", "every 1s", "--rate", "k=10/soon", "--", "x"], "KEY=N/TIME"),
            (["a", "every 1s", "--rate", "k=0/1s", "--", "x"], "between 1 and 10000"),
            (["a", "every 1s", "--rate", "k=1/1ms", "--", "x"], "100ms"),
            (["a", "every 1s", "--colour", "red", "--", "x"], "--colour"),
            (["a", "--", "x"], "schedule"),
        ]
        for arguments, word in rows:
            with self.subTest(arguments=arguments):
                self.assertIn(word, self.refused("add", *arguments))
        self.assertEqual(self.run_cli("list"), "")

    def test_list_pages_filters_and_has_one_line_a_job(self):
        file = self.write("jobs.json", json.dumps(
            {"prefix": "p/", "jobs": {f"{i:04}": {"schedule": "every 1h", "command": ["true"]} for i in range(2100)}}))
        self.run_cli("apply", "-f", file)
        self.run_cli("add", "q", "every 1h", "--", "printf", "a\tb\nc")
        lines = self.run_cli("list").splitlines()
        self.assertEqual(len(lines), 2101)
        self.assertEqual([line.split("\t")[0] for line in lines], sorted(line.split("\t")[0] for line in lines))
        self.assertEqual({line.count("\t") for line in lines}, {5})
        self.run_cli("pause", "p/0007", "q")
        self.assertEqual([job["name"] for job in self.json("list", "--state", "paused")], ["p/0007", "q"])
        self.assertEqual([job["name"] for job in self.json("list", "p/", "--state", "paused")], ["p/0007"])
        self.assertEqual(self.json("list", "none"), [])
        self.refused("list", "--state", "tired")

    def test_list_filters_by_metadata(self):
        for name in ("a", "b", "c"):
            self.run_cli("add", name, "every 1h", "--", "true")
        lines = [json.loads(line) for line in self.run_cli("export").splitlines()]
        metadata = {"a": {"tenant": "acme", "tier": "gold", "x=y": "1"}, "b": {"tenant": "acme"}, "c": {"tier": "gold"}}
        for line in lines:
            if "job" in line:
                line["job"]["definition"]["metadata"] = metadata[line["job"]["id"]]
        self.run_cli("import", "--store", "sqlite:other.db", stdin="".join(json.dumps(line) + "\n" for line in lines))

        def names(*where):
            words = [word for text in where for word in ("--where", text)]
            return [job["name"] for job in self.json("list", "--store", "sqlite:other.db", *words)]

        self.assertEqual(names("metadata.tenant=acme"), ["a", "b"])
        self.assertEqual(names("metadata.tenant=acme", "metadata.tier=gold"), ["a"])
        self.assertEqual(names("metadata.tenant="), [])
        for wrong in ("tenant=acme", "metadata.tenant", "metadata.=x", "metadata", ""):
            with self.subTest(where=wrong):
                self.refused("list", "--where", wrong)
        self.refused("list", "--where", "metadata.a=1", "--where", "metadata.a=2")

    def test_queues_and_everything_rest_and_go_on(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        self.run_cli("add", "m", "every 1h", "--queue", "mail", "--", "true")
        self.assertEqual(self.json("paused"), {"all": False, "queues": []})
        self.assertEqual(self.run_cli("pause", "a", "--queue", "mail", "--queue", "other"),
                         "a paused\nqueue mail paused\nqueue other paused\n")
        self.assertEqual(self.json("pause", "--all"), [{"queue": "*", "outcome": "paused"}])
        self.assertEqual(self.json("paused"), {"all": True, "queues": ["mail", "other"]})
        self.assertEqual(self.run_cli("paused"), "everything\t\nqueue\tmail\nqueue\tother\n")
        self.assertIn("everything is paused", self.run_cli("doctor"))
        self.assertEqual(self.run_cli("resume", "--all"), "everything resumed\n")
        self.assertIn("paused: mail, other", self.run_cli("doctor"))
        pod = program.Pod(self, "--queues", "default,mail")
        self.run_cli("trigger", "m")
        self.run_cli("trigger", "a")
        self.wait_for(lambda: self.json("runs", "a"), "a runs, though its job is paused")
        self.assertEqual(self.json("runs", "m"), [])
        self.assertEqual(self.run_cli("resume", "--queue", "mail", "--queue", "other"),
                         "queue mail resumed\nqueue other resumed\n")
        self.wait_for(lambda: self.json("runs", "m"), "m runs")
        self.assertEqual(pod.stop(), 0)
        self.assertEqual(self.json("list", "--state", "paused")[0]["name"], "a")

    def test_what_cannot_rest_is_refused(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        for arguments in (["pause"], ["resume"], ["pause", "a", "--all"], ["pause", "--queue", "q", "--all"],
                          ["pause", "--queue", ""], ["resume", "--queue", "a\nb"], ["trigger"], ["remove", "--all"]):
            with self.subTest(arguments=arguments):
                self.refused(*arguments)
        self.assertEqual(self.json("paused"), {"all": False, "queues": []})
        self.assertEqual(self.json("show", "a")["state"], "active")

    def on_a_terminal(self, *arguments):
        """What a terminal is sent, and the exit status."""
        ours, theirs = os.openpty()
        process = subprocess.Popen([program.PROGRAM, *arguments], env=self.environment, stdout=theirs, stderr=theirs)
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            text += piece
        os.close(ours)
        return text.decode().replace("\r\n", "\n"), process.wait(program.PATIENCE)

    def test_a_terminal_gets_aligned_tables_and_no_orders(self):
        self.assertEqual(self.on_a_terminal("list"), ("there are no such jobs\n", 0))
        self.run_cli("add", "a", "every 1h", "--", "true")
        self.run_cli("add", "longer/ü", "at 2026-01-01T00:00:00Z", "--", "echo", "\x1b[2J\ttab")
        lines = self.on_a_terminal("list")[0].splitlines()
        self.assertEqual(lines[0].split(), ["NAME", "STATE", "NEXT", "SCHEDULE", "RUNS", "POD"])
        for column, words in (("STATE", ("active", "active")), ("SCHEDULE", ("every 1h", "at 2026")), ("RUNS", ("true", "echo"))):
            at = lines[0].index(column)
            for line, word in zip(lines[1:], words):
                self.assertTrue(line[at:].startswith(word), line)
        self.assertIn("ago", lines[2])
        self.assertIn("in ", lines[1])
        self.assertNotIn("\x1b", "".join(lines))
        self.assertIn("exported 2 jobs and 0 runs", self.on_a_terminal("export", str(self.home / "jobs.jsonl"))[0])

    def test_several_names_each_with_its_own_end(self):
        for name in "ab":
            self.run_cli("add", name, "every 1h", "--", "true")
        for command, word in (("pause", "paused"), ("resume", "resumed"), ("trigger", "triggered"), ("remove", "removed")):
            done = self.done(command, "a", "none", "b")
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stdout, f"a {word}\nb {word}\n")
            self.assertEqual(done.stderr, "escapement: there is no job 'none'\n")
        self.assertEqual(self.run_cli("list"), "")
        done = self.done("remove", "a", "--json")
        self.assertEqual((done.returncode, json.loads(done.stdout)[0]["outcome"]), (1, "failed"))
        for command in ("pause", "resume", "trigger", "cancel", "remove", "show", "why"):
            self.refused(command)
        self.assertIn("none", self.refused("show", "none", status=1))
        self.assertIn("none", self.refused("runs", "none", status=1))

    def test_cancel_of_nothing_is_an_error(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        self.assertIn("under way", self.refused("cancel", "a", status=1))

    def test_next(self):
        self.assertEqual(self.run_cli("next", "every 12h anchor=2026-03-28T12:00:00Z", "--zone", "Europe/Berlin", "--count", "3",
                                      "--after", "2026-03-28T12:00:00Z"),
                         "2026-03-29T01:00:00+01:00\n2026-03-29T14:00:00+02:00\n2026-03-30T02:00:00+02:00\n")
        self.assertEqual(self.run_cli("next", "every 1500ms", "--after", "2026-01-01T00:00:00Z", "--count", "2"),
                         "2026-01-01T00:00:01.5+00:00\n2026-01-01T00:00:03+00:00\n")
        self.assertEqual(self.json("next", "at 2026-01-01T00:00:00Z", "--after", "2025-01-01T00:00:00Z"),
                         ["2026-01-01T00:00:00+00:00"])
        self.assertEqual(self.run_cli("next", "at 2026-01-01T00:00:00Z", "--after", "2026-01-01T00:00:00Z"), "")
        self.assertIn("Nowhere/Land", self.refused("next", "every 1s", "--zone", "Nowhere/Land"))
        self.refused("next", "often")
        self.refused("next", "every 1s", "--after", "noon")
        self.refused("next", "every 1s", "--count", "0")
        self.assertEqual(list(self.home.iterdir()), [])  # it needs no store

    def test_unknown_words_get_a_suggestion(self):
        self.assertIn("did you mean list?", self.refused("lits"))
        self.assertIn("did you mean resume?", self.refused("resum", "a"))
        self.assertNotIn("did you mean", self.refused("xyzzyplugh"))
        self.refused()
        self.assertIn("--stat", self.refused("list", "--stat"))

    def test_help_has_examples(self):
        names = self.run_cli("--help").split("Subcommands:")[1]
        for line in names.strip().splitlines():
            name = line.split()[0]
            text = self.run_cli(name, "--help")
            if name != "stress":
                self.assertIn(f"escapement {name}", text.split("Options:")[1], name)
        self.assertIn("escapement", self.run_cli("--version"))

    def test_doctor(self):
        done = self.done("doctor")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAIL  schema", done.stdout)
        self.run_cli("migrate")
        self.assertIn("up to date", self.run_cli("migrate"))
        findings = self.json("doctor")
        self.assertEqual([f for f in findings if f["level"] == "FAIL"], [])
        self.assertIn("no pod runs: escapement run", [f["text"] for f in findings if f["level"] == "WARN"])
        for part in ("config", "store", "schema", "clock", "pods", "jobs", "locks"):
            self.assertIn(part, {f["part"] for f in findings})
        self.assertTrue([f for f in findings if "quick_check finds the file whole" in f["text"]])
        done = self.done("doctor", "--store", "postgresql://127.0.0.1:1/x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAIL  store", done.stdout)
        self.assertIn("FAIL  locks", self.done("doctor", "--locks", "redis://127.0.0.1:1/0").stdout)

    def test_a_server_that_is_not_there_is_a_failure_in_one_line(self):
        for command in (["list"], ["run"], ["migrate"], ["pods"], ["export"], ["add", "a", "every 1s", "--", "x"]):
            extra = command.index("--") if "--" in command else len(command)
            arguments = command[:extra] + ["--store", "postgresql://127.0.0.1:1/x"] + command[extra:]
            self.refused(*arguments, status=1)
        self.refused("list", "--store", "mysql://x")

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_output_that_cannot_be_written_is_a_failure(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([program.PROGRAM, "list"], env=self.environment, stdout=full,
                                          stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("escapement: ", done.stderr)


if __name__ == "__main__":
    program.main()
