"""Waves with a percentage: which users of a group are updated first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography.fernet import Fernet

from support.in_memory import HOME, SYSTEM, Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    CLAMP,
    LOCK,
    REST,
    broken,
    calm,
    loud,
    progress,
    share,
    until,
    users_with,
    voice,
)
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.kube.resources import (
    SECRETS,
    USER_PREFERENCES,
)


@pytest.mark.parametrize(
    "edit", [broken(strategy=share(50)), broken()], ids=["refused", "no strategy either"]
)
async def test_a_rejected_edit_keeps_the_share_of_the_users(edit: dict[str, Any]) -> None:
    cluster = await rendered(calm(strategy=share(50)), users=20)

    async with Operator(cluster):
        cluster.template(loud(strategy=share(50)))
        await until(cluster, "Soaking", *APP)
        before = users_with(cluster, "loud", 20)
        assert 0 < len(before) < 20

        cluster.template(edit)
        await asyncio.sleep(REST)
        assert cluster.ready(*reversed(APP)) == ("False", "Rejected")
        assert users_with(cluster, "loud", 20) == before


async def test_users_in_a_paused_share_who_lost_a_policy_do_not_get_it_back() -> None:
    cluster = await rendered(calm(), users=20, lock=LOCK)

    async with Operator(cluster):
        cluster.policy("lock", LOCK, groups=["paid"], strategy=share(50, "free"))
        await until(cluster, "Soaking")
        before = users_with(cluster, "calm", 20)
        assert 0 < len(before) < 20

        cluster.act("Pause", "lock")
        await until(cluster, "Paused")
        await asyncio.sleep(REST)
        assert users_with(cluster, "calm", 20) == before


async def test_a_share_of_a_group_with_users_is_never_empty() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("user-0")
    await settled(cluster)

    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=share(1, soak="5h"))
        await until(cluster, "Soaking")
        assert users_with(cluster, "bright", 40) == {"user-0"}

        for number in range(1, 40):
            cluster.preference(f"user-{number}")
        await asyncio.sleep(REST)
        assert "user-0" in users_with(cluster, "bright", 40)

        cluster.remove(USER_PREFERENCES, "user-0")
        await asyncio.sleep(REST)
        assert users_with(cluster, "bright", 40)

        for number in range(1, 40):
            cluster.remove(USER_PREFERENCES, f"user-{number}")
        await asyncio.sleep(REST)
        cluster.preference("user-7")
        await asyncio.sleep(REST)
        assert users_with(cluster, "bright", 40) == {"user-7"}
        assert progress(cluster)["phase"] == "Soaking"


async def test_a_share_keeps_its_users_while_another_rollout_rolls_back() -> None:
    cluster = await rendered(calm(), users=40, aaa=CLAMP)

    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=share(50, "free"))
        await until(cluster, "Soaking")
        before, writes = users_with(cluster, "bright", 40), len(cluster.memory.writes)
        cluster.act("Undo", "aaa")
        await until(cluster, "RolledBack", "aaa")
        await asyncio.sleep(REST)
        assert users_with(cluster, "bright", 40) == before
        assert not [write for write in cluster.memory.writes[writes:] if "-users-" in write.name]

        await until(cluster, "Succeeded")


async def test_a_share_of_the_users_is_updated_first_and_only_grows() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.users(40, {"session.minutes": 5})
    await settled(cluster)
    ten = {"name": "ten", "groups": ["free"], "percent": 10, "soak": "10m"}
    half = {"name": "half", "groups": ["free"], "percent": 50, "soak": "10m"}

    def moved() -> set[str]:
        users = (f"user-{n}" for n in range(40))
        return {u for u in users if '"bright"' in (cluster.file(u) or "")}

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy={"waves": [ten, half]})
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)
        first = moved()
        assert 0 < len(first) < 20
        assert voice(cluster, "free") == "calm"
        while progress(cluster)["wave"] != "2/3":  # noqa: ASYNC110 - by clockwork
            await asyncio.sleep(5)
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)
        second = moved()
        assert first < second
        assert len(second) < 40
        assert voice(cluster, "free") == "calm"
        await until(cluster, "Succeeded")
        await operator.quiet()
    assert len(moved()) == 40
    assert voice(cluster, "free") == "bright"
    assert await settled(cluster) == []


async def test_a_share_includes_a_user_and_not_a_suspended_one() -> None:
    cluster = Cluster()
    keys = Keys((Fernet.generate_key(),), b"with which no user is among the first of a hundred")
    place = {"name": KEYS_SECRET, "namespace": SYSTEM}
    cluster.memory.put(SECRETS, {"metadata": place, "data": keys.to_secret()})
    cluster.template(calm())
    cluster.users(12)
    await settled(cluster)
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=share(1, "free", soak="1h"))
        await until(cluster, "Soaking")
        (first,) = users_with(cluster, "bright", 12)
        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")
        cluster.preference(first, suspend=True)
        cluster.act("Retry", "lock")
        await until(cluster, "Soaking")
        (second,) = users_with(cluster, "bright", 12)
        assert second != first

        cluster.preference(second, suspend=True)
        cluster.preference(first)
        await asyncio.sleep(REST)
        assert users_with(cluster, "bright", 12) == {second}, "who has moved stays"


async def test_a_share_includes_a_user_who_may_be_in_the_group() -> None:
    cluster = Cluster("music", "tenant")
    cluster.namespace("tenant", labels={"may": "join"})
    template = calm()
    template["groups"][0]["preferenceNamespaceSelector"] = {"matchLabels": {"may": "join"}}
    template["groups"][0]["maxUsers"] = 2
    cluster.template(template)
    for number in range(12):
        made = {"creationTimestamp": f"2026-01-01T00:00:{number:02}Z"}
        cluster.preference(f"user-{number}", namespace="tenant" if number % 2 else HOME, meta=made)
    await settled(cluster)
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=share(1, "free", soak="1h"))
        await until(cluster, "Soaking")
        assert len(users_with(cluster, "bright", 12)) == 1

        cluster.namespace("tenant")
        await asyncio.sleep(REST)
        assert users_with(cluster, "bright", 12) == set()
        cluster.namespace("tenant", labels={"may": "join"})
        await asyncio.sleep(REST)
        assert len(users_with(cluster, "bright", 12)) == 1
