"""Which faults happen when: a pure function of the seed."""

import dataclasses
import random

STORES = ("postgresql", "postgresql-alone", "redis", "sqlite")

_POD = ("pod-kill", "pod-freeze", "pod-stop")
_NETWORK = ("partition", "packet-loss", "latency")
_POSTGRES = ("postgres-fast", "postgres-immediate", "postgres-kill", "postgres-failover", "postgres-connections",
             "postgres-table-lock", "postgres-disk-full")
_REDIS = ("redis-kill", "redis-freeze", "redis-pause")

# The kinds that mean something to a store. On SQLite there is no network, and the machine's clock is the store's.
KINDS = {
    "postgresql": _POD + ("clock",) + _NETWORK + _POSTGRES + _REDIS + ("redis-flush",),
    "postgresql-alone": _POD + ("clock",) + _NETWORK + _POSTGRES,
    "redis": _POD + ("clock",) + _NETWORK + _REDIS + ("redis-disk-full",),
    "sqlite": _POD + ("sqlite-write-lock", "sqlite-disk-full"),
}

FIRST = 2.0  # seconds from the first point to the first fault
SETTLE = 10.0  # seconds at the end without faults: a session's TTL, a heartbeat, and the work that was left
PAUSE = (7.0, 12.0)  # between the end of one fault and the next: long enough to see how long recovery takes

# Sessions live 5 s: freezes and partitions are shorter or longer than that.
_SECONDS = {
    "pod-kill": (0.1, 8), "pod-freeze": (2, 12), "pod-stop": (0.1, 4), "clock": (4, 9), "partition": (2, 11),
    "packet-loss": (4, 10), "latency": (4, 10), "postgres-fast": (0, 4), "postgres-immediate": (0, 8),
    "postgres-kill": (0, 8), "postgres-failover": (0, 1), "postgres-connections": (3, 8), "postgres-table-lock": (3, 8),
    "postgres-disk-full": (3, 8), "redis-kill": (0, 8), "redis-freeze": (2, 9), "redis-pause": (2, 8),
    "redis-flush": (0, 0), "redis-disk-full": (2, 7), "sqlite-write-lock": (3, 8), "sqlite-disk-full": (2, 7),
}


@dataclasses.dataclass
class Fault:
    """One fault of the plan. `target`: what it happens to; two at once never have the same."""

    kind: str
    at: float  # seconds after the first point
    length: float
    target: str  # "pod-N", "store" or "locks"
    how: str = ""
    group: int = 0  # those that overlap share it

    def describe(self):
        text = f"{self.kind} {self.target}" if self.target.startswith("pod-") else self.kind
        return f"{text} {self.how}".strip()


def _detail(rng, store, fault, pods):
    """Chooses what the kind leaves open."""
    if fault.kind in _POD or fault.kind in _NETWORK:
        fault.target = f"pod-{rng.randint(1, pods)}"
    elif fault.kind == "clock":
        fault.target = f"pod-{2 * rng.randint(1, pods // 2)}"  # see cluster.py: every other pod has a clock to turn
        fault.how = rng.choice(("+3600", "-3600", "steps"))
    elif fault.kind.startswith("redis-") and store != "redis":
        fault.target = "locks"
    else:
        fault.target = "store"
    if fault.kind == "partition":
        peers = ("store", "locks", "all") if store == "postgresql" else ("store",)
        fault.how = f"from {rng.choice(peers)}, {rng.choice(('out', 'in', 'both'))}"
    elif fault.kind == "packet-loss":
        fault.how = rng.choice(("10%", "30%", "60%"))
    return fault


def make_plan(store, minutes, seed, pods, only=None):
    """The faults in the order of their times. The same arguments give the same plan."""
    rng = random.Random(f"{store} {seed}")
    kinds = [kind for kind in KINDS[store] if only is None or kind in only]
    end = minutes * 60 - SETTLE
    faults, deck, at, group = [], [], FIRST, 0
    while kinds:
        if not deck:  # every kind once before any comes again
            deck = rng.sample(kinds, len(kinds))
        together = [_draw(rng, store, deck.pop(), at, pods)]
        if deck and rng.random() < 0.3:  # a second one strikes while the first lasts
            other = _draw(rng, store, deck.pop(), at + together[0].length * rng.random(), pods)
            if other.target != together[0].target:
                together.append(other)
            else:
                deck.append(other.kind)
        together = [fault for fault in together if _fits(fault, end)]
        if not together:
            break
        for fault in together:
            fault.group = group
        faults += together
        group += 1
        at = max(fault.at + fault.length for fault in together) + rng.uniform(*PAUSE)
    return sorted(faults, key=lambda fault: fault.at)


def _fits(fault, end):
    """Shortens it to end in time; false when too little is left of it."""
    fault.length = round(min(fault.length, end - fault.at), 2)
    return fault.length >= _SECONDS[fault.kind][0]


def _draw(rng, store, kind, at, pods):
    return _detail(rng, store, Fault(kind, round(at, 2), round(rng.uniform(*_SECONDS[kind]), 2), ""), pods)
