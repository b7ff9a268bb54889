"""Lists and watches: keeps a sink equal to the API server through 410, 429, 5xx and dropped connections.

A sink receives objects and deletions. ``begin`` and ``end`` frame a full list, so that it finds deletions that were
lost between two watches: objects that were not put in between. An incomplete list has no ``end``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, Protocol, TypeVar

from trimtab.kube import errors
from trimtab.kube.port import Api, Event, Page
from trimtab.kube.resources import Resource

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
log = logging.getLogger(__name__)

SLICE = 100
"""Objects passed to the sink before other tasks run."""


class Sink(Protocol[T_contra]):
    """Receives objects. Its methods are called in the event loop and must not block it."""

    def begin(self) -> None:
        """A full list starts."""
        ...

    def put(self, item: T_contra) -> None: ...

    def drop(self, item: T_contra) -> None: ...

    def end(self, version: int) -> None:
        """The list is complete: objects not put since ``begin`` and not newer than ``version`` do not exist."""
        ...


class Reflector(Generic[T]):
    """``synced`` is set when the first complete list is in the sink, and remains set.

    With ``watch=False`` another component watches, and the reflector only lists periodically to find lost events.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        item: type[T],
        sink: Sink[T],
        *,
        version: Callable[[T], str],
        namespace: str | None = None,
        selector: str = "",
        limit: int = 500,
        relist_seconds: float = 600,
        watch: bool = True,
    ) -> None:
        self.resource, self.namespace = resource, namespace
        self.synced = asyncio.Event()
        self.last_contact: float = 0.0
        self.relists = 0
        self.problem = ""
        """The reason of the last failure, empty after a success."""
        self._requested = asyncio.Event()
        self._streams = True
        self._api, self._item, self._sink = api, item, sink
        self._version, self._selector, self._limit = version, selector, limit
        self.watches = watch
        self._relist_seconds = relist_seconds

    async def run(self) -> None:
        """Run until cancelled."""
        failures = 0
        while True:
            relist_at = asyncio.get_running_loop().time() + self._relist_seconds * _spread()
            self._requested.clear()  # a request during the list may be about objects that were listed before it
            try:
                version = await self._fill(relist_at)
                failures = 0
                if self.watches:
                    await self._follow(version, relist_at)
                else:
                    await self._until_requested(self._relist_seconds)
            except errors.GoneError:
                log.info("A version expired; listing again", extra={"resource": self.resource.plural})
                await asyncio.sleep(_backoff(0))
            except errors.ApiError as error:
                failures += 1
                self.problem = error.reason or str(error.status)
                log.warning("Could not list: %s", error, extra={"resource": self.resource.plural})
                await self._until_requested(_backoff(failures))

    async def _fill(self, relist_at: float) -> str:
        """Passes a complete list to the sink, and the events that follow it in a stream; returns the version reached.

        :raises trimtab.kube.errors.ApiError: the list is not complete.
        """
        if self.watches and self._streams:
            try:
                return await self._stream(relist_at)
            except errors.InvalidError:
                self._streams = False  # the API server does not support streaming lists
        return await self._list()

    async def _stream(self, relist_at: float) -> str:
        version, complete, count = "", False, 0
        self._sink.begin()
        try:
            async for event in self._api.stream(
                self.resource,
                self._item,
                namespace=self.namespace,
                selector=self._selector,
                timeout=_seconds_to(relist_at),
            ):
                self._touch()
                version = self._version(event.object) or version
                if event.type == "SYNCED":
                    complete = True
                    self._complete(version)
                else:
                    self._hand_over(event)
                count += 1
                if count % SLICE == 0:
                    await asyncio.sleep(0)
        except errors.GoneError:
            raise
        except errors.ApiError as error:
            if not complete:
                raise
            log.info("Watch failed, resuming: %s", error, extra={"resource": self.resource.plural})
        if not complete:
            raise errors.UnavailableError(0, "ListCut", "the list is incomplete")
        return version

    async def _list(self) -> str:
        version, count = "", 0
        self._sink.begin()
        pages: AsyncIterator[Page[T]] = self._api.pages(
            self.resource, self._item, namespace=self.namespace, selector=self._selector, limit=self._limit
        )
        async for page in pages:
            self._touch()
            for item in page.items or ():
                self._sink.put(item)
                count += 1
                if count % SLICE == 0:
                    await asyncio.sleep(0)
            version = page.metadata.resourceVersion or version
        self._complete(version)
        return version

    def _complete(self, version: str) -> None:
        self._sink.end(int(version or 0))
        self.relists += 1
        self.synced.set()

    def _hand_over(self, event: Event[T]) -> None:
        if event.type == "DELETED":
            self._sink.drop(event.object)
        elif event.type != "BOOKMARK":
            self._sink.put(event.object)

    async def _follow(self, version: str, relist_at: float) -> None:
        """Watches, resuming after failures, until it is time to list again.

        :raises GoneError: the version expired.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        while loop.time() < relist_at:
            started = loop.time()
            try:
                async for event in self._api.watch(
                    self.resource,
                    self._item,
                    version=version,
                    namespace=self.namespace,
                    selector=self._selector,
                    timeout=_seconds_to(relist_at),
                ):
                    self._touch()
                    failures = 0
                    version = self._version(event.object) or version
                    self._hand_over(event)
                if loop.time() - started < 1:  # do not overload a server that ends watches immediately
                    await asyncio.sleep(_backoff(3))
            except errors.GoneError:
                raise
            except errors.ApiError as error:
                failures += 1
                self.problem = error.reason or str(error.status)
                log.info("Watch failed, resuming: %s", error, extra={"resource": self.resource.plural})
                await asyncio.sleep(_backoff(failures))

    def ask(self) -> None:
        """List again soon: events may have been lost, or the kind exists again."""
        self._requested.set()

    async def _until_requested(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._requested.wait()

    def _touch(self) -> None:
        self.problem = ""
        self.last_contact = asyncio.get_running_loop().time()


def _spread() -> float:
    return random.uniform(0.9, 1.1)  # noqa: S311  # so that replicas do not list at the same time


def _seconds_to(deadline: float) -> int:
    return max(1, min(300, int(deadline - asyncio.get_running_loop().time())))


def _backoff(failures: int) -> float:
    return float(min(30.0, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311


AnyReflector = Reflector[Any]
