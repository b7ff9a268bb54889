"""Previews of rollouts: what they count, what an approval binds to, when they are recomputed."""

from __future__ import annotations

from support.in_memory import Cluster, Operator, rendered, settled
from support.wave_rollouts import CLAMP, LOCK, calm, progress, until
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    ROLLOUT_ACTIONS,
)


async def test_an_approval_binds_to_the_content_that_was_previewed() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("alice", {"agent.temperature": 1.8})
    await settled(cluster)

    strategy = {"waves": [{"name": "all", "approval": True}]}

    async with Operator(cluster) as operator:
        cluster.policy("clamp", CLAMP, strategy=strategy)
        status = await until(cluster, "AwaitingApproval", "clamp")
        preview = status["preview"]
        assert (preview["groups"], preview["changedUsers"], preview["clampedUsers"]) == (2, 1, 1)

        sample = next(s for s in preview["samples"] if s.get("user") == "alice")
        assert (sample["key"], sample["old"], sample["new"], sample["effect"]) == (
            "agent.temperature",
            "1.8",
            "1.0",
            "Clamped",
        )

        wrong = cluster.act("Approve", "clamp", contentHash="0000")
        await operator.quiet()
        assert cluster.ready(ROLLOUT_ACTIONS, wrong) == ("False", "Refused")

        cluster.act("Approve", "clamp", contentHash=preview["hash"])
        await until(cluster, "Succeeded", "clamp")
        await operator.quiet()

    assert '"agent":{"temperature":1.0' in (cluster.file("alice") or "").replace(" ", "").replace("\n", "")


async def test_a_preview_counts_the_effects_of_its_own_rollout_only() -> None:
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("alice", {"agent.temperature": 1.8, "agent.voice": "loud"})
    cluster.preference("bob", {"agent.voice": "bright"})
    cluster.policy("clamp", CLAMP)
    cluster.policy("lock", LOCK)
    await settled(cluster)
    strategy = {"waves": [{"name": "all", "approval": True}]}
    lower = {"constraints": [{"key": "agent.temperature", "maximum": 0.9}]}

    async def counted(policy: Body) -> tuple[int, int, set[tuple[str | None, str, str]]]:
        cluster.policy("more", policy, strategy=strategy, priority=7)
        await settled(cluster)
        preview = progress(cluster, "more")["preview"]
        told = {(s.get("user"), s["key"], s["effect"]) for s in preview["samples"]}
        return preview.get("changedUsers", 0), preview.get("clampedUsers", 0), told

    assert await counted({"values": {"session.minutes": 25}}) == (
        2,
        0,
        {(user, "session.minutes", "Changed") for user in (None, "alice", "bob")},
    )
    assert await counted(CLAMP) == (0, 0, set())  # the same once more, by another policy
    assert await counted(lower) == (1, 1, {("alice", "agent.temperature", "Clamped")})


async def test_a_preview_is_recomputed_when_its_basis_changes() -> None:
    cluster = await rendered(calm())
    strategy = {"waves": [{"name": "all", "approval": True}]}
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=strategy, groups=["free"])
        await until(cluster, "AwaitingApproval")
        before = progress(cluster)["preview"]

        cluster.policy("lock", LOCK, strategy=strategy, groups=["paid"])
        await operator.quiet()
        moved = progress(cluster)["preview"]
        cluster.policy("elsewhere", CLAMP, groups=["free"])
        await until(cluster, "Succeeded", "elsewhere")
        assert progress(cluster)["preview"] == moved
        template = calm()
        cluster.template(
            template | {"groups": [g | {"values": {"agent.voice": "soft"}} for g in template["groups"]]}
        )
        await operator.quiet()
        edited = progress(cluster)["preview"]

    assert {s["group"] for s in before["samples"]} == {"free"}
    assert {s["group"] for s in moved["samples"]} == {"paid"}
    assert len({p["basis"] for p in (before, moved, edited)}) == 3
    assert any(s["old"] == '"soft"' for s in edited["samples"])
