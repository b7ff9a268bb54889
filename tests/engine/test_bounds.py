"""What one object may weigh: refused with its size and the limit, and nobody else notices."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from simulation import Cluster, Operator, settled, spec
from trimtab.engine.preference_status import STORED_BYTES
from trimtab.engine.preferences import VALUES_BYTES
from trimtab.kube.resources import USER_PREFERENCES


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def stored(cluster: Cluster, name: str) -> int:
    """The bytes of a preference's values, and of what its status keeps of them."""
    body = cluster.find(USER_PREFERENCES, name) or {}
    status: dict[str, Any] = body.get("status") or {}
    kept = [body["spec"]["values"], status.get("accepted", {}), status.get("history", [])]
    return sum(len(msgspec.json.encode(part)) for part in kept)


async def test_values_that_are_too_large_are_refused_with_their_size_and_the_limit(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x" * VALUES_BYTES})

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Invalid")
    [violation] = cluster.find_status("ann")["violations"]
    assert violation["rule"] == "tooLarge"
    size = VALUES_BYTES + len('{"agent.voice":""}')
    assert f"{size:,}" in violation["message"]
    assert f"{VALUES_BYTES:,}" in violation["message"]


async def test_what_was_accepted_last_stays_in_force_and_others_are_rendered(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 6, "agent.voice": "x" * VALUES_BYTES})
        cluster.preference("ben", {"session.minutes": 7})
        await operator.quiet()

    assert '"minutes":5' in str(cluster.file("ann"))
    assert '"minutes":7' in str(cluster.file("ben"))
    assert cluster.find_status("ann")["accepted"]["values"] == {"session.minutes": 5}


async def test_values_that_are_too_large_are_not_kept_in_memory(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x" * VALUES_BYTES})
    async with Operator(cluster) as operator:
        await operator.quiet()
        [record] = operator.engine.world.preferences

    assert len(record.values) < 100


async def test_history_makes_room_so_that_values_and_status_fit_into_one_object(cluster: Cluster) -> None:
    cluster.template(spec(users={"historyLimit": 20}))
    async with Operator(cluster) as operator:
        for size in (50_000, 40_000, VALUES_BYTES - 100, VALUES_BYTES - 200, 10):
            cluster.preference("ann", {"agent.voice": "x" * size})
            await operator.quiet()
            assert stored(cluster, "ann") <= STORED_BYTES + 1000
            assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
