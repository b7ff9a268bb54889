"""A scene from its start to its end: undisturbed, or with an operator that is killed, paused or disturbed.

=====================  ==============================================================================================
run                    what happens
=====================  ==============================================================================================
``undisturbed``        nothing: what comes of it is what all others must come to
``killed``             kill -9 right before or after one write; another operator takes over
``short_lives``        kill -9 at one of each operator's first writes, again and again, by a seed
``stale.stale``        the leader stops (SIGSTOP) before or after one write, its standby brings the scene to its end,
                       and only then the held write reaches the API server and the old leader goes on
``faulty.faulty``      the API server and the network fail at random, by a seed
=====================  ==============================================================================================
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from crash.checks import Facts, examine
from crash.cluster import CrashCluster
from crash.play import Play, StuckError
from crash.points import Point, Write
from crash.scenes import Scene
from crash.state import KINDS as KEPT
from crash.state import State, differences, state
from support.fault_proxy import Die, Effect
from support.live_objects import KINDS
from trimtab.core import naming

SETTLE = 30.0
"""Seconds within which a disturbed run comes to the same end as an undisturbed one."""
SHORT_LEASE = ("--lease-duration", "3")
FIRST_LIFE = 3
"""Writes at most."""


@dataclass
class Result:
    """``struck``: whether that came to pass which was to happen."""

    end: State = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    writes: list[Write] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    struck: bool = False
    put_back: frozenset[str] = frozenset()
    """Outputs that had to be put back, and were counted as drift, as :data:`State` calls them."""
    seconds: float = 0.0


def undisturbed(cluster: CrashCluster, scene: Scene, log: Path) -> Result:
    """:raises StuckError: it does not even come to its end undisturbed."""
    play, made, begun = Play(cluster, scene.name, log), Result(struck=True), time.monotonic()
    try:
        play.start()
        scene.play(play)
        play.quiet()
        caught_up(play)
        made.end = _live(play)
        made.facts = examine(cluster.journal.of(play.namespace), play.begin_version)
        made.writes = list(play.keeper.writes)
        made.problems = list(made.facts.broken)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def killed(cluster: CrashCluster, scene: Scene, expected: Result, point: Point, log: Path) -> Result:
    """The operator dies at that point."""

    def arrange(play: Play, made: Result) -> None:
        def strike(write: Write) -> Effect | None:
            if write != point.write or made.struck:
                return None
            made.struck = True
            return Die(play.killer(), point.after)

        play.keeper.strike = strike

    return disturbed(cluster, scene, expected, log, arrange)


def short_lives(cluster: CrashCluster, scene: Scene, expected: Result, seed: int, log: Path) -> Result:
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

    return disturbed(cluster, scene, expected, log, arrange)


Act = Callable[[Play, Result], None]


def disturbed(
    cluster: CrashCluster,
    scene: Scene,
    expected: Result,
    log: Path,
    arrange: Act,
    in_the_end: Act = lambda _play, _made: None,
    options: tuple[str, ...] = (),
) -> Result:
    """What becomes of the scene, compared with an undisturbed run. ``in_the_end`` comes when the scene has been
    played and is settled, and before it is looked at."""
    play, made, begun = Play(cluster, scene.name, log, *options), Result(), time.monotonic()
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
            caught_up(play)
            made.end = _live(play)
            made.problems += differences(_without_drift(expected, made), _without_drift(made, made))
        except StuckError as error:
            made.problems.append(str(error))
            _dump(play)
        made.writes = list(play.keeper.writes)
        made.facts = examine(cluster.journal.of(play.namespace), play.begin_version)
        made.problems += expected.facts.differences(made.facts)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def _without_drift(of: Result, made: Result) -> State:
    """How it ended, but for the count of what ``made`` put back, and the revision that this says: what is put back is
    written for the present one, which may have had no need to write it."""
    end = dict(of.end)
    for name, body in of.end.items() if made.put_back else ():
        if name.startswith("ConfigTemplate "):
            end[name] = {**body, "status": {k: v for k, v in body["status"].items() if k != "drift"}}
        if name in made.put_back:
            said = {k: v for k, v in body["annotations"].items() if k != naming.ANNOTATION_REVISION}
            end[name] = {**body, "annotations": said}
    return end


def _dump(play: Play) -> None:
    """What the operators asked, and what they count, beside the log."""
    lines = []
    for number, proxy in enumerate(play.cluster.proxies):
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
    journal = play.cluster.journal
    return state(((k, b) for k in KEPT for b in journal.all(k, play.namespace)), play.namespace)


def caught_up(play: Play) -> None:
    """Wait until the journal knows what is there."""
    play.until(lambda: _heard(play) == _live(play), "the journal has heard of everything")
