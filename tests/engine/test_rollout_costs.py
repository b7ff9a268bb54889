"""What rollouts cost: requests, memory, and work that is not repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import Cluster, Operator, rendered
from support.wave_rollouts import APP, CLAMP, LOCK, REST, Port, calm, loud, until, waves
from trimtab.engine.rollouts.preview import Previews
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS


async def test_a_soaking_rollout_sends_few_requests_to_the_api_server() -> None:
    cluster = await rendered(calm())

    port = Port(cluster.memory)

    async with Operator(cluster, port):
        cluster.policy("clamp", CLAMP)
        cluster.policy("lock", LOCK, strategy=waves(soak="2h"))
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)
        port.reads.clear()
        before = cluster.memory.version
        await asyncio.sleep(3600)

        assert port.reads.count("ControllerRevision") <= 2 * 7, "now and then, not with each look"
        assert cluster.memory.version - before <= 61, "once a minute it says that it was watched"


async def test_memory_holds_no_content_that_was_deleted() -> None:
    cluster = Cluster()

    async with Operator(cluster) as operator:
        for number in range(12):
            twice = [{**group, "values": {"session.minutes": number + 1}} for group in calm()["groups"]]
            cluster.template(calm(groups=twice, revisionHistoryLimit=1))
            cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": f"v{number}"}]})
            await asyncio.sleep(100)
        engine = operator.term
        assert len(engine.groups.assignments._compiled) <= 8
        assert len(engine.policies._specs) <= 4

        cluster.remove(POLICY_ROLLOUTS, "lock")
        cluster.remove(CONFIG_TEMPLATES, "app")
        await operator.quiet()
        kept = (
            engine.groups.assignments._compiled,
            engine.templates._schemas,
            engine.policies._specs,
            engine.policies._compiled,
            engine.memories._all,
        )
        assert [len(part) for part in kept] == [0] * len(kept)


async def test_nothing_is_measured_for_a_rollout_that_is_deleted() -> None:
    gate = {"name": "probe", "interval": "10s", "http": {"url": "http://nowhere.example/"}, "dryRun": True}
    cluster = await rendered(calm())
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(gates=[gate]))
        await until(cluster, "Soaking")
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await asyncio.sleep(REST)
        assert not operator.term.gates._running
        assert not any(memory.evidence for memory in operator.term.memories._all.values())


async def test_a_slow_preview_is_not_repeated_for_writes_of_other_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = await rendered(calm(strategy=waves()))
    real, looks = Previews.of, []

    async def slow(*args: Any) -> Any:
        looks.append(args)
        await asyncio.sleep(10)
        return await real(*args)

    monkeypatch.setattr(Previews, "of", slow)
    async with Operator(cluster):
        cluster.template(loud(strategy=waves()))
        for number in range(40):  # the template's status counts them
            cluster.preference(f"user-{number}")
            await asyncio.sleep(1)
        await until(cluster, "Soaking", *APP)
    assert len(looks) == 1
