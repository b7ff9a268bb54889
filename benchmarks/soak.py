"""Many rollouts that only wait: what the operator uses while all of them soak, beside the same process without any."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import api_server, content, load, subject
from benchmarks.cluster import Cluster
from benchmarks.edits import Watched, Watcher
from benchmarks.gate import Gate
from benchmarks.progress import say
from benchmarks.rollback import PATIENCE, strategy
from benchmarks.served import status_of
from benchmarks.subject import Subject
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_TEMPLATES, DEPLOYMENTS, POLICY_ROLLOUTS

SPACE = "soak"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Minute:
    """``core`` is the share of a core that the operator used, ``asked`` how often gates were, ``writes`` the API
    server's counts."""

    core: float
    asked: int
    writes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Soak:
    rollouts: int
    idle: Minute
    soaking: Minute
    lag: float


async def measure(cluster: Cluster, gate: Gate, rollouts: int) -> Soak:
    """As many templates, each of one group with one workload; then a policy over each of them."""
    client = cluster.client
    gate.work()
    say(f"{rollouts} templates and workloads")
    await load.create_all(client, DEPLOYMENTS, SPACE, (_workload(number) for number in range(rollouts)))
    await load.create_all(client, CONFIG_TEMPLATES, SPACE, (_template(number) for number in range(rollouts)))
    async with cluster.operator(SPACE, "--allow-gate-url", gate.url) as operator:
        await operator.until_quiet(5.0)
        say(f"{SECONDS:.0f} s without a rollout")
        idle = await _minute(client, operator, gate)
        say(f"{rollouts} rollouts start")
        await _start(client, operator, gate, rollouts)
        await subject.settled(operator, PATIENCE)
        say(f"{SECONDS:.0f} s of soaking")
        soaking = await _minute(client, operator, gate)
        lag = operator.metrics()["trimtab_loop_lag_max_seconds"]
    return Soak(rollouts, idle, soaking, lag)


async def _minute(client: Client, operator: Subject, gate: Gate) -> Minute:
    written, asked = await api_server.writes(client), gate.asked
    started, cpu = time.perf_counter(), operator.usage().cpu
    await asyncio.sleep(SECONDS)
    operator.alive()
    share = (operator.usage().cpu - cpu) / (time.perf_counter() - started)
    return Minute(share, gate.asked - asked, api_server.since(written, await api_server.writes(client)))


async def _start(client: Client, operator: Subject, gate: Gate, rollouts: int) -> None:
    """Let all of them reach their soak, their workloads restarted and healthy."""
    waiting = {_name(number) for number in range(rollouts)}

    def soaks(item: Watched) -> bool:
        if item.metadata.namespace == SPACE and status_of(item).get("phase") == "Soaking":
            waiting.discard(item.metadata.name)
        return not waiting

    bodies = (
        content.policy(SPACE, _name(number), _name(number), "soak", strategy(gate.url))
        for number in range(rollouts)
    )
    async with Watcher(client, POLICY_ROLLOUTS).following() as found:
        done = found.expect(soaks)
        await load.create_all(client, POLICY_ROLLOUTS, SPACE, bodies)
        try:
            await asyncio.wait_for(done, PATIENCE)
        except TimeoutError:
            raise TimeoutError(
                f"{len(waiting)} rollouts do not soak, as {min(waiting)}:\n{operator.tail()}"
            ) from None


def _name(number: int) -> str:
    return f"app-{number:03}"


def _template(number: int) -> dict[str, Any]:
    """One group, whose workload is restarted by the policy."""
    body = content.template(SPACE, 2)
    group = body["spec"]["groups"][1]  # the first one has what the policy enforces
    group["workloads"] = [{"kind": "Deployment", "name": _name(number)}]
    return {
        **body,
        "metadata": {"name": _name(number), "namespace": SPACE},
        "spec": {**body["spec"], "groups": [group]},
    }


def _workload(number: int) -> dict[str, Any]:
    labels = {"app": _name(number)}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "main"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _name(number), "namespace": SPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
