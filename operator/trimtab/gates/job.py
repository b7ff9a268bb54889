"""Job gates: a suspended CronJob of the namespace is the template of a Job, which Trimtab creates once a wave.

The Job's name is derived from the rollout, its epoch, its wave and the gate, so that the operator finds the same Job
after a restart or a change of leadership. The CronJob owns it, as with `kubectl create job --from`.

Only a Job that Trimtab created is evidence (decision 025): its name and its mark are HMACs, and the status stores its
uid for the next leader, so that a copy with the same name does not count.
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
"""How long a finished Job is kept at least. While it exists, no other one is created for its wave."""
INSTANTIATE = "cronjob.kubernetes.io/instantiate"
Digest = Callable[[tuple[str, ...], str], str]
"""The HMAC of a text, for a place."""
_LONGEST = 63  # of a Job's name, which is a label of its pods


@dataclass(frozen=True, slots=True)
class Run:
    """One gate in one wave of one attempt of a rollout, for which a Job is created. ``rollout`` is the value of the
    label. ``round`` increases when a Job has failed and another one is required. ``known`` is the stored uid of its
    Job, if there is one."""

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
    """``<cronjob>-<10 hex digits>``, which another client cannot predict."""
    suffix = digest(run.place, f"name/{cron_job}")[:10]
    return f"{cron_job[: _LONGEST - 11].rstrip('.-')}-{suffix}"


def mark(name: str, run: Run, digest: Digest) -> str:
    """The annotation that proves that Trimtab created the Job of that name."""
    return digest(run.place, f"mark/{name}")


async def measure(api: Api, cron_job: str, run: Run, digest: Digest) -> Measurement:
    """Find or create the wave's Job, and measure its state."""
    name = job_name(cron_job, run, digest)
    marked = mark(name, run, digest)
    try:
        found = await _get(api, run, name)
        if found is None:
            template = await api.get(CRON_JOBS, run.namespace, cron_job)
            if template.get("spec", {}).get("suspend") is not True:
                return Measurement(
                    "Error",
                    f"CronJob {cron_job} is not suspended; set spec.suspend: true, because the gate runs it",
                )
            found, created = await _create(api, job_of(template, name, run, marked), run, name)
            if created:
                return evaluate(found, name)
    except errors.ForbiddenError:
        return Measurement("Error", "Trimtab may not get CronJobs or get and create Jobs; see docs/gates.md")
    except errors.NotFoundError:
        return Measurement("Error", f"CronJob {cron_job} not found in namespace {run.namespace}")
    except errors.UnavailableError:
        return Measurement("Error", "the API server sent no response")
    except errors.ApiError as error:
        return Measurement("Error", f"the API server rejected Job {name} ({error.status} {error.reason})")
    if not is_trimtabs(found, run, marked):
        return Measurement(
            "Error", f"Job {name} was not created by Trimtab, so it is not evidence; delete it"
        )
    return evaluate(found, name)


def is_trimtabs(found: Body, run: Run, marked: str) -> bool:
    """Whether Trimtab created the Job: it has the mark, and the stored uid if there is one."""
    meta = found["metadata"]
    carried = str((meta.get("annotations") or {}).get(naming.ANNOTATION_MARK))
    return carried == marked and run.known in ("", meta["uid"])


def evaluate(found: Body, name: str) -> Measurement:
    """The measurement from the conditions of a Job that Trimtab created."""
    result, message = _state(found, name)
    return Measurement(result, message, found["metadata"]["uid"])


def _state(found: Body, name: str) -> tuple[Result, str]:
    conditions = {
        c.get("type"): c for c in found.get("status", {}).get("conditions") or () if c.get("status") == "True"
    }
    if "Failed" in conditions:
        reason = str(conditions["Failed"].get("reason") or "")
        return "Failed", f"Job {name} failed{f' ({reason[:80]})' if reason.isalnum() else ''}"
    if "Complete" in conditions:
        return "Successful", f"Job {name} completed"
    return "Pending", f"Job {name} is {'suspended' if 'Suspended' in conditions else 'running'}"


def job_of(cron_job: Body, name: str, run: Run, marked: str) -> Body:
    """The Job from the CronJob's template, owned by the CronJob."""
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
    """The Job, and whether this call created it."""
    try:
        return await api.create(JOBS, body), True
    except errors.ConflictError:  # created meanwhile, perhaps by this operator before a restart
        return await api.get(JOBS, run.namespace, name), False
