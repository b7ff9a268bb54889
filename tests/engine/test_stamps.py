"""Workloads that others delete, replace, roll back or reset while a rollout restarts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from support.wave_rollouts import APP, event_reasons, progress, until
from support.workload_controllers import Controllers, workload
from trimtab.core.refs import WorkloadKey
from trimtab.core.workload.pods import digest_in
from trimtab.engine.workloads.restart_stamps import PAUSE_SECONDS, RESTAMPS
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS, WORKLOADS

WEB = WorkloadKey("Deployment", HOME, "web")


def said(voice: str, **strategy: Any) -> Body:
    waves = {"waves": [{"name": "all", "soak": "5m"}], **strategy}
    groups = [{"name": "all", "workloads": [{"kind": "Deployment", "name": "web"}]}]
    return spec(
        keys=[{"name": "agent.voice", "type": "String", "default": voice}], groups=groups, strategy=waves
    )


class Stage:
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
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    rolling = asyncio.create_task(stage.controllers.run())
    yield stage
    rolling.cancel()
    await asyncio.gather(rolling, return_exceptions=True)


async def test_a_workload_that_is_recreated_in_its_wave_is_restarted_again(stage: Stage) -> None:
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator)
        stage.remove()
        await asyncio.sleep(20)
        stage.create()
        await asyncio.sleep(2)
        assert stage.digest() == stage.wanted
        await until(stage.cluster, "Succeeded", *APP)

    assert "workloadNotes" not in stage.status()
    assert stage.status()["stable"]["hash"] == stage.status()["target"]["hash"]


async def test_a_workload_that_comes_only_in_its_wave_is_restarted_once_it_is_there(stage: Stage) -> None:
    async with Operator(stage.cluster):
        await until(stage.cluster, "Succeeded", *APP)
        stage.remove()
        stage.cluster.template(said("loud"))
        await until(stage.cluster, "Progressing", *APP)
        await asyncio.sleep(31)
        assert "does not exist" in stage.status()["message"]
        stage.create()
        await asyncio.sleep(2)
        assert stage.digest() is not None
        await until(stage.cluster, "Succeeded", *APP)


@pytest.mark.parametrize("earlier", [True, False], ids=["kubectl rollout undo", "kubectl replace"])
async def test_a_workload_that_is_changed_back_is_restarted_again_told_and_not_quarantined(
    stage: Stage, earlier: bool
) -> None:
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator)
        stage.change(stage.before if earlier else None)
        await asyncio.sleep(2)
        assert stage.digest() == stage.wanted
        await asyncio.sleep(2)
        status = stage.status()
        note = status["workloadNotes"][0]
        assert (note["workload"], note["reason"]) == ("Deployment music/web", "ChangedBack")
        assert (
            "changed back once (changed last by kubectl); it is restarted again. That does not undo"
            in note["message"]
        )
        assert "changed back once" in status["message"]
        assert "Abort the rollout" in status["message"]
        await until(stage.cluster, "Succeeded", *APP)
        assert "changed back once" in stage.status()["message"]
        assert "Undo the rollout" in stage.status()["message"]
        assert "Abort" not in str(stage.status()["message"]) + str(stage.status()["workloadNotes"])

    assert event_reasons(stage.cluster, "app").count("WorkloadChangedBack") == 1
    assert "quarantine" not in stage.status()


@pytest.mark.parametrize("what", ["deleted", "recreated late", "missing", "paused"])
async def test_a_deadline_that_passes_as_others_took_a_workload_away_pauses_and_quarantines_nothing(
    stage: Stage, what: str
) -> None:
    async with Operator(stage.cluster):
        await until(stage.cluster, "Succeeded", *APP)
        if what == "missing":
            stage.remove()
            stage.cluster.template(said("loud", progressDeadline="1m"))
            await asyncio.sleep(60)
        elif what == "paused":
            stage.controllers.seconds = 1e6
            body = stage.body() or {}
            stage.memory.put(WORKLOADS["Deployment"], {**body, "spec": {**body["spec"], "paused": True}})
            stage.cluster.template(said("loud", progressDeadline="1m"))
        else:
            stage.cluster.template(said("loud", progressDeadline="1m"))
            await until(stage.cluster, "Soaking", *APP)
            stage.remove()
            await asyncio.sleep(50)
        if what == "recreated late":
            stage.controllers.seconds = 20
            stage.create()
        status = await until(stage.cluster, "Paused", *APP)
        assert (status["halt"]["reason"], status.get("quarantine")) == ("ChangedBack", None)
        assert "Deployment music/web" in status["message"]

        stage.controllers.seconds = 5
        stage.create()
        stage.cluster.act("Resume", "app", kind="ConfigTemplate")
        await until(stage.cluster, "Succeeded", *APP)
        assert stage.digest() is not None


async def test_whoever_resets_a_workload_all_the_time_pauses_the_rollout_and_resume_tries_again(
    stage: Stage,
) -> None:
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator, progressDeadline="1h")
        stamps = 0
        for _ in range(60):
            if stage.digest() == stage.wanted:
                stamps += 1
                stage.change(None, "gitops")
            await asyncio.sleep(PAUSE_SECONDS)
        assert stamps == 1 + RESTAMPS
        status = stage.status()
        assert (status["phase"], status["halt"]["reason"]) == ("Paused", "ChangedBack")
        told = f"changed back {1 + RESTAMPS} times (changed last by gitops); it is not restarted again until"
        assert told in status["message"]
        assert told in stage.cluster.message(RENDERED_GROUPS, "app-all")

        stage.cluster.act("Resume", "app", kind="ConfigTemplate")
        await until(stage.cluster, "Succeeded", *APP)
        assert stage.digest() == stage.wanted


async def test_an_abort_gets_through_where_others_reset_a_workload_all_the_time(stage: Stage) -> None:
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator)
        for _ in range(40):
            stage.change(None, "gitops")
            await asyncio.sleep(PAUSE_SECONDS)
        stage.cluster.act("Abort", "app", kind="ConfigTemplate")
        for _ in range(20):
            stage.change(None, "gitops")
            await asyncio.sleep(1)

        assert stage.status()["phase"] == "RolledBack"


async def test_what_others_did_in_one_rollout_is_not_told_in_the_next(stage: Stage) -> None:
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator)
        stage.change(None)
        await until(stage.cluster, "Succeeded", *APP)
        stage.cluster.template({**said("loud"), "revisionHistoryLimit": 5})
        await until(stage.cluster, "Soaking", *APP)
        assert "workloadNotes" not in stage.status()
        await until(stage.cluster, "Succeeded", *APP)

    assert event_reasons(stage.cluster, "app").count("WorkloadChangedBack") == 1


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
    stage: Stage, before: str, after: str, restarts: int
) -> None:
    stage.cluster.template(listed("calm", before.split()))
    async with Operator(stage.cluster) as operator:
        await until(stage.cluster, "Succeeded", *APP)
        await operator.quiet()
        stage.controllers.rolled.clear()
        stage.cluster.template(listed("loud", after.split()))
        await until(stage.cluster, "Soaking", *APP)
        await until(stage.cluster, "Succeeded", *APP)
        await operator.quiet()

        assert len(stage.controllers.rolled) == restarts
        assert "workloadNotes" not in stage.status()


# Two templates that list one workload.


def warnings(cluster: Cluster, name: str) -> list[str]:
    body = cluster.find(CONFIG_TEMPLATES, name) or {}
    return [w["message"] for w in body["status"].get("warnings", ())]


async def test_the_first_of_two_templates_restarts_their_workload_and_both_are_told(stage: Stage) -> None:
    cluster = stage.cluster
    cluster.template(said("calm"), name="aaa", creationTimestamp="2030-01-01T00:00:00Z")
    async with Operator(cluster) as operator:
        await until(cluster, "Succeeded", *APP)
        await operator.quiet()
        first, rolled = stage.digest(), len(stage.controllers.rolled)
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
        assert (stage.digest(), len(stage.controllers.rolled)) == (first, rolled)

    assert await settled(cluster) == []
    async with Operator(cluster) as operator:  # another one takes over
        await operator.quiet()
        assert (stage.digest(), len(stage.controllers.rolled)) == (first, rolled)

        listless = said("calm")
        listless["groups"] = [{"name": "all"}]
        cluster.template(listless)
        await operator.quiet()
        assert stage.digest() != first, "its only template restarts it"
        assert (warnings(cluster, "aaa"), warnings(cluster, "app")) == ([], [])


async def test_a_template_that_was_never_valid_keeps_nobody_from_restarting_a_workload(stage: Stage) -> None:
    broken = {**said("calm"), "keys": [{"name": "broken", "type": "Number", "default": "x"}]}
    stage.cluster.template(broken, name="aaa", creationTimestamp="1990-01-01T00:00:00Z")
    async with Operator(stage.cluster) as operator:
        await stage.soak(operator)

    assert warnings(stage.cluster, "app") == []


@pytest.mark.parametrize("edit", ["refused", "waits for an approval", "went back"])
async def test_an_edit_that_is_not_served_takes_no_workload_from_another_template(
    stage: Stage, edit: str
) -> None:
    older: dict[str, Any] = {"name": "aaa", "creationTimestamp": "1990-01-01T00:00:00Z"}
    stage.cluster.template({**said("calm"), "groups": [{"name": "all"}]}, **older)
    async with Operator(stage.cluster) as operator:
        await operator.quiet()
        if edit == "refused":
            stage.cluster.template({**said("calm"), "keys": [{"name": "x", "type": "None"}]}, **older)
        elif edit == "waits for an approval":
            stage.cluster.template(said("loud", waves=[{"name": "all", "approval": True}]), **older)
        else:
            stage.cluster.template(said("loud"), **older)
            await until(stage.cluster, "Soaking", "aaa", CONFIG_TEMPLATES)
            stage.cluster.act("Abort", "aaa", kind="ConfigTemplate")
        await operator.quiet()
        await stage.soak(operator)

    assert warnings(stage.cluster, "app") == []


# Pods that restart only when they are deleted.


async def test_a_rollout_says_that_pods_restart_only_when_they_are_deleted(stage: Stage) -> None:
    key = WorkloadKey("StatefulSet", HOME, "db")
    stage.memory.put(WORKLOADS["StatefulSet"], workload(key, updateStrategy={"type": "OnDelete"}))

    def listing(voice: str) -> Body:
        made = said(voice)
        made["groups"] = [{"name": "all", "workloads": [{"kind": "StatefulSet", "name": "db"}]}]
        return made

    stage.cluster.template(listing("calm"))
    async with Operator(stage.cluster):
        await until(stage.cluster, "Succeeded", *APP)
        stage.cluster.template(listing("loud"))
        await until(stage.cluster, "Soaking", *APP)
        note = stage.status()["workloadNotes"][0]
        assert (note["workload"], note["reason"]) == ("StatefulSet music/db", "OnDelete")
        assert "restart only when they are deleted" in stage.status()["message"]
        await until(stage.cluster, "Succeeded", *APP)

    assert "of 2 are of this revision" in stage.status()["message"]
    assert event_reasons(stage.cluster, "app").count("RestartsOnDelete") == 1
