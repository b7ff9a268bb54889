"""The health of the workloads that somebody waits for: watched on demand, judged from memory, nothing at rest.

One watch for each kind and namespace in use (one for all namespaces where there are many) keeps those workloads that
are wanted, and only what is needed to evaluate them. Their pods are looked at while they are not healthy.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from trimtab.core.refs import WorkloadKey
from trimtab.core.workload.digest_annotation import carries
from trimtab.core.workload.health import Health, health_of
from trimtab.core.workload.pods import digest_in
from trimtab.engine.scheduling.retry import WORKLOAD_READS
from trimtab.engine.workloads.pod_diagnosis import PodLooks
from trimtab.engine.workloads.types import WorkloadObject
from trimtab.engine.workloads.watch import EVERYWHERE, NEVER, Entry, Seen, WorkloadWatch
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

LOOKS = 4
"""Requests about single workloads, and about their pods, at once."""
NAMESPACES = 8
"""Watches of one kind; where more namespaces are in use one watch sees all, since each is a connection."""


class HealthWatch:
    """``changed(key)`` is called on the event loop whenever the verdict about a workload may have changed.

    Wants come from whoever waits (``by``); each replaces that one's last. Nothing outlives :meth:`stop`.
    """

    def __init__(
        self, api: Api, changed: Callable[[WorkloadKey], None], *, relist_seconds: float = 600.0
    ) -> None:
        self._api, self.changed, self._relist_seconds = api, changed, relist_seconds
        self._wants: dict[str, frozenset[WorkloadKey]] = {}
        self._seen = Seen(self._entry_changed, self._confirm)
        self._watches: dict[tuple[str, str], tuple[WorkloadWatch, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(LOOKS)
        self._pods = PodLooks(api, self._slots, self._tell, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()

    def want(
        self,
        workloads: Collection[WorkloadKey],
        *,
        by: str = "rollouts",
        back: Collection[WorkloadKey] | None = None,
    ) -> None:
        """Watch these for ``by``, and no others.

        ``back`` are those of them that are on their way back to an earlier revision: pods of the failed one that hold
        a StatefulSet up are deleted, also where they only never became ready (`core.workload.pods.stuck`).
        """
        if back is not None:
            self._pods.back = frozenset(back)
        wanted, entries = frozenset(workloads), self._seen.entries
        if self._wants.get(by, frozenset()) == wanted:
            return
        self._wants[by] = wanted
        union = frozenset[WorkloadKey]().union(*self._wants.values())
        for key in entries.keys() - union:
            self._forget(entries.pop(key))
        fresh = [Entry(key) for key in union - entries.keys()]
        entries.update({entry.key: entry for entry in fresh})
        self._watch_what_is_wanted()
        for entry in fresh:
            if self._watch_of(entry.key).synced:  # its list has passed this one over
                self._confirm(entry)

    def state(self, key: WorkloadKey, digest: str | None, after: float = NEVER) -> Health:
        """The verdict from memory. It is not ``known`` where nobody has looked, or not since ``after`` (the event
        loop's time): then somebody looks now, and ``changed`` tells when that is done."""
        entry = self._seen.entries.get(key)
        if entry is None:
            return Health("Progressing", "is not watched", known=False)
        watch = self._watch_of(key)
        if not entry.known:
            why = f": {watch.problem}" if watch.problem else ""
            return Health("Progressing", f"has not been seen yet{why}", known=False)
        seen_at = max(entry.seen_at, watch.current_at)
        if seen_at < after:
            self._confirm(entry)
            return Health("Progressing", "has not been looked at since", known=False, seen_at=seen_at)
        verdict = health_of(key.kind, entry.found, (), digest)
        if verdict.state != "Healthy":
            if entry.pods_at < after:  # what is known of its pods is of before
                entry.pods_asked = True
                entry.again.set()
            else:
                by_pods = health_of(key.kind, entry.found, entry.pods, digest)
                seen_at = entry.pods_at if by_pods.state != verdict.state else seen_at
                verdict = by_pods
        message = "; ".join(filter(None, (verdict.message, entry.refused)))
        return replace(verdict, message=message, seen_at=seen_at)

    def lacks(self, key: WorkloadKey, mark: str, after: int) -> int | None:
        """The version of the workload that is seen, if it is newer than ``after`` and does not carry the mark."""
        entry = self._seen.entries.get(key)
        if entry is None or not entry.found or entry.version <= after:
            return None
        template = (entry.found.get("spec") or {}).get("template") or {}
        if entry.found["metadata"].get("deletionTimestamp") or carries(digest_in(template), mark):
            return None
        return entry.version

    async def stop(self) -> None:
        """End everything; returns when nothing runs any more."""
        for by in list(self._wants):
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

    def _watch_what_is_wanted(self) -> None:
        namespaces: dict[str, set[str]] = defaultdict(set)
        for key in self._seen.entries:
            namespaces[key.kind].add(key.namespace)
        needed = {
            (kind, where)
            for kind, used in namespaces.items()
            for where in (used if len(used) <= NAMESPACES else {EVERYWHERE})
        }
        for place in self._watches.keys() - needed:
            self._watches.pop(place)[1].cancel()
        for place in needed - self._watches.keys():
            watch = WorkloadWatch(self._api, self._seen, *place, self._relist_seconds)
            self._watches[place] = watch, self._spawn(watch.run())

    def _watch_of(self, key: WorkloadKey) -> WorkloadWatch:
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

    def _tell(self, key: WorkloadKey) -> None:
        self.changed(key)

    def _entry_changed(self, entry: Entry) -> None:
        self._pods.follow(entry)
        self.changed(entry.key)

    # One workload, at once.

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
                self._seen.take(entry, msgspec.convert(body, WorkloadObject), began)
            except errors.NotFoundError:
                if entry.version == version:  # else it has come since
                    self._seen.lose(entry, version, began)
            except (errors.ApiError, msgspec.ValidationError) as error:
                log.info("cannot look at %s: %s", key, error)
                return False
        return True
