"""Writes status. A status that nothing depends on is written in the background: one write for each object that waits,
and few concurrently, after what renders.

Namespaces are served round-robin, so one with many statuses delays those of others by one write. A failed write is
retried as failed passes are (:mod:`trimtab.engine.scheduling.retry`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from trimtab.core.objects import AnyObject
from trimtab.core.refs import TemplateKey
from trimtab.core.status import Verdict, composed, without_times
from trimtab.engine.metrics import STATUS_FAILURES, WRITES
from trimtab.engine.scheduling.queue import Queue
from trimtab.engine.scheduling.retry import Backoff
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import Resource

log = logging.getLogger(__name__)

WORKERS = 8
WHILE_BUSY = 1
"""Concurrent writes while the queue has work; :data:`WORKERS` otherwise."""
CHANGED_SECONDS = 1.0
"""The longest wait of a status that failed and has changed since."""
COUNTS_SECONDS = 1.0
"""Counters are written this much later, so that a flood of changes is one write."""


class Target(NamedTuple):
    """The object whose status is written."""

    resource: Resource
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """A status to write over exactly ``version``; ``done`` is called with the API server's response."""

    status: dict[str, Any]
    version: str
    done: Callable[[Body], None]


Make = Callable[[], StatusWrite | None]
"""Called right before the write; None if nothing has to be written any longer."""


class Store(Protocol):
    """The store of the objects of a kind."""

    def get(self, key: TemplateKey) -> AnyObject | None: ...

    def put(self, item: AnyObject) -> None: ...

    def drop(self, item: AnyObject) -> None: ...


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """A status that is composed from the object in ``store`` when it is written. ``fields`` returns None if it is out
    of date; ``written`` is called once it is written, ``settled`` once it is or need not be."""

    store: Store
    key: TemplateKey
    verdict: Verdict
    fields: Callable[[AnyObject], dict[str, Any] | None]
    written: Callable[[], None] = lambda: None
    settled: Callable[[], None] = lambda: None

    def write(self, now: str) -> StatusWrite | None:
        """What to write at the time ``now``."""
        item = self.store.get(self.key)
        fields = self.fields(item) if item is not None else None
        if item is None or fields is None:
            return None
        status = composed(item.status, self.verdict, item.metadata.generation, now, fields)
        if without_times(status) == without_times(item.status):
            self.settled()
            return None
        return StatusWrite(status, item.metadata.resourceVersion, self._done)

    def _done(self, response: Body) -> None:
        self.store.put(msgspec.convert(response, AnyObject))
        self.written()
        self.settled()


class _Delayed(NamedTuple):
    make: Make
    timer: asyncio.TimerHandle
    failed: bool


