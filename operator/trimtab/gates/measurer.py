"""Makes one measurement of a gate of any type."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from trimtab.gates import Gate, Measurement, Subject, http, job, prometheus
from trimtab.gates.http_client import HttpClient, NoResponseError
from trimtab.gates.urls import AllowList, RefusedUrlError
from trimtab.kube.port import Api

MAX_JOB_REQUESTS = 4
"""Concurrent requests to the API server. The HTTP client has limits of its own."""


@dataclass(slots=True)
class GateMeasurer:
    """Implements :class:`trimtab.gates.runner.Measurer`: sends requests to URLs that ``allow`` covers, and to the API
    server for Jobs."""

    api: Api
    allow: AllowList
    digest: job.Digest
    _client: HttpClient | None = None
    _jobs: dict[tuple[Subject, str, int], str] = field(default_factory=dict)
    """The uid of the Job of a subject, gate and round, while it runs."""
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_JOB_REQUESTS))

    async def measure(self, subject: Subject, gate: Gate) -> Measurement:
        """An Error with the reason if the gate cannot be measured."""
        spec = gate.spec
        try:
            if spec.prometheus is not None:
                return await prometheus.measure(spec.prometheus, self.allow, self._http(), gate.timeout)
            if spec.http is not None:
                return await http.measure(spec.http, self.allow, self._http(), gate.timeout)
            if spec.job is not None:
                return await self._job(spec.job.cron_job, subject, gate)
        except (RefusedUrlError, NoResponseError) as error:
            return Measurement("Error", str(error))
        return Measurement("Error", "the gate has none of prometheus, http and job; add one")

    async def close(self) -> None:
        """Close all connections and forget what was measured."""
        client, self._client = self._client, None
        self._jobs.clear()
        if client is not None:
            await client.close()

    def _http(self) -> HttpClient:
        if self._client is None:
            from trimtab.gates.aiohttp_client import (
                AiohttpClient,  # slow to import, and the offline CLI has no use for it
            )

            self._client = AiohttpClient()
        return self._client

    async def _job(self, cron_job: str, subject: Subject, gate: Gate) -> Measurement:
        key = replace(subject, settled_at=None), gate.name, gate.round
        run = job.Run(
            subject.namespace,
            job.rollout_label(subject.name),
            subject.uid,
            subject.epoch,
            subject.wave,
            gate.name,
            gate.round,
            self._jobs.get(key, gate.job),
        )
        async with self._slots:
            try:
                async with asyncio.timeout(gate.timeout):
                    found = await job.measure(self.api, cron_job, run, self.digest)
            except TimeoutError:
                return Measurement("Error", f"the API server sent no response within {gate.timeout:g}s")
        if found.result in ("Successful", "Failed"):
            self._jobs.pop(key, None)
        elif found.job:
            self._jobs[key] = found.job
        return found
