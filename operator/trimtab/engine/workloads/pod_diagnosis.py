"""Looks at the pods of workloads that are not healthy by their own status: at each change, and every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from trimtab.core.refs import WorkloadKey
from trimtab.core.workload.health import health_of
from trimtab.core.workload.pods import digest_in, pod_selector, stuck, trouble, troubled
from trimtab.engine.workloads.types import PodObject
from trimtab.engine.workloads.watch import NEVER, Entry
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api
from trimtab.kube.resources import PODS

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
GAP_SECONDS = 0.25
"""The least time between two looks at one workload's pods, however often it changes."""
REFUSED_SECONDS = 30.0
"""How long a refusal is taken for an answer."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class PodLooks:
    """``changed`` is called when what keeps pods from being ready has changed, ``spawn`` starts a task.

    Only pods in trouble are kept. ``slots`` bounds the requests at once.
    """

    def __init__(
        self, api: Api, slots: asyncio.Semaphore, changed: Callable[[WorkloadKey], None], spawn: Spawn
    ) -> None:
        self._api, self._slots, self._changed, self._spawn = api, slots, changed, spawn
        self.back: frozenset[WorkloadKey] = frozenset()
        """Workloads on their way back to an earlier revision: what is left of the failed one goes."""

    def follow(self, entry: Entry) -> None:
        """The workload has changed: look at its pods, or stop to."""
        if not entry.found or health_of(entry.key.kind, entry.found, (), None).state == "Healthy":
            self.forget(entry)
        elif entry.looking is not None and not entry.looking.done():
            entry.again.set()
        else:
            entry.looking = self._spawn(self._look(entry))

    def forget(self, entry: Entry) -> None:
        if entry.looking is not None:
            entry.looking.cancel()
        entry.looking, entry.pods, entry.pods_at, entry.refused = None, (), NEVER, ""

    async def _look(self, entry: Entry) -> None:
        while True:
            entry.again.clear()
            pause = LOOK_SECONDS
            try:
                async with self._slots:
                    await self._see(entry)
            except errors.ForbiddenError as error:
                pause = REFUSED_SECONDS
                self._refuse(entry, f"its pods cannot be looked at ({error.reason})")
            except errors.ApiError as error:
                log.info("cannot look at the pods of %s: %s", entry.key, error)
            except Exception:  # whatever an API server says, the next answer may be one that we understand
                log.exception("cannot look at pods", extra={"workload": str(entry.key)})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await entry.again.wait()
            await asyncio.sleep(GAP_SECONDS)

    async def _see(self, entry: Entry) -> None:
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
        if new or entry.pods_asked:
            entry.pods_asked = False
            self._changed(entry.key)

    async def _free(self, entry: Entry, pod: PodObject) -> None:
        """Delete a pod that holds its StatefulSet's update up."""
        key, found = entry.key, trouble(pod)
        if found is None or not (found.fatal or key in self.back) or not stuck(key.kind, entry.found, pod):
            return
        name = pod["metadata"]["name"]
        try:
            await self._api.delete(PODS, key.namespace, name, uid=pod["metadata"].get("uid", ""))
        except (errors.NotFoundError, errors.ConflictError, NotLeaderError):
            return
        except errors.ForbiddenError as error:
            self._refuse(entry, f"pod {name} holds the update up; delete it ({error.reason})")
            return
        log.info("deleted a pod that held an update up", extra={"workload": str(key), "pod": name})

    def _refuse(self, entry: Entry, why: str) -> None:
        if entry.refused != why:
            entry.refused = why
            self._changed(entry.key)


def _summary(pods: Sequence[PodObject]) -> list[tuple[str, str, str]]:
    """The part whose change can be a change of the verdict."""
    return sorted((pod["metadata"]["name"], digest_in(pod) or "", str(trouble(pod))) for pod in pods)
