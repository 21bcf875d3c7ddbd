"""`why` in each of its answers. States of the past come from archives."""

import json
import time

import program

HOUR = 3600 * 10**6


def job(name, created, cursor, fire_time, schedule="every 1h", **more):
    """A job as an archive has it; instants in microseconds."""
    present = {"created_at": created, "cursor": cursor, "fire_time": fire_time, "planned_from": created}
    present.update(more.pop("present", {}))
    return {"id": name, "definition": {"schedule": schedule, "task": "process", "payload": '{"argv":["true"]}',
                                       **more.pop("definition", {})},
            "state": more.pop("state", "active"), "settled_total": 0, "present": present,
            "reigns": [{"version": 1, "grid": schedule, "after": created}], **more}


class WhyTest(program.CliTest):
    def setUp(self):
        super().setUp()
        self.now = int(time.time()) * 10**6
        self.t0 = self.now - 10 * HOUR - HOUR // 2  # points at half past, hours away from now

    def why(self, name, micros):
        answer = self.json("why", name, program.instant(micros / 1e6))
        line = self.run_cli("why", name, program.instant(micros / 1e6))
        # Durations in the sentence go on counting from one question to the next.
        self.assertTrue(line.startswith(f"{name} {answer['time']}: "), line)
        return answer

    def test_the_past(self):
        t0 = self.t0
        self.archive([job("a", t0, t0 + 8 * HOUR, t0 + 9 * HOUR)], [
            {"job": "a", "fire_time": t0 + 2 * HOUR, "verdict": "failed", "settles": 0, "settled_at": t0 + 2 * HOUR + 50,
             "started_at": t0 + 2 * HOUR + 5, "finished_at": t0 + 2 * HOUR + 9, "pod": "p1", "error": "exit status 3"},
            {"job": "a", "fire_time": t0 + 2 * HOUR, "attempt": 2, "verdict": "succeeded",
             "settled_at": t0 + 2 * HOUR + 90, "started_at": t0 + 2 * HOUR + 60, "finished_at": t0 + 2 * HOUR + 80,
             "pod": "p2"},
            {"job": "a", "fire_time": t0 + 3 * HOUR, "last_fire": t0 + 5 * HOUR, "settles": 3,
             "verdict": "skipped_paused", "settled_at": t0 + 5 * HOUR + 7},
            {"job": "a", "fire_time": t0 + 6 * HOUR, "verdict": "skipped_misfired", "settled_at": t0 + 7 * HOUR},
            {"job": "a", "fire_time": t0 + 7 * HOUR + 11, "verdict": "succeeded", "triggered": True, "settles": 1,
             "settled_at": t0 + 7 * HOUR + 12, "pod": "p3"},
        ])
        settled = self.why("a", t0 + 2 * HOUR)
        self.assertEqual(settled["answer"], "settled")
        self.assertIn("succeeded on pod p2, attempt 2", settled["text"])
        self.assertEqual([(r["attempt"], r["verdict"]) for r in settled["runs"]], [(1, "failed"), (2, "succeeded")])
        for hour in (3, 4, 5):
            skipped = self.why("a", t0 + hour * HOUR)
            self.assertEqual(skipped["answer"], "skipped")
            self.assertIn("stretch of 3", skipped["text"])
            self.assertIn("paused", skipped["text"])
        self.assertIn("late policy", self.why("a", t0 + 6 * HOUR)["text"])
        self.assertIn("triggered", self.why("a", t0 + 7 * HOUR + 11)["text"])
        self.assertEqual(self.why("a", t0 + 8 * HOUR)["answer"], "beyond_history")
        off = self.why("a", t0 + 4 * HOUR + 1)  # inside the stretch, but no point
        self.assertEqual(off["answer"], "not_a_point")
        self.assertEqual((off["before"], off["after"]),
                         (program.instant((t0 + 4 * HOUR) / 1e6), program.instant((t0 + 5 * HOUR) / 1e6)))
        self.assertEqual(self.why("a", t0 - HOUR)["answer"], "before_creation")
        early = self.why("a", t0 + 5)
        self.assertEqual((early["answer"], early.get("before")), ("not_a_point", None))

    def test_the_present_without_a_pod(self):
        t0 = self.t0
        self.archive([job("late", t0, t0 + 8 * HOUR, t0 + 9 * HOUR),
                      job("paused", t0, t0 + 8 * HOUR, t0 + 9 * HOUR, state="paused"),
                      job("retry", t0, t0 + 9 * HOUR, t0 + 10 * HOUR, definition={"max_attempts": 3, "retry_delay_us": 5 * HOUR,
                                                                                  "retry_max_delay_us": 9 * HOUR},
                          present={"attempt": 2, "due_at": t0 + 15 * HOUR})],
                     [{"job": "retry", "fire_time": t0 + 10 * HOUR, "verdict": "failed", "settles": 0,
                       "settled_at": t0 + 10 * HOUR, "error": "no"}])
        self.assertEqual(self.why("late", t0 + 9 * HOUR)["answer"], "overdue")
        self.run_cli("pause", "--queue", "default")
        self.assertIn("queue 'default' is paused", self.why("late", t0 + 9 * HOUR)["text"])
        self.assertEqual(self.why("late", t0 + 9 * HOUR)["answer"], "paused")
        self.assertEqual(self.why("late", t0 + 10 * HOUR)["answer"], "waiting")
        self.assertEqual(self.why("late", t0 + 11 * HOUR)["answer"], "to_come")
        self.assertEqual(self.why("paused", t0 + 9 * HOUR)["answer"], "paused")
        self.assertEqual(self.why("paused", t0 + 10 * HOUR)["answer"], "paused")
        self.assertIn("paused", self.why("paused", t0 + 11 * HOUR)["text"])
        retry = self.why("retry", t0 + 10 * HOUR)
        self.assertEqual(retry["answer"], "retry")
        self.assertIn("attempt 2 of 3", retry["text"])
        self.assertEqual(len(retry["runs"]), 1)

    def test_under_way(self):
        begun = self.home / "begun"
        pod = program.Pod(self, "--name", "p9", "--grace", "0s")
        self.run_cli("add", "slow", "at 2026-01-01T00:00:00Z", "--", "sh", "-c", f"touch {begun}; exec sleep 600")
        self.wait_for(begun.exists, "it begins")
        answer = json.loads(self.run_cli("why", "slow", "2026-01-01T01:00:00+01:00", "--json"))
        self.assertEqual((answer["answer"], answer["time"]), ("under_way", "2026-01-01T00:00:00Z"))
        self.assertIn("p9", answer["text"])
        pod.stop()

    def test_what_may_wait_for_its_limits(self):
        begun = self.home / "begun"
        pod = program.Pod(self, "--name", "p9", "--grace", "0s")
        self.run_cli("add", "holds", "at 2026-01-01T00:00:00Z", "--mutex", "db", "--", "sh", "-c",
                     f"touch {begun}; exec sleep 600")
        self.wait_for(begun.exists, "it begins")
        self.run_cli("add", "waits", "at 2026-01-01T00:00:00Z", "--mutex", "db", "--rate", "api=10/1m", "--", "true")
        self.wait_for(lambda: self.json("show", "waits")["pod"], "the pod has it")
        answer = self.json("why", "waits", "2026-01-01T00:00:00Z")
        self.assertEqual(answer["answer"], "under_way")
        self.assertIn("'db' (1 at a time), 'api' (10 starts in 1m)", answer["text"])
        # What waits is cancelled without being started, while what it waits for goes on.
        self.run_cli("cancel", "waits")
        run = self.wait_for(lambda: self.json("runs", "waits"), "it is cancelled")[0]
        self.assertEqual((run["verdict"], run["started_at"]), ("cancelled", None))
        self.assertEqual(self.json("runs", "holds"), [])
        pod.stop()

    def test_bad_input(self):
        self.run_cli("add", "a", "every 1h", "--", "true")
        self.refused("why", "a", "noon")
        self.refused("why", "a")
        self.refused("why", "none", "2026-01-01T00:00:00Z", status=1)


if __name__ == "__main__":
    program.main()
