"""A policy reaches its groups wave by wave, and no further than approvals and gates allow.

Waves that are looked at are watched for an hour; whoever has looked promotes them.
"""

from __future__ import annotations

import datetime
import json

from support.live_objects import Body, wait_for
from support.manifests import action, enforce, minutes, policy, template, wave, waves
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, freeze_now, given


def test_a_whole_rollout_is_driven_by_kubectl(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    def kubectl(*args: str, body: Body | None = None) -> str:
        said = operator_cluster.kubectl(*args, "-n", ns.name, input=json.dumps(body) if body else None)
        return str(said.stdout).strip()

    # given: a template, and a policy that wants an approval before its second wave
    strategy = waves(wave("canary", "free", soak="1s"), wave("all", approval=True))
    kubectl("apply", "-f", "-", body=template(ns.name))
    kubectl("wait", "ctmpl/app", "--for=condition=Ready", "--timeout=90s")
    kubectl("apply", "-f", "-", body=policy(ns.name, strategy=strategy))

    # when: its first wave is through
    kubectl("wait", "prollout/calmer", "--for=jsonpath={.status.phase}=AwaitingApproval", "--timeout=90s")
    assert "AwaitingApproval" in kubectl("get", "prollout", "calmer")
    kubectl("wait", "prollout/calmer", "--for=jsonpath={.status.updated}=1/2", "--timeout=90s")

    # then: the columns say where it is and what is to be done
    head, row = kubectl("get", "prollout", "calmer").splitlines()
    assert head.split() == ["NAME", "TEMPLATE", "PHASE", "WAVE", "UPDATED", "READY", "AGE"]
    assert row.split()[:6] == ["calmer", "app", "AwaitingApproval", "2/2", "1/2", "Unknown"]
    assert "requires approval of content" in kubectl("get", "prollout", "calmer", "-o", "wide")
    assert [ns.document(g)["session"]["minutes"] for g in ("free", "pro")] == [25, 120]

    # when: somebody approves what the preview is of
    previewed = kubectl("get", "prollout/calmer", "-o", "jsonpath={.status.preview.hash}")
    whoami = operator_cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout
    approval = action(ns.name, "approve", whoami, contentHash=previewed, reason="looked at it")
    approved = kubectl("create", "-f", "-", "-o", "name", body=approval)
    kubectl("wait", approved, "--for=condition=Ready", "--timeout=90s")
    kubectl("wait", "prollout/calmer", "--for=condition=Ready", "--timeout=90s")

    # then: every group serves it, and Events tell the story
    assert kubectl("get", "prollout", "calmer").splitlines()[1].split()[2:6] == [
        "Succeeded",
        "2/2",
        "2/2",
        "True",
    ]
    ns.serves(NEW, "free", "pro")
    events = kubectl("events", "--for", "prollout/calmer", "-o", "json")
    reasons = [e["reason"] for e in json.loads(events)["items"]]
    assert sorted(reasons) == sorted(ns.told())
    assert {
        "RevisionCreated",
        "PreviewReady",
        "ApprovalRequested",
        "RolloutApproved",
        "RolloutCompleted",
    } <= {*reasons}

    # and when it is deleted, its policy is withdrawn
    kubectl("delete", "prollout", "calmer")
    ns.serves(OLD_FREE, "free")
    ns.serves(OLD_PRO, "pro")


def test_a_wave_starts_when_the_previous_one_has_soaked(operator: Operator, ns: Namespace) -> None:
    given(ns)

    groups = [wave("first", "pro", soak="1s"), wave("second", "free", soak="2s")]
    ns.policy(strategy=waves(*groups))
    ns.reach("Succeeded")
    happened = list(reversed(ns.progress()["transitions"]))
    assert [t["reason"] for t in happened] == [
        *("RevisionCreated", "PreviewReady"),
        *("WaveStarted", "SoakStarted", "WaveCompleted"),
        *("WaveStarted", "SoakStarted", "WaveCompleted"),
        "RolloutCompleted",
    ]

    told = [t["message"] for t in happened if t["reason"] == "WaveStarted"]
    assert told == ["Wave first started: 1 of 2", "Wave second started: 2 of 2"]

    at = [datetime.datetime.fromisoformat(t["at"]) for t in happened]
    assert at == sorted(at)
    assert at[4] - at[3] >= datetime.timedelta(seconds=1)
    assert at[7] - at[6] >= datetime.timedelta(seconds=2)


def test_a_wave_updates_only_its_groups_and_status_shows_what_would_change(
    operator: Operator, ns: Namespace
) -> None:
    given(ns, users=4)
    before = ns.one("ConfigMap", "app-pro")
    ns.policy(strategy=waves())
    status = ns.reach("Soaking", wave="1/2", updated="1/2")
    ns.serves(NEW, "free")
    assert ns.one("ConfigMap", "app-pro") == before
    assert [ns.user(f"user-{n}", g)["session"]["minutes"] for n, g in ((0, "free"), (1, "pro"))] == [
        25,
        120,
    ]
    assert (ns.pointer("free")["currentRevision"], ns.pointer("free")["stableRevision"]) == (2, 1)
    assert ns.pointer("pro")["currentRevision"] == 1
    preview = status["preview"]
    assert {k: preview[k] for k in ("groups", "changedGroups", "users", "changedUsers", "keys")} == {
        "groups": 2, "changedGroups": 2, "users": 4, "changedUsers": 4, "keys": ["session.minutes"],
    }  # fmt: skip
    assert {(s["group"], s["old"], s["new"]) for s in preview["samples"]} == {
        ("free", "30", "25"),
        ("pro", "120", "25"),
    }
    assert preview["hash"] == status["target"]["hash"]

    assert ns.act("promote") == "Wave canary is promoted"
    ns.reach("Succeeded", updated="2/2")
    ns.serves(NEW, "free", "pro")
    for group in ("free", "pro"):
        wait_for(lambda group=group: ns.pointer(group).get("stableRevision") == 2, f"{group} is stable on it")


def test_a_freeze_delays_starts_and_never_a_rollback(operator: Operator, ns: Namespace) -> None:
    given(ns)

    frozen = waves(freezes=[freeze_now()])
    ns.policy(strategy=frozen)
    status = ns.reach("Waiting")
    assert "fair week" in status["message"]
    assert status["wave"] == "0/2"

    operator.quiet()
    ns.serves(OLD_FREE, "free")
    # whoever may promote is not held by it; a rollback is not either
    ns.act("promote")
    ns.reach("Soaking")
    ns.serves(NEW, "free")
    ns.act("promote")
    assert "fair week" in ns.reach("Waiting", wave="2/2")["message"]

    ns.act("abort")
    ns.reach("RolledBack")
    ns.serves(OLD_FREE, "free")
    ns.serves(OLD_PRO, "pro")


def test_two_rollouts_that_share_a_group_go_one_after_the_other(operator: Operator, ns: Namespace) -> None:
    given(ns)

    ns.policy("first", strategy=waves())
    ns.reach("Soaking", "first")
    greeting = enforce("session.greeting", "welcome")
    ns.policy("second", greeting)
    ns.policy("elsewhere", enforce("agent.temperature", 0.1), groups=["pro"])
    for name in ("second", "elsewhere"):
        assert "PolicyRollout first is in progress in group" in ns.reach("Waiting", name)["message"]
    assert "PolicyRollout first" in ns.refused("promote", "second")
    assert ns.document("free")["session"]["greeting"] == "hello"

    ns.act("promote", "first")
    for name in ("first", "second", "elsewhere"):
        ns.reach("Succeeded", name)
    ns.serves({**NEW, "session.greeting": "welcome", "agent.temperature": 0.7}, "free")
    ns.serves({**NEW, "session.greeting": "welcome", "agent.temperature": 0.1}, "pro")


def test_new_content_during_a_rollout_restarts_from_stable(operator: Operator, ns: Namespace) -> None:
    given(ns)

    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.serves(NEW, "free")
    ns.policy(content=enforce("session.greeting", "welcome"), strategy=waves())
    status = ns.reach("Soaking", attempt=2, wave="1/2")
    ns.serves({**OLD_FREE, "session.greeting": "welcome"}, "free")
    ns.serves({**OLD_PRO, "session.greeting": "hello"}, "pro")
    assert "RolloutSuperseded" in ns.told()
    assert not status.get("quarantine"), "it has not failed"

    ns.act("promote")
    ns.reach("Succeeded")
    # and back to what is stable is a fast way back
    ns.policy(content=minutes(26), strategy=waves())
    ns.reach("Soaking")
    ns.policy(content=enforce("session.greeting", "welcome"), strategy=waves())
    ns.reach("Succeeded")
    ns.serves({**OLD_FREE, "session.greeting": "welcome"}, "free")


def test_a_share_of_the_users_moves_first_and_only_grows(operator: Operator, ns: Namespace) -> None:
    users = {f"user-{number}" for number in range(0, 24, 2)}

    def moved() -> set[str]:
        return {user for user in users if ns.user(user)["session"]["minutes"] == 25}

    given(ns, users=24)
    shares = [wave("one", "free", percent=1, soak="1h"), wave("half", "free", percent=50, soak="1h")]
    ns.policy(strategy=waves(*shares))
    ns.reach("Soaking", wave="1/3")
    wait_for(moved, "somebody has moved")
    operator.quiet()
    first = moved()
    assert len(first) == 1, "one percent of twelve is one user"
    ns.serves(OLD_FREE, "free")
    ns.act("promote")
    ns.reach("Soaking", wave="2/3")
    wait_for(lambda: first < moved(), "more have moved")
    operator.quiet()
    second = moved()
    assert first < second < users
    ns.serves(OLD_FREE, "free")
    ns.preference("user-0", {"session.greeting": "edited"})
    ns.wait_user("user-0", {"session.greeting": "edited"})
    assert moved() == second, "whoever has moved stays there, and nobody else follows for an edit"
    ns.act("promote")
    ns.reach("Succeeded")
    wait_for(lambda: moved() == users, "all have moved")
    ns.serves(NEW, "free", "pro")


def test_a_policy_whose_scope_changes_is_removed_from_groups_outside_of_it(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    ns.policy(groups=["pro"])
    ns.reach("Succeeded", updated="1/1")
    ns.serves(NEW, "pro")
    ns.serves(OLD_FREE, "free")
    ns.policy(strategy=waves(), groups=["free"])
    ns.reach("Soaking", updated="1/2")
    ns.serves(NEW, "free", "pro")
    ns.act("promote")
    ns.reach("Succeeded", updated="2/2")
    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")


def test_rollouts_of_different_groups_run_concurrently_and_the_higher_priority_wins(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    ns.policy("ours", strategy=waves(), groups=["free"])
    other = wave("all", "pro", soak="1h")
    ns.policy("theirs", minutes(26), strategy=waves(other), groups=["pro"])
    for name in ("ours", "theirs"):
        ns.reach("Soaking", name)
    ns.serves(NEW, "free")
    ns.serves({"session.minutes": 26}, "pro")
    for name in ("ours", "theirs"):
        ns.act("promote", name)
        ns.reach("Succeeded", name)
    ns.policy("incident", minutes(5), priority=1000)
    ns.reach("Succeeded", "incident")
    ns.serves({"session.minutes": 5}, "free", "pro")
    ns.drop("PolicyRollout", "incident")
    ns.serves(NEW, "free")
    ns.serves({"session.minutes": 26}, "pro")
