"""Revisions that rollouts create: their origin, which are stable, and how long their content is kept."""

from __future__ import annotations

import asyncio

from support.in_memory import SYSTEM, Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    CLAMP,
    LOCK,
    REST,
    all_revisions,
    calm,
    loud,
    progress,
    until,
    voices,
    waves,
    write_status,
)
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.kube.resources import (
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
)


def _maker(cluster: Cluster, group: str = "free") -> tuple[int, str | None, str]:
    """The number, by and reason of a group's present revision."""
    status = (cluster.find(RENDERED_GROUPS, f"app-{group}") or {})["status"]
    entry = next(e for e in status["revisions"] if e["number"] == status["currentRevision"])
    return entry["number"], entry.get("by"), entry["reason"]


async def test_a_revision_by_the_template_is_never_attributed_to_the_policy_that_updated_the_group_before() -> (
    None
):
    cluster = await rendered(calm())

    cluster.policy("lock", LOCK)
    await settled(cluster)
    assert _maker(cluster) == (2, "PolicyRollout lock", "PolicyRollout lock generation 1")

    cluster.template(loud())
    await settled(cluster)
    assert _maker(cluster) == (3, None, "ConfigTemplate generation 2")

    cluster.template(calm())  # back to content that the policy made first
    await settled(cluster)
    assert _maker(cluster) == (2, None, "ConfigTemplate generation 3")

    cluster.remove(POLICY_ROLLOUTS, "lock")
    await settled(cluster)
    assert _maker(cluster) == (1, "PolicyRollout lock", "PolicyRollout lock was deleted")


async def test_a_revision_that_is_rolled_back_to_keeps_its_origin() -> None:
    cluster = await rendered(calm())

    cluster.policy("lock", LOCK)
    await settled(cluster)

    async with Operator(cluster) as operator:
        cluster.policy("clamp", CLAMP, strategy=waves())
        await until(cluster, "Soaking", "clamp")
        assert _maker(cluster)[1] == "PolicyRollout clamp"
        cluster.act("Abort", "clamp")
        await until(cluster, "RolledBack", "clamp")
        await operator.quiet()

    assert _maker(cluster) == (2, "PolicyRollout lock", "PolicyRollout lock generation 1")


async def test_content_that_succeeds_is_stable_also_if_the_next_rollout_starts_at_the_same_time() -> None:
    cluster = await rendered(calm())
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Soaking")
        cluster.policy("next", {"values": {"session.minutes": 44}}, strategy=waves(soak="1h"))
        await until(cluster, "Succeeded")
        await until(cluster, "Soaking", "next")
        assert all_revisions(cluster) == [(3, 2), (2, 2)]

        write_status(cluster, {})
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "bright"]
        cluster.act("Abort", "next")
        await until(cluster, "RolledBack", "next")
        await operator.quiet()
        assert all_revisions(cluster) == [(2, 2), (2, 2)]


async def test_snapshots_are_kept_while_they_may_be_needed_and_pruned_after() -> None:
    cluster = await rendered(calm(revisionHistoryLimit=1))

    for value in ("one", "two", "three"):
        cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": value}]})
        await settled(cluster)
    await settled(cluster)
    names = [b["metadata"]["name"] for b in cluster.memory.objects(CONTROLLER_REVISIONS)]
    status = progress(cluster)

    assert status["stable"]["snapshot"] in names
    assert status["previous"]["snapshot"] in names
    assert len([n for n in names if "policy" in n]) == 2


async def test_keys_are_rotated_on_request_and_older_content_still_opens() -> None:
    cluster = Cluster()
    secret = {"name": "token", "type": "String", "sensitive": True, "default": "canary"}
    cluster.template(calm(keys=[*calm()["keys"], secret]))
    await settled(cluster)

    async with Operator(cluster) as operator:
        before = cluster.find(SECRETS, KEYS_SECRET, SYSTEM) or {}
        meta = {**before["metadata"], "annotations": {"trimtab.dev/rotate-keys": "now"}}
        cluster.memory.put(SECRETS, {**before, "metadata": meta})
        await operator.quiet()
        after = cluster.find(SECRETS, KEYS_SECRET, SYSTEM) or {}
        assert after["data"]["digest"] == before["data"]["digest"]
        assert after["data"]["fernet"] != before["data"]["fernet"]
        assert not after["metadata"].get("annotations")

        cluster.template({"keys": "nonsense"})
        await operator.quiet()

    assert await settled(cluster) == [], "the last good content is served on: it was opened with the old key"
