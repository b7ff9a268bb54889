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
"""A page of metrics is reused for this many times its rendering time, so that clients cannot use more than a tenth of
the event loop's time."""
LINE = 4096
"""The maximum bytes of the request line and of a header field."""


def _is_not_malformed_request(record: logging.LogRecord) -> bool:
    """Whether it is not about a malformed request, with which clients could flood the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log = logging.getLogger(__name__)
log.addFilter(_is_not_malformed_request)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Check = Callable[[], str]
"""The problem, an empty string if there is none."""


def application(healthy: Check, ready: Check, collect: Callable[[], None]) -> web.Application:
    """The HTTP application. ``collect`` updates gauges before they are rendered."""

    def probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def respond(_: web.Request) -> web.Response:
            problem = check()
            return web.Response(text=problem or "ok", status=503 if problem else 200)

        return respond

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
    """The application and its listener."""

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
            raise RuntimeError("the application is not set up")
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
    """Starts a server; port 0 selects a free port.

    :raises OSError: the address is in use.
    """
    server = Server(app)
    try:
        await server.start(host, port)
    except BaseException:
        await server.stop()
        raise
    return server
