"""Cron and calendar schedules, in words, as instants, and when tzdata changes."""

import json
import shutil
import unittest

import program

ZONEINFO = "/usr/share/zoneinfo"


class SchedulesTest(program.CliTest):
    def tzdata(self, zone, like):
        """A copy of tzdata in which one zone has the rules of another."""
        directory = self.home / "zoneinfo"
        (directory / zone).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(f"{ZONEINFO}/{like}", directory / zone)
        return directory

    def test_next_shows_local_times_of_the_schedules_zone(self):
        lines = self.run_cli("next", "cron 30 2 * * * zone=Europe/Berlin fold=both", "--after", "2026-10-24T12:00:00Z",
                             "--count", "3").splitlines()
        self.assertEqual(lines, ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"])
        self.assertEqual(self.json("next", "30 2 * * *", "--after", "2026-10-24T12:00:00Z", "--count", "1"),
                         ["2026-10-25T02:30:00+00:00"])

    def test_h_is_the_jobs_own(self):
        ask = ["next", "H H * * *", "--after", "2026-01-01T00:00:00Z", "--count", "1"]
        self.assertNotEqual(self.run_cli(*ask, "--job", "a"), self.run_cli(*ask, "--job", "b"))
        self.run_cli("add", "a", "H H * * *", "--", "true")
        schedule = self.json("show", "a")["definition"]["schedule"]
        self.assertEqual(self.run_cli("next", schedule, *ask[2:]), self.run_cli(*ask, "--job", "a"))
        self.assertEqual(self.run_cli("add", "a", "H H * * *", "--", "true"), "a unchanged\n")

    def test_describe_says_it_in_words(self):
        self.assertEqual(self.run_cli("describe", "*/10 9-17 * * MON-FRI"),
                         "every 10 minutes of hours 9 to 17 on Monday to Friday, UTC\n")
        self.assertEqual(self.json("describe", "calendar hour=3 day=Last Fri zone=Asia/Tokyo"),
                         {"schedule": "calendar day=last fri hour=3 zone=Asia/Tokyo",
                          "in_words": "at 03:00 on the last Friday of the month, Asia/Tokyo time"})
        self.assertIn("hour field, column 3", self.refused("describe", "0 24 * * *"))

    def test_a_jobs_schedule_decides_what_is_usual_for_late_points(self):
        self.run_cli("add", "cron", "@daily", "--", "true")
        self.run_cli("add", "every", "every 1d", "--", "true")
        self.run_cli("add", "both", "@daily", "--late", "run_once", "--", "true")
        late = {name: self.json("show", name)["definition"]["late"] for name in ("cron", "every", "both")}
        self.assertEqual(late, {"cron": "skip", "every": "run_once", "both": "run_once"})
        self.assertEqual(self.json("show", "cron")["in_words"], "at 00:00, UTC")

    def test_add_and_apply_warn_of_what_will_not_run(self):
        done = self.done("add", "old", "0 0 0 1 1 ? 2001", "--", "true")
        self.assertEqual((done.returncode, done.stdout), (0, "old created\n"))
        self.assertIn("warning: old:", done.stderr)
        self.assertEqual(self.json("show", "old")["state"], "finished")
        self.assertIn("never fires", self.refused("add", "never", "0 0 30 2 *", "--", "true"))
        (self.home / "jobs.toml").write_text('[jobs.older]\nschedule = "0 0 0 1 1 ? 2001"\ncommand = ["true"]\n')
        self.assertIn("warning: older:", self.done("apply", "-f", "jobs.toml").stderr)
        self.assertEqual(self.done("add", "new", "@daily", "--", "true").stderr, "")

    def test_files_of_jobs_have_cron(self):
        (self.home / "jobs.toml").write_text(
            '[jobs.nightly]\nschedule = "cron H 3 * * * zone=Europe/Berlin gap=skip"\ncommand = ["true"]\n')
        self.run_cli("apply", "-f", "jobs.toml")
        self.assertIn("1 unchanged", self.done("apply", "-f", "jobs.toml").stderr)
        archive = self.run_cli("export")
        self.assertIn("gap=skip", archive)
        forecast = self.json("simulate", "-f", "jobs.toml", "--from", "2026-11-26T12:00:00Z", "--days", "2")
        self.assertEqual([job["points"] for job in forecast["jobs"]], [2])

    def test_moves_tells_which_runs_another_tzdata_has_elsewhere(self):
        self.run_cli("add", "berlin", "cron 0 0 1 1 * zone=Europe/Berlin", "--", "true")
        self.run_cli("add", "utc", "@daily", "--", "true")
        self.run_cli("add", "interval", "every 1h", "--", "true")
        moscow = self.tzdata("Europe/Berlin", "Europe/Moscow")
        moved = self.json("moves", "--tzdata", moscow)
        self.assertEqual([(job["name"], job["moved"]) for job in moved], [("berlin", 1)])
        self.assertRegex(moved[0]["runs"][0]["from"], "-12-31T23:00:00Z$")
        self.assertRegex(moved[0]["runs"][0]["to"], "-12-31T21:00:00Z$")
        self.assertEqual(self.json("moves", "--tzdata", self.tzdata("Europe/Berlin", "Europe/Berlin")), [])
        self.assertIn("no time zone", self.refused("moves", "--tzdata", self.home / "nowhere"))

    def test_moves_tells_which_planned_runs_are_not_where_the_rules_have_them(self):
        moscow = self.tzdata("Europe/Berlin", "Europe/Moscow")
        self.run_cli("add", "a", "cron 0 0 1 1 * zone=Europe/Berlin", "--", "true", TZDIR=str(moscow))
        self.assertEqual(self.json("moves", TZDIR=str(moscow)), [])
        moved = json.loads(self.run_cli("moves", "--json"))
        self.assertEqual([job["name"] for job in moved], ["a"])
        self.assertRegex(moved[0]["runs"][0]["from"], "T21:00:00Z$")
        self.assertRegex(moved[0]["runs"][0]["to"], "T23:00:00Z$")


if __name__ == "__main__":
    unittest.main()
