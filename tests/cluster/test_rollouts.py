"""A policy reaches its groups wave by wave, and goes no further than people and gates let it.

Waves that are looked at are watched for an hour; whoever has looked promotes them.
"""

from __future__ import annotations

import datetime
import json

from support.cluster_fixtures import Arena, Place
from support.live_objects import Body, wait_for
from support.manifests import API_VERSION, enforce, minutes, policy, template, wave, waves
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, freeze_now, given


def test_kubectl_alone_drives_a_whole_rollout(operator: Operator, arena: Arena, place: Place) -> None:
    def kubectl(*args: str, body: Body | None = None) -> str:
        said = arena.kubectl(*args, "-n", place.name, input=json.dumps(body) if body else None)
        return str(said.stdout).strip()

    # given: a template, and a policy that wants an approval before its second wave
    strategy = waves(wave("canary", "free", soak="1s"), wave("all", approval=True))
    kubectl("apply", "-f", "-", body=template(place.name))
    kubectl("wait", "ctmpl/app", "--for=condition=Ready", "--timeout=90s")
    kubectl("apply", "-f", "-", body=policy(place.name, strategy=strategy))

    # when: its first wave is through
    kubectl("wait", "prollout/calmer", "--for=jsonpath={.status.phase}=AwaitingApproval", "--timeout=90s")
    assert "AwaitingApproval" in kubectl("get", "prollout", "calmer")
    kubectl("wait", "prollout/calmer", "--for=jsonpath={.status.updated}=1/2", "--timeout=90s")

    # then: the columns say where it is and what is to be done
    head, row = kubectl("get", "prollout", "calmer").splitlines()
    assert head.split() == ["NAME", "TEMPLATE", "PHASE", "WAVE", "UPDATED", "READY", "AGE"]
    assert row.split()[:6] == ["calmer", "app", "AwaitingApproval", "2/2", "1/2", "Unknown"]
    assert "waits for somebody to approve content" in kubectl("get", "prollout", "calmer", "-o", "wide")
    assert [place.document(g)["session"]["minutes"] for g in ("free", "pro")] == [25, 120]

    # when: somebody approves what the preview is of
    previewed = kubectl("get", "prollout/calmer", "-o", "jsonpath={.status.preview.hash}")
    whoami = arena.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").stdout
    approval = {
        "apiVersion": API_VERSION,
        "kind": "RolloutAction",
        "metadata": {"generateName": "approve-"},
        "spec": {
            "rolloutRef": {"kind": "PolicyRollout", "name": "calmer"},
            "action": "Approve",
            "contentHash": previewed,
            "requester": whoami,
            "reason": "looked at it",
        },
    }
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
    place.serves(NEW, "free", "pro")
    events = kubectl("events", "--for", "prollout/calmer", "-o", "json")
    reasons = [e["reason"] for e in json.loads(events)["items"]]
    assert sorted(reasons) == sorted(place.told())
    assert {
        "RevisionCreated",
        "PreviewReady",
        "ApprovalRequested",
        "RolloutApproved",
        "RolloutCompleted",
    } <= {*reasons}

    # and when it is deleted, its policy is withdrawn
    kubectl("delete", "prollout", "calmer")
    place.serves(OLD_FREE, "free")
    place.serves(OLD_PRO, "pro")


def test_a_wave_starts_when_the_one_before_it_was_watched_for_its_soak(
    operator: Operator, place: Place
) -> None:
    given(place)
    groups = [wave("first", "pro", soak="1s"), wave("second", "free", soak="2s")]
    place.policy(strategy=waves(*groups))
    place.reach("Succeeded")
    happened = list(reversed(place.progress()["transitions"]))
    assert [t["reason"] for t in happened] == [
        *("RevisionCreated", "PreviewReady"),
        *("WaveStarted", "SoakStarted", "WaveCompleted"),
        *("WaveStarted", "SoakStarted", "WaveCompleted"),
        "RolloutCompleted",
    ]
    told = [t["message"] for t in happened if t["reason"] == "WaveStarted"]
    assert told == ["wave first starts: 1 of 2", "wave second starts: 2 of 2"]
    at = [datetime.datetime.fromisoformat(t["at"]) for t in happened]
    assert at == sorted(at)
    assert at[4] - at[3] >= datetime.timedelta(seconds=1)
    assert at[7] - at[6] >= datetime.timedelta(seconds=2)


