"""Workloads that others delete, replace, roll back or reset while a rollout restarts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.wave_rollouts import APP, event_reasons, progress, until
from support.workload_controllers import Controllers, workload
from trimtab.core.refs import Ref
from trimtab.core.workload.pods import digest_in
from trimtab.engine.workloads.restart_history import PAUSE_SECONDS, REPEATS
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS, WORKLOADS

WEB = Ref("Deployment", HOME, "web")


def said(voice: str, **strategy: Any) -> Body:
    waves = {"waves": [{"name": "all", "soak": "5m"}], **strategy}
    groups = [{"name": "all", "workloads": [{"kind": "Deployment", "name": "web"}]}]
    return spec(
        keys=[{"name": "agent.voice", "type": "String", "default": voice}], groups=groups, strategy=waves
    )


class OneDeployment:
    """A template whose one group restarts one Deployment; its second content soaks."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.memory = self.cluster.memory
        self.memory.put(WORKLOADS["Deployment"], workload(WEB))
        self.controllers = Controllers(self.memory)
        self.cluster.template(said("calm"))

    async def soak(self, operator: Operator, **strategy: Any) -> None:
        await until(self.cluster, "Succeeded", *APP)
        self.before = self.digest()
        self.cluster.template(said("loud", **strategy))
        await until(self.cluster, "Soaking", *APP)
        self.wanted = self.digest()
        assert self.wanted not in (None, self.before)

    def body(self) -> Body | None:
        return self.cluster.find(WORKLOADS["Deployment"], "web")

    def digest(self) -> str | None:
        body = self.body()
        return digest_in(body["spec"]["template"]) if body else None

    def change(self, digest: str | None, manager: str = "kubectl") -> None:
        """Somebody puts the pod template as it was with that digest."""
        body = self.body() or {}
        template = workload(WEB, digest=digest)["spec"]["template"]
        meta = {**body["metadata"], "managedFields": [{"manager": manager, "time": "2026-02-28T12:00:00Z"}]}
        self.memory.put(
            WORKLOADS["Deployment"],
            {**body, "metadata": meta, "spec": {**body["spec"], "template": template}},
        )

    def remove(self) -> None:
        self.memory.remove(WORKLOADS["Deployment"], HOME, "web")

    def create(self) -> None:
        self.memory.put(WORKLOADS["Deployment"], workload(WEB))

    def status(self) -> Body:
        return progress(self.cluster, *APP)


@pytest.fixture
async def deployment() -> AsyncIterator[OneDeployment]:
    deployment = OneDeployment()
    async with deployment.controllers:
        yield deployment


async def test_a_long_soak_is_not_interrupted_while_its_workloads_do_not_change(
    deployment: OneDeployment,
) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator, waves=[{"name": "all", "soak": "1h"}])

        await asyncio.sleep(3700)

    assert deployment.status()["phase"] == "Succeeded"
    assert "SoakInterrupted" not in [t["reason"] for t in deployment.status()["transitions"]]


async def test_a_workload_that_is_recreated_in_its_wave_is_restarted_again(deployment: OneDeployment) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator)
        deployment.remove()
        await asyncio.sleep(20)
        deployment.create()
        await asyncio.sleep(2)
        assert deployment.digest() == deployment.wanted
        await until(deployment.cluster, "Succeeded", *APP)

    assert "workloadNotes" not in deployment.status()
    assert deployment.status()["stable"]["hash"] == deployment.status()["target"]["hash"]


async def test_a_workload_that_comes_only_in_its_wave_is_restarted_once_it_is_there(
    deployment: OneDeployment,
) -> None:
    async with Operator(deployment.cluster):
        await until(deployment.cluster, "Succeeded", *APP)
        deployment.remove()
        deployment.cluster.template(said("loud"))
        await until(deployment.cluster, "Progressing", *APP)
        await asyncio.sleep(31)
        assert "does not exist" in deployment.status()["message"]

        deployment.create()
        await asyncio.sleep(2)
        assert deployment.digest() is not None

        await until(deployment.cluster, "Succeeded", *APP)


@pytest.mark.parametrize("earlier", [True, False], ids=["kubectl rollout undo", "kubectl replace"])
async def test_a_workload_that_is_changed_back_is_restarted_again_told_and_not_quarantined(
    deployment: OneDeployment, earlier: bool
) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator)
        deployment.change(deployment.before if earlier else None)
        await asyncio.sleep(2)
        assert deployment.digest() == deployment.wanted
        await asyncio.sleep(2)
        status = deployment.status()
        note = status["workloadNotes"][0]
        assert (note["workload"], note["reason"]) == ("Deployment music/web", "ChangedBack")
        assert (
            "changed back once (changed last by kubectl); it is restarted again. That does not undo"
            in note["message"]
        )
        assert "changed back once" in status["message"]
        assert "Abort the rollout" in status["message"]
        await until(deployment.cluster, "Succeeded", *APP)
        assert "changed back once" in deployment.status()["message"]
        assert "Undo the rollout" in deployment.status()["message"]
        assert "Abort" not in str(deployment.status()["message"]) + str(deployment.status()["workloadNotes"])

    assert event_reasons(deployment.cluster, "app").count("WorkloadChangedBack") == 1
    assert "quarantine" not in deployment.status()


