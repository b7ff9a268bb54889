"""The operator's keys outlive the deletion of their Secret, and never overwrite an existing Secret."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import SYSTEM, Cluster, Operator, settled
from support.memory_api import Memory
from support.wave_rollouts import calm
from trimtab.crypto import Keys
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET, LOOK_SECONDS, Keyring
from trimtab.kube.port import Body
from trimtab.kube.resources import NAMESPACES, SECRETS, Resource

SECRET = {"name": "token", "type": "String", "sensitive": True, "default": "canary"}


def kept(cluster: Cluster) -> dict[str, Any] | None:
    body = cluster.find(SECRETS, KEYS_SECRET, SYSTEM)
    return body and body["data"]


async def test_keys_whose_secret_is_deleted_are_written_back() -> None:
    cluster = Cluster()
    cluster.template(calm(keys=[*calm()["keys"], SECRET]))
    async with Operator(cluster) as operator:
        await operator.quiet()
        before = kept(cluster)
        cluster.remove(SECRETS, KEYS_SECRET, SYSTEM)
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert before is not None
        assert kept(cluster) == before

        cluster.template(calm(keys=[*calm()["keys"], {**SECRET, "default": "another"}]))
        await operator.quiet()
        cluster.template({"keys": "nonsense"})
        await operator.quiet()

    assert await settled(cluster) == [], "what was sealed after the loss is opened by the next process"


async def test_a_deleted_secret_keeps_rotated_keys_too() -> None:
    cluster = Cluster()
    keyring = Keyring(cluster.memory, SYSTEM)
    await keyring.load()
    body = cluster.find(SECRETS, KEYS_SECRET, SYSTEM) or {}
    body["metadata"]["annotations"] = {"trimtab.dev/rotate-keys": "now"}
    cluster.memory.put(SECRETS, body)
    rotated = await keyring.load()
    cluster.remove(SECRETS, KEYS_SECRET, SYSTEM)

    assert await keyring.load() == rotated
    assert kept(cluster) == rotated.to_secret()


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before the look", "between look and write"])
async def test_existing_keys_are_never_overwritten(meanwhile: bool) -> None:
    theirs = Keys.fresh()
    made = {"metadata": {"name": KEYS_SECRET, "namespace": SYSTEM}, "data": theirs.to_secret()}

    class Busy(Memory):
        async def create(self, resource: Resource, body: Body) -> Body:
            if armed:
                self.put(SECRETS, made)
            return await super().create(resource, body)

    armed = False
    memory = Busy()
    memory.put(NAMESPACES, {"metadata": {"name": SYSTEM}})
    keyring = Keyring(memory, SYSTEM)
    await keyring.load()
    memory.remove(SECRETS, SYSTEM, KEYS_SECRET)
    if meanwhile:
        armed = True
    else:
        memory.put(SECRETS, made)

    assert await keyring.load() == theirs
    (body,) = memory.objects(SECRETS)
    assert body["data"] == theirs.to_secret()


async def test_a_process_that_knows_no_keys_makes_fresh_ones() -> None:
    memory = Cluster().memory
    one = await Keyring(memory, SYSTEM).load()
    memory.remove(SECRETS, SYSTEM, KEYS_SECRET)

    assert await Keyring(memory, SYSTEM).load() != one
