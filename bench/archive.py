#!/usr/bin/env python3
"""How long jobs and history take from store to store, and whether they arrive equal.

usage: bench/archive.py PROGRAM STORE [STORE...] [--jobs N] [--runs N]

Writes an archive of N jobs (100,000) with N runs (1,000,000), imports it into the first store, exports that into the
second, and so on. The first export must hold the archive's lines, every other must equal the first byte for byte. The
stores must be empty; servers must be migrated. URLs with passwords: give the name of an environment variable as env:NAME.
"""

import argparse
import filecmp
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def write_archive(file, jobs, runs):
    now = int(time.time()) * 1_000_000
    minute = 60_000_000
    each = -(-runs // jobs)
    start = (now - 2 * each * minute) // minute * minute
    counts = [min(each, max(0, runs - i * each)) for i in range(jobs)]
    with open(file, "w", encoding="utf-8") as out:
        out.write('{"escapement_archive":1}\n')
        for page in range(0, jobs, 1000):
            of_page = range(page, min(page + 1000, jobs))
            for i in of_page:
                cursor = start + counts[i] * minute
                out.write(f'{{"job":{{"definition":{{"payload":"{{\\"n\\": {i}}}","schedule":"every 1m","task":"work"}},'
                          f'"id":"job-{i:06}","present":{{"created_at":{start},"cursor":{cursor},"fire_time":{cursor + minute},'
                          f'"planned_from":{start}}},"reigns":[{{"after":{start},"grid":"every 1m","version":1}}],'
                          f'"settled_total":{counts[i]},"state":"paused"}}}}\n')
            for i in of_page:
                for k in range(1, counts[i] + 1):
                    fire = start + k * minute
                    out.write(f'{{"run":{{"finished_at":{fire + 52_000},"fire_time":{fire},"job":"job-{i:06}",'
                              f'"output":"done {k}\\n","pod":"pod-{i % 4}","settled_at":{fire + 55_000},'
                              f'"started_at":{fire + 800},"verdict":"succeeded"}}}}\n')
        out.write(f'{{"end":{{"jobs":{jobs},"runs":{sum(counts)}}}}}\n')


def same_lines(one, other):
    with open(one, encoding="utf-8") as a, open(other, encoding="utf-8") as b:
        return sorted(a) == sorted(b)


def timed(what, arguments, store):
    environment = {**os.environ, "ESCAPEMENT_STORE": store}
    begin = time.monotonic()
    done = subprocess.run(arguments, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{what}: {done.stderr.strip()}")
    print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.strip().splitlines()[2][7:])
    parser.add_argument("program")
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    with tempfile.TemporaryDirectory() as directory:
        original = os.path.join(directory, "original.jsonl")
        write_archive(original, arguments.jobs, arguments.runs)
        print(f"{arguments.jobs} jobs and {arguments.runs} runs: {os.path.getsize(original) / 1e6:.0f} MB")
        previous = original
        for number, store in enumerate(arguments.stores):
            name = store.split(":")[0]
            if store.startswith("env:"):
                name, store = store[4:], os.environ[store[4:]]
            timed(f"import into {name}", [program, "import", previous], store)
            exported = os.path.join(directory, f"{number}.jsonl")
            timed(f"export from {name}", [program, "export", exported], store)
            same = filecmp.cmp(previous, exported, shallow=False) if number else same_lines(original, exported)
            if not same:
                sys.exit(f"what {name} exports differs")
            print(f"{name}: equal")
            previous = exported
    return 0


sys.exit(main())
