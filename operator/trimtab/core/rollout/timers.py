"""What depends on time: soaks, deadlines, and gaps in which the operator did not observe the rollout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trimtab.api.rollout_status import GateStatus
from trimtab.core import times
from trimtab.core.rollout import gates, messages, queries, workload_notes
from trimtab.core.rollout.context import FailureReason, Run
from trimtab.core.rollout.failures import fail, unhealthy, unsettled

GAP, SHORTEST_GAP = 120.0, 10.0
"""After so many seconds without an observation, or after half of a soak if that is less, soaks and deadlines restart;
status records the observation twice as often."""


def unheld(run: Run) -> bool:
    """The rollout is no longer paused: its deadline counts from now."""
    if not run.was_held or run.held or run.progress.underway != "Forward":
        return False
    run.was_held = False
    if queries.measuring(run.progress):
        gates.restart(run)
    return True


def watch(run: Run) -> bool:
    """Time counts only while the operator observes; after a gap, or when a clock was set back, it restarts."""
    progress, gap = run.progress, _gap(run)
    forward = queries.measuring(progress) and not run.held
    if not forward and not (progress.underway == "Back" and progress.phase != "RollbackFailed"):
        return False
    checked = times.read(progress.checked_at)
    if checked is not None and 0 <= run.now - checked <= gap:
        if run.now - checked < gap / 2:
            return False
        run.change(checked_at=run.text)
    elif progress.wave_state == "Soaking" and forward:
        run.record("SoakInterrupted", "the operator was not observing; soak restarted")
        gates.measure_again(run)
    else:
        run.change(moving_since=run.text, checked_at=run.text)
    return True


def _gap(run: Run) -> float:
    """How long the operator may not observe: a soak requires observation for more than half of its time."""
    if run.progress.wave_state != "Soaking" or run.wave is None:
        return GAP
    return min(GAP, max(queries.soak_of(run.wave) / 2, SHORTEST_GAP))


def settle(run: Run) -> bool:
    """All groups of the wave are updated and healthy: gates are measured from now on, earlier successes do not count.
    Or they no longer are."""
    progress = run.progress
    if not queries.measuring(progress) or run.held or run.wave is None:
        return False
    if progress.settled_at is not None:
        if not _disturbed(run):
            return False
        run.change(settled_at=None)
        return True
    if unsettled(run) or unhealthy(run):
        return False
    run.change(settled_at=run.text, gates=[_unproved(run, status) for status in progress.gates])
    return True


def _disturbed(run: Run) -> bool:
    """Whether a group of the wave is known not to be updated, or not healthy. One that was observed while the rollout
    was paused, or before a restart, is only not known to be updated."""
    intents = queries.intents_with(run.progress, hold=False)
    for name in run.existing(run.wave.groups if run.wave else []):
        found = run.group(name)
        if found is None or found.intent is None or found.settled:
            continue
        if replace(found.intent, hold=False) == intents.get(name):
            return True
    return bool(unhealthy(run))


def _unproved(run: Run, status: GateStatus) -> GateStatus:
    """A success was of the previous content, as is any measurement in progress; failures and errors still count."""
    if status.result in ("Successful", "Pending"):
        return gates.unmeasured(run, status)
    return status.model_copy(update={"counted_until": run.text})


def soak(run: Run) -> bool:
    """The wave soaks while its groups are healthy and gates pass; the soak ends when they do not, or on a pause."""
    progress = run.progress
    if not queries.measuring(progress) or run.wave is None:
        return False
    soaking = progress.wave_state == "Soaking"
    if run.held:
        if soaking:
            run.change(wave_state="Moving", soak_started_at=None)
        return soaking
    healthy = not unsettled(run) and not unhealthy(run) and not gates.open_gates(run)
    if healthy == soaking:
        return False
    if healthy:
        run.change(wave_state="Soaking", soak_started_at=run.text, checked_at=run.text)
    else:
        since, soaked = run.since(progress.moving_since), run.since(progress.soak_started_at)
        gates.restart(run, max(since - soaked, 0.0))
    return True


def deadline(run: Run) -> bool:
    """A wave that exceeds progressDeadline has failed. It pauses instead if it only waits for gates without evidence,
    or for workloads that other clients deleted, recreated, paused or changed back. A late rollback continues."""
    progress = run.progress
    if run.since(progress.moving_since) < run.deadline:
        return False
    if progress.underway == "Back" and progress.phase != "RollbackFailed":
        run.record("RollbackFailed", messages.overdue(run), warning=True, back=True)
        run.change(phase="RollbackFailed")
        return True
    if not queries.measuring(progress) or progress.wave_state != "Moving" or run.held:
        return False
    _exceeded(run, unsettled(run), unhealthy(run))
    return True


def _exceeded(run: Run, open_groups: list[str], unhealthy: list[str]) -> None:
    """The current wave exceeds its deadline."""
    lacking = [*open_groups, *unhealthy]
    if run.observed.busy or (_only_wait(run, open_groups) and not unhealthy):
        run.change(moving_since=run.text)  # the rollout itself is not the cause
    elif lacking and all(workload_notes.by_others(run, name) for name in lacking):
        run.halt("ChangedBack", messages.overdue(run))
    elif not lacking and (silent := _silent_gate(run)) is not None:
        gates.halt_by(run, silent)
    else:
        fail(run, _deadline_reason(run, open_groups), messages.overdue(run))


def _deadline_reason(run: Run, open_groups: list[str]) -> FailureReason:
    groups = (run.group(name) for name in open_groups)
    writes = any(group.problem for group in groups if group is not None)
    return "WriteFailed" if writes else "ProgressDeadlineExceeded"


def _silent_gate(run: Run) -> GateStatus | None:
    """A gate without evidence, if none of the gates that the wave waits for has failed."""
    waited = gates.open_gates(run)
    return None if any(status.result == "Failed" for status in waited) else next(iter(waited), None)


def _only_wait(run: Run, names: list[str]) -> bool:
    """Whether all of these groups only wait for a restart slot."""
    groups = [group for name in names if (group := run.group(name)) is not None]
    return bool(groups) and all(group.waits and not group.problem for group in groups)


def wake_at(run: Run) -> float | None:
    """When the same observation leads to another result."""
    progress = run.progress
    if progress.underway and queries.intents_basis(progress) != queries.intents_basis(run.before):
        return run.now  # the groups were observed under other intents
    return min((moment for moment in _moments(run) if moment is not None), default=None)


def _moments(run: Run) -> Iterator[float | None]:
    progress = run.progress
    back = progress.underway == "Back" and progress.phase != "RollbackFailed"
    if not back and (run.held or not queries.measuring(progress)):
        if progress.phase == "Waiting" and run.freeze is not None:
            yield run.freeze.ends_at
        return
    yield _after(progress.checked_at, _gap(run) / 2)
    if back or progress.wave_state == "Moving":
        yield _after(progress.moving_since, run.deadline)
    elif run.wave is not None:
        yield _after(progress.soak_started_at, queries.soak_of(run.wave))


def _after(moment: str | None, seconds: float) -> float | None:
    at = times.read(moment)
    return None if at is None else at + seconds
