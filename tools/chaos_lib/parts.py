"""Judges what policies, limits and the control of users promise: one function for each, pure as audit.py.

Each adds what it finds, and gives how much there was to judge, and a text for the report."""

import collections
import dataclasses
import datetime

from chaos_lib.audit import EARLY_US, settling
from chaos_lib.jobs import QUEUE

LEASE_US = 8_000_000  # a slot's lease is 10 s, and renewed with each heartbeat of 1.5 s
HEARTBEAT_US = 1_500_000
AWAKE_US = 1_000_000  # of a pod that was frozen: what it was about to do then, it does at once
RESTS_US = 7_000_000  # a pod that is cut off starts nothing more when its session's TTL of 5 s is over
BUSY_US = 1_000_000  # from the decision to start until the task tells, on a machine that is busy
HALF_SECOND_US = 500_000  # tasks tell late when they began: for a rate "in a second", half of it is sure


@dataclasses.dataclass
class Events:
    """What the run itself did, in us."""

    deaths: dict  # pod: instants at which a process of it was gone
    freezes: list  # (pod, from, to, whether another fault came on top)
    forgets: list  # (from, to): the lock service lost what it had acknowledged
    rests: list  # (the queue rested, it was about to be resumed)
    labels: dict  # pod: its label, or ""
    letters: list  # dead letters, as the command line tells them


def judge(jobs, ledger, starts, events, findings):
    """(lines of the report, parts that showed nothing)"""
    runs = collections.defaultdict(list)
    for run in ledger[1]:
        runs[run["job"]].append(run)
    tasks = collections.defaultdict(list)
    for start in sorted(starts.values(), key=lambda start: start.instant):
        tasks[start.job].append(start)
    lines, idle = [], []
    for name, part in (("retries", _retries), ("dead letters", _letters), ("overlap replace", _replaced),
                       ("deadlines", _deadlines), ("flex and jitter", _windows), ("pauses after failures", _pauses),
                       ("followers", _followers), ("limits", _limits), ("rates", _rates), ("labels", _labels),
                       ("queue that rests", _rests), ("delays", _delays), ("priorities", _priorities)):
        count, text = part(jobs, runs, tasks, starts, events, findings)
        lines.append(f"{name}: {text}")
        if count == 0:
            idle.append(name)
    return lines, idle


def _retries(jobs, runs, tasks, starts, events, findings):
    """No attempt begins before the delay that its job names.

    While the store is away a pod goes on with the next attempt; what it did so counts for nothing once the job is another
    pod's. So only attempts under the fence of the attempt before, or a later one, follow it.
    """
    judged = 0
    for job in jobs:
        delays = job.retry_delays or ((200_000,) if job.attempts() > 1 else ())
        if not delays:
            continue
        attempts = collections.defaultdict(list)
        for start in tasks[job.id]:
            attempts[start.fire, start.attempt].append(start)
        for run in runs[job.id]:
            attempt, before = run.get("attempt", 1), starts.get(run.get("output", ""))
            if before is None or "finished_at" not in run:
                continue
            began = min((start.instant for start in attempts[run["fire_time"], attempt + 1]
                         if start.fence >= before.fence), default=None)
            if began is None:
                continue
            delay = delays[min(attempt, len(delays)) - 1] * (1 if job.retry_delays else 2 ** (attempt - 1))
            judged += 1
            early = run["finished_at"] + delay - began
            if early > EARLY_US:
                findings.add("early", f"{job.id} {run['fire_time']} attempt {attempt + 1}: {early} us early")
    return judged, f"{judged} attempts after their delays"


def _letters(jobs, runs, tasks, starts, events, findings):
    """What failed for good, and nothing else, has left one letter."""
    failed = collections.Counter()
    for name, of_job in runs.items():
        for run in settling(of_job):
            if run["verdict"] in ("failed", "timed_out", "lost"):
                failed[name, run["fire_time"], run["verdict"]] += 1
    letters = collections.Counter((letter["name"], _micros(letter["fire_time"]), letter["verdict"])
                                  for letter in events.letters)
    for key in failed.keys() | letters.keys():
        if failed[key] != letters[key]:
            findings.add("letter", f"{' '.join(map(str, key))}: {failed[key]} times, {letters[key]} letters")
    return failed.total(), f"{failed.total()} occurrences failed for good, {letters.total()} letters"


def _micros(text):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (datetime.datetime.fromisoformat(text) - epoch) // datetime.timedelta(microseconds=1)


