"""PostgreSQL and Redis of a run, each in a small file system of its own, on 127.0.0.1 of the run's network."""

import glob
import os
import socket
import struct
import subprocess
import time

from chaos_lib.isolation import Unsupported, mount_memory, resize_memory, run

START_LIMIT = 120  # seconds for a server to answer


def await_true(what, limit, question):
    """Asks until the answer is true."""
    end = time.monotonic() + limit
    while not question():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(0.05)


class Disk:
    """The file system below a server, in memory, which can be full at once."""

    def __init__(self, directory, megabytes, owner=None):
        self.directory = directory
        self._bytes = megabytes << 20
        mount_memory(directory, megabytes, owner=owner)

    def fill(self):
        """Leaves no block free. What is deleted makes room again: for as long as it is to be full, call it again."""
        for _ in range(100):  # it may grow between the two calls
            system = os.statvfs(self.directory)
            if resize_memory(self.directory, (system.f_blocks - system.f_bfree) * system.f_frsize):
                return
        raise RuntimeError(f"{self.directory} cannot be made full")

    def free(self):
        resize_memory(self.directory, self._bytes)

    def remove(self):
        run("umount", "-l", str(self.directory))


class Postgres:
    """One server. The superuser is postgres; pods are the user escapement, so that limits hold for them."""

    MAX_CONNECTIONS = 60

    def __init__(self, directory, port, megabytes, copy_of=None):
        self.port = port
        self.disk = Disk(directory, megabytes, owner="postgres")
        self._data = directory / "data"
        self._log = open(directory.parent / f"{directory.name}.log", "ab")
        self._process = None
        if copy_of is None:
            self._as_postgres("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-E", "UTF8",
                              "--no-sync")
            with open(self._data / "postgresql.conf", "a") as file:
                file.write(self._settings())
        else:
            self._as_postgres("pg_basebackup", "-h", "127.0.0.1", "-p", str(copy_of.port), "-U", "postgres", "-R", "-X",
                              "stream", "-c", "fast", "--no-sync", "-D", str(self._data))

    # Memory shared through files: nothing of a killed server stays behind in the machine's /dev/shm.
    def _settings(self):
        return f"""
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
max_connections = {self.MAX_CONNECTIONS}
shared_buffers = 64MB
max_wal_size = 128MB
wal_level = replica
wal_keep_size = 64MB
max_wal_senders = 4
log_min_messages = warning
"""

    @staticmethod
    def directory_of_programs():
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: int(p.split("/")[4]))
        if not found:
            raise Unsupported("no PostgreSQL below /usr/lib/postgresql (./dev setup brings it)")
        return os.path.dirname(found[-1])

    def _command(self, program, *arguments):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--",
                f"{self.directory_of_programs()}/{program}", *arguments]

    def _as_postgres(self, program, *arguments):
        run(*self._command(program, *arguments), cwd="/")

    def start(self):
        """Until it answers. A killed server's last processes may hold its memory: tries again meanwhile."""
        end = time.monotonic() + START_LIMIT
        while True:
            if not self.running():
                self._process = subprocess.Popen(self._command("postgres", "-D", str(self._data), "-p", str(self.port)),
                                                 stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd="/")
            try:
                return self.sql("SELECT 1", database="postgres")
            except RuntimeError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def running(self):
        return self._process is not None and self._process.poll() is None

    def stop(self, signal):
        """SIGINT: fast. SIGQUIT: immediate. SIGKILL: the first process alone, the others notice."""
        self._process.send_signal(signal)
        self._process.wait(timeout=START_LIMIT)

    def sql(self, text, database="escapement"):
        return run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-XAtq", "-v",
                   "ON_ERROR_STOP=1", "-c", text, env={**os.environ, "PGCONNECT_TIMEOUT": "5"}).strip()

    def create_database(self):
        self.sql("CREATE ROLE escapement LOGIN", database="postgres")
        self.sql("CREATE DATABASE escapement OWNER escapement", database="postgres")

    def connect_idly(self, count):
        """That many connections of the user escapement that do nothing; less when the server refuses."""
        words = b"user\0escapement\0database\0escapement\0application_name\0chaos\0\0"
        connections = []
        for _ in range(count):  # all at once: each may take a while on a loaded machine
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            connection.sendall(struct.pack("!ii", 8 + len(words), 196608) + words)
            connections.append(connection)
        kept = []
        for connection in connections:
            kept.append(connection) if self._is_ready(connection) else connection.close()
        return kept

    @staticmethod
    def _is_ready(connection):
        # Messages are a letter, a length that counts itself, and a body. The limit is looked at after authentication.
        answers = connection.makefile("rb")
        while len(head := answers.read(5)) == 5 and head[:1] != b"E":
            if head[:1] == b"Z":
                return True
            answers.read(struct.unpack("!i", head[1:])[0] - 4)
        return False

    def make_standby(self, directory, port, megabytes):
        """A streaming copy that has every commit before it is acknowledged."""
        standby = Postgres(directory, port, megabytes, copy_of=self)
        standby.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
        self.sql("SELECT pg_reload_conf()", database="postgres")
        await_true("the standby is synchronous", START_LIMIT, lambda: self.sql(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'") == "1")
        time.sleep(0.5)  # for every process to have heard of it; then whatever was acknowledged before:
        position = self.sql("SELECT pg_current_wal_flush_lsn()")
        await_true("the standby has caught up", START_LIMIT, lambda: self.sql(
            f"SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '{position}'") == "1")
        return standby

    def promote(self):
        self.sql("SELECT pg_promote(true, 30)", database="postgres")

    def remove(self):
        self._log.close()
        self.disk.remove()


class Redis:
    """One server. `durable`: every acknowledged change is in the append-only file; else it forgets when it ends."""

    def __init__(self, directory, port, megabytes, durable):
        self.port = port
        self.disk = Disk(directory, megabytes)
        self._log = open(directory.parent / f"{directory.name}.log", "ab")
        self._process = None
        self._arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory),
                           "--save", "", "--daemonize", "no", "--maxmemory-policy", "noeviction"]
        if durable:
            # Rewritten early, so that a start has little to read.
            self._arguments += ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-min-size", "8mb"]

    def start(self):
        end = time.monotonic() + START_LIMIT
        while True:
            if not self.running():
                self._process = subprocess.Popen(self._arguments, stdout=self._log, stderr=self._log,
                                                 stdin=subprocess.DEVNULL)
            try:
                if self.command("PING") == "PONG":
                    return
            except (OSError, RuntimeError):
                pass
            if time.monotonic() > end:
                raise RuntimeError("Redis does not answer")
            time.sleep(0.05)

    def running(self):
        return self._process is not None and self._process.poll() is None

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def command(self, *words):
        """The answer, of one line; RuntimeError for an error."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words))
            answer = connection.makefile().readline().strip()
        if not answer.startswith("+"):
            raise RuntimeError(f"Redis: {words[0]}: {answer or 'no answer'}")
        return answer[1:]
