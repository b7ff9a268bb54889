"""The floor of a rollback: a bare client that makes the same number of the same writes, and decides nothing.

For each group two statuses of its RenderedGroup and, between them, every object whose content differs, as many at a
time as the operator makes. No operator runs meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

from benchmarks.edits import Watched
from benchmarks.served import Served, served, status_of
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS, RENDERED_GROUPS

GROUPS_AT_ONCE, WRITES_AT_ONCE = 4, 8
_GROUP = "trimtab.dev/group"
_PASSED_ON = ("trimtab.dev/revision", "trimtab.dev/digest")


async def measure(client: Client, space: str, there: Served, home: Served) -> list[float]:
    """Seconds of going there, and of coming home again; what is there in the end is what was there at first."""
    return [await _move(client, space, home, there), await _move(client, space, there, home)]


async def _move(client: Client, space: str, source: Served, target: Served) -> float:
    objects: dict[str, list[Watched]] = defaultdict(list)
    for item in target.unlike(source).values():
        objects[(item.metadata.labels or {})[_GROUP]].append(item)
    waiting = iter(target.groups.items())
    slots = asyncio.Semaphore(WRITES_AT_ONCE)
    now = await served(client, space)
    versions = {name: item.metadata.resourceVersion for name, item in now.groups.items()}

    async def apply(item: Watched) -> None:
        async with slots:
            await client.apply(CONFIG_MAPS, _body(item))

    async def work() -> None:
        for name, group in waiting:
            there, moving = dict(status_of(group)), dict(status_of(group))
            moving["epoch"] += 1
            versions[name] = await _point(client, space, name, moving, versions[name])
            await asyncio.gather(*(apply(item) for item in objects[(group.metadata.labels or {})[_GROUP]]))
            await _point(client, space, name, there, versions[name])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(GROUPS_AT_ONCE):
            tasks.create_task(work())
    return time.perf_counter() - started


async def _point(client: Client, space: str, name: str, status: dict[str, Any], version: str) -> str:
    answer = await client.replace_status(RENDERED_GROUPS, space, name, status, version=version)
    return str(answer["metadata"]["resourceVersion"])


def _body(item: Watched) -> dict[str, Any]:
    meta = item.metadata
    kept = {name: text for name, text in (meta.annotations or {}).items() if name in _PASSED_ON}
    metadata = {"name": meta.name, "namespace": meta.namespace, "labels": meta.labels, "annotations": kept}
    return {"metadata": metadata, "data": item.data}