class StatusWriter:
    """While ``queue`` has work, few writes run concurrently. ``now`` gives RFC 3339 text."""

    def __init__(self, api: Api, queue: Queue, now: Callable[[], str]) -> None:
        self._api, self._queue, self.now = api, queue, now
        self._waiting: dict[Target, Make] = {}
        self._namespaces: OrderedDict[str, dict[Target, None]] = OrderedDict()
        """What waits, by namespace; the first one is next"""
        self._running: set[Target] = set()
        self._delayed: dict[Target, _Delayed] = {}
        self._backoff = Backoff()
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._yielding = asyncio.Semaphore(WHILE_BUSY)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def depth(self) -> int:
        """Statuses that wait, also for their counters to settle."""
        return len(self) + sum(1 for delayed in self._delayed.values() if not delayed.failed)

    # In the background.

    def offer(self, target: Target, make: Make, *, delay: float = 0.0) -> None:
        """Write a status, within ``delay`` seconds. A later offer for the same object replaces one that waits."""
        delayed = self._delayed.get(target)
        if delayed is not None and (delayed.failed or delay):
            left = delayed.timer.when() - asyncio.get_running_loop().time()
            longest = CHANGED_SECONDS if delayed.failed else delay
            self._delay(target, make, min(left, longest), failed=delayed.failed)
        elif delay and target not in self._waiting:
            self._delay(target, make, delay)
        else:
            self._offer(target, make)

    def offer_object(self, resource: Resource, status: ObjectStatus, *, delay: float = 0.0) -> None:
        """:meth:`offer` for the status of an object that its store keeps whole."""
        self.offer(Target(resource, *status.key), lambda: status.write(self.now()), delay=delay)

    def _offer(self, target: Target, make: Make) -> None:
        self._undelay(target)
        if target not in self._waiting:
            self._namespaces.setdefault(target.namespace, {})[target] = None
        self._waiting[target] = make
        self._idle.clear()
        self._wakeup.set()

    def withdraw(self, target: Target) -> None:
        """The object's status is up to date."""
        self._undelay(target)
        if target in self._waiting:
            self._take(target)
        self._backoff.worked(target)
        self._rest()

    def flush(self) -> None:
        """Write now what waits for its counters to settle."""
        for target, delayed in list(self._delayed.items()):
            if not delayed.failed:
                self._offer(target, delayed.make)

    def _delay(self, target: Target, make: Make, seconds: float, *, failed: bool = False) -> None:
        self._undelay(target)
        timer = asyncio.get_running_loop().call_later(seconds, self._offer, target, make)
        self._delayed[target] = _Delayed(make, timer, failed)

    def _undelay(self, target: Target) -> None:
        delayed = self._delayed.pop(target, None)
        if delayed is not None:
            delayed.timer.cancel()

    def _take(self, target: Target) -> Make:
        """It waits no longer; the next namespace follows."""
        mine = self._namespaces[target.namespace]
        del mine[target]
        if mine:
            self._namespaces.move_to_end(target.namespace)
        else:
            del self._namespaces[target.namespace]
        return self._waiting.pop(target)

    def _rest(self) -> None:
        if not self._waiting and not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing waits or runs."""
        await self._idle.wait()

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            for target in list(self._delayed):
                self._undelay(target)

    async def _work(self) -> None:
        while True:
            target = await self._next()
            make = self._take(target)
            self._running.add(target)
            try:
                if self._queue.busy:
                    async with self._yielding:
                        await self._write(target, make)
                else:
                    await self._write(target, make)
            except Exception:
                log.exception("Status write failed", extra={"object": f"{target.namespace}/{target.name}"})
            finally:
                self._running.discard(target)
                self._rest()

    async def _next(self) -> Target:
        while True:
            for mine in self._namespaces.values():
                for target in mine:
                    if target not in self._running:
                        return target
            self._wakeup.clear()
            if self._waiting:  # only for objects that are being written: wait for one of those writes to end
                await asyncio.sleep(0.005)
            else:
                await self._wakeup.wait()

    async def _write(self, target: Target, make: Make) -> None:
        write = make()
        if write is None:
            self._backoff.worked(target)
            return
        try:
            response = await self._api.replace_status(
                target.resource, target.namespace, target.name, write.status, version=write.version
            )
        except errors.NotFoundError:
            self._backoff.worked(target)
            return
        except (errors.ApiError, NotLeaderError) as error:
            # A changed label may cause a conflict; the Lease may be renewed late.
            self._failed(target, make, error)
            return
        self._backoff.worked(target)
        WRITES.labels(target.resource.kind, "status").inc()
        write.done(response)

    def _failed(self, target: Target, make: Make, error: errors.ApiError | NotLeaderError) -> None:
        count, delay = self._backoff.failed(target, error)
        if isinstance(error, errors.ApiError) and not isinstance(error, errors.ConflictError):
            STATUS_FAILURES.labels(target.resource.kind, error.reason or str(error.status)).inc()
            if count.bit_count() == 1:  # the first failure, and then fewer and fewer
                log.warning(
                    "Status write failed, retrying in %.1fs: %d %s",
                    delay,
                    error.status,
                    error.reason,
                    extra={"object": f"{target.namespace}/{target.name}", "kind": target.resource.kind},
                )
        if target in self._waiting:  # a newer offer has arrived
            make, delay = self._take(target), min(delay, CHANGED_SECONDS)
        self._delay(target, make, delay, failed=True)

    # Immediately.

    async def replace(
        self, resource: Resource, store: Store, item: AnyObject, status: dict[str, Any]
    ) -> AnyObject:
        """Write a status over exactly ``item``; the object as the API server has it now.

        :raises trimtab.kube.errors.ConflictError: it has changed; the store has its present version.
        :raises trimtab.kube.errors.NotFoundError: it was deleted; the store knows.
        """
        version = item.metadata.resourceVersion
        try:
            response = await self._api.replace_status(resource, *item.key, status, version=version)
        except errors.ConflictError:
            store.put(msgspec.convert(await self._api.get(resource, *item.key), AnyObject))
            raise
        except errors.NotFoundError:
            store.drop(item)
            raise
        found = msgspec.convert(response, AnyObject)
        store.put(found)
        return found
