"""Rollouts where something gets in between: refused edits, lost pointers, scopes and groups that change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.wave_rollouts import (
    CLAMP,
    DARK,
    LOCK,
    REST,
    broken,
    groups,
    hearing,
    loud,
    progress,
    share,
    until,
    voice,
    voices,
    waves,
)
from support.workload_controllers import Controllers, workload
from trimtab.core.refs import WorkloadKey
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    WORKLOADS,
)

APP = ("app", CONFIG_TEMPLATES)


# Held, and refused.


async def test_a_held_group_whose_pointer_is_deleted_serves_what_it_did() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves()))
        await until(operator, cluster, "Soaking", *APP)
        cluster.act("Pause", "app", kind="ConfigTemplate")
        await until(operator, cluster, "Paused", *APP)
        for group in ("free", "paid"):
            cluster.remove(RENDERED_GROUPS, f"app-{group}")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["loud", "calm"]


async def test_a_held_policy_stays_where_a_pointer_is_deleted() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        cluster.act("Pause", "lock")
        await until(operator, cluster, "Paused")
        cluster.remove(RENDERED_GROUPS, "app-free")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "calm"]


async def test_a_template_goes_back_while_its_spec_is_refused() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves()))
        await until(operator, cluster, "Soaking", *APP)
        cluster.template(broken(strategy=waves()))
        await until(operator, cluster, "Rejected", *APP)
        await asyncio.sleep(REST)
        assert voices(cluster) == ["loud", "calm"]
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["calm", "calm"]
        assert progress(cluster, *APP)["phase"] == "Rejected"


@pytest.mark.parametrize(
    "edit", [broken(strategy=share(50)), broken()], ids=["refused", "no strategy either"]
)
async def test_a_refused_edit_leaves_the_share_of_the_users_where_it_is(edit: dict[str, Any]) -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=share(50)))
    for number in range(20):
        cluster.preference(f"user-{number}")
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=share(50)))
        await until(operator, cluster, "Soaking", *APP)
        before = hearing(cluster, "loud", 20)
        assert 0 < len(before) < 20
        cluster.template(edit)
        await asyncio.sleep(REST)
        assert cluster.ready(*reversed(APP)) == ("False", "Rejected")
        assert hearing(cluster, "loud", 20) == before


async def test_a_paused_share_that_loses_a_policy_does_not_get_it_back() -> None:
    cluster = Cluster()
    cluster.template(groups())
    for number in range(20):
        cluster.preference(f"user-{number}")
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, groups=["paid"], strategy=share(50, "free"))
        await until(operator, cluster, "Soaking")
        before = hearing(cluster, "calm", 20)
        assert 0 < len(before) < 20
        cluster.act("Pause", "lock")
        await until(operator, cluster, "Paused")
        await asyncio.sleep(REST)
        assert hearing(cluster, "calm", 20) == before


# Templates and their policies.


async def test_a_template_that_was_refused_for_a_policys_sake_is_accepted_once_that_is_gone() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.template(groups(keys=groups()["keys"][:2]))
        await operator.quiet()
        assert cluster.ready(*reversed(APP)) == ("False", "Rejected")
        cluster.policy("lock", CLAMP)
        await operator.quiet()
        assert cluster.ready(*reversed(APP)) == ("True", "Rendered")
        assert "voice" not in str(cluster.documents())


async def test_a_template_in_service_is_not_refused_for_a_policy_that_has_gone_back() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("lock", CLAMP)
    await settled(cluster)
    cluster.template(groups(keys=groups()["keys"][:2]))
    await settled(cluster)
    cluster.act("Undo", "lock")
    await settled(cluster)
    assert progress(cluster)["phase"] == "RolledBack"
    assert cluster.ready(*reversed(APP)) == ("True", "Rendered")
    assert await settled(cluster) == []


async def test_a_policy_that_changes_its_template_leaves_the_one_and_rolls_out_in_the_other() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.template(groups(), name="other")
    cluster.policy("lock", LOCK)
    await settled(cluster)
    assert voices(cluster) == ["bright", "bright"]
    async with Operator(cluster) as operator:
        cluster.policy("lock", DARK, template="other", strategy=waves())
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["calm", "calm"]
        assert voices(cluster, "other") == ["dark", "calm"]
    assert progress(cluster)["wave"] == "1/2"


@pytest.mark.parametrize("deed", ["Abort", "Undo"])
async def test_what_a_policy_said_of_a_template_that_it_has_left_is_kept_while_it_may_go_back(
    deed: str,
) -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.template(groups(), name="old")
    cluster.policy("lock", LOCK, template="old")
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", DARK, strategy=share(50))
        cluster.remove(CONFIG_TEMPLATES, "old")
        await until(operator, cluster, "Soaking" if deed == "Abort" else "Succeeded")
        await asyncio.sleep(REST)
        if deed == "Undo":
            await until(operator, cluster, "Succeeded")
        cluster.act(deed, "lock")
        await until(operator, cluster, "RolledBack")
        assert voices(cluster) == ["calm", "calm"]


async def test_groups_that_leave_a_policys_scope_lose_it_by_waves_and_an_undo_brings_it_back() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, groups=["free"], strategy=share(50, soak="5m"))
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "bright"]
        await until(operator, cluster, "Succeeded")
        await operator.quiet()
        assert voices(cluster) == ["bright", "calm"]
        cluster.act("Undo", "lock")
        await until(operator, cluster, "RolledBack")
        assert voices(cluster) == ["bright", "bright"]


# Groups that come and go.


async def test_a_group_that_is_new_waits_for_the_wave_that_brings_all_of_it() -> None:
    strategy = {"waves": [{"name": "some", "percent": 20, "soak": "1m"}, {"name": "all", "soak": "1m"}]}
    cluster = Cluster()
    cluster.template(groups(strategy=strategy))
    cluster.preference("alice")
    await settled(cluster)
    async with Operator(cluster) as operator:
        more = loud(strategy=strategy)
        cluster.template({**more, "groups": [*more["groups"], {"name": "trial"}]})
        await until(operator, cluster, "Soaking", *APP)
        assert cluster.find(RENDERED_GROUPS, "app-trial") is None
        await until(operator, cluster, "Succeeded", *APP)
        assert voice(cluster, "trial") == "loud"


async def test_an_undo_brings_back_a_group_that_was_removed() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy={}))
    await settled(cluster)
    cluster.template(groups(strategy={}, groups=groups()["groups"][:1]))
    await settled(cluster)
    assert cluster.find(RENDERED_GROUPS, "app-paid") is None
    async with Operator(cluster) as operator:
        cluster.act("Undo", "app", kind="ConfigTemplate")
        await until(operator, cluster, "RolledBack", *APP)
        assert voices(cluster) == ["calm", "calm"]


async def test_there_is_always_somebody_in_a_share_that_has_anybody() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.preference("user-0")
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=share(1, soak="5h"))
        await until(operator, cluster, "Soaking")
        assert hearing(cluster, "bright", 40) == {"user-0"}
        for number in range(1, 40):
            cluster.preference(f"user-{number}")
        await asyncio.sleep(REST)
        assert "user-0" in hearing(cluster, "bright", 40)
        cluster.remove(USER_PREFERENCES, "user-0")
        await asyncio.sleep(REST)
        assert hearing(cluster, "bright", 40)
        for number in range(1, 40):
            cluster.remove(USER_PREFERENCES, f"user-{number}")
        await asyncio.sleep(REST)
        cluster.preference("user-7")
        await asyncio.sleep(REST)
        assert hearing(cluster, "bright", 40) == {"user-7"}
        assert progress(cluster)["phase"] == "Soaking"


# Time in which nothing happens.


async def test_a_long_soak_goes_on_while_nothing_happens_to_its_workloads() -> None:
    cluster = Cluster()
    cluster.memory.put(WORKLOADS["Deployment"], workload(WorkloadKey("Deployment", HOME, "web")))
    rolling = asyncio.create_task(Controllers(cluster.memory).run())
    keys = {"groups": [{"name": "all", "workloads": [{"kind": "Deployment", "name": "web"}]}]}
    strategy = {"waves": [{"name": "all", "soak": "1h"}]}

    def said(voice: str) -> Body:
        named = [{"name": "agent.voice", "type": "String", "default": voice}]
        return spec(keys=named, strategy=strategy, **keys)

    cluster.template(said("calm"))
    async with Operator(cluster) as operator:
        await until(operator, cluster, "Succeeded", *APP)
        cluster.template(said("loud"))
        await until(operator, cluster, "Soaking", *APP)
        await asyncio.sleep(3700)

        status = progress(cluster, *APP)
        assert status["phase"] == "Succeeded"
        assert "SoakInterrupted" not in [t["reason"] for t in status["transitions"]]
    rolling.cancel()
    await asyncio.gather(rolling, return_exceptions=True)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (
            {"groups": []},
            "spec.groups: names no group; remove the field to select every group, or delete the PolicyRollout",
        ),
        (
            {"groupSelector": {"matchLabels": {"ring": "none"}}},
            "spec.groupSelector: selects no group of the template; correct it",
        ),
    ],
)
async def test_a_policy_for_no_group_is_rejected_and_what_it_said_before_stays(
    scope: Body, said: str
) -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("lock", DARK, **scope)
    await settled(cluster)
    found = cluster.find(POLICY_ROLLOUTS, "lock") or {}
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], said in ready["message"]) == ("Rejected", True)
    assert voices(cluster) == ["bright", "bright"]
