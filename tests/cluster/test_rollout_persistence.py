"""The state of a rollout is in the cluster: it outlives the operator, is reported once, and contains nothing
sensitive."""

from __future__ import annotations

import base64
import json
from collections import Counter

from support.live_objects import KINDS, Body, wait_for
from support.manifests import APP, KEYS, PREFS, enforce, minutes, policy, wave, waves
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO, given

CANARY = "canary-5f2b1c9d"
TRANSITIONS = "trimtab_rollout_transitions_total"


def test_quarantine_survives_a_restart_and_every_sync_of_the_same_manifest(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.act("abort", reason="it smells")
    before = ns.reach("RolledBack")
    ns.serves(OLD_FREE, "free")
    # a sync applies it again, with another annotation; another one makes it anew
    ns.policy(strategy=waves())
    again = policy(ns.name, strategy=waves())
    again["metadata"]["annotations"] = {"sync": "2"}
    ns.api.apply(again)
    operator.quiet()
    assert ns.progress() == before

    operator.restart().quiet()
    assert ns.progress() == before

    ns.policy(strategy=waves(wave("canary", "pro", soak="1s")))
    ns.reach("RolledBack")
    operator.quiet()
    ns.serves(OLD_FREE, "free")
    ns.serves(OLD_PRO, "pro")


def test_a_rollout_continues_where_it_was_whenever_the_operator_stops(
    operator: Operator, ns: Namespace
) -> None:
    given(ns)

    # while it waits, is watched, is paused, has ended
    ns.policy(strategy=waves(wave("canary", "free", soak="1h", approval=True)))
    hashed = ns.reach("AwaitingApproval")["preview"]["hash"]
    operator.restart()
    ns.act("approve", contentHash=hashed)
    before = ns.reach("Soaking")
    operator.kill()
    ns.operator_cluster.release_lease()
    ns.ask("pause")  # while nobody is there
    operator.start().acting()
    after = ns.reach("Paused")
    assert [after[k] for k in ("attempt", "epoch", "wave", "startedAt")] == [
        before[k] for k in ("attempt", "epoch", "wave", "startedAt")
    ]

    ns.serves(NEW, "free")
    ns.serves(OLD_PRO, "pro")
    operator.restart()
    ns.act("promote")
    done = ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    operator.quiet()
    outputs = ns.outputs()
    operator.restart().quiet()
    assert ns.progress() == done
    assert ns.outputs() == outputs


def test_deletion_withdraws_from_every_state_and_while_no_operator_runs(
    operator: Operator, ns: Namespace
) -> None:
    given(ns, users=2)
    before = {name: ns.data(name) for name in ("app-free", "app-pro")}

    def withdrawn() -> None:
        ns.drop("PolicyRollout", "calmer")
        wait_for(lambda: {name: ns.data(name) for name in before} == before, "its policy is withdrawn")
        ns.wait_user("user-0", OLD_FREE)

    # in mid-flight
    ns.policy(strategy=waves())
    ns.reach("Soaking")
    ns.policy("other", enforce("session.greeting", "welcome"))
    ns.reach("Waiting", "other")
    ns.serves(NEW, "free")
    ns.drop("PolicyRollout", "other")
    withdrawn()
    # of which a share of the users had something
    ns.policy(strategy=waves(wave("some", "free", percent=50, soak="1h")))
    ns.reach("Soaking")
    ns.wait_user("user-0", NEW)
    withdrawn()
    # once it is in force, while the operator is down
    ns.policy()
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")
    assert operator.stop() == 0
    ns.drop("PolicyRollout", "calmer")
    operator.start().acting()
    wait_for(lambda: {name: ns.data(name) for name in before} == before, "its policy is withdrawn")
    ns.wait_user("user-0", OLD_FREE)
    # and one of that name begins anew
    ns.policy(strategy=waves())
    assert ns.reach("Soaking")["attempt"] == 1


def test_each_transition_is_reported_once_as_an_event_an_audit_line_and_a_count(
    operator: Operator, ns: Namespace
) -> None:
    def counted() -> Counter[str]:
        return Counter({k: int(v) for k, v in operator.metrics().items() if k.startswith(f"{TRANSITIONS}{{")})

    given(ns)
    operator.quiet()
    since = counted()
    ns.policy(strategy=waves(wave("canary", "free", soak="1h", approval=True)))
    hashed = ns.reach("AwaitingApproval")["preview"]["hash"]
    ns.act("approve", contentHash=hashed, reason="looked at it")
    ns.reach("Soaking")
    ns.act("abort", reason="it smells")
    found = ns.reach("RolledBack")
    operator.quiet()
    told = [(t["reason"], t.get("by") or "trimtab", t["message"]) for t in reversed(found["transitions"])]
    uid = ns.one("PolicyRollout", "calmer")["metadata"]["uid"]
    assert [t["number"] for t in reversed(found["transitions"])] == list(range(1, len(told) + 1))

    # then: an audit line for each, in order: who, what, when, why, from, to
    lines = [r for r in operator.records() if r.get("audit") and r.get("uid") == uid]
    assert [(line["what"], line["by"], line["why"]) for line in lines] == told
    admin = ns.operator_cluster.admin
    assert {(what, by) for what, by, _ in told} >= {("RolloutApproved", admin), ("RolloutAborted", admin)}
    assert all(line["at"] and line["phase"] and {"before", "after"} <= line.keys() for line in lines)

    # and one more of each in the counts, and an Event for each
    more = counted() - since
    label = f'{TRANSITIONS}{{kind="PolicyRollout",reason="%s"}}'
    assert more == Counter(label % reason for reason, _, _ in told)

    def events() -> list[Body]:
        return [e for e in ns.api.list("Event", ns.name) if e["involvedObject"].get("uid") == uid]

    assert Counter(e["reason"] for e in events()) == Counter(reason for reason, _, _ in told)
    assert {e["reason"] for e in events() if e["type"] == "Warning"} == {
        *("RolloutAborted", "RollbackStarted", "RevisionQuarantined")
    }
    # and a restart tells nothing again
    names = {e["metadata"]["name"] for e in events()}
    operator.restart().quiet()
    assert {e["metadata"]["name"] for e in events()} == names
    assert [r for r in operator.records() if r.get("audit")] == []


def test_a_sensitive_value_that_a_policy_enforces_is_only_in_secrets(
    operators: OperatorCluster, ns: Namespace
) -> None:
    def leaks() -> list[str]:
        """Where it can be read without reading a Secret or what its author wrote."""
        found = []
        for kind in KINDS:
            for item in ns.api.list(kind, ns.name if kind != "Namespace" else None):
                if kind == "Secret":
                    item = {**item, "data": None}
                elif kind in ("PolicyRollout", "ConfigTemplate"):
                    item = {**item, "spec": None}
                if CANARY in json.dumps(item):
                    found.append(f"{kind} {item['metadata']['name']}")
        for place_, text in (("the log", operator.text()), ("/metrics", operator.http("/metrics")[1])):
            if CANARY in text:
                found.append(place_)
        return found

    def secret(group: str) -> str:
        data = ns.one("Secret", f"app-{group}")["data"]
        return str(json.loads(base64.b64decode(data["creds.json"]))["api"]["token"])

    # given: a policy that enforces it, and an operator that says all that it can
    operator = operators.operator("talkative", "--log-level", "debug").start().acting()
    token = {
        "name": "api.token",
        "type": "String",
        "sensitive": True,
        "default": f"{CANARY}-old",
        "pattern": "^c",
    }
    creds = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}
    given(ns, users=2, keys=[*KEYS, token], outputs=[APP, PREFS, creds])
    both = {
        "enforced": [
            {"key": "api.token", "value": f"{CANARY}-new", "reason": "SEC-12"},
            *minutes(25)["enforced"],
        ]
    }
    ns.policy(content=both, strategy=waves(wave("canary", "free", soak="1h", approval=True)))

    # when: it goes through all that a rollout may go through
    status = ns.reach("AwaitingApproval")
    assert {s["new"] for s in status["preview"]["samples"] if s["key"] == "api.token"} == {"(sensitive)"}
    ns.act("approve", contentHash=status["preview"]["hash"])
    ns.reach("Soaking")
    wait_for(lambda: secret("free") == f"{CANARY}-new", "it is in the Secret")
    assert secret("pro") == f"{CANARY}-old"
    ns.act("abort")
    ns.reach("RolledBack")
    wait_for(lambda: secret("free") == f"{CANARY}-old", "what was is in the Secret")
    ns.act("retry")
    ns.act("approve", contentHash=ns.reach("AwaitingApproval")["preview"]["hash"])
    ns.reach("Soaking")
    ns.act("promote")
    ns.reach("Succeeded")
    wait_for(lambda: secret("free") == secret("pro") == f"{CANARY}-new", "it is in the Secrets")

    # and others contradict it, forbid it, or say it wrongly
    ns.policy("rival", enforce("api.token", f"{CANARY}-rival"))
    ns.policy("limit", {"constraints": [{"key": "api.token", "notPattern": f"^{CANARY}"}]})
    ns.policy("misfit", enforce("api.token", f"X{CANARY}-does-not-match"))
    ns.policy("typo", enforce("api.token", {"value": CANARY}))
    for name in ("rival", "limit", "misfit", "typo"):
        ns.reach("Rejected", name)

    # then: it is nowhere else
    operator.quiet()
    assert leaks() == []
