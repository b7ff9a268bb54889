"""Long work in slices: the event loop is never kept for long."""

from __future__ import annotations

import asyncio
import time

SLICE_SECONDS = 0.008


class Turn:
    """``await turn.over()`` after each small step; others get the loop when the slice is used up."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_SECONDS

    async def over(self) -> None:
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + SLICE_SECONDS
