"""Status writes, in the background: coalesced by object, few at a time, never in the way of rendering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from trimtab.engine.metrics import WRITES
from trimtab.kube import errors
from trimtab.kube.errors import NotLeaderError
from trimtab.kube.port import Api, Body
from trimtab.kube.resources import Resource

log = logging.getLogger(__name__)

WORKERS = 8
WHILE_BUSY = 1
"""Writes under way at once while rendering has work; :data:`WORKERS` otherwise."""
CONFLICT_SECONDS = 0.2
RETRY_SECONDS = 1.0
FORBIDDEN_SECONDS = 60.0


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
    """``rendering`` says whether rendering has work."""

    def __init__(self, api: Api, rendering: Callable[[], bool]) -> None:
        self._api, self._rendering = api, rendering
        self._waiting: dict[Target, Make] = {}
        self._running: set[Target] = set()
        self._delayed: set[asyncio.TimerHandle] = set()
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._yielding = asyncio.Semaphore(WHILE_BUSY)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def offer(self, target: Target, make: Make) -> None:
        """Ask for a write; a later offer for the same object replaces one that still waits."""
        self._waiting[target] = make
        self._idle.clear()
        self._wakeup.set()

    def withdraw(self, target: Target) -> None:
        """Nothing needs to be said about the object any more."""
        self._waiting.pop(target, None)
        self._rest()

    def _rest(self) -> None:
        if not self._waiting and not self._running:
            self._idle.set()

    def clear(self) -> None:
        """Forget what waits: another process leads now."""
        for timer in self._delayed:
            timer.cancel()
        self._delayed.clear()
        self._waiting.clear()
        self._rest()

    async def idle(self) -> None:
        """Wait until nothing waits or runs."""
        await self._idle.wait()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            target = await self._next()
            make = self._waiting.pop(target)
            self._running.add(target)
            try:
                if self._rendering():
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
            for target in self._waiting:
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
            return
        try:
            answer = await self._api.replace_status(
                target.resource, target.namespace, target.name, write.status, version=write.version
            )
        except errors.NotFoundError:
            return
        except errors.ConflictError:
            # The object changed meanwhile, perhaps only in a label: look again once its event is here.
            self._later(target, make, CONFLICT_SECONDS)
            return
        except errors.InvalidError as error:
            log.error(
                "status refused: %s", error.reason, extra={"object": f"{target.namespace}/{target.name}"}
            )
            return
        except errors.ApiError as error:
            log.warning(
                "status write delayed: %s",
                error.reason,
                extra={"object": f"{target.namespace}/{target.name}"},
            )
            patience = FORBIDDEN_SECONDS if isinstance(error, errors.ForbiddenError) else RETRY_SECONDS
            self._later(target, make, patience)
            return
        except NotLeaderError:  # the Lease may be renewed late; who does not lead any more is cleared
            self._later(target, make, RETRY_SECONDS)
            return
        WRITES.labels(target.resource.kind, "status").inc()
        write.done(answer)

    def _later(self, target: Target, make: Make, seconds: float) -> None:
        def again() -> None:
            self._delayed.discard(timer)
            if target not in self._waiting:
                self.offer(target, make)

        timer = asyncio.get_running_loop().call_later(seconds, again)
        self._delayed.add(timer)
