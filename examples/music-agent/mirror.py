"""Eyes on the cluster: what is there now, and waiting until something comes true.

Everything that the demo shows it reads back from the API server by these, and every wait is bounded.
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
"""Seconds that anything may take to come true; on an idle machine nothing here takes more than a few."""
OURS = "app.kubernetes.io/managed-by=trimtab"


class DemoError(Exception):
    """Something that the demo was about to show did not come true."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What was waited for, and when (``time.perf_counter``) its event arrived."""

    value: T
    at: float


class Mirror:
    """One kind of object as the cluster has it now, by one list and one watch: no wait here polls."""

    def __init__(self, client: Client, resource: Resource, selector: str = "") -> None:
        self._client, self.resource, self._selector = client, resource, selector
        self._items: dict[tuple[str, str], Body] = {}
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Seen[Any]]]] = []
        self._listening: list[asyncio.Queue[Seen[Body]]] = []

    def get(self, namespace: str, name: str) -> Body | None:
        return self._items.get((namespace, name))

    def all(self) -> list[Body]:
        """All of them, by name."""
        return [item for _, item in sorted(self._items.items())]

    async def until(self, what: str, look: Callable[[], T | None]) -> Seen[T]:
        """The first true answer of ``look``, which is asked again with each change.

        :raises DemoError: it did not come within :data:`PATIENCE`.
        """
        answer = look()
        if answer:
            return Seen(answer, time.perf_counter())
        future: asyncio.Future[Seen[Any]] = asyncio.get_running_loop().create_future()
        entry = (look, future)
        self._waiting.append(entry)
        try:
            return await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            raise DemoError(f"waited {PATIENCE:.0f} s in vain until {what}") from None
        finally:
            self._waiting.remove(entry)

    @contextlib.contextmanager
    def heard(self) -> Iterator[asyncio.Queue[Seen[Body]]]:
        """Every version of every object that arrives while the block lasts, in order: nothing is left out."""
        versions: asyncio.Queue[Seen[Body]] = asyncio.Queue()
        self._listening.append(versions)
        try:
            yield versions
        finally:
            self._listening.remove(versions)

    async def follow(self) -> None:
        """Keep up until cancelled."""
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
                answer = look()
            except Exception as error:  # whoever waits is told
                future.set_exception(error)
            else:
                if answer:
                    future.set_result(Seen(answer, now))


def _key(item: Body) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


@dataclass(frozen=True)
class Cluster:
    """A client and a mirror of each kind that the demo looks at."""

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
                Mirror(client, CONFIG_MAPS, OURS),
                Mirror(client, SECRETS, OURS),
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
