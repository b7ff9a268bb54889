"""Concurrency limits, so that slow writes of one template or namespace leave slots to the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from trimtab.core.refs import TemplateKey


class Lanes:
    """``each`` slots for one template, one more for a namespace, and one more again for all."""

    def __init__(self, each: int) -> None:
        self._each, self.all = each, asyncio.Semaphore(each + 2)
        self._lanes = WeakValueDictionary[object, asyncio.Semaphore]()

    @contextlib.asynccontextmanager
    async def slot(self, owner: TemplateKey) -> AsyncIterator[None]:
        """Wait for a slot, and occupy it."""
        template = self._lanes.setdefault(owner, asyncio.Semaphore(self._each))
        namespace = self._lanes.setdefault(owner.namespace, asyncio.Semaphore(self._each + 1))
        async with template, namespace, self.all:
            yield
