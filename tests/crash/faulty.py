"""An API server and a network that fail at random."""

from __future__ import annotations

import random
from pathlib import Path

from crash.cluster import CrashCluster
from crash.play import Play
from crash.runs import SHORT_LEASE, Result, disturbed
from crash.scenes import Scene
from support.fault_proxy import Cut, CutStream, Effect, ErrorEvent, Exchange, LoseAnswer, Refuse, Slow

LATE = Slow(2.2)
"""Long enough that the right to write runs out before a renewal of :data:`SHORT_LEASE` is answered."""
_FAILS = 0.25
_TO_WRITES: tuple[Effect, ...] = (
    Refuse(409, "Conflict"), Refuse(500), Refuse(503), Refuse(429, "TooManyRequests", retry_after=0),
    LoseAnswer(), LoseAnswer(500), Cut(), Slow(0.2),
)  # fmt: skip
_TO_READS: tuple[Effect, ...] = (
    Refuse(500),
    Refuse(429, "TooManyRequests"),
    Refuse(410, "Expired"),
    Cut(),
    Slow(0.2),
)
_TO_WATCHES: tuple[Effect, ...] = (
    CutStream(), CutStream(3), CutStream(9), ErrorEvent(410, "Expired", 2), ErrorEvent(500, "InternalError", 4),
    Refuse(410, "Expired"), Cut(),
)  # fmt: skip


def faulty(cluster: CrashCluster, scene: Scene, expected: Result, seed: int, log: Path) -> Result:
    """About a quarter of all that the operator asks of the API server fails in some way. With an even seed the Lease
    is renewed late as well, so that it stays the operator's and yet runs out now and then."""
    chance = random.Random(seed)

    def mixed(exchange: Exchange) -> Effect | None:
        if chance.random() > _FAILS:
            return None
        if exchange.plural == "leases":
            return LATE if seed % 2 == 0 and exchange.verb == "patch" else None
        return chance.choice(
            _TO_WATCHES if exchange.verb == "watch" else _TO_WRITES if exchange.write else _TO_READS
        )

    def arrange(play: Play, made: Result) -> None:
        def begun() -> None:
            made.struck = True
            cluster.proxies[0].faults.append(mixed)
            cluster.proxies[0].cut_watches()

        play.on_begin = begun

    def calm(_play: Play, _made: Result) -> None:
        cluster.proxies[0].faults.remove(mixed)

    try:
        return disturbed(cluster, scene, expected, log, arrange, calm, SHORT_LEASE)
    finally:
        if mixed in cluster.proxies[0].faults:
            cluster.proxies[0].faults.remove(mixed)
