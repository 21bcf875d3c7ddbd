"""The jobs of a run: what each asks for, the points it has, and what may become of them."""

import bisect
import dataclasses
import datetime

LONG_JOBS, LONG_INTERVAL = 40, 10_000_000
RUNS_OF_A_JOB = 450  # Redis keeps the newest 1,000 rows of a job, and a retried point has two
POINTS_OF_A_PART = 300  # here one may have three
SCHEDULED_BY_RUNS = ("delay", "manual")  # no schedule tells where their points are
LABELS = ("even", "odd")  # each pod has one, in turn
QUEUE = "rests"  # is paused now and then
NEVER = 99  # attempts that fail: more than any job has


@dataclasses.dataclass(frozen=True)
class Job:
    """One job. All times in us; its points are first, first + interval, ... before end, if it has an interval or a rule
    that says the same in other words."""

    id: str
    first: int
    interval: int
    end: int
    work_ms: int
    failures: int = 0  # the first attempts of each point that fail
    at_most_once: bool = False
    schedule: str = "every"  # or "cron", "rrule", "delay", "manual"
    odd: tuple = ()  # work_ms and failures of every other point
    max_attempts: int = 0  # 0: enough
    retry_delays: tuple = ()
    deadline: int = 0
    pause_after: int = 0
    replaces: bool = False
    flex: int = 0
    jitter: int = 0
    priority: int = 0
    label: str = ""
    queue: str = "default"
    mutex: str = ""
    limits: dict = dataclasses.field(default_factory=dict)  # key: how many at once
    rates: dict = dataclasses.field(default_factory=dict)  # key: how many starts in a second
    on_success: tuple = ()
    on_failure: tuple = ()
    on_end: tuple = ()

    def points(self):
        match self.schedule:
            case "every":
                return range(self.first, self.end, self.interval)
            case "cron":
                return _cron_points(self.interval, self.first, self.end)
            case "rrule":
                return [point for point in range(self.first, self.end, self.interval) if point != self._left_out()]
        return []

    def points_between(self, first, last):
        """Those of [first, last]."""
        points = self.points()
        return points[bisect.bisect_left(points, first):bisect.bisect_right(points, last)]

    def verdicts(self, fire, triggered=False):
        """How this point may be settled."""
        if self.pause_after:
            return {"failed"} if (fire - self.first) // self.interval < self.pause_after else {"skipped_paused"}
        is_odd = self.odd and not triggered and fire // self.interval % 2 == 1
        failures = self.odd[1] if is_odd else self.failures
        allowed = {"failed" if failures >= self.attempts() else "succeeded"}
        if self.at_most_once:
            allowed.add("lost")
        if self.replaces:
            allowed |= {"cancelled", "skipped_overlapped"}
        if self.deadline:
            allowed |= {"timed_out", "skipped_misfired"}
        return allowed

    def starts_from(self, fire, key):
        """When the point may start. A job has its place in the window by the multiples of the golden ratio, a point its
        own within the jitter by a hash: computed anew here, so that any pod that errs is found out."""
        if self.schedule == "manual" or not (self.flex or self.jitter):
            return fire
        place = key * 0x9E3779B97F4A7C15 % (1 << 64)
        return fire + (self.flex * place >> 64) + (self.jitter * _stable_hash(self.id, fire * 10_001) >> 64)

    def attempts(self):
        if self.max_attempts:
            return self.max_attempts
        if self.retry_delays:
            return len(self.retry_delays) + 1
        return self.failures + 3 if self.failures else 1

    def slots(self):
        """{key: how many at once}"""
        return self.limits | ({self.mutex: 1} if self.mutex else {})

    def followers(self):
        return {*self.on_success, *self.on_failure, *self.on_end}

    def followers_of(self, verdict):
        """Whom a point that was so settled triggers."""
        names = set()
        if verdict == "succeeded":
            names |= {*self.on_success, *self.on_end}
        if verdict in ("failed", "timed_out", "lost"):
            names |= {*self.on_failure, *self.on_end}
        if verdict == "cancelled":
            names |= {*self.on_end}
        return names

    def is_prompt(self):
        """Nothing but faults makes it late: no limit, and no window in which it may start."""
        return not (self.slots() or self.rates or self.flex or self.jitter or self.label or self.queue == QUEUE or
                    self.schedule == "manual")

    def definition(self):
        definition = {"schedule": self._schedule_text(), "task": "chaos", "payload": self._payload(), "late": "run_all"}
        if self.attempts() > 1:
            definition["max_attempts"] = self.attempts()
        if self.retry_delays:
            definition["retry_delays"] = [f"{delay}us" for delay in self.retry_delays]
        elif self.attempts() > 1:
            definition["retry_delay"] = "200ms"
        if self.at_most_once:
            definition["delivery"] = "at_most_once"
        if self.replaces:
            definition["overlap"] = "replace"
        if self.rates:
            definition["rates"] = {key: f"{starts}/1s" for key, starts in self.rates.items()}
        for name in ("deadline", "flex", "jitter"):
            if getattr(self, name):
                definition[name] = f"{getattr(self, name)}us"
        for name in ("pause_after", "priority", "label", "queue", "mutex", "limits"):
            if getattr(self, name):
                definition[name] = getattr(self, name)
        for name in ("on_success", "on_failure", "on_end"):
            if getattr(self, name):
                definition[name] = list(getattr(self, name))
        return definition

    def _payload(self):
        words = [self.work_ms, self.failures] + ([self.interval, *self.odd] if self.odd else [])
        return " ".join(map(str, words))

    def _schedule_text(self):
        first, end = _instant(self.first), _instant(self.end)
        match self.schedule:
            case "cron":
                return f"cron {_cron(self.interval)} zone=Europe/Berlin start={first} end={end}"
            case "rrule":
                start, left_out = (_instant(at, "%Y%m%dT%H%M%SZ") for at in (self.first, self._left_out()))
                return (f"rrule DTSTART:{start} RRULE:FREQ=SECONDLY;INTERVAL={self.interval // 1_000_000} "
                        f"EXDATE:{left_out} end={end}")
            case "delay":
                return f"delay {self.interval}us"
            case "manual":
                return "manual"
        return f"every {self.interval}us anchor={first} end={end}"

    def _left_out(self):
        """The one instant that the recurrence rule has an exception for."""
        return self.first + 2 * self.interval


