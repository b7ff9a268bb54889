"""A rollout and its groups as they change: one list, then watches that are taken up again whenever they break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trimtab.cli.cluster.rollout_reference import Found, resource
from trimtab.cli.errors import Failure
from trimtab.cli.view.output import program
from trimtab.cli.view.progress import Progress
from trimtab.core import naming
from trimtab.kube import errors
from trimtab.kube.resources import RENDERED_GROUPS

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

Body = dict[str, Any]
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is seen at one moment. ``groups`` are RenderedGroups of the template, by group."""

    progress: Progress
    groups: Mapping[str, Body] = field(default_factory=dict)
    gone: bool = False
    trouble: str = ""
    """Why what is seen may be old, while it may."""


Change = Callable[[Scene], Scene]
_Put = Callable[[Change], Awaitable[None]]


async def follow(cluster: Cluster, found: Found) -> AsyncGenerator[Scene, None]:
    """The scene now and after each change, until the rollout is gone.

    :raises Failure: its status was written by hand, or what the cluster tells cannot be understood.
    :raises trimtab.kube.errors.ForbiddenError: the rollout may not be read, or not any more.
    """
    queue: asyncio.Queue[Change | Exception] = asyncio.Queue()
    tasks = [asyncio.create_task(_guarded(work, cluster, found, queue)) for work in (_rollout, _groups)]
    try:
        scene = Scene(Progress.of(found))
        yield scene
        while not scene.gone:
            change = await queue.get()
            if isinstance(change, errors.ApiError | Failure):
                raise change
            if isinstance(change, Exception):
                raise Failure(
                    f"{found}: what the cluster tells of it cannot be understood ({type(change).__name__}: {change}); "
                    f"`{program()} rollout status` looks at it once"
                )
            scene = change(scene)
            yield scene
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _guarded(
    work: Callable[[Cluster, Found, _Put], Awaitable[None]],
    cluster: Cluster,
    found: Found,
    queue: asyncio.Queue[Change | Exception],
) -> None:
    """Whatever ends the work is told: nobody waits for a task that is dead."""
    try:
        await work(cluster, found, queue.put)
    except Exception as error:
        await queue.put(error)


async def _rollout(cluster: Cluster, found: Found, put: _Put) -> None:
    kind, version = resource(found.kind), str(found.body["metadata"].get("resourceVersion", ""))
    while True:
        try:
            async for event in cluster.watch(kind, found.namespace, version=version, name=found.name):
                body = event.object
                version = body["metadata"].get("resourceVersion") or version
                if body["metadata"].get("name") != found.name or event.type not in _CHANGES:
                    continue
                await put(_seen(Found(found.kind, body), gone=event.type == "DELETED"))
        except errors.GoneError:
            pass  # what it missed is past: the object is read again
        except errors.ForbiddenError:
            await asyncio.sleep(_PAUSE)  # who may read it may look again and again
        except errors.UnavailableError as error:
            await put(_troubled(error))
            await asyncio.sleep(_PAUSE)
        with contextlib.suppress(errors.UnavailableError):
            there = await cluster.get(kind, found.namespace, found.name)
            same = there is not None and there["metadata"]["uid"] == found.body["metadata"]["uid"]
            now = Found(found.kind, there) if there is not None and same else found
            version = str(now.body["metadata"].get("resourceVersion", ""))
            await put(_seen(now, gone=not same))


_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))


def _seen(found: Found, *, gone: bool) -> Change:
    return lambda scene: (
        replace(scene, gone=True) if gone else replace(scene, progress=Progress.of(found), trouble="")
    )


def _troubled(error: errors.ApiError) -> Change:
    return lambda scene: replace(scene, trouble=f"the connection was lost, trying again: {error.message}")


async def _groups(cluster: Cluster, found: Found, put: _Put) -> None:
    """Who may not see RenderedGroups sees the rollout alone."""
    selector = f"{naming.LABEL_TEMPLATE}={found.template}"
    while True:
        try:
            listed, version = await cluster.listed(RENDERED_GROUPS, found.namespace, selector)
            await put(_all({_group(body): body for body in listed}))
            async for event in cluster.watch(
                RENDERED_GROUPS, found.namespace, version=version, selector=selector
            ):
                if event.type in _CHANGES:
                    await put(_one(event.object, gone=event.type == "DELETED"))
        except errors.ForbiddenError:
            return
        except (errors.GoneError, errors.UnavailableError):
            await asyncio.sleep(_PAUSE)


def _group(body: Body) -> str:
    return str((body.get("spec") or {}).get("group", ""))


def _all(groups: Mapping[str, Body]) -> Change:
    return lambda scene: replace(scene, groups=groups)


def _one(body: Body, *, gone: bool) -> Change:
    def change(scene: Scene) -> Scene:
        others = {name: group for name, group in scene.groups.items() if name != _group(body)}
        return replace(scene, groups=others if gone else others | {_group(body): body})

    return change
