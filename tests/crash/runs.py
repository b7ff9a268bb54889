"""A scene from its beginning to its end: undisturbed, or with an operator that dies at one write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fault_proxy import Die, Effect
from live import KINDS

from crash.checks import Facts, examine
from crash.ground import Ground
from crash.play import Play, StuckError
from crash.points import Point, Write
from crash.scenes import Scene
from crash.state import KINDS as KEPT
from crash.state import State, differences, state

SETTLE = 30.0
"""Seconds within which a disturbed run comes to the same end as an undisturbed one."""


@dataclass
class Result:
    """``struck``: whether the write was reached at which something was to happen."""

    end: State = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    writes: list[Write] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    struck: bool = False
    seconds: float = 0.0


def live_state(play: Play) -> State:
    """What is there, by asking."""
    found = []
    for kind in KEPT:
        items = play.api.call("GET", KINDS[kind].path(play.namespace))["items"]
        found += [(kind, item) for item in items]
    return state(found, play.namespace)


def heard(play: Play) -> State:
    """What is there, by the journal."""
    journal = play.ground.journal
    return state(((k, b) for k in KEPT for b in journal.all(k, play.namespace)), play.namespace)


def undisturbed(ground: Ground, scene: Scene, log: Path) -> Result:
    """:raises StuckError: it does not even come to its end undisturbed."""
    play, made, begun = Play(ground, scene.name, log), Result(), time.monotonic()
    try:
        play.start()
        scene.play(play)
        play.quiet()
        _caught_up(play)
        made.end = live_state(play)
        made.facts = examine(ground.journal.of(play.namespace), play.begin_version)
        made.writes = list(play.keeper.writes)
        made.problems = list(made.facts.broken)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def killed(ground: Ground, scene: Scene, expected: Result, point: Point, log: Path) -> Result:
    """The operator dies at that point; another one takes over."""

    def arrange(play: Play, made: Result) -> None:
        def strike(write: Write) -> Effect | None:
            if write != point.write or made.struck:
                return None
            made.struck = True
            return Die(play.kill, point.after)

        play.keeper.strike = strike

    return disturbed(ground, scene, expected, log, arrange)


def one_write_a_life(ground: Ground, scene: Scene, expected: Result, log: Path) -> Result:
    """Each operator dies right after its first write since the scene was set."""

    def arrange(play: Play, made: Result) -> None:
        def strike(_write: Write) -> Effect:
            made.struck = True
            return Die(play.kill, after=True)

        play.keeper.strike = strike

    return disturbed(ground, scene, expected, log, arrange)


def disturbed(
    ground: Ground, scene: Scene, expected: Result, log: Path, arrange: Callable[[Play, Result], None]
) -> Result:
    """Something happens to the operator; what becomes of the scene, compared with an undisturbed run."""
    play, made, begun = Play(ground, scene.name, log), Result(), time.monotonic()
    try:
        arrange(play, made)
        play.start()
        try:
            scene.play(play)
            _settled(play, expected, made)
        except StuckError as error:
            made.problems.append(str(error))
        made.writes = list(play.keeper.writes)
        made.facts = examine(ground.journal.of(play.namespace), play.begin_version)
        made.problems += expected.facts.differences(made.facts)
    finally:
        made.seconds = time.monotonic() - begun
        play.end()
    return made


def _settled(play: Play, expected: Result, made: Result) -> None:
    """Wait for the end of an undisturbed run, and for the operator to leave it at that."""
    until = time.monotonic() + SETTLE

    def look() -> bool:
        return heard(play) == expected.end or time.monotonic() > until

    play.until(look, "the scene settles")
    play.quiet()
    _caught_up(play)
    made.end = live_state(play)
    made.problems += differences(expected.end, made.end)


def _caught_up(play: Play) -> None:
    """Wait until the journal knows what is there."""
    play.until(lambda: heard(play) == live_state(play), "the journal has heard of everything")


__all__ = ["Result", "disturbed", "killed", "one_write_a_life", "undisturbed"]
