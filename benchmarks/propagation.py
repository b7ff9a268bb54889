"""One preference is edited: how long until its value is in a ConfigMap, beside the floor and a plain kopf operator."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import content, edits, floor, subject
from benchmarks.bulk import Rendered
from benchmarks.cluster import Cluster
from benchmarks.edits import Watched, Watcher
from benchmarks.progress import say
from benchmarks.subject import Subject
from trimtab.kube.resources import CONFIG_MAPS

PLAIN_PATIENCE = 240.0
PLAIN_LABEL = "benchmarks.trimtab.dev/plain"


@dataclass(frozen=True, slots=True)
class Propagation:
    """Seconds of each edit. ``plain_first`` is how long the plain operator took to render everybody at first."""

    users: int
    shard_bytes: int
    floor: list[float]
    trimtab: list[float]
    plain: list[float]
    plain_first: float
    plain_problem: str
    lag: float


async def measure(cluster: Cluster, space: str, count: int, plain_count: int) -> Propagation:
    """``count`` edits of Trimtab and of the floor, ``plain_count`` of the plain operator (0: not at all), in a
    namespace whose users are loaded and rendered.

    The three take turns, the floor before and after, since the machine changes with time.
    """
    client, users = cluster.client, cluster.users[space]
    async with cluster.operator(f"{space}-propagation") as operator:
        say(f"{count} edits, Trimtab")
        trimtab = await edits.measure(client, space, users, count, content.outputs_of(space))
        await subject.settled(operator)
        lag = operator.metrics()["trimtab_loop_lag_max_seconds"]
    shards = await _shards(cluster, space)
    shard = sorted(shards, key=_size)[len(shards) // 2]
    plain: list[float] = []
    first, problem = 0.0, ""
    say(f"{count} edits, the floor")
    ground = await floor.measure(client, space, users, count // 2, shard)
    if plain_count:
        try:
            plain, first = await _plain(cluster, space, plain_count, len(shards))
        except (TimeoutError, RuntimeError) as error:
            problem = str(error)
            say(problem)
    ground += await floor.measure(client, space, users, count - count // 2, shard)
    return Propagation(users, _size(shard), ground, trimtab, plain, first, problem, lag)


async def _shards(cluster: Cluster, space: str) -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []
    pages = cluster.client.pages(CONFIG_MAPS, Watched, namespace=space, selector=content.outputs_of(space))
    async for page in pages:
        found += [item.data or {} for item in page.items or () if "-users-" in item.metadata.name]
    return found


def _size(data: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in data.items())


async def _plain(cluster: Cluster, space: str, count: int, shards: int) -> tuple[list[float], float]:
    """Start the plain operator, let it render everybody, measure edits."""
    client, users = cluster.client, cluster.users[space]
    rendered = Rendered(space, users)
    async with Watcher(client, CONFIG_MAPS, PLAIN_LABEL).following() as outputs:
        complete = outputs.expect(rendered.look)
        say("the plain kopf operator renders everybody at first")
        operator = _start_plain(cluster, space, max(1, shards // len(content.GROUPS)))
        try:
            first = await _until(complete, operator, rendered) - operator.started
            await operator.until_quiet(1.0, PLAIN_PATIENCE)
            say(f"{count} edits, the plain kopf operator")
            seconds = await edits.measure(client, space, users, count, PLAIN_LABEL)
        finally:
            operator.stop()
    return seconds, first


async def _until(complete: asyncio.Future[float], operator: Subject, rendered: Rendered) -> float:
    deadline = time.perf_counter() + PLAIN_PATIENCE
    while not complete.done():
        operator.alive()
        if time.perf_counter() > deadline:
            raise TimeoutError(f"the plain operator: after {PLAIN_PATIENCE:.0f} s {rendered!r}")
        await asyncio.wait([complete], timeout=0.5)
    return complete.result()


def _start_plain(cluster: Cluster, space: str, shards: int) -> Subject:
    here = Path(__file__)
    command = [sys.executable, "-m", "kopf", "run", "--quiet", "-n", space, "--standalone"]
    return subject.start(
        [*command, str(here.with_name("plain_kopf.py"))],
        cluster.logs / f"{space}-plain.log",
        cluster.kubeconfig,
        environment={"PLAIN_SHARDS": str(shards), "PYTHONPATH": str(here.parents[1])},
    )
