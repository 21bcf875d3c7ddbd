#!/usr/bin/env python3
"""How long `escapement simulate` takes, and how much memory.

usage: bench/simulate.py PROGRAM [--jobs N] [--days N] [--minutes N] [--fault]

Simulates N jobs (1,000) for N days (365). Each fires every N minutes (60), at an instant of its own, and takes 1 s to
5 min; 2 pods have 100 slots each. --fault: an hour with one pod in the middle, which needs three passes.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(usage=__doc__.strip().splitlines()[2][7:])
    parser.add_argument("program")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--fault", action="store_true")
    arguments = parser.parse_args()
    begin = "2026-01-01T00:00:00Z"
    every = f"every {arguments.minutes}m anchor={begin}"
    jobs = {f"job-{i:06}": {"schedule": f"{every} phase={i % (60 * arguments.minutes)}s", "task": "work"}
            for i in range(arguments.jobs)}
    command = [str(pathlib.Path(arguments.program).resolve()), "simulate", "--json", "--from", begin,
               "--days", str(arguments.days), "--max-running", "100"]
    for i, name in enumerate(jobs):
        command += ["--duration", f"{name}={1 + i * 299 // max(1, arguments.jobs - 1)}s"]
    if arguments.fault:
        command += ["--fault", f"+{arguments.days * 12}h 1h pods=1"]
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "jobs.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump({"jobs": jobs}, out)
        start = time.monotonic()
        done = subprocess.run([*command, "-f", file], env={"HOME": directory}, capture_output=True, text=True,
                              check=False)
        took = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    total = json.loads(done.stdout)["total"]
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{arguments.jobs} jobs, {arguments.days} days, {total['runs']} runs: {took:.1f} s, {memory:.0f} MiB")
    return 0


sys.exit(main())
