"""What the world outside is to gates: somebody to ask, who answers or does not. The adapter is `asker.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from trimtab.gates.urls import Target


class UnansweredError(Exception):
    """No usable answer. The message is for people and holds nothing that the server sent."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is empty where it was not asked for."""

    status: int
    body: bytes = b""


class Asker(Protocol):
    """Every call raises :class:`UnansweredError` after ``timeout`` seconds at the latest, but for its turn."""

    async def status(self, target: Target, timeout: float) -> Answer:
        """GET; the body is not read."""
        ...

    async def post(self, target: Target, form: Mapping[str, str], timeout: float) -> Answer:
        """POST of a form, with the answer's body."""
        ...

    async def close(self) -> None:
        """Drop all connections."""
        ...
