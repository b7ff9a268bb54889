"""A gate begins to fail while a rollout over all groups soaks: how long until every group is back, and at what cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import api_server, content, rollback_floor, subject
from benchmarks.cluster import Cluster
from benchmarks.edits import Watched, Watcher
from benchmarks.gate import Gate
from benchmarks.progress import say
from benchmarks.served import Served, served, status_of
from benchmarks.subject import Subject
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS, POLICY_ROLLOUTS, RENDERED_GROUPS

POLICY = "locked"
INTERVAL = "1s"
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rollback. Seconds since the gate's first 500: ``decided`` when status said RollingBack, ``pointers`` when
    each group's RenderedGroup was on stable's revision, ``told`` when the last of them said that it is rendered,
    ``content`` when the last of the ``differing`` objects had stable's content, ``phase`` when status said RolledBack.

    ``writes`` are the API server's counts by what they were, ``cpu`` the operator's seconds, until it is quiet.
    """

    decided: float
    pointers: list[float]
    told: float
    content: float
    phase: float
    differing: int
    writes: dict[str, int]
    cpu: float

    @property
    def back(self) -> float:
        """When everything was as before, but for what statuses say of it."""
        return max(self.pointers[-1], self.content, self.phase)

    @property
    def over(self) -> float:
        """When the last write was seen."""
        return max(self.back, self.told)


@dataclass(frozen=True, slots=True)
class Rollbacks:
    """``objects`` are all outputs of the groups; ``floor`` are a bare client's seconds for the same writes."""

    groups: int
    users: int
    objects: int
    attempts: list[Attempt]
    floor: list[float]
    lag: float


def strategy(url: str, **gate: str) -> dict[str, object]:
    """One wave over everything, watched for longer than any benchmark takes, with one gate."""
    gates = [{"name": "alive", "http": {"url": url}, **gate}]
    return {"waves": [{"name": "all", "soak": "2h"}], "gates": gates}


async def measure(cluster: Cluster, gate: Gate, space: str, groups: int, repetitions: int) -> Rollbacks:
    """In a namespace whose users are spread over so many groups, loaded and rendered."""
    client = cluster.client
    attempts = []
    async with cluster.operator(f"{space}-rollback", "--allow-gate-url", gate.url) as operator:
        for number in range(repetitions):
            say(f"{groups:,} groups roll out and back, {number + 1} of {repetitions}")
            stable = await served(client, space)
            gate.work()
            await _roll_out(client, operator, gate, space, f"attempt {number + 1}")
            target = await served(client, space)
            attempts.append(await _roll_back(client, operator, gate, space, stable, target))
        lag = operator.metrics()["trimtab_loop_lag_max_seconds"]
    say(f"{groups:,} groups, the floor")
    floor = await rollback_floor.measure(client, space, target, stable)
    return Rollbacks(groups, cluster.users[space], len(stable.objects), attempts, floor, lag)


async def _roll_out(client: Client, operator: Subject, gate: Gate, space: str, reason: str) -> None:
    """Let new content reach every group, and everything come to rest."""
    body = content.policy(space, POLICY, content.TEMPLATE, reason, strategy(gate.url, interval=INTERVAL))
    async with Watcher(client, POLICY_ROLLOUTS).following() as rollouts:
        soaks = rollouts.expect(lambda item: _phase(item, space) == "Soaking")
        await client.apply(POLICY_ROLLOUTS, body)
        await _until(soaks, operator, "the rollout soaks")
    await subject.settled(operator, PATIENCE)


async def _roll_back(
    client: Client, operator: Subject, gate: Gate, space: str, stable: Served, target: Served
) -> Attempt:
    """Let the gate fail, and watch."""
    home = stable.unlike(target)
    missing, pointed = dict(home), stable.revisions()
    at: dict[str, float] = {}
    told: dict[str, float] = {}

    def moved(item: Watched) -> bool:
        name, status = item.metadata.name, status_of(item)
        if item.metadata.namespace == space and status["currentRevision"] == pointed[name]:
            at.setdefault(name, time.perf_counter())
            if _is_ready(status):
                told.setdefault(name, time.perf_counter())
        return len(told) == len(pointed)

    def restored(item: Watched) -> bool:
        name = item.metadata.name
        if name in missing and item.data == missing[name].data:
            del missing[name]
        return not missing

    async with (
        Watcher(client, POLICY_ROLLOUTS).following() as rollouts,
        Watcher(client, RENDERED_GROUPS).following() as groups,
        Watcher(client, CONFIG_MAPS, content.outputs_of(space)).following() as outputs,
    ):
        looks = {
            "the rollout rolls back": rollouts.expect(lambda item: _phase(item, space) == "RollingBack"),
            "the rollout is rolled back": rollouts.expect(lambda item: _phase(item, space) == "RolledBack"),
            "all groups are back": groups.expect(moved),
            "all content is back": outputs.expect(restored),
        }
        written, cpu = await api_server.writes(client), operator.usage().cpu
        gate.fail()
        decided, phase, said, restored_at = [
            await _until(look, operator, what) for what, look in looks.items()
        ]
    await subject.settled(operator, PATIENCE)
    began = gate.failed_at
    return Attempt(
        decided=decided - began,
        pointers=sorted(moment - began for moment in at.values()),
        told=said - began,
        content=restored_at - began,
        phase=phase - began,
        differing=len(home),
        writes=api_server.since(written, await api_server.writes(client)),
        cpu=operator.usage().cpu - cpu,
    )


async def _until(look: asyncio.Future[float], operator: Subject, what: str) -> float:
    """When it was seen (perf_counter)."""
    try:
        return await asyncio.wait_for(look, PATIENCE)
    except TimeoutError:
        raise TimeoutError(f"not after {PATIENCE:.0f} s: {what}:\n{operator.tail()}") from None


def _phase(item: Watched, space: str) -> str:
    return str(status_of(item).get("phase") or "") if item.metadata.namespace == space else ""


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any((c["type"], c["status"]) == ("Ready", "True") for c in status.get("conditions") or ())