@pytest.mark.parametrize("what", ["deleted", "recreated late", "missing", "paused"])
async def test_a_deadline_that_passes_as_others_took_a_workload_away_pauses_and_quarantines_nothing(
    deployment: OneDeployment, what: str
) -> None:
    async with Operator(deployment.cluster):
        await until(deployment.cluster, "Succeeded", *APP)
        if what == "missing":
            deployment.remove()
            deployment.cluster.template(said("loud", progressDeadline="1m"))
            await asyncio.sleep(60)
        elif what == "paused":
            deployment.controllers.seconds = 1e6
            body = deployment.body() or {}
            deployment.memory.put(WORKLOADS["Deployment"], {**body, "spec": {**body["spec"], "paused": True}})
            deployment.cluster.template(said("loud", progressDeadline="1m"))
        else:
            deployment.cluster.template(said("loud", progressDeadline="1m"))
            await until(deployment.cluster, "Soaking", *APP)
            deployment.remove()
            await asyncio.sleep(50)
        if what == "recreated late":
            deployment.controllers.seconds = 20
            deployment.create()
        status = await until(deployment.cluster, "Paused", *APP)
        assert (status["halt"]["reason"], status.get("quarantine")) == ("ChangedBack", None)
        assert "Deployment music/web" in status["message"]

        deployment.controllers.seconds = 5
        deployment.create()
        deployment.cluster.act("Resume", "app", kind="ConfigTemplate")
        await until(deployment.cluster, "Succeeded", *APP)
        assert deployment.digest() is not None


async def test_a_workload_that_is_reset_repeatedly_pauses_the_rollout_and_resume_retries(
    deployment: OneDeployment,
) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator, progressDeadline="1h")
        stamps = 0
        for _ in range(60):
            if deployment.digest() == deployment.wanted:
                stamps += 1
                deployment.change(None, "gitops")
            await asyncio.sleep(PAUSE_SECONDS)
        assert stamps == 1 + REPEATS
        status = deployment.status()
        assert (status["phase"], status["halt"]["reason"]) == ("Paused", "ChangedBack")
        told = f"changed back {1 + REPEATS} times (changed last by gitops); it is not restarted again until"
        assert told in status["message"]
        assert told in deployment.cluster.message(RENDERED_GROUPS, "app-all")

        deployment.cluster.act("Resume", "app", kind="ConfigTemplate")
        await until(deployment.cluster, "Succeeded", *APP)
        assert deployment.digest() == deployment.wanted


async def test_an_abort_gets_through_where_others_reset_a_workload_all_the_time(
    deployment: OneDeployment,
) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator)
        for _ in range(40):
            deployment.change(None, "gitops")
            await asyncio.sleep(PAUSE_SECONDS)
        deployment.cluster.act("Abort", "app", kind="ConfigTemplate")
        for _ in range(20):
            deployment.change(None, "gitops")
            await asyncio.sleep(1)

        assert deployment.status()["phase"] == "RolledBack"


async def test_what_others_did_in_one_rollout_is_not_told_in_the_next(deployment: OneDeployment) -> None:
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator)
        deployment.change(None)
        await until(deployment.cluster, "Succeeded", *APP)
        deployment.cluster.template({**said("loud"), "revisionHistoryLimit": 5})
        await until(deployment.cluster, "Soaking", *APP)
        assert "workloadNotes" not in deployment.status()
        await until(deployment.cluster, "Succeeded", *APP)

    assert event_reasons(deployment.cluster, "app").count("WorkloadChangedBack") == 1


# Groups that begin or end to list a workload, wave by wave.


def listed(voice: str, by: list[str]) -> Body:
    waves = [{"name": name, "groups": [name], "soak": "1m"} for name in ("free", "paid")]
    workloads = [{"kind": "Deployment", "name": "web"}]
    groups = [{"name": name, "workloads": workloads if name in by else []} for name in ("free", "paid")]
    return {**said(voice), "groups": groups, "strategy": {"waves": waves}}


@pytest.mark.parametrize(
    ("before", "after", "restarts"),
    [
        ("paid", "free paid", 2),
        ("free", "free paid", 2),
        ("free paid", "free", 1),
        ("free paid", "paid", 1),
        ("paid", "free", 1),
        ("free", "paid", 1),
    ],
)
async def test_groups_in_different_waves_do_not_restart_a_workload_against_each_other(
    deployment: OneDeployment, before: str, after: str, restarts: int
) -> None:
    deployment.cluster.template(listed("calm", before.split()))
    async with Operator(deployment.cluster) as operator:
        await until(deployment.cluster, "Succeeded", *APP)
        await operator.quiet()
        deployment.controllers.rolled.clear()
        deployment.cluster.template(listed("loud", after.split()))
        await until(deployment.cluster, "Soaking", *APP)
        await until(deployment.cluster, "Succeeded", *APP)
        await operator.quiet()

        assert len(deployment.controllers.rolled) == restarts
        assert "workloadNotes" not in deployment.status()