def _stable_hash(text, salt):
    """FNV-1a, and the last steps of SplitMix64."""
    mask = (1 << 64) - 1
    value = 0xCBF29CE484222325 ^ (salt & mask)
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & mask
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
    return value ^ value >> 31


def _instant(micros, form="%Y-%m-%dT%H:%M:%S.%fZ"):
    at = datetime.datetime.fromtimestamp(micros // 1_000_000, datetime.timezone.utc)
    return at.replace(microsecond=micros % 1_000_000).strftime(form)


def _cron(interval):
    """In seconds up to a minute, then in minutes."""
    seconds = interval // 1_000_000
    return f"*/{seconds} * * * * *" if seconds < 60 else f"0 */{min(59, seconds // 60)} * * * *"


def _cron_points(interval, first, end):
    """By looking at each second, and in UTC: from Berlin it differs by whole hours."""
    seconds = interval // 1_000_000
    points = []
    for at in range(-(-first // 1_000_000), -(-end // 1_000_000)):
        second, minute = at % 60, at // 60 % 60
        if second % seconds == 0 if seconds < 60 else second == 0 and minute % min(59, seconds // 60) == 0:
            points.append(at * 1_000_000)
    return points


def make_jobs(start, seconds, rate):
    """Jobs with `rate` points a second together, from `start` (us since the epoch) on, evenly over their interval."""
    interval = max(1, -(-seconds // RUNS_OF_A_JOB)) * 1_000_000
    start += -start % 1_000_000  # a whole second
    end = start + seconds * 1_000_000

    def spread(count, every):
        for number in range(count):
            yield number, {"first": start + number * every // count, "interval": every, "end": end}

    jobs = []
    # Still running when a pod that was frozen, and has lost them to another pod, comes back.
    long_interval = max(interval, LONG_INTERVAL)
    for number, usual in spread(LONG_JOBS, long_interval):
        jobs.append(Job(f"long-{number:05}", work_ms=4000, **usual))
    parts = make_parts(start, seconds)
    points = seconds * rate - sum(len(job.points()) for job in jobs + parts)
    for number, usual in spread(max(0, round(points * interval / (seconds * 1_000_000))), interval):
        match number % 20:
            case 0 | 1 | 2:
                jobs.append(Job(f"once-{number:05}", work_ms=20, at_most_once=True, **usual))
            case 3 | 4 | 5:
                jobs.append(Job(f"retry-{number:05}", work_ms=20, failures=1, **usual))
            case 6 | 7:
                jobs.append(Job(f"slow-{number:05}", work_ms=150, **usual))
            case _:
                jobs.append(Job(f"plain-{number:05}", work_ms=20, priority=number % 11, **usual))
    return jobs + parts


def make_parts(start, seconds):
    """A few jobs for each policy, schedule and limit."""
    interval = max(2, -(-seconds // POINTS_OF_A_PART)) * 1_000_000
    usual = {"interval": interval, "end": start + seconds * 1_000_000}
    jobs = []

    def add(name, count, work_ms=20, together=False, labels=("",), **others):
        """`together`: all due at the same instants, else spread by whole milliseconds."""
        for number in range(count):
            first = start if together else start + number * interval // count // 1000 * 1000
            jobs.append(Job(f"{name}-{number:02}", first=first, work_ms=work_ms, label=labels[number % len(labels)],
                            **usual, **others))

    add("list", 4, failures=2, retry_delays=(300_000, 100_000, 200_000))
    add("dead", 2, failures=NEVER, retry_delays=(200_000,))
    add("pauses", 2, failures=NEVER, max_attempts=1, pause_after=3)
    # Every other point takes longer than the next one, or the deadline, is away.
    add("replace", 4, work_ms=interval * 3 // 2000, odd=(20, 0), replaces=True)
    add("deadline", 4, work_ms=interval // 1000, odd=(20, 0), deadline=interval * 3 // 5)
    add("flex", 4, flex=interval // 2, jitter=interval // 4)
    add("label", 4, labels=LABELS)
    add("rest", 6, queue=QUEUE)
    for schedule in ("cron", "rrule", "delay"):
        add(schedule, 3, together=True, schedule=schedule)
    # One pod takes all that are due at once: labels see to it that at least two ask for the same key.
    apart = {"together": True, "labels": (*LABELS, "")}
    for key in ("one", "other"):
        add(f"mutex-{key}", 6, work_ms=30, mutex=key, **apart)
    add("limit", 12, work_ms=200, limits={"three": 3}, **apart)
    add("rate", 12, rates={"ten": 10}, **apart)
    for lead in ("lead-1", "lead-2"):
        after, further, failed, ended = (f"{lead}-{name}" for name in ("after", "further", "failed", "ended"))
        jobs.append(Job(lead, first=start, work_ms=20, odd=(20, NEVER), max_attempts=1, on_success=(after,),
                        on_failure=(failed,), on_end=(ended,), **usual))
        for name in (after, further, failed, ended):
            jobs.append(Job(name, first=start, work_ms=20, schedule="manual",
                            on_success=(further,) if name == after else (), **usual))
    return jobs
