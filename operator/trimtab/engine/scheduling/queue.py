"""The queue of what must be looked at: level-triggered, fair between namespaces, without a fixed debounce.

A key that is added while it waits is one entry; one that is added while it runs runs once more afterwards, so
whatever arrives meanwhile is one batch. Namespaces take turns, so one that floods delays others by one entry.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable

SHARE = 4
"""Entries of one namespace that run at a time."""


class Queue:
    """Keys are any hashable; ``namespace`` decides whose turn an entry waits for. At most ``share`` entries of one
    namespace run at a time, so that slow writes of one never take all workers."""

    def __init__(self, share: int = SHARE) -> None:
        self._share = share
        self._waiting: OrderedDict[str, deque[Hashable]] = OrderedDict()
        self._queued: dict[Hashable, str] = {}
        self._running: dict[Hashable, str] = {}
        self._at_work: Counter[str] = Counter()
        self._again: dict[Hashable, str] = {}
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}
        self._wakeup: asyncio.Event = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """Entries that wait, timers apart."""
        return len(self._queued) + len(self._again)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._queued or self._running)

    def add(self, key: Hashable, namespace: str) -> None:
        self._cancel(key)
        self._idle.clear()
        if key in self._running:
            self._again[key] = namespace
        elif key not in self._queued:
            self._queued[key] = namespace
            self._waiting.setdefault(namespace, deque()).append(key)
            self._wakeup.set()

    def add_after(self, key: Hashable, namespace: str, seconds: float) -> None:
        """Add later, unless it is added before: of several delays the shortest counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        sooner = timer is not None and timer.when() <= loop.time() + seconds
        if sooner or key in self._queued or key in self._again:
            return
        self._cancel(key)
        self._timers[key] = loop.call_later(seconds, self.add, key, namespace)

    async def get(self) -> Hashable:
        """The next entry, which now runs until :meth:`done`."""
        while (namespace := self._whose_turn()) is None:
            self._wakeup.clear()
            await self._wakeup.wait()
        keys = self._waiting.pop(namespace)
        key = keys.popleft()
        if keys:
            self._waiting[namespace] = keys  # to the back: the next namespace's turn
        del self._queued[key]
        self._running[key] = namespace
        self._at_work[namespace] += 1
        return key

    def _whose_turn(self) -> str | None:
        return next((name for name in self._waiting if self._at_work[name] < self._share), None)

    def done(self, key: Hashable) -> None:
        ran = self._running.pop(key, None)
        if ran is not None:
            self._at_work[ran] -= 1
            if not self._at_work[ran]:
                del self._at_work[ran]
            if self._waiting:
                self._wakeup.set()
        namespace = self._again.pop(key, None)
        if namespace is not None:
            self.add(key, namespace)
        elif not self.busy:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing waits or runs; timers do not count."""
        await self._idle.wait()

    def _cancel(self, key: Hashable) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
