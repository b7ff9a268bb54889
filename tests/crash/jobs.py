"""What is to be run, and the workers that run it: processes with a cluster each, one job after the other."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crash.cluster import CrashCluster
from crash.faulty import faulty
from crash.points import Point
from crash.runs import Result, killed, short_lives, undisturbed
from crash.scenes import SCENES
from crash.stale import stale
from trimtab.sandbox import Sandbox

UNDISTURBED, KILLED, LIVES, STALE, FAULTS = "undisturbed", "killed", "lives", "stale", "faults"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """``at`` is the point of a kill or a sleep, or a seed."""

    kind: str
    scene: str
    at: Point | int | None = None

    def __str__(self) -> str:
        words = {
            UNDISTURBED: "undisturbed",
            KILLED: f"killed {self.at}",
            LIVES: f"short lives, seed {self.at}",
            STALE: f"asleep {self.at}",
            FAULTS: f"random faults, seed {self.at}",
        }
        return f"{self.scene}: {words[self.kind]}"


def perform(cluster: CrashCluster, job: Job, expected: Result | None, log: Path) -> Result:
    """:raises Exception: the harness itself failed, or an undisturbed run did."""
    scene = SCENES[job.scene]
    if job.kind == UNDISTURBED or expected is None:
        return undisturbed(cluster, scene, log)
    if isinstance(job.at, int):
        run = short_lives if job.kind == LIVES else faulty
        return run(cluster, scene, expected, job.at, log)
    assert job.at is not None
    return (stale if job.kind == STALE else killed)(cluster, scene, expected, job.at, log)


class Pool:
    """Use as a context manager. Jobs may be added while results come."""

    def __init__(self, workers: int, logs: Path) -> None:
        context = multiprocessing.get_context("fork")
        self._results: Any = context.SimpleQueue()
        self._orders = [context.Pipe(duplex=False) for _ in range(workers)]
        self._workers = [
            context.Process(target=_work, args=(number, orders[0], self._results, logs / f"worker-{number}"))
            for number, orders in enumerate(self._orders)
        ]
        self._waiting: deque[tuple[Job, Result | None]] = deque()
        self._idle: list[int] = []
        self._running: dict[int, Job] = {}

    def __enter__(self) -> Pool:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _, orders in self._orders:
            orders.send(None)
        for worker in self._workers:
            worker.join(60)
            if worker.is_alive():
                worker.kill()

    def add(self, job: Job, expected: Result | None = None) -> None:
        self._waiting.append((job, expected))
        self._hand_out()

    @property
    def left(self) -> int:
        return len(self._waiting) + len(self._running)

    def results(self) -> Iterator[tuple[Job, Result]]:
        """As they come, until nothing is left to do.

        :raises RuntimeError: a worker has died.
        """
        while self.left:
            while self._results.empty():
                ended = [worker.exitcode for worker in self._workers if not worker.is_alive()]
                if ended:
                    raise RuntimeError(f"a worker ended with {ended}")
                time.sleep(0.05)
            number, result = self._results.get()
            self._idle.append(number)
            job = self._running.pop(number, None)
            self._hand_out()
            if job is not None:
                yield job, result

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            number, order = self._idle.pop(), self._waiting.popleft()
            self._running[number] = order[0]
            self._orders[number][1].send(order)


def _work(number: int, orders: Any, results: Any, logs: Path) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.mkdir(parents=True, exist_ok=True)
    with (
        Sandbox.start(nodes=1) as sandbox,
        CrashCluster(sandbox.kubeconfig, logs, sandbox.kubectl) as cluster,
    ):
        results.put((number, None))
        count = 0
        while (order := orders.recv()) is not None:
            job, expected = order
            count += 1
            log = logs / f"{count:04}-{job.scene}-{job.kind}.log"
            try:
                made = perform(cluster, job, expected, log)
            except (Exception, pytest.fail.Exception):
                made = Result(problems=[f"the harness failed: {traceback.format_exc()}"], struck=True)
            if made.problems:
                made.problems.append(f"its log: {log}")
            else:
                for path in logs.glob(f"{log.stem}*"):
                    path.unlink()
            results.put((number, made))
