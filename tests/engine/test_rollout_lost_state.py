"""Rollouts whose status, RenderedGroups or stored content was wiped, deleted or edited manually."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    CLAMP,
    DARK,
    LOCK,
    REST,
    calm,
    loud,
    progress,
    until,
    voices,
    waves,
    write_status,
)
from trimtab.kube.resources import (
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
)


async def test_a_paused_rollout_keeps_its_content_when_its_rendered_groups_are_deleted() -> None:
    cluster = await rendered(calm(strategy=waves()))

    async with Operator(cluster):
        cluster.template(loud(strategy=waves()))
        await until(cluster, "Soaking", *APP)
        cluster.act("Pause", "app", kind="ConfigTemplate")
        await until(cluster, "Paused", *APP)
        for group in ("free", "paid"):
            cluster.remove(RENDERED_GROUPS, f"app-{group}")
        await asyncio.sleep(REST)

        assert voices(cluster) == ["loud", "calm"]


async def test_a_paused_policy_stays_in_a_group_whose_rendered_group_is_deleted() -> None:
    cluster = await rendered(calm())
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        cluster.act("Pause", "lock")
        await until(cluster, "Paused")
        cluster.remove(RENDERED_GROUPS, "app-free")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "calm"]


async def test_a_policy_whose_status_is_wiped_stays_in_force() -> None:
    asked = {"waves": [{"name": "all", "approval": True}]}
    cluster = await rendered(calm(), lock=LOCK)

    cluster.policy("lock", DARK, strategy=asked)
    await settled(cluster)

    async with Operator(cluster) as operator:
        write_status(cluster, {})
        await operator.quiet()
        status = progress(cluster)
        assert (status["phase"], voices(cluster)) == ("AwaitingApproval", ["bright", "bright"])

        cluster.act("Approve", "lock", contentHash=status["target"]["hash"])
        await until(cluster, "Succeeded")
        assert voices(cluster) == ["dark", "dark"]


async def test_a_policy_whose_status_is_wiped_stays_in_force_in_groups_that_another_policy_updated_since() -> (
    None
):
    cluster = await rendered(calm(), lock=LOCK)
    cluster.policy("clamp", {"values": {"session.minutes": 44}})
    await settled(cluster)
    async with Operator(cluster) as operator:
        asked = {"waves": [{"name": "all", "approval": True}]}
        cluster.policy("lock", DARK, strategy=asked)
        await until(cluster, "AwaitingApproval")
        write_status(cluster, {})
        await operator.quiet()

        assert progress(cluster)["phase"] == "AwaitingApproval"
        assert voices(cluster) == ["bright", "bright"]


async def test_a_policy_whose_status_is_wiped_during_a_rollout_restarts_from_the_stable_content() -> None:
    cluster = await rendered(calm(), lock=LOCK)

    async with Operator(cluster):
        cluster.policy("lock", DARK, strategy=waves())
        await until(cluster, "Soaking")
        before = progress(cluster)["stable"]
        write_status(cluster, {})
        await until(cluster, "Soaking")
        assert progress(cluster)["stable"]["hash"] == before["hash"]
        assert voices(cluster) == ["dark", "bright"]

        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")
        assert voices(cluster) == ["bright", "bright"]


async def test_a_policy_that_is_recreated_and_rejected_leaves_nothing_of_the_old_one() -> None:
    cluster = await rendered(calm(), lock=LOCK)
    async with Operator(cluster) as operator:
        cluster.remove(POLICY_ROLLOUTS, "lock")
        cluster.policy("lock", {"values": {"no.such.key": 1}})
        await operator.quiet()
        assert (progress(cluster)["phase"], voices(cluster)) == ("Rejected", ["calm", "calm"])


async def test_a_rollout_whose_status_lost_its_epoch_updates_its_groups() -> None:
    cluster = await rendered(calm(strategy=waves(soak="1m")))

    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves(soak="1m")))
        await until(cluster, "Soaking", *APP)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(cluster, "RolledBack", *APP)
        cluster.template(loud())  # which forgets how far it was
        await operator.quiet()
        cluster.template(calm(strategy=waves(soak="1m")))
        await until(cluster, "Succeeded", *APP)

        assert voices(cluster) == ["calm", "calm"]


async def test_content_that_is_deleted_during_a_rollout_is_stored_again() -> None:
    cluster = await rendered(calm(strategy=waves()))

    async with Operator(cluster):
        cluster.template(loud(strategy=waves()))
        await until(cluster, "Soaking", *APP)
        first = progress(cluster, *APP)["target"]["snapshot"]
        cluster.remove(CONTROLLER_REVISIONS, first)
        await asyncio.sleep(REST)
        assert cluster.find(CONTROLLER_REVISIONS, first)

        await until(cluster, "Succeeded", *APP)
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        second = progress(cluster)["target"]["snapshot"]
        cluster.remove(CONTROLLER_REVISIONS, second)
        await asyncio.sleep(REST)
        assert cluster.find(CONTROLLER_REVISIONS, second)


@pytest.mark.parametrize(
    "said",
    [
        {"waveStartedAt": "never", "soakStartedAt": "never", "checkedAt": "never"},
        {"transitions": [{"number": 9, "at": "yesterday", "reason": "X"}]},
        {"currentWave": 99},
        {"waves": []},
        {"waves": [{"name": "x", "groups": ["nobody"], "soak": "nonsense"}]},
        {"target": {"hash": "abc", "snapshot": "gone"}},
        {"epoch": "many"},
        {"epoch": 0},
        {"underway": "Back"},
        {"handled": ["x"] * 100, "gates": [{"name": "none"}], "phase": "RollbackFailed"},
    ],
    ids=lambda said: "-".join(said),
)
async def test_new_content_rolls_out_whatever_was_written_into_status(said: dict[str, Any]) -> None:
    cluster = await rendered(calm())

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="2m"))
        await until(cluster, "Soaking")
        write_status(cluster, {**progress(cluster), **said})
        cluster.policy("lock", DARK)
        cluster.policy("clamp", CLAMP)
        await until(cluster, "Succeeded", "clamp")
        await operator.quiet()

        assert (progress(cluster)["phase"], voices(cluster)) == ("Succeeded", ["dark", "dark"])

    assert await settled(cluster) == []


async def test_content_that_failed_stays_in_quarantine_when_its_policy_is_deleted_and_recreated() -> None:
    cluster = await rendered(calm())
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        cluster.act("Abort", "lock")
        hashed = (await until(cluster, "RolledBack"))["target"]["hash"]
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await operator.quiet()

        cluster.policy("lock", LOCK, strategy=waves())
        await operator.quiet()
        status = progress(cluster)
        assert (status["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
        assert [q["hash"] for q in status["quarantine"]] == [hashed]
        assert "Retry" in status["message"]

        cluster.policy("lock", DARK, strategy=waves())
        await until(cluster, "Soaking")
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "RolledBack")
        cluster.act("Retry", "lock")
        await until(cluster, "Succeeded")
        write_status(cluster, {})
        await operator.quiet()
        assert (progress(cluster)["phase"], voices(cluster)) == ("Succeeded", ["bright", "bright"])


@pytest.mark.parametrize("percent", [30, 100])
async def test_content_that_failed_stays_in_quarantine_when_status_is_wiped(percent: int) -> None:
    cluster = await rendered(calm(), users=9, lock=DARK)
    async with Operator(cluster) as operator:
        wave = {"name": "some", "percent": percent, "soak": "10m"}
        cluster.policy("lock", LOCK, strategy={"waves": [wave]})
        await until(cluster, "Soaking")
        cluster.act("Abort", "lock")
        hashed = (await until(cluster, "RolledBack"))["target"]["hash"]
        write_status(cluster, {})
        await operator.quiet()

        status = progress(cluster)
        assert (status["phase"], [q["hash"] for q in status["quarantine"]]) == ("RolledBack", [hashed])
        assert voices(cluster) == ["dark", "dark"]


async def test_a_template_whose_status_is_wiped_keeps_its_quarantine() -> None:
    cluster = await rendered(calm(strategy=waves(soak="1m")))
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves(soak="1m")))
        await until(cluster, "Soaking", *APP)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(cluster, "RolledBack", *APP)
        write_status(cluster, {}, *APP)
        await operator.quiet()

        assert (progress(cluster, *APP)["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
