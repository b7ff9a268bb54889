"""A leader that stops at a write, and continues long after another has acquired the lease."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from crash.cluster import CrashCluster
from crash.play import Play
from crash.points import Point, Write
from crash.runs import SHORT_LEASE, Result, caught_up, disturbed
from crash.scenes import Scene
from crash.state import KINDS as KEPT
from support.fault_proxy import Effect, Exchange, Hold
from support.live_objects import KINDS
from support.operator_process import Operator

OUTPUTS = ("ConfigMap", "Secret")


def leads(operator: Operator | None) -> bool:
    assert operator is not None
    return operator.metrics()["trimtab_leader"] == 1


def stale(cluster: CrashCluster, scene: Scene, expected: Result, point: Point, log: Path) -> Result:
    """The leader sleeps at that point until all is over."""
    go = threading.Event()

    def arrange(play: Play, made: Result) -> None:
        def strike(write: Write) -> Effect | None:
            if write != point.write or made.struck:
                return None
            made.struck = True
            assert play.operator is not None
            play.operator.pause()
            play.operator, play.others = play.others[0], [play.operator]
            return Hold(go, point.after)

        play.keeper.strike = strike
        play.on_start = play.standby

    def wake(play: Play, made: Result) -> None:
        if not made.struck:
            return
        # After a last write the scene is at its end already, and the Lease is not.
        play.until(lambda: leads(play.operator), "the standby leads")
        before, there = play.version(), play.objects()
        go.set()
        held = [e for e in cluster.proxies[0].exchanges if e.fault.startswith("Hold(")]
        play.until(lambda: all(e.status is not None for e in held), "the held write is answered")
        sleeper = play.others[0]
        sleeper.resume()
        play.until(lambda: not leads(sleeper), "the sleeper knows that it leads no more")
        play.quiet()
        caught_up(play)
        late = [c for c in cluster.journal.of(play.namespace) if c.version > before and c.kind in KEPT]
        # Nothing can keep a write on its way from making what has been deleted meanwhile; the leader deletes it again.
        undone = {(c.kind, c.name) for c in late} - there - play.objects()
        # The same write over what has been made anew meanwhile is drift, which the leader puts back and counts.
        first = {(k, e.name) for k in OUTPUTS for e in held if e.plural == KINDS[k].plural and _makes(e)}
        overwritten = first & there & {(c.kind, c.name) for c in late}
        made.put_back = frozenset(f"{kind} {name}" for kind, name in overwritten)
        counted = {(c.kind, c.name) for c in late if made.put_back and c.kind == "ConfigTemplate"}
        made.problems += [
            f"the stale leader's write was taken: {c.kind} {c.name} {c.body.get('status') or ''}"
            for c in late
            if (c.kind, c.name) not in undone | first | counted
        ]

    try:
        return disturbed(cluster, scene, expected, log, arrange, wake, SHORT_LEASE)
    finally:
        go.set()


def _makes(exchange: Exchange) -> bool:
    """Whether it is a write of an object that was not there when it was sent."""
    sent = json.loads(exchange.body or b"{}")
    return exchange.verb == "patch" and "resourceVersion" not in sent.get("metadata", {})
