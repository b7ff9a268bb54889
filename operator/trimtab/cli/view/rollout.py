"""A rollout's status as lines and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trimtab.api.rollout_status import Content
from trimtab.cli.cluster.progress import Outcome, Progress
from trimtab.cli.output import Line, Part, section, table

TRANSITIONS = 5
"""Transitions in the table; -o json has all of them."""
_STYLES = {Outcome.SUCCEEDED: "green", Outcome.FAILED: "bold red", Outcome.WAITING: "yellow"}


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout at a time, in seconds since 1970."""

    progress: Progress
    now: float

    def content(self) -> dict[str, Any]:
        return self.progress.content(self.now)

    def parts(self) -> Iterator[Part]:
        progress = self.progress
        yield Line(f"{progress.rollout}: {progress.phase}", _STYLES.get(progress.outcome, "bold"))
        if progress.message:
            yield Line(f"  {progress.message}")
        yield from _content(progress)
        status = progress.rollout.status
        for violation in status.get("violations") or ():
            place = violation.get("key") or violation.get("path") or ""
            yield Line(f"  refused: {place}: {violation.get('message', '')}", "red")
        for warning in status.get("warnings") or ():
            yield Line(f"  warning: {warning.get('key', '')}: {warning.get('message', '')}", "yellow")
        yield from self._tables()
        yield from _troubles(progress)
        yield from _transitions(progress)

    def _tables(self) -> Iterator[Part]:
        waves = (
            (w["name"], len(w["groups"]), w["percent"], w["soak"], w["approval"], w["state"])
            for w in self.progress.waves(self.now)
        )
        yield from _section("Waves", "NAME GROUPS PERCENT SOAK APPROVAL STATE", waves)
        gates = (
            (g.name, g.result, "yes" if g.passed else "no", g.failures, g.errors, g.message or "")
            for g in self.progress.status.gates
        )
        yield from _section("Gates", "NAME RESULT PASSED FAILURES ERRORS MESSAGE", gates)
        freezes = map(_freeze, self.progress.freezes(self.now))
        yield from _section("Freezes", "SCHEDULE ZONE DURATION NOW REASON", freezes)


def _section(title: str, columns: str, rows: Iterable[tuple[object, ...]]) -> Iterable[Part]:
    listed = list(rows)
    return section(title, table(columns, listed)) if listed else ()


def _freeze(rule: dict[str, Any]) -> tuple[object, ...]:
    now = f"holds until {rule['holdsUntil'][:19]}Z" if "holdsUntil" in rule else "-"
    zone, reason = rule.get("timeZone") or "UTC", rule.get("reason") or ""
    return rule.get("schedule"), zone, rule.get("duration"), now, reason


def _content(progress: Progress) -> Iterator[Line]:
    status = progress.status
    facts = [
        f"wave {status.wave}" if status.wave else "",
        f"{status.updated} groups updated" if status.updated else "",
        f"attempt {status.attempt}" if status.attempt else "",
    ]
    if any(facts):
        yield Line(f"  {', '.join(filter(None, facts))}")
    for name in ("target", "stable", "previous"):
        content: Content | None = getattr(status, name)
        if content is not None:
            yield Line(f"  {name:<8}  {_in_a_line(content)}")


def _in_a_line(content: Content) -> str:
    """Its hash, its first generation, and its snapshot."""
    if content.snapshot is None:
        return "no content"
    generation = f"generation {content.generation}, " if content.generation is not None else ""
    return f"{content.hash} ({generation}{content.snapshot})"


def _troubles(progress: Progress) -> Iterator[Line]:
    halt, failure, found = progress.status.halt, progress.status.failure, []
    if halt is not None:
        by = f" by {halt.by}" if halt.by else ""
        found.append((f"halted since {halt.since}{by} ({halt.reason})", halt.message))
    if failure is not None:
        found.append((f"failed at {failure.at} ({failure.reason})", failure.message))
    for quarantined in progress.status.quarantine:
        since = quarantined.at or "an unknown time"
        found.append((f"quarantined: {quarantined.hash}, since {since}", quarantined.reason))
    if found:
        yield Line()
    yield from (Line(f"{what}: {why}" if why else what, "yellow") for what, why in found)


def _transitions(progress: Progress) -> Iterable[Part]:
    newest = sorted(progress.status.transitions, key=lambda t: -t.number)[:TRANSITIONS]
    rows = ((t.at, t.reason, t.by or "-", t.message or "") for t in newest)
    return _section("Last transitions", "AT WHAT BY MESSAGE", rows)
