"""One line for people on where the rollout is. It changes with what is the case, never with the time that passes."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.api.rollout_status import Phase
from trimtab.core import times
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import Run

MESSAGE = 1024
_NAMED = 3


def message(run: Run, phase: Phase) -> str:
    return " ".join(_MESSAGES[phase](run).split())[:MESSAGE]  # some of it is others' words


def wave_of(run: Run) -> str | None:
    """``2/4``."""
    progress = run.progress
    if not progress.waves:
        return None
    return f"{progress.current_wave or 0}/{len(progress.waves)}"


def updated(run: Run) -> str | None:
    """``3/10``: how many groups of the plan serve the target whole. It stays as it is while nothing can be told."""
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


def named(names: Sequence[str]) -> str:
    """``a, b, c and 4 more``."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _settled(run: Run, names: Sequence[str]) -> str:
    """``3 of 10 groups``."""
    number = len(run.settled_groups.intersection(names))
    return f"{number} of {len(names)} group{'' if len(names) == 1 else 's'}"


def lacking(run: Run) -> list[str]:
    """What the present wave waits for among its groups, in words."""
    wave = run.wave
    names = run.existing(wave.groups) if wave else []
    settled = run.settled_groups
    said = [
        f"group {name}: {group.problem or group.waits}"
        for name in names
        if name not in settled and (group := run.group(name)) and (group.problem or group.waits)
    ][:1]
    ill = [(n, g) for n in names if n in settled and (g := run.group(n)) and g.health != "Healthy"]
    if ill and not run.promoted:
        why = next((f": {group.message}" for _, group in ill if group.message), "")
        said.append(f"waiting for the workloads of {named([name for name, _ in ill])}{why}")
    return said


def late(run: Run) -> str:
    """Why a deadline has passed."""
    seconds = f"{run.deadline:g}s"
    if run.progress.underway == "Back":
        return f"not all groups are back after {seconds}; it goes on: {_open(run)}"
    waited = [status.name for status in gates.open_gates(run)]
    parts = [_done(run), *lacking(run), *([f"waiting for gates {named(waited)}"] if waited else [])]
    return f"{_where(run)} is not complete after {seconds}: {'; '.join(parts)}"


def _where(run: Run) -> str:
    """``wave 2/4 (all)``, with its percentage if it is a part."""
    wave, progress = run.wave, run.progress
    if wave is None:
        return "the rollout"
    part = f", {wave.percent} percent" if wave.percent < 100 else ""
    return f"wave {max(progress.current_wave or 0, 1)}/{len(progress.waves)} ({wave.name}{part})"


def _pending(run: Run) -> str:
    return f"content {queries.short(run.progress.target)}: its preview is being worked out"


def _waiting(run: Run) -> str:
    freeze = run.freeze
    why = run.seen.busy or (freeze.message if freeze else "for its turn")
    return f"{_where(run)} waits: {why}{_noted(run)}"


def _rejected(run: Run) -> str:
    refusal = run.seen.refusal or "the spec is refused"
    if run.progress.underway == "Forward":
        return f"{_where(run)} is held where it is, because the spec is refused now: {refusal}{_noted(run)}"
    return f"nothing moves: {refusal}"


def _awaiting(run: Run) -> str:
    hashed = run.progress.target.hash if run.progress.target else ""
    what = (
        f"{_where(run)} waits for somebody to approve content {hashed}: see status.preview, then Approve it"
    )
    return what + _noted(run)


def _done(run: Run) -> str:
    names = run.existing(run.wave.groups) if run.wave else []
    return f"{_settled(run, names)} updated"


def _progressing(run: Run) -> str:
    parts = [f"{_where(run)}: {_done(run)}", *lacking(run)]
    if run.seen.busy:
        parts.append(f"waits: {run.seen.busy}")
    waited = gates.open_gates(run)
    if waited and queries.measuring(run.progress):
        plural = "s" if len(waited) > 1 else ""
        parts.append(f"waiting for gate{plural} {named([status.name for status in waited])}")
    return "; ".join(parts) + _noted(run)


def _soaking(run: Run) -> str:
    wave = run.wave
    until = ""
    if wave is not None and (at := times.read(run.progress.soak_started_at)) is not None:
        until = f" until {times.text(at + queries.soak_of(wave))}"
    return f"{_where(run)}: all of its groups are updated and well; watched{until}{_noted(run)}"


def _paused(run: Run) -> str:
    halt = run.progress.halt
    if halt is None:
        return f"{_where(run)} is paused: spec.strategy.paused is true{_noted(run)}"
    by = f" by {halt.by}" if halt.reason == "Action" and halt.by else ""
    why = f": {halt.message}" if halt.message else ""
    remedy = {
        "Action": "Resume goes on",
        "Failed": "Resume tries again, Promote goes on regardless, Abort goes back",
        "ChangedBack": "Resume restarts it again, Abort rolls back",
    }.get(halt.reason, "it goes on when the gate succeeds again; Promote goes on without it, Abort goes back")
    noted = _noted(run) if halt.reason != "ChangedBack" else ""
    also = " (spec.strategy.paused is true as well)" if run.seen.strategy and run.seen.strategy.paused else ""
    return f"{_where(run)} is paused{by}{why}; {remedy}{also}{noted}"


def _succeeded(run: Run) -> str:
    return f"content {queries.short(run.progress.target)} is stable{_noted(run, 'Undo')}"


def _noted(run: Run, verb: str = "Abort") -> str:
    """What to know about workloads. ``verb`` is what takes the rollout back now."""
    noted = run.progress.workload_notes
    if not noted:
        return ""
    more = f" (and {len(noted) - 1} more in status.workloadNotes)" if len(noted) > 1 else ""
    back = any(note.reason == "ChangedBack" for note in noted)
    return f"; {noted[0].message}{more}" + (
        f"; to undo the configuration, {verb} the rollout" if back else ""
    )


def _back(run: Run) -> str:
    progress = run.progress
    names = run.existing(queries.planned(progress))
    parts = [f"{_settled(run, names)} back on {queries.called(progress.stable)}"]
    if progress.failure is not None:
        parts.append(progress.failure.message or progress.failure.reason)
    return "; ".join(parts)


def _rolled_back(run: Run) -> str:
    target = run.progress.target
    quarantined = next((q for q in run.progress.quarantine if target and q.hash == target.hash), None)
    why = f": {quarantined.reason}" if quarantined is not None and quarantined.reason else ""
    return (
        f"{queries.called(run.progress.stable)} is served; {queries.short(target)} is in quarantine{why}; "
        "new content, or Retry, starts again"
    )


def _failed(run: Run) -> str:
    return f"the rollback is late, and goes on: {_back(run)}; {_open(run)}"


def _open(run: Run) -> str:
    """Which groups are not back yet."""
    settled = run.settled_groups
    names = [name for name in run.existing(queries.planned(run.progress)) if name not in settled]
    seen = [(name, group) for name in names if (group := run.group(name)) is not None]
    why = next((f" ({name}: {g.problem or g.waits})" for name, g in seen if g.problem or g.waits), "")
    return f"still waiting for {named(names) or 'nothing'}{why}"


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
