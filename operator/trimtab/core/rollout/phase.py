"""The phase of a rollout, and the event of a phase that changes without another one."""

from __future__ import annotations

from trimtab.api.rollout_status import Phase, RolloutProgress
from trimtab.core.rollout import queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.messages import message
from trimtab.core.status import FALSE, TRUE, UNKNOWN, Verdict
from trimtab.core.violations import Notice

_HOLDS = {"AwaitingApproval": "ApprovalRequested", "Waiting": "RolloutWaiting"}


def phase_of(run: Run) -> Phase:
    progress = run.progress
    if progress.underway == "Back":
        return "RollbackFailed" if progress.phase == "RollbackFailed" else "RollingBack"
    if run.observed.target is None or run.observed.strategy is None:
        return "Rejected"
    return _forward(run) if progress.underway == "Forward" else _idle(run)


def _forward(run: Run) -> Phase:
    if run.paused:
        return "Paused"
    if run.progress.wave_state == "Held":
        return _held(run) or "Progressing"
    return "Soaking" if run.progress.wave_state == "Soaking" else "Progressing"


def _idle(run: Run) -> Phase:
    """The phase of content whose rollout has not started, or has ended."""
    progress = run.progress
    if run.quarantined(progress.target):
        return "RolledBack"
    if queries.same(progress.target, progress.stable):
        return "Succeeded"
    if not previewed(run):
        return "Pending"
    return "Paused" if run.paused else _held(run) or "Pending"


def previewed(run: Run) -> bool:
    """Whether the preview of the target is complete."""
    preview, target = run.progress.preview, run.progress.target
    return preview is not None and target is not None and preview.hash == target.hash


def _held(run: Run) -> Phase | None:
    """The phase of a rollout whose next wave is blocked."""
    if run.needs_approval:
        return "AwaitingApproval"
    return "Waiting" if run.observed.busy or run.freeze is not None else None


def record_phase(run: Run) -> None:
    """Record the pending transitions with their phases."""
    if not run.pending:
        return
    phase, before = phase_of(run), run.phase
    recorded = run.flush(phase)
    if phase != before and phase in _HOLDS and all(t.reason != _HOLDS[phase] for t in recorded):
        run.record(_HOLDS[phase], message(run, phase))
        run.flush(phase)
    run.change(phase=phase)


def record_final_phase(run: Run) -> None:
    """As :func:`record_phase`, and record a phase that changed without another transition."""
    record_phase(run)
    phase = phase_of(run)
    if phase != run.phase:
        run.record(_event_of(run.phase, phase), message(run, phase), warning=phase == "Rejected")
        run.flush(phase)
    if phase != run.progress.phase:
        run.change(phase=phase)


def _event_of(before: str | None, phase: Phase) -> str:
    """The event of a phase that changed because the observation did."""
    if phase == "Rejected":
        return "RolloutRejected"
    if before == "Rejected":
        return "RolloutAccepted"
    if phase == "Paused":
        return "RolloutPaused"
    if phase in _HOLDS:
        return _HOLDS[phase]
    if before == "Paused":
        return "RolloutResumed"
    return {"Soaking": "SoakStarted", "Progressing": "SoakInterrupted"}.get(phase, "RolloutChanged")


READY_IN = {"Succeeded": TRUE, "Rejected": FALSE, "RolledBack": FALSE, "RollbackFailed": FALSE}
"""Ready by the phase; Unknown in all others."""


def rollout_verdict(progress: RolloutProgress, notices: tuple[Notice, ...]) -> Verdict:
    """Ready by a rollout's phase."""
    phase = progress.phase or "Pending"
    return Verdict(READY_IN.get(phase, UNKNOWN), phase, progress.message or phase, (), notices)
