"""A rollout and its groups as they change: read once, then watched; a watch that breaks is resumed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import Body
from trimtab.cli.cluster.progress import Progress
from trimtab.cli.cluster.rollouts import Rollout
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.core import naming
from trimtab.kube import errors
from trimtab.kube.resources import RENDERED_GROUPS

_PAUSE = 1.0
_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))


@dataclass(frozen=True, slots=True)
class Scene:
    """A rollout at one moment. ``groups`` are RenderedGroups of its template, by group."""

    progress: Progress
    groups: Mapping[str, Body] = field(default_factory=dict)
    deleted: bool = False
    trouble: str = ""
    """Why the scene may be outdated."""


async def follow(cluster: Cluster, rollout: Rollout) -> AsyncGenerator[Scene, None]:
    """The scene now and after each change, until the rollout is deleted.

    :raises Failure: the rollout's status was edited manually, or an event is malformed.
    :raises trimtab.kube.errors.ForbiddenError: the rollout cannot be read.
    """
    watch = _Watch(cluster, rollout)
    tasks = [asyncio.create_task(watch.guarded(work)) for work in (watch.rollout, watch.groups)]
    try:
        scene = watch.scene
        yield scene
        while not scene.deleted:
            change = await watch.changes.get()
            if isinstance(change, errors.ApiError | Failure):
                raise change
            if isinstance(change, Exception):
                raise Failure(
                    f"{rollout}: malformed event ({type(change).__name__}: {change}); "
                    f"`{program()} rollout status` reads the rollout once"
                )
            scene = change
            yield scene
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


class _Watch:
    """The latest scene, and a queue of all that follow, or of the error that ended a watch."""

    def __init__(self, cluster: Cluster, rollout: Rollout) -> None:
        self.scene = Scene(Progress.of(rollout))
        self.changes: asyncio.Queue[Scene | Exception] = asyncio.Queue()
        self._cluster = cluster
        self._first = rollout

    async def guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Report whatever ends the work, because the scenes are awaited."""
        try:
            await work()
        except Exception as error:
            self.changes.put_nowait(error)

    def _change(self, **fields: Any) -> None:
        self.scene = replace(self.scene, **fields)
        self.changes.put_nowait(self.scene)

    def _see(self, body: Body, *, deleted: bool) -> None:
        if deleted:
            self._change(deleted=True)
        else:
            self._change(progress=Progress.of(Rollout(body, self._first.kind)), trouble="")

    async def rollout(self) -> None:
        first = self._first
        resource, version = first.kind.resource, str(first.meta.get("resourceVersion", ""))
        while True:
            try:
                events = self._cluster.watch(resource, first.namespace, version=version, name=first.name)
                async for event in events:
                    meta = event.object["metadata"]
                    version = meta.get("resourceVersion") or version
                    if meta.get("name") == first.name and event.type in _CHANGES:
                        self._see(event.object, deleted=event.type == "DELETED")
            except errors.GoneError:
                pass  # the missed events are not kept: the object is read again
            except errors.ForbiddenError:
                await asyncio.sleep(_PAUSE)  # without the verb watch it is read again and again
            except errors.UnavailableError as error:
                self._change(trouble=f"the connection was lost, retrying: {error.message}")
                await asyncio.sleep(_PAUSE)
            with contextlib.suppress(errors.UnavailableError):
                version = await self._read() or version

    async def _read(self) -> str:
        """Read the rollout; its version, or empty if it was deleted."""
        first = self._first
        body = await self._cluster.get(first.kind.resource, first.namespace, first.name) or {}
        meta = body.get("metadata", {})
        self._see(body, deleted=meta.get("uid") != first.meta["uid"])
        return str(meta.get("resourceVersion", ""))

    async def groups(self) -> None:
        """Without the permission to read RenderedGroups, the scenes have none."""
        namespace, selector = self._first.namespace, f"{naming.LABEL_TEMPLATE}={self._first.template}"
        while True:
            try:
                listed, version = await self._cluster.listed(RENDERED_GROUPS, namespace, selector)
                self._change(groups={_group(body): body for body in listed})
                events = self._cluster.watch(RENDERED_GROUPS, namespace, version=version, selector=selector)
                async for event in events:
                    if event.type in _CHANGES:
                        others = {n: g for n, g in self.scene.groups.items() if n != _group(event.object)}
                        now = {} if event.type == "DELETED" else {_group(event.object): event.object}
                        self._change(groups=others | now)
            except errors.ForbiddenError:
                return
            except (errors.GoneError, errors.UnavailableError):
                await asyncio.sleep(_PAUSE)


def _group(body: Body) -> str:
    return str((body.get("spec") or {}).get("group", ""))
