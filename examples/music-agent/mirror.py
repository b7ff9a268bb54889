"""A live view of the cluster's objects, and waiting for a condition on them.

Everything that the demo shows is read from the API server through this module, and every wait has a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.credentials import from_kubeconfig
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    DEPLOYMENTS,
    EVENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

Body = dict[str, Any]
T = TypeVar("T")

PATIENCE = 60.0
"""Timeout of a wait, in seconds. On an idle machine no wait takes more than a few."""
MANAGED = "app.kubernetes.io/managed-by=trimtab"


class DemoError(Exception):
    """An expected effect did not occur."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """The expected value, and when (``time.perf_counter``) its event arrived."""

    value: T
    at: float


class Mirror:
    """The current objects of one kind, by one list and one watch. No wait polls."""

    def __init__(self, client: Client, resource: Resource, selector: str = "") -> None:
        self._client, self.resource, self._selector = client, resource, selector
        self._items: dict[tuple[str, str], Body] = {}
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Seen[Any]]]] = []
        self._listening: list[asyncio.Queue[Seen[Body]]] = []

    def get(self, namespace: str, name: str) -> Body | None:
        return self._items.get((namespace, name))

    def all(self) -> list[Body]:
        """All objects, by name."""
        return [item for _, item in sorted(self._items.items())]

    async def until(self, what: str, look: Callable[[], T | None]) -> Seen[T]:
        """The first true result of ``look``, which is called again after each change.

        :raises DemoError: no true result within :data:`PATIENCE`.
        """
        result = look()
        if result:
            return Seen(result, time.perf_counter())
        future: asyncio.Future[Seen[Any]] = asyncio.get_running_loop().create_future()
        entry = (look, future)
        self._waiting.append(entry)
        try:
            return await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            raise DemoError(f"timed out after {PATIENCE:.0f}s, waiting until {what}") from None
        finally:
            self._waiting.remove(entry)

    @contextlib.contextmanager
    def heard(self) -> Iterator[asyncio.Queue[Seen[Body]]]:
        """A queue of every version of every object that arrives inside the block, in order."""
        versions: asyncio.Queue[Seen[Body]] = asyncio.Queue()
        self._listening.append(versions)
        try:
            yield versions
        finally:
            self._listening.remove(versions)

    async def follow(self) -> None:
        """Watch until cancelled."""
        while True:
            version = await self._list()
            with contextlib.suppress(errors.ApiError):
                async for event in self._client.watch(
                    self.resource, dict, version=version, selector=self._selector
                ):
                    if event.type == "DELETED":
                        self._items.pop(_key(event.object), None)
                    elif event.type != "BOOKMARK":
                        self._items[_key(event.object)] = event.object
                        for versions in self._listening:
                            versions.put_nowait(Seen(event.object, time.perf_counter()))
                    self._tell()

    async def _list(self) -> str:
        version, items = "", {}
        async for page in self._client.pages(self.resource, dict, selector=self._selector):
            items.update({_key(item): item for item in page.items or ()})
            version = page.metadata.resourceVersion
        self._items = items
        self._tell()
        return version

    def _tell(self) -> None:
        now = time.perf_counter()
        for look, future in self._waiting:
            if future.done():
                continue
            try:
                result = look()
            except Exception as error:  # raised where the result is awaited
                future.set_exception(error)
            else:
                if result:
                    future.set_result(Seen(result, now))


def _key(item: Body) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


@dataclass(frozen=True)
class Cluster:
    """A client, and a mirror of each kind that the demo uses."""

    client: Client
    preferences: Mirror
    templates: Mirror
    rollouts: Mirror
    groups: Mirror
    maps: Mirror
    secrets: Mirror
    deployments: Mirror
    events: Mirror

    @classmethod
    @contextlib.asynccontextmanager
    async def seen_by(cls, kubeconfig: Path) -> AsyncIterator[Cluster]:
        """Watch until the block ends."""
        async with Client(from_kubeconfig(kubeconfig), user_agent="trimtab-demo") as client:
            mirrors = (
                Mirror(client, USER_PREFERENCES),
                Mirror(client, CONFIG_TEMPLATES),
                Mirror(client, POLICY_ROLLOUTS),
                Mirror(client, RENDERED_GROUPS),
                Mirror(client, CONFIG_MAPS, MANAGED),
                Mirror(client, SECRETS, MANAGED),
                Mirror(client, DEPLOYMENTS),
                Mirror(client, EVENTS),
            )
            tasks = [asyncio.create_task(mirror.follow()) for mirror in mirrors]
            try:
                yield cls(client, *mirrors)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
