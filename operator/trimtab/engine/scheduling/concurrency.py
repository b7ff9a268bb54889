"""How much of one kind is under way at once: what takes long, behind a webhook that is down, leaves turns to others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from trimtab.core.refs import TemplateKey


class Lanes:
    """One template has ``each`` at once. A namespace may have one more, and all together another one."""

    def __init__(self, each: int) -> None:
        self._each, self.all = each, asyncio.Semaphore(each + 2)
        self._lanes = WeakValueDictionary[object, asyncio.Semaphore]()

    @contextlib.asynccontextmanager
    async def turn(self, whose: TemplateKey) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        template = self._lanes.setdefault(whose, asyncio.Semaphore(self._each))
        namespace = self._lanes.setdefault(whose.namespace, asyncio.Semaphore(self._each + 1))
        async with template, namespace, self.all:
            yield
