"""Refused writes, stale reads, changes of the leader: the cluster converges and status stays correct."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.failing_writes import Denying
from support.in_memory import SYSTEM, Cluster, Operator, settled, spec
from trimtab.engine.groups import reports
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

BROKEN = spec(keys=[{"name": "a", "type": "Number", "default": "x"}])


async def test_a_refused_write_is_retried_with_backoff(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann")
    api = Denying(cluster, CONFIG_MAPS, "apply", "app-free-users-0")
    async with Operator(cluster, api) as operator:
        await asyncio.sleep(0.5)
        assert 1 <= api.refused <= 12, "no busy loop"
        assert cluster.ready(USER_PREFERENCES, "ann")[0] != "True", "not said before it is so"

        api.error = None
        await operator.quiet()

    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_write_that_stays_refused_is_reported(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PATIENCE", 1)
    cluster.template()
    api = Denying(cluster, CONFIG_MAPS, "apply", "app-free")
    async with Operator(cluster, api) as operator:
        await asyncio.sleep(0.4)
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "WriteFailed")
        assert cluster.ready(RENDERED_GROUPS, "app-paid") == ("True", "Rendered")
        api.error = None
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_user_without_any_entry_is_accepted_with_the_others(cluster: Cluster) -> None:
    keys = [{"name": "nick", "type": "String"}]
    output = {"name": "env", "format": "Env", "scope": "User"}
    cluster.template(spec(keys=keys, outputs=[output], groups=[{"name": "free"}]))
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", suspend=False, schemaVersion=1)
        cluster.preference("bob", {"nick": "b"})
        await operator.quiet()
        cluster.preference("bob")
        await operator.quiet()

    assert cluster.documents() == {}
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(USER_PREFERENCES, "bob") == ("True", "Accepted")


async def test_a_label_set_during_a_status_write_loses_no_status(cluster: Cluster) -> None:
    class Labelling(WriteGuard):
        async def replace_status(
            self, resource: Resource, namespace: str | None, name: str, *a: Any, **o: Any
        ) -> Body:
            if name not in labelled:
                labelled.add(name)
                patch = {"metadata": {"labels": {"team": "x"}}}
                await cluster.memory.merge_patch(resource, namespace, name, patch)
            return await super().replace_status(resource, namespace, name, *a, **o)

    labelled: set[str] = set()
    cluster.template()
    cluster.preference("ann")
    async with Operator(cluster, Labelling(cluster.memory, lambda: True)) as operator:
        await operator.quiet()

    assert labelled >= {"ann", "app", "app-free"}
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_status_never_reports_a_generation_that_was_not_evaluated(cluster: Cluster) -> None:
    class Late(WriteGuard):
        """The template is edited just before its status is written."""

        async def replace_status(
            self, resource: Resource, namespace: str | None, name: str, status: Body, **o: Any
        ) -> Body:
            if resource is CONFIG_TEMPLATES:
                ready = next(c for c in status["conditions"] if c["type"] == "Ready")
                said.append((status["observedGeneration"], ready["status"]))
            return await super().replace_status(resource, namespace, name, status, **o)

    said: list[tuple[int, str]] = []
    cluster.template()
    async with Operator(cluster, Late(cluster.memory, lambda: True)) as operator:
        for _ in range(30):
            cluster.template(BROKEN)
            await asyncio.sleep(0.001)
            cluster.template()
            await asyncio.sleep(0.001)
        await operator.quiet()

    assert said
    assert all(status != "False" for generation, status in said if generation % 2 == 1)
    assert all(status != "True" for generation, status in said if generation % 2 == 0)


async def test_messages_are_within_the_limits_of_the_crd(cluster: Cluster) -> None:
    pattern = "^(" + "|".join(f"word{n}" for n in range(120)) + ")$"
    assert len(pattern) <= 1024
    keys = [
        {"name": "a", "type": "String", "pattern": pattern},
        {"name": "b", "type": "String", "enum": ["x" * 4000] * 8},
    ]
    cluster.template(spec(keys=keys, groups=[{"name": "free"}]))
    cluster.preference("ann", {"a": "no", "b": "no"})

    await settled(cluster)

    status = cluster.memory.objects(USER_PREFERENCES)[0]["status"]
    assert len(status["violations"]) == 2
    assert all(len(v["message"]) <= 1024 and len(v.get("nearest", "")) <= 1024 for v in status["violations"])
    assert all(len(c["message"]) <= 32768 for c in status["conditions"])


async def test_an_operator_that_may_not_write_writes_nothing(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(spec(groups=[{"name": "new"}]))
    operator = Operator(cluster, may_write=lambda: False)
    operator.start()
    before = len(cluster.memory.writes)
    await operator.engine.lead()
    await asyncio.sleep(0.1)
    await operator.kill()

    assert cluster.memory.writes[before:] == []


async def test_two_operators_one_after_the_other_reach_the_state_of_one(cluster: Cluster) -> None:
    """The first one loses the Lease in the middle; its calls under way meet the second one's."""
    cluster.template()
    for name in ("ann", "bob"):
        cluster.preference(name)
    leading = [True, False]
    first = Operator(cluster, may_write=lambda: leading[0])
    second = Operator(cluster, may_write=lambda: leading[1])
    first.start()
    second.start()
    await first.engine.lead()
    for turn in range(6):
        cluster.template(
            spec(groups=[{"name": "free", "values": {"session.minutes": 40 + turn}}, {"name": "paid"}])
        )
        for _ in range(turn):
            await asyncio.sleep(0)
        leading[:] = [not leading[0], not leading[1]]
        engines = (first.engine, second.engine) if leading[0] else (second.engine, first.engine)
        engines[1].follow()
        await engines[0].lead()
    actor = first if leading[0] else second
    await actor.quiet()
    await first.kill()
    await second.kill()

    assert '"minutes":45' in str(cluster.file("ann"))
    assert await settled(cluster) == []


async def test_malformed_keys_stop_the_leader_with_a_remedy(cluster: Cluster) -> None:
    place = {"name": "trimtab-keys", "namespace": SYSTEM}
    cluster.memory.put(SECRETS, {"metadata": place, "data": {"fernet": "eA==", "digest": "eA=="}})
    operator = Operator(cluster)
    operator.start()

    with pytest.raises(ValueError, match="restore it from a backup"):
        await operator.engine.lead()

    await operator.kill()
