"""An event loop whose clock jumps to the next timer whenever nothing else is to be done.

Delays are as long as in production and cost nothing, and what a test sees does not depend on how busy the machine
is. For code without real I/O or threads, as all of the engine is on the API server in memory.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Clockwork(asyncio.SelectorEventLoop):
    """``time()`` starts at 0 and passes only while everybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        if self._scheduled and not self._ready:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def run(scene: Coroutine[Any, Any, T]) -> T:
    """As :func:`asyncio.run`, by clockwork."""
    with asyncio.Runner(loop_factory=Clockwork) as runner:
        return runner.run(scene)
