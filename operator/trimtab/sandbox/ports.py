"""Ports on loopback for the components of a sandbox."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Container

# Below Linux's ephemeral ports, which the kernel gives to outgoing connections at any time.
_RANGE = range(20000, 32000)


def free_ports(count: int, reserved: Container[int]) -> tuple[int, ...]:
    """Ports that no process listens on now and that are not ``reserved``."""
    candidates = random.sample(_RANGE, len(_RANGE))
    free = (port for port in candidates if port not in reserved and _can_bind(port))
    return tuple(port for port, _ in zip(free, range(count), strict=False))


def accepts_connections(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def _can_bind(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False
