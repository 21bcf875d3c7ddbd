"""tools/chaos judges rightly: each breach of the law that is planted in a run is found, and nothing else."""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "tools"))
from chaos_lib import audit, plan  # noqa: E402
from chaos_lib.cluster import Job, make_jobs  # noqa: E402

SECOND = 1_000_000


class AuditTest(unittest.TestCase):
    """Two jobs with three points each, run as they should be; each test breaks one thing."""

    def setUp(self):
        usual = {"first": 0, "interval": SECOND, "end": 3 * SECOND, "work_ms": 1}
        self.jobs = [Job("plain", **usual), Job("once", at_most_once=True, **usual)]
        self.present = {job.id: {"settled_total": 3} for job in self.jobs}
        self.runs, self.lines = [], []
        for job in self.jobs:
            for fire in job.points():
                self.runs.append(self.run_of(job.id, fire))
                self.start(job.id, fire)

    @staticmethod
    def run_of(job, fire, **others):
        return {"job": job, "fire_time": fire, "verdict": "succeeded", "output": f"{job}.{fire}", **others}

    def start(self, job, fire, token=None, attempt=1, fence=1, late=100, ended=True):
        token = token or f"{job}.{fire}"
        self.lines.append(f"S {token} {job} {fire} {attempt} {fence} {fire + late} 0\n")
        if ended:
            self.lines.append(f"E {token} {fire + late + 1000}\n")

    def audited(self):
        findings, _, self.reruns = audit.audit(self.jobs, (self.present, self.runs), audit.read_witness(self.lines))
        return {kind: findings.count(kind) for kind in findings.KINDS if findings.count(kind)}

    def test_nothing_is_found_where_nothing_is_wrong(self):
        self.assertEqual(self.audited(), {})
        self.assertEqual(self.reruns, 0)

    def test_missing(self):
        del self.runs[1]
        self.assertEqual(self.audited(), {"missing": 1})

    def test_double(self):
        self.runs.append(dict(self.runs[0]))
        self.assertEqual(self.audited(), {"double": 1})

    def test_a_count_that_does_not_fit_its_rows(self):
        self.present["plain"]["settled_total"] = 4
        self.assertEqual(self.audited(), {"wrong": 1})

    def test_a_point_that_the_schedule_does_not_have(self):
        self.runs.append(self.run_of("plain", 500, verdict="lost"))
        self.assertEqual(self.audited(), {"wrong": 2})  # not a point, and not to be lost

    def test_a_verdict_that_was_not_earned(self):
        self.runs[0]["verdict"] = "failed"
        self.assertEqual(self.audited(), {"wrong": 1})

    def test_at_most_once_may_be_lost(self):
        self.runs[3] = {"job": "once", "fire_time": 0, "verdict": "lost"}
        self.assertEqual(self.audited(), {})

    def test_a_skipped_stretch_settles_its_points_and_still_is_wrong(self):
        self.runs[0:3] = [{"job": "plain", "fire_time": 0, "last_fire": 2 * SECOND, "settles": 3, "verdict":
                           "skipped_misfired"}]
        self.assertEqual(self.audited(), {"wrong": 1})  # all jobs run every point

    def test_unwitnessed(self):
        self.runs[0]["output"] = "somebody else's"
        self.assertEqual(self.audited(), {"unwitnessed": 1})

    def test_a_run_of_another_occurrence_is_no_witness(self):
        self.runs[0]["output"] = self.runs[1]["output"]
        self.assertEqual(self.audited(), {"unwitnessed": 1})

    def test_a_task_that_never_ended(self):
        self.lines.remove("E plain.0 1100\n")
        self.assertEqual(self.audited(), {"unwitnessed": 1})

    def test_stale(self):
        self.start("plain", 0, token="later", fence=2, late=6 * SECOND)
        self.assertEqual(self.audited(), {"stale": 1})

    def test_a_rerun_whose_later_owner_settles_is_right(self):
        self.start("plain", 0, token="later", fence=2, late=6 * SECOND)
        self.runs[0]["output"] = "later"
        self.assertEqual(self.audited(), {})
        self.assertEqual(self.reruns, 1)

    def test_a_retry_is_no_rerun(self):
        self.start("plain", 0, token="again", attempt=2, fence=1, late=SECOND)
        self.runs.append(self.run_of("plain", 0, attempt=2, output="again"))
        self.runs[0].update(verdict="failed", settles=0)
        self.assertEqual(self.audited(), {})
        self.assertEqual(self.reruns, 0)

    def test_started_twice_by_one_owner(self):
        self.start("plain", 0, token="again", late=200)
        self.assertEqual(self.audited(), {"restarted": 1})

    def test_at_most_once_started_again_by_another_owner(self):
        self.start("once", 0, token="again", fence=2)
        self.runs[3]["output"] = "again"
        self.assertEqual(self.audited(), {"restarted": 1})

    def test_early(self):
        self.lines = [line.replace(f"S plain.{SECOND} plain {SECOND} 1 1 {SECOND + 100}",
                                   f"S plain.{SECOND} plain {SECOND} 1 1 {SECOND - 1100}") for line in self.lines]
        self.assertEqual(self.audited(), {"early": 1})

    def test_a_line_that_a_kill_cut_off(self):
        self.lines.append("S half plain 0")
        self.assertEqual(self.audited(), {})


