"""The engine: reflectors fill the stores; while this process leads, a term works on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from trimtab.engine.leadership.encryption_keys import Keyring
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.engine.metrics import LEADER
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.kind_deletions import Kinds
from trimtab.engine.store.reflectors import Reflectors
from trimtab.engine.term import Clock, Settings, Term
from trimtab.kube.port import Api


class Engine:
    """One operator's engine. It reads always, and writes only between :meth:`lead` and :meth:`follow`."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        may_write: Callable[[], bool],
        now: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self._clock = settings, Clock(now, clock)
        self._api = WriteGuard(api, may_write)
        self.cluster = ClusterState()
        self.reflectors = Reflectors(self._api, self.cluster, settings.relist_seconds)
        self.kinds = Kinds(self._api, self.cluster, self.reflectors)
        self.keyring = Keyring(self._api, settings.namespace)
        self.term: Term | None = None
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until cancelled."""
        async with self._tasks as tasks:
            tasks.create_task(self.reflectors.run())
            tasks.create_task(self.kinds.run())

    async def lead(self) -> None:
        """Begin a term: load the keys, reconcile everything.

        :raises trimtab.kube.errors.ApiError: the keys could not be read or created.
        :raises UnreadableError: the keys' Secret is malformed.
        """
        self.follow()
        await self.reflectors.wait_synced()
        await self.keyring.load()
        await self.kinds.start()
        self.term = Term(self._api, self.cluster, self.keyring, self.settings, self._clock)
        self.cluster.start()
        self._running = self._tasks.create_task(self.term.run())
        LEADER.set(1)

    def follow(self) -> None:
        """End the term; the stores stay filled."""
        self.cluster.stop()
        if self._running is not None:
            self._running.cancel()
        self.term = self._running = None
        LEADER.set(0)

    async def idle(self) -> None:
        """Wait until the term has nothing to do."""
        if self.term is not None:
            await self.term.idle()
