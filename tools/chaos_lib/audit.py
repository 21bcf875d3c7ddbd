"""Judges a run: pure functions of its jobs, the store's ledger, what the tasks wrote down, and the faults."""

import collections
import dataclasses

_RAN = ("succeeded", "failed", "timed_out", "cancelled")
EARLY_US = 1000  # what "never early" is measured with
LATE_US = 1_000_000  # an execution that starts later than this is not normal


@dataclasses.dataclass
class Start:
    job: str
    fire: int
    attempt: int
    fence: int
    instant: int
    skew: int  # how far the pod's own clock was ahead, in us
    key: int  # the job's, in its store
    pod: str
    end: int | None = None
    cancelled: bool = False


def read_witness(lines):
    """{token: Start}. A last line that a kill cut off is left out: nothing of it began."""
    starts = {}
    for line in lines:
        words = line.split()
        if not line.endswith("\n"):
            continue
        if words[0] == "S":
            _, token, job, *numbers = words
            starts[token] = Start(job, *map(int, numbers), pod=token.split(".")[0])
        elif words[0] == "E":
            starts[words[1]].end = int(words[2])
            starts[words[1]].cancelled = words[3:] == ["cancelled"]
    return starts


def read_ledger(lines):
    """(jobs by id, runs), both as the archive has them."""
    jobs, runs = {}, []
    for line in lines:
        if "job" in line:
            jobs[line["job"]["id"]] = line["job"]
        elif "run" in line:
            runs.append(line["run"])
    return jobs, runs


class Findings:
    """What breaks the law, by kind, each with its place."""

    KINDS = ("missing", "double", "stale", "unwitnessed", "restarted", "early", "over_limit", "unfollowed", "misplaced",
             "letter", "wrong")

    def __init__(self):
        self.by_kind = {kind: [] for kind in self.KINDS}

    def add(self, kind, text):
        self.by_kind[kind].append(text)

    def count(self, kind):
        return len(self.by_kind[kind])

    def total(self):
        return sum(map(len, self.by_kind.values()))


def settling(runs):
    """Those that are no attempt before another."""
    return [run for run in runs if run.get("settles", 1) > 0]


def audit(jobs, ledger, starts):
    """Findings over all jobs, and the counts of verdicts and of re-runs."""
    findings = Findings()
    ledger_jobs, runs = ledger
    by_job = collections.defaultdict(list)
    for run in runs:
        by_job[run["job"]].append(run)
    by_occurrence = collections.defaultdict(list)
    for start in starts.values():
        by_occurrence[start.job, start.fire].append(start)

    verdicts = collections.Counter()
    for job in jobs:
        of_job = by_job.pop(job.id, [])
        _verdicts(job, settling(of_job), findings, verdicts)
        law = _delays if job.schedule == "delay" else _conservation
        law(job, ledger_jobs.get(job.id), settling(of_job), findings)
    for stranger in by_job:
        findings.add("wrong", f"{stranger}: the ledger has runs of a job that was never made")
    for run in runs:
        _witnessed(run, starts, by_occurrence, findings)
    reruns = _starts({job.id: job for job in jobs}, by_occurrence, findings)
    return findings, verdicts, reruns


def _verdicts(job, runs, findings, verdicts):
    """Each is one that the job may have."""
    for run in runs:
        count = run.get("settles", 1)
        verdicts[run["verdict"]] += count
        triggered = run.get("triggered", False)
        fires = [run["fire_time"]] if count == 1 else job.points_between(run["fire_time"], run.get("last_fire", 0))
        if any(run["verdict"] not in job.verdicts(fire, triggered) for fire in fires):
            findings.add("wrong", f"{job.id} {run['fire_time']}: settled as {run['verdict']}: {run.get('error', '')}")


def _conservation(job, present, runs, findings):
    """Every point of the schedule is settled once, and nothing else is."""
    settles = collections.Counter()
    triggered = collections.Counter()
    points = job.points()
    for run in runs:
        count, fire = run.get("settles", 1), run["fire_time"]
        if run.get("triggered", False):
            triggered[fire] += count
            continue
        stretch = {fire, *job.points_between(fire, run.get("last_fire", fire))}
        if len(stretch) != count:
            findings.add("wrong", f"{job.id} {fire}: settles {count} points, spans {len(stretch)}")
        settles.update(stretch)
    for point in points:
        if settles[point] == 0:
            findings.add("missing", f"{job.id} {point}")
        elif settles[point] > 1:
            findings.add("double", f"{job.id} {point}: settled {settles[point]} times")
    for point in settles.keys() - set(points):
        findings.add("wrong", f"{job.id} {point}: settled, but the schedule has no such point")
    for fire, count in triggered.items():
        if count > 1:
            findings.add("double", f"{job.id} {fire}, triggered: settled {count} times")
    total = present["settled_total"] if present else 0
    if total != len(points):
        findings.add("wrong", f"{job.id}: counts {total} settled points of {len(points)}")