class RecoveryTest(unittest.TestCase):
    def test_it_lasts_until_the_last_late_start_of_what_was_due_before_the_next_fault(self):
        late = {("a", 10 * SECOND): 16 * SECOND, ("a", 11 * SECOND): 17 * SECOND, ("a", 18 * SECOND): 18 * SECOND + 5,
                ("a", 19 * SECOND + 1): 22 * SECOND, ("a", 31 * SECOND): 33 * SECOND}
        groups = [(10 * SECOND, 12 * SECOND, []), (20 * SECOND, 21 * SECOND, []), (30 * SECOND, 34 * SECOND, [])]
        self.assertEqual([recovery for recovery, _ in audit.recoveries(groups, late, 40 * SECOND)],
                         [5 * SECOND, SECOND, 0])

    def test_percentiles_are_by_nearest_rank(self):
        self.assertEqual([audit.percentile([4, 1, 3, 2], p) for p in (50, 75, 90, 100)], [2, 3, 4, 4])


class PlanTest(unittest.TestCase):
    def test_a_seed_always_gives_the_same_plan(self):
        for store in plan.STORES:
            self.assertEqual(plan.make_plan(store, 20, 5, 4), plan.make_plan(store, 20, 5, 4))
            self.assertNotEqual(plan.make_plan(store, 20, 5, 4), plan.make_plan(store, 20, 6, 4))

    def test_every_kind_comes_in_twenty_minutes_and_the_end_is_calm(self):
        for store in plan.STORES:
            faults = plan.make_plan(store, 20, 1, 4)
            self.assertEqual({fault.kind for fault in faults}, set(plan.KINDS[store]))
            self.assertLessEqual(max(fault.at + fault.length for fault in faults), 20 * 60 - plan.SETTLE + 0.01)

    def test_what_happens_at_once_happens_to_different_parts(self):
        for seed in range(20):
            faults = plan.make_plan("postgresql", 20, seed, 4)
            for one in faults:
                for other in faults:
                    if one is not other and one.group == other.group:
                        self.assertNotEqual(one.target, other.target)


class JobsTest(unittest.TestCase):
    def test_jobs_have_the_points_that_were_asked_for(self):
        for seconds, rate in ((30, 300), (1200, 300), (7200, 50)):
            jobs = make_jobs(1_790_000_000_123_456, seconds, rate)
            points = sum(len(job.points()) for job in jobs)
            self.assertLess(abs(points - seconds * rate), 0.02 * seconds * rate)
            self.assertLessEqual(max(len(job.points()) for job in jobs), 450)


class ProgramTest(unittest.TestCase):
    def chaos(self, *arguments):
        return subprocess.run([sys.executable, "-B", ROOT / "tools/chaos", *arguments], capture_output=True, text=True)

    def test_wrong_arguments_are_refused(self):
        for arguments in ([], ["--store", "oracle"], ["--store", "redis", "--minutes", "0"],
                          ["--store", "redis", "--pods", "1"], ["--store", "redis", "--rate", "1"],
                          ["--store", "sqlite", "--faults", "latency"], ["--store", "redis", "--seed", "x"]):
            done = self.chaos(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertRegex(done.stderr, r"^chaos: [^\n]+\n$")

    def test_the_plan_is_shown_without_doing_anything(self):
        done = self.chaos("--store", "sqlite", "--minutes", "2", "--seed", "1", "--show-plan")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count("\n"), 1 + len(plan.make_plan("sqlite", 2, 1, 4)))


if __name__ == "__main__":
    unittest.main()
