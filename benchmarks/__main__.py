"""`make bench`, or `python -m benchmarks propagation --users 1000`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import (
    bulk,
    cluster,
    cold,
    core,
    gate,
    hostile,
    idle,
    machine,
    propagation,
    report,
    rollback,
    soak,
)
from benchmarks.cluster import Cluster
from benchmarks.cold import ColdStart
from benchmarks.gate import Gate
from benchmarks.progress import say
from benchmarks.propagation import Propagation
from benchmarks.rollback import Rollbacks

NAMES = ("core", "propagation", "bulk", "cold", "rollback", "soak", "hostile")
ROLLOUTS = {"rollback", "soak"}
"""These have an API server of their own, with a node, once the others' is gone."""
ORDER = ("propagation", "bulk", "cold", "rollback", "soak", "hostile", "core", "loop")
"""In which the results are told."""
SMALL, LARGE, HUGE = "small", "large", "huge"
SIZES = {"core": 20_000, SMALL: 1_000, LARGE: 10_000, HUGE: 100_000, "soak": 100, "hostile": 200}
GROUPS = {10: 3, 100: 3, 1_000: 2}
"""Of rollbacks: how many times each number of groups is rolled out and back."""


@dataclass(slots=True)
class Options:
    """``users`` puts one size in the place of all, ``groups`` one number of groups."""

    names: list[str]
    users: int | None
    groups: int | None
    edits: int
    plain_edits: int
    logs: Path

    @property
    def complete(self) -> bool:
        """Whether it is the run that the README tells of."""
        return set(self.names) == set(NAMES) and self.users is None and self.groups is None

    def size(self, what: str) -> int:
        return SIZES[what] if self.users is None else self.users


