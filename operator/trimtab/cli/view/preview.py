"""What a rollout would change, as the operator computed it: for its approver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trimtab.api.rollout_status import Preview
from trimtab.cli.cluster.progress import Progress
from trimtab.cli.group import program
from trimtab.cli.output import Line, Part, section, table
from trimtab.core.text import plural


@dataclass(frozen=True, slots=True)
class RolloutPreview:
    """The preview of a rollout, or why there is none."""

    progress: Progress

    @property
    def current(self) -> bool:
        """Whether there is a preview, and of the content that is rolling out or will."""
        preview, target = self.progress.status.preview, self.progress.status.target
        if preview is None or not self.progress.current:
            return False
        return target is None or target.hash == preview.hash

    @property
    def approval(self) -> str:
        """The command that approves exactly the previewed content."""
        rollout, preview = self.progress.rollout, self.progress.status.preview
        bound = f" --content-hash {preview.hash}" if preview else ""
        return f"{program()} rollout approve {rollout.typed} -n {rollout.namespace}{bound}"

    def content(self) -> dict[str, Any]:
        preview, rollout = self.progress.status.preview, self.progress.rollout
        made: dict[str, Any] = {
            "kind": str(rollout.kind),
            **rollout.reference,
            "phase": self.progress.phase,
            "contentHash": preview.hash if preview else None,
            "current": self.current,
        }
        return made | ({**preview.to_dict(), "approve": self.approval} if preview else {})

    def parts(self) -> Iterator[Part]:
        preview, progress = self.progress.status.preview, self.progress
        if preview is None:
            yield Line(f"{progress.rollout}: {progress.phase}: {self._absence()}", "yellow")
            return
        yield Line(f"{progress.rollout}: {progress.phase}: preview of {preview.hash}", "bold")
        if not self.current:
            yield Line(f"  it is of older content: {progress.message or 'wait for the next one'}", "yellow")
        yield from summary(preview)
        if preview.samples:
            rows = (
                (s.group, s.user or "-", s.key, _value(s.old), _value(s.new), s.by or "-", s.effect)
                for s in preview.samples
            )
            yield from section("Samples", table("GROUP USER KEY OLD NEW BY EFFECT", rows))
        if preview.restarts:
            yield Line()
            yield Line("Workloads that would restart", "bold")
            yield from (Line(f"  {workload}") for workload in preview.restarts)
        yield Line()
        yield Line(f"approve it by: {self.approval}")

    def _absence(self) -> str:
        if self.progress.phase == "Rejected":
            return f"the spec is not valid, so there is no preview: {self.progress.message}"
        if not self.progress.rollout.rolls_out:
            return "no strategy, so changes take effect immediately; set strategy: {} for a preview"
        reason = self.progress.message or "the operator computes it before the first wave"
        return f"there is no preview yet: {reason}"


def summary(preview: Preview) -> Iterator[Line]:
    """The counts in a few lines."""
    users = f"{preview.changed_users} of {plural(preview.users, 'user')}"
    yield Line(
        f"  changes the documents of {preview.changed_groups} of {plural(preview.groups, 'group')}, {users}"
    )
    if preview.clamped_users:
        yield Line(f"  clamps, drops or locks values of {plural(preview.clamped_users, 'user')}", "yellow")
    if preview.keys:
        yield Line(f"  keys: {', '.join(preview.keys)}")
    if preview.restarts:
        yield Line(f"  restarts {plural(len(preview.restarts), 'workload')}")


def _value(value: str | None) -> str:
    return "-" if value is None else value
