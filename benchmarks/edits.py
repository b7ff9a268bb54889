"""One edit at a time, and the moment its value is seen in a ConfigMap, by a client that watches."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from benchmarks import content
from trimtab.core.objects import ObjectMeta
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS, USER_PREFERENCES, Resource

PAUSE = 0.02
"""Seconds between two edits: each is measured by itself, status writes and all that follows it done."""
PATIENCE = 60.0
marks = itertools.count(1_000_000_000 + time.monotonic_ns() // 1_000_000 % 900_000_000)
"""Never one that an earlier run has left: an edit that changes nothing is never seen."""


class Watched(msgspec.Struct, gc=False):
    """What the measuring client reads of an object."""

    metadata: ObjectMeta
    data: dict[str, str] | None = None
    spec: msgspec.Raw = msgspec.Raw(b"")
    status: msgspec.Raw = msgspec.Raw(b"")


Look = Callable[[Watched], bool]


class Watcher:
    """Follows one kind; :meth:`until` waits for an object that is as wanted."""

    def __init__(self, client: Client, resource: Resource, selector: str = "") -> None:
        self._client, self._resource, self._selector = client, resource, selector
        self._waiting: list[tuple[Look, asyncio.Future[float]]] = []

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Watcher]:
        version = ""
        async for page in self._client.pages(self._resource, Watched, selector=self._selector):
            version = page.metadata.resourceVersion
        task = asyncio.create_task(self._follow(version))
        task.add_done_callback(self._ended)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        for _, future in self._waiting:
            if error is not None and not future.done():
                future.set_exception(error)

    async def _follow(self, version: str) -> None:
        while True:
            async for event in self._client.watch(
                self._resource, Watched, version=version, selector=self._selector
            ):
                now = time.perf_counter()
                version = event.object.metadata.resourceVersion or version
                for look, future in self._waiting:
                    if not future.done() and look(event.object):
                        future.set_result(now)

    def expect(self, look: Look) -> asyncio.Future[float]:
        """A future for the moment (perf_counter) when an event showed such an object."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        entry = (look, future)
        self._waiting.append(entry)
        future.add_done_callback(lambda _: self._waiting.remove(entry))
        return future


def shows(user: str, mark: int) -> Look:
    """Whether a ConfigMap holds the user's file with this mark in it."""
    entry, text = f"{user}.{content.FILE}", str(mark)

    def look(item: Watched) -> bool:
        return text in (item.data or {}).get(entry, "")

    return look


Respond = Callable[[str, int], Awaitable[None]]


async def measure(
    client: Client, space: str, users: int, edits: int, selector: str, respond: Respond | None = None
) -> list[float]:
    """Seconds from each edit's request to its sight.

    ``respond`` plays the operator (for the floor): it is started with every edit, before its request.
    """
    chance = random.Random(edits)
    seconds = []
    async with Watcher(client, CONFIG_MAPS, selector).following() as outputs:
        for _ in range(edits):
            user, mark = content.user_name(chance.randrange(users)), next(marks)
            seen = outputs.expect(shows(user, mark))
            answer = asyncio.ensure_future(respond(user, mark)) if respond else None
            await asyncio.sleep(PAUSE)
            started = time.perf_counter()
            await patch(client, space, user, mark)
            waited = await asyncio.wait_for(asyncio.gather(seen, *([answer] if answer else ())), PATIENCE)
            seconds.append(waited[0] - started)
    return seconds


async def patch(client: Client, space: str, user: str, mark: int) -> None:
    """Edit one key of one user."""
    body: dict[str, Any] = {"spec": {"values": {content.MARK: mark}}}
    await client.merge_patch(USER_PREFERENCES, space, user, body)
