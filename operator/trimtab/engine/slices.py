"""Long work in slices: one task computes at a time, and the event loop is never kept for long."""

from __future__ import annotations

import asyncio
import time

SLICE_SECONDS = 0.008

_computing = asyncio.Lock()


class Turn:
    """``async with Turn() as turn``, and ``await turn.over()`` after each small step: when the slice is used up, the
    loop goes round, and another task's turn comes first if one waits. Not to be held while waiting for the network.
    """

    __slots__ = ("_until",)

    async def __aenter__(self) -> Turn:
        await _computing.acquire()
        self._until = time.perf_counter() + SLICE_SECONDS
        return self

    async def __aexit__(self, *_: object) -> None:
        _computing.release()

    async def over(self) -> None:
        if time.perf_counter() > self._until:
            _computing.release()
            try:
                await asyncio.sleep(0)
            finally:
                await _computing.acquire()
            self._until = time.perf_counter() + SLICE_SECONDS
