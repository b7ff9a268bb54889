"""`rollout watch`: a live display on a terminal, lines elsewhere, documents for programs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import RenderableType
from rich.live import Live

from trimtab.api.rollout_status import Transition
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.follow import Scene, follow
from trimtab.cli.cluster.objects import Body, ready
from trimtab.cli.cluster.progress import Outcome, Progress, clock, span
from trimtab.cli.cluster.rollouts import Rollout
from trimtab.cli.errors import Failure
from trimtab.cli.output import Format, Line, Part, as_json, as_yaml, console, drawn, say, section, table
from trimtab.cli.view.rollout import RolloutStatus
from trimtab.core import times

GROUPS = 15
"""Groups in the live display; changes of so many are also printed as lines."""


class Display:
    """Where scenes are shown; to be closed."""

    def show(self, scene: Scene) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Restore the terminal."""


async def watch(
    cluster: Cluster,
    rollout: Rollout,
    display: Display,
    ends: frozenset[str] = frozenset(),
    timeout: float | None = None,
) -> int:
    """Show the rollout until it is final, or in one of the phases ``ends``; the exit code.

    :raises Failure: it was deleted.
    :raises trimtab.kube.errors.ApiError: it cannot be watched.
    """
    code = int(Outcome.PROGRESSING)
    try:
        async with asyncio.timeout(timeout), contextlib.aclosing(follow(cluster, rollout)) as scenes:
            with contextlib.closing(display):
                async for scene in scenes:
                    if scene.deleted:
                        break
                    display.show(scene)
                    code = int(scene.progress.outcome)
                    end = ended(scene.progress, ends)
                    if end is not None:
                        return end
    except TimeoutError:
        say(f"note: not reached within {span(timeout or 0)}", stderr=True, style="dim")
        return code
    raise Failure(f"{rollout} was deleted; its values are withdrawn")


def ended(progress: Progress, ends: frozenset[str]) -> int | None:
    """The exit code if the wait is over, else None."""
    if ends and progress.current and progress.phase in ends:
        return int(Outcome.SUCCEEDED)
    if not progress.final:
        return None
    return int(Outcome.FAILED) if ends else int(progress.outcome)


def display_for(output: Format) -> Display:
    """The display for this output, on this stdout."""
    if output is not Format.TABLE:
        return Documents(output)
    return Screen() if sys.stdout.isatty() else Lines()


class Documents(Display):
    """A document for each change: JSON in a line, YAML with separators."""

    def __init__(self, output: Format) -> None:
        self._output = output
        self._last: Body = {}

    def show(self, scene: Scene) -> None:
        made = scene.progress.content(clock()) | {"renderedGroups": list(_groups(scene))}
        if made != self._last:
            json = self._output is Format.JSON
            typer.echo(as_json(made) if json else "---\n" + as_yaml(made), nl=json)
            sys.stdout.flush()
        self._last = made


class Lines(Display):
    """A line for each change."""

    def __init__(self) -> None:
        self._last: Scene | None = None

    def show(self, scene: Scene) -> None:
        for text in changes(self._last, scene, clock()):
            say(text)
        sys.stdout.flush()
        self._last = scene


class Screen(Display):
    """The whole rollout, refreshed on changes and for the clocks in it."""

    def __init__(self) -> None:
        self._scene: Scene | None = None
        self._live = Live(get_renderable=self._draw, console=console(), refresh_per_second=2)
        self._live.start()

    def show(self, scene: Scene) -> None:
        self._scene = scene
        self._live.refresh()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        return drawn(picture(self._scene, clock())) if self._scene is not None else ""


def picture(scene: Scene, now: float) -> Iterator[Part]:
    """The rollout and its groups."""
    yield from RolloutStatus(scene.progress, now).parts()
    groups = list(_groups(scene))
    if groups:
        fields = ("group", "wave", "revision", "share", "ready", "message")
        rows = ([group[name] or "-" for name in fields] for group in groups[:GROUPS])
        yield from section("Groups", table(" ".join(fields).upper(), rows))
        if len(groups) > GROUPS:
            yield Line(f"and {len(groups) - GROUPS} more")
    if scene.trouble:
        yield Line(scene.trouble, "yellow")


