"""What a name may resolve to: the cluster's own addresses, never those where machines hand out credentials."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from trimtab.gates.addresses import RefusedAddressError, danger
from trimtab.gates.resolver import CheckedResolver, system_lookup


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.170.2", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("fe80::a9fe:a9fe", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.251", "multicast"),
        ("ff02::fb", "multicast"),
        ("255.255.255.255", "reserved or broadcast"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::23", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("::169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::168.63.129.16", "metadata"),
        ("::ffff:0:169.254.169.254", "link-local"),
        ("::ffff:0:168.63.129.16", "metadata"),
        ("64:ff9b:1:a9fe:a9:fe00::", "link-local"),
        ("64:ff9b:1:a9:fe:a9fe::", "link-local"),
        ("64:ff9b:1:0:a9:fea9:fe00:0", "link-local"),
        ("64:ff9b:1:ffff::169.254.169.254", "link-local"),
        ("fd00::5efe:169.254.169.254", "link-local"),
        ("2001:db8::200:5efe:169.254.169.254", "link-local"),
        ("2001:0:808:808::5601:5601", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2001:0:a9fe:a9fe::1", "link-local"),
    ],
)
def test_addresses_where_machines_hand_out_credentials_are_dangerous(address: str, why: str) -> None:
    assert why in danger(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "::1",
        "fd00::1",
        "8.8.8.8",
        "2606:4700::1",
        "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "::ffff:0:10.0.0.1",
    ],
)
def test_where_a_clusters_services_are_is_fine(address: str) -> None:
    assert danger(ipaddress.ip_address(address)) == ""


async def test_the_resolver_returns_exactly_the_addresses_it_checked() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "fd00::1", "::ffff:10.0.0.2"]

    found = await CheckedResolver(lookup).resolve("service", 9090)

    assert [(f["host"], f["port"], f["family"]) for f in found] == [
        ("10.0.0.1", 9090, socket.AF_INET),
        ("fd00::1", 9090, socket.AF_INET6),
        ("10.0.0.2", 9090, socket.AF_INET),
    ]


async def test_one_dangerous_address_among_good_ones_refuses_the_name() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "169.254.169.254"]

    with pytest.raises(RefusedAddressError, match="resolves to a link-local address"):
        await CheckedResolver(lookup).resolve("service", 80)


async def test_a_name_without_addresses_is_an_error() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return []

    with pytest.raises(OSError, match="no address"):
        await CheckedResolver(lookup).resolve("service", 80)


async def test_the_systems_resolver_is_used() -> None:
    assert set(await system_lookup("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError):
        await system_lookup("no-such-host.invalid", 80)
    with pytest.raises(OSError):
        await system_lookup("a" * 70, 80)
