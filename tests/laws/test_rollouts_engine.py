"""Laws of rollouts in the whole engine, whatever people do and the machine does, on the API server in memory."""

from __future__ import annotations

import asyncio
import logging
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from clockwork import run
from crowd import Crowd
from expected import differences, world
from simulation import SYSTEM, Cluster, Operator, settled
from trimtab.crypto import Keys
from trimtab.engine.slices import Slices
from trimtab.kube import resources
from trimtab.kube.port import Body
from trimtab.kube.resources import SECRETS, Resource
from witness import CANARY, Listener, Witness

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
"""Always the same, so that a seed always tells the same story."""
KINDS = {found.kind: found for found in vars(resources).values() if isinstance(found, Resource)}
WAITS = (0.0, 0.0, 0.0, 0.001, 0.1, 1.0, 6.0, 30.0, 200.0)
"""Seconds, by clockwork, from one deed to the next."""


def check(cluster: Cluster, witness: Witness) -> None:
    """Everything is as its specs and statuses say."""

    def objects(kind: str) -> list[Body]:
        return cluster.memory.objects(KINDS[kind])

    found = [*witness.broken, *differences(world(objects, KEYS), objects)]
    assert not found, "\n  ".join(found)


async def story(seed: int, steps: int, streams: bool, told: list[str]) -> None:
    """``told`` grows by what happens."""
    chance = random.Random(seed)
    Slices.used_up = property(lambda _: chance.random() < 0.2)  # by the seed alone, not by the time of day
    cluster = Cluster()
    cluster.memory.streams = streams
    cluster.memory.put(
        SECRETS, {"metadata": {"name": "trimtab-keys", "namespace": SYSTEM}, "data": KEYS.to_secret()}
    )
    crowd, witness = Crowd(cluster, chance), Witness(cluster, chance)
    if chance.random() < 0.8:
        crowd.template()

    async def begin() -> Operator:
        operator = Operator(cluster, witness)
        operator.start()
        await operator.engine.lead()
        return operator

    operator = await begin()
    for _ in range(steps):
        told.append(crowd.something())
        for _ in range(chance.choice([0, 0, 1, 5, 40])):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.choice(WAITS))
        if chance.random() < 0.1:
            told.append("kill")
            await operator.kill()
            operator = await begin()
        if chance.random() < 0.05:
            told.append("quiet")
            witness.calm = True
            await operator.quiet()
            check(cluster, witness)
            witness.calm = False
    witness.calm = True
    await operator.quiet()
    await operator.kill()
    check(cluster, witness)
    written = await settled(cluster)
    assert not written, f"a restart writes {written}"
    check(cluster, witness)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_whatever_people_do_groups_serve_what_their_rollouts_say(
    seed: int, steps: int, streams: bool
) -> None:
    """Edits of everything, actions, drift, broken watches, failed writes and crashes."""
    told: list[str] = []
    listener, log = Listener(), logging.getLogger()
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    try:
        run(story(seed, steps, streams, told))
    except AssertionError as error:
        raise AssertionError(f"after {told}: {error}") from error
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
    assert listener.shown == []
    assert CANARY not in generate_latest().decode()
