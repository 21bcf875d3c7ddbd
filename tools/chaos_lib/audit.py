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
    ended: bool = False


def read_witness(lines):
    """{token: Start}. A last line that a kill cut off is left out: nothing of it began."""
    starts = {}
    for line in lines:
        words = line.split()
        if not line.endswith("\n"):
            continue
        if words[0] == "S":
            _, token, job, *numbers = words
            starts[token] = Start(job, *map(int, numbers))
        elif words[0] == "E":
            starts[words[1]].ended = True
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

    KINDS = ("missing", "double", "stale", "unwitnessed", "restarted", "early", "wrong")

    def __init__(self):
        self.by_kind = {kind: [] for kind in self.KINDS}

    def add(self, kind, text):
        self.by_kind[kind].append(text)

    def count(self, kind):
        return len(self.by_kind[kind])

    def total(self):
        return sum(map(len, self.by_kind.values()))


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
        _conservation(job, ledger_jobs.get(job.id), by_job.pop(job.id, []), findings, verdicts)
    for stranger in by_job:
        findings.add("wrong", f"{stranger}: the ledger has runs of a job that was never made")
    for run in runs:
        _witnessed(run, starts, by_occurrence, findings)
    reruns = _starts(jobs, by_occurrence, findings)
    return findings, verdicts, reruns


def _conservation(job, present, runs, findings, verdicts):
    """Every point of the schedule is settled once, and nothing else is."""
    settles = collections.Counter()
    points = job.points()
    for run in runs:
        count = run.get("settles", 1)
        if count == 0:
            continue
        verdicts[run["verdict"]] += count
        stretch = range(run["fire_time"], run.get("last_fire", run["fire_time"]) + 1, job.interval)
        if len(stretch) != count:
            findings.add("wrong", f"{job.id} {run['fire_time']}: settles {count} points, spans {len(stretch)}")
        settles.update(stretch)
        if run["verdict"] != "succeeded" and not (run["verdict"] == "lost" and job.at_most_once):
            findings.add("wrong", f"{job.id} {run['fire_time']}: settled as {run['verdict']}: {run.get('error', '')}")
    for point in points:
        if settles[point] == 0:
            findings.add("missing", f"{job.id} {point}")
        elif settles[point] > 1:
            findings.add("double", f"{job.id} {point}: settled {settles[point]} times")
    for point in settles.keys() - set(points):
        findings.add("wrong", f"{job.id} {point}: settled, but the schedule has no such point")
    total = present["settled_total"] if present else 0
    if total != len(points):
        findings.add("wrong", f"{job.id}: counts {total} settled points of {len(points)}")


def _witnessed(run, starts, by_occurrence, findings):
    """What the ledger says was run has been, and its owner was the last one."""
    if run["verdict"] not in _RAN:
        return
    place = f"{run['job']} {run['fire_time']} attempt {run.get('attempt', 1)}"
    start = starts.get(run.get("output", ""))
    if start is None or (start.job, start.fire, start.attempt) != (run["job"], run["fire_time"], run.get("attempt", 1)):
        findings.add("unwitnessed", f"{place}: {run['verdict']}, but no task began it")
        return
    if not start.ended:
        findings.add("unwitnessed", f"{place}: {run['verdict']}, but its task never ended")
    # A later fence was given for an occurrence that was not settled; from then on the earlier one may settle nothing.
    latest = max(other.fence for other in by_occurrence[start.job, start.fire] if other.attempt == start.attempt)
    if latest > start.fence:
        findings.add("stale", f"{place}: settled by fence {start.fence}, though it was run under fence {latest} too")


def _starts(jobs, by_occurrence, findings):
    """What the tasks saw: nothing early, nothing twice by one owner. Gives the number of re-runs."""
    at_most_once = {job.id for job in jobs if job.at_most_once}
    reruns = 0
    for (job, fire), group in by_occurrence.items():
        place = f"{job} {fire}"
        if min(start.instant for start in group) < fire - EARLY_US:
            findings.add("early", f"{place}: {fire - min(start.instant for start in group)} us early")
        owners = collections.Counter((start.attempt, start.fence) for start in group)
        attempts = len({start.attempt for start in group})
        for (attempt, fence), count in owners.items():
            if count > 1:
                findings.add("restarted", f"{place} attempt {attempt}: started {count} times under fence {fence}")
        if job in at_most_once and len(group) > 1:
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
