"""Accepts connections from any client on the pod network, with limits on their number and lifetime.

It closes a connection that does not send the head of a request in time, an idle one, and every one after its lifetime.
Above the maximum number, the address with the most connections loses its oldest, so that a flood from one pod does not
affect other clients.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

CONNECTIONS = 100
SILENT_SECONDS = 10.0
"""The maximum time for the head of a request, and between two requests."""
LIFETIME_SECONDS = 60.0
SWEEP_SECONDS = 1.0
FULL_SECONDS = 0.5
"""The pause after a connection could not be accepted, for example for lack of file descriptors."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Connection:
    address: str
    opened: float
    heard: float


class Listener:
    """The open connections. ``serve`` creates the protocol of a new one."""

    def __init__(self, listening: socket.socket, serve: Callable[[], asyncio.BaseProtocol]) -> None:
        self._socket, self._serve = listening, serve
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def __len__(self) -> int:
        return sum(not transport.is_closing() for transport in self._open)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._accept()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    def heard(self, transport: asyncio.BaseTransport | None) -> None:
        """A request is complete."""
        if transport in self._open:
            self._open[transport].heard = asyncio.get_running_loop().time()

    async def _accept(self) -> None:
        loop, refused = asyncio.get_running_loop(), False
        while True:
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError as error:
                if not refused:  # log once, not for each attempt
                    log.warning("Could not accept a connection: %s", error.strerror)
                refused = True
                await asyncio.sleep(FULL_SECONDS)
                continue
            refused = False
            try:
                transport, _ = await loop.connect_accepted_socket(self._serve, connection)
            except OSError:
                connection.close()
                continue
            now = loop.time()
            self._open[transport] = _Connection(str(address[0]), now, now)
            if len(self._open) > CONNECTIONS:
                self._make_room()

    def _make_room(self) -> None:
        self._drop_closed()
        while len(self._open) > CONNECTIONS:
            held = Counter(connection.address for connection in self._open.values())
            address, _ = held.most_common(1)[0]
            self._end(next(t for t, connection in self._open.items() if connection.address == address))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._drop_closed()
            now = asyncio.get_running_loop().time()
            for transport, connection in list(self._open.items()):
                if now - connection.heard > SILENT_SECONDS or now - connection.opened > LIFETIME_SECONDS:
                    self._end(transport)

    def _drop_closed(self) -> None:
        for transport in [transport for transport in self._open if transport.is_closing()]:
            del self._open[transport]

    def _end(self, transport: asyncio.BaseTransport) -> None:
        del self._open[transport]
        if isinstance(transport, asyncio.Transport):
            transport.abort()


async def listen(host: str, port: int, serve: Callable[[], asyncio.BaseProtocol]) -> Listener:
    """Listen at the first address of ``host``. :raises OSError: the address is in use or invalid."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = (
        await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError, AttributeError):  # "::" accepts IPv4 too
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    listener = Listener(listening, serve)
    listener.start()
    return listener
