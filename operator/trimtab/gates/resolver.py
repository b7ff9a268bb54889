"""Resolves and checks names for the HTTP client, which connects to the addresses that were checked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from trimtab.gates.addresses import Address, RefusedAddressError, danger, unmapped

Lookup = Callable[[str, int], Awaitable[list[str]]]

LOOKUPS = 16
"""Concurrent lookups. Each occupies a thread until the system's resolver returns."""


class CheckedResolver(AbstractResolver):
    """Resolves names for aiohttp, which connects only to addresses that this class returns.

    aiohttp does not resolve IP addresses. They are part of the URL, so the allow-list covers them.
    """

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup = lookup or system_lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Its addresses.

        :raises RefusedAddressError: gates may not connect to one of its addresses.
        :raises OSError: the name cannot be resolved.
        """
        found = []
        for text in await self._lookup(host, port):
            address = unmapped(ipaddress.ip_address(text))
            if problem := danger(address):
                raise RefusedAddressError(f"resolves to {problem}")
            found.append(_result(host, port, address))
        if not found:
            raise OSError("no address")
        return found

    async def close(self) -> None:
        """Nothing to close."""


def _result(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=flags)


_lookups = threading.BoundedSemaphore(LOOKUPS)


async def system_lookup(host: str, port: int) -> list[str]:
    """One lookup by the system's resolver, in a thread of its own: a name server that does not respond would occupy the
    threads of the event loop.

    :raises OSError: the name cannot be resolved, or there are too many lookups.
    """
    if not _lookups.acquire(blocking=False):
        raise OSError("too many concurrent lookups")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Any]] = loop.create_future()

    def finish(setter: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            setter(value)

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            outcome: tuple[Callable[[Any], None], Any] = (done.set_result, infos)
        except (OSError, UnicodeError) as error:
            outcome = (done.set_exception, error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            _lookups.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=look_up, name="gate-lookup", daemon=True).start()
    return [str(info[4][0]) for info in await done]
