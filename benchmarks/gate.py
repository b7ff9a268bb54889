"""What gates ask: a server on loopback that answers 200 until it is told to fail, and knows when it first did."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web


@dataclass(slots=True)
class Gate:
    """``asked`` counts requests; ``failed_at`` is when (perf_counter) the first 500 was answered, 0.0 before that."""

    url: str = ""
    asked: int = 0
    failed_at: float = 0.0
    _failing: bool = False

    def work(self) -> None:
        self._failing, self.failed_at = False, 0.0

    def fail(self) -> None:
        """From now on every answer is a 500."""
        self._failing, self.failed_at = True, 0.0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self._failing:
            self.failed_at = self.failed_at or time.perf_counter()
        return web.Response(status=500 if self._failing else 200)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Gate]:
    """A gate that can be asked for as long as the block takes."""
    gate = Gate()
    application = web.Application()
    application.router.add_get("/", gate.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        gate.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield gate
    finally:
        await runner.cleanup()
