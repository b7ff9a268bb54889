"""`rollout watch`: a screen that is drawn again on a terminal, lines elsewhere, documents for programs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import typer

from trimtab.cli.cluster.follow import Scene, follow
from trimtab.cli.errors import Failure
from trimtab.cli.view.output import Format, as_json, as_yaml, console, row, say, table
from trimtab.cli.view.progress import Outcome, Progress, clock, span
from trimtab.cli.view.rollout import Line, drawn, lines, section
from trimtab.core import times

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trimtab.cli.cluster.connection import Cluster
    from trimtab.cli.cluster.rollout_reference import Found

LISTED = 15
"""Groups that a screen shows; so many are also told one by one in lines."""
Body = dict[str, Any]


class Stage(Protocol):
    """Where scenes are shown; a context manager that leaves the terminal as it was."""

    def __enter__(self) -> Stage: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> object: ...

    def show(self, scene: Scene) -> None: ...


async def watch(
    cluster: Cluster,
    found: Found,
    stage: Stage,
    wanted: frozenset[str] = frozenset(),
    timeout: float | None = None,
) -> int:
    """Show it until it is final, or in one of the ``wanted`` phases; the exit code.

    :raises Failure: it was deleted.
    :raises trimtab.kube.errors.ApiError: it may not be watched.
    """
    code = int(Outcome.MOVING)
    try:
        async with asyncio.timeout(timeout), contextlib.aclosing(follow(cluster, found)) as scenes:
            with stage:
                async for scene in scenes:
                    if scene.gone:
                        break
                    stage.show(scene)
                    code = int(scene.progress.outcome)
                    end = ended(scene.progress, wanted)
                    if end is not None:
                        return end
    except TimeoutError:
        say(f"note: not there within {span(timeout or 0)}", stderr=True, style="dim")
        return code
    raise Failure(f"{found} was deleted; what it had set is withdrawn")


def ended(progress: Progress, wanted: frozenset[str]) -> int | None:
    """The exit code if there is nothing more to wait for, else None."""
    if wanted and progress.current and progress.phase in wanted:
        return int(Outcome.DONE)
    if not progress.final:
        return None
    return int(Outcome.FAILED) if wanted else int(progress.outcome)


def stage_for(output: Format) -> Stage:
    """What suits the output and whoever reads it."""
    if output is not Format.TABLE:
        return Documents(output)
    return Screen() if sys.stdout.isatty() else Lines()


class Documents:
    """One document a change: JSON a line each, YAML with separators."""

    def __init__(self, output: Format) -> None:
        self._output = output
        self._last: Body = {}

    def __enter__(self) -> Documents:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, scene: Scene) -> None:
        made = scene.progress.to_dict(clock()) | {"renderedGroups": list(_told(scene))}
        if made == self._last:
            return
        self._last = made
        if self._output is Format.JSON:
            typer.echo(as_json(made))
        else:
            typer.echo("---\n" + as_yaml(made), nl=False)
        sys.stdout.flush()


class Lines:
    """What has changed, appended."""

    def __init__(self) -> None:
        self._last: Scene | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, scene: Scene) -> None:
        for text in changes(self._last, scene, clock()):
            say(text)
        sys.stdout.flush()
        self._last = scene


class Screen:
    """The whole, drawn again as it changes, and each second for the clocks in it."""

    def __init__(self) -> None:
        from rich.live import Live

        self._scene: Scene | None = None
        self._live = Live(get_renderable=self._draw, console=console(), refresh_per_second=2)

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, scene: Scene) -> None:
        self._scene = scene
        self._live.refresh()

    def _draw(self) -> RenderableType:
        return drawn(picture(self._scene, clock())) if self._scene is not None else ""


def picture(scene: Scene, now: float) -> Iterator[Line | Table]:
    """The rollout and its groups."""
    progress = scene.progress
    yield from lines(progress, now)
    listed = list(_told(scene))
    if listed:
        made = table("GROUP", "WAVE", "REVISION", "SHARE", "READY", "MESSAGE")
        for told in listed[:LISTED]:
            row(
                made,
                *(
                    told.get(name) or "-"
                    for name in ("group", "wave", "revision", "share", "ready", "message")
                ),
            )
        yield from section("Groups", made)
        if len(listed) > LISTED:
            yield Line(f"and {len(listed) - LISTED} more")
    if scene.trouble:
        yield Line(scene.trouble, "yellow")


def changes(before: Scene | None, after: Scene, now: float) -> Iterator[str]:
    """What to tell of a change, a line each, with its time."""
    old = None if before is None else before.progress
    new = after.progress
    at = f"{times.text(now)[:19]}Z"
    if old is None:
        yield f"{at} {new.found}: {_headline(new, new.message)}"
    else:
        yield from (f"{at} {text}" for text in _progress(old, new))
    known = {told["group"]: told for told in _told(before)} if before is not None else None
    for told in _told(after):
        if (
            known is None
            or known.get(told["group"]) == told
            or not told["planned"]
            or len(after.groups) > LISTED
        ):
            continue
        share = f", {told['share']}" if told.get("share") else ""
        yield f"{at} group {told['group']}: revision {told['revision']}{share}, Ready={told['ready']}"
    if after.trouble and (before is None or before.trouble != after.trouble):
        yield f"{at} {after.trouble}"


def _headline(progress: Progress, message: str) -> str:
    made = progress.made
    wave = f"wave {made.wave}" if made.wave and f"wave {made.wave}" not in message else ""
    facts = [fact for fact in (wave, f"{made.updated} groups" if made.updated else "") if fact]
    where = f" ({', '.join(facts)})" if facts else ""
    return f"{progress.phase}{where}{f': {message}' if message else ''}"


def _progress(old: Progress, new: Progress) -> Iterator[str]:
    told = max((t.number for t in old.made.transitions), default=-1)
    fresh = sorted((t for t in new.made.transitions if t.number > told), key=lambda t: t.number)
    for transition in fresh:
        by = f" (by {transition.by})" if transition.by else ""
        yield f"{transition.reason}: {transition.message or ''}{by}"
    if _headline(old, old.message) != _headline(new, new.message):
        said = any(transition.message == new.message for transition in fresh)
        yield _headline(new, "" if said else new.message)
    states = [(wave["name"], wave["state"].partition(",")[0]) for wave in old.waves(0)]
    for name, state in ((w["name"], w["state"].partition(",")[0]) for w in new.waves(0)):
        if states and not fresh and (name, state) not in states:  # else what happened says it
            yield f"wave {name}: {state}"
    gates = {gate.name: gate for gate in old.made.gates}
    for gate in new.made.gates:
        if gates.get(gate.name) != gate:
            count = f", {gate.failures} failed" if gate.failures else ""
            count += f", {gate.errors} without an answer" if gate.errors else ""
            yield f"gate {gate.name}: {gate.result}{count}{f': {gate.message}' if gate.message else ''}"


def _told(scene: Scene) -> Iterable[Body]:
    """The groups of the plan, in its order; without a plan all of the template's."""
    waves = scene.progress.made.waves
    order = {group: wave.name for wave in reversed(waves) for group in wave.groups}
    planned = list(dict.fromkeys(group for wave in waves for group in wave.groups))
    for name in planned or sorted(scene.groups):
        body = scene.groups.get(name)
        if body is None:
            continue
        status = body.get("status") or {}
        ready: Body = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
        share = status.get("share") or {}
        yield {
            "group": name,
            "wave": order.get(name),
            "planned": name in order,
            "revision": status.get("currentRevision"),
            "share": f"{share.get('percent')}% on {share.get('revision')}" if share else None,
            "ready": ready.get("status", "Unknown"),
            "message": "" if ready.get("status") == "True" else ready.get("message", ""),
        }
