"""Long work in slices: all tasks together compute for one slice in each round of the event loop, then it goes round."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from trimtab.core.steps import Steps

T = TypeVar("T")

SLICE_SECONDS = 0.008


class TimeSlices:
    """One at a time computes: ``async with slices.turn() as turn``, then ``await turn.over()`` after each small step.

    When the slice is used up the loop goes round, and another task's turn comes first if one waits. A turn is
    not to be held while waiting for the network.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.until = 0.0

    def turn(self) -> TimeSlice:
        return TimeSlice(self)

    async def run(self, steps: Steps[T]) -> T:
        """Long work, in slices."""
        async with self.turn() as turn:
            return await turn.run(steps)

    @property
    def used_up(self) -> bool:
        return time.perf_counter() > self.until

    async def next_round(self) -> None:
        """Let the loop go round, then begin a new slice."""
        await asyncio.sleep(0)
        self.until = time.perf_counter() + SLICE_SECONDS


class TimeSlice:
    """One task's turn. It may be cancelled anywhere: a turn that is not held is not given back."""

    __slots__ = ("_held", "_slices")

    def __init__(self, slices: TimeSlices) -> None:
        self._slices, self._held = slices, False

    async def __aenter__(self) -> TimeSlice:
        await self._take()
        try:
            if self._slices.used_up:
                await self._slices.next_round()
        except BaseException:
            self._give()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._give()

    async def run(self, steps: Steps[T]) -> T:
        """Long work, as part of this turn."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made: T = end.value
                return made
            await self.over()

    async def over(self) -> None:
        """A small step is done."""
        if self._slices.used_up:
            self._give()
            await asyncio.sleep(0)
            await self._take()
            self._slices.until = time.perf_counter() + SLICE_SECONDS

    async def _take(self) -> None:
        await self._slices.lock.acquire()
        self._held = True

    def _give(self) -> None:
        if self._held:
            self._held = False
            self._slices.lock.release()
