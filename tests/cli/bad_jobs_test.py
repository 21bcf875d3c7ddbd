"""A hundred bad schedules, zones, policies, names and payloads: a clear line each, exit status 2, nothing stored."""

import json
import os
import unittest

import program

# (schedule, what its refusal must name)
SCHEDULES = [
    ("", "schedule"), ("never", "must begin with"), ("every", "interval"), ("every 0s", "0s"), ("every -5s", "-5s"),
    ("every 5", "5"), ("every 5 parsecs", "5"), ("every 1us", "between"), ("every 521w", "520w"),
    ("every 99999999999999999999s", "99999999999999999999"), ("every 1s anchor=tomorrow", "anchor"),
    ("every 1s anchor=10000-01-01T00:00:00Z", "anchor"), ("every 1s anchor=1969-12-31T23:59:59Z", "anchor"),
    ("every 1s phase=2s", "phase"), ("every 1s phase=-1s", "phase"), ("every 1s colour=red", "colour"),
    ("every 1s end=2026-13-01T00:00:00Z", "end"), ("every 1s phase=1ms phase=1ms", "twice"),
    ("at", "instant"), ("at noon", "noon"), ("at 2026-02-30T00:00:00Z", "2026-02-30"),
    ("at 10000-01-01T00:00:00Z", "10000"), ("at 2026-01-01", "2026-01-01"), ("at 2026-01-01T25:00:00Z", "25"),
    ("at 2026-01-01T00:00:00+99:00", "+99:00"),
    ("cron", "fields"), ("cron *", "fields"), ("cron * * *", "fields"), ("cron * * * * * * * *", "field"),
    ("60 * * * *", "minute"), ("* 24 * * *", "hour"), ("* * 0 * *", "day-of-month"), ("* * 32 * *", "day-of-month"),
    ("* * * 0 *", "month"), ("* * * 13 *", "month"), ("* * * * 8", "day-of-week"), ("60 * * * * *", "second"),
    ("0 * * * * * 1969", "year"), ("0 * * * * * 10000", "year"), ("-1 * * * *", "schedule"), ("*/0 * * * *", "minute"),
    ("*/-2 * * * *", "minute"), ("1-99 * * * *", "minute"), ("1, * * * *", "minute"), ("1,,2 * * * *", "minute"),
    ("5- * * * *", "minute"), ("* * * foo *", "month"), ("* * * * funday", "day-of-week"), ("* * * * mon#6", "day-of-week"),
    ("* * * * mon#0", "day-of-week"), ("* * L-31 * *", "day-of-month"), ("* * 32W * *", "day-of-month"),
    ("* * W * *", "day-of-month"), ("? * * * *", "must begin with"), ("L * * * *", "must begin with"), ("H(9-5) * * * *", "minute"),
    ("H(0-99) * * * *", "minute"), ("H( * * * *", "minute"), ("0 0 30 2 *", "never"), ("0 0 31 4,6,9,11 *", "never"),
    ("@never", "@never"), ("@every", "schedule"), ("@every -1s", "-1s"), ("CRON_TZ= 0 3 * * *", "zone"),
    ("CRON_TZ=Mars/Olympus 0 3 * * *", "Mars/Olympus"), ("cron 0 3 * * * zone=Europe/Atlantis", "Europe/Atlantis"),
    ("cron 0 3 * * * zone=../../etc/passwd", "zone"), ("cron 0 3 * * * zone=", "zone"),
    ("cron 0 3 * * * gap=jump", "gap"), ("cron 0 3 * * * fold=twice", "fold"), ("cron 0 3 * * * zone=UTC zone=UTC", "zone"),
    ("calendar", "schedule"), ("calendar day=32", "day"), ("calendar day=6th fri", "day"), ("calendar month=13", "month"),
    ("calendar day_of_week=1", "day_of_week"), ("calendar hour=24", "hour"), ("calendar week=54", "week"),
    ("calendar colour=red", "colour"), ("calendar day=30 month=feb", "never"), ("0 " * 3000, "4096"),
]

