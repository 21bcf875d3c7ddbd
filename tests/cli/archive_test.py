"""export and import."""

import json
import os
import sqlite3
import stat

import program


class ArchiveTest(program.CliTest):
    def fill(self):
        """Jobs of several kinds, with a history."""
        self.run_cli("add", "once", "at 2026-01-01T00:00:00Z", "--env", "A=ü", "--", "sh", "-c", "echo out; exit 3")
        self.run_cli("add", "often", "every 20ms", "--max-attempts", "2", "--retry-delay", "1ms", "--", "false")
        self.run_cli("add", "paused", "every 1h", "--", "true")
        self.run_cli("pause", "paused")
        pod = program.Pod(self)
        self.run_cli("trigger", "paused")
        self.wait_for(lambda: self.json("runs", "paused") and len(self.json("runs", "often")) > 5, "a history")
        self.run_cli("add", "often", "every 1h", "--", "true")
        self.assertEqual(pod.stop(), 0)

    def test_what_is_imported_is_equal(self):
        self.fill()
        file = str(self.home / "jobs.jsonl")
        self.run_cli("export", file)
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        with open(file, encoding="utf-8") as lines:
            text = lines.read()
        self.assertEqual(text, self.run_cli("export"))
        self.assertEqual(text, self.run_cli("export", "-"))
        self.assertEqual(json.loads(text.splitlines()[0]), {"escapement_archive": 1})
        end = json.loads(text.splitlines()[-1])["end"]
        self.assertEqual(end["jobs"], 3)
        self.assertGreater(end["runs"], 6)

        other = f"sqlite:{self.home}/other.db"
        self.assertEqual(json.loads(self.run_cli("import", file, "--json", "--store", other)), end)
        self.assertEqual(self.run_cli("export", "--store", other), text)
        third = f"sqlite:{self.home}/third.db"
        self.run_cli("import", "--store", third, stdin=text)
        self.assertEqual(self.run_cli("export", "--store", third), text)
        here, there = ([str(run) for run in self.json("runs", "--limit", "1000000", *store)] for store in ([], ["--store", third]))
        self.assertEqual(sorted(here), sorted(there))
        # It goes on there.
        pod = program.Pod(self, "--store", third)
        self.run_cli("trigger", "often", "--store", third)
        before = end["runs"]
        self.wait_for(lambda: json.loads(self.run_cli("export", "--store", third).splitlines()[-1])["end"]["runs"] > before,
                      "a run of an imported job")
        self.assertEqual(pod.stop(), 0)

    def test_a_bad_archive_is_refused_with_its_line_and_changes_nothing(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        good = self.run_cli("export").splitlines()
        self.run_cli("remove", "a")
        rows = [
            (good[1:], "line 1"),
            ([*good[:2], "{", *good[2:]], "line 3"),
            ([*good[:2], '{"run":{"job":"a","fire_time":1,"verdict":"great","settled_at":2}}', good[-1]], "line 3"),
            ([good[0], good[1].replace("every 1h", "often"), good[-1]], "line 2"),
            (good[:-1], "cut off"),
            ([*good[:2], *good[1:]], "line 4"),
            (['{"escapement_archive":2}', *good[1:]], "format"),
            ([*good, good[1]], "line 4"),
            ([], "cut off"),
        ]
        for lines, word in rows:
            with self.subTest(word=word):
                file = self.write("bad.jsonl", "".join(line + "\n" for line in lines))
                line = self.refused("import", file)
                self.assertIn(word, line)
                self.assertIn("nothing was changed", line)
                self.assertEqual(self.run_cli("list"), "")
        run_of_none = '{"run":{"job":"b","fire_time":1,"verdict":"lost","settled_at":2}}'
        file = self.write("none.jsonl", "\n".join([good[0], run_of_none, '{"end":{"jobs":0,"runs":1}}']) + "\n")
        self.assertIn("'b'", self.refused("import", file, status=1))

    def test_jobs_that_are_there_are_an_error(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        file = self.write("a.jsonl", self.run_cli("export"))
        self.assertIn("'a'", self.refused("import", file, status=1))

    def test_files_that_cannot_be(self):
        self.refused("import", "none.jsonl", status=1)
        self.refused("export", "no/such/directory/jobs.jsonl", status=1)
        self.assertEqual([p.name for p in self.home.iterdir() if "jobs" in p.name], [])

    def test_a_job_of_a_newer_version_spoils_nothing_else(self):
        for name in ("a", "b", "c"):
            self.run_cli("add", name, "every 1h", "--", "true")
        database = sqlite3.connect(self.home / ".local/state/escapement/escapement.db")
        with database:
            database.execute("UPDATE definitions SET definition = json_set(definition, '$.moon_phase', 'full') "
                             "WHERE job = (SELECT key FROM jobs WHERE id = 'b')")
        database.close()
        for options in ((), ("--json",)):
            listed = self.done("list", *options)
            self.assertEqual(listed.returncode, 0)
            self.assertEqual(listed.stderr.count("\n"), 1, listed.stderr)
            self.assertIn("newer version wrote what this one cannot read: 'b'\n", listed.stderr)
        self.assertEqual([job["name"] for job in json.loads(listed.stdout)], ["a", "c"])
        self.assertIn("job 'b' cannot be read", self.refused("show", "b", status=1))
        line = self.refused("export", "jobs.jsonl", status=1)
        self.assertIn("job 'b' cannot be read", line)
        self.assertIn("--skip-unreadable", line)
        self.assertFalse((self.home / "jobs.jsonl").exists())
        exported = self.done("export", "--skip-unreadable")
        self.assertEqual(exported.returncode, 0)
        self.assertIn(": 'b'\n", exported.stderr)
        self.assertEqual([json.loads(line)["job"]["id"] for line in exported.stdout.splitlines()[1:-1]], ["a", "c"])
        audit = self.done("audit", "--json")
        self.assertEqual((audit.returncode, json.loads(audit.stdout)["unreadable"]), (0, ["b"]))
        self.assertIn("'b'", audit.stderr)
        self.refused("audit", "--job", "b")
        self.write("jobs.toml", "[jobs.a]\nschedule = 'every 1h'\ncommand = ['true']\n")
        self.assertIn("job 'b' cannot be read", self.refused("apply", "-f", "jobs.toml", status=1))
        self.run_cli("remove", "b")
        self.assertEqual(self.done("list").stderr, "")

    def test_progress_is_for_terminals(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        done = self.done("export")
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.run_cli("import", "--store", "memory:", stdin=done.stdout), "imported 1 jobs and 0 runs\n")


if __name__ == "__main__":
    program.main()