def test_a_wave_moves_its_groups_alone_and_status_says_what_would_change(
    operator: Operator, place: Place
) -> None:
    given(place, users=4)
    before = place.one("ConfigMap", "app-pro")
    place.policy(strategy=waves())
    status = place.reach("Soaking", wave="1/2", updated="1/2")
    place.serves(NEW, "free")
    assert place.one("ConfigMap", "app-pro") == before
    assert [place.user(f"user-{n}", g)["session"]["minutes"] for n, g in ((0, "free"), (1, "pro"))] == [
        25,
        120,
    ]
    assert (place.pointer("free")["currentRevision"], place.pointer("free")["stableRevision"]) == (2, 1)
    assert place.pointer("pro")["currentRevision"] == 1
    preview = status["preview"]
    assert {k: preview[k] for k in ("groups", "changedGroups", "users", "changedUsers", "keys")} == {
        "groups": 2, "changedGroups": 2, "users": 4, "changedUsers": 4, "keys": ["session.minutes"],
    }  # fmt: skip
    assert {(s["group"], s["old"], s["new"]) for s in preview["samples"]} == {
        ("free", "30", "25"),
        ("pro", "120", "25"),
    }
    assert preview["hash"] == status["target"]["hash"]

    assert place.act("promote") == "wave canary is promoted"
    place.reach("Succeeded", updated="2/2")
    place.serves(NEW, "free", "pro")
    for group in ("free", "pro"):
        wait_for(
            lambda group=group: place.pointer(group).get("stableRevision") == 2, f"{group} is stable on it"
        )


def test_a_freeze_holds_what_starts_and_never_what_goes_back(operator: Operator, place: Place) -> None:
    given(place)
    frozen = waves(freezes=[freeze_now()])
    place.policy(strategy=frozen)
    status = place.reach("Waiting")
    assert "fair week" in status["message"]
    assert status["wave"] == "0/2"
    operator.quiet()
    place.serves(OLD_FREE, "free")
    # whoever may promote is not held by it; a rollback is not either
    place.act("promote")
    place.reach("Soaking")
    place.serves(NEW, "free")
    place.act("promote")
    assert "fair week" in place.reach("Waiting", wave="2/2")["message"]
    place.act("abort")
    place.reach("RolledBack")
    place.serves(OLD_FREE, "free")
    place.serves(OLD_PRO, "pro")


def test_two_rollouts_that_share_a_group_go_one_after_the_other(operator: Operator, place: Place) -> None:
    given(place)
    place.policy("first", strategy=waves())
    place.reach("Soaking", "first")
    greeting = enforce("session.greeting", "welcome")
    place.policy("second", greeting)
    place.policy("elsewhere", enforce("agent.temperature", 0.1), groups=["pro"])
    for name in ("second", "elsewhere"):
        assert "PolicyRollout first is under way in group" in place.reach("Waiting", name)["message"]
    assert "PolicyRollout first" in place.refused("promote", "second")
    assert place.document("free")["session"]["greeting"] == "hello"
    place.act("promote", "first")
    for name in ("first", "second", "elsewhere"):
        place.reach("Succeeded", name)
    place.serves({**NEW, "session.greeting": "welcome", "agent.temperature": 0.7}, "free")
    place.serves({**NEW, "session.greeting": "welcome", "agent.temperature": 0.1}, "pro")


