"""Workloads restart for keys that require it, a wave waits for their health, and content that crashes them is rolled
back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.crashing_pods import BadConfig
from support.live_objects import Body, wait_for
from support.manifests import KEYS, enforce, minutes, wave, waves, workload
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO

DIGEST = "trimtab.dev/digest"
CANARY = waves(wave("canary", "free", soak="1s"))
HELLO: Body = {"agent.temperature": 0.7, "agent.provider": "openai", "session.greeting": "hello"}
"""What the group free serves, but for the length of sessions."""
QUIET_KEYS = [*KEYS[:3], {**KEYS[3], "reload": "None"}]


class Shop:
    """A template with a workload for each of its groups, all of them running."""

    def __init__(self, ns: Namespace, kind: str, **spec: Any) -> None:
        self.ns, self.kind = ns, kind
        for group in ("free", "pro"):
            ns.api.apply(workload(kind, ns.name, group))
        ns.template(groups=_groups(kind), **spec)
        ns.rendered()
        for group in ("free", "pro"):
            wait_for(lambda group=group: self.digest(group), f"{group} is stamped")
        self.healthy()

    def workload(self, group: str) -> Body:
        return self.ns.one(self.kind, group)

    def digest(self, group: str) -> str:
        """What the group's pods are for."""
        found = self.workload(group)["spec"]["template"]["metadata"].get("annotations") or {}
        return str(found.get(DIGEST) or "")

    def generations(self) -> dict[str, int]:
        return {group: self.workload(group)["metadata"]["generation"] for group in ("free", "pro")}

    def healthy(self, *groups: str) -> None:
        """Wait until all pods are of the revision that is served, and ready."""

        def look(group: str) -> bool:
            found = self.workload(group)
            status = found.get("status") or {}
            counts = [status.get(n) for n in ("replicas", "updatedReplicas", "readyReplicas")]
            return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [2, 2, 2]

        for group in groups or ("free", "pro"):
            wait_for(lambda group=group: look(group), lambda group=group: str(self.workload(group)["status"]))

    def pods(self, group: str) -> dict[str, str]:
        """The digests of a group's pods, by name."""
        pods = self.ns.api.list("Pod", self.ns.name, f"app={group}")
        return {
            pod["metadata"]["name"]: pod["metadata"]["annotations"][DIGEST]
            for pod in pods
            if not pod["metadata"].get("deletionTimestamp")
        }


def _groups(kind: str) -> list[Body]:
    pro = {"name": "pro", "values": {"session.minutes": 120}}
    groups: list[Body] = [{"name": "free"}, pro]
    return [{**group, "workloads": [{"kind": kind, "name": group["name"]}]} for group in groups]


@pytest.fixture
def bad(operator: Operator, operator_cluster: OperatorCluster) -> BadConfig:
    return BadConfig(operator_cluster.api, operator_cluster.kubectl)


def restarts(operator: Operator, ns: Namespace) -> list[str]:
    """The workloads that were told to restart, in order, by the log of the present start."""
    told = [str(r["workload"]) for r in operator.records() if r.get("message") == "Restarting a workload"]
    return [name for name in told if f" {ns.name}/" in name]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_content_that_crashes_the_canary_is_rolled_back_automatically(
    operator: Operator, ns: Namespace, bad: BadConfig, kind: str
) -> None:
    # given: a configuration that no pod can live with
    shop = Shop(ns, kind)
    before, pro = shop.generations(), shop.pods("pro")
    good, told = shop.digest("free"), len(restarts(operator, ns))
    broken = bad.crash({**HELLO, **NEW}, ns.name, "free")

    # when: it is rolled out
    ns.policy(strategy=CANARY)
    status = ns.reach("RolledBack")

    # then: it went back with the pod's own reason, and is not tried again
    assert status["failure"]["reason"] == "WorkloadFailed"
    assert "group free: pod free-" in status["failure"]["message"]
    assert "container main is in CrashLoopBackOff" in status["failure"]["message"]
    assert [q["hash"] for q in status["quarantine"]] == [status["target"]["hash"]]
    ns.serves(OLD_FREE, "free")
    shop.healthy()
    assert set(shop.pods("free").values()) == {good}
    assert shop.digest("free") == good != broken

    # and the workload was told twice, there and back, and the other one never
    assert shop.generations() == {"free": before["free"] + 2, "pro": before["pro"]}
    assert len(restarts(operator, ns)) - told == 2
    assert shop.pods("pro") == pro
    ns.serves(OLD_PRO, "pro")

    # and once pods can live with it, a retry brings it to all, each once
    bad.mend({**HELLO, **NEW}, ns.name, "free")
    ns.act("retry")
    ns.reach("Succeeded")
    shop.healthy()
    assert shop.generations() == {"free": before["free"] + 3, "pro": before["pro"] + 1}
    assert set(shop.pods("free").values()) == {broken}


