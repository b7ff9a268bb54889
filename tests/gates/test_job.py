"""A job gate creates one Job a wave from a suspended CronJob, however often it is measured."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet

from support.memory_api import Memory
from trimtab.crypto import Keys
from trimtab.gates import job
from trimtab.gates.job import Run, job_name, measure, rollout_label
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CRON_JOBS, JOBS, NAMESPACES, Resource

digest = partial(Keys((Fernet.generate_key(),), b"digest-key-of-the-tests").digest, "job")
RUN = Run("music", "calmer-agents", "uid-1", 3, 2)
NAME = job_name("music-e2e", RUN, digest)


def cluster(**spec: Any) -> Memory:
    """With a suspended CronJob, unless ``spec`` says otherwise."""
    api = Memory()
    api.put(NAMESPACES, {"metadata": {"name": "music"}})
    template = {
        "metadata": {"labels": {"app": "e2e"}, "annotations": {"team": "a"}},
        "spec": {"backoffLimit": 0, "template": {"spec": {"containers": [{"name": "e2e", "image": "e2e"}]}}},
    }
    made = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template, **spec}
    api.put(CRON_JOBS, {"metadata": {"name": "music-e2e", "namespace": "music"}, "spec": made})
    return api


def end(api: Memory, kind: str, **more: Any) -> None:
    """The Job's controller says how it ended."""
    found = api.objects(JOBS)[0]
    found["status"] = {
        "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True"},
            {"type": kind, "status": "True", **more},
        ]
    }
    api.put(JOBS, found)


async def test_the_job_is_what_the_cronjob_describes() -> None:
    api = cluster()

    found = await measure(api, "music-e2e", RUN, digest)

    assert (found.result, found.message) == ("Pending", f"Job {NAME} is running")
    made = api.objects(JOBS)[0]
    assert made["metadata"]["name"] == NAME
    assert made["metadata"]["labels"] == {
        "app": "e2e",
        "app.kubernetes.io/managed-by": "trimtab",
        "trimtab.dev/rollout": "calmer-agents",
    }
    assert made["metadata"]["annotations"] == {
        "team": "a",
        "cronjob.kubernetes.io/instantiate": "manual",
        "trimtab.dev/mark": job.mark(NAME, RUN, digest),
    }
    assert [o["kind"] for o in made["metadata"]["ownerReferences"]] == ["CronJob"]
    assert made["spec"] == {
        "ttlSecondsAfterFinished": 86_400,
        "backoffLimit": 0,
        "template": {"spec": {"containers": [{"name": "e2e", "image": "e2e"}]}},
    }


async def test_who_looks_again_finds_the_same_job() -> None:
    api = cluster()

    await asyncio.gather(*(measure(api, "music-e2e", RUN, digest) for _ in range(5)))
    await measure(api, "music-e2e", RUN, digest)

    assert [w for w in api.writes if w.kind == "Job"] == [("create", "Job", "music", NAME)]


@pytest.mark.parametrize(
    ("kind", "more", "result", "message"),
    [
        ("Complete", {}, "Successful", f"Job {NAME} completed"),
        ("Failed", {}, "Failed", f"Job {NAME} failed"),
        ("Failed", {"reason": "BackoffLimitExceeded"}, "Failed", f"Job {NAME} failed (BackoffLimitExceeded)"),
        ("Failed", {"reason": "in words, from a policy"}, "Failed", f"Job {NAME} failed"),
        ("Suspended", {}, "Pending", f"Job {NAME} is suspended"),
        ("FailureTarget", {}, "Pending", f"Job {NAME} is running"),
    ],
)
async def test_the_jobs_end_is_the_gates_result(
    kind: str, more: dict[str, str], result: str, message: str
) -> None:
    api = cluster()
    await measure(api, "music-e2e", RUN, digest)

    end(api, kind, **more)
    found = await measure(api, "music-e2e", RUN, digest)

    assert (found.result, found.message) == (result, message)


async def test_the_end_of_a_job_counts_although_its_cronjob_was_deleted() -> None:
    api = cluster()
    await measure(api, "music-e2e", RUN, digest)
    end(api, "Complete")
    api.remove(CRON_JOBS, "music", "music-e2e")

    assert (await measure(api, "music-e2e", RUN, digest)).result == "Successful"


async def test_each_wave_and_each_attempt_has_a_job_of_its_own() -> None:
    api = cluster()

    for run in (RUN, replace(RUN, wave=3), replace(RUN, epoch=4), replace(RUN, uid="uid-2")):
        await measure(api, "music-e2e", run, digest)

    assert len(api.objects(JOBS)) == 4


@pytest.mark.parametrize("spec", [{"suspend": False}, {"suspend": None}])
async def test_a_cronjob_that_is_not_suspended_is_not_run(spec: dict[str, Any]) -> None:
    api = cluster(**spec)

    found = await measure(api, "music-e2e", RUN, digest)

    assert found.result == "Error"
    assert "not suspended; set spec.suspend: true" in found.message
    assert api.objects(JOBS) == []


