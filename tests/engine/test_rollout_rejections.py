"""Policies and templates that are rejected, for themselves or for each other: the content in effect stays."""

from __future__ import annotations

import asyncio

import pytest

from support.in_memory import Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    CLAMP,
    DARK,
    LOCK,
    REST,
    broken,
    calm,
    loud,
    progress,
    until,
    voice,
    voices,
    waves,
)
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    POLICY_ROLLOUTS,
)


async def test_a_template_rolls_back_while_its_spec_is_rejected() -> None:
    cluster = await rendered(calm(strategy=waves()))

    async with Operator(cluster):
        cluster.template(loud(strategy=waves()))
        await until(cluster, "Soaking", *APP)
        cluster.template(broken(strategy=waves()))
        await until(cluster, "Rejected", *APP)
        await asyncio.sleep(REST)
        assert voices(cluster) == ["loud", "calm"]

        cluster.act("Abort", "app", kind="ConfigTemplate")
        await asyncio.sleep(REST)
        assert voices(cluster) == ["calm", "calm"]
        assert progress(cluster, *APP)["phase"] == "Rejected"


async def test_a_template_that_conflicts_with_a_policy_is_accepted_once_the_policy_has_changed() -> None:
    cluster = await rendered(calm(), lock=LOCK)
    async with Operator(cluster) as operator:
        cluster.template(calm(keys=calm()["keys"][:2]))
        await operator.quiet()
        assert cluster.ready(*reversed(APP)) == ("False", "Rejected")
        cluster.policy("lock", CLAMP)
        await operator.quiet()
        assert cluster.ready(*reversed(APP)) == ("True", "Rendered")
        assert "voice" not in str(cluster.documents())


async def test_a_rendered_template_is_not_rejected_for_a_policy_that_was_rolled_back() -> None:
    cluster = await rendered(calm(), lock=LOCK)

    cluster.policy("lock", CLAMP)
    await settled(cluster)
    cluster.template(calm(keys=calm()["keys"][:2]))
    await settled(cluster)
    cluster.act("Undo", "lock")
    await settled(cluster)

    assert progress(cluster)["phase"] == "RolledBack"
    assert cluster.ready(*reversed(APP)) == ("True", "Rendered")
    assert await settled(cluster) == []


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
async def test_a_policy_for_no_group_is_rejected_and_its_previous_content_stays(
    scope: Body, said: str
) -> None:
    cluster = await rendered(calm(), lock=LOCK)
    cluster.policy("lock", DARK, **scope)
    await settled(cluster)
    found = cluster.find(POLICY_ROLLOUTS, "lock") or {}
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], said in ready["message"]) == ("Rejected", True)
    assert voices(cluster) == ["bright", "bright"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"enforced": [{"key": "agent.voise", "value": "x"}]}, "agent.voice"),
        ({"enforced": [{"key": "agent.temperature", "value": 9}]}, "at most 2"),
        ({}, "is empty"),
    ],
)
async def test_a_policy_that_is_not_valid_is_rejected_and_changes_nothing(policy: Body, said: str) -> None:
    cluster = await rendered(calm())
    before = cluster.documents()
    cluster.policy("lock", policy)
    await settled(cluster)
    assert progress(cluster)["phase"] == "Rejected"
    assert cluster.ready(POLICY_ROLLOUTS, "lock") == ("False", "Rejected")
    assert said in cluster.message(POLICY_ROLLOUTS, "lock")
    assert cluster.documents() == before


async def test_of_two_contradictory_policies_the_later_one_is_rejected() -> None:
    cluster = await rendered(calm(), lock=LOCK)
    cluster.policy("other", {"enforced": [{"key": "agent.voice", "value": "dark"}]})
    await settled(cluster)
    assert progress(cluster, "other")["phase"] == "Rejected"
    assert "PolicyRollout lock" in cluster.message(POLICY_ROLLOUTS, "other")
    assert voice(cluster, "free") == "bright"


async def test_a_template_that_does_not_fit_the_policies_in_force_is_rejected() -> None:
    cluster = await rendered(calm(), lock=LOCK)
    without = calm()
    without["keys"] = without["keys"][:2]
    cluster.template(without)
    await settled(cluster)
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Rejected")
    assert voice(cluster, "free") == "bright"