def test_new_content_in_mid_flight_starts_again_from_what_is_stable(operator: Operator, place: Place) -> None:
    given(place)
    place.policy(strategy=waves())
    place.reach("Soaking")
    place.serves(NEW, "free")
    place.policy(says=enforce("session.greeting", "welcome"), strategy=waves())
    status = place.reach("Soaking", attempt=2, wave="1/2")
    place.serves({**OLD_FREE, "session.greeting": "welcome"}, "free")
    place.serves({**OLD_PRO, "session.greeting": "hello"}, "pro")
    assert "RolloutSuperseded" in place.told()
    assert not status.get("quarantine"), "it has not failed"
    place.act("promote")
    place.reach("Succeeded")
    # and back to what is stable is a fast way back
    place.policy(says=minutes(26), strategy=waves())
    place.reach("Soaking")
    place.policy(says=enforce("session.greeting", "welcome"), strategy=waves())
    place.reach("Succeeded")
    place.serves({**OLD_FREE, "session.greeting": "welcome"}, "free")


def test_a_share_of_the_users_moves_first_and_only_grows(operator: Operator, place: Place) -> None:
    users = {f"user-{number}" for number in range(0, 24, 2)}

    def moved() -> set[str]:
        return {user for user in users if place.user(user)["session"]["minutes"] == 25}

    given(place, users=24)
    shares = [wave("one", "free", percent=1, soak="1h"), wave("half", "free", percent=50, soak="1h")]
    place.policy(strategy=waves(*shares))
    place.reach("Soaking", wave="1/3")
    wait_for(moved, "somebody has moved")
    operator.quiet()
    first = moved()
    assert len(first) == 1, "one percent of twelve is one user"
    place.serves(OLD_FREE, "free")
    place.act("promote")
    place.reach("Soaking", wave="2/3")
    wait_for(lambda: first < moved(), "more have moved")
    operator.quiet()
    second = moved()
    assert first < second < users
    place.serves(OLD_FREE, "free")
    place.preference("user-0", {"session.greeting": "edited"})
    place.wait_user("user-0", {"session.greeting": "edited"})
    assert moved() == second, "whoever has moved stays there, and nobody else follows for an edit"
    place.act("promote")
    place.reach("Succeeded")
    wait_for(lambda: moved() == users, "all have moved")
    place.serves(NEW, "free", "pro")


def test_a_policy_whose_scope_changes_is_taken_from_whom_it_is_for_no_more(
    operator: Operator, place: Place
) -> None:
    given(place)
    place.policy(groups=["pro"])
    place.reach("Succeeded", updated="1/1")
    place.serves(NEW, "pro")
    place.serves(OLD_FREE, "free")
    place.policy(strategy=waves(), groups=["free"])
    place.reach("Soaking", updated="1/2")
    place.serves(NEW, "free", "pro")
    place.act("promote")
    place.reach("Succeeded", updated="2/2")
    place.serves(NEW, "free")
    place.serves(OLD_PRO, "pro")


def test_rollouts_of_different_groups_go_on_side_by_side_and_the_higher_priority_wins(
    operator: Operator, place: Place
) -> None:
    given(place)
    place.policy("ours", strategy=waves(), groups=["free"])
    other = wave("all", "pro", soak="1h")
    place.policy("theirs", minutes(26), strategy=waves(other), groups=["pro"])
    for name in ("ours", "theirs"):
        place.reach("Soaking", name)
    place.serves(NEW, "free")
    place.serves({"session.minutes": 26}, "pro")
    for name in ("ours", "theirs"):
        place.act("promote", name)
        place.reach("Succeeded", name)
    place.policy("incident", minutes(5), priority=1000)
    place.reach("Succeeded", "incident")
    place.serves({"session.minutes": 5}, "free", "pro")
    place.drop("PolicyRollout", "incident")
    place.serves(NEW, "free")
    place.serves({"session.minutes": 26}, "pro")
