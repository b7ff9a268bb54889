"""The figures of a whole run, for the terminal and for README.md."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crash.campaign import Campaign
from crash.jobs import FAULTS, KILLED, LIVES, STALE, UNDISTURBED

MARK = "<!-- figures: everything below is written by `make crash` -->"
_HEADS = {
    UNDISTURBED: "undisturbed",
    KILLED: "killed at a write",
    LIVES: "short lives",
    STALE: "asleep at a write",
    FAULTS: "random faults",
}


@dataclass(frozen=True)
class Figures:
    rows: list[list[str]]
    notes: list[str]


def figures(campaign: Campaign, seconds: float, workers: int) -> Figures:
    """A row a scene, and one for all."""
    rows = []
    for scene in campaign.wanted.scenes:
        expected = campaign.expected.get(scene)
        rows.append([scene, str(len(expected.writes) if expected else 0), *_runs(campaign, (scene,))])
    whole = [str(sum(int(row[1]) for row in rows)), *_runs(campaign, campaign.wanted.scenes)]
    rows.append(["all", *whole])
    tallies = campaign.tallies.values()
    runs, failed = sum(t.runs for t in tallies), sum(t.failed for t in tallies)
    notes = [
        f"{runs} runs in {seconds / 60:.0f} min with {workers} workers on {os.cpu_count()} cores"
        f" ({platform.machine()}, Python {platform.python_version()}),"
        f" {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC;"
        f" {sum(t.seconds for t in tallies) / max(runs, 1):.1f} s a run.",
        f"Runs in which something did not hold: {failed}.",
    ]
    missed = sum(t.missed for t in tallies)
    if missed:
        notes.append(f"Points that did not turn up again in three runs: {missed}.")
    return Figures(rows, notes)


def _runs(campaign: Campaign, scenes: Sequence[str]) -> list[str]:
    cells = []
    for part in _HEADS:
        found = [t for (scene, kind), t in campaign.tallies.items() if scene in scenes and kind == part]
        runs, failed = sum(t.runs for t in found), sum(t.failed for t in found)
        cells.append(f"{runs}" + (f", {failed} failed" if failed else "") if runs else "")
    return cells


def table(found: Figures) -> str:
    """As Markdown."""
    head = ["scene", "writes", *_HEADS.values()]
    lines = [head, ["---"] * len(head), *found.rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *found.notes])


def write_figures(file: Path, found: Figures, problems: Sequence[str]) -> None:
    """Put them in the place of the last ones; what was written by hand above stays."""
    hand = file.read_text().split(MARK, 1)[0].rstrip() if file.exists() else ""
    parts = [hand, MARK, "## Figures", table(found)]
    if problems:
        parts += ["### What did not hold", "\n".join(f"- {problem[:400]}" for problem in problems[:50])]
    file.write_text("\n\n".join(parts) + "\n")