async def test_a_cronjob_that_is_missing_is_an_error() -> None:
    found = await measure(cluster(), "other", RUN, digest)

    assert (found.result, found.message) == ("Error", "CronJob other not found in namespace music")


FORGED: list[Any] = [
    {},
    {"labels": {"app.kubernetes.io/managed-by": "trimtab", "trimtab.dev/rollout": "calmer-agents"}},
    {"annotations": {"trimtab.dev/mark": ""}},
    {"annotations": {"trimtab.dev/mark": job.mark(NAME, replace(RUN, wave=1), digest)}},
    {"annotations": {"trimtab.dev/mark": job.mark("music-e2e-0", RUN, digest)}},
]


@pytest.mark.parametrize("meta", FORGED)
async def test_a_job_that_trimtab_did_not_create_is_an_error_and_left_unchanged(meta: Body) -> None:
    api = cluster()
    api.put(JOBS, {"metadata": {"name": NAME, "namespace": "music", **meta}, "spec": {}})
    end(api, "Complete")

    found = await measure(api, "music-e2e", RUN, digest)

    assert (found.result, found.message) == (
        "Error",
        f"Job {NAME} was not created by Trimtab, so it is not evidence; delete it",
    )
    assert api.writes == []


async def test_a_copy_of_the_recorded_job_is_not_a_result() -> None:
    api = cluster()
    made = await measure(api, "music-e2e", RUN, digest)
    body = api.objects(JOBS)[0]
    api.remove(JOBS, "music", NAME)
    meta = {name: value for name, value in body["metadata"].items() if name != "uid"}
    api.put(JOBS, {**body, "metadata": meta})
    end(api, "Complete")

    assert (await measure(api, "music-e2e", replace(RUN, known=made.job), digest)).result == "Error"


async def test_a_job_that_was_deleted_is_created_again() -> None:
    api = cluster()
    made = await measure(api, "music-e2e", RUN, digest)
    api.remove(JOBS, "music", NAME)

    again = await measure(api, "music-e2e", replace(RUN, known=made.job), digest)

    assert again.result == "Pending"
    assert again.job not in ("", made.job)


def test_a_jobs_name_and_mark_are_keyed_and_of_one_gate_in_one_wave() -> None:
    other = partial(Keys.fresh().digest, "job")
    runs = [
        RUN,
        *(replace(RUN, **change) for change in ({"gate": "b"}, {"wave": 3}, {"round": 1}, {"uid": "u"})),
    ]

    named = {job_name("music-e2e", run, keyed) for run in runs for keyed in (digest, other)}
    marks = {job.mark(NAME, run, keyed) for run in runs for keyed in (digest, other)}

    assert len(named) == len(marks) == 2 * len(runs)


async def test_a_job_that_appears_meanwhile_is_used() -> None:
    class Late(Memory):
        """The Job is there when it is made, and was not when it was looked for."""

        async def create(self, resource: Resource, body: Body) -> Body:
            self.put(resource, body)
            return await super().create(resource, body)

    api = Late()
    for resource in (NAMESPACES, CRON_JOBS):
        for found in cluster().objects(resource):
            api.put(resource, found)

    assert (await measure(api, "music-e2e", RUN, digest)).result == "Pending"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.of(403, "Forbidden", "secret"),
            "Trimtab may not get CronJobs or get and create Jobs; see docs/gates.md",
        ),
        (errors.of(503, "Unavailable", "secret"), "the API server sent no response"),
        (errors.of(422, "Invalid", "secret"), f"the API server rejected Job {NAME} (422 Invalid)"),
    ],
)
async def test_what_the_api_server_refuses_is_an_error_in_our_words(
    error: errors.ApiError, message: str
) -> None:
    class Refusing(Memory):
        async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
            raise error

    found = await measure(Refusing(), "music-e2e", RUN, digest)

    assert (found.result, found.message) == ("Error", message)


@pytest.mark.parametrize("cron_job", ["a", "a" * 52, "a" * 51 + ".b", "a" * 51 + "-b", "x" * 253])
def test_names_fit_where_they_go(cron_job: str) -> None:
    name = job_name(cron_job, RUN, digest)

    assert len(name) <= 63
    assert name[:-11] == cron_job[:52].rstrip(".-")
    assert int(name[-10:], 16) >= 0
    assert job_name(cron_job, RUN, digest) == name


def test_a_rollouts_label_is_its_name_or_as_much_as_fits() -> None:
    long, other = "a" * 100, "a" * 101

    assert rollout_label("calmer-agents") == "calmer-agents"
    assert len(rollout_label(long)) == 63
    assert rollout_label(long) != rollout_label(other)
    assert not job.is_trimtabs({"metadata": {"uid": "x"}}, RUN, "x")
