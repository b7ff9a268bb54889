"""Which groups a rollout updates: groups that are added or removed, and policies whose scope changes."""

from __future__ import annotations

import asyncio

import pytest

from support.in_memory import Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    DARK,
    LOCK,
    REST,
    calm,
    loud,
    progress,
    share,
    until,
    voice,
    voices,
    waves,
)
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
)


async def test_a_policy_that_changes_its_template_leaves_the_old_one_and_rolls_out_in_the_new_one() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.template(calm(), name="other")
    cluster.policy("lock", LOCK)
    await settled(cluster)

    assert voices(cluster) == ["bright", "bright"]

    async with Operator(cluster):
        cluster.policy("lock", DARK, template="other", strategy=waves())
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)

        assert voices(cluster) == ["calm", "calm"]
        assert voices(cluster, "other") == ["dark", "calm"]

    assert progress(cluster)["wave"] == "1/2"


@pytest.mark.parametrize("deed", ["Abort", "Undo"])
async def test_content_of_a_policy_for_a_template_that_it_left_is_kept_while_it_may_be_rolled_back(
    deed: str,
) -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.template(calm(), name="old")
    cluster.policy("lock", LOCK, template="old")
    await settled(cluster)

    async with Operator(cluster):
        cluster.policy("lock", DARK, strategy=share(50))
        cluster.remove(CONFIG_TEMPLATES, "old")
        await until(cluster, "Soaking" if deed == "Abort" else "Succeeded")
        await asyncio.sleep(REST)
        if deed == "Undo":
            await until(cluster, "Succeeded")
        cluster.act(deed, "lock")
        await until(cluster, "RolledBack")

        assert voices(cluster) == ["calm", "calm"]


async def test_groups_that_leave_a_policys_scope_lose_it_in_waves_and_an_undo_restores_it() -> None:
    cluster = await rendered(calm(), lock=LOCK)

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, groups=["free"], strategy=share(50, soak="5m"))
        await until(cluster, "Soaking")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "bright"]

        await until(cluster, "Succeeded")
        await operator.quiet()
        assert voices(cluster) == ["bright", "calm"]

        cluster.act("Undo", "lock")
        await until(cluster, "RolledBack")
        assert voices(cluster) == ["bright", "bright"]


async def test_a_new_group_waits_for_the_wave_that_includes_all_of_it() -> None:
    strategy = {"waves": [{"name": "some", "percent": 20, "soak": "1m"}, {"name": "all", "soak": "1m"}]}
    cluster = Cluster()
    cluster.template(calm(strategy=strategy))
    cluster.preference("alice")
    await settled(cluster)

    async with Operator(cluster):
        more = loud(strategy=strategy)
        cluster.template({**more, "groups": [*more["groups"], {"name": "trial"}]})
        await until(cluster, "Soaking", *APP)
        assert cluster.find(RENDERED_GROUPS, "app-trial") is None
        await until(cluster, "Succeeded", *APP)
        assert voice(cluster, "trial") == "loud"


async def test_an_undo_restores_a_group_that_was_removed() -> None:
    cluster = await rendered(calm(strategy={}))
    cluster.template(calm(strategy={}, groups=calm()["groups"][:1]))
    await settled(cluster)
    assert cluster.find(RENDERED_GROUPS, "app-paid") is None
    async with Operator(cluster):
        cluster.act("Undo", "app", kind="ConfigTemplate")
        await until(cluster, "RolledBack", *APP)
        assert voices(cluster) == ["calm", "calm"]


@pytest.mark.parametrize("names", ["groups", "wave"])
async def test_a_group_that_leaves_the_template_during_a_rollout_is_skipped(names: str) -> None:
    cluster = await rendered(calm())
    named = {"groups": ["free", "paid"]} if names == "groups" else {}
    waved = {
        "waves": [{"name": "canary", "groups": ["free"], "soak": "10m"}, {"name": "late", "groups": ["paid"]}]
    }
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=waves() if named else waved, **named)
        await until(cluster, "Soaking")
        smaller = calm()
        cluster.template(smaller | {"groups": smaller["groups"][:1]})

        await asyncio.sleep(4 * REST + 1800)

        status = progress(cluster)
        assert (status.get("underway"), status["stable"]["hash"]) == (None, status["target"]["hash"])
        assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-free"]
        assert cluster.ready(CONFIG_TEMPLATES, "app")[0] == "True"


async def test_a_policy_whose_groups_have_all_left_the_template_does_not_block_it() -> None:
    cluster = await rendered(calm(strategy={}))
    async with Operator(cluster):
        soak = {"waves": [{"name": "all", "soak": "10m"}]}
        cluster.policy("lock", LOCK, strategy=soak, groups=["free"])
        await until(cluster, "Soaking")
        without = calm(strategy={})
        cluster.template(without | {"groups": without["groups"][1:]})

        await asyncio.sleep(1200)
        assert progress(cluster, *APP)["phase"] == "Succeeded"
        assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-paid"]
        assert progress(cluster).get("underway") is None


async def test_a_template_may_drop_a_group_that_a_policy_in_force_names() -> None:
    cluster = await rendered(calm())
    cluster.policy("lock", LOCK, groups=["free", "paid"])
    await settled(cluster)
    smaller = calm()
    cluster.template(smaller | {"groups": smaller["groups"][1:]})
    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert progress(cluster)["phase"] == "Rejected"
    assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-paid"]
    assert voice(cluster, "paid") == "bright"


async def test_groups_that_a_template_adds_and_removes_come_and_go_with_their_wave() -> None:
    cluster = Cluster()
    base = calm(strategy=waves())
    cluster.template(base)
    await settled(cluster)

    canary, main = base["groups"]

    async with Operator(cluster) as operator:
        new = {"name": "trial", "labels": {"ring": "main"}}
        cluster.template({**base, "groups": [canary, new]})
        await until(cluster, "Soaking", *APP)
        await asyncio.sleep(REST)
        assert progress(cluster, *APP)["wave"] == "1/2"
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"paid"}

        cluster.act("Promote", "app", kind="ConfigTemplate")
        await until(cluster, "Succeeded", *APP)
        await operator.quiet()
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"trial"}

        cluster.template({**base, "groups": [canary, main, new]})
        await until(cluster, "Soaking", *APP)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(cluster, "RolledBack", *APP)
        await operator.quiet()
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"trial"}

    assert await settled(cluster) == []
