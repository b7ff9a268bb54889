"""What a name may resolve to, checked where the connection is made: what is looked at is what is dialled.

Private and loopback addresses are where a cluster's services are. But nothing behind a link-local or metadata address
is meant for gates: cloud machines hand out credentials there, and whoever controls a name can let it point there, or
change where it points between two looks (DNS rebinding). Such an address is asked only if the allow-list names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

LOOKUPS = 16
"""Names that are looked up at once; each holds a thread, for as long as the system's resolver takes."""

_DANGEROUS = [
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("::/128", "an unspecified address"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
        ("100.100.100.200/32", "a metadata address"),  # Alibaba Cloud
        ("168.63.129.16/32", "a metadata address"),  # Azure
        ("192.0.0.192/32", "a metadata address"),  # Oracle Cloud
        ("fd00:ec2::/32", "a metadata address"),  # AWS, EKS pod identity
        ("fd20:ce::254/128", "a metadata address"),  # Google Cloud
        ("fd00:42::42/128", "a metadata address"),  # Scaleway
    )
]
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class RefusedAddressError(Exception):
    """A name that points where gates may not ask. The message says what kind of address it is, not which."""


def unmapped(address: Address) -> Address:
    """``::ffff:10.0.0.1`` is 10.0.0.1."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def danger(address: Address) -> str:
    """Why gates may not ask there, in words, or an empty string. IPv4 inside IPv6 counts as what it is."""
    for one in _meant(address):
        for network, why in _DANGEROUS:
            if one.version == network.version and one in network:
                return why
    return ""


def _meant(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 addresses that a translator or tunnel would make of it."""
    yield unmapped(address)
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
        low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if any(address in network for network in _NAT64) or (int(address) >> 32 == 0 and int(low) > 0xFFFF):
            yield low  # NAT64, and the long deprecated ::a.b.c.d


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
