"""The port through which gates send HTTP requests. The adapter is `aiohttp_client.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from trimtab.gates.urls import Target


class NoResponseError(Exception):
    """There is no usable response. The message contains nothing that the server sent."""


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` is empty if it was not read."""

    status: int
    body: bytes = b""


class HttpClient(Protocol):
    """Every request raises :class:`NoResponseError` after at most ``timeout`` seconds in addition to its wait."""

    async def status(self, target: Target, timeout: float) -> Response:
        """GET, without reading the body."""
        ...

    async def post(self, target: Target, form: Mapping[str, str], timeout: float) -> Response:
        """POST of a form, with the body of the response."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
