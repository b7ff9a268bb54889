"""Puts objects on the API server, as fast as it takes them or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from benchmarks import content
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_TEMPLATES, NAMESPACES, USER_PREFERENCES, Resource

PARALLEL = 24
_encode = msgspec.json.encode


async def namespace(client: Client, name: str) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": name}})


async def template(client: Client, name: str, groups: int = 0) -> None:
    await client.create(CONFIG_TEMPLATES, content.template(name, groups))


async def preferences(client: Client, space: str, numbers: range, groups: int = 0) -> float:
    """Create users' preferences, in the usual groups or in so many; the seconds that it took."""
    started = time.perf_counter()
    await create_all(client, USER_PREFERENCES, space, content.preferences(space, numbers, groups))
    return time.perf_counter() - started


async def create_all(client: Client, resource: Resource, space: str, bodies: Iterable[Any]) -> None:
    path = client.credentials.server + resource.path(space)
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            async with client.session.post(
                path, data=_encode(body), headers={"Content-Type": "application/json"}
            ) as response:
                answer = await response.read()
                if response.status != 201:
                    raise RuntimeError(f"create: {response.status} {answer[:300]!r}")

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(work())


async def delete_all(client: Client, resource: Resource, space: str) -> None:
    await client.request("DELETE", resource.path(space))
