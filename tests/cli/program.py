"""Runs the program in a home of its own; what the tests of the command line share.

usage of each test: <name>_test.py <program> [arguments of unittest]
"""

import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
PATIENCE = 60  # seconds for what should happen at once: the machine may be busy


def instant(seconds):
    """RFC 3339 of seconds since 1970, as the program prints it: no zeros at the end of a fraction."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


class Pod:
    """`escapement run`, from its first line on."""

    def __init__(self, case, *arguments, **environment):
        self.case = case
        self.log = case.home / f"pod-{time.monotonic_ns()}.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([PROGRAM, "run", *arguments], env={**case.environment, **environment},
                                            cwd=case.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        case.addCleanup(self.kill)
        case.wait_for(lambda: " started: " in self.text() or self.process.poll() is not None, "the pod starts")
        case.assertIsNone(self.process.poll(), self.text())

    def text(self):
        return self.log.read_text(encoding="utf-8")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class CliTest(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory(prefix="escapement-cli-")
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.environment = {"HOME": home.name, "PATH": os.environ["PATH"]}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def done(self, *arguments, stdin="", **environment):
        return subprocess.run([PROGRAM, *map(str, arguments)], env={**self.environment, **environment}, cwd=self.home,
                              input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def run_cli(self, *arguments, **options):
        """Standard output of a command that succeeds."""
        done = self.done(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.run_cli(*arguments, "--json", **options))

    def refused(self, *arguments, status=2, **options):
        """The one line with which a command refuses."""
        done = self.done(*arguments, **options)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout} {done.stderr}")
        self.assertTrue(done.stderr.startswith("escapement: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr

    def wait_for(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        return self.fail(f"waited in vain: {what}")

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def archive(self, jobs, runs=()):
        """Imports jobs and runs, given as the members of their lines."""
        lines = [{"escapement_archive": 1}, *({"job": job} for job in jobs), *({"run": run} for run in runs),
                 {"end": {"jobs": len(jobs), "runs": len(runs)}}]
        self.run_cli("import", stdin="".join(json.dumps(line) + "\n" for line in lines))


def main():
    unittest.main()