def _delays(job, present, runs, findings):
    """Each occurrence comes its delay after the one before it was settled, by what its pod knew of the store's time."""
    if present is None:
        findings.add("missing", f"{job.id}: the ledger has no such job")
        return
    runs = sorted(runs, key=lambda run: run["fire_time"])
    earliest = latest = present["present"]["created_at"]  # of the end of the one before
    for run in runs + [present["present"]]:
        fire = run["fire_time"]
        if fire < earliest + job.interval - EARLY_US:
            findings.add("early", f"{job.id} {fire}: {earliest + job.interval - fire} us before its delay was over")
        if fire > latest + job.interval + EARLY_US:
            findings.add("missing", f"{job.id}: nothing between {latest} and {fire}, which is more than its delay")
        earliest, latest = run.get("finished_at", fire), run.get("settled_at", fire)
    if len({run["fire_time"] for run in runs}) != len(runs):
        findings.add("double", f"{job.id}: {len(runs)} rows for fewer occurrences")
    if present["settled_total"] != len(runs):
        findings.add("wrong", f"{job.id}: counts {present['settled_total']} settled points of {len(runs)}")


def _witnessed(run, starts, by_occurrence, findings):
    """What the ledger says was run has been, and its owner was the last one."""
    if run["verdict"] not in _RAN or _is_of_no_run(run):
        return
    place = f"{run['job']} {run['fire_time']} attempt {run.get('attempt', 1)}"
    start = starts.get(run.get("output", ""))
    if start is None or (start.job, start.fire, start.attempt) != (run["job"], run["fire_time"], run.get("attempt", 1)):
        findings.add("unwitnessed", f"{place}: {run['verdict']}, but no task began it")
        return
    if start.end is None:
        findings.add("unwitnessed", f"{place}: {run['verdict']}, but its task never ended")
    # A later fence was given for an occurrence that was not settled; from then on the earlier one may settle nothing.
    latest = max(other.fence for other in by_occurrence[start.job, start.fire] if other.attempt == start.attempt)
    if latest > start.fence:
        findings.add("stale", f"{place}: settled by fence {start.fence}, though it was run under fence {latest} too")


def _is_of_no_run(run):
    """Replaced, or past its deadline, before it could start again; or given up for it did not heed that it was told."""
    return run["verdict"] in ("cancelled", "timed_out") and "started_at" not in run


def _starts(jobs, by_occurrence, findings):
    """What the tasks saw: nothing early, nothing twice by one owner. Gives the number of re-runs."""
    reruns = 0
    for (name, fire), group in by_occurrence.items():
        place = f"{name} {fire}"
        job = jobs.get(name)
        if job is None:
            findings.add("wrong", f"{place}: a task ran of a job that was never made")
            continue
        group.sort(key=lambda start: start.instant)
        early = job.starts_from(fire, group[0].key) - group[0].instant
        if early > EARLY_US:
            findings.add("early", f"{place}: {early} us early")
        owners = collections.defaultdict(list)
        for start in group:
            owners[start.attempt, start.fence].append(start)
        attempts = len({start.attempt for start in group})
        for (attempt, fence), same in owners.items():
            # What could not keep its slots was told to stop, and begins again once it has others.
            again = [start for start in same[:-1] if not (start.cancelled and job.slots())]
            if again:
                findings.add("restarted", f"{place} attempt {attempt}: started {len(same)} times under fence {fence}")
        if job.at_most_once and len(group) > 1:
            findings.add("restarted", f"{place}: started {len(group)} times, at most once was asked for")
        reruns += len(owners) - attempts
    return reruns


def first_starts(starts):
    """{(job, fire time): the instant of its first start}"""
    firsts = {}
    for start in starts.values():
        key = start.job, start.fire
        firsts[key] = min(start.instant, firsts.get(key, start.instant))
    return firsts


def recoveries(groups, firsts, end):
    """How long after each group of faults occurrences still started late, in us; 0: none did.

    A group is (from, to, kinds): the instants in us at which its first fault began and its last one was over (a kill
    is over at once). The occurrences of a group are those due from its beginning to the next one's; what a fault
    delays may have been due as much as LATE_US before it.
    """
    late = sorted((fire, instant) for (_, fire), instant in firsts.items() if instant - fire > LATE_US)
    results = []
    for index, (begin, over, kinds) in enumerate(groups):
        until = groups[index + 1][0] - LATE_US if index + 1 < len(groups) else end
        last = max((instant for fire, instant in late if begin - LATE_US <= fire < until), default=0)
        results.append((max(0, last - over), kinds))
    return results


def percentile(values, percent):
    """By nearest rank."""
    values = sorted(values)
    return values[max(1, -(-percent * len(values) // 100)) - 1] if values else 0
