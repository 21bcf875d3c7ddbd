"""Lets a queue rest now and then, whatever else happens meanwhile."""

import threading
import time

from chaos_lib.jobs import QUEUE

FIRST = 2.0  # seconds after the first point
LENGTH = 12.0
PAUSE = 40.0


class Rests:
    """Pauses and resumes the queue on a thread of its own until `end` (us); `zero` is the first point."""

    def __init__(self, cluster, zero, end, problem):
        self.times = []  # (it rested, it was about to be resumed), in us
        self._cluster = cluster
        self._zero, self._end = zero / 1e6, end / 1e6
        self._problem = problem
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def finish(self, limit):
        self._thread.join(limit)
        if self._thread.is_alive():
            self._problem("a queue is not resumed in time")

    def _play(self):
        at = self._zero + FIRST
        try:
            while at + LENGTH < self._end:
                time.sleep(max(0.0, at - time.time()))
                self._cluster.ask("pause", "--queue", QUEUE)
                began = time.time_ns() // 1000
                time.sleep(LENGTH)
                over = time.time_ns() // 1000
                self._cluster.ask("resume", "--queue", QUEUE)
                self.times.append((began, over))
                at = time.time() + PAUSE
        except RuntimeError as error:
            self._problem(str(error))