# Two templates that list one workload.


def warnings(cluster: Cluster, name: str) -> list[str]:
    body = cluster.find(CONFIG_TEMPLATES, name) or {}
    return [w["message"] for w in body["status"].get("warnings", ())]


async def test_the_first_of_two_templates_restarts_their_workload_and_both_report_it(
    deployment: OneDeployment,
) -> None:
    cluster = deployment.cluster
    cluster.template(said("calm"), name="aaa", creationTimestamp="2030-01-01T00:00:00Z")
    async with Operator(cluster) as operator:
        await until(cluster, "Succeeded", *APP)
        await operator.quiet()
        first, rolled = deployment.digest(), len(deployment.controllers.rolled)
        listed = "Deployment music/web is listed by ConfigTemplate music/"
        assert [
            w.startswith(f"{listed}app too, which was created first") for w in warnings(cluster, "aaa")
        ] == [True]
        assert [w.startswith(f"{listed}aaa too, whose changes do not") for w in warnings(cluster, "app")] == [
            True
        ]
        assert f"{listed}app" in cluster.message(RENDERED_GROUPS, "aaa-all")

        cluster.template(said("loud"), name="aaa", creationTimestamp="2030-01-01T00:00:00Z")
        await until(cluster, "Soaking", "aaa", CONFIG_TEMPLATES)
        await until(cluster, "Succeeded", "aaa", CONFIG_TEMPLATES)
        assert (deployment.digest(), len(deployment.controllers.rolled)) == (first, rolled)

    assert await settled(cluster) == []
    async with Operator(cluster) as operator:  # another one takes over
        await operator.quiet()
        assert (deployment.digest(), len(deployment.controllers.rolled)) == (first, rolled)

        listless = said("calm")
        listless["groups"] = [{"name": "all"}]
        cluster.template(listless)
        await operator.quiet()
        assert deployment.digest() != first, "its only template restarts it"
        assert (warnings(cluster, "aaa"), warnings(cluster, "app")) == ([], [])


async def test_a_template_that_was_never_valid_blocks_no_restart(
    deployment: OneDeployment,
) -> None:
    broken = {**said("calm"), "keys": [{"name": "broken", "type": "Number", "default": "x"}]}
    deployment.cluster.template(broken, name="aaa", creationTimestamp="1990-01-01T00:00:00Z")
    async with Operator(deployment.cluster) as operator:
        await deployment.soak(operator)

    assert warnings(deployment.cluster, "app") == []


@pytest.mark.parametrize("edit", ["refused", "waits for an approval", "went back"])
async def test_an_edit_that_is_not_served_takes_no_workload_from_another_template(
    deployment: OneDeployment, edit: str
) -> None:
    older: dict[str, Any] = {"name": "aaa", "creationTimestamp": "1990-01-01T00:00:00Z"}
    deployment.cluster.template({**said("calm"), "groups": [{"name": "all"}]}, **older)
    async with Operator(deployment.cluster) as operator:
        await operator.quiet()
        if edit == "refused":
            deployment.cluster.template({**said("calm"), "keys": [{"name": "x", "type": "None"}]}, **older)
        elif edit == "waits for an approval":
            deployment.cluster.template(said("loud", waves=[{"name": "all", "approval": True}]), **older)
        else:
            deployment.cluster.template(said("loud"), **older)
            await until(deployment.cluster, "Soaking", "aaa", CONFIG_TEMPLATES)
            deployment.cluster.act("Abort", "aaa", kind="ConfigTemplate")
        await operator.quiet()
        await deployment.soak(operator)

    assert warnings(deployment.cluster, "app") == []


# Pods that restart only when they are deleted.


async def test_a_rollout_reports_that_pods_restart_only_when_they_are_deleted(
    deployment: OneDeployment,
) -> None:
    key = Ref("StatefulSet", HOME, "db")
    deployment.memory.put(WORKLOADS["StatefulSet"], workload(key, updateStrategy={"type": "OnDelete"}))

    def listing(voice: str) -> Body:
        made = said(voice)
        made["groups"] = [{"name": "all", "workloads": [{"kind": "StatefulSet", "name": "db"}]}]
        return made

    deployment.cluster.template(listing("calm"))
    async with Operator(deployment.cluster):
        await until(deployment.cluster, "Succeeded", *APP)
        deployment.cluster.template(listing("loud"))
        await until(deployment.cluster, "Soaking", *APP)
        note = deployment.status()["workloadNotes"][0]
        assert (note["workload"], note["reason"]) == ("StatefulSet music/db", "OnDelete")
        assert "restart only when they are deleted" in deployment.status()["message"]
        await until(deployment.cluster, "Succeeded", *APP)

    assert "of 2 are of this revision" in deployment.status()["message"]
    assert event_reasons(deployment.cluster, "app").count("RestartsOnDelete") == 1
