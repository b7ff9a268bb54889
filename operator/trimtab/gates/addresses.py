"""Addresses to which gates may not connect, whatever name resolves to them.

Private and loopback addresses are allowed, because a cluster's services have them. Link-local and metadata addresses
are not: cloud providers serve credentials there, and the owner of a name can make it resolve to them, or change it
between two lookups (DNS rebinding). Gates connect to such an address only if a URL of the allow-list contains it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DANGEROUS = [
    (ipaddress.ip_network(network), kind)
    for network, kind in (
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
"""NAT64 and IPv4-translated: the IPv4 address is the last 32 bits."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = (0x00005EFE, 0x02005EFE)


class RefusedAddressError(Exception):
    """A name resolves to an address that gates may not connect to. The message contains its kind, not the address."""


def unmapped(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped one: ``::ffff:10.0.0.1`` is 10.0.0.1."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def danger(address: Address) -> str:
    """Why gates may not connect to it, or an empty string. Checks IPv4 addresses inside IPv6 ones too."""
    for one in (unmapped(address), *_embedded(address)):
        for network, kind in _DANGEROUS:
            if one.version == network.version and one in network:
                return kind
    return ""


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses to which a translator or tunnel would send the packets."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if _ends_with_ipv4(address):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _LOCAL_NAT64:
        yield from (ipaddress.IPv4Address(v4) for v4 in _after_prefix(int(address)) if 1 <= v4 >> 24 < 224)


def _ends_with_ipv4(address: ipaddress.IPv6Address) -> bool:
    low, high = int(address) & 0xFFFFFFFF, int(address) >> 32
    deprecated = high == 0 and low > 0xFFFF  # ::a.b.c.d
    isatap = high & 0xFFFFFFFF in _ISATAP
    return deprecated or isatap or any(address in network for network in _LOW)


def _after_prefix(address: int) -> Iterator[int]:
    """The IPv4 address after a prefix of 48, 56, 64 or 96 bits, as RFC 6052 places it: around bits 64 to 71."""
    yield (address >> 64 & 0xFFFF) << 16 | address >> 40 & 0xFFFF
    yield (address >> 64 & 0xFF) << 24 | address >> 32 & 0xFFFFFF
    yield address >> 24 & 0xFFFFFFFF
    yield address & 0xFFFFFFFF
