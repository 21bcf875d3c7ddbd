"""The pods of a run, and its servers."""

import collections
import glob
import json
import os
import signal
import subprocess
import sys
import time

from chaos_lib import servers
from chaos_lib.isolation import Bridge, PodNetwork, mount_memory, run
from chaos_lib.jobs import LABELS, SCHEDULED_BY_RUNS
from chaos_lib.servers import await_true

ASK_LIMIT = 30  # seconds
STOP_LIMIT = 20  # seconds: the pod's grace is 5
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
STORE_PORT, LOCKS_PORT = 5432, 6379  # of the addresses that pods know


class Pod:
    """One pod, which may be killed and started again; each process keeps a file of starts of its own."""

    def __init__(self, cluster, index):
        self.name = f"pod-{index}"
        self.network = PodNetwork(index) if cluster.has_network else None
        self._cluster = cluster
        self._process = None
        self._is_to_live = False
        self._count = 0
        self._clock = None
        self.label = LABELS[index % 2]
        self.deaths = []  # instants in us, at which a process of it was gone for certain
        # A library can turn the clock of every other pod; the others show that it is not the library that works.
        library = next(iter(glob.glob(FAKETIME)), None)
        if cluster.turns_clocks and index % 2 == 0 and library is not None:
            self._clock = cluster.directory / f"{self.name}.clock"
            self.turn_clock("+0")
            self._faketime = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                              "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1"}

    def start(self):
        self._count += 1
        directory = self._cluster.directory
        environment = {**os.environ, "CHAOS_STORE": self._cluster.store_url, "CHAOS_LOCKS": self._cluster.locks_url,
                       "CHAOS_POD": self.name, "CHAOS_LABEL": self.label,
                       "CHAOS_WITNESS": str(directory / f"witness/{self.name}.{self._count}")}
        if self._clock is not None:
            environment |= self._faketime
        command = (self.network.enter() if self.network else []) + [self._cluster.pod_program]
        with open(directory / f"logs/{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._is_to_live = True

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._is_to_live = False
        self._process.kill()
        self._process.wait()
        self._is_gone()

    def stop(self):
        """Politely; its exit status."""
        self._is_to_live = False
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=STOP_LIMIT)
            self._is_gone()
            return status
        except subprocess.TimeoutExpired:
            self.kill()
            return "none: it did not end"

    def died(self):
        """Its exit status when it has ended though nobody made it, or None. Said once."""
        if not self._is_to_live or self._process.poll() is None:
            return None
        self._is_to_live = False
        self._is_gone()
        return self._process.returncode

    def _is_gone(self):
        self.deaths.append(time.time_ns() // 1000)

    def turn_clock(self, offset):
        """By seconds, such as "+3600"."""
        half = self._clock.with_suffix(".new")
        half.write_text(offset + "\n")
        half.rename(self._clock)


class Cluster:
    """Servers, network and pods of one run. `directory` is in memory and the run's own."""

    def __init__(self, store, pods, minutes, directory, programs):
        self.store = store
        self.directory = directory
        self.pod_program, self.program = programs
        self.has_network = store != "sqlite"
        self.turns_clocks = store != "sqlite"  # there the machine's clock is the store's
        self.postgres = self.redis = self._proxy = None
        self._megabytes = int(300 + 30 * minutes)
        self._spare = 0
        mount_memory(directory / "witness", int(64 + 16 * minutes))
        (directory / "logs").mkdir()
        self._start_servers()
        self.ask("migrate")
        self.pods = [Pod(self, index + 1) for index in range(pods)]

    def _start_servers(self):
        if self.store == "sqlite":
            self.disk = servers.Disk(self.directory / "sqlite", self._megabytes)
            self.store_url, self.locks_url = f"sqlite:{self.directory}/sqlite/jobs.db", ""
            return
        Bridge()
        self._proxy = subprocess.Popen([sys.executable, "-B", f"{os.path.dirname(__file__)}/proxy.py",
                                        f"{Bridge.STORE}:{STORE_PORT}", f"{Bridge.LOCKS}:{LOCKS_PORT}"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._proxy.stdout.readline()
        if self.store == "redis":
            self.redis = servers.Redis(self.directory / "redis", 6400, self._megabytes, durable=True)
            self.redis.start()
            self.store_url, self.locks_url = f"redis://{Bridge.STORE}:{STORE_PORT}/0", ""
            self.order({"upstream": {"store": self.redis.port}})
            return
        self.postgres = servers.Postgres(self.directory / "postgres-0", 5500, self._megabytes)
        self.postgres.start()
        self.postgres.create_database()
        self.store_url = f"postgresql://escapement@{Bridge.STORE}:{STORE_PORT}/escapement"
        self.locks_url = ""
        self.order({"upstream": {"store": self.postgres.port}})
        if self.store == "postgresql":
            self.redis = servers.Redis(self.directory / "redis", 6400, 64, durable=False)
            self.redis.start()
            self.locks_url = f"redis://{Bridge.LOCKS}:{LOCKS_PORT}/0"
            self.order({"upstream": {"locks": self.redis.port}})

    def order(self, order):
        """To the proxy."""
        self._proxy.stdin.write(json.dumps(order) + "\n")
        self._proxy.stdin.flush()
        self._proxy.stdout.readline()

    def next_standby(self):
        """A standby of the present PostgreSQL."""
        self._spare += 1
        return self.postgres.make_standby(self.directory / f"postgres-{self._spare}", 5500 + self._spare,
                                          self._megabytes)

    def add_jobs(self, jobs):
        file = self.directory / "jobs.json"
        file.write_text(json.dumps({"jobs": {job.id: job.definition() for job in jobs}}))
        self.ask("apply", "-f", str(file))

    def start_pods(self):
        for pod in self.pods:
            pod.start()
        await_true("all pods are there", 60, lambda: len(json.loads(self.ask("pods", "--json"))) == len(self.pods))

    def ask(self, *arguments):
        """The command line's answer. A loaded machine may be slow to give it: asks again for a while."""
        environment = {**os.environ, "ESCAPEMENT_STORE": self.store_url, "ESCAPEMENT_LOCKS": self.locks_url,
                       "ESCAPEMENT_CONFIG": os.devnull}
        end = time.monotonic() + ASK_LIMIT
        while True:
            try:
                return run(self.program, *arguments, env=environment)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def await_drained(self, jobs, end):
        """Until every occurrence is settled; false when some are not by then, an instant of the monotonic clock."""
        # What users and other runs trigger never ends: there it is the leaders' ends that count.
        endless = {job.id for job in jobs if job.schedule in SCHEDULED_BY_RUNS}
        leaders = [job for job in jobs if job.followers()]
        while time.monotonic() < end:
            active = set(self.names("active"))
            if active <= endless and all(map(self._is_followed, leaders)):
                return True
            time.sleep(0.5)
        return False

    def _is_followed(self, leader):
        expected = collections.Counter()
        for run in self._runs(leader.id):
            if run["settles"] > 0:
                expected.update(leader.followers_of(run["verdict"]))
        return all(sum(run["settles"] > 0 for run in self._runs(name)) >= count for name, count in expected.items())

    def _runs(self, name):
        return json.loads(self.ask("runs", name, "--json", "--limit", "1000"))

    def names(self, state):
        return [job["name"] for job in json.loads(self.ask("list", "--json", "--state", state))]

    def dead_letters(self):
        return json.loads(self.ask("dead", "list", "--json", "--limit", "1000000"))

    def ledger(self):
        """The store's jobs and runs, as an archive's lines."""
        file = self.directory / "witness/ledger.jsonl"
        self.ask("export", str(file))
        with open(file) as lines:
            yield from map(json.loads, lines)

    def witness(self):
        """The lines that the pods' own files hold."""
        for path in sorted((self.directory / "witness").glob("pod-*")):
            with open(path) as lines:
                yield from lines
