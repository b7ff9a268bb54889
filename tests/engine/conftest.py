"""Tests of the engine run by clockwork: real delays, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from clockwork import Clockwork


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"clockwork": Clockwork}
