"""What depends on time: soaks, deadlines, and whether anybody was watching."""

from __future__ import annotations

from trimtab.core import times
from trimtab.core.rollout import gates, reading, words
from trimtab.core.rollout.judging import fail, ill, unsettled
from trimtab.core.rollout.run import Run

CHECKED = 60.0
"""How often status says that all is still being watched, in seconds."""
GAP = 120.0
"""After this long without anybody watching, soaks and deadlines start again."""


def unheld(run: Run) -> bool:
    """Whatever held it is gone: its time counts from now."""
    if not run.was_held or run.held or run.progress.underway != "Forward":
        return False
    run.was_held = False
    if reading.measuring(run.progress):
        gates.restart(run)
    return True


def watch(run: Run) -> bool:
    """Time counts only while somebody watches; after a gap, or when clocks went back, it starts again."""
    progress = run.progress
    forward = reading.measuring(progress) and not run.held
    if not forward and not (progress.underway == "Back" and progress.phase != "RollbackFailed"):
        return False
    checked = times.read(progress.checked_at)
    if checked is not None and 0 <= run.now - checked <= GAP:
        if run.now - checked < CHECKED:
            return False
        run.change(checked_at=run.text)
    elif progress.wave_state == "Soaking" and forward:
        run.tell("SoakInterrupted", "nobody was watching for a while: the soak starts again")
        run.again()
    else:
        run.change(moving_since=run.text, checked_at=run.text)
    return True


def soak(run: Run) -> bool:
    """All is well: watch it for the wave's soak. It is not, or may not go on: no longer."""
    progress, wave = run.progress, run.wave
    if not reading.measuring(progress) or wave is None:
        return False
    soaking = progress.wave_state == "Soaking"
    if run.held:
        if soaking:
            run.change(wave_state="Moving", soak_started_at=None)
        return soaking
    well = not unsettled(run) and not ill(run) and not gates.open_gates(run)
    if well and not soaking:
        run.change(wave_state="Soaking", soak_started_at=run.text, checked_at=run.text)
    elif soaking and not well:
        gates.restart(run)
    return well != soaking


def deadline(run: Run) -> bool:
    """A wave that does not come to be well in time has failed, unless only a gate's silence keeps it: that pauses.
    A rollback that is late goes on."""
    progress = run.progress
    if run.since(progress.moving_since) < run.deadline:
        return False
    if progress.underway == "Back" and progress.phase != "RollbackFailed":
        run.tell("RollbackFailed", words.late(run), warning=True, back=True)
        run.change(phase="RollbackFailed")
        return True
    if not reading.measuring(progress) or progress.wave_state != "Moving" or run.held:
        return False
    open_, waited = unsettled(run), gates.open_gates(run)
    silent = [status for status in waited if status.result != "Failed"]
    if waited and not open_ and not ill(run) and len(silent) == len(waited):
        gates.halt_by(run, silent[0])
        return True
    writes = any((group := run.group(name)) is not None and group.problem for name in open_)
    fail(run, "WriteFailed" if writes else "ProgressDeadlineExceeded", words.late(run))
    return True


def wake_at(run: Run) -> float | None:
    """The next time at which the same look would say something new."""
    progress = run.progress
    if progress.underway and reading.stance(progress) != reading.stance(run.before):
        return run.now  # what was seen of groups was seen under other intents
    moments: list[float | None] = []
    checked = times.read(progress.checked_at)
    if progress.underway == "Back" and progress.phase != "RollbackFailed":
        moments = [
            _after(progress.moving_since, run.deadline),
            None if checked is None else checked + CHECKED,
        ]
    elif reading.measuring(progress) and not run.held:
        moments = [None if checked is None else checked + CHECKED]
        if progress.wave_state == "Moving":
            moments.append(_after(progress.moving_since, run.deadline))
        elif run.wave is not None:
            moments.append(_after(progress.soak_started_at, reading.soak_of(run.wave)))
    elif progress.phase == "Waiting" and run.freeze is not None:
        moments = [run.freeze.ends_at]
    return min((moment for moment in moments if moment is not None), default=None)


def _after(moment: str | None, seconds: float) -> float | None:
    at = times.read(moment)
    return None if at is None else at + seconds