# (options of add, what the refusal must name)
OPTIONS = [
    (("--timeout", "-1s"), "-1s"), (("--timeout", "soon"), "soon"), (("--deadline", "-1s"), "-1s"),
    (("--kill-grace", "5s"), "kill_grace"), (("--queue", ""), "queue"), (("--queue", "q" * 201), "queue"),
    (("--label", "l" * 201), "label"), (("--priority", "11"), "priority"), (("--priority", "-1"), "priority"),
    (("--priority", "high"), "priority"), (("--priority", "99999999999999999999"), "priority"),
    (("--max-attempts", "0"), "max_attempts"), (("--max-attempts", "-3"), "max_attempts"),
    (("--retry-delay", "-1s"), "-1s"), (("--retry-factor", "0.5"), "factor"), (("--retry-factor", "nan"), "factor"),
    (("--retry-max-delay", "600w"), "max_delay"), (("--retry-jitter", "2"), "jitter"),
    (("--retry-on", "monday"), "must be any"), (("--retry-delays", "1s,,2s"), "retry-delays"),
    (("--late", "later"), "must be skip"), (("--late-limit", "0"), "late_limit"), (("--late-limit", "-5"), "late_limit"),
    (("--late-threshold", "-1s"), "-1s"), (("--delivery", "exactly_once"), "at_least_once"),
    (("--lost-limit", "0"), "lost_limit"), (("--env", "NOVALUE"), "--env"), (("--env", "=x"), "--env"),
    (("--metadata", "tenant"), "--metadata"), (("--metadata", "tenant=" + "x" * 1001), "metadata.tenant"),
    (("--jitter", "2s"), "jitter"), (("--jitter", "-1s"), "-1s"), (("--flex", "1h"), "flex"),
    (("--unique", "k" * 201), "unique"), (("--unique", "a\nb"), "unique"), (("--unique-for", "1h"), "unique_for"),
    (("--unique", "k", "--unique-for", "-1h"), "-1h"), (("--unique", "k", "--unique-for", "521w"), "520w"),
    (("--unique", "k", "--unique-for", "once"), "once"),
    (("--overlap", "fight"), "must be wait"),
    (("--overlap", "allow", "--pause-after", "3"), "pause_after"), (("--flex", "1s", "--deadline", "1s"), "deadline"),
]

# (a member of a job in a file, what the refusal must name)
MEMBERS = [
    ({"payload": "x" * (10 << 20)}, "payload"), ({"payload": "a\0b"}, "payload"), ({"payload": 7}, "payload"),
    ({"schedule": 7}, "schedule"), ({"schedule": "every -1s"}, "-1s"), ({"priority": 1.5}, "priority"),
    ({"priority": -1}, "priority"), ({"metadata": {"": "x"}}, "metadata"), ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {str(i): "x" for i in range(51)}}, "metadata"), ({"retry_delays": ["1s"] * 101}, "delays"),
    ({"unique": 7}, "unique"), ({"unique": "k\0"}, "unique"), ({"unique_for": "1h"}, "unique_for"),
    ({"late_limit": 10**10}, "late_limit"), ({"colour": "red"}, "colour"), ({"timeout": "1 fortnight"}, "timeout"),
]

# Names that no job may have.
NAMES = ["", "n" * 201, "a\nb", "a\tb", "\x1b[31m", os.fsdecode(b"bad-\xff-utf8"), os.fsdecode(b"\xc3"), "\x7f"]


class BadJobsTest(program.CliTest):
    def setUp(self):
        super().setUp()
        self.run_cli("add", "kept", "every 1h", "--", "true")
        self.before = self.json("list")

    def clear(self, line, word):
        self.assertIn(word, line)
        self.assertLess(len(line), 700, line)
        self.assertTrue(line.rstrip("\n").isprintable(), repr(line))

    def tearDown(self):
        self.assertEqual(self.json("list"), self.before, "something was stored")

    def test_schedules(self):
        for schedule, word in SCHEDULES:
            with self.subTest(schedule=schedule[:60]):
                self.clear(self.refused("add", "bad", schedule, "--", "true"), word)

    def test_options(self):
        for options, word in OPTIONS:
            with self.subTest(options=options):
                pairs = [f"{name}={value}" for name, value in zip(options[::2], options[1::2])]
                self.clear(self.refused("add", "bad", "every 1s", *pairs, "--", "true"), word)

    def test_members_of_a_file(self):
        for members, word in MEMBERS:
            with self.subTest(member=str(members)[:60]):
                job = {"schedule": "every 1s", "task": "work", **members}
                file = self.write("jobs.json", json.dumps({"jobs": {"good": {"schedule": "every 1s", "task": "work"},
                                                                    "bad": job}}))
                self.clear(self.refused("apply", "-f", file), word)

    def test_names(self):
        for name in NAMES:
            with self.subTest(name=name[:20]):
                self.clear(self.refused("add", name, "every 1s", "--", "true"), "id")

    def test_there_are_a_hundred(self):
        self.assertGreaterEqual(len(SCHEDULES) + len(OPTIONS) + len(MEMBERS) + len(NAMES), 100)


if __name__ == "__main__":
    program.main()
