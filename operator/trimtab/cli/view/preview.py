"""What a rollout would change, as the operator worked it out: for whoever is to approve it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trimtab.api.rollout_status import KeyChange, Preview
from trimtab.cli.view.output import program, row, table
from trimtab.cli.view.progress import Progress
from trimtab.cli.view.rollout import Line, section

if TYPE_CHECKING:
    from rich.table import Table


def to_dict(progress: Progress) -> dict[str, Any]:
    """The preview for programs; ``current`` says whether it is about what would roll out now."""
    preview = progress.made.preview
    found = progress.found
    made: dict[str, Any] = {
        "kind": str(found.kind),
        "namespace": found.namespace,
        "name": found.name,
        "phase": progress.phase,
        "contentHash": preview.hash if preview else None,
        "current": is_current(progress),
    }
    return made | ({**preview.to_dict(), "approve": approval(progress)} if preview else {})


def is_current(progress: Progress) -> bool:
    """Whether there is a preview, and of the content that is rolled out or waits for it."""
    preview, target = progress.made.preview, progress.made.target
    if preview is None or not progress.current:
        return False
    return target is None or target.hash == preview.hash


def approval(progress: Progress) -> str:
    """The command that approves exactly what the preview is about."""
    found, preview = progress.found, progress.made.preview
    bound = f" --content-hash {preview.hash}" if preview else ""
    return f"{program()} rollout approve {found.word} -n {found.namespace}{bound}"


def lines(progress: Progress) -> Iterator[Line | Table]:
    """The preview for people."""
    preview = progress.made.preview
    if preview is None:
        yield Line(f"{progress.found}: {progress.phase}: {absence(progress)}", "yellow")
        return
    yield Line(f"{progress.found}: {progress.phase}: preview of {preview.hash}", "bold")
    if not is_current(progress):
        yield Line(f"  it is about older content: {progress.message or 'wait for the next one'}", "yellow")
    yield from summary(preview)
    yield from _samples(preview)
    if preview.restarts:
        yield Line("")
        yield Line("Workloads that would restart", "bold")
        for workload in preview.restarts:
            yield Line(f"  {workload}")
    yield Line("")
    yield Line(f"approve it by: {approval(progress)}")


def absence(progress: Progress) -> str:
    """Why there is no preview."""
    if progress.phase == "Rejected":
        return f"it is not valid, so there is nothing to preview: {progress.message}"
    if not progress.watched:
        return "it has no strategy, so a change of it is served at once; give it one (strategy: {}) for a preview"
    return f"there is no preview yet: {progress.message or 'the operator works it out before the first wave'}"


def summary(preview: Preview) -> Iterator[Line]:
    """The counts in a few lines."""
    users = f"{preview.changed_users} of {_some(preview.users, 'user')}"
    yield Line(
        f"  changes the documents of {preview.changed_groups} of {_some(preview.groups, 'group')}, {users}"
    )
    if preview.clamped_users:
        yield Line(f"  clamps, drops or locks values of {_some(preview.clamped_users, 'user')}", "yellow")
    if preview.keys:
        yield Line(f"  keys: {', '.join(preview.keys)}")
    if preview.restarts:
        yield Line(f"  restarts {_some(len(preview.restarts), 'workload')}")


def _samples(preview: Preview) -> Iterator[Line | Table]:
    if not preview.samples:
        return
    made = table("GROUP", "USER", "KEY", "OLD", "NEW", "BY", "EFFECT")
    for sample in preview.samples:
        row(made, *_cells(sample))
    yield from section("Samples", made)


def _cells(sample: KeyChange) -> tuple[str, ...]:
    values = ("-" if value is None else value for value in (sample.old, sample.new))
    return (sample.group, sample.user or "-", sample.key, *values, sample.by or "-", sample.effect)


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
