"""Job gates on a real API server: it accepts the Jobs, and its controller reports how they end."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from support.shared_cluster import Cluster
from trimtab.crypto import Keys
from trimtab.gates import Measurement
from trimtab.gates.job import Run, measure
from trimtab.kube.client import Client
from trimtab.kube.credentials import load
from trimtab.kube.resources import CRON_JOBS, JOBS

PATIENCE = 90.0
digest = partial(Keys.fresh().digest, "job")


def cron_job(namespace: str, **spec: Any) -> dict[str, Any]:
    """Suspended. Its pods could run nowhere."""
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"trimtab.dev/nowhere": "true"},
        "containers": [{"name": "e2e", "image": "registry.example/e2e:1"}],
    }
    job = {"backoffLimit": 0, "ttlSecondsAfterFinished": 0, "template": {"spec": pod}, **spec}
    return {
        "metadata": {"name": "e2e", "namespace": namespace},
        "spec": {"suspend": True, "schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}},
    }


@pytest.mark.parametrize(
    ("spec", "result", "said"),
    [
        ({"completions": 0}, "Successful", "completed"),
        ({"activeDeadlineSeconds": 1}, "Failed", "failed (DeadlineExceeded)"),
    ],
    ids=["completes", "fails"],
)
async def test_a_jobs_end_is_seen_once_and_kept(
    cluster: Cluster, namespace: str, spec: dict[str, Any], result: str, said: str
) -> None:
    run = Run(namespace, "calmer-agents", "uid", 1, 1)
    async with Client(load(cluster.kubeconfig)) as api:
        await api.create(CRON_JOBS, cron_job(namespace, **spec))

        ended = await _ended(api, run)
        again = await measure(api, "e2e", run, digest)

        jobs = [
            found
            async for page in api.pages(JOBS, dict[str, Any], namespace=namespace)
            for found in page.items or ()
        ]

    assert ended.result == result
    assert ended.message.endswith(said)
    assert again == ended
    assert len(jobs) == 1
    assert jobs[0]["metadata"]["ownerReferences"][0]["name"] == "e2e"


async def _ended(api: Client, run: Run) -> Measurement:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await measure(api, "e2e", run, digest)
            if found.result != "Pending":
                return found
            await asyncio.sleep(0.05)
