"""Long work in slices: all tasks together compute for one slice in each round of the event loop, then it goes round."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

SLICE_SECONDS = 0.008


class Slices:
    """One at a time computes: ``async with slices.turn() as turn``, then ``await turn.over()`` after each small step.

    When the slice is used up the loop goes round, and another task's turn comes first if one waits. A turn is
    not to be held while waiting for the network.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._until = 0.0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Slices]:
        async with self._lock:
            if time.perf_counter() > self._until:
                await self._next_round()
            yield self

    async def over(self) -> None:
        if time.perf_counter() > self._until:
            self._lock.release()
            try:
                await asyncio.sleep(0)
            finally:
                await self._lock.acquire()
            self._until = time.perf_counter() + SLICE_SECONDS

    async def _next_round(self) -> None:
        await asyncio.sleep(0)
        self._until = time.perf_counter() + SLICE_SECONDS
