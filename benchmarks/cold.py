"""A cold start over preferences and statuses that have not changed: time, CPU, memory, and no writes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks import subject
from benchmarks.cluster import Cluster
from benchmarks.process import Usage, waited
from benchmarks.subject import Subject


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds from the process's start: ``ready`` /readyz says so, ``acting`` it holds the Lease, ``idle`` it has
    looked at every user and has nothing left to do. ``waited`` is how long its threads were runnable without a core."""

    users: int
    ready: float
    acting: float
    idle: float
    usage: Usage
    waited: float
    writes: dict[str, int]
    resolved: int
    lag: float


async def measure(cluster: Cluster, users: int) -> ColdStart:
    """:raises RuntimeError: it did not look at everybody."""
    operator = subject.start_trimtab(cluster.logs / f"cold-{users}.log", cluster.kubeconfig)
    try:
        ready, acting = await _milestones(operator)
        idle = await subject.settled(operator) - operator.started
        found = operator.metrics()
        resolved = int(found["trimtab_users_resolved_total"])
        if resolved < users:
            raise RuntimeError(f"only {resolved} of {users} users were resolved:\n{operator.tail()}")
        return ColdStart(
            users=users,
            ready=ready,
            acting=acting,
            idle=idle,
            usage=operator.usage(),
            waited=waited(operator.pid),
            writes=subject.writes(found),
            resolved=resolved,
            lag=found["trimtab_loop_lag_max_seconds"],
        )
    finally:
        await cluster.stop(operator)


async def _milestones(operator: Subject) -> tuple[float, float]:
    """When it was ready, and when it acted."""
    ready = acting = 0.0
    deadline = time.perf_counter() + subject.PATIENCE
    while not (ready and acting):
        operator.alive()
        now = time.perf_counter()
        if now > deadline:
            raise TimeoutError(f"not acting after {subject.PATIENCE:.0f} s:\n{operator.tail()}")
        if not ready and operator.ready():
            ready = now - operator.started
        if not acting and operator.said("acting"):
            acting = now - operator.started
        await asyncio.sleep(0.05)
    return ready, acting
