"""Which runs there are, and their results.

Each scene runs undisturbed first, twice: what the two have in common is what all others must come to, and what they
wrote is where operators are killed. Writes that only turn up later are added when they do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from crash.jobs import FAULTS, KILLED, LIVES, STALE, UNDISTURBED, Job, Pool
from crash.points import Point, Write
from crash.runs import Result
from crash.state import differences

PARTS = (KILLED, LIVES, STALE, FAULTS)
TRIES = 3
"""Runs in which a write may fail to turn up, before that is told."""


@dataclass(frozen=True)
class Wanted:
    """``only`` are numbers of points from 1; none means all. ``every`` leaves out all but each n-th."""

    scenes: tuple[str, ...]
    parts: tuple[str, ...]
    only: frozenset[int] = frozenset()
    every: int = 1
    seeds: int = 5

    def takes(self, number: int) -> bool:
        return number in self.only if self.only else number % self.every == 1 % self.every


@dataclass
class Tally:
    """How runs of one part of one scene went."""

    runs: int = 0
    failed: int = 0
    missed: int = 0
    """Points that never came."""
    seconds: float = 0.0


@dataclass
class Campaign:
    wanted: Wanted
    points: dict[str, list[Point]] = field(default_factory=dict)
    expected: dict[str, Result] = field(default_factory=dict)
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _tries: Counter[Job] = field(default_factory=Counter)
    _done: int = 0

    def run(self, workers: int, logs: Path) -> None:
        """All of it."""
        print(f"{workers} workers; logs of what fails are in {logs}", flush=True)
        with Pool(workers, logs) as pool:
            for scene in self.wanted.scenes:
                pool.add(Job(UNDISTURBED, scene))
            for job, result in pool.results():
                self._done += 1
                self._tell(job, result, pool.left)
                if job.kind == UNDISTURBED:
                    self._undisturbed(pool, job, result)
                else:
                    self._disturbed(pool, job, result)

    def _undisturbed(self, pool: Pool, job: Job, result: Result) -> None:
        first = self.expected.get(job.scene)
        self._count(job, result)
        if result.problems or first is None:
            self.expected[job.scene] = result
            if not result.problems:
                pool.add(job)
            return
        found = differences(first.end, result.end) + first.facts.differences(result.facts)
        self.problems += [f"{job.scene} undisturbed, twice: {problem}" for problem in found]
        self.points[job.scene] = []
        self._add_points(pool, job.scene, [*first.writes, *result.writes])
        for part in (LIVES, FAULTS):
            if part in self.wanted.parts and not self.wanted.only:
                for seed in range(1, self.wanted.seeds + 1):
                    pool.add(Job(part, job.scene, seed), first)

    def _add_points(self, pool: Pool, scene: str, writes: list[Write]) -> None:
        points = self.points[scene]
        for write in writes:
            for after in (False, True):
                point = Point(write, after)
                if point in points:
                    continue
                points.append(point)
                for part in (KILLED, STALE):
                    if part in self.wanted.parts and self.wanted.takes(len(points)):
                        pool.add(Job(part, scene, point), self.expected[scene])

    def _disturbed(self, pool: Pool, job: Job, result: Result) -> None:
        if job.kind == KILLED:
            self._add_points(pool, job.scene, result.writes)
        if not result.struck and not result.problems:
            self._tries[job] += 1
            if self._tries[job] < TRIES:
                pool.add(job, self.expected[job.scene])
                return
            self._tally(job).missed += 1
        self._count(job, result)

    def _tally(self, job: Job) -> Tally:
        return self.tallies.setdefault((job.scene, job.kind), Tally())

    def _count(self, job: Job, result: Result) -> None:
        tally = self._tally(job)
        tally.runs += 1
        tally.seconds += result.seconds
        tally.failed += bool(result.problems)
        self.problems += [f"{job}: {problem}" for problem in result.problems]

    def _tell(self, job: Job, result: Result, left: int) -> None:
        said = "FAILED" if result.problems else "ok" if result.struck else "not reached"
        number = ""
        if isinstance(job.at, Point):
            number = f" [{self.points[job.scene].index(job.at) + 1}]"
        print(f"{self._done:5} ({left} left) {job}{number}: {said}, {result.seconds:.1f} s", flush=True)
        for problem in result.problems:
            print(f"        {problem}", flush=True)
