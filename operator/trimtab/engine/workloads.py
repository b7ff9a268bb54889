"""Workloads that read a group's configuration: restarted when a key with ``reload: Restart`` changed, and only then.

A restart is the pod template's annotation ``trimtab.dev/digest``, a keyed digest of those keys' values; Kubernetes
does the rest at the workload's own pace. The digest of equal values is equal, so nothing restarts twice for one change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.core import naming
from trimtab.core.resolve import GroupView
from trimtab.engine.metrics import WRITES
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

ATTEMPTS = 5
PARALLEL = 2
"""Workloads that are told to restart at once, over all groups."""


@dataclass(slots=True)
class Workloads:
    """``digest`` is keyed."""

    api: Api
    digest: Callable[[object], str]
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))

    async def restart(self, view: GroupView, namespace: str) -> list[str]:
        """Stamp the group's workloads; what could not be done, for people.

        :raises trimtab.kube.errors.UnavailableError: try again later.
        """
        workloads = view.group.spec.workloads
        if not workloads:
            return []
        keys = view.schema.keys
        digest = self.digest({n: v for n, v in view.values.items() if keys[n].spec.reload != "None"})
        problems = await asyncio.gather(*(self._stamp(w.kind, namespace, w.name, digest) for w in workloads))
        return [problem for problem in problems if problem]

    async def _stamp(self, kind: str, namespace: str, name: str, digest: str) -> str:
        """An empty string, or why it could not be done."""
        async with self._slots:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(
                    errors.ConflictError
                ):  # its controller writes its status all the time
                    return await self._stamp_once(kind, namespace, name, digest)
        return f"{kind} {namespace}/{name} keeps changing; it will be restarted later"

    async def _stamp_once(self, kind: str, namespace: str, name: str, digest: str) -> str:
        resource = WORKLOADS[kind]
        try:
            found = await self.api.get(resource, namespace, name)
            annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
            if annotations.get(naming.ANNOTATION_DIGEST) == digest:
                return ""
            body = {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "resourceVersion": found["metadata"]["resourceVersion"],
                },
                "spec": {"template": {"metadata": {"annotations": {naming.ANNOTATION_DIGEST: digest}}}},
            }
            await self.api.apply(resource, body)
        except errors.NotFoundError:
            return f"{kind} {namespace}/{name} does not exist"
        except (errors.ForbiddenError, errors.InvalidError) as error:
            return f"{kind} {namespace}/{name} could not be restarted: {error.reason}"
        WRITES.labels(kind, "restart").inc()
        log.info("restarting", extra={"workload": f"{kind} {namespace}/{name}"})
        return ""
