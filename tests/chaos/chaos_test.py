"""tools/chaos judges rightly: each breach of the law that is planted in a run is found, and nothing else."""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "tools"))
from chaos_lib import audit, parts, plan  # noqa: E402
from chaos_lib.jobs import NEVER, Job, make_jobs  # noqa: E402

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
        self.lines.append(f"S {token} {job} {fire} {attempt} {fence} {fire + late} 0 7\n")
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


class PartsTest(unittest.TestCase):
    """What policies, limits and users ask for, run as it should be or with one breach."""

    def setUp(self):
        self.jobs, self.runs, self.lines = [], [], []
        self.events = parts.Events(deaths={}, freezes=[], forgets=[], rests=[], labels={"a": "even", "b": ""},
                                   letters=[])

    def job(self, name, points=3, schedule="every", **others):
        usual = {"first": 0, "interval": SECOND, "end": points * SECOND, "work_ms": 1}
        self.jobs.append(Job(name, schedule=schedule, **usual, **others))
        return self.jobs[-1]

    def began(self, job, fire, at, end, pod="a", attempt=1, fence=1, cancelled=False):
        token = f"{pod}.1.{len(self.lines)}"
        self.lines.append(f"S {token} {job.id} {fire} {attempt} {fence} {at} 0 7\n")
        if end is not None:
            self.lines.append(f"E {token} {end}{' cancelled' if cancelled else ''}\n")
        return token

    def ran(self, job, fire, at=None, length=1000, pod="a", attempt=1, fence=1, verdict="succeeded", cancelled=False,
            **others):
        at = fire if at is None else at
        token = self.began(job, fire, at, at + length, pod, attempt, fence, cancelled)
        self.runs.append({"job": job.id, "fire_time": fire, "attempt": attempt, "verdict": verdict, "output": token,
                          "started_at": at, "finished_at": at + length, "settled_at": at + length + 10, **others})
        return self.runs[-1]

    def all_ran(self, job, **others):
        return [self.ran(job, fire, **others) for fire in job.points()]

    def triggered(self, job, fire):
        return self.ran(job, fire, triggered=True)

    def letter(self, run):
        self.events.letters.append({"name": run["job"], "verdict": run["verdict"],
                                    "fire_time": f"1970-01-01T00:00:{run['fire_time'] / SECOND:09.6f}Z"})

    def judged(self):
        totals = {job.id: 0 for job in self.jobs}
        for run in self.runs:
            totals[run["job"]] += 0 if run.get("triggered") else run.get("settles", 1)
        present = {job.id: {"settled_total": totals[job.id],
                            "present": {"created_at": 0, "fire_time": (len(job.points()) or 3) * SECOND + 3 * 1000}}
                   for job in self.jobs}
        ledger, starts = (present, self.runs), audit.read_witness(self.lines)
        findings, _, _ = audit.audit(self.jobs, ledger, starts)
        parts.judge(self.jobs, ledger, starts, self.events, findings)
        return {kind: findings.count(kind) for kind in findings.KINDS if findings.count(kind)}

    # --- retries, dead letters, pauses

    def attempts(self, second_at):
        job = self.job("list", points=1, failures=1, retry_delays=(300_000,))
        self.ran(job, 0, verdict="failed", settles=0)
        self.ran(job, 0, at=second_at, attempt=2)

    def test_attempts_after_their_delays(self):
        self.attempts(301_000)
        self.assertEqual(self.judged(), {})

    def test_an_attempt_before_its_delay(self):
        self.attempts(299_000)
        self.assertEqual(self.judged(), {"early": 1})

    def test_an_attempt_by_a_pod_that_lost_the_job_follows_another(self):
        self.attempts(301_000)
        for run, at in zip(self.runs, (5 * SECOND, 6 * SECOND)):
            token = self.began(self.jobs[0], 0, at, at + 1000, pod="b", attempt=run["attempt"], fence=2)
            run.update(output=token, started_at=at, finished_at=at + 1000)
        self.assertEqual(self.judged(), {})

    def failed(self):
        return self.all_ran(self.job("dead", failures=NEVER, max_attempts=1), verdict="failed")

    def test_a_letter_for_each_that_failed_for_good(self):
        for run in self.failed():
            self.letter(run)
        self.assertEqual(self.judged(), {})

    def test_a_letter_that_is_missing(self):
        for run in self.failed()[1:]:
            self.letter(run)
        self.assertEqual(self.judged(), {"letter": 1})

    def test_a_letter_too_many(self):
        runs = self.failed()
        for run in runs + runs[:1]:
            self.letter(run)
        self.assertEqual(self.judged(), {"letter": 1})

    def test_a_job_that_succeeds_where_it_fails(self):
        self.all_ran(self.job("dead", failures=NEVER, max_attempts=1))
        self.assertEqual(self.judged(), {"wrong": 3})

    def paused(self, failures):
        job = self.job("pauses", points=4, failures=NEVER, max_attempts=1, pause_after=2)
        for fire in job.points()[:failures]:
            self.letter(self.ran(job, fire, verdict="failed"))
        self.runs.append({"job": "pauses", "fire_time": failures * SECOND, "last_fire": 3 * SECOND,
                          "settled_at": 4 * SECOND, "verdict": "skipped_paused", "settles": 4 - failures})

    def test_a_pause_after_failures(self):
        self.paused(2)
        self.assertEqual(self.judged(), {})

    def test_a_pause_that_came_too_late(self):
        self.paused(3)
        self.assertEqual(self.judged(), {"wrong": 2})  # failed instead of paused, and begun

    # --- overlap replace, deadlines, windows, delays

    def replaced(self, end, error="replaced: the next occurrence was due"):
        job = self.job("replace", points=2, replaces=True)
        self.ran(job, 0, length=end, verdict="cancelled", cancelled=True, error=error)
        self.ran(job, SECOND)

    def test_replaced_when_the_next_is_due(self):
        self.replaced(SECOND)
        self.assertEqual(self.judged(), {})

    def test_replaced_before_the_next_is_due(self):
        self.replaced(SECOND - 5000)
        self.assertEqual(self.judged(), {"early": 1})

    def test_cancelled_for_another_reason(self):
        self.replaced(SECOND, error="cancelled")
        self.assertEqual(self.judged(), {"wrong": 1})

    def test_stopped_before_its_deadline(self):
        job = self.job("deadline", points=1, deadline=SECOND)
        self.letter(self.ran(job, 0, length=900_000, verdict="timed_out", cancelled=True))
        self.assertEqual(self.judged(), {"early": 1})

    def begun_after_its_deadline(self):
        job = self.job("deadline", points=1, deadline=SECOND)
        self.letter(self.ran(job, 0, length=SECOND, verdict="timed_out", cancelled=True))
        self.began(job, 0, 3 * SECOND, None, pod="b", fence=2)
        del self.runs[-1]["output"], self.runs[-1]["started_at"]  # nothing ran under the last fence, by its ledger

    def test_begun_after_its_deadline(self):
        self.begun_after_its_deadline()
        self.assertEqual(self.judged(), {"wrong": 1})

    def test_begun_after_its_deadline_by_a_pod_that_was_frozen(self):
        self.begun_after_its_deadline()
        self.events.freezes.append(("b", 0, 3 * SECOND, False))
        self.assertEqual(self.judged(), {})

    def test_flex_and_jitter_are_waited_for(self):
        for late, found in ((0, {}), (-5000, {"early": 3})):
            self.setUp()
            job = self.job("flex", flex=400_000, jitter=200_000)
            for fire in job.points():
                self.assertTrue(fire < job.starts_from(fire, 7) < fire + 600_000)
                self.ran(job, fire, at=job.starts_from(fire, 7) + late)
            self.assertEqual(self.judged(), found)

    def delayed(self, fires):
        job = self.job("delay", schedule="delay")
        for fire in fires:
            self.ran(job, fire)

    def test_delays(self):
        self.delayed((SECOND, 2 * SECOND + 1005))
        self.assertEqual(self.judged(), {})

    def test_a_delay_that_was_cut_short(self):
        self.delayed((SECOND, 2 * SECOND - 2000))
        self.assertEqual(self.judged(), {"early": 1, "missing": 1})  # and then the next is late

    def test_a_delay_that_took_too_long(self):
        self.delayed((2 * SECOND + 1005,))
        self.assertEqual(self.judged(), {"missing": 1})

    # --- followers

    def followed(self, fires):
        lead = self.job("lead", points=2, on_success=("after",))
        after = self.job("after", schedule="manual")
        self.all_ran(lead)
        for fire in fires:
            self.triggered(after, fire)

    def test_a_follower_for_each_success(self):
        self.followed((1500, SECOND + 1500))
        self.assertEqual(self.judged(), {})

    def test_a_follower_that_is_missing(self):
        self.followed((SECOND + 1500,))
        self.assertEqual(self.judged(), {"unfollowed": 1})

    def test_a_follower_that_ran_twice(self):
        self.followed((1500, SECOND + 1500, SECOND + 1600))
        self.assertEqual(self.judged(), {"unfollowed": 1})

    def test_a_follower_before_its_cause(self):
        self.followed((1500, SECOND - 5000))
        self.assertEqual(self.judged(), {"early": 1})

    def test_a_follower_whose_run_is_not_in_the_ledger(self):
        self.followed((1500, SECOND + 1500))
        self.began(self.jobs[1], 7000, 7000, 8000)
        self.assertEqual(self.judged(), {"unfollowed": 1})

    def test_a_triggered_run_that_is_settled_twice(self):
        self.followed((1500, SECOND + 1500))
        self.runs.append(dict(self.runs[-1]))
        self.assertEqual(self.judged(), {"double": 1, "unfollowed": 2})  # the run begun is one less, too

    # --- limits, rates, labels, rests

    def at_once(self, end, first_pod="b"):
        one, other = self.job("one", points=1, mutex="key"), self.job("other", points=1, mutex="key")
        self.ran(one, 0, length=50_000)
        token = self.runs[-1]["output"]
        self.lines = [line.replace(token, token.replace("a.", f"{first_pod}.")) for line in self.lines]
        self.runs[-1]["output"] = token.replace("a.", f"{first_pod}.")
        self.ran(other, 0, at=end)

    def test_one_after_the_other(self):
        self.at_once(50_000)
        self.assertEqual(self.judged(), {})

    def test_two_at_once(self):
        self.at_once(40_000)
        self.assertEqual(self.judged(), {"over_limit": 1})

    def test_two_at_once_when_the_lock_service_had_forgotten(self):
        self.at_once(40_000)
        self.events.forgets.append((30_000, 60_000))
        self.assertEqual(self.judged(), {})

    def test_two_at_once_when_a_pod_was_frozen(self):
        for seconds, more, found in ((9, False, {}), (2, False, {"over_limit": 1}), (2, True, {})):
            self.setUp()
            self.at_once(40_000)
            self.events.freezes.append(("b", 10_000, 10_000 + seconds * SECOND, more))
            self.assertEqual(self.judged(), found)

    def test_a_killed_pod_holds_nothing(self):
        one, other = self.job("one", points=1, mutex="key"), self.job("other", points=1, mutex="key")
        self.began(one, 0, 0, None, pod="b")
        self.ran(one, 0, at=2 * SECOND, fence=2)
        self.ran(other, 0, at=SECOND)
        self.events.deaths["b"] = [900_000]
        self.assertEqual(self.judged(), {})
        self.events.deaths["b"] = [1_100_000]
        self.assertEqual(self.judged(), {"over_limit": 1})

    def test_more_starts_than_a_rate_allows(self):
        for apart, found in ((300_000, {}), (200_000, {"over_limit": 1})):
            self.setUp()
            job = self.job("rate", points=1, rates={"two": 2})
            more = [self.job(f"rate-{i}", points=1, rates={"two": 2}) for i in range(2)]
            for number, job in enumerate([job, *more]):
                self.ran(job, 0, at=number * apart)
            self.assertEqual(self.judged(), found)

    def test_a_pod_without_the_label(self):
        self.all_ran(self.job("label", label="even"))
        self.assertEqual(self.judged(), {})
        self.all_ran(self.job("other", label="even"), pod="b")
        self.assertEqual(self.judged(), {"misplaced": 3})

    def test_a_start_while_its_queue_rested(self):
        for rested, found in ((-5 * SECOND, {}), (-6 * SECOND - 1, {"misplaced": 1})):
            self.setUp()
            self.all_ran(self.job("rest", queue="rests"))
            self.events.rests.append((rested, 2 * SECOND))
            self.assertEqual(self.judged(), found)

    def test_parts_that_had_nothing_to_judge_are_named(self):
        _, idle = parts.judge([], ({}, []), {}, self.events, audit.Findings())
        self.assertEqual(len(idle), 13)

    def test_what_was_cancelled_for_its_slots_may_begin_again(self):
        for cancelled, found in ((True, {}), (False, {"restarted": 1})):
            self.setUp()
            job = self.job("one", points=1, mutex="key")
            self.began(job, 0, 0, 5000, cancelled=cancelled)
            self.ran(job, 0, at=10_000)
            self.assertEqual(self.judged(), found)


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


    def test_schedules_in_other_words_have_the_same_points(self):
        usual = {"first": 1_790_000_001_000_000, "end": 1_790_000_101_000_000, "work_ms": 1}
        cron = Job("cron", schedule="cron", interval=7 * SECOND, **usual)
        self.assertEqual([at // SECOND % 60 for at in cron.points()][:9], [21, 28, 35, 42, 49, 56, 0, 7, 14])
        rule = Job("rule", schedule="rrule", interval=7 * SECOND, **usual)
        self.assertEqual([at // SECOND % 1000 for at in rule.points()][:3], [1, 8, 22])

    def test_each_part_has_jobs(self):
        jobs = make_jobs(1_790_000_000_123_456, 18, 60)
        self.assertEqual(len({job.id for job in jobs}), len(jobs))
        for what in ("retry_delays", "deadline", "pause_after", "replaces", "flex", "jitter", "priority", "label",
                     "mutex", "limits", "rates", "on_success", "on_failure", "on_end"):
            self.assertTrue(any(getattr(job, what) for job in jobs), what)


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
