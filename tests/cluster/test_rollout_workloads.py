"""Workloads restart for what they have to, a wave waits for their health, and what makes them crash goes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.cluster_fixtures import Arena, Place
from support.crashing_pods import BadConfig
from support.live_objects import Body, wait_for
from support.manifests import KEYS, enforce, minutes, wave, waves, workload
from support.operator_process import Operator
from support.rollout_scenes import NEW, OLD_FREE, OLD_PRO

DIGEST = "trimtab.dev/digest"
CANARY = waves(wave("canary", "free", soak="1s"))
HELLO: Body = {"agent.temperature": 0.7, "agent.provider": "openai", "session.greeting": "hello"}
"""What the group free serves, but for the length of sessions."""
QUIET_KEYS = [*KEYS[:3], {**KEYS[3], "reload": "None"}]


class Shop:
    """A template with a workload for each of its groups, all of them running."""

    def __init__(self, place: Place, kind: str, **spec: Any) -> None:
        self.place, self.kind = place, kind
        for group in ("free", "pro"):
            place.api.apply(workload(kind, place.name, group))
        place.template(groups=_groups(kind), **spec)
        place.rendered()
        for group in ("free", "pro"):
            wait_for(lambda group=group: self.digest(group), f"{group} is stamped")
        self.healthy()

    def workload(self, group: str) -> Body:
        return self.place.one(self.kind, group)

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
        pods = self.place.api.list("Pod", self.place.name, f"app={group}")
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
def bad(operator: Operator, arena: Arena) -> BadConfig:
    return BadConfig(arena.api, arena.kubectl)


def restarts(operator: Operator, place: Place) -> list[str]:
    """The workloads that were told to restart, in order, by the log of the present start."""
    told = [str(r["workload"]) for r in operator.records() if r.get("message") == "restarting"]
    return [name for name in told if f" {place.name}/" in name]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_what_makes_the_canary_crash_goes_back_by_itself(
    operator: Operator, place: Place, bad: BadConfig, kind: str
) -> None:
    # given: a configuration that no pod can live with
    shop = Shop(place, kind)
    before, pro = shop.generations(), shop.pods("pro")
    good, told = shop.digest("free"), len(restarts(operator, place))
    broken = bad.crash({**HELLO, **NEW}, place.name, "free")

    # when: it is rolled out
    place.policy(strategy=CANARY)
    status = place.reach("RolledBack")

    # then: it went back with the pod's own reason, and is not tried again
    assert status["failure"]["reason"] == "WorkloadFailed"
    assert "group free: pod free-" in status["failure"]["message"]
    assert "container main is in CrashLoopBackOff" in status["failure"]["message"]
    assert [q["hash"] for q in status["quarantine"]] == [status["target"]["hash"]]
    place.serves(OLD_FREE, "free")
    shop.healthy()
    assert set(shop.pods("free").values()) == {good}
    assert shop.digest("free") == good != broken

    # and the workload was told twice, there and back, and the other one never
    assert shop.generations() == {"free": before["free"] + 2, "pro": before["pro"]}
    assert len(restarts(operator, place)) - told == 2
    assert shop.pods("pro") == pro
    place.serves(OLD_PRO, "pro")

    # and once pods can live with it, a retry brings it to all, each once
    bad.mend({**HELLO, **NEW}, place.name, "free")
    place.act("retry")
    place.reach("Succeeded")
    shop.healthy()
    assert shop.generations() == {"free": before["free"] + 3, "pro": before["pro"] + 1}
    assert set(shop.pods("free").values()) == {broken}


def test_a_wave_waits_for_its_workloads_and_the_next_one_begins_after_them(
    operator: Operator, place: Place, arena: Arena
) -> None:
    shop = Shop(place, "Deployment")
    # given: a workload whose new pods have nowhere to run
    arena.kubectl(
        "patch", "deployment/free", "-n", place.name, "--type=merge", "-p", _node_selector("nowhere")
    )
    wait_for(lambda: shop.workload("free")["status"].get("unavailableReplicas"), "a pod waits for a node")
    place.policy(strategy=CANARY)
    wait_for(
        lambda: "waiting for the workloads of free" in place.reach("Progressing", wave="1/2")["message"],
        lambda: str(place.progress()),
    )
    operator.quiet()
    place.serves(OLD_PRO, "pro")
    arena.kubectl("patch", "deployment/free", "-n", place.name, "--type=merge", "-p", _node_selector(None))
    place.reach("Succeeded")
    place.serves(NEW, "free", "pro")
    # nothing was tried twice
    assert sorted(restarts(operator, place)[2:]) == [f"Deployment {place.name}/{g}" for g in ("free", "pro")]


def test_a_workload_that_others_change_in_its_wave_is_restarted_again(
    operator: Operator, place: Place, arena: Arena
) -> None:
    shop = Shop(place, "Deployment")
    # given: a wave that soaks
    place.policy(strategy=waves(wave("canary", "free", soak="6s")))
    place.reach("Soaking")
    wanted = shop.digest("free")

    # when: a person undoes what restarted its workload
    arena.kubectl("rollout", "undo", "deployment/free", "-n", place.name)

    # then: it is said, and the workload is restarted again
    wait_for(lambda: place.progress().get("workloadNotes"), lambda: str(place.progress()))
    note = place.progress()["workloadNotes"][0]
    assert (note["workload"], note["reason"]) == (f"Deployment {place.name}/free", "ChangedBack")
    wait_for(lambda: shop.digest("free") == wanted, "it is restarted again")

    # and so it is once it was deleted and recreated
    place.api.delete("Deployment", place.name, "free")
    place.api.apply(workload("Deployment", place.name, "free"))
    wait_for(lambda: shop.digest("free") == wanted, "it is restarted once it is back")
    assert not place.reach("Succeeded").get("quarantine")


def _node_selector(node: str | None) -> str:
    selector: Mapping[str, Any] = {"nodeSelector": {"kubernetes.io/hostname": node} if node else None}
    return json.dumps({"spec": {"template": {"spec": selector}}})


def test_keys_that_need_no_restart_restart_nothing(operator: Operator, place: Place) -> None:
    shop = Shop(place, "Deployment", keys=QUIET_KEYS)
    before, told = shop.generations(), restarts(operator, place)
    preview = waves(wave("canary", "free", soak="1s", approval=True))
    place.policy(says=enforce("session.greeting", "welcome"), strategy=preview)
    status = place.reach("AwaitingApproval")
    assert not status["preview"].get("restarts")
    place.act("approve", contentHash=status["preview"]["hash"])
    place.reach("Succeeded")
    place.serves({"session.greeting": "welcome"}, "free", "pro")
    operator.quiet()
    assert shop.generations() == before
    assert restarts(operator, place) == told
    # and those that do are named before they do
    place.policy(says=minutes(25), strategy=preview)
    status = place.reach("AwaitingApproval")
    assert status["preview"]["restarts"] == [f"Deployment {place.name}/{g}" for g in ("free", "pro")]


def test_a_share_of_the_users_restarts_nothing(operator: Operator, place: Place) -> None:
    shop = Shop(place, "Deployment")
    place.preference("alice", {"session.greeting": "hi"})
    place.accepted("alice")
    before = shop.generations()
    place.policy(strategy=waves(wave("some", "free", percent=50, soak="1h")))
    place.reach("Soaking")
    place.wait_user("alice", NEW)
    operator.quiet()
    assert shop.generations() == before
    place.act("promote")
    place.reach("Succeeded")
    shop.healthy()
    assert shop.generations() == {group: number + 1 for group, number in before.items()}


def test_a_template_that_makes_a_workload_crash_goes_back_by_itself(
    operator: Operator, place: Place, bad: BadConfig
) -> None:
    shop = Shop(place, "Deployment", strategy={})
    good = {group: shop.digest(group) for group in ("free", "pro")}
    boom = {**HELLO, "session.greeting": "boom", "session.minutes": 30}
    for group in good:
        bad.crash(boom, place.name, group)
    place.template(
        groups=_groups("Deployment"), keys=[*KEYS[:3], {**KEYS[3], "default": "boom"}], strategy={}
    )
    status = place.reach("RolledBack", "app", "ConfigTemplate")
    assert status["failure"]["reason"] == "WorkloadFailed"
    assert "CrashLoopBackOff" in status["failure"]["message"]
    place.serves({"session.greeting": "hello"}, "free", "pro")
    shop.healthy()
    assert {group: shop.digest(group) for group in good} == good
    assert place.verdict("ConfigTemplate", "app") == ("False", "RolledBack")
    for group in good:
        bad.mend(boom, place.name, group)
