"""The composition root: constructs and connects the parts of an operator process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trimtab import handlers
from trimtab.core.render.sizes import DEFAULT_OUTPUT
from trimtab.crypto import UnreadableError
from trimtab.engine.engine import Engine
from trimtab.engine.leadership.lease import Leader, LeaseSettings
from trimtab.engine.metrics import LAST_EVENT_AGE, LOOP_LAG, QUEUE, STATUS_QUEUE
from trimtab.engine.term import Settings
from trimtab.gates.urls import AllowList
from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.credentials import Credentials
from trimtab.kube.errors import NotLeaderError
from trimtab.web import probes

log = logging.getLogger(__name__)

DEEPEST = 20_000
"""Recursion limit for decoders: the API server accepts 10,000 levels of JSON, and Python's default limit is 1,000."""
SILENCE_SECONDS = 180.0
"""A watch without events and bookmarks for this long is considered dead."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `trimtab run`. ``port`` 0 selects a free port; ``settle``: seconds for a graceful stop;
    ``allow_gates``: addresses that gates may query; ``max_template_output``: maximum bytes of the files of all groups
    of one template."""

    namespace: str
    host: str = "0.0.0.0"  # noqa: S104
    port: int = 8080
    lease_duration: float = 15.0
    relist_seconds: float = 600.0
    settle: float = 10.0
    allow_gates: AllowList = field(default_factory=AllowList)
    max_template_output: int = DEFAULT_OUTPUT


class Operator:
    """One operator process."""

    def __init__(self, credentials: Credentials, options: Options) -> None:
        self.credentials, self.options = credentials, options
        self.identity = f"{socket.gethostname()}-{os.getpid()}"
        self.port = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Request a graceful stop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until :meth:`stop` or SIGTERM.

        :raises OSError: the port is in use.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        lease = LeaseSettings(self.options.namespace, self.identity, duration=self.options.lease_duration)
        # The engine plans failed writes again, so the client does not retry. A write must end before the Lease expires.
        async with Client(self.credentials, write_retries=0, write_seconds=max(lease.margin, 2.0)) as client:
            moves: asyncio.Queue[bool] = asyncio.Queue()

            def moved(leading: bool) -> None:
                loop.call_soon_threadsafe(moves.put_nowait, leading)

            leader = Leader(self.credentials, lease, moved)
            settings = Settings(
                self.options.namespace,
                self.options.relist_seconds,
                self.options.allow_gates,
                self.options.max_template_output,
            )
            engine = Engine(client, settings, leader.may_write, _now)
            web = probes.application(
                self._health, lambda: self._readiness(engine), lambda: self._collect(engine)
            )
            server = await probes.serve(web, self.options.host, self.options.port)
            self.port = server.port
            log.info(
                "starting",
                extra={"identity": self.identity, "port": self.port, "server": self.credentials.server},
            )
            watcher = handlers.Watcher(
                engine.cluster, self.credentials, missed=engine.reflectors.relist_unwatched
            )
            watcher.start()
            tasks = [
                asyncio.create_task(engine.run(), name="engine"),
                asyncio.create_task(self._lead(engine, leader, moves), name="lead"),
            ]
            stop = asyncio.create_task(self._stop.wait())
            try:
                done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stop}:
                    task.result()  # the engine only ends on an error: raise it
                await self._settle(engine)
            finally:
                watcher.stop()
                for task in (stop, *tasks):
                    task.cancel()
                await asyncio.gather(stop, *tasks, return_exceptions=True)
                await asyncio.to_thread(leader.stop)
                await server.stop()
                log.info("stopped", extra={"identity": self.identity})

    async def _settle(self, engine: Engine) -> None:
        """Finish the work in progress, up to the timeout. A stop at any time is safe."""
        if engine.term is not None:
            engine.term.statuses.flush()
            try:
                async with asyncio.timeout(self.options.settle):
                    await engine.idle()
            except TimeoutError:
                log.info("Stopping with unfinished work; the next leader continues it")

    async def _lead(self, engine: Engine, leader: Leader, moves: asyncio.Queue[bool]) -> None:
        """Follow the Lease. A standby fills its stores before it acquires the Lease."""
        await engine.reflectors.wait_synced()
        gc.freeze()  # the objects in the stores stay: exclude them from garbage collection
        gc.enable()
        log.info("stores are complete", extra={"preferences": len(engine.cluster.preferences)})
        leader.start()
        while True:
            leading = await moves.get()
            if not leading:
                engine.follow()
                continue
            while leader.may_write():
                try:
                    await engine.lead()
                    log.info("acting")
                    break
                except (errors.ApiError, NotLeaderError, UnreadableError) as error:
                    log.error("Could not start to act; retrying: %s", error)
                    await asyncio.sleep(1)

    def _health(self) -> str:
        """Healthy as soon as the event loop runs this; kopf may be restarting."""
        return ""

    def _readiness(self, engine: Engine) -> str:
        waiting = [r.resource.plural for r in engine.reflectors if not r.synced.is_set()]
        if waiting:
            return f"stores are not complete yet: {', '.join(waiting)}"
        silent = self._silence(engine)
        return f"no watch event for {silent:.0f}s" if silent > SILENCE_SECONDS else ""

    def _silence(self, engine: Engine) -> float:
        now = asyncio.get_running_loop().time()
        watches = [r for r in engine.reflectors if r.watches]
        return max((now - r.last_contact for r in watches), default=0.0)

    def _collect(self, engine: Engine) -> None:
        LAST_EVENT_AGE.set(self._silence(engine))
        QUEUE.set(len(engine.cluster.queue))
        term = engine.term
        STATUS_QUEUE.set(term.statuses.depth if term is not None else 0)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Measured(selectors.DefaultSelector):
    """Measures how long the event loop is blocked: the time between two calls of ``select``."""

    def __init__(self) -> None:
        super().__init__()
        self._returned = time.perf_counter()
        self._worst = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        kept = time.perf_counter() - self._returned
        if kept > self._worst:
            self._worst = kept
            LOOP_LAG.set(kept)
        events = super().select(timeout)
        self._returned = time.perf_counter()
        return events


def run(credentials: Credentials, options: Options) -> None:
    """Run an operator in the foreground until it is stopped."""

    async def main() -> None:
        await Operator(credentials, options).run()

    # A garbage collection blocks the loop: a full one of a million objects for 250 ms.
    gc.set_threshold(10_000, 5, 1_000)
    gc.disable()  # until the stores are full: filling them creates no cyclic garbage
    sys.setrecursionlimit(DEEPEST)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Measured())) as runner:
        runner.run(main())