def _replaced(jobs, runs, tasks, starts, events, findings):
    """Cancelled only when the next point was due, never before."""
    counts = collections.Counter()
    for job in jobs:
        for run in settling(runs[job.id]) if job.replaces else ():
            counts[run["verdict"]] += run.get("settles", 1)
            if run["verdict"] != "cancelled":
                continue
            following = job.points_between(run["fire_time"] + 1, job.end)
            start = starts.get(run.get("output", ""))
            if not following or not run.get("error", "").startswith("replaced"):
                findings.add("wrong", f"{job.id} {run['fire_time']}: cancelled, and no point follows that replaces it")
            elif start is not None and start.end is not None and start.end < following[0] - EARLY_US:
                findings.add("early", f"{job.id} {run['fire_time']}: cancelled {following[0] - start.end} us too early")
    return counts["cancelled"], _list(counts)


def _deadlines(jobs, runs, tasks, starts, events, findings):
    """Nothing begins after its deadline, and nothing is stopped before it."""
    counts, frozen = collections.Counter(), 0
    for job in jobs:
        if not job.deadline:
            continue
        for run in settling(runs[job.id]):
            counts[run["verdict"]] += run.get("settles", 1)
            until = run["fire_time"] + job.deadline
            start = starts.get(run.get("output", ""))
            if run["verdict"] == "timed_out" and start is not None and start.end is not None and (
                    start.end < until - EARLY_US):
                findings.add("early", f"{job.id} {run['fire_time']}: stopped {until - start.end} us too early")
        for start in tasks[job.id]:
            until = start.fire + job.deadline
            if start.instant <= until + BUSY_US:
                continue
            if any(pod == start.pod and began <= start.instant <= over + AWAKE_US
                   for pod, began, over, _ in events.freezes):
                frozen += 1
            else:
                findings.add("wrong", f"{job.id} {start.fire}: begun {start.instant - until} us after its deadline")
    return counts["timed_out"], _list(counts) + (f"; {frozen} begun late by a pod that was frozen" if frozen else "")


def _windows(jobs, runs, tasks, starts, events, findings):
    """That none begins before its place is found by audit.py; here is what became of it."""
    delays = [start.instant - start.fire for job in jobs if job.flex or job.jitter for start in tasks[job.id]]
    if not delays:
        return 0, "none began"
    least, most = min(delays) / 1e6, max(delays) / 1e6
    return len(delays), f"{len(delays)} starts, {least:.2f} to {most:.2f} s after their fire time"


def _pauses(jobs, runs, tasks, starts, events, findings):
    """After so many failures nothing begins any more; what the ledger must hold, the verdicts of the job say."""
    count = 0
    for job in jobs:
        if not job.pause_after:
            continue
        count += sum(run["verdict"] == "failed" for run in settling(runs[job.id]))
        last = job.first + (job.pause_after - 1) * job.interval
        for start in tasks[job.id]:
            if start.fire > last:
                findings.add("wrong", f"{job.id} {start.fire}: begun, though {job.pause_after} before it had failed")
    return count, f"{count} failures, and then nothing"


def _followers(jobs, runs, tasks, starts, events, findings):
    """Each end of a job triggers each of its followers once, and not before."""
    expected = collections.defaultdict(list)
    for job in jobs:
        for run in settling(runs[job.id]):
            for name in job.followers_of(run["verdict"]):
                expected[name].append(run["settled_at"])
    total = 0
    for job in jobs:
        if job.schedule != "manual":
            continue
        causes = sorted(expected[job.id])
        fires = sorted(run["fire_time"] for run in settling(runs[job.id]) if run.get("triggered"))
        total += len(fires)
        for _ in range(abs(len(causes) - len(fires))):
            findings.add("unfollowed", f"{job.id}: ran {len(fires)} times after {len(causes)} ends of what it follows")
        ahead = sum(fire < cause - EARLY_US for fire, cause in zip(fires, causes))
        if ahead:
            findings.add("early", f"{job.id}: {ahead} times triggered before what it follows had ended")
        ran = len({start.fire for start in tasks[job.id]})
        if ran != len(fires):
            findings.add("unfollowed", f"{job.id}: {ran} runs were begun, the ledger has {len(fires)}")
    causes = sum(map(len, expected.values()))
    return total, f"{total} runs after {causes} ends"


