"""What people are shown of a rollout: lines and tables, on paper or on a screen that is drawn again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from trimtab.api.rollout_status import Content
from trimtab.cli.view.output import plain, print_table, row, say, table
from trimtab.cli.view.progress import Outcome, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

HAPPENED = 5
"""Transitions that are shown; -o json has all of them."""
STYLES = {Outcome.DONE: "green", Outcome.FAILED: "bold red", Outcome.STANDING: "yellow"}


class Line(NamedTuple):
    """A line for people."""

    text: str
    style: str = ""


def printed(parts: Iterable[Line | Table]) -> None:
    """On stdout, once."""
    for part in parts:
        if isinstance(part, Line):
            say(part.text, style=part.style)
        else:
            print_table(part)


def drawn(parts: Iterable[Line | Table]) -> RenderableType:
    """For a screen."""
    from rich.console import Group
    from rich.text import Text

    made = (Text(plain(p.text), style=p.style) if isinstance(p, Line) else p for p in parts)
    return Group(*made)


def lines(progress: Progress, now: float) -> Iterator[Line | Table]:
    """The whole rollout. ``now`` is seconds since 1970."""
    yield Line(f"{progress.found}: {progress.phase}", STYLES.get(progress.outcome, "bold"))
    if progress.message:
        yield Line(f"  {progress.message}")
    yield from _where(progress)
    for violation in progress.status.get("violations") or ():
        place = violation.get("key") or violation.get("path") or ""
        yield Line(f"  refused: {place}: {violation.get('message', '')}", "red")
    for warning in progress.status.get("warnings") or ():
        yield Line(f"  warning: {warning.get('key', '')}: {warning.get('message', '')}", "yellow")
    yield from _waves(progress, now)
    yield from _gates(progress)
    yield from _freezes(progress, now)
    yield from _troubles(progress)
    yield from _happened(progress)


def _where(progress: Progress) -> Iterator[Line]:
    made = progress.made
    facts = [
        f"wave {made.wave}" if made.wave else "",
        f"{made.updated} groups updated" if made.updated else "",
        f"attempt {made.attempt}" if made.attempt else "",
    ]
    if any(facts):
        yield Line(f"  {', '.join(fact for fact in facts if fact)}")
    for name in ("target", "stable", "previous"):
        content: Content | None = getattr(made, name)
        if content is not None:
            yield Line(f"  {name:<8}  {content_words(content)}")


def content_words(content: Content) -> str:
    """Content in one line: its hash, the generation that said it first, and where it is kept."""
    if content.snapshot is None:
        return "nothing, as before it"
    generation = f"generation {content.generation}, " if content.generation is not None else ""
    return f"{content.hash} ({generation}{content.snapshot})"


def _waves(progress: Progress, now: float) -> Iterator[Line | Table]:
    if not progress.made.waves:
        return
    waves = table("NAME", "GROUPS", "PERCENT", "SOAK", "APPROVAL", "STATE")
    for wave in progress.waves(now):
        count = len(wave["groups"])
        row(waves, wave["name"], count, wave["percent"], wave["soak"], wave["approval"], wave["state"])
    yield from section("Waves", waves)


def _gates(progress: Progress) -> Iterator[Line | Table]:
    if not progress.made.gates:
        return
    gates = table("NAME", "RESULT", "PASSED", "FAILURES", "ERRORS", "MESSAGE")
    for gate in progress.made.gates:
        passed = "yes" if gate.passed else "no"
        row(gates, gate.name, gate.result, passed, gate.failures, gate.errors, gate.message or "")
    yield from section("Gates", gates)


def _freezes(progress: Progress, now: float) -> Iterator[Line | Table]:
    rules = progress.freezes(now)
    if not rules:
        return
    freezes = table("SCHEDULE", "ZONE", "DURATION", "NOW", "REASON")
    for rule in rules:
        holds = f"holds until {rule['holdsUntil'][:19]}Z" if "holdsUntil" in rule else "-"
        zone, reason = rule.get("timeZone") or "UTC", rule.get("reason") or ""
        row(freezes, rule.get("schedule"), zone, rule.get("duration"), holds, reason)
    yield from section("Freezes", freezes)


def _troubles(progress: Progress) -> Iterator[Line]:
    made, found = progress.made, []
    if made.halt is not None:
        by = f" by {made.halt.by}" if made.halt.by else ""
        found.append(f"halted since {made.halt.since}{by} ({made.halt.reason}): {made.halt.message or ''}")
    if made.failure is not None:
        found.append(f"failed at {made.failure.at} ({made.failure.reason}): {made.failure.message or ''}")
    found += [f"quarantined: {q.hash}, since {q.at or 'long ago'}: {q.reason or ''}" for q in made.quarantine]
    if found:
        yield Line("")
    for text in found:
        yield Line(text.rstrip(": "), "yellow")


def _happened(progress: Progress) -> Iterator[Line | Table]:
    listed = sorted(progress.made.transitions, key=lambda t: -t.number)[:HAPPENED]
    if not listed:
        return
    happened = table("AT", "WHAT", "BY", "MESSAGE")
    for transition in listed:
        row(happened, transition.at, transition.reason, transition.by or "-", transition.message or "")
    yield from section("What happened last", happened)


def section(title: str, made: Table) -> Iterator[Line | Table]:
    """A table under its title."""
    yield Line("")
    yield Line(title, "bold")
    yield made
