"""The rollout's human-readable state in one line. It changes with the state, never with the passing of time."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.api.rollout_status import Phase
from trimtab.core import times
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.types import GroupObservation
from trimtab.core.text import capitalized, listed, plural

MESSAGE = 1024


def message(run: Run, phase: Phase) -> str:
    """The message of a rollout in this phase."""
    return capitalized(" ".join(_MESSAGES[phase](run).split()))[
        :MESSAGE
    ]  # parts are written by other clients


def wave_of(run: Run) -> str | None:
    """``2/4``."""
    progress = run.progress
    if not progress.waves:
        return None
    return f"{progress.current_wave or 0}/{len(progress.waves)}"


def updated(run: Run) -> str | None:
    """``3/10``: how many groups of the plan have all of their users on the target; unchanged while that is unknown."""
    progress = run.progress
    if not progress.waves:
        return None
    names = run.existing(queries.planned(progress))
    if progress.underway is None:
        return f"0/{len(names)}" if progress.wave_state == "Held" else progress.updated
    if progress.underway == "Forward" and run.held:
        return progress.updated
    moved = queries.shares(progress)
    whole = [name for name in names if moved.get(name) == 100]
    forward, settled = progress.underway == "Forward", run.settled_groups
    return f"{sum((name in settled) == forward for name in whole)}/{len(names)}"


def _settled(run: Run, names: Sequence[str]) -> str:
    """``3 of 10 groups``."""
    return f"{len(run.settled_groups.intersection(names))} of {plural(len(names), 'group')}"


def lacking(run: Run) -> list[str]:
    """What the current wave waits for in its groups."""
    names = run.existing(run.wave.groups) if run.wave else []
    settled = run.settled_groups
    open_groups = ((name, run.group(name)) for name in names if name not in settled)
    blocked = (f"group {name}: {why}" for name, group in open_groups if (why := _blocked(group)))
    unhealthy = "" if run.promoted else _unhealthy(run, names)
    return [part for part in (next(blocked, ""), unhealthy) if part]


def _blocked(group: GroupObservation | None) -> str:
    """Why a group does not settle, if something blocks it."""
    return group.problem or group.waits if group is not None else ""


def _unhealthy(run: Run, names: Sequence[str]) -> str:
    """Which settled groups have workloads that are not healthy."""
    observed = [(name, run.group(name)) for name in names if name in run.settled_groups]
    ill = [(name, group) for name, group in observed if group is not None and group.health != "Healthy"]
    why = next((f": {group.message}" for _, group in ill if group.message), "")
    return f"waiting for workloads of {listed([name for name, _ in ill])}{why}" if ill else ""


def overdue(run: Run) -> str:
    """What has not completed within progressDeadline."""
    seconds = f"{run.deadline:g}s"
    if run.progress.underway == "Back":
        return f"rollback exceeded progressDeadline ({seconds}); still in progress: {_open(run)}"
    waited = [status.name for status in gates.open_gates(run)]
    parts = [_done(run), *lacking(run), *([f"waiting for gates {listed(waited)}"] if waited else [])]
    return f"{_where(run)} exceeded progressDeadline ({seconds}): {'; '.join(parts)}"


def _where(run: Run) -> str:
    """``wave 2/4 (all)``, with its percentage if that is below 100."""
    wave, progress = run.wave, run.progress
    if wave is None:
        return "the rollout"
    part = f", {wave.percent}%" if wave.percent < 100 else ""
    return f"wave {max(progress.current_wave or 0, 1)}/{len(progress.waves)} ({wave.name}{part})"


def _pending(run: Run) -> str:
    return f"computing the preview of content {queries.short(run.progress.target)}"


def _waiting(run: Run) -> str:
    freeze = run.freeze
    why = run.observed.busy or (freeze.message if freeze else "")
    return f"{_where(run)} is waiting: {why}{_noted(run)}"


def _rejected(run: Run) -> str:
    refusal = run.observed.refusal or "the spec is not valid"
    if run.progress.underway == "Forward":
        return f"{_where(run)} is paused because the spec is rejected: {refusal}{_noted(run)}"
    return f"spec rejected: {refusal}"


def _awaiting(run: Run) -> str:
    hashed = run.progress.target.hash if run.progress.target else ""
    what = f"{_where(run)} requires approval of content {hashed}; see status.preview, then create an Approve action"
    return what + _noted(run)


def _done(run: Run) -> str:
    names = run.existing(run.wave.groups) if run.wave else []
    return f"{_settled(run, names)} updated"


def _progressing(run: Run) -> str:
    parts = [f"{_where(run)}: {_done(run)}", *lacking(run)]
    if run.observed.busy:
        parts.append(f"waiting: {run.observed.busy}")
    waited = gates.open_gates(run)
    if waited and queries.measuring(run.progress):
        names = listed([status.name for status in waited])
        parts.append(f"waiting for gate{'s' if len(waited) > 1 else ''} {names}")
    return "; ".join(parts) + _noted(run)


def _soaking(run: Run) -> str:
    wave = run.wave
    until = ""
    if wave is not None and (at := times.read(run.progress.soak_started_at)) is not None:
        until = f" until {times.text(at + queries.soak_of(wave))}"
    return f"{_where(run)}: all groups updated and healthy; soaking{until}{_noted(run)}"


def _paused(run: Run) -> str:
    halt = run.progress.halt
    if halt is None:
        return f"{_where(run)} is paused: spec.strategy.paused is true{_noted(run)}"
    by = f" by {halt.by}" if halt.reason == "Action" and halt.by else ""
    why = f": {halt.message}" if halt.message else ""
    remedy = {
        "Action": "Resume to continue",
        "Failed": "Resume to retry, Promote to continue regardless, or Abort to roll back",
        "ChangedBack": "Resume to restart it again, or Abort to roll back",
    }.get(
        halt.reason, "continues when the gate succeeds; Promote to continue without it, or Abort to roll back"
    )
    noted = _noted(run) if halt.reason != "ChangedBack" else ""
    also = (
        " (spec.strategy.paused is true as well)"
        if run.observed.strategy and run.observed.strategy.paused
        else ""
    )
    return f"{_where(run)} is paused{by}{why}; {remedy}{also}{noted}"


def _succeeded(run: Run) -> str:
    return f"content {queries.short(run.progress.target)} is stable{_noted(run, 'Undo')}"


def _noted(run: Run, verb: str = "Abort") -> str:
    """Notes about workloads. ``verb`` is the action that rolls back at present."""
    noted = run.progress.workload_notes
    if not noted:
        return ""
    more = f" (and {len(noted) - 1} more in status.workloadNotes)" if len(noted) > 1 else ""
    reverted = any(note.reason == "ChangedBack" for note in noted)
    remedy = f"; to revert the configuration, {verb} the rollout" if reverted else ""
    return f"; {noted[0].message}{more}{remedy}"


def _back(run: Run) -> str:
    progress = run.progress
    names = run.existing(queries.planned(progress))
    parts = [f"{_settled(run, names)} rolled back to {queries.described(progress.stable)}"]
    if progress.failure is not None:
        parts.append(progress.failure.message or progress.failure.reason)
    return "; ".join(parts)


def _rolled_back(run: Run) -> str:
    target, stable = run.progress.target, run.progress.stable
    quarantined = next((q for q in run.progress.quarantine if target and q.hash == target.hash), None)
    why = f": {quarantined.reason}" if quarantined is not None and quarantined.reason else ""
    result = (
        f"rolled back to {queries.described(stable)}"
        if stable and stable.hash
        else "rolled back; policy not applied"
    )
    return f"{result}. Content {queries.short(target)} is quarantined{why}. Change the spec or Retry"


def _failed(run: Run) -> str:
    return f"rollback exceeded progressDeadline; still in progress: {_back(run)}; {_open(run)}"


def _open(run: Run) -> str:
    """Which groups are not rolled back yet."""
    settled = run.settled_groups
    names = [name for name in run.existing(queries.planned(run.progress)) if name not in settled]
    why = next((f" ({name}: {why})" for name in names if (why := _blocked(run.group(name)))), "")
    return f"waiting for {listed(names) or 'no group'}{why}"


_MESSAGES = {
    "Pending": _pending,
    "Waiting": _waiting,
    "Rejected": _rejected,
    "AwaitingApproval": _awaiting,
    "Progressing": _progressing,
    "Soaking": _soaking,
    "Paused": _paused,
    "Succeeded": _succeeded,
    "RollingBack": _back,
    "RolledBack": _rolled_back,
    "RollbackFailed": _failed,
}
