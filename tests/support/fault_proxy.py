"""A reverse proxy in front of an API server that fails on request, in all ways that networks and API servers do.

An operator gets its plain-HTTP kubeconfig (on loopback); the proxy holds the real credentials. It records every
exchange, so tests can count writes, and breaks those that a :class:`Fault` picks. It runs in a thread of its own.

==================  =============================================================================
fault               what the client sees
==================  =============================================================================
``Refuse``          an error Status instead of what was asked; nothing reached the API server
``LoseAnswer``      the API server did it; the client gets an error, or a cut connection
``Cut``             a cut connection; nothing reached the API server
``Slow``            the answer, late
``CutStream``       a watch that ends in the middle of an event, after some whole ones
``ErrorEvent``      a watch with an ERROR event in it, after which it ends
``Die``             nothing, ever: it is killed before the API server has the request, or has answered
``Hold``            nothing until something has happened: the request, or its answer, is on its way
==================  =============================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from multidict import CIMultiDict

from trimtab.kube.credentials import from_kubeconfig

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "authorization"}
Body = dict[str, Any]


@dataclass
class Exchange:
    """One request. ``status`` is what the client was told, 0 for a cut connection, None while it lasts."""

    number: int
    verb: str
    plural: str
    namespace: str
    name: str
    subresource: str
    query: dict[str, str]
    agent: str
    body: bytes = field(repr=False)
    status: int | None = None
    fault: str = ""
    reached: bool = False
    """Whether the API server got it."""

    @property
    def write(self) -> bool:
        """A write, Leases apart."""
        return self.verb in _VERBS.values() and self.plural != "leases"


@dataclass(frozen=True)
class Refuse:
    status: int
    reason: str = "InternalError"
    retry_after: int | None = None


@dataclass(frozen=True)
class LoseAnswer:
    status: int = 0
    """The error that the client gets instead; 0 cuts the connection."""


@dataclass(frozen=True)
class Cut:
    pass


@dataclass(frozen=True)
class Slow:
    seconds: float


@dataclass(frozen=True)
class CutStream:
    after: int = 0


@dataclass(frozen=True)
class ErrorEvent:
    status: int
    reason: str
    after: int = 0


@dataclass(frozen=True)
class Die:
    """``kill`` ends the client; it must be dead when that returns."""

    kill: Callable[[], object]
    after: bool
    """Whether the API server did it before."""


@dataclass(frozen=True)
class Hold:
    """A request that is held arrives once it is let go, whether or not anybody waits for its answer."""

    go: threading.Event
    after: bool
    """Whether the API server has done it already, and only the answer is held."""


Effect = Refuse | LoseAnswer | Cut | Slow | CutStream | ErrorEvent | Die | Hold
Choose = Callable[[Exchange], Effect | None]


class Fault:
    """Gives ``effect`` to exchanges for which ``when`` holds, ``times`` times (None: for as long as it is there)."""

    def __init__(self, when: Callable[[Exchange], bool], effect: Effect, times: int | None = None) -> None:
        self.when, self.effect, self.left = when, effect, times
        self.hits = 0

    def __call__(self, exchange: Exchange) -> Effect | None:
        if self.left == 0 or not self.when(exchange):
            return None
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return self.effect


class FaultProxy:
    """``kubeconfig`` leads through it; use as a context manager. Faults are asked in order, for each exchange."""

    def __init__(self, upstream: Path, folder: Path) -> None:
        self.exchanges: list[Exchange] = []
        self.faults: list[Choose] = []
        self.kubeconfig = folder / "proxied.kubeconfig"
        self._who = from_kubeconfig(upstream)
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._streams: dict[int, tuple[Exchange, web.Request]] = {}
        self._held: set[asyncio.Task[web.StreamResponse]] = set()
        self._thread = threading.Thread(target=self._main, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        assert self._up.wait(30), "the proxy does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    # For tests.

    @contextlib.contextmanager
    def failing(self, *faults: Choose) -> Iterator[None]:
        """These faults for the length of a block."""
        self.faults += faults
        try:
            yield
        finally:
            for fault in faults:
                self.faults.remove(fault)

    def writes(self, since: int = 0) -> list[Exchange]:
        """Every write that reached the API server."""
        return [e for e in self.exchanges[since:] if e.write and e.reached]

    def cut_watches(self, plural: str = "") -> int:
        """Cut the watches that are open, of one kind or all; how many."""
        future = asyncio.run_coroutine_threadsafe(self._cut_watches(plural), self._loop)
        return future.result(30)

    def watching(self, plural: str) -> bool:
        """Whether a watch of that kind is open."""
        return any(exchange.plural == plural for exchange, _ in list(self._streams.values()))

    # The thread.

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tls = self._who.tls()
        connector = aiohttp.TCPConnector(ssl=tls if tls else True, limit=0)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "Accept", "User-Agent", "Content-Type"),
        ) as self._session:
            app = web.Application(client_max_size=16 * 1024 * 1024)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._write_kubeconfig(runner.addresses[0][1])
            self._up.set()
            await self._stop.wait()
            await self._cut_watches("")
            await runner.cleanup()

    def _write_kubeconfig(self, port: int) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxied", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "proxied", "user": {}}],
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "proxied"}}],
            "current-context": "proxied",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    async def _cut_watches(self, plural: str) -> int:
        chosen = [request for exchange, request in self._streams.values() if plural in ("", exchange.plural)]
        for request in chosen:
            if request.transport is not None:
                request.transport.abort()
        return len(chosen)

    def _note(self, request: web.Request, body: bytes) -> Exchange:
        match = _PATH.match(request.path)
        found = match.groupdict() if match else {}
        verb = _VERBS.get(request.method, "get" if found.get("name") else "list")
        if request.query.get("watch") in ("1", "true"):
            verb = "watch"
        exchange = Exchange(
            number=len(self.exchanges),
            verb=verb,
            plural=found.get("plural") or "",
            namespace=found.get("namespace") or "",
            name=found.get("name") or "",
            subresource=found.get("subresource") or "",
            query=dict(request.query),
            agent=request.headers.get("User-Agent", ""),
            body=body,
        )
        self.exchanges.append(exchange)
        return exchange

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        exchange = self._note(request, body)
        effect = next((e for fault in list(self.faults) if (e := fault(exchange)) is not None), None)
        exchange.fault = repr(effect) if effect else ""
        if isinstance(effect, Refuse):
            return self._refuse(exchange, effect.status, effect.reason, effect.retry_after)
        if isinstance(effect, Cut):
            return self._cut(request, exchange)
        if isinstance(effect, Die) and not effect.after:
            effect.kill()
            return self._cut(request, exchange)
        if exchange.verb == "watch" and not isinstance(effect, Hold):
            return await self._tried(request, exchange, effect)
        # The API server's response is recorded also if the client leaves before it.
        task = self._loop.create_task(self._tried(request, exchange, effect))
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        return await asyncio.shield(task)

    async def _tried(
        self, request: web.Request, exchange: Exchange, effect: Effect | None
    ) -> web.StreamResponse:
        if isinstance(effect, Hold) and not effect.after:
            await self._opened(effect)
        try:
            return await self._forward(request, exchange, effect)
        except (aiohttp.ClientError, ConnectionError):
            return self._cut(request, exchange)

    @staticmethod
    async def _opened(effect: Hold) -> None:
        while not effect.go.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)

    def _cut(self, request: web.Request, exchange: Exchange) -> web.Response:
        exchange.status = 0
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    @staticmethod
    def _refuse(exchange: Exchange, status: int, reason: str, after: int | None = None) -> web.Response:
        exchange.status = status
        headers = {"Retry-After": str(after)} if after is not None else {}
        return web.json_response(_status(status, reason), status=status, headers=headers)

    async def _forward(
        self, request: web.Request, exchange: Exchange, effect: Effect | None
    ) -> web.StreamResponse:
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP)
        token = self._who.bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        exchange.reached = True
        async with self._session.request(
            request.method,
            self._who.server + request.path_qs,
            data=exchange.body or None,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if exchange.verb == "watch" and answer.status == 200:
                return await self._stream(request, exchange, answer, effect)
            content = await answer.read()
        if isinstance(effect, Slow):
            await asyncio.sleep(effect.seconds)
        if isinstance(effect, LoseAnswer):
            if effect.status == 0:
                return self._cut(request, exchange)
            return self._refuse(exchange, effect.status, "InternalError")
        exchange.status = answer.status
        if isinstance(effect, Die):
            effect.kill()
            return self._cut(request, exchange)
        if isinstance(effect, Hold) and effect.after:
            await self._opened(effect)
        return web.Response(status=answer.status, body=content, headers=_kept(answer))

    async def _stream(
        self,
        request: web.Request,
        exchange: Exchange,
        answer: aiohttp.ClientResponse,
        effect: Effect | None,
    ) -> web.StreamResponse:
        exchange.status = 200
        response = web.StreamResponse(status=200, headers=_kept(answer))
        await response.prepare(request)
        self._streams[exchange.number] = (exchange, request)
        passed = 0
        pending = b""
        try:
            if isinstance(effect, ErrorEvent) and effect.after == 0:
                await response.write(_error_line(effect))
                return response
            async for chunk in answer.content.iter_any():
                pending += chunk
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    if isinstance(effect, CutStream) and passed >= effect.after:
                        await response.write(line[: len(line) // 2])
                        await asyncio.sleep(0)
                        return self._cut(request, exchange)
                    await response.write(line + b"\n")
                    passed += 1
                    if isinstance(effect, ErrorEvent) and passed >= effect.after:
                        await response.write(_error_line(effect))
                        return response
        except (ConnectionError, aiohttp.ClientError):
            pass
        finally:
            self._streams.pop(exchange.number, None)
        return response


def _kept(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in _HOP)


def _status(status: int, reason: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": "injected by the fault proxy",
        "reason": reason,
        "code": status,
    }


def _error_line(effect: ErrorEvent) -> bytes:
    return json.dumps({"type": "ERROR", "object": _status(effect.status, effect.reason)}).encode() + b"\n"
