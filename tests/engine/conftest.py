"""Tests of the engine run in virtual time: real delays, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from support.virtual_time import Clockwork


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"clockwork": Clockwork}
