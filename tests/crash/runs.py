"""A scene from its beginning to its end: undisturbed, or with an operator to which something happens.

=====================  ==============================================================================================
run                    what happens
=====================  ==============================================================================================
``undisturbed``        nothing: what comes of it is what all others must come to
``killed``             kill -9 right before or after one write; another operator takes over
``short_lives``        kill -9 at one of each operator's first writes, again and again, by a seed
``stale``              the leader stops (SIGSTOP) before or after one write, its standby brings the scene to its end,
                       and only then the held write reaches the API server and the old leader goes on
``faulty``             the API server and the network fail at random, by a seed
=====================  ==============================================================================================
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from fault_proxy import (
    Cut,
    CutStream,
    Die,
    Effect,
    ErrorEvent,
    Exchange,
    Hold,
    LoseAnswer,
    Refuse,
    Slow,
)
from live import KINDS
from running import Operator

from crash.checks import Facts, examine
from crash.ground import Ground
from crash.play import Play, StuckError
from crash.points import Point, Write
from crash.scenes import Scene
from crash.state import KINDS as KEPT
from crash.state import State, differences, state

SETTLE = 30.0
"""Seconds within which a disturbed run comes to the same end as an undisturbed one."""
SHORT_LEASE = ("--lease-duration", "3")
LATE = Slow(2.2)
"""Long enough that the right to write runs out before a renewal of :data:`SHORT_LEASE` is answered."""
FIRST_LIFE = 3
"""Writes at most."""
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


@dataclass
class Result:
    """``struck``: whether that came to pass which was to happen."""

    end: State = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    writes: list[Write] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    struck: bool = False
    seconds: float = 0.0


def undisturbed(ground: Ground, scene: Scene, log: Path) -> Result:
    """:raises StuckError: it does not even come to its end undisturbed."""
    play, made, begun = Play(ground, scene.name, log), Result(struck=True), time.monotonic()
    try:
        play.start()
        scene.play(play)
        play.quiet()
        _caught_up(play)
        made.end = _live(play)
        made.facts = examine(ground.journal.of(play.namespace), play.begin_version)
        made.writes = list(play.keeper.writes)
        made.problems = list(made.facts.broken)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def killed(ground: Ground, scene: Scene, expected: Result, point: Point, log: Path) -> Result:
    """The operator dies at that point."""

    def arrange(play: Play, made: Result) -> None:
        def strike(write: Write) -> Effect | None:
            if write != point.write or made.struck:
                return None
            made.struck = True
            return Die(play.killer(), point.after)

        play.keeper.strike = strike

    return _disturbed(ground, scene, expected, log, arrange)


def short_lives(ground: Ground, scene: Scene, expected: Result, seed: int, log: Path) -> Result:
    """Every operator dies at one of its first writes; they get older with time, as each tries Events anew that its
    predecessors have told."""
    chance = random.Random(seed)
    left = [0, 0]  # the life, its writes

    def arrange(play: Play, made: Result) -> None:
        def strike(_write: Write) -> Effect | None:
            if left[0] != play.lives:
                left[:] = [play.lives, chance.randint(1, FIRST_LIFE + play.lives)]
            left[1] -= 1
            if left[1] != 0:
                return None
            made.struck = True
            return Die(play.killer(), after=chance.random() < 0.5)

        play.keeper.strike = strike

    return _disturbed(ground, scene, expected, log, arrange)


def leads(operator: Operator | None) -> bool:
    assert operator is not None
    return operator.metrics()["trimtab_leader"] == 1


def stale(ground: Ground, scene: Scene, expected: Result, point: Point, log: Path) -> Result:
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
        held = [e for e in ground.proxies[0].exchanges if e.fault.startswith("Hold(")]
        play.until(lambda: all(e.status is not None for e in held), "the held write is answered")
        sleeper = play.others[0]
        sleeper.resume()
        play.until(lambda: not leads(sleeper), "the sleeper knows that it leads no more")
        play.quiet()
        _caught_up(play)
        late = [c for c in ground.journal.of(play.namespace) if c.version > before and c.kind in KEPT]
        # Nothing can keep a write on its way from making what has been deleted meanwhile; the leader deletes it again.
        undone = {(c.kind, c.name) for c in late} - there - play.objects()
        made.problems += [
            f"the stale leader's write was taken: {c.kind} {c.name} {c.body.get('status') or ''}"
            for c in late
            if (c.kind, c.name) not in undone
        ]

    try:
        return _disturbed(ground, scene, expected, log, arrange, wake, SHORT_LEASE)
    finally:
        go.set()


def faulty(ground: Ground, scene: Scene, expected: Result, seed: int, log: Path) -> Result:
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
            ground.proxies[0].faults.append(mixed)
            ground.proxies[0].cut_watches()

        play.on_begin = begun

    def calm(_play: Play, _made: Result) -> None:
        ground.proxies[0].faults.remove(mixed)

    try:
        return _disturbed(ground, scene, expected, log, arrange, calm, SHORT_LEASE)
    finally:
        if mixed in ground.proxies[0].faults:
            ground.proxies[0].faults.remove(mixed)


Act = Callable[[Play, Result], None]


def _disturbed(
    ground: Ground,
    scene: Scene,
    expected: Result,
    log: Path,
    arrange: Act,
    in_the_end: Act = lambda _play, _made: None,
    options: tuple[str, ...] = (),
) -> Result:
    """What becomes of the scene, compared with an undisturbed run. ``in_the_end`` comes when the scene has been
    played and is settled, and before it is looked at."""
    play, made, begun = Play(ground, scene.name, log, *options), Result(), time.monotonic()
    try:
        arrange(play, made)
        play.start()
        try:
            play.on_start()
            scene.play(play)
            _settle(play, expected)
            in_the_end(play, made)
            _settle(play, expected)
            play.quiet()
            _caught_up(play)
            made.end = _live(play)
            made.problems += differences(expected.end, made.end)
        except StuckError as error:
            made.problems.append(str(error))
            _dump(play)
        made.writes = list(play.keeper.writes)
        made.facts = examine(ground.journal.of(play.namespace), play.begin_version)
        made.problems += expected.facts.differences(made.facts)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def _dump(play: Play) -> None:
    """What the operators asked, and what they count, beside the log."""
    lines = []
    for number, proxy in enumerate(play.ground.proxies):
        lines += [f"{number} {exchange}" for exchange in proxy.exchanges]
    for operator in (play.operator, *play.others):
        if operator is not None and operator.running:
            with contextlib.suppress(OSError, HTTPException):
                lines.append(json.dumps(operator.metrics()))
    play.log.with_suffix(".exchanges").write_text("\n".join(lines))


def _settle(play: Play, expected: Result) -> None:
    """Wait for the end of an undisturbed run, or give it up."""
    until = time.monotonic() + SETTLE
    play.until(lambda: _heard(play) == expected.end or time.monotonic() > until, "the scene settles")


def _live(play: Play) -> State:
    """What is there, by asking."""
    found = []
    for kind in KEPT:
        items = play.api.call("GET", KINDS[kind].path(play.namespace))["items"]
        found += [(kind, item) for item in items]
    return state(found, play.namespace)


def _heard(play: Play) -> State:
    """What is there, by the journal."""
    journal = play.ground.journal
    return state(((k, b) for k in KEPT for b in journal.all(k, play.namespace)), play.namespace)


def _caught_up(play: Play) -> None:
    """Wait until the journal knows what is there."""
    play.until(lambda: _heard(play) == _live(play), "the journal has heard of everything")
