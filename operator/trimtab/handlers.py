"""The kopf operator: it watches templates, rollouts and actions.

A handler only puts the object into its store.
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

# kopf imports installed API clients only for their login; the official one costs 50 MB, and `login` below replaces it.
# None in sys.modules makes an import fail.
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
# kopf runs in a separate thread; app.py handles the signals of the process.
logging.getLogger("kopf._core.reactor.running").addFilter(
    lambda record: not str(record.msg).startswith("OS signals are ignored")
)

CANCEL_SECONDS = 1.0
"""Interval at which a task of kopf that does not end is cancelled again."""


class _NullDiffBase(kopf.DiffBaseStorage):
    """Keeps kopf from writing annotations on users' objects."""

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class _NullProgress(kopf.ProgressStorage):
    """No handler stores progress."""

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
    """kopf's operator in a separate thread and event loop. It is restarted whenever it ends.

    kopf ends on errors in its watch streams, installs signal handlers where it can, and cancels every newer task of its
    loop. None of this may affect the engine. ``missed`` is called after a restart, since kopf may have missed
    deletions; it runs on the engine's loop, like all updates of the stores.
    """

    def __init__(self, cluster: ClusterState, credentials: Credentials, missed: Callable[[], None]) -> None:
        self._cluster, self._credentials, self._missed = cluster, credentials, missed
        self._engine_loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop kopf. It has nothing to finish, so this does not wait for it."""
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
                log.warning("kopf ended; restarting it: %s", error)
            if self._stop.is_set():
                return
            RESTARTS.inc()
            self._call(self._missed)
            failures = 1 if time.monotonic() - started > 60 else failures + 1
            self._stop.wait(min(30.0, 0.2 * 2**failures))

    async def _operate(self) -> None:
        # Not the threading.Event: kopf would wait for it in an executor's thread, which the loop joins when it ends.
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
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**_: Any) -> kopf.ConnectionInfo:
            return _connection(self._credentials)

        @kopf.on.event(GROUP, VERSION, "configtemplates", registry=registry)
        async def template(*, event: Any, **_: Any) -> None:
            self._call(_store, self._cluster.templates, event)

        @kopf.on.event(GROUP, VERSION, "policyrollouts", registry=registry)
        async def rollout(*, event: Any, **_: Any) -> None:
            self._call(_store, self._cluster.rollouts, event)

        @kopf.on.event(GROUP, VERSION, "rolloutactions", registry=registry)
        async def action(*, event: Any, **_: Any) -> None:
            self._call(_store, self._cluster.actions, event)

        return registry

    def _call(self, what: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the engine's loop has ended, so this thread ends soon
            self._engine_loop.call_soon_threadsafe(what, *args)


async def _end_all_but(before: set[asyncio.Task[Any]]) -> None:
    """Cancel all newer tasks until they have ended. ``kopf.operator`` cancels once, then waits forever: a watcher that
    is cancelled while it requests its stream treats this as the end of the stream, and requests the stream again."""
    while tasks := asyncio.all_tasks() - before:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def settings() -> kopf.OperatorSettings:
    """Settings with which kopf writes nothing: no annotations, finalizers, peering or events."""
    result = kopf.OperatorSettings()
    result.persistence.diffbase_storage = _NullDiffBase()
    result.persistence.progress_storage = _NullProgress()
    result.persistence.finalizer = "trimtab.dev/none"
    result.peering.standalone = True
    result.posting.enabled = False
    result.queueing.idle_timeout = 0.05
    result.watching.server_timeout = 300
    result.watching.inactivity_timeout = 130
    return result


def _store(store: Any, event: Mapping[str, Any]) -> None:
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
