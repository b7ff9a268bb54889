"""Rollouts through the real engine, in memory: pointers, documents and status, for policies and templates alike."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from cryptography.fernet import Fernet

from support.in_memory import BEGIN, HOME, SYSTEM, Cluster, Operator, settled
from support.wave_rollouts import (
    CLAMP,
    LOCK,
    REST,
    groups,
    happened,
    hearing,
    pointer,
    progress,
    share,
    until,
    voice,
    waves,
)
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    SECRETS,
)


async def test_a_policy_without_a_strategy_reaches_every_group() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.preference("alice", {"agent.voice": "dark"})
    await settled(cluster)
    cluster.policy("lock", LOCK)
    await settled(cluster)
    status = progress(cluster)
    assert (status["phase"], cluster.ready(POLICY_ROLLOUTS, "lock")) == ("Succeeded", ("True", "Succeeded"))
    assert [voice(cluster, g) for g in ("free", "paid")] == ["bright", "bright"]
    assert '"bright"' in (cluster.file("alice") or "")
    assert pointer(cluster, "free") == (2, 2)
    warnings = cluster.find_status("alice")["warnings"]
    assert [(w["key"], w["reason"]) for w in warnings] == [("agent.voice", "Locked")]
    assert "SEC-12" in warnings[0]["message"]
    assert await settled(cluster) == []


async def test_waves_follow_one_another_after_their_soak() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.preference("alice")
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        assert [voice(cluster, g) for g in ("free", "paid")] == ["bright", "calm"]
        assert pointer(cluster, "free") == (2, 1)
        assert progress(cluster)["wave"] == "1/2"
        await until(operator, cluster, "Succeeded")
        await operator.quiet()
    assert [voice(cluster, g) for g in ("free", "paid")] == ["bright", "bright"]
    assert [pointer(cluster, g) for g in ("free", "paid")] == [(2, 2), (2, 2)]
    assert {"WaveStarted", "WaveCompleted", "RolloutCompleted"} <= set(happened(cluster))
    assert await settled(cluster) == []


async def test_what_status_lists_happened_at_the_times_that_it_is_judged_by() -> None:
    cluster, reads = Cluster(), count()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(
        cluster, clock=lambda: BEGIN + asyncio.get_running_loop().time() + next(reads) / 1000
    ) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        status = await until(operator, cluster, "Soaking")

    at = {t["reason"]: t["at"] for t in status["transitions"]}
    assert at["WaveStarted"] == status["waveStartedAt"] == status["startedAt"]
    assert at["SoakStarted"] == status["soakStartedAt"]


async def test_an_abort_brings_every_group_back_and_quarantines_the_content() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        action = cluster.act("Abort", "lock", reason="it smells")
        status = await until(operator, cluster, "RolledBack")
        await operator.quiet()
        assert cluster.ready(ROLLOUT_ACTIONS, action) == ("True", "Accepted")
        assert voice(cluster, "free") == "calm"
        assert [pointer(cluster, g) for g in ("free", "paid")] == [(1, 1), (1, 1)]
        epochs = {
            cluster.find(RENDERED_GROUPS, f"app-{g}")["status"]["operation"]["epoch"]
            for g in ("free", "paid")
        }  # type: ignore[index]
        assert epochs == {status["epoch"]}
    assert await settled(cluster) == []
    assert voice(cluster, "free") == "calm"
    async with Operator(cluster) as operator:
        cluster.act("Retry", "lock")
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
    assert voice(cluster, "free") == "bright"
    assert pointer(cluster, "free") == (2, 1)


async def test_a_share_of_the_users_goes_first_and_only_grows() -> None:
    cluster = Cluster()
    cluster.template(groups())
    for number in range(40):
        cluster.preference(f"user-{number}", {"session.minutes": 5})
    await settled(cluster)
    ten = {"name": "ten", "groups": ["free"], "percent": 10, "soak": "10m"}
    half = {"name": "half", "groups": ["free"], "percent": 50, "soak": "10m"}

    def moved() -> set[str]:
        users = (f"user-{n}" for n in range(40))
        return {u for u in users if '"bright"' in (cluster.file(u) or "")}

    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy={"waves": [ten, half]})
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        first = moved()
        assert 0 < len(first) < 20
        assert voice(cluster, "free") == "calm"
        while progress(cluster)["wave"] != "2/3":  # noqa: ASYNC110 - by clockwork
            await asyncio.sleep(5)
        await until(operator, cluster, "Soaking")
        await asyncio.sleep(REST)
        second = moved()
        assert first < second
        assert len(second) < 40
        assert voice(cluster, "free") == "calm"
        await until(operator, cluster, "Succeeded")
        await operator.quiet()
    assert len(moved()) == 40
    assert voice(cluster, "free") == "bright"
    assert await settled(cluster) == []


async def test_a_share_has_somebody_who_is_served_and_not_one_who_takes_no_changes() -> None:
    cluster = Cluster()
    keys = Keys((Fernet.generate_key(),), b"with which no user is among the first of a hundred")
    place = {"name": KEYS_SECRET, "namespace": SYSTEM}
    cluster.memory.put(SECRETS, {"metadata": place, "data": keys.to_secret()})
    cluster.template(groups())
    for number in range(12):
        cluster.preference(f"user-{number}")
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=share(1, "free", soak="1h"))
        await until(operator, cluster, "Soaking")
        (first,) = hearing(cluster, "bright", 12)
        cluster.act("Abort", "lock")
        await until(operator, cluster, "RolledBack")
        cluster.preference(first, suspend=True)
        cluster.act("Retry", "lock")
        await until(operator, cluster, "Soaking")
        (second,) = hearing(cluster, "bright", 12)
        assert second != first

        cluster.preference(second, suspend=True)
        cluster.preference(first)
        await asyncio.sleep(REST)
        assert hearing(cluster, "bright", 12) == {second}, "who has moved stays"


async def test_a_share_has_somebody_who_may_be_in_the_group() -> None:
    cluster = Cluster("music", "tenant")
    cluster.namespace("tenant", labels={"may": "join"})
    template = groups()
    template["groups"][0]["preferenceNamespaceSelector"] = {"matchLabels": {"may": "join"}}
    template["groups"][0]["maxUsers"] = 2
    cluster.template(template)
    for number in range(12):
        made = {"creationTimestamp": f"2026-01-01T00:00:{number:02}Z"}
        cluster.preference(f"user-{number}", namespace="tenant" if number % 2 else HOME, meta=made)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=share(1, "free", soak="1h"))
        await until(operator, cluster, "Soaking")
        assert len(hearing(cluster, "bright", 12)) == 1

        cluster.namespace("tenant")
        await asyncio.sleep(REST)
        assert hearing(cluster, "bright", 12) == set()
        cluster.namespace("tenant", labels={"may": "join"})
        await asyncio.sleep(REST)
        assert len(hearing(cluster, "bright", 12)) == 1


async def test_a_template_with_a_strategy_rolls_out_by_waves_and_back() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    cluster.preference("alice")
    await settled(cluster)
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    loud = groups(strategy=waves())
    loud["keys"] = [*loud["keys"][:2], {"name": "agent.voice", "type": "String", "default": "loud"}]
    async with Operator(cluster) as operator:
        cluster.template(loud)
        await until(operator, cluster, "Soaking", "app", CONFIG_TEMPLATES)
        await asyncio.sleep(REST)
        assert [voice(cluster, g) for g in ("free", "paid")] == ["loud", "calm"]
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("Unknown", "Soaking")
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(operator, cluster, "RolledBack", "app", CONFIG_TEMPLATES)
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "RolledBack")
        assert [voice(cluster, g) for g in ("free", "paid")] == ["calm", "calm"]
        assert [pointer(cluster, g) for g in ("free", "paid")] == [(1, 1), (1, 1)]
        cluster.template(groups(strategy=waves()))
        await until(operator, cluster, "Succeeded", "app", CONFIG_TEMPLATES)
        await operator.quiet()
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert await settled(cluster) == []


async def test_groups_that_a_template_adds_and_removes_come_and_go_with_their_wave() -> None:
    cluster = Cluster()
    base = groups(strategy=waves())
    cluster.template(base)
    await settled(cluster)
    canary, main = base["groups"]
    async with Operator(cluster) as operator:
        new = {"name": "trial", "labels": {"ring": "main"}}
        cluster.template({**base, "groups": [canary, new]})
        await until(operator, cluster, "Soaking", "app", CONFIG_TEMPLATES)
        await asyncio.sleep(REST)
        assert progress(cluster, "app", CONFIG_TEMPLATES)["wave"] == "1/2"
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"paid"}
        cluster.act("Promote", "app", kind="ConfigTemplate")
        await until(operator, cluster, "Succeeded", "app", CONFIG_TEMPLATES)
        await operator.quiet()
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"trial"}
        cluster.template({**base, "groups": [canary, main, new]})
        await until(operator, cluster, "Soaking", "app", CONFIG_TEMPLATES)
        cluster.act("Abort", "app", kind="ConfigTemplate")
        await until(operator, cluster, "RolledBack", "app", CONFIG_TEMPLATES)
        await operator.quiet()
        assert {g for g in ("paid", "trial") if cluster.find(RENDERED_GROUPS, f"app-{g}")} == {"trial"}
    assert await settled(cluster) == []


async def test_a_strategy_that_is_taken_away_in_mid_flight_moves_everybody_at_once() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    await settled(cluster)
    loud = groups(strategy=waves())
    loud["keys"] = [*loud["keys"][:2], {"name": "agent.voice", "type": "String", "default": "loud"}]
    async with Operator(cluster) as operator:
        cluster.template(loud)
        await until(operator, cluster, "Soaking", "app", CONFIG_TEMPLATES)
        del loud["strategy"]
        cluster.template(loud)
        await operator.quiet()
        assert [voice(cluster, g) for g in ("free", "paid")] == ["loud", "loud"]
        assert "phase" not in progress(cluster, "app", CONFIG_TEMPLATES)
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
        calm = groups(strategy=waves())
        cluster.template(calm)
        await until(operator, cluster, "Soaking", "app", CONFIG_TEMPLATES)
        await asyncio.sleep(REST)
        assert [voice(cluster, g) for g in ("free", "paid")] == ["calm", "loud"]
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("Unknown", "Soaking")


async def test_a_deleted_policy_is_withdrawn_also_while_the_operator_was_down() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    cluster.policy("lock", LOCK)
    cluster.policy("clamp", CLAMP)
    await settled(cluster)
    assert voice(cluster, "free") == "bright"
    cluster.remove(POLICY_ROLLOUTS, "lock")
    await settled(cluster)
    assert voice(cluster, "free") == "calm"
    assert progress(cluster, "clamp")["phase"] == "Succeeded"


async def test_two_rollouts_that_share_a_group_queue() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        cluster.policy("clamp", CLAMP)
        status = await until(operator, cluster, "Waiting", "clamp")
        assert "PolicyRollout lock" in status["message"]
        await until(operator, cluster, "Succeeded", "clamp")
        assert progress(cluster)["phase"] == "Succeeded"
        await operator.quiet()
    policies = cluster.find(RENDERED_GROUPS, "app-free")["status"]["revisions"][0]["policies"]  # type: ignore[index]
    assert [p["name"] for p in policies] == ["clamp", "lock"]


async def test_an_approval_binds_to_the_content_that_was_previewed() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.preference("alice", {"agent.temperature": 1.8})
    await settled(cluster)
    strategy = {"waves": [{"name": "all", "approval": True}]}
    async with Operator(cluster) as operator:
        cluster.policy("clamp", CLAMP, strategy=strategy)
        status = await until(operator, cluster, "AwaitingApproval", "clamp")
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
        await until(operator, cluster, "Succeeded", "clamp")
        await operator.quiet()
    assert '"agent":{"temperature":1.0' in (cluster.file("alice") or "").replace(" ", "").replace("\n", "")


async def test_a_preview_counts_what_its_own_rollout_does_to_users_and_not_what_others_do_already() -> None:
    cluster = Cluster()
    cluster.template(groups())
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


async def test_new_content_in_mid_rollout_starts_again_from_stable() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves())
        await until(operator, cluster, "Soaking")
        other: Body = {"enforced": [{"key": "agent.voice", "value": "dark"}]}
        cluster.policy("lock", other, strategy=waves())
        await asyncio.sleep(REST)
        assert [voice(cluster, g) for g in ("free", "paid")] == ["dark", "calm"]
        assert progress(cluster)["phase"] == "Soaking"
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await asyncio.sleep(REST)
        assert [voice(cluster, g) for g in ("free", "paid")] == ["calm", "calm"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"enforced": [{"key": "agent.voise", "value": "x"}]}, "agent.voice"),
        ({"enforced": [{"key": "agent.temperature", "value": 9}]}, "at most 2"),
        ({}, "is empty"),
    ],
)
async def test_a_policy_that_is_not_valid_is_rejected_and_nothing_moves(policy: Body, said: str) -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    before = cluster.documents()
    cluster.policy("lock", policy)
    await settled(cluster)
    assert progress(cluster)["phase"] == "Rejected"
    assert cluster.ready(POLICY_ROLLOUTS, "lock") == ("False", "Rejected")
    assert said in cluster.message(POLICY_ROLLOUTS, "lock")
    assert cluster.documents() == before


async def test_two_policies_that_contradict_each_other_the_later_one_is_rejected() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("other", {"enforced": [{"key": "agent.voice", "value": "dark"}]})
    await settled(cluster)
    assert progress(cluster, "other")["phase"] == "Rejected"
    assert "PolicyRollout lock" in cluster.message(POLICY_ROLLOUTS, "other")
    assert voice(cluster, "free") == "bright"


async def test_a_template_that_does_not_fit_the_policies_in_force_is_rejected() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    without = groups()
    without["keys"] = without["keys"][:2]
    cluster.template(without)
    await settled(cluster)
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Rejected")
    assert voice(cluster, "free") == "bright"


async def test_snapshots_are_kept_while_somebody_may_serve_them_and_pruned_after() -> None:
    cluster = Cluster()
    cluster.template(groups(revisionHistoryLimit=1))
    await settled(cluster)
    for value in ("one", "two", "three"):
        cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": value}]})
        await settled(cluster)
    await settled(cluster)
    names = [b["metadata"]["name"] for b in cluster.memory.objects(CONTROLLER_REVISIONS)]
    status = progress(cluster)
    assert status["stable"]["snapshot"] in names
    assert status["previous"]["snapshot"] in names
    assert len([n for n in names if "policy" in n]) == 2


async def test_undo_returns_to_what_was_stable_before() -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
    cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": "dark"}]})
    await settled(cluster)
    assert voice(cluster, "free") == "dark"
    action = cluster.act("Undo", "lock")
    await settled(cluster)
    assert cluster.ready(ROLLOUT_ACTIONS, action) == ("True", "Accepted")
    assert progress(cluster)["phase"] == "RolledBack"
    assert voice(cluster, "free") == "bright"
    assert await settled(cluster) == []


async def test_an_action_on_nothing_is_refused() -> None:
    cluster = Cluster()
    cluster.template(groups())
    missing = cluster.act("Pause", "nobody")
    direct = cluster.act("Pause", "app", kind="ConfigTemplate")
    await settled(cluster)
    assert cluster.ready(ROLLOUT_ACTIONS, missing) == ("False", "Refused")
    assert cluster.ready(ROLLOUT_ACTIONS, direct) == ("False", "Refused")


async def test_keys_are_rotated_on_request_and_older_content_still_opens() -> None:
    cluster = Cluster()
    secret = {"name": "token", "type": "String", "sensitive": True, "default": "canary"}
    cluster.template(groups(keys=[*groups()["keys"], secret]))
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


async def test_a_preview_is_worked_out_anew_when_what_its_effects_follow_from_changes() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    strategy = {"waves": [{"name": "all", "approval": True}]}
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=strategy, groups=["free"])
        await until(operator, cluster, "AwaitingApproval")
        before = progress(cluster)["preview"]

        cluster.policy("lock", LOCK, strategy=strategy, groups=["paid"])
        await operator.quiet()
        moved = progress(cluster)["preview"]
        cluster.policy("elsewhere", CLAMP, groups=["free"])
        await until(operator, cluster, "Succeeded", "elsewhere")
        assert progress(cluster)["preview"] == moved
        template = groups()
        cluster.template(
            template | {"groups": [g | {"values": {"agent.voice": "soft"}} for g in template["groups"]]}
        )
        await operator.quiet()
        edited = progress(cluster)["preview"]

    assert {s["group"] for s in before["samples"]} == {"free"}
    assert {s["group"] for s in moved["samples"]} == {"paid"}
    assert len({p["basis"] for p in (before, moved, edited)}) == 3
    assert any(s["old"] == '"soft"' for s in edited["samples"])


@pytest.mark.parametrize("names", [("x-zz9", "x-aa1"), ("x-aa1", "x-zz9")])
async def test_actions_of_one_second_are_taken_in_the_order_in_which_they_were_made(
    names: tuple[str, str],
) -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(operator, cluster, "Soaking")
        reference = {"kind": "PolicyRollout", "name": "lock"}
        for name, action in zip(names, ("Pause", "Resume"), strict=True):
            spec = {"rolloutRef": reference, "action": action, "requester": "ann"}
            cluster.memory.put(ROLLOUT_ACTIONS, {"metadata": {"name": name, "namespace": HOME}, "spec": spec})
        await asyncio.sleep(REST)

        assert progress(cluster)["phase"] == "Soaking"
        assert [cluster.ready(ROLLOUT_ACTIONS, name) for name in names] == [("True", "Accepted")] * 2
