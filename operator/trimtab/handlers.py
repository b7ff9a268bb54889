"""kopf's side: it logs in, and watches templates, rollouts and actions on them.

A handler only tells the world what it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

# kopf imports API clients that are installed only to borrow their login; the official one costs 50 MB, and we log
# in ourselves. None in sys.modules makes an import fail.
_hidden = [name for name in ("kubernetes", "pykube") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))  # type: ignore[arg-type]
import kopf

for _name in _hidden:
    del sys.modules[_name]

import msgspec

from trimtab.core.objects import AnyObject
from trimtab.engine.metrics import RESTARTS
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.kube.credentials import Credentials
from trimtab.kube.resources import GROUP, VERSION

log = logging.getLogger(__name__)
# It runs in a thread of its own, and the process's signals are app.py's.
logging.getLogger("kopf._core.reactor.running").addFilter(
    lambda record: not str(record.msg).startswith("OS signals are ignored")
)

CANCEL_SECONDS = 1.0
"""After how long a task of kopf's that goes on is cancelled again."""


class _NullDiffBase(kopf.DiffBaseStorage):
    """Keeps kopf from writing annotations on users' objects."""

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class _NullProgress(kopf.ProgressStorage):
    """No handler here has progress to keep."""

    def fetch(self, *, key: str, body: kopf.Body) -> Any:
        return None

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        pass

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        pass

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class Watcher:
    """kopf's operator in a thread and an event loop of its own, started again whenever it ends.

    It ends on errors in its watch streams, takes the process's signals where it can, and cancels every task of its
    loop that is younger than itself: none of that may reach the engine. ``missed`` is called (on the engine's
    loop, like everything that the world is told) when it starts anew, since it may have missed deletions.
    """

    def __init__(self, cluster: ClusterState, credentials: Credentials, missed: Callable[[], None]) -> None:
        self._world, self._credentials, self._missed = cluster, credentials, missed
        self._engine_loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; it has nothing to finish, so nobody waits for it."""
        self._stop.set()
        if self._running is not None:
            loop, ending = self._running
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                loop.call_soon_threadsafe(ending.set)

    def _main(self) -> None:
        failures = 0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                asyncio.run(self._operate())
            except Exception as error:
                log.warning("kopf ended, starting it again: %s", error)
            if self._stop.is_set():
                return
            RESTARTS.inc()
            self._tell(self._missed)
            failures = 1 if time.monotonic() - started > 60 else failures + 1
            self._stop.wait(min(30.0, 0.2 * 2**failures))

    async def _operate(self) -> None:
        # Not the threading.Event: kopf would wait for that one in an executor's thread, which a loop that ends joins.
        ending = asyncio.Event()
        self._running = (asyncio.get_running_loop(), ending)
        if not self._stop.is_set():
            before = asyncio.all_tasks()
            roots = await kopf.spawn_tasks(
                registry=self._registry(), settings=settings(), clusterwide=True, stop_flag=ending
            )
            ended, _ = await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
            await _end_all_but(before)
            for task in ended:
                task.result()

    def _registry(self) -> kopf.OperatorRegistry:
        made = kopf.OperatorRegistry()

        @kopf.on.login(registry=made)
        def login(**_: Any) -> kopf.ConnectionInfo:
            return _connection(self._credentials)

        @kopf.on.event(GROUP, VERSION, "configtemplates", registry=made)
        async def template(*, event: Any, **_: Any) -> None:
            self._tell(_take, self._world.templates, event)

        @kopf.on.event(GROUP, VERSION, "policyrollouts", registry=made)
        async def rollout(*, event: Any, **_: Any) -> None:
            self._tell(_take, self._world.rollouts, event)

        @kopf.on.event(GROUP, VERSION, "rolloutactions", registry=made)
        async def action(*, event: Any, **_: Any) -> None:
            self._tell(_take, self._world.actions, event)

        return made

    def _tell(self, what: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the engine's loop has ended: so will we
            self._engine_loop.call_soon_threadsafe(what, *args)


async def _end_all_but(before: set[asyncio.Task[Any]]) -> None:
    """Cancel all later tasks until they have ended. ``kopf.operator`` cancels once and then waits for ever: a watcher
    that is stopped just as it asks for its stream takes that for an end of the stream, and asks again."""
    while tasks := asyncio.all_tasks() - before:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def settings() -> kopf.OperatorSettings:
    """kopf without writes of its own: no annotations, no finalizers, no peering, no events."""
    made = kopf.OperatorSettings()
    made.persistence.diffbase_storage = _NullDiffBase()
    made.persistence.progress_storage = _NullProgress()
    made.persistence.finalizer = "trimtab.dev/none"
    made.peering.standalone = True
    made.posting.enabled = False
    made.queueing.idle_timeout = 0.05
    made.watching.server_timeout = 300
    made.watching.inactivity_timeout = 130
    return made


def _take(store: Any, event: Mapping[str, Any]) -> None:
    item = msgspec.convert(dict(event["object"]), AnyObject)
    if event["type"] == "DELETED":
        store.drop(item)
    else:
        store.put(item)


def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=credentials.ca_data.encode() if credentials.ca_data else None,
        insecure=credentials.insecure,
        certificate_data=credentials.certificate,
        private_key_data=credentials.private_key,
        token=credentials.bearer(),
        default_namespace=credentials.namespace,
    )
