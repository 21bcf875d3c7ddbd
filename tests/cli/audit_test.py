"""audit: a whole ledger, one that pods write to, and one that was broken by hand."""

import json
import sqlite3

import program

SECOND = 10**6


class AuditTest(program.CliTest):
    def fill(self):
        """A job with a history, and no pod any more; its settling rows as (seq, fire time)."""
        self.run_cli("add", "other", "every 50ms", "--", "true")
        # On a busy machine too, each point gets a row of its own.
        patient = ("--late", "run_all", "--late-threshold", "1h")
        self.run_cli("add", "often", "every 25ms", *patient, "--max-attempts", "2", "--retry-delay", "1ms", "--",
                     "false")
        self.run_cli("add", "paused", "every 10ms", "--", "true")
        pod = program.Pod(self, "--name", "pod-1")
        self.wait_for(lambda: len(self.json("runs", "often", "--limit", "100")) > 80, "a history")
        self.run_cli("pause", "paused")
        self.run_cli("trigger", "often")
        held = self.done("audit")  # while it runs
        self.assertEqual(held.returncode, 0, held.stdout + held.stderr)
        self.run_cli("resume", "paused")
        self.run_cli("add", "often", "every 20ms", *patient, "--", "true")  # points of another schedule
        self.wait_for(lambda: self.json("runs", "often", "--limit", "1")[0]["verdict"] == "succeeded", "the change")
        self.assertEqual(self.done("audit").returncode, 0)
        self.assertEqual(pod.stop(), 0)
        return self.sql("SELECT seq, runs.fire_time FROM runs JOIN jobs ON jobs.key = runs.job "
                        "WHERE id = 'often' AND settles = 1 AND child IS NULL ORDER BY runs.fire_time")

    def sql(self, text, *arguments):
        database = sqlite3.connect(self.home / ".local/state/escapement/escapement.db")
        try:
            with database:
                return database.execute(text, arguments).fetchall()
        finally:
            database.close()

    def broken(self, *arguments):
        done = self.done("audit", *arguments, "--json")
        audit = json.loads(done.stdout)
        self.assertEqual((done.returncode, audit["holds"], done.stderr), (1, False, ""), done)
        return audit

    def test_a_broken_file(self):
        rows = self.fill()
        whole = self.json("audit")
        self.assertEqual((whole["jobs"], whole["missing"], whole["doubled"], whole["breaches"]), (3, 0, 0, 0))
        self.assertEqual(sum(whole["settled"].values()), whole["expected"])
        (lost, lost_time), (_, before) = rows[10], rows[9]
        (twice, twice_time), (moved, moved_time) = rows[20], rows[30]
        self.sql("DELETE FROM runs WHERE seq = ?", lost)
        columns = ("settled_at, job, child, fire_time, last_fire, started_at, finished_at, fence, session, settles, "
                   "attempt, verdict, pod, error, output")
        self.sql(f"INSERT INTO runs ({columns}) SELECT {columns} FROM runs WHERE seq = ?", twice)
        self.sql("UPDATE runs SET fire_time = fire_time + 7, last_fire = last_fire + 7 WHERE seq = ?", moved)
        named = [("often", "missing", lost_time), ("often", "doubled", twice_time), ("often", "missing", moved_time),
                 ("often", "off_grid", moved_time + 7)]
        audit = self.broken()
        self.assertEqual([(b["name"], b["breach"], b["fire_time"]) for b in audit["named"]],
                         [(name, breach, program.instant(time / SECOND)) for name, breach, time in named])
        self.assertEqual((audit["missing"], audit["doubled"], audit["off_grid"], audit["breaches"]), (2, 1, 1, 4))
        self.assertEqual(audit["expected"], whole["expected"])
        doubled = audit["named"][1]
        self.assertEqual([(r["verdict"], r["pod"], r["attempt"]) for r in doubled["runs"]],
                         [("failed", "pod-1", 2)] * 2)
        # Lines for people and pipes.
        lines = self.done("audit", "--limit", "2").stdout.splitlines()
        self.assertEqual(lines[0].split("\t"),
                         ["often", program.instant(lost_time / SECOND), "", "missing: it has no verdict", ""])
        self.assertIn("doubled: settled 2 times\tattempt 2 failed on pod-1 at ", lines[1])
        self.assertEqual(lines[2], "and 2 more (--limit)")
        self.assertIn("; 2 missing, 1 doubled, 1 off the grid", lines[3])
        self.assertTrue(lines[3].endswith(": the law is broken"))
        # Windows and jobs.
        self.assertEqual(self.broken("--job", "often")["breaches"], 4)
        self.assertEqual(self.broken("of")["breaches"], 4)
        self.assertTrue(self.json("audit", "--job", "other")["holds"])
        self.assertTrue(self.json("audit", "pa")["holds"])
        self.assertTrue(self.json("audit", "--to", program.instant((before + 1) / SECOND))["holds"])
        self.assertTrue(self.json("audit", "--from", program.instant((moved_time + 8) / SECOND))["holds"])
        self.assertEqual(self.broken("--from", program.instant(lost_time / SECOND), "--to",
                                     program.instant((lost_time + 1) / SECOND))["missing"], 1)
        self.assertEqual(self.broken("--from=-1h", "--to", "now")["breaches"], 4)
        # The counter of the job, which no window concerns.
        self.sql("UPDATE jobs SET settled_total = settled_total + 1 WHERE id = 'other'")
        self.assertEqual(self.broken("other")["named"][0]["breach"], "total")
        self.assertTrue(self.json("audit", "other", "--from=-1h")["holds"])
        # A cursor that went back: the points beyond it would be settled again.
        self.sql("UPDATE jobs SET cursor = ? WHERE id = 'often'", rows[-3][1])
        beyond = self.broken("often", "--from", program.instant((rows[-3][1] + 1) / SECOND))
        self.assertEqual([b["breach"] for b in beyond["named"]], ["ahead", "ahead"])

    def test_windows(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        line = self.run_cli("audit")
        self.assertIn(": 1 job, 0 points expected; 0 missing, 0 doubled: the law holds", line)
        noted = self.done("audit", "--from=-30d")
        self.assertEqual(noted.returncode, 0)
        self.assertIn("of 7 days of history", noted.stderr)
        self.assertIn("of 3 days of history", self.done("audit", "--from=-5d", "--history-days", "3").stderr)
        config = self.write("config.toml", "[pod]\nhistory_days = 2\n")
        self.assertIn("of 2 days of history", self.done("audit", "--from=-5d", "--config", config).stderr)
        self.assertEqual(self.done("audit", "--from=-6d").stderr, "")

    def test_what_cannot_be_checked(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        self.refused("audit", "--job", "none")
        self.refused("audit", "--from", "yesterday")
        self.refused("audit", "--from=-1h", "--to=-2h")
        self.refused("audit", "--from=+1h")
        self.assertIn("7 days", self.refused("audit", "--to=-8d"))
        self.refused("audit", "a", "--job", "a")
        self.refused("audit", "--limit", "-1")
        self.refused("audit", "--history-days", "0")
        self.refused("audit", "--store", "postgresql://127.0.0.1:1/x")


if __name__ == "__main__":
    program.main()