def test_a_wave_waits_for_its_workloads_and_the_next_one_begins_after_them(
    operator: Operator, ns: Namespace, operator_cluster: OperatorCluster
) -> None:
    shop = Shop(ns, "Deployment")
    # given: a workload whose new pods have nowhere to run
    operator_cluster.kubectl(
        "patch", "deployment/free", "-n", ns.name, "--type=merge", "-p", _node_selector("nowhere")
    )
    wait_for(lambda: shop.workload("free")["status"].get("unavailableReplicas"), "a pod waits for a node")
    ns.policy(strategy=CANARY)
    wait_for(
        lambda: "waiting for workloads of free" in ns.reach("Progressing", wave="1/2")["message"],
        lambda: str(ns.progress()),
    )
    operator.quiet()
    ns.serves(OLD_PRO, "pro")
    operator_cluster.kubectl(
        "patch", "deployment/free", "-n", ns.name, "--type=merge", "-p", _node_selector(None)
    )
    ns.reach("Succeeded")
    ns.serves(NEW, "free", "pro")

    # nothing was tried twice
    assert sorted(restarts(operator, ns)[2:]) == [f"Deployment {ns.name}/{g}" for g in ("free", "pro")]


def test_a_workload_that_others_change_in_its_wave_is_restarted_again(
    operator: Operator, ns: Namespace, operator_cluster: OperatorCluster
) -> None:
    shop = Shop(ns, "Deployment")
    # given: a wave that soaks
    ns.policy(strategy=waves(wave("canary", "free", soak="6s")))
    ns.reach("Soaking")
    wanted = shop.digest("free")

    # when: a person undoes what restarted its workload
    operator_cluster.kubectl("rollout", "undo", "deployment/free", "-n", ns.name)

    # then: it is said, and the workload is restarted again
    wait_for(lambda: ns.progress().get("workloadNotes"), lambda: str(ns.progress()))
    note = ns.progress()["workloadNotes"][0]
    assert (note["workload"], note["reason"]) == (f"Deployment {ns.name}/free", "ChangedBack")
    wait_for(lambda: shop.digest("free") == wanted, "it is restarted again")

    # and so it is once it was deleted and recreated
    ns.api.delete("Deployment", ns.name, "free")
    ns.api.apply(workload("Deployment", ns.name, "free"))
    wait_for(lambda: shop.digest("free") == wanted, "it is restarted once it is back")
    assert not ns.reach("Succeeded").get("quarantine")


def _node_selector(node: str | None) -> str:
    selector: Mapping[str, Any] = {"nodeSelector": {"kubernetes.io/hostname": node} if node else None}
    return json.dumps({"spec": {"template": {"spec": selector}}})


def test_keys_that_need_no_restart_restart_nothing(operator: Operator, ns: Namespace) -> None:
    shop = Shop(ns, "Deployment", keys=QUIET_KEYS)
    before, told = shop.generations(), restarts(operator, ns)
    preview = waves(wave("canary", "free", soak="1s", approval=True))
    ns.policy(content=enforce("session.greeting", "welcome"), strategy=preview)
    status = ns.reach("AwaitingApproval")
    assert not status["preview"].get("restarts")

    ns.act("approve", contentHash=status["preview"]["hash"])
    ns.reach("Succeeded")
    ns.serves({"session.greeting": "welcome"}, "free", "pro")
    operator.quiet()
    assert shop.generations() == before
    assert restarts(operator, ns) == told

    # and those that do are named before they do
    ns.policy(content=minutes(25), strategy=preview)
    status = ns.reach("AwaitingApproval")
    assert status["preview"]["restarts"] == [f"Deployment {ns.name}/{g}" for g in ("free", "pro")]


def test_a_share_of_the_users_restarts_nothing(operator: Operator, ns: Namespace) -> None:
    shop = Shop(ns, "Deployment")
    ns.preference("alice", {"session.greeting": "hi"})
    ns.accepted("alice")

    before = shop.generations()
    ns.policy(strategy=waves(wave("some", "free", percent=50, soak="1h")))
    ns.reach("Soaking")
    ns.wait_user("alice", NEW)
    operator.quiet()
    assert shop.generations() == before

    ns.act("promote")
    ns.reach("Succeeded")
    shop.healthy()
    assert shop.generations() == {group: number + 1 for group, number in before.items()}


def test_a_template_that_crashes_a_workload_is_rolled_back_automatically(
    operator: Operator, ns: Namespace, bad: BadConfig
) -> None:
    shop = Shop(ns, "Deployment", strategy={})
    good = {group: shop.digest(group) for group in ("free", "pro")}
    boom = {**HELLO, "session.greeting": "boom", "session.minutes": 30}
    for group in good:
        bad.crash(boom, ns.name, group)
    ns.template(groups=_groups("Deployment"), keys=[*KEYS[:3], {**KEYS[3], "default": "boom"}], strategy={})
    status = ns.reach("RolledBack", "app", "ConfigTemplate")
    assert status["failure"]["reason"] == "WorkloadFailed"
    assert "CrashLoopBackOff" in status["failure"]["message"]

    ns.serves({"session.greeting": "hello"}, "free", "pro")
    shop.healthy()
    assert {group: shop.digest(group) for group in good} == good
    assert ns.verdict("ConfigTemplate", "app") == ("False", "RolledBack")

    for group in good:
        bad.mend(boom, ns.name, group)
