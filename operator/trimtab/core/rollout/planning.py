"""Before the first wave: which content the spec requires, and in which waves it would be rolled out."""

from __future__ import annotations

from trimtab.core.rollout import queries
from trimtab.core.rollout.context import Run
from trimtab.core.rollout.phase import previewed


def take_target(run: Run) -> bool:
    """Take the content of the spec as target. It supersedes a rollout in progress; a rollback completes first."""
    target, progress = run.observed.target, run.progress
    if target is None or progress.underway == "Back":
        return False
    if progress.target is not None and queries.same(target, progress.target):
        return False
    if progress.underway == "Forward":
        message = f"content {queries.short(target)} supersedes content {queries.short(progress.target)}"
        run.record("RolloutSuperseded", message, back=True)
        run.roll_back("Superseded", message)
        return True
    run.change(target=target, preview=None, approved=[], promoted=[])
    hashed = f"content {queries.short(target)}"
    if run.quarantined(target):
        run.record(
            "RevisionQuarantined",
            f"{hashed} is quarantined; it does not restart automatically",
            warning=True,
        )
    elif queries.same(target, progress.stable):
        run.record("RolloutCompleted", f"{hashed} is stable already")
    else:
        run.record("RevisionCreated", f"{hashed} is new")
    return True


def stable_immediately(run: Run) -> bool:
    """Without a rendered group, no group needs protection by waves."""
    if not (run.observed.unprotected and run.coming):
        return False
    run.record("RolloutCompleted", "no group was rendered before; all groups get the content immediately")
    run.change(
        stable=run.progress.target,
        waves=[],
        current_wave=None,
        wave_state=None,
        updated=None,
        failure=None,
        halt=None,
    )
    return True


def plan(run: Run) -> bool:
    """Plan the waves; they are frozen when the first one starts. A change of them requires new approvals."""
    progress, strategy = run.progress, run.observed.strategy
    if not run.coming or strategy is None:
        return _discard(run)
    planned = progress.wave_state == "Held" and progress.current_wave == 0
    if not planned or list(strategy.waves) != progress.waves:
        run.change(
            waves=list(strategy.waves), current_wave=0, wave_state="Held", approved=[], promoted=[], gates=[]
        )
        return True
    return _take_preview(run)


def _take_preview(run: Run) -> bool:
    progress, preview = run.progress, run.observed.preview
    if preview is None or preview == progress.preview or preview.hash != (progress.target or preview).hash:
        return False
    fresh = not previewed(run)
    run.change(preview=preview)
    if fresh:
        message = f"{preview.changed_users} of {preview.users} users would change, in {preview.changed_groups} groups"
        run.record("PreviewReady", message)
    return True


def _discard(run: Run) -> bool:
    """Discard a plan whose content is stable or quarantined."""
    progress = run.progress
    if progress.underway is not None or run.observed.target is None:
        return False
    if progress.wave_state is None and progress.halt is None:
        return False
    run.change(wave_state=None, halt=None, approved=[], promoted=[])
    if queries.same(progress.target, progress.stable):
        run.change(waves=[], current_wave=None, updated=None, gates=[])
    return True