def changes(before: Scene | None, after: Scene, now: float) -> Iterator[str]:
    """A line for each change, with the time."""
    at = f"{times.text(now)[:19]}Z"
    if before is None:
        yield f"{at} {after.progress.rollout}: {_headline(after.progress, after.progress.message)}"
    else:
        yield from (f"{at} {text}" for text in _progress(before.progress, after.progress))
        yield from (f"{at} {text}" for text in _changed_groups(before, after))
    if after.trouble and (before is None or before.trouble != after.trouble):
        yield f"{at} {after.trouble}"


def _changed_groups(before: Scene, after: Scene) -> Iterator[str]:
    if len(after.groups) > GROUPS:
        return
    known = {group["group"]: group for group in _groups(before)}
    for group in _groups(after):
        if group["planned"] and known.get(group["group"]) != group:
            share = f", {group['share']}" if group["share"] else ""
            yield f"group {group['group']}: revision {group['revision']}{share}, Ready={group['ready']}"


def _headline(progress: Progress, message: str) -> str:
    status = progress.status
    wave = f"wave {status.wave}" if status.wave and f"wave {status.wave}" not in message else ""
    facts = [fact for fact in (wave, f"{status.updated} groups" if status.updated else "") if fact]
    where = f" ({', '.join(facts)})" if facts else ""
    return f"{progress.phase}{where}{f': {message}' if message else ''}"


def _progress(old: Progress, new: Progress) -> Iterator[str]:
    fresh = _fresh(old, new)
    for transition in fresh:
        by = f" (by {transition.by})" if transition.by else ""
        yield f"{transition.reason}: {transition.message or ''}{by}"
    if _headline(old, old.message) != _headline(new, new.message):
        repeated = any(transition.message == new.message for transition in fresh)
        yield _headline(new, "" if repeated else new.message)
    yield from () if fresh else _changed_waves(old, new)  # a transition already reports them
    yield from _changed_gates(old, new)


def _changed_waves(old: Progress, new: Progress) -> Iterator[str]:
    before = _states(old)
    if before:
        yield from (f"wave {name}: {state}" for name, state in _states(new) if (name, state) not in before)


def _fresh(old: Progress, new: Progress) -> list[Transition]:
    """The transitions since the older progress."""
    last = max((t.number for t in old.status.transitions), default=-1)
    return sorted((t for t in new.status.transitions if t.number > last), key=lambda t: t.number)


def _states(progress: Progress) -> list[tuple[str, str]]:
    return [(wave["name"], wave["state"].partition(",")[0]) for wave in progress.waves(0)]


def _changed_gates(old: Progress, new: Progress) -> Iterator[str]:
    gates = {gate.name: gate for gate in old.status.gates}
    for gate in new.status.gates:
        if gates.get(gate.name) != gate:
            count = f", {gate.failures} failed" if gate.failures else ""
            count += f", {gate.errors} without a result" if gate.errors else ""
            yield f"gate {gate.name}: {gate.result}{count}{f': {gate.message}' if gate.message else ''}"


def _groups(scene: Scene) -> Iterator[dict[str, Any]]:
    """The groups of the plan, in its order; without a plan all of the template's."""
    waves = scene.progress.status.waves
    order = {group: wave.name for wave in reversed(waves) for group in wave.groups}
    planned = list(dict.fromkeys(group for wave in waves for group in wave.groups))
    for name in planned or sorted(scene.groups):
        if name not in scene.groups:
            continue
        status = scene.groups[name].get("status") or {}
        yield {"group": name, "wave": order.get(name), "planned": name in order, **_condition(status)}


def _condition(status: dict[str, Any]) -> dict[str, Any]:
    condition, share = ready(status), status.get("share") or {}
    return {
        "revision": status.get("currentRevision"),
        "share": f"{share.get('percent')}% on {share.get('revision')}" if share else None,
        "ready": condition.get("status", "Unknown"),
        "message": "" if condition.get("status") == "True" else condition.get("message", ""),
    }