@dataclass(slots=True)
class Run:
    """One run; what fails is told in the place of its results, and the others go on."""

    options: Options
    sections: dict[str, str] = field(default_factory=dict)
    propagations: list[Propagation] = field(default_factory=list)
    starts: list[list[ColdStart]] = field(default_factory=list)
    rollbacks: list[Rollbacks] = field(default_factory=list)
    lags: list[tuple[str, float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    api_server: str = "none"

    async def all(self) -> None:
        if "core" in self.options.names:
            with self._part("core"):
                users = self.options.size("core")
                say(f"core: {users:,} users, five times each")
                self._tell("core", report.core(core.measure(users), users))
        if set(self.options.names) - {"core"} - ROLLOUTS:
            with self._part("sandbox"):
                async with cluster.started(self.options.logs) as made:
                    self.api_server = made.version
                    await self._on(made)
        if set(self.options.names) & ROLLOUTS:
            with self._part("sandbox of the rollouts"):
                async with cluster.started(self.options.logs, nodes=1) as made:
                    self.api_server = made.version
                    await self._rollouts(made)
        if self.lags:
            self._tell("loop", report.loop(self.lags))

    async def _on(self, made: Cluster) -> None:
        names, size = self.options.names, self.options.size
        if "propagation" in names and self.options.users is None:
            await self._propagation(made, SMALL, size(SMALL))
        if "bulk" in names:
            await self._bulk(made, size(LARGE))
        if "cold" in names:
            await self._cold(made, LARGE, size(LARGE), 3)
        if "propagation" in names:
            await self._propagation(made, LARGE, size(LARGE))
        if "cold" in names and self.options.users is None:
            await self._cold(made, HUGE, size(HUGE), 2)
        if "hostile" in names:
            await self._hostile(made)

    async def _propagation(self, made: Cluster, space: str, users: int) -> None:
        with self._part(f"propagation among {users:,}"):
            say(f"propagation among {users:,} preferences")
            await made.only(space, users)
            with idle.beside() as late:
                found = await propagation.measure(made, space, self.options.edits, self.options.plain_edits)
            self.propagations.append(found)
            self.lags.append((f"propagation among {users:,}", found.lag, late.worst))
            self._tell("propagation", report.propagation(self.propagations))

    async def _bulk(self, made: Cluster, users: int) -> None:
        with self._part("bulk"):
            say(f"bulk: {users:,} preferences")
            await made.only(LARGE, 0)
            async with made.operator("bulk") as operator:
                with idle.beside() as late:
                    found = await bulk.measure(made.client, operator, LARGE, users)
            made.users[LARGE] = users
            self.lags.append((f"bulk of {users:,}", found.lag, late.worst))
            self._tell("bulk", report.bulk(found))

    async def _cold(self, made: Cluster, space: str, users: int, repetitions: int) -> None:
        with self._part(f"cold start of {users:,}"):
            await made.only(space, users)
            runs: list[ColdStart] = []
            for number in range(repetitions):
                say(f"cold start over {users:,} preferences, {number + 1} of {repetitions}")
                with idle.beside() as late:
                    runs.append(await cold.measure(made, users))
                self.lags.append((f"cold start of {users:,}, {number + 1}", runs[-1].lag, late.worst))
            self.starts.append(runs)
            self._tell("cold", report.cold(self.starts))

    async def _hostile(self, made: Cluster) -> None:
        with self._part("hostile"):
            users = self.options.size("hostile")
            say(f"hostile input, beside {users:,} preferences")
            await made.only("calm", users)
            async with made.operator("hostile") as operator:
                with idle.beside() as late:
                    found = await hostile.measure(
                        made.client, operator, "calm", users, self.options.groups or hostile.GENERATED
                    )
            self.lags.append(("hostile input", found.lag, late.worst))
            self._tell("hostile", report.hostile(found, late.worst))

    async def _rollouts(self, made: Cluster) -> None:
        async with gate.serving() as asked:
            if "rollback" in self.options.names:
                few = self.options.groups
                for groups, repetitions in GROUPS.items() if few is None else [(few, 3)]:
                    await self._rollback(made, asked, groups, repetitions)
            if "soak" in self.options.names:
                await self._soak(made, asked)

    async def _rollback(self, made: Cluster, asked: Gate, groups: int, repetitions: int) -> None:
        with self._part(f"rollback of {groups:,} groups"):
            users, space = self.options.size(LARGE), f"groups-{groups}"
            say(f"rollback of {groups:,} groups, {users:,} preferences")
            await made.only(space, users, groups)
            with idle.beside() as late:
                found = await rollback.measure(made, asked, space, groups, repetitions)
            self.rollbacks.append(found)
            self.lags.append((f"rollback of {groups:,} groups", found.lag, late.worst))
            self._tell("rollback", report.rollback(self.rollbacks))

    async def _soak(self, made: Cluster, asked: Gate) -> None:
        with self._part("soak"):
            rollouts = self.options.groups or SIZES["soak"]
            await made.only("soak", 0)
            with idle.beside() as late:
                found = await soak.measure(made, asked, rollouts)
            self.lags.append((f"{rollouts:,} rollouts soak", found.lag, late.worst))
            self._tell("soak", report.soak(found))

    def _tell(self, name: str, text: str) -> None:
        self.sections[name] = text
        print(f"\n{text}\n", flush=True)

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            self.problems.append(f"- {name} failed: {type(error).__name__}: {str(error)[:500]}")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--users", type=int, help="one size instead of the usual ones")
    parser.add_argument(
        "--groups",
        type=int,
        help="of rollback: one number of groups; of soak: of rollouts; of hostile: of generated inputs",
    )
    parser.add_argument("--edits", type=int, default=300, help="edits that propagation measures")
    parser.add_argument(
        "--plain-edits", type=int, default=150, help="of the plain kopf operator; 0: leave it out"
    )
    parser.add_argument("--logs", type=Path, help="keep the operators' logs in this folder")
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    logs = given.logs or Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    logs.mkdir(parents=True, exist_ok=True)
    return Options(
        given.names or list(NAMES), given.users, given.groups, given.edits, given.plain_edits, logs
    )


def main() -> int:
    """0 unless a part failed; the aims are told, never asserted."""
    options = _options()
    run = Run(options)
    asyncio.run(run.all())
    parts = [run.sections[name] for name in ORDER if name in run.sections]
    if run.problems:
        parts.append("\n".join(["### What failed", *run.problems]))
        print(parts[-1])
    if options.complete:
        report.write([machine.describe(run.api_server), *parts])
        say(f"written to {report.README.name}")
    return 1 if run.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
