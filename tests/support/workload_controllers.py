"""Kubernetes' own controllers over the API server in memory, as far as a workload's health shows: they roll what was
stamped, pod by pod's sum, and pods of bad digests crash."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

from support.memory_api import Memory
from trimtab.core.objects import MetaOnly
from trimtab.core.refs import Ref
from trimtab.core.workload.pods import digest_in
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import PODS, WORKLOADS


def workload(key: Ref, replicas: int = 2, digest: str | None = None, **spec: Any) -> Body:
    """A workload that nobody has looked at yet."""
    annotations = {"trimtab.dev/digest": digest} if digest else {}
    return {
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": key.name}},
            "template": {"metadata": {"labels": {"app": key.name}, "annotations": annotations}},
            **spec,
        },
    }


def status(body: Body, *, updated: int | None = None, available: int | None = None, **fields: Any) -> Body:
    """What its controller says when so many pods are updated and available; by default all of them."""
    replicas = body["spec"]["replicas"]
    new, well = (replicas if n is None else n for n in (updated, available))
    return {
        "observedGeneration": body["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": new,
        "readyReplicas": well,
        "availableReplicas": well,
        "desiredNumberScheduled": replicas,
        "updatedNumberScheduled": new,
        "numberAvailable": well,
        "updateRevision": f"{body['metadata']['name']}-{digest_in(body['spec']['template'])}",
        **fields,
    }


def pod(key: Ref, name: str, digest: str | None, reason: str = "", **meta: Any) -> Body:
    """A pod that is ready, or whose container waits for ``reason``."""
    ready = not reason
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    container = {"name": "main", "ready": ready, "restartCount": 0 if ready else 3, "state": state}
    return {
        "metadata": {
            "name": name,
            "namespace": key.namespace,
            "labels": {"app": key.name, "controller-revision-hash": f"{key.name}-{digest}"},
            "annotations": {"trimtab.dev/digest": digest} if digest else {},
            **meta,
        },
        "spec": {"containers": [{"name": "main", "env": [{"name": "PASSWORD", "value": "hunter2"}]}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


@dataclass(slots=True)
class Controllers:
    """``bad`` are the digests that no pod can live with; ``seconds`` is what a workload takes to roll.

    ``most`` is how many workloads have been rolling at once.
    """

    memory: Memory
    seconds: float = 5.0
    bad: set[str] = field(default_factory=set)
    rolling: dict[Ref, asyncio.Task[None]] = field(default_factory=dict)
    most: int = 0
    rolled: list[tuple[Ref, str | None]] = field(default_factory=list)
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for kind in WORKLOADS:
                    group.create_task(self._follow(kind))
        finally:
            for task in self.rolling.values():
                task.cancel()

    async def _follow(self, kind: str) -> None:
        version = ""
        while True:
            try:
                async for page in self.memory.pages(WORKLOADS[kind], MetaOnly):
                    version = page.metadata.resourceVersion
                    for item in page.items or ():
                        self._see(Ref(kind, item.metadata.namespace, item.metadata.name))
                async for event in self.memory.watch(WORKLOADS[kind], MetaOnly, version=version):
                    if event.type in ("ADDED", "MODIFIED"):
                        meta = event.object.metadata
                        self._see(Ref(kind, meta.namespace, meta.name))
            except errors.ApiError:
                await asyncio.sleep(0)

    def _see(self, key: Ref) -> None:
        body = self._body(key)
        if (
            body is None
            or (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
        ):
            return
        if key in self.rolling:
            self.rolling[key].cancel()
        self.rolling[key] = asyncio.create_task(self._roll(key, body))
        self.most = max(self.most, len(self.rolling))

    async def _roll(self, key: Ref, body: Body) -> None:
        digest = digest_in(body["spec"]["template"])
        self.rolled.append((key, digest))
        crashes = digest in self.bad
        self._say(key, status(body, updated=1, available=body["spec"]["replicas"] - 1))
        await asyncio.sleep(self.seconds)
        if crashes:
            self.memory.put(PODS, pod(key, f"{key.name}-new", digest, "CrashLoopBackOff"))
        else:
            for name in [p["metadata"]["name"] for p in self.memory.objects(PODS) if _of(p, key)]:
                self.memory.remove(PODS, key.namespace, name)
            self._say(key, status(body))
        del self.rolling[key]

    def _say(self, key: Ref, said: Body) -> None:
        body = self._body(key)
        if body is not None:
            self.memory.put(WORKLOADS[key.kind], {**body, "status": said})

    def _body(self, key: Ref) -> Body | None:
        for body in self.memory.objects(WORKLOADS[key.kind]):
            if (body["metadata"]["namespace"], body["metadata"]["name"]) == (key.namespace, key.name):
                return body
        return None


def _of(body: Body, key: Ref) -> bool:
    meta = body["metadata"]
    return bool(meta["namespace"] == key.namespace and meta["labels"].get("app") == key.name)
