"""Reads the pods of workloads that are not healthy by their own status: at each change, and every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from trimtab.core.refs import Ref
from trimtab.core.workload.health import health_of
from trimtab.core.workload.pods import digest_in, pod_selector, stuck, trouble, troubled
from trimtab.engine.workloads.types import PodObject
from trimtab.engine.workloads.watch import NEVER, Entry
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api
from trimtab.kube.resources import PODS

log = logging.getLogger(__name__)

READ_SECONDS = 3.0
GAP_SECONDS = 0.25
"""The least time between two reads of one workload's pods, however often it changes."""
REFUSED_SECONDS = 30.0
"""How long a refusal is not retried."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class PodDiagnosis:
    """``changed`` is called when the reasons why pods are not ready have changed; ``spawn`` starts a task.

    Only pods with a problem are stored. ``slots`` limits the concurrent requests.
    """

    def __init__(
        self, api: Api, slots: asyncio.Semaphore, changed: Callable[[Ref], None], spawn: Spawn
    ) -> None:
        self._api, self._slots, self._changed, self._spawn = api, slots, changed, spawn
        self.back: frozenset[Ref] = frozenset()
        """Workloads that are rolled back: pods of the failed revision are deleted"""

    def follow(self, entry: Entry) -> None:
        """The workload has changed: read its pods while it is not healthy."""
        if not entry.found or health_of(entry.key.kind, entry.found, (), None).state == "Healthy":
            self.forget(entry)
        elif entry.reading is not None and not entry.reading.done():
            entry.again.set()
        else:
            entry.reading = self._spawn(self._read_on(entry))

    def forget(self, entry: Entry) -> None:
        if entry.reading is not None:
            entry.reading.cancel()
        entry.reading, entry.pods, entry.pods_at, entry.refused = None, (), NEVER, ""

    async def _read_on(self, entry: Entry) -> None:
        while True:
            entry.again.clear()
            pause = READ_SECONDS
            try:
                async with self._slots:
                    await self._read(entry)
            except errors.ForbiddenError as error:
                pause = REFUSED_SECONDS
                self._refuse(entry, f"its pods cannot be read ({error.reason})")
            except errors.ApiError as error:
                log.info("Could not read the pods of %s: %s", entry.key, error)
            except Exception:  # whatever an API server responds, the next response may be valid
                log.exception("Could not read pods", extra={"workload": str(entry.key)})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await entry.again.wait()
            await asyncio.sleep(GAP_SECONDS)

    async def _read(self, entry: Entry) -> None:
        selector, began = pod_selector(entry.found), asyncio.get_running_loop().time()
        if not selector:
            return
        seen: list[PodObject] = []
        async for page in self._api.pages(PODS, PodObject, namespace=entry.key.namespace, selector=selector):
            seen += troubled(page.items or ())  # type: ignore[arg-type]
            await asyncio.sleep(0)
        new = _summary(entry.pods) != _summary(seen)
        entry.pods, entry.pods_at, entry.refused = tuple(seen), began, ""
        for pod in seen:
            await self._free(entry, pod)
        if new or entry.pods_requested:
            entry.pods_requested = False
            self._changed(entry.key)

    async def _free(self, entry: Entry, pod: PodObject) -> None:
        """Delete a pod that blocks its StatefulSet's update."""
        key, found = entry.key, trouble(pod)
        if found is None or not (found.fatal or key in self.back) or not stuck(key.kind, entry.found, pod):
            return
        name = pod["metadata"]["name"]
        try:
            await self._api.delete(PODS, key.namespace, name, uid=pod["metadata"].get("uid", ""))
        except (errors.NotFoundError, errors.ConflictError, NotLeaderError):
            return
        except errors.ForbiddenError as error:
            self._refuse(entry, f"pod {name} blocks the update; delete it ({error.reason})")
            return
        log.info("Deleted a pod that blocked an update", extra={"workload": str(key), "pod": name})

    def _refuse(self, entry: Entry, why: str) -> None:
        if entry.refused != why:
            entry.refused = why
            self._changed(entry.key)


def _summary(pods: Sequence[PodObject]) -> list[tuple[str, str, str]]:
    """The part that the workload's health depends on."""
    return sorted((pod["metadata"]["name"], digest_in(pod) or "", str(trouble(pod))) for pod in pods)
