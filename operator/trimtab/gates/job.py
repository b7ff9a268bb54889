"""Job gates: a suspended CronJob of the namespace is a template, and a Job is made of it once a wave.

The Job's name follows from the rollout, its epoch and its wave, so whoever looks twice, restarts or takes over finds
the same one. It is the CronJob's as by `kubectl create job --from`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from trimtab.core import naming
from trimtab.gates import Measurement
from trimtab.kube import errors
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import CRON_JOBS, JOBS

KEPT_SECONDS = 86_400
"""How long a finished Job is kept at least: while it is there, no other one is made for its wave."""
INSTANTIATE = "cronjob.kubernetes.io/instantiate"
_LONGEST = 63  # of a Job's name: its pods carry it as a label


@dataclass(frozen=True, slots=True)
class Run:
    """One wave of one attempt of a rollout: what a Job is made for. ``rollout`` is the value of the label; ``round``
    rises when a Job has failed and somebody wants it tried again."""

    namespace: str
    rollout: str
    uid: str
    epoch: int
    wave: int
    round: int = 0


def rollout_label(name: str) -> str:
    """The rollout's name as a label's value, which has at most 63 characters."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[:46].rstrip('.-')}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def job_name(cron_job: str, run: Run) -> str:
    """``<cronjob>-<10 hex digits>``."""
    said = f"{run.uid}/{run.epoch}/{run.wave}" + (f"/{run.round}" if run.round else "")
    mark = hashlib.sha256(said.encode()).hexdigest()[:10]
    return f"{cron_job[: _LONGEST - 11].rstrip('.-')}-{mark}"


async def measure(api: Api, cron_job: str, run: Run) -> Measurement:
    """Find the wave's Job, or make it, and say how far it is."""
    name = job_name(cron_job, run)
    try:
        found = await _get(api, run, name)
        if found is None:
            template = await api.get(CRON_JOBS, run.namespace, cron_job)
            if template.get("spec", {}).get("suspend") is not True:
                return Measurement(
                    "Error",
                    f"CronJob {cron_job} is not suspended; set spec.suspend: true, as gates run it themselves",
                )
            found = await _create(api, job_of(template, name, run), run, name)
    except errors.ForbiddenError:
        return Measurement("Error", "Trimtab may not get CronJobs, or get and create Jobs; see docs/gates.md")
    except errors.NotFoundError:
        return Measurement("Error", f"there is no CronJob {cron_job} in namespace {run.namespace}")
    except errors.UnavailableError:
        return Measurement("Error", "the API server does not answer")
    except errors.ApiError as error:
        return Measurement("Error", f"the API server refuses Job {name} ({error.status} {error.reason})")
    return judge(found, name, run)


def judge(found: Body, name: str, run: Run) -> Measurement:
    """What a Job's conditions say."""
    labels = found["metadata"].get("labels") or {}
    if (
        labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGER
        or labels.get(naming.LABEL_ROLLOUT) != run.rollout
    ):
        return Measurement("Error", f"Job {name} exists and is not Trimtab's; delete it or rename it")
    holding = {
        c.get("type"): c for c in found.get("status", {}).get("conditions") or () if c.get("status") == "True"
    }
    if "Failed" in holding:
        reason = str(holding["Failed"].get("reason") or "")
        return Measurement("Failed", f"Job {name} failed{f' ({reason[:80]})' if reason.isalnum() else ''}")
    if "Complete" in holding:
        return Measurement("Successful", f"Job {name} completed")
    if "Suspended" in holding:
        return Measurement("Pending", f"Job {name} is suspended")
    return Measurement("Pending", f"Job {name} is running")


def job_of(cron_job: Body, name: str, run: Run) -> Body:
    """The Job that the CronJob describes."""
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
            "annotations": {**(meta.get("annotations") or {}), INSTANTIATE: "manual"},
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


async def _create(api: Api, body: Body, run: Run, name: str) -> Body:
    try:
        return await api.create(JOBS, body)
    except errors.ConflictError:  # somebody was faster, perhaps we ourselves before a restart
        return await api.get(JOBS, run.namespace, name)
