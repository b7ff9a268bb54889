"""Addresses that gates may not ask, whatever name leads there.

Private and loopback addresses are where a cluster's services are. But nothing behind a link-local or metadata address
is meant for gates: cloud machines hand out credentials there, and whoever controls a name can let it point there, or
change where it points between two looks (DNS rebinding). Such an address is asked only if the allow-list names it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

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
_LOW = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
"""NAT64, and IPv4-translated: the IPv4 address is the last 32 bits"""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = (0x00005EFE, 0x02005EFE)


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
        low, high = int(address) & 0xFFFFFFFF, int(address) >> 32
        deprecated = high == 0 and low > 0xFFFF  # ::a.b.c.d
        isatap = high & 0xFFFFFFFF in _ISATAP
        if deprecated or isatap or any(address in network for network in _LOW):
            yield ipaddress.IPv4Address(low)
        if address in _LOCAL_NAT64:
            yield from (ipaddress.IPv4Address(v4) for v4 in _embedded(int(address)) if 1 <= v4 >> 24 < 224)


def _embedded(address: int) -> Iterator[int]:
    """The IPv4 address after a prefix of 48, 56, 64 or 96 bits, as RFC 6052 puts it: around bits 64 to 71."""
    yield (address >> 64 & 0xFFFF) << 16 | address >> 40 & 0xFFFF
    yield (address >> 64 & 0xFF) << 24 | address >> 32 & 0xFFFFFF
    yield address >> 24 & 0xFFFFFFFF
    yield address & 0xFFFFFFFF
