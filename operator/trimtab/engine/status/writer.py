"""Status writes, in the background: coalesced by object, few at a time, never in the way of rendering.

Namespaces take turns, so that one with many statuses to write delays those of others by one write. What fails is tried
again by the engine's policy (:mod:`trimtab.engine.scheduling.retry`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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
"""Writes under way at once while rendering has work; :data:`WORKERS` otherwise."""
CHANGED_SECONDS = 1.0
"""The longest wait of a status that failed and has since come to say something else."""


class Target(NamedTuple):
    resource: Resource
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """A status to put over exactly ``version``; ``done`` is called with what the API server answered."""

    status: dict[str, Any]
    version: str
    done: Callable[[Body], None]


Make = Callable[[], StatusWrite | None]
"""Called when the write's turn has come; None if nothing needs to be written any more."""


class Statuses:
    """While ``queue`` has work, few writes run concurrently."""

    def __init__(self, api: Api, queue: Queue) -> None:
        self._api, self._queue = api, queue
        self._waiting: dict[Target, Make] = {}
        self._turns: OrderedDict[str, dict[Target, None]] = OrderedDict()
        """What waits, by namespace; the first one's turn is next"""
        self._running: set[Target] = set()
        self._delayed: dict[Target, tuple[Make, asyncio.TimerHandle]] = {}
        self._backoff = Backoff()
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._yielding = asyncio.Semaphore(WHILE_BUSY)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def offer(self, target: Target, make: Make) -> None:
        """Ask for a write; a later offer for the same object replaces one that still waits."""
        delayed = self._delayed.pop(target, None)
        if delayed is not None:
            delayed[1].cancel()
            left = delayed[1].when() - asyncio.get_running_loop().time()
            self._delay(target, make, min(left, CHANGED_SECONDS))
            return
        if target not in self._waiting:
            self._turns.setdefault(target.namespace, {})[target] = None
        self._waiting[target] = make
        self._idle.clear()
        self._wakeup.set()

    def withdraw(self, target: Target) -> None:
        """Nothing needs to be said about the object any more."""
        delayed = self._delayed.pop(target, None)
        if delayed is not None:
            delayed[1].cancel()
        if target in self._waiting:
            self._take(target)
        self._backoff.worked(target)
        self._rest()

    def _take(self, target: Target) -> Make:
        """It waits no more; its namespace's turn is over."""
        mine = self._turns[target.namespace]
        del mine[target]
        if mine:
            self._turns.move_to_end(target.namespace)
        else:
            del self._turns[target.namespace]
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
            for _, timer in self._delayed.values():
                timer.cancel()

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
                log.exception("status write failed", extra={"object": f"{target.namespace}/{target.name}"})
            finally:
                self._running.discard(target)
                self._rest()

    async def _next(self) -> Target:
        while True:
            for mine in self._turns.values():
                for target in mine:
                    if target not in self._running:
                        return target
            self._wakeup.clear()
            if self._waiting:  # only what is being written already: wait for one of those to end
                await asyncio.sleep(0.005)
            else:
                await self._wakeup.wait()

    async def _write(self, target: Target, make: Make) -> None:
        write = make()
        if write is None:
            self._backoff.worked(target)
            return
        try:
            answer = await self._api.replace_status(
                target.resource, target.namespace, target.name, write.status, version=write.version
            )
        except errors.NotFoundError:
            self._backoff.worked(target)
            return
        except (errors.ApiError, NotLeaderError) as error:
            # A conflict may come of a label alone; the Lease may be renewed late, and who does not lead is cleared.
            self._failed(target, make, error)
            return
        self._backoff.worked(target)
        WRITES.labels(target.resource.kind, "status").inc()
        write.done(answer)

    def _failed(self, target: Target, make: Make, error: errors.ApiError | NotLeaderError) -> None:
        count, delay = self._backoff.failed(target, error)
        if isinstance(error, errors.ApiError) and not isinstance(error, errors.ConflictError):
            STATUS_FAILURES.labels(target.resource.kind, error.reason or str(error.status)).inc()
            if count.bit_count() == 1:  # the first time, and then less and less often
                place = f"{target.namespace}/{target.name}"
                log.warning(
                    "status write failed, trying again in %.1fs: %d %s",
                    delay,
                    error.status,
                    error.reason,
                    extra={"object": place, "kind": target.resource.kind},
                )
        if target in self._waiting:  # a newer offer has come meanwhile
            make, delay = self._take(target), min(delay, CHANGED_SECONDS)
        self._delay(target, make, delay)

    def _delay(self, target: Target, make: Make, seconds: float) -> None:
        def again() -> None:
            del self._delayed[target]
            self.offer(target, make)

        self._delayed[target] = make, asyncio.get_running_loop().call_later(seconds, again)
