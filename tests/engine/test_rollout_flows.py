"""Rollouts of policies and templates from start to end: revisions, documents and status."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from support.in_memory import BEGIN, HOME, Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    CLAMP,
    LOCK,
    REST,
    all_revisions,
    calm,
    event_reasons,
    loud,
    progress,
    revisions,
    until,
    voice,
    voices,
    waves,
)
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
)


async def test_a_policy_without_a_strategy_reaches_every_group() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("alice", {"agent.voice": "dark"})
    await settled(cluster)

    cluster.policy("lock", LOCK)
    await settled(cluster)
    status = progress(cluster)
    assert (status["phase"], cluster.ready(POLICY_ROLLOUTS, "lock")) == ("Succeeded", ("True", "Succeeded"))
    assert voices(cluster) == ["bright", "bright"]
    assert '"bright"' in (cluster.file("alice") or "")
    assert revisions(cluster, "free") == (2, 2)

    warnings = cluster.find_status("alice")["warnings"]
    assert [(w["key"], w["reason"]) for w in warnings] == [("agent.voice", "Locked")]
    assert "SEC-12" in warnings[0]["message"]
    assert await settled(cluster) == []


async def test_waves_follow_one_another_after_their_soak() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("alice")
    await settled(cluster)

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "calm"]
        assert revisions(cluster, "free") == (2, 1)
        assert progress(cluster)["wave"] == "1/2"

        await until(cluster, "Succeeded")
        await operator.quiet()

    assert voices(cluster) == ["bright", "bright"]
    assert all_revisions(cluster) == [(2, 2), (2, 2)]
    assert {"WaveStarted", "WaveCompleted", "RolloutCompleted"} <= set(event_reasons(cluster))
    assert await settled(cluster) == []


async def test_transitions_have_the_times_that_status_is_evaluated_by() -> None:
    cluster, reads = Cluster(), count()
    cluster.template(calm())
    await settled(cluster)
    async with Operator(
        cluster, clock=lambda: BEGIN + asyncio.get_running_loop().time() + next(reads) / 1000
    ):
        cluster.policy("lock", LOCK, strategy=waves())
        status = await until(cluster, "Soaking")

    at = {t["reason"]: t["at"] for t in status["transitions"]}
    assert at["WaveStarted"] == status["waveStartedAt"] == status["startedAt"]
    assert at["SoakStarted"] == status["soakStartedAt"]


async def test_an_abort_rolls_every_group_back_and_quarantines_the_content() -> None:
    cluster = await rendered(calm())

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        action = cluster.act("Abort", "lock", reason="it smells")
        status = await until(cluster, "RolledBack")
        await operator.quiet()
        assert cluster.ready(ROLLOUT_ACTIONS, action) == ("True", "Accepted")
        assert voice(cluster, "free") == "calm"
        assert all_revisions(cluster) == [(1, 1), (1, 1)]

        epochs = {
            cluster.find(RENDERED_GROUPS, f"app-{g}")["status"]["operation"]["epoch"]
            for g in ("free", "paid")
        }  # type: ignore[index]
        assert epochs == {status["epoch"]}
    assert await settled(cluster) == []
    assert voice(cluster, "free") == "calm"

    async with Operator(cluster) as operator:
        cluster.act("Retry", "lock")
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)

    assert voice(cluster, "free") == "bright"
    assert revisions(cluster, "free") == (2, 1)


async def test_a_template_with_a_strategy_rolls_out_by_waves_and_back() -> None:
    cluster = Cluster()
    cluster.template(calm(strategy=waves()))
    cluster.preference("alice")
    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")

    edited = loud(strategy=waves())

    async with Operator(cluster) as operator:
        cluster.template(edited)
        await until(cluster, "Soaking", *APP)
        await asyncio.sleep(REST)
        assert voices(cluster) == ["loud", "calm"]
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("Unknown", "Soaking")

        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(cluster, "RolledBack", *APP)
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "RolledBack")
        assert voices(cluster) == ["calm", "calm"]
        assert all_revisions(cluster) == [(1, 1), (1, 1)]

        cluster.template(calm(strategy=waves()))
        await until(cluster, "Succeeded", *APP)
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert await settled(cluster) == []


async def test_a_strategy_that_is_removed_during_a_rollout_updates_all_groups_immediately() -> None:
    cluster = await rendered(calm(strategy=waves()))

    edited = loud(strategy=waves())

    async with Operator(cluster) as operator:
        cluster.template(edited)
        await until(cluster, "Soaking", *APP)
        del edited["strategy"]
        cluster.template(edited)
        await operator.quiet()
        assert voices(cluster) == ["loud", "loud"]
        assert "phase" not in progress(cluster, *APP)
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")

        cluster.template(calm(strategy=waves()))
        await until(cluster, "Soaking", *APP)
        await asyncio.sleep(REST)
        assert voices(cluster) == ["calm", "loud"]

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("Unknown", "Soaking")


async def test_a_policy_that_was_deleted_while_the_operator_was_down_is_withdrawn() -> None:
    cluster = await rendered(calm())
    cluster.policy("lock", LOCK)
    cluster.policy("clamp", CLAMP)
    await settled(cluster)
    assert voice(cluster, "free") == "bright"
    cluster.remove(POLICY_ROLLOUTS, "lock")
    await settled(cluster)
    assert voice(cluster, "free") == "calm"
    assert progress(cluster, "clamp")["phase"] == "Succeeded"


async def test_two_rollouts_that_share_a_group_queue() -> None:
    cluster = await rendered(calm())

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        cluster.policy("clamp", CLAMP)
        status = await until(cluster, "Waiting", "clamp")
        assert "PolicyRollout lock" in status["message"]

        await until(cluster, "Succeeded", "clamp")
        assert progress(cluster)["phase"] == "Succeeded"

        await operator.quiet()
    policies = cluster.find(RENDERED_GROUPS, "app-free")["status"]["revisions"][0]["policies"]  # type: ignore[index]

    assert [p["name"] for p in policies] == ["clamp", "lock"]


async def test_new_content_during_a_rollout_restarts_from_the_stable_content() -> None:
    cluster = await rendered(calm())

    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=waves())
        await until(cluster, "Soaking")
        other: Body = {"enforced": [{"key": "agent.voice", "value": "dark"}]}
        cluster.policy("lock", other, strategy=waves())
        await asyncio.sleep(REST)
        assert voices(cluster) == ["dark", "calm"]
        assert progress(cluster)["phase"] == "Soaking"

        cluster.remove(POLICY_ROLLOUTS, "lock")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["calm", "calm"]


async def test_undo_returns_to_the_previous_stable_content() -> None:
    cluster = await rendered(calm(), lock=LOCK)

    cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": "dark"}]})
    await settled(cluster)
    assert voice(cluster, "free") == "dark"

    action = cluster.act("Undo", "lock")
    await settled(cluster)
    assert cluster.ready(ROLLOUT_ACTIONS, action) == ("True", "Accepted")
    assert progress(cluster)["phase"] == "RolledBack"
    assert voice(cluster, "free") == "bright"
    assert await settled(cluster) == []


async def test_an_action_on_a_missing_rollout_is_refused() -> None:
    cluster = Cluster()
    cluster.template(calm())
    missing = cluster.act("Pause", "nobody")
    direct = cluster.act("Pause", "app", kind="ConfigTemplate")
    await settled(cluster)
    assert cluster.ready(ROLLOUT_ACTIONS, missing) == ("False", "Refused")
    assert cluster.ready(ROLLOUT_ACTIONS, direct) == ("False", "Refused")


@pytest.mark.parametrize("names", [("x-zz9", "x-aa1"), ("x-aa1", "x-zz9")])
async def test_actions_of_one_second_are_processed_in_the_order_of_their_creation(
    names: tuple[str, str],
) -> None:
    cluster = await rendered(calm())
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        reference = {"kind": "PolicyRollout", "name": "lock"}
        for name, action in zip(names, ("Pause", "Resume"), strict=True):
            spec = {"rolloutRef": reference, "action": action, "requester": "ann"}
            cluster.memory.put(ROLLOUT_ACTIONS, {"metadata": {"name": name, "namespace": HOME}, "spec": spec})
        await asyncio.sleep(REST)

        assert progress(cluster)["phase"] == "Soaking"
        assert [cluster.ready(ROLLOUT_ACTIONS, name) for name in names] == [("True", "Accepted")] * 2