def _limits(jobs, runs, tasks, starts, events, findings):
    """Never more of a key at once than its jobs allow, but where docs/limits.md says that it does not hold."""
    keys = collections.defaultdict(list)
    for job in jobs:
        for key, slots in job.slots().items():
            keys[key, slots].append(job)
    texts, reached, cut = [], bool(keys), 0
    for (key, slots), of_key in sorted(keys.items()):
        changes = []
        for job in of_key:
            for start in tasks[job.id]:
                end = start.end if start.end is not None else _death(events, start)
                woke = _lost_by_freeze(events, start, end)
                cut += woke is not None
                end = end if woke is None else woke
                changes += [(start.instant, 1, start), (max(end, start.instant), 0, start)]
        running, most = 0, 0
        for instant, begins, start in sorted(changes, key=lambda change: change[:2]):
            running += 1 if begins else -1
            if not begins or any(began <= instant <= over for began, over in events.forgets):
                continue
            most = max(most, running)
            if running > slots:
                findings.add("over_limit", f"{start.job} {start.fire}: {running} at once of '{key}', at {instant}")
        texts.append(f"'{key}' at most {most} of {slots}")
        reached = reached and most >= slots
    if cut:
        texts.append(f"{cut} runs of frozen pods not counted")
    return int(reached), ", ".join(texts)


def _death(events, start):
    """A task that never told its end ran until its process was gone."""
    return min((at for at in events.deaths.get(start.pod, ()) if at >= start.instant), default=start.instant)


def _lost_by_freeze(events, start, end):
    """The instant at which the run's pod was frozen, if for so long that its lease may have ended meanwhile."""
    for pod, began, over, more in events.freezes:
        if pod == start.pod and start.instant <= over and end >= began and (over - began > LEASE_US or more):
            return began
    return None


def _rates(jobs, runs, tasks, starts, events, findings):
    """Never more starts of a key than its rate allows, in any time that is surely within its own."""
    keys = collections.defaultdict(list)
    for job in jobs:
        for key, most in job.rates.items():
            keys[key, most] += [start for start in tasks[job.id] if not _just_woken(events, start)]
    texts, total = [], 0
    for (key, allowed), begun in keys.items():
        instants = sorted(start.instant for start in begun)
        total += len(instants)
        most = first = 0
        for last, instant in enumerate(instants):
            while instants[first] <= instant - HALF_SECOND_US:
                first += 1
            if any(began <= instant <= over + 2 * HALF_SECOND_US for began, over in events.forgets):
                continue
            most = max(most, last - first + 1)
            if last - first + 1 > allowed:
                findings.add("over_limit", f"rate '{key}': {last - first + 1} starts in half a second, at {instant}")
        texts.append(f"'{key}' at most {most} of {allowed} in half a second, {len(instants)} starts")
    return total, ", ".join(texts)


def _just_woken(events, start):
    return any(pod == start.pod and began <= start.instant <= over + AWAKE_US for pod, began, over, _ in events.freezes)


def _labels(jobs, runs, tasks, starts, events, findings):
    count = 0
    for job in jobs:
        for start in tasks[job.id] if job.label else ():
            count += 1
            if events.labels.get(start.pod) != job.label:
                findings.add("misplaced", f"{job.id} {start.fire}: begun on {start.pod}, without the label")
    return count, f"{count} starts on pods that have it"


def _rests(jobs, runs, tasks, starts, events, findings):
    """Nothing of the queue begins once each pod must know that it rests."""
    begun = [start for job in jobs if job.queue == QUEUE for start in tasks[job.id]]
    judged = 0
    for rested, resumed in events.rests:
        judged += max(0, resumed - rested - RESTS_US)
        for start in begun:
            if rested + RESTS_US < start.instant < resumed and not _just_woken(events, start):
                findings.add("misplaced",
                             f"{start.job} {start.fire}: begun {start.instant - rested} us after its queue was paused")
    return len(begun), f"{len(events.rests)} times, {judged / 1e6:.0f} s of it judged; {len(begun)} starts in between"


def _delays(jobs, runs, tasks, starts, events, findings):
    """audit.py follows the chain of them."""
    count = sum(len(settling(runs[job.id])) for job in jobs if job.schedule == "delay")
    return count, f"{count} occurrences, each so long after the one before"


def _priorities(jobs, runs, tasks, starts, events, findings):
    """Whatever the priority, all points have run (audit.py): only how late they were is told."""
    late = collections.defaultdict(dict)
    for job in jobs:
        for start in tasks[job.id] if job.id.startswith("plain-") else ():
            late[job.priority].setdefault((job.id, start.fire), start.instant - start.fire)
    return sum(map(len, late.values())), ", ".join(
        f"{priority} at the latest {max(late[priority].values(), default=0) / 1e6:.2f} s" for priority in (10, 5, 0))


def _list(counts):
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "none"
