"""The health of the workloads that rollouts and restarts wait for: watched on demand, evaluated from memory.

One watch for each kind and namespace in use (one for all namespaces if there are many) stores the required workloads,
and of them only what is needed to evaluate their health. Their pods are read while they are not healthy.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from trimtab.core.refs import Ref
from trimtab.core.workload.digest_annotation import carries
from trimtab.core.workload.health import Health, health_of
from trimtab.core.workload.pods import digest_in
from trimtab.engine.scheduling.retry import WORKLOAD_READS
from trimtab.engine.workloads.pod_diagnosis import PodDiagnosis
from trimtab.engine.workloads.types import WorkloadObject
from trimtab.engine.workloads.watch import EVERYWHERE, NEVER, Entry, WorkloadStore, WorkloadWatch
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

READS = 4
"""Concurrent reads of single workloads and of their pods."""
NAMESPACES = 8
"""Watches of one kind, each of them a connection. If more namespaces are in use, one watch reads all of them."""


class HealthWatch:
    """``changed(key)`` is called on the event loop whenever a workload's health may have changed.

    Each client (``by``) requires its own workloads. Nothing outlives :meth:`stop`.
    """

    def __init__(self, api: Api, changed: Callable[[Ref], None], *, relist_seconds: float = 600.0) -> None:
        self._api, self.changed, self._relist_seconds = api, changed, relist_seconds
        self._required: dict[str, frozenset[Ref]] = {}
        self._store = WorkloadStore(self._entry_changed, self._confirm)
        self._watches: dict[tuple[str, str], tuple[WorkloadWatch, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(READS)
        self._pods = PodDiagnosis(api, self._slots, self._pods_changed, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()

    def want(
        self,
        workloads: Collection[Ref],
        *,
        by: str = "rollouts",
        back: Collection[Ref] | None = None,
    ) -> None:
        """Watch these for ``by``, and no others.

        ``back`` are those of them that are rolled back: pods of the failed revision that block a StatefulSet are
        deleted, also if they only never became ready (`core.workload.pods.stuck`).
        """
        if back is not None:
            self._pods.back = frozenset(back)
        wanted, entries = frozenset(workloads), self._store.entries
        if self._required.get(by, frozenset()) == wanted:
            return
        self._required[by] = wanted
        union = frozenset[Ref]().union(*self._required.values())
        for key in entries.keys() - union:
            self._forget(entries.pop(key))
        fresh = [Entry(key) for key in union - entries.keys()]
        entries.update({entry.key: entry for entry in fresh})
        self._adjust_watches()
        for entry in fresh:
            if self._watch_of(entry.key).synced:  # its list has passed this one over
                self._confirm(entry)

    def state(self, key: Ref, digest: str | None, after: float = NEVER) -> Health:
        """The health from memory. It is not ``known`` if the workload was not read since ``after`` (the event loop's
        time): then it is read now, and ``changed`` is called afterwards."""
        entry = self._store.entries.get(key)
        if entry is None:
            return Health("Progressing", "is not watched", known=False)
        watch = self._watch_of(key)
        if not entry.known:
            why = f": {watch.problem}" if watch.problem else ""
            return Health("Progressing", f"has not been read yet{why}", known=False)
        seen_at = max(entry.seen_at, watch.current_at)
        if seen_at < after:
            self._confirm(entry)
            return Health("Progressing", "has not been read since", known=False, seen_at=seen_at)
        verdict = health_of(key.kind, entry.found, (), digest)
        if verdict.state != "Healthy":
            if entry.pods_at < after:  # what is known of its pods is of before
                entry.pods_requested = True
                entry.again.set()
            else:
                by_pods = health_of(key.kind, entry.found, entry.pods, digest)
                seen_at = entry.pods_at if by_pods.state != verdict.state else seen_at
                verdict = by_pods
        message = "; ".join(filter(None, (verdict.message, entry.refused)))
        return replace(verdict, message=message, seen_at=seen_at)

    def lacks(self, key: Ref, mark: str, after: int) -> int | None:
        """The version of the workload, if it is newer than ``after`` and does not carry the mark."""
        entry = self._store.entries.get(key)
        if entry is None or not entry.found or entry.version <= after:
            return None
        template = (entry.found.get("spec") or {}).get("template") or {}
        if entry.found["metadata"].get("deletionTimestamp") or carries(digest_in(template), mark):
            return None
        return entry.version

    async def stop(self) -> None:
        """End everything; returns when no task runs."""
        for by in list(self._required):
            self.want((), by=by, back=())
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def watches(self) -> int:
        """How many are open."""
        return len(self._watches)

    # Watches and tasks.

    def _adjust_watches(self) -> None:
        namespaces: dict[str, set[str]] = defaultdict(set)
        for key in self._store.entries:
            namespaces[key.kind].add(key.namespace)
        needed = {
            (kind, where)
            for kind, used in namespaces.items()
            for where in (used if len(used) <= NAMESPACES else {EVERYWHERE})
        }
        for place in self._watches.keys() - needed:
            self._watches.pop(place)[1].cancel()
        for place in needed - self._watches.keys():
            watch = WorkloadWatch(self._api, self._store, *place, self._relist_seconds)
            self._watches[place] = watch, self._spawn(watch.run())

    def _watch_of(self, key: Ref) -> WorkloadWatch:
        place = (key.kind, EVERYWHERE)
        return self._watches[place if place in self._watches else (key.kind, key.namespace)][0]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _forget(self, entry: Entry) -> None:
        self._pods.forget(entry)
        if entry.confirming is not None:
            entry.confirming.cancel()

    def _pods_changed(self, key: Ref) -> None:
        self.changed(key)

    def _entry_changed(self, entry: Entry) -> None:
        self._pods.follow(entry)
        self.changed(entry.key)

    # Direct reads of one workload.

    def _confirm(self, entry: Entry) -> None:
        if entry.confirming is None or entry.confirming.done():
            entry.confirming = self._spawn(self._get(entry))

    async def _get(self, entry: Entry) -> None:
        failures = 0
        while not await self._got(entry):
            failures += 1
            await asyncio.sleep(WORKLOAD_READS.after(failures))
        self.changed(entry.key)

    async def _got(self, entry: Entry) -> bool:
        key = entry.key
        async with self._slots:
            began, version = asyncio.get_running_loop().time(), entry.version
            try:
                body = await self._api.get(WORKLOADS[key.kind], key.namespace, key.name)
                self._store.put(entry, msgspec.convert(body, WorkloadObject), began)
            except errors.NotFoundError:
                if entry.version == version:  # else it has appeared meanwhile
                    self._store.drop(entry, version, began)
            except (errors.ApiError, msgspec.ValidationError) as error:
                log.info("Could not read %s: %s", key, error)
                return False
        return True
