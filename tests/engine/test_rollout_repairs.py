"""Rollouts whose status or content somebody has lost, wiped or written by hand; rollouts that fail beside others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import Cluster, Operator, settled, spec
from support.wave_rollouts import (
    CLAMP,
    DARK,
    LOCK,
    REST,
    Port,
    groups,
    loud,
    progress,
    rewrite,
    until,
    voices,
    waves,
)
from trimtab.kube.resources import CONFIG_TEMPLATES, CONTROLLER_REVISIONS, POLICY_ROLLOUTS

APP = ("app", CONFIG_TEMPLATES)


# What status has lost.


async def test_a_policy_whose_status_is_wiped_stays_in_force() -> None:
    asked = {"waves": [{"name": "all", "approval": True}]}
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("lock", DARK, strategy=asked)
    await settled(cluster)
    async with Operator(cluster) as operator:
        rewrite(cluster, {})
        await operator.quiet()
        status = progress(cluster)
        assert (status["phase"], voices(cluster)) == ("AwaitingApproval", ["bright", "bright"])
        cluster.act("Approve", "lock", contentHash=status["target"]["hash"])
        await until(operator, cluster, "Succeeded")
        assert voices(cluster) == ["dark", "dark"]


async def test_a_policy_whose_status_is_wiped_stays_in_force_in_groups_that_another_has_moved_since() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("clamp", {"values": {"session.minutes": 44}})
    await settled(cluster)
    async with Operator(cluster) as operator:
        asked = {"waves": [{"name": "all", "approval": True}]}
        cluster.policy("lock", DARK, strategy=asked)
        await until(operator, cluster, "AwaitingApproval")
        rewrite(cluster, {})
        await operator.quiet()

        assert progress(cluster)["phase"] == "AwaitingApproval"
        assert voices(cluster) == ["bright", "bright"]


async def test_a_policy_whose_status_is_wiped_in_mid_rollout_begins_again_from_what_went_well() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", DARK, strategy=waves())
        await until(operator, cluster, "Soaking")
        before = progress(cluster)["stable"]
        rewrite(cluster, {})
        await until(operator, cluster, "Soaking")
        assert progress(cluster)["stable"]["hash"] == before["hash"]
        assert voices(cluster) == ["dark", "bright"]
        cluster.act("Abort", "lock")
        await until(operator, cluster, "RolledBack")
        assert voices(cluster) == ["bright", "bright"]


async def test_a_policy_that_is_made_anew_and_refused_leaves_nothing_of_the_old_one() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.remove(POLICY_ROLLOUTS, "lock")
        cluster.policy("lock", {"values": {"no.such.key": 1}})
        await operator.quiet()
        assert (progress(cluster)["phase"], voices(cluster)) == ("Rejected", ["calm", "calm"])


async def test_a_rollout_whose_status_forgot_its_epoch_moves_its_groups_all_the_same() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves(soak="1m")))
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves(soak="1m")))
        await until(operator, cluster, "Soaking", *APP)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(operator, cluster, "RolledBack", *APP)
        cluster.template(loud())  # which forgets how far it was
        await operator.quiet()
        cluster.template(groups(strategy=waves(soak="1m")))
        await until(operator, cluster, "Succeeded", *APP)
        assert voices(cluster) == ["calm", "calm"]


async def test_content_that_somebody_deletes_in_mid_rollout_is_stored_again() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves()))
        await until(operator, cluster, "Soaking", *APP)
        first = progress(cluster, *APP)["target"]["snapshot"]
        cluster.remove(CONTROLLER_REVISIONS, first)
        await asyncio.sleep(REST)
        assert cluster.find(CONTROLLER_REVISIONS, first)
        await until(operator, cluster, "Succeeded", *APP)
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
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
async def test_whatever_somebody_writes_into_a_status_new_content_gets_through(said: dict[str, Any]) -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="2m"))
        await until(operator, cluster, "Soaking")
        rewrite(cluster, {**progress(cluster), **said})
        cluster.policy("lock", DARK)
        cluster.policy("clamp", CLAMP)
        await until(operator, cluster, "Succeeded", "clamp")
        await operator.quiet()
        assert (progress(cluster)["phase"], voices(cluster)) == ("Succeeded", ["dark", "dark"])
    assert await settled(cluster) == []


# What it costs, and what it keeps.


async def test_a_rollout_that_soaks_asks_the_api_server_next_to_nothing() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    port = Port(cluster.memory)
    async with Operator(cluster, port) as operator:
        cluster.policy("clamp", CLAMP)
        cluster.policy("lock", LOCK, strategy=waves(soak="2h"))
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        port.reads.clear()
        before = cluster.memory.version
        await asyncio.sleep(3600)
        assert port.reads.count("ControllerRevision") <= 2 * 7, "now and then, not with each look"
        assert cluster.memory.version - before <= 61, "once a minute it says that it was watched"


async def test_nothing_is_kept_of_content_that_is_gone() -> None:
    cluster = Cluster()
    async with Operator(cluster) as operator:
        for number in range(12):
            twice = [{**group, "values": {"session.minutes": number + 1}} for group in groups()["groups"]]
            cluster.template(groups(groups=twice, revisionHistoryLimit=1))
            cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": f"v{number}"}]})
            await asyncio.sleep(100)
        engine = operator.engine
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
            engine.specs._evaluated,
            engine.rollouts.writer._written,
            engine.rollouts.audit._told,
        )
        assert [len(part) for part in kept] == [0] * len(kept)


async def test_a_key_that_becomes_sensitive_is_taken_out_of_clear() -> None:
    secret = "s3cr3t-canary"
    token = {"name": "music.token", "type": "String", "default": "x"}
    outputs = [*spec()["outputs"], {"name": "c", "kind": "Secret", "format": "TOML", "fileName": "c.toml"}]
    base = groups(outputs=outputs, keys=[*groups()["keys"], token])
    cluster = Cluster()
    cluster.template(base)
    cluster.policy("lock", {"values": {"music.token": secret}})
    await settled(cluster)
    assert secret in str(progress(cluster)), "its preview shows it"
    cluster.template({**base, "keys": [*base["keys"][:3], {**token, "sensitive": True}]})
    await settled(cluster)
    assert progress(cluster)["phase"] == "Succeeded"
    assert secret not in str(progress(cluster))
    assert secret not in str(cluster.memory.objects(CONTROLLER_REVISIONS))
    assert any(secret in text for place, text in cluster.documents().items() if place[0] == "Secret")
    assert await settled(cluster) == []


# Quarantine.


async def test_content_that_failed_stays_in_quarantine_when_its_policy_is_deleted_and_recreated() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        cluster.act("Abort", "lock")
        hashed = (await until(operator, cluster, "RolledBack"))["target"]["hash"]
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await operator.quiet()

        cluster.policy("lock", LOCK, strategy=waves())
        await operator.quiet()
        status = progress(cluster)
        assert (status["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
        assert [q["hash"] for q in status["quarantine"]] == [hashed]
        assert "Retry" in status["message"]

        cluster.policy("lock", DARK, strategy=waves())
        await until(operator, cluster, "Soaking")
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "RolledBack")
        cluster.act("Retry", "lock")
        await until(operator, cluster, "Succeeded")
        rewrite(cluster, {})
        await operator.quiet()
        assert (progress(cluster)["phase"], voices(cluster)) == ("Succeeded", ["bright", "bright"])


@pytest.mark.parametrize("percent", [30, 100])
async def test_content_that_failed_stays_in_quarantine_when_status_is_wiped(percent: int) -> None:
    cluster = Cluster()
    cluster.template(groups())
    for number in range(9):
        cluster.preference(f"user-{number}")
    cluster.policy("lock", DARK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        wave = {"name": "some", "percent": percent, "soak": "10m"}
        cluster.policy("lock", LOCK, strategy={"waves": [wave]})
        await until(operator, cluster, "Soaking")
        cluster.act("Abort", "lock")
        hashed = (await until(operator, cluster, "RolledBack"))["target"]["hash"]
        rewrite(cluster, {})
        await operator.quiet()

        status = progress(cluster)
        assert (status["phase"], [q["hash"] for q in status["quarantine"]]) == ("RolledBack", [hashed])
        assert voices(cluster) == ["dark", "dark"]


async def test_a_template_whose_status_is_wiped_keeps_its_quarantine() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves(soak="1m")))
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves(soak="1m")))
        await until(operator, cluster, "Soaking", *APP)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(operator, cluster, "RolledBack", *APP)
        rewrite(cluster, {}, "app", CONFIG_TEMPLATES)
        await operator.quiet()

        assert (progress(cluster, *APP)["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
