"""Tests of the engine run in virtual time: real delays, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from support.in_memory import Cluster, settled
from support.virtual_time import Clockwork
from support.wave_rollouts import calm


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"clockwork": Clockwork}


@pytest.fixture
def cluster() -> Cluster:
    """An empty cluster."""
    return Cluster()


@pytest.fixture
async def ann_and_bob(cluster: Cluster) -> Cluster:
    """A cluster whose template has two users; both are rendered."""
    cluster.template(calm())
    for user in ("ann", "bob"):
        cluster.preference(user, {"session.minutes": 5})
    await settled(cluster)
    return cluster
