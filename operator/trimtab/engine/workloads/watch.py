"""The required workloads, as last read, and the watches that update them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.core.refs import Ref
from trimtab.engine.workloads.types import PodObject, WorkloadObject, reduced
from trimtab.kube.port import Api
from trimtab.kube.reflector import Reflector
from trimtab.kube.resources import WORKLOADS

log = logging.getLogger(__name__)

EVERYWHERE = ""
"""Instead of a namespace: all of them."""
BROKEN_SECONDS = 30.0
NEVER = float("-inf")


@dataclass(slots=True)
class Entry:
    """One workload. ``found`` is empty where there is none; times are the event loop's."""

    key: Ref
    found: WorkloadObject = field(default_factory=WorkloadObject)
    known: bool = False
    version: int = -1
    seen_at: float = NEVER
    confirming: asyncio.Task[None] | None = None
    # Its pods, while it is not healthy by its own status.
    pods: tuple[PodObject, ...] = ()
    pods_at: float = NEVER
    pods_requested: bool = False
    """Whether the next read of them is reported, whatever it shows"""
    refused: str = ""
    """Why they cannot be read or deleted"""
    again: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Task[None] | None = None


@dataclass(slots=True)
class WorkloadStore:
    """``changed(entry)`` is called when a workload has changed, ``missed(entry)`` for one that became required only
    during a list."""

    changed: Callable[[Entry], None]
    missed: Callable[[Entry], None]
    entries: dict[Ref, Entry] = field(default_factory=dict)

    def put(self, entry: Entry, item: WorkloadObject, at: float) -> None:
        """It was read at ``at`` or later."""
        version = int(item["metadata"].get("resourceVersion") or 0)
        if version < entry.version:
            return
        found = reduced(item)
        new = not entry.known or found != entry.found
        entry.found, entry.known, entry.version = found, True, version
        entry.seen_at = max(entry.seen_at, at)
        if new:
            self.changed(entry)

    def drop(self, entry: Entry, version: int, at: float) -> None:
        """It did not exist at ``at`` or later."""
        new = not entry.known or bool(entry.found)
        entry.found, entry.known, entry.version = WorkloadObject(), True, max(entry.version, version)
        entry.seen_at = max(entry.seen_at, at)
        if new:
            self.changed(entry)


class WorkloadWatch:
    """One kind of workload in one namespace, or in all; the sink of its reflector."""

    def __init__(
        self, api: Api, store: WorkloadStore, kind: str, namespace: str, relist_seconds: float
    ) -> None:
        self._store, self._kind, self._namespace = store, kind, namespace
        self._reflector: Reflector[WorkloadObject] = Reflector(
            api,
            WORKLOADS[kind],
            WorkloadObject,
            self,
            version=lambda item: item["metadata"].get("resourceVersion") or "",
            namespace=namespace or None,
            relist_seconds=relist_seconds,
        )
        self._began = self._ended = self._listed_at = NEVER
        self._listing = False
        self._expected: set[Ref] = set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                await self._reflector.run()
            except Exception:  # whatever an API server responds, its next list may be valid
                log.exception("A watch failed", extra={"resource": self._reflector.resource.plural})
                await asyncio.sleep(BROKEN_SECONDS)

    @property
    def synced(self) -> bool:
        return self._reflector.synced.is_set()

    @property
    def problem(self) -> str:
        """Why it cannot read at the moment; empty if it can."""
        return self._reflector.problem

    @property
    def current_at(self) -> float:
        """Until when its workloads are certainly up to date: the last list's start, or the last event since."""
        contact = self._reflector.last_contact
        return self._listed_at if self._listing or contact <= self._ended else contact

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _mine(self) -> dict[Ref, Entry]:
        return {
            key: entry
            for key, entry in self._store.entries.items()
            if key.kind == self._kind and self._namespace in (EVERYWHERE, key.namespace)
        }

    def _entry(self, item: WorkloadObject) -> Entry | None:
        meta = item["metadata"]
        return self._store.entries.get(Ref(self._kind, meta["namespace"], meta["name"]))

    # As a sink.

    def begin(self) -> None:
        self._began, self._listing = self._now(), True
        self._expected = set(self._mine())

    def put(self, item: WorkloadObject) -> None:
        entry = self._entry(item)
        if entry is not None:
            self._expected.discard(entry.key)
            self._store.put(entry, item, self._began if self._listing else self._now())

    def drop(self, item: WorkloadObject) -> None:
        entry = self._entry(item)
        version = int(item["metadata"].get("resourceVersion") or 0)
        if entry is not None and version >= entry.version:
            self._store.drop(entry, version, self._now())

    def end(self, version: int) -> None:
        self._listing, self._listed_at, self._ended = False, self._began, self._now()
        for key, entry in self._mine().items():
            if key in self._expected and entry.version <= version:
                self._store.drop(entry, version, self._began)
            elif not entry.known:
                self._store.missed(entry)
