"""Job gates: a suspended CronJob of the namespace is a template, and a Job is made of it once a wave.

The Job's name follows from the rollout, its epoch, its wave and the gate, so whoever looks twice, restarts or takes
over finds the same one. It is the CronJob's as by `kubectl create job --from`.

Only a Job that Trimtab created is evidence (decision 025): its name and its mark are keyed, and its uid is remembered,
in status for the next leader, so that a copy in its place does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.core import naming
from trimtab.gates import Measurement, Result
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import CRON_JOBS, JOBS

KEPT_SECONDS = 86_400
"""How long a finished Job is kept at least: while it is there, no other one is made for its wave."""
INSTANTIATE = "cronjob.kubernetes.io/instantiate"
Digest = Callable[[tuple[str, ...], str], str]
"""A keyed digest of a text in a place."""
_LONGEST = 63  # of a Job's name: its pods carry it as a label


@dataclass(frozen=True, slots=True)
class Run:
    """One gate in one wave of one attempt of a rollout: what a Job is made for. ``rollout`` is the value of the label;
    ``round`` rises when a Job has failed and another one is asked for. ``known`` is the uid of the Job that was made
    for it, where one is remembered."""

    namespace: str
    rollout: str
    uid: str
    epoch: int
    wave: int
    gate: str = ""
    round: int = 0
    known: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        return self.namespace, self.uid, self.gate, f"{self.epoch}/{self.wave}/{self.round}"


def rollout_label(name: str) -> str:
    """The rollout's name as a label's value, which has at most 63 characters."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[:46].rstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def job_name(cron_job: str, run: Run, digest: Digest) -> str:
    """``<cronjob>-<10 hex digits>``, which nobody can work out beforehand."""
    keyed = digest(run.place, f"name/{cron_job}")[:10]
    return f"{cron_job[: _LONGEST - 11].rstrip('.-')}-{keyed}"


def mark(name: str, run: Run, digest: Digest) -> str:
    """What a Job of that name carries to prove that Trimtab created it."""
    return digest(run.place, f"mark/{name}")


async def measure(api: Api, cron_job: str, run: Run, digest: Digest) -> Measurement:
    """Find the wave's Job, or make it, and say how far it is."""
    name = job_name(cron_job, run, digest)
    marked = mark(name, run, digest)
    try:
        found = await _get(api, run, name)
        if found is None:
            template = await api.get(CRON_JOBS, run.namespace, cron_job)
            if template.get("spec", {}).get("suspend") is not True:
                return Measurement(
                    "Error",
                    f"CronJob {cron_job} is not suspended; set spec.suspend: true, as gates run it themselves",
                )
            found, created = await _create(api, job_of(template, name, run, marked), run, name)
            if created:
                return judge(found, name)
    except errors.ForbiddenError:
        return Measurement("Error", "Trimtab may not get CronJobs, or get and create Jobs; see docs/gates.md")
    except errors.NotFoundError:
        return Measurement("Error", f"there is no CronJob {cron_job} in namespace {run.namespace}")
    except errors.UnavailableError:
        return Measurement("Error", "the API server does not answer")
    except errors.ApiError as error:
        return Measurement("Error", f"the API server refuses Job {name} ({error.status} {error.reason})")
    if not is_ours(found, run, marked):
        return Measurement(
            "Error", f"Job {name} exists and Trimtab did not create it, so it is no evidence; delete it"
        )
    return judge(found, name)


def is_ours(found: Body, run: Run, marked: str) -> bool:
    """Whether Trimtab created the Job: it carries the mark, and is the very one that is remembered, if one is."""
    meta = found["metadata"]
    carried = str((meta.get("annotations") or {}).get(naming.ANNOTATION_MARK))
    return carried == marked and run.known in ("", meta["uid"])


def judge(found: Body, name: str) -> Measurement:
    """What the conditions of a Job that Trimtab created say."""
    result, message = _judged(found, name)
    return Measurement(result, message, found["metadata"]["uid"])


def _judged(found: Body, name: str) -> tuple[Result, str]:
    holding = {
        c.get("type"): c for c in found.get("status", {}).get("conditions") or () if c.get("status") == "True"
    }
    if "Failed" in holding:
        reason = str(holding["Failed"].get("reason") or "")
        return "Failed", f"Job {name} failed{f' ({reason[:80]})' if reason.isalnum() else ''}"
    if "Complete" in holding:
        return "Successful", f"Job {name} completed"
    return "Pending", f"Job {name} is {'suspended' if 'Suspended' in holding else 'running'}"


def job_of(cron_job: Body, name: str, run: Run, marked: str) -> Body:
    """The Job that the CronJob describes: its owner is the CronJob, its pods are as the CronJob's."""
    template = cron_job["spec"].get("jobTemplate") or {}
    meta = template.get("metadata") or {}
    spec: dict[str, Any] = dict(template.get("spec") or {})
    spec["ttlSecondsAfterFinished"] = max(spec.get("ttlSecondsAfterFinished") or 0, KEPT_SECONDS)
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": name,
            "namespace": run.namespace,
            "labels": {
                **(meta.get("labels") or {}),
                naming.LABEL_MANAGED_BY: naming.MANAGER,
                naming.LABEL_ROLLOUT: run.rollout,
            },
            "annotations": {
                **(meta.get("annotations") or {}),
                INSTANTIATE: "manual",
                naming.ANNOTATION_MARK: marked,
            },
            "ownerReferences": [
                {
                    "apiVersion": CRON_JOBS.api_version,
                    "kind": CRON_JOBS.kind,
                    "name": cron_job["metadata"]["name"],
                    "uid": cron_job["metadata"]["uid"],
                }
            ],
        },
        "spec": spec,
    }


async def _get(api: Api, run: Run, name: str) -> Body | None:
    try:
        return await api.get(JOBS, run.namespace, name)
    except errors.NotFoundError:
        return None


async def _create(api: Api, body: Body, run: Run, name: str) -> tuple[Body, bool]:
    """The Job that stands there, and whether this call made it."""
    try:
        return await api.create(JOBS, body), True
    except errors.ConflictError:  # another client was faster, perhaps this operator before a restart
        return await api.get(JOBS, run.namespace, name), False
