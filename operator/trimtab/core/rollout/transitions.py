"""Waves start and complete, and rollbacks complete."""

from __future__ import annotations

from trimtab.api.rollout_status import PlannedWave
from trimtab.core.rollout import gates, queries
from trimtab.core.rollout.context import QUIET, Run
from trimtab.core.rollout.failures import unsettled
from trimtab.core.rollout.phase import previewed
from trimtab.core.rollout.planning import plan, take_target


def finish(run: Run) -> bool:
    """Complete a wave, or the rollback."""
    progress, wave = run.progress, run.wave
    if progress.underway == "Back":
        if not run.settled_groups.issuperset(run.existing(queries.planned(progress))):
            return False
        _back(run)
        return True
    if run.held or wave is None or not _is_complete(run, wave):
        return False
    run.record("WaveCompleted", f"wave {wave.name} is complete")
    if len(queries.started(progress)) == len(progress.waves):
        _succeed(run)
    else:
        run.change(**QUIET, current_wave=(progress.current_wave or 0) + 1, wave_state="Held")
    return True


def _is_complete(run: Run, wave: PlannedWave) -> bool:
    progress = run.progress
    if not queries.measuring(progress) or unsettled(run):
        return False
    if run.promoted:
        return True
    soaking = progress.wave_state == "Soaking"
    return soaking and run.since(progress.soak_started_at) >= queries.soak_of(wave)


def _succeed(run: Run) -> None:
    progress, target = run.progress, run.progress.target or queries.NOTHING
    groups = len(run.existing(queries.planned(progress)))
    run.record("RolloutCompleted", f"all {groups} groups are on content {queries.short(target)}")
    run.change(
        **QUIET,
        underway=None,
        wave_state=None,
        previous=progress.stable or queries.NOTHING,
        stable=target,
        quarantine=[q for q in progress.quarantine if q.hash != target.hash],
        approved=[],
        promoted=[],
        failure=None,
        halt=None,
        updated=f"{groups}/{groups}",
    )


def _back(run: Run) -> None:
    """All groups are rolled back; new content may start."""
    progress = run.progress
    run.record(
        "RollbackCompleted", f"all groups are rolled back to {queries.described(progress.stable)}", back=True
    )
    groups = len(run.existing(queries.planned(progress)))
    run.change(**QUIET, underway=None, wave_state=None, approved=[], promoted=[], updated=f"0/{groups}")
    take_target(run)
    plan(run)


def start(run: Run) -> bool:
    """Start the next wave unless something blocks it; the first one starts the attempt."""
    progress = run.progress
    if run.wave is None or _is_blocked(run):
        return False
    if run.coming and previewed(run):
        run.change(
            underway="Forward",
            attempt=(progress.attempt or 0) + 1,
            epoch=(progress.epoch or 0) + 1,
            started_at=run.text,
            failure=None,
            workload_notes=[],
        )
        _begin(run, 1)
        return True
    if progress.underway == "Forward" and progress.wave_state == "Held":
        _begin(run, progress.current_wave or 1)
        return True
    return False


def _is_blocked(run: Run) -> bool:
    return run.held or run.needs_approval or bool(run.observed.busy) or run.freeze is not None


def _begin(run: Run, number: int) -> None:
    strategy = run.observed.strategy
    run.change(
        current_wave=number,
        wave_state="Moving",
        wave_started_at=run.text,
        moving_since=run.text,
        checked_at=run.text,
        soak_started_at=None,
        settled_at=None,
        gates=[gates.fresh(gate) for gate in (strategy.gates if strategy else ())],
    )
    wave = run.wave
    run.record(
        "WaveStarted", f"wave {wave.name if wave else number} started: {number} of {len(run.progress.waves)}"
    )
