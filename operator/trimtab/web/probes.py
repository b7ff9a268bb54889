"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from trimtab.web.listener import Listener, listen

METRICS_SHARE = 10
"""A page of metrics is shown again for so many times as long as it took to make: anyone may ask for it, and all who do
cost a tenth of the event loop together at most."""
LINE = 4096
"""Bytes of a request's line, and of one of its header fields."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is about anything but a request that makes no sense: who sends those would flood the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log = logging.getLogger(__name__)
log.addFilter(_is_ours)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Check = Callable[[], str]
"""An empty string when all is well, else what is wrong."""


def application(healthy: Check, ready: Check, collect: Callable[[], None]) -> web.Application:
    """The HTTP application; ``collect`` refreshes gauges before they are read."""

    def probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            problem = check()
            return web.Response(text=problem or "ok", status=503 if problem else 200)

        return answer

    page, until = b"", float("-inf")

    async def metrics(_: web.Request) -> web.Response:
        nonlocal page, until
        clock = asyncio.get_running_loop().time
        began = clock()
        if began >= until:
            collect()
            page = generate_latest()
            until = clock() + METRICS_SHARE * (clock() - began)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", probe(healthy))
    app.router.add_get("/readyz", probe(ready))
    app.router.add_get("/metrics", metrics)
    return app


class Server:
    """The application, listening."""

    def __init__(self, app: web.Application) -> None:
        app.middlewares.append(self._heard)
        self._runner = web.AppRunner(
            app, logger=log, access_log=None, max_line_size=LINE, max_field_size=LINE
        )
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        return self._listener.port if self._listener is not None else 0

    async def start(self, host: str, port: int) -> None:
        """:raises OSError: the address is in use."""
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the application has not been set up")
        self._listener = await listen(host, port, server)

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.stop()
        await self._runner.cleanup()

    @web.middleware
    async def _heard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._listener is not None:
            self._listener.heard(request.transport)
        return await handler(request)


async def serve(app: web.Application, host: str, port: int) -> Server:
    """Listen; port 0 is a free one.

    :raises OSError: the address is in use.
    """
    server = Server(app)
    try:
        await server.start(host, port)
    except BaseException:
        await server.stop()
        raise
    return server
