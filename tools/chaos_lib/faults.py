"""Does what the plan says, and undoes it."""

import signal
import sqlite3
import threading
import time
import traceback

from chaos_lib.isolation import Bridge

LATENCY_ONE_WAY = 0.1  # seconds: 200 ms more for a round trip


def now_us():
    return time.time_ns() // 1000


class Injector:
    """Plays a plan, each fault on a thread of its own; `said` gets the lines of the timeline."""

    def __init__(self, cluster, plan, zero_us, say):
        self._cluster = cluster
        self._zero = zero_us
        self._say = say
        self._threads = [threading.Thread(target=self._play, args=(fault,), daemon=True) for fault in plan]
        self.times = {}  # fault's place in the plan: (began, over), in us
        self._numbers = {id(fault): number for number, fault in enumerate(plan)}
        # On a loaded machine one may begin late; still no two happen to the same part at once.
        self._targets = {fault.target: threading.Lock() for fault in plan}
        self.problems = []  # what went wrong with the faults themselves, or with pods that should have lived

    def start(self):
        for thread in self._threads:
            thread.start()

    def finish(self, limit):
        end = time.monotonic() + limit
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
            if thread.is_alive():
                self.problem("a fault is not over in time")
                return

    def problem(self, text):
        self.problems.append(text)
        self._say(f"FAILED: {text}")

    def _play(self, fault):
        time.sleep(max(0, self._zero / 1e6 + fault.at - time.time()))
        try:
            with self._targets[fault.target]:
                self._began(fault)
                getattr(self, "_" + fault.kind.replace("-", "_"))(fault)
            began, over = self.times[self._numbers[id(fault)]]
            if over is None:
                self.times[self._numbers[id(fault)]] = began, now_us()
            self._say(f"      over: {fault.describe()}")
        except Exception as error:  # a fault that cannot be made proves nothing: the run must not pass
            self.problem(f"{fault.describe()}: {error}\n{traceback.format_exc()}")

    def _began(self, fault, over=False):
        at = now_us()
        self.times[self._numbers[id(fault)]] = at, at if over else None

    def _announce(self, fault):
        self._say(f"{fault.describe()}, for {fault.length:.1f} s")

    def _last(self, fault):
        self._announce(fault)
        time.sleep(fault.length)

    def _pod(self, fault):
        return self._cluster.pods[int(fault.target.removeprefix("pod-")) - 1]

    # --- pods

    def _pod_kill(self, fault):
        pod = self._pod(fault)
        pod.kill()
        self._began(fault, over=True)  # recovery does not wait for its return
        self._last(fault)
        pod.start()

    def _pod_freeze(self, fault):
        pod = self._pod(fault)
        pod.signal(signal.SIGSTOP)
        self._last(fault)
        pod.signal(signal.SIGCONT)

    def _pod_stop(self, fault):
        pod = self._pod(fault)
        status = pod.stop()
        if status != 0:
            self.problem(f"{pod.name} was told to stop and ended with status {status}")
        self._last(fault)
        pod.start()

    def _clock(self, fault):
        pod = self._pod(fault)
        if fault.how != "steps":
            pod.turn_clock(fault.how)
            self._last(fault)
        else:
            self._announce(fault)
            end = time.monotonic() + fault.length
            while time.monotonic() < end:
                for offset in ("+3600", "-3600", "+0"):
                    pod.turn_clock(offset)
                    time.sleep(1.2)  # the library looks at the file once a second
        pod.turn_clock("+0")

    # --- the network

    def _partition(self, fault):
        peer, direction = fault.how.removeprefix("from ").split(", ")
        address = {"store": [Bridge.STORE], "locks": [Bridge.LOCKS], "all": []}[peer]
        rules = []
        if direction in ("out", "both"):
            rules.append(("OUTPUT", *(["-d"] + address if address else [])))
        if direction in ("in", "both"):
            rules.append(("INPUT", *(["-s"] + address if address else [])))
        self._with_rules(fault, rules)

    def _packet_loss(self, fault):
        share = str(int(fault.how.removesuffix("%")) / 100)
        match = ("-m", "statistic", "--mode", "random", "--probability", share)
        self._with_rules(fault, [("INPUT", *match), ("OUTPUT", *match)])

    def _with_rules(self, fault, rules):
        network = self._pod(fault).network
        for rule in rules:
            network.rule("-A", *rule)
        self._last(fault)
        for rule in rules:
            network.rule("-D", *rule)

    def _latency(self, fault):
        address = self._pod(fault).network.address
        self._cluster.order({"delay": {address: LATENCY_ONE_WAY}})
        self._last(fault)
        self._cluster.order({"delay": {address: 0}})

    # --- PostgreSQL

    def _postgres_fast(self, fault):
        self._restart_postgres(fault, signal.SIGINT)

    def _postgres_immediate(self, fault):
        self._restart_postgres(fault, signal.SIGQUIT)

    def _postgres_kill(self, fault):
        self._restart_postgres(fault, signal.SIGKILL)

    def _restart_postgres(self, fault, how):
        postgres = self._cluster.postgres
        postgres.stop(how)
        self._last(fault)
        postgres.start()

    def _postgres_failover(self, fault):
        cluster = self._cluster
        old, standby = cluster.postgres, cluster.next_standby()
        self._began(fault)  # all before was preparation
        old.stop(signal.SIGKILL)
        self._last(fault)
        standby.promote()
        cluster.postgres = standby
        cluster.order({"upstream": {"store": standby.port}})
        old.remove()

    def _postgres_connections(self, fault):
        """All connections are taken, and the pods lose theirs: they have to come back to a full server."""
        postgres = self._cluster.postgres
        taken = postgres.connect_idly(postgres.MAX_CONNECTIONS)
        if len(taken) == postgres.MAX_CONNECTIONS:
            raise RuntimeError("no connection was refused")
        self._began(fault)
        postgres.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                     "WHERE usename = 'escapement' AND application_name <> 'chaos'")
        self._announce(fault)
        end = time.monotonic() + fault.length
        while time.monotonic() < end:  # those that the pods have left
            taken += postgres.connect_idly(4)
            time.sleep(0.02)
        for connection in taken:
            connection.close()

    def _postgres_table_lock(self, fault):
        self._announce(fault)
        self._cluster.postgres.sql("BEGIN; LOCK TABLE escapement.jobs IN ACCESS EXCLUSIVE MODE; "
                                   f"SELECT pg_sleep({fault.length}); ROLLBACK")

    def _postgres_disk_full(self, fault):
        postgres = self._cluster.postgres
        self._with_full_disk(fault, postgres.disk)
        time.sleep(0.5)  # it may be ending just now
        postgres.start()

    def _with_full_disk(self, fault, disk):
        disk.fill()
        self._announce(fault)
        end = time.monotonic() + fault.length
        while time.monotonic() < end:
            disk.fill()
            time.sleep(0.05)
        disk.free()

    # --- Redis

    def _redis_kill(self, fault):
        self._cluster.redis.kill()
        self._last(fault)
        self._cluster.redis.start()

    def _redis_flush(self, fault):
        self._cluster.redis.command("FLUSHALL")
        self._last(fault)

    def _redis_freeze(self, fault):
        self._cluster.redis.signal(signal.SIGSTOP)
        self._last(fault)
        self._cluster.redis.signal(signal.SIGCONT)

    def _redis_pause(self, fault):
        self._cluster.redis.command("CLIENT", "PAUSE", str(int(fault.length * 1000)), "ALL")
        self._last(fault)

    def _redis_disk_full(self, fault):
        """With appendfsync always Redis ends when it cannot write, rather than break its word."""
        redis = self._cluster.redis
        self._with_full_disk(fault, redis.disk)
        time.sleep(0.5)
        redis.start()

    # --- SQLite

    def _sqlite_write_lock(self, fault):
        file = self._cluster.store_url.removeprefix("sqlite:")
        connection = sqlite3.connect(file, timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        self._last(fault)
        connection.execute("ROLLBACK")
        connection.close()

    def _sqlite_disk_full(self, fault):
        self._with_full_disk(fault, self._cluster.disk)
