"""The queue of what needs a pass: level-triggered, round-robin over namespaces, without a fixed debounce.

A key that is added while it waits is one entry. One that is added while it runs runs once more afterwards, so all that
arrives meanwhile is one batch. A namespace that floods the queue delays others by one entry.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from typing import Literal, NamedTuple

from trimtab.core.refs import GroupKey, Ref, TemplateKey

SHARE = 4
"""Entries of one namespace that run concurrently."""


class Work(NamedTuple):
    """One entry of the queue: a template, all rollouts of a template, a group, a namespace, a workload whose health may
    have changed, or everything."""

    what: Literal["template", "rollout", "group", "namespace", "workload", "cluster"]
    key: TemplateKey | GroupKey | Ref

    @property
    def namespace(self) -> str:
        """Whose next slot the entry waits for."""
        return self.key.namespace


class Queue:
    """A key is any hashable value. At most ``share`` entries of one ``namespace`` run concurrently, so that slow writes
    of one namespace never occupy all workers."""

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
        """Entries that wait, without those that wait for a delay."""
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
        """Add later, unless it is added earlier: of several delays the shortest counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        sooner = timer is not None and timer.when() <= loop.time() + seconds
        if sooner or key in self._queued or key in self._again:
            return
        self._cancel(key)
        self._timers[key] = loop.call_later(seconds, self.add, key, namespace)

    async def get(self) -> Hashable:
        """The next entry, which now runs until :meth:`done`."""
        while (namespace := self._next_namespace()) is None:
            self._wakeup.clear()
            await self._wakeup.wait()
        keys = self._waiting.pop(namespace)
        key = keys.popleft()
        if keys:
            self._waiting[namespace] = keys  # to the back: the next namespace follows
        del self._queued[key]
        self._running[key] = namespace
        self._at_work[namespace] += 1
        return key

    def _next_namespace(self) -> str | None:
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

    def clear(self) -> None:
        """Drop what waits; what runs continues."""
        for timer in self._timers.values():
            timer.cancel()
        for entries in (self._timers, self._queued, self._waiting, self._again):
            entries.clear()
        if not self.busy:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing waits or runs; delays do not count."""
        await self._idle.wait()

    def _cancel(self, key: Hashable) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
