"""simulate: what it takes, what it says, and that it changes nothing."""

import calendar
import contextlib
import json
import sqlite3

import program

FROM = "2026-12-21T10:00:00Z"  # a Monday
NOON = calendar.timegm((2026, 12, 21, 12, 0, 0)) * 1_000_000
JOBS = """
prefix = "shop/"
[jobs.long]
schedule = "every 1h anchor=2026-01-01T00:00:00Z"
command = ["true"]
priority = 1
[jobs.short]
schedule = "every 1m anchor=2026-01-01T00:00:00Z"
command = ["true"]
late = "skip"
"""
ONE_SLOT = ("--from", FROM, "--days", 1, "--pods", 1, "--max-running", 1)


class SimulateTest(program.CliTest):
    def setUp(self):
        super().setUp()
        self.file = self.write("jobs.toml", JOBS)

    def simulate(self, *arguments, **options):
        return self.json("simulate", *arguments, **options)

    def test_a_job_file(self):
        # The long job has the only slot for ten minutes of each hour; the short one then skips the points that are
        # later than its minute, nine of them, runs the tenth a minute late and the next a second late.
        out = self.simulate("-f", self.file, *ONE_SLOT, "--duration", "1s", "--duration", "shop/long=10m")
        self.assertEqual(out["from"], FROM)
        self.assertEqual(out["to"], "2026-12-22T10:00:00Z")
        self.assertEqual(out["slots"], 1)
        long_job, short = out["jobs"]
        self.assertEqual((long_job["name"], long_job["durations"]), ("shop/long", "given"))
        self.assertEqual((long_job["points"], long_job["runs"], long_job["lateness_max"]), (24, 24, "0s"))
        self.assertEqual((short["points"], short["skipped"], short["skipped_behind"]), (1440, 24 * 9, 0))
        self.assertEqual((short["started"], short["overlaps"], short["lateness_max"]), (24 * 51, 24, "1m"))
        self.assertEqual(short["latest"], "2026-12-21T10:09:00Z")
        self.assertEqual(out["total"]["points"], 1464)
        self.assertEqual(out["lateness"]["p50"], "0s")
        self.assertEqual(out["lateness"]["max"], "1m")
        self.assertEqual(out["peak"], {"running": 1, "at": FROM})
        hours = out["hours"]
        self.assertEqual(hours["first"], FROM)
        self.assertEqual(hours["runs"], [52] * 24)
        self.assertEqual(hours["skipped"], [9] * 24)
        self.assertEqual(hours["busy_seconds"], [651.0] * 24)
        self.assertEqual(hours["peak"], [1] * 24)
        self.assertEqual(out["faults"], [])

    def test_runs_that_may_overlap(self):
        job = {"schedule": "every 1h anchor=2026-01-01T00:00:00Z", "command": ["true"], "overlap": "allow"}
        file = self.write("wide.json", json.dumps({"jobs": {"wide": job}}))
        out = self.simulate("-f", file, "--from", FROM, "--days", 1, "--pods", 1, "--duration", "150m")
        wide = out["jobs"][0]
        self.assertEqual((wide["points"], wide["started"], wide["skipped"], wide["lateness_max"]), (24, 24, 0, "0s"))
        self.assertEqual(wide["overlaps"], 2 * 22 + 1, "two points in each run, but for the last two")
        self.assertEqual(out["peak"]["running"], 3)
        one = self.simulate("-f", file, *ONE_SLOT, "--duration", "150m")["jobs"][0]
        self.assertEqual((one["points"], one["started"]), (24, 10), "the one slot is taken for two and a half hours")
        self.assertEqual(one["waiting"] + one["skipped"], 14)

    def test_a_file_of_json_and_standard_input(self):
        job = {"schedule": "every 1h", "command": ["true"]}
        self.write("jobs.json", json.dumps({"jobs": {"a": job}}, indent=1))
        out = self.simulate("-f", "jobs.json", "--from", FROM)
        # As if it were created then: the first point is an hour later.
        self.assertEqual(out["jobs"][0]["points"], 7 * 24 - 1)
        self.assertEqual(out["jobs"][0]["durations"], "default")
        self.assertEqual(self.simulate("-f", "-", "--from", FROM, stdin=json.dumps({"jobs": {"a": job}})), out)

    def test_a_store_and_its_archive(self):
        present = {"created_at": NOON, "cursor": NOON, "fire_time": NOON + 60_000_000, "planned_from": NOON}
        jobs = [{"id": name, "definition": {"schedule": "every 1m", "task": "work"}, "state": state,
                 "settled_total": 0, "present": present, "reigns": [{"version": 1, "grid": "every 1m", "after": NOON}]}
                for name, state in (("new", "active"), ("old", "active"), ("paused", "paused"))]
        runs = [{"job": "old", "fire_time": NOON + 1000 * i, "started_at": NOON, "finished_at": NOON + 1_000_000 * took,
                 "settled_at": NOON, "verdict": verdict, "settles": 0}
                for i, (took, verdict) in enumerate([(900, "succeeded")] * 20 + [(900, "cancelled"), (900, "lost")] +
                                                    [(20, "succeeded"), (30, "failed")] * 50)]
        self.archive(jobs, runs)
        before = self.run_cli("export")
        arguments = ("--from", FROM, "--days", 1)
        out = self.simulate(*arguments)
        self.assertEqual(out["paused"], 1)
        self.assertEqual([(job["name"], job["durations"]) for job in out["jobs"]],
                         [("new", "default"), ("old", "history")])
        # The grid began at noon: 22 hours of it, without its first instant.
        self.assertEqual([job["points"] for job in out["jobs"]], [22 * 60 - 1] * 2)
        # Of the old job the newest hundred runs that ended by themselves count: half of 20 s, half of 30 s.
        old = out["jobs"][1]
        self.assertEqual((old["overlaps"], old["failed"]), (0, 0))
        self.assertAlmostEqual(sum(out["hours"]["busy_seconds"]) / old["runs"], 5 + 25, delta=0.5)
        self.assertEqual(self.run_cli("export"), before)

        self.write("jobs.jsonl", before)
        of_archive = self.simulate("-f", "jobs.jsonl", *arguments)
        self.assertEqual(of_archive["total"]["points"], out["total"]["points"])
        self.assertEqual([job["durations"] for job in of_archive["jobs"]], ["default", "history"])
        self.assertEqual(self.simulate("-f", "-", *arguments, stdin=before), of_archive)
        given = self.simulate("--duration", "1s", "--duration", "old=2s", *arguments)
        self.assertEqual([job["durations"] for job in given["jobs"]], ["given", "given"])
        self.assertEqual(given["jobs"][1]["busy"], "43m58s")

    def test_a_job_that_a_newer_version_wrote_is_left_out(self):
        self.run_cli("add", "a", "every 1h", "--", "true", ESCAPEMENT_STORE="sqlite:jobs.db")
        self.run_cli("add", "b", "every 1h", "--", "true", ESCAPEMENT_STORE="sqlite:jobs.db")
        with contextlib.closing(sqlite3.connect(self.home / "jobs.db")) as database, database:
            database.execute("UPDATE definitions SET definition = json_set(definition, '$.moon_phase', 'full') "
                             "WHERE job = (SELECT key FROM jobs WHERE id = 'b')")
        done = self.done("simulate", "--store", "sqlite:jobs.db", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cannot read: 'b'", done.stderr)
        out = json.loads(done.stdout)
        self.assertEqual((out["unreadable"], [job["name"] for job in out["jobs"]]), (["b"], ["a"]))

    def test_a_seed_says_all(self):
        arguments = ("-f", self.file, *ONE_SLOT, "--fail", "20%", "--fault", "+2h 30m pods=0")
        one = self.run_cli("simulate", *arguments, "--seed", 7)
        self.assertEqual(one, self.run_cli("simulate", *arguments, "--seed", 7))
        self.assertGreater(len({self.simulate(*arguments, "--seed", seed)["total"]["failed"] for seed in range(5)}), 1)
        failed = self.simulate(*arguments)["total"]
        self.assertAlmostEqual(failed["failed"], 0.2 * failed["runs"], delta=0.06 * failed["runs"])
        same = self.simulate("-f", self.file, *ONE_SLOT, "--fail", "0.2", "--fault", "2026-12-21T12:00:00Z 30m pods=0")
        self.assertEqual(same["total"], failed)

    def test_faults(self):
        arguments = ("-f", self.file, "--from", FROM, "--days", 1, "--duration", "10s", "--max-running", 5)
        pods, store = self.simulate(*arguments, "--fault", "+5s 10m pods=0", "--fault", "+3h 30m store")["faults"]
        self.assertEqual((pods["at"], pods["length"]), ("2026-12-21T10:00:05Z", "10m"))
        self.assertEqual((pods["what"], pods["pods"]), ("pods", 0))
        self.assertEqual((pods["reruns"], pods["lost"]), (2, 0))
        self.assertEqual(pods["without"], {"late": 0, "lateness_max": "0s", "skipped": 0, "reruns": 0, "lost": 0})
        self.assertEqual((store["what"], store["skipped"], store["reruns"]), ("store", 29, 0))
        # Of the long job 13:00, of the short one 13:29 and, once that has ended, 13:30.
        self.assertEqual((store["late"], store["lateness_max"], store["recovery"]), (3, "30m", "10s"))
        # The takeover takes a TTL and a heartbeat from when there is somebody again.
        config = self.write("config.toml", "[pod]\nsession_ttl = '60s'\nheartbeat = '10s'\nmax_running = 3\n")
        out = self.simulate("-f", self.file, "--from", FROM, "--duration", "10s", "--config", config,
                            "--fault", "+5s 1s pods=0")
        self.assertEqual(out["slots"], 6)
        self.assertEqual(out["faults"][0]["lateness_max"], "26s")
        self.assertEqual(out["faults"][0]["recovery"], "1m20s")

    def test_the_text_fits_a_screen_and_any_locale(self):
        hourly = self.write("hourly.json", json.dumps(
            {"jobs": {"long": {"schedule": "every 1h anchor=2026-01-01T00:00:00Z", "task": "work"}}}))
        arguments = ("simulate", "-f", hourly, *ONE_SLOT[:2], "--max-running", 1, "--fault", "+2h 30m pods=1")
        for days, lines in ((7, 8), (35, 36 // 7 + 1), (365, 53), (3660, 53)):
            with self.subTest(days=days):
                text = self.run_cli(*arguments, "--days", days, "--duration", "10m")
                self.assertTrue(text.isascii())
                self.assertLessEqual(max(map(len, text.splitlines())), 100)
                rows = [line for line in text.splitlines() if line[4:14].count("-") == 2 and line[:3].isalpha()]
                self.assertEqual(len(rows), lines)
                self.assertTrue(rows[0].startswith("Mon 2026-12-21"), rows[0])
        text = self.run_cli(*arguments, "--duration", "10m", LC_ALL="C.UTF-8")
        self.assertIn("█", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        self.assertIn("1 of the pods lives", text)

    def test_progress_is_for_terminals(self):
        self.assertEqual(self.done("simulate", "-f", self.file, "--days", 200).stderr, "")

    def test_bad_input(self):
        good = ("-f", self.file, "--from", FROM)
        rows = [
            (("--fault", "noon"), "three words"),
            (("--fault", "2026-12-21T10:00:00Z 10m nothing"), "no fault 'nothing'"),
            (("--fault", "2026-12-21T10:00:00Z 10m store now"), "'now'"),
            (("--fault", "2026-12-21 10m store"), "2026-12-21"),
            (("--fault", "+1h soon store"), "soon"),
            (("--fault", "+1x 10m store"), "1x"),
            (("--fault", "+9999w 10m store"), "5200 weeks"),
            (("--fault", "+1h 10m pods=one"), "number"),
            (("--fault", "+1h 10m pods=2"), "0 to 1"),
            (("--fault", "+1h 0s store"), "longer than nothing"),
            (("--fault", "2026-12-20T10:00:00Z 10m store"), "begin between"),
            (("--fault", "+168h 10m store"), "begin between"),
            (("--duration", "long"), "JOB=30s"),
            (("--duration", "shop/long=-1s"), "JOB=30s"),
            (("--duration", "nobody=1s"), "'nobody'"),
            (("--duration", "1s", "--duration", "2s"), "twice"),
            (("--fail", "120%"), "--fail"),
            (("--fail", "1.5"), "--fail"),
            (("--fail", "often"), "--fail"),
            (("--days", "0"), "--days"),
            (("--days", "4000"), "--days"),
            (("--pods", "0"), "pods"),
            (("--max-running", "0"), "max_running"),
            (("--seed", "-1"), "--seed"),
            (("--from", "yesterday"), "--from"),
            (("--store", "memory:"), "not from both"),
        ]
        for arguments, word in rows:
            with self.subTest(arguments=arguments):
                more = good[:2] if arguments[0] == "--from" else good
                self.assertIn(word, self.refused("simulate", *more, *arguments))
        self.write("jobs.toml", "\n[jobs.a]\nschedule = 1\n")
        self.assertIn("jobs.toml:3", self.refused("simulate", "-f", "jobs.toml"))
        archive = self.write("bad.jsonl", '{"escapement_archive":1}\n{"job":1}\n')
        self.assertIn("bad.jsonl: line 2", self.refused("simulate", "-f", archive))
        cut = self.write("cut.jsonl", '{"escapement_archive":1}\n')
        self.assertIn("cut", self.refused("simulate", "-f", cut))
        self.assertIn("none.toml", self.refused("simulate", "-f", "none.toml", status=1))
        self.refused("simulate", "-f", ".", status=1)
        self.assertIn("no active jobs", self.refused("simulate", "--store", "memory:", status=1))


if __name__ == "__main__":
    program.main()
