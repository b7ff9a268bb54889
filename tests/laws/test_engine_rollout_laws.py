"""Laws of rollouts in the whole engine, whatever people do and the machine does, on the API server in memory.

What holds at any time is in ``support.write_invariants``, what must hold in the end in ``support.expected_outputs``,
what users do in ``support.random_actions``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY, generate_latest

from support.expected_contents import Reading
from support.expected_outputs import differences, expected
from support.in_memory import SYSTEM, Cluster, Operator, settled
from support.random_actions import Crowd
from support.virtual_time import run
from support.write_invariants import CANARY, Listener, Witness
from trimtab.crypto import Keys
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.kube import resources
from trimtab.kube.port import Body
from trimtab.kube.resources import SECRETS, Resource

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
KINDS = {found.kind: found for found in vars(resources).values() if isinstance(found, Resource)}
WAITS = (0.0, 0.0, 0.0, 0.001, 0.1, 1.0, 6.0, 30.0, 200.0)
"""Seconds, by clockwork, from one deed to the next."""
RESTING = 10
"""Passes over templates and groups, of which none is needed, that ten minutes without an event may have."""
EXAMPLES = settings().max_examples * 2 // 5


class Story:
    """One cluster, everything that happens to it by a seed, and the laws. ``told`` says what has happened."""

    def __init__(self, seed: int, *, streams: bool) -> None:
        self.chance = random.Random(seed)
        self.cluster = Cluster()
        self.cluster.memory.streams = streams
        keys = {"metadata": {"name": "trimtab-keys", "namespace": SYSTEM}, "data": KEYS.to_secret()}
        self.cluster.memory.put(SECRETS, keys)
        self.crowd = Crowd(self.cluster, self.chance)
        self.witness = Witness(self.cluster, self.chance)
        self.told: list[str] = []

    async def tell(self, steps: int) -> None:
        # The time of day has no say in which task goes on: the same seed tells the same story.
        with mock.patch.object(TimeSlices, "used_up", property(lambda _: self.chance.random() < 0.2)):
            await self._begin(steps)
            await self._end()

    async def _begin(self, steps: int) -> None:
        chance = self.chance
        if chance.random() < 0.8:
            self.crowd.template()
        self.operator = await self._led()
        for _ in range(steps):
            self.told.append(self.crowd.something())
            for _ in range(chance.choice([0, 0, 1, 5, 40])):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice(WAITS))
            if chance.random() < 0.1:
                self.told.append("kill")
                await self.operator.kill()
                self.operator = await self._led()
            if chance.random() < 0.05:
                self.told.append("quiet")
                self.witness.calm = True
                await self.operator.quiet()
                self.check()
                self.witness.calm = False

    async def _end(self) -> None:
        self.witness.calm = True
        await self.operator.quiet()
        self.check()
        before = _passes()
        await asyncio.sleep(600)
        assert _passes() - before <= RESTING, f"{_passes() - before:.0f} passes, and nothing has happened"
        await self.operator.kill()
        written = await settled(self.cluster)
        assert not written, f"a restart writes {written}"
        self.check()

    async def _led(self) -> Operator:
        operator = Operator(self.cluster, self.witness)
        operator.start()
        await operator.engine.lead()
        return operator

    def objects(self, kind: str) -> list[Body]:
        return self.cluster.memory.objects(KINDS[kind])

    def check(self) -> None:
        """Everything is as its specs and statuses say."""
        found = [
            *self.witness.broken,
            *differences(expected(self.objects, KEYS), self.objects),
            *self._invented(),
        ]
        assert not found, "\n  ".join(found)

    def _invented(self) -> Iterator[str]:
        """Snapshots of what nobody ever wrote."""
        reading = Reading(self.objects, KEYS)
        for (namespace, name), data in reading.snapshots.items():
            content = reading.template_content(namespace, name) or reading.joined(data)
            if content not in self.crowd.written:
                yield f"snapshot {name} holds {content}"


def _passes() -> float:
    """How often a template or a group has been looked at."""
    labels = [{"what": what, "result": "ok"} for what in ("template", "group")]
    return sum(REGISTRY.get_sample_value("trimtab_reconciles_total", found) or 0.0 for found in labels)


@contextmanager
def overheard() -> Iterator[None]:
    """No sensitive value is in the log, or in a metric."""
    listener, log = Listener(), logging.getLogger()
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
    assert listener.shown == []
    assert CANARY not in generate_latest().decode()


@pytest.mark.timeout(60 + 6 * EXAMPLES)
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate],  # a smaller seed is no simpler story
)
@given(st.integers(0, 2**32), st.integers(1, 30), st.booleans())
def test_whatever_users_do_groups_have_the_content_of_their_rollouts(
    seed: int, steps: int, streams: bool
) -> None:
    """Edits of everything, actions, drift, broken watches, failed writes and crashes."""
    story = Story(seed, streams=streams)
    with overheard():
        try:
            run(story.tell(steps))
        except AssertionError as error:
            raise AssertionError(f"after {story.told}: {error}") from error
