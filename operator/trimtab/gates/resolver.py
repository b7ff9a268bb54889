"""Names are resolved and checked where the connection is made: the address that was looked at is the one dialled."""

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
"""Names that are looked up at once; each holds a thread, for as long as the system's resolver takes."""


class CheckedResolver(AbstractResolver):
    """Resolves for aiohttp, which connects to what is returned here and asks nobody else.

    aiohttp does not resolve an IP address: that is in the URL, so the allow-list names it.
    """

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup = lookup or system_lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """:raises RefusedAddressError: any of its addresses is one that gates may not ask.
        :raises OSError: it cannot be resolved."""
        found = []
        for text in await self._lookup(host, port):
            address = unmapped(ipaddress.ip_address(text))
            if why := danger(address):
                raise RefusedAddressError(f"resolves to {why}")
            found.append(_result(host, port, address))
        if not found:
            raise OSError("no address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=flags)


_lookups = threading.BoundedSemaphore(LOOKUPS)


async def system_lookup(host: str, port: int) -> list[str]:
    """The system's resolver, once, in a thread of its own: the loop's threads are for work that ends, and
    a name server that is silent keeps a thread for as long as it likes.

    :raises OSError: it cannot be resolved, or too many names are being looked up.
    """
    if not _lookups.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Any]] = loop.create_future()

    def tell(setter: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            setter(value)

    def look() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            outcome: tuple[Callable[[Any], None], Any] = (done.set_result, infos)
        except (OSError, UnicodeError) as error:
            outcome = (done.set_exception, error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            _lookups.release()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=look, name="gate-lookup", daemon=True).start()
    return [str(info[4][0]) for info in await done]
